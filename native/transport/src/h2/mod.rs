//! HTTP/2 (RFC 9113) by the h2 crate, without sockets.

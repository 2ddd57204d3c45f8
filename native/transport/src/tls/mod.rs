//! TLS sessions (rustls), without sockets.

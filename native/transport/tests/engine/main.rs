//! The engine over real sockets: what clients and upstreams see, and what decisions are told.

mod broken;
mod driver;
mod http1;
mod peers;

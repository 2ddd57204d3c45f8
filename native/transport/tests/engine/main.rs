//! The engine over real sockets: what clients and upstreams see, and what decisions are told.

mod answers;
mod broken;
mod chaos;
mod compress;
mod driver;
mod gone;
mod h2;
mod h2_peers;
mod h2_upstreams;
mod hedge;
mod hostile;
mod http1;
mod kept;
mod leaving;
mod limits;
mod peers;
mod shed;
mod tls;

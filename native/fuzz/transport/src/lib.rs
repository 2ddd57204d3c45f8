//! Fuzz targets of the transport. Each is a function of bytes that panics when something does not hold; [`TARGETS`] has them with seeds and words, for those who have no fuzzer.

mod heads;
mod others;
mod seeds;

pub use heads::{transport_request, transport_response};
pub use others::{transport_chunked, transport_client_hello, transport_proxy};
pub use seeds::TARGETS;

//! The native transport: bytes in, exchanges out, bytes out. Decisions are made elsewhere (TypeScript, or a test): the engine tells events and takes verdicts
//! through memory that both share ([`layout`]). Parsers and protocols are sans-IO: they see bytes and tell events; sockets occur only in [`engine`] and [`hand_over`].

pub mod compress;
pub mod engine;
pub mod h2;
pub mod hand_over;
pub mod http1;
pub mod layout;
pub mod lent;
pub mod proxy;
pub mod tls;

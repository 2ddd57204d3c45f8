//! TLS sessions (rustls), without sockets: certificates chosen by name, tickets that all lanes share, client certificates, JA4, and one session type for
//! both sides that reads and writes whatever it is given.

mod buffer;
mod certificates;
mod client;
pub mod client_hello;
mod error;
mod identity;
pub mod ja4;
mod pem;
mod server;
mod session;
mod tickets;
pub mod x509;

#[cfg(test)]
pub(crate) mod testing;

pub use client::{ClientTls, ClientTlsPlan, client_tls};
pub use error::TlsError;
pub use identity::ClientIdentity;
pub use server::{CertificatePlan, ClientAuth, MinVersion, ServerTls, ServerTlsPlan, server_tls};
pub use session::{Facts, OUTGOING_BYTES_MAX, PLAIN_BYTES_MAX, RECORD_PLAIN_MAX, Session};
pub use tickets::{ROTATION_S_DEFAULT, TicketKeys};

/// The cryptography of every session: aws-lc, with X25519MLKEM768 as the preferred key exchange.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Seconds since 1970, as certificates count them.
fn wall_s() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}

//! The client's side of TLS, towards upstreams: authorities, an own identity, and resumption shared by every connection of a cell.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::certificates::certified_key;
use super::server::{check_alpn, roots};
use super::{TlsError, provider};

/// Server names whose tickets are kept, per [`ClientTls`]; of each up to 8.
const RESUMPTION_NAMES_MAX: usize = 256;

/// TLS towards the endpoints of one cell.
#[derive(Clone, Debug, Default)]
pub struct ClientTlsPlan {
    /// The authorities that servers' certificates must be from, in PEM; `None`: the public ones (Mozilla's, as compiled in).
    pub ca_pem: Option<Vec<u8>>,
    /// A certificate chain and its key, in PEM, shown to servers that ask.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Application protocols in order of preference.
    pub alpn: Vec<Vec<u8>>,
}

/// A cell's TLS. Clones share it and its tickets.
#[derive(Clone, Debug)]
pub struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
}

/// Makes a cell's TLS of its plan. TLS 1.3 and 1.2.
pub fn client_tls(plan: &ClientTlsPlan) -> Result<ClientTls, TlsError> {
    let provider = provider();
    let roots = match &plan.ca_pem {
        Some(ca_pem) => roots(ca_pem, "upstream CA")?,
        None => RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| {
            TlsError::new(
                "upstream TLS",
                error.to_string(),
                "report this: the compiled-in suites are incomplete",
            )
        })?
        .with_root_certificates(roots);
    let mut config = match &plan.identity {
        None => builder.with_no_client_auth(),
        Some((chain_pem, key_pem)) => {
            let key = certified_key(chain_pem, key_pem, "upstream identity", &provider)?;
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
        }
    };
    check_alpn(&plan.alpn, "upstream alpn")?;
    config.alpn_protocols.clone_from(&plan.alpn);
    config.resumption = Resumption::in_memory_sessions(RESUMPTION_NAMES_MAX);
    Ok(ClientTls {
        config: Arc::new(config),
    })
}

/// The name that a server's certificate must have: a host name, or an address (RFC 9525), which is not sent as SNI.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    ServerName::try_from(bare.to_ascii_lowercase()).map_err(|_| {
        TlsError::new(
            "upstream server name",
            format!("{name:?} is neither a host name nor an address"),
            "write it like backend.example or 192.0.2.1",
        )
    })
}

//! The server's side of TLS: a plan of certificates and rules becomes a configuration that every session of a listener shares.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::certificates::Certificates;
use super::{TicketKeys, TlsError, pem, provider, wall_s};

/// One certificate of a listener.
#[derive(Clone, Debug, Default)]
pub struct CertificatePlan {
    /// The leaf certificate, then its intermediates, in PEM.
    pub chain_pem: Vec<u8>,
    /// Its private key in PEM, not encrypted: PKCS#8, RSA or EC.
    pub key_pem: Vec<u8>,
    /// An OCSP response to staple, in DER.
    pub ocsp_der: Option<Vec<u8>>,
    /// The names it is chosen by, exact or `*.example.com`; empty: those of the certificate.
    pub names: Vec<String>,
}

/// The oldest version a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 (RFC 5246), only with AEAD suites and forward secrecy.
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Whether clients show certificates. A certificate that does not verify ends the handshake, also where none is required.
#[derive(Clone, Debug, Default)]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    Off,
    /// A client may show one.
    Optional {
        /// The authorities it may be from, in PEM.
        ca_pem: Vec<u8>,
    },
    /// A client without one is refused (alert `certificate_required`; `handshake_failure` in TLS 1.2).
    Required {
        /// The authorities it must be from, in PEM.
        ca_pem: Vec<u8>,
    },
}

/// TLS of one listener.
#[derive(Clone, Debug, Default)]
pub struct ServerTlsPlan {
    /// At least one. The first is used for clients that name no server or an unknown one. Several of one name with keys of different kinds are chosen between
    /// by what the client can verify.
    pub certificates: Vec<CertificatePlan>,
    /// The oldest version.
    pub min_version: MinVersion,
    /// Client certificates.
    pub client_auth: ClientAuth,
    /// Application protocols in order of preference, such as `h2`, `http/1.1`. A client that offers others only is refused (`no_application_protocol`).
    pub alpn: Vec<Vec<u8>>,
    /// Names of cipher suites in order of preference, such as `TLS_CHACHA20_POLY1305_SHA256`. A version of which none is named keeps its default suites.
    /// Empty: the default suites, AES-128 first; of clients that put ChaCha20 first (phones without AES instructions), in their order.
    pub cipher_suites: Vec<String>,
}

/// A listener's TLS. Clones share it; new certificates are a new one, given to new sessions, while open sessions keep theirs.
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub(super) config: Arc<ServerConfig>,
    /// The same in the client's order of suites, for clients that put ChaCha20 first; none where the operator has named suites.
    pub(super) client_order: Option<Arc<ServerConfig>>,
    warnings: Arc<[String]>,
}

impl ServerTls {
    /// What is usable but should be seen to: expired certificates, names in two of them. For the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Makes a listener's TLS of its plan. `tickets` are the process's; those of listeners with other rules for client certificates are not accepted here.
pub fn server_tls(plan: &ServerTlsPlan, tickets: Arc<TicketKeys>) -> Result<ServerTls, TlsError> {
    let mut provider = CryptoProvider::clone(&provider());
    choose_suites(&plan.cipher_suites, &mut provider)?;
    let mut warnings = Vec::new();
    let certificates = Certificates::build(&plan.certificates, &provider, wall_s(), &mut warnings)?;
    let provider = Arc::new(provider);

    let versions: &[_] = match plan.min_version {
        MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| {
            TlsError::new(
                "cipher_suites",
                format!("leave a version without suites ({error})"),
                "name at least one suite of each version, or none",
            )
        })?;
    let builder = match &plan.client_auth {
        ClientAuth::Off => builder.with_no_client_auth(),
        ClientAuth::Optional { ca_pem } => builder.with_client_cert_verifier(verifier(ca_pem, &provider, true)?),
        ClientAuth::Required { ca_pem } => builder.with_client_cert_verifier(verifier(ca_pem, &provider, false)?),
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificates));
    check_alpn(&plan.alpn, "alpn")?;
    config.alpn_protocols.clone_from(&plan.alpn);
    config.ignore_client_order = true;
    // Sessions are kept by clients, not here.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.ticketer = tickets.scoped(scope(&plan.client_auth));
    let client_order = plan.cipher_suites.is_empty().then(|| {
        let mut config = config.clone();
        config.ignore_client_order = false;
        Arc::new(config)
    });
    Ok(ServerTls {
        config: Arc::new(config),
        client_order,
        warnings: warnings.into(),
    })
}

/// What a ticket must have been made under to be accepted: the same rule for client certificates from the same authorities.
fn scope(client_auth: &ClientAuth) -> [u8; 32] {
    let (kind, ca_pem): (u8, &[u8]) = match client_auth {
        ClientAuth::Off => (0, b""),
        ClientAuth::Optional { ca_pem } => (1, ca_pem),
        ClientAuth::Required { ca_pem } => (2, ca_pem),
    };
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(&[kind]);
    context.update(ca_pem);
    let mut scope = [0; 32];
    scope.copy_from_slice(context.finish().as_ref());
    scope
}

fn verifier(
    ca_pem: &[u8],
    provider: &Arc<CryptoProvider>,
    optional: bool,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let roots = Arc::new(roots(ca_pem, "client CA")?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let builder = if optional {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    builder.build().map_err(|error| {
        TlsError::new(
            "client CA",
            error.to_string(),
            "give the authorities' certificates in PEM",
        )
    })
}

/// A store of the authorities of a PEM text.
pub(super) fn roots(ca_pem: &[u8], part: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in pem::certificates(ca_pem, part)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            TlsError::new(
                format!("{part}, certificate {}", at + 1),
                format!("cannot be used ({error})"),
                "give the authority's own X.509 version 3 certificate",
            )
        })?;
    }
    Ok(roots)
}

/// Protocol names are 1 to 255 bytes (RFC 7301 §3.1).
pub(super) fn check_alpn(protocols: &[Vec<u8>], part: &str) -> Result<(), TlsError> {
    match protocols.iter().find(|name| name.is_empty() || name.len() > 255) {
        Some(name) => Err(TlsError::new(
            part,
            format!("a protocol name of {} bytes", name.len()),
            "use names such as h2 and http/1.1",
        )),
        None => Ok(()),
    }
}

/// Puts the named suites first in their order and leaves out the others of their version. Without names: AES-128 before AES-256 (as RFC 9325 §4.2 lists them), since its
/// handshake hashes with SHA-256, which processors have instructions for; SHA-384 takes a seventh of a full handshake.
fn choose_suites(names: &[String], provider: &mut CryptoProvider) -> Result<(), TlsError> {
    let name_of = |suite: &rustls::SupportedCipherSuite| suite.suite().as_str().unwrap_or("").replace("TLS13_", "TLS_");
    if names.is_empty() {
        // Stable, so that the rest of the order stays: the version, then the kind of key.
        provider.cipher_suites.sort_by_key(|suite| {
            let name = name_of(suite);
            (
                suite.version() != &rustls::version::TLS13,
                name.contains("CHACHA20"),
                name.contains("AES_256"),
            )
        });
        return Ok(());
    }
    let known = std::mem::take(&mut provider.cipher_suites);
    let mut chosen = Vec::with_capacity(known.len());
    for name in names {
        let Some(suite) = known.iter().find(|suite| name_of(suite) == *name) else {
            let all: Vec<String> = known.iter().map(name_of).collect();
            return Err(TlsError::new(
                "cipher_suites",
                format!("{name:?} is not known"),
                format!("use some of {}", all.join(", ")),
            ));
        };
        if chosen.contains(suite) {
            return Err(TlsError::new(
                "cipher_suites",
                format!("{name:?} occurs twice"),
                "name it once",
            ));
        }
        chosen.push(*suite);
    }
    for suite in known {
        if !chosen
            .iter()
            .take(names.len())
            .any(|named| named.version() == suite.version())
        {
            chosen.push(suite);
        }
    }
    provider.cipher_suites = chosen;
    Ok(())
}

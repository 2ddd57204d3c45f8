//! The certificate of a name: exact, then the wildcard of one label, then the default, which is the first of the plan.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::client_hello::undotted;
use super::server::CertificatePlan;
use super::{TlsError, pem, x509};

/// Certificates of one listener, and names of one certificate.
const CERTIFICATES_MAX: usize = 10_000;
const NAMES_MAX: usize = 1000;

/// All certificates of a listener by name.
pub(super) struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
    exact: HashMap<String, Vec<u32>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Vec<u32>>,
    default: Vec<u32>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("count", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads and checks every certificate. What is odd but usable is told in `warnings`.
    pub fn build(
        plans: &[CertificatePlan],
        provider: &CryptoProvider,
        now_s: i64,
        warnings: &mut Vec<String>,
    ) -> Result<Certificates, TlsError> {
        if plans.is_empty() {
            return Err(TlsError::new(
                "certificates",
                "none is given",
                "give at least one certificate with its key",
            ));
        }
        if plans.len() > CERTIFICATES_MAX {
            return Err(TlsError::new(
                "certificates",
                format!("{} are given, at most {CERTIFICATES_MAX} are held", plans.len()),
                "use wildcard certificates or spread the names over listeners",
            ));
        }
        let mut all = Certificates {
            keys: Vec::with_capacity(plans.len()),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: vec![0],
        };
        let mut first_names = Vec::new();
        for (at, plan) in plans.iter().enumerate() {
            let label = format!("certificate {}", at + 1);
            let key = certified_key(&plan.chain_pem, &plan.key_pem, &label, provider)?;
            let (names, label) = names(plan, &key, &label, now_s, warnings)?;
            let mut key = key;
            if let Some(ocsp) = &plan.ocsp_der {
                key.ocsp = Some(ocsp_response(ocsp, &label)?);
            }
            for name in &names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(suffix) => (&mut all.wildcard, suffix),
                    None => (&mut all.exact, name.as_str()),
                };
                let entry = table.entry(name.to_owned()).or_default();
                if let Some(other) = entry
                    .iter()
                    .find(|other| all.keys[**other as usize].key.algorithm() == key.key.algorithm())
                {
                    warnings.push(format!(
                        "{label}: the name {name} is also in certificate {}, which comes first and is used",
                        other + 1
                    ));
                }
                entry.push(at as u32);
            }
            if at == 0 {
                first_names = names;
            }
            all.keys.push(Arc::new(key));
        }
        // A default that exists as RSA and as ECDSA is a default for clients of both kinds.
        if let Some(found) = first_names.first().and_then(|name| all.find(name)) {
            all.default = found.to_vec();
        }
        Ok(all)
    }

    /// Candidates of a name in lower case (or of a wildcard itself).
    fn find(&self, name: &str) -> Option<&[u32]> {
        let exact = self.exact.get(name);
        let found = exact.or_else(|| name.split_once('.').and_then(|(_, suffix)| self.wildcard.get(suffix)));
        found.map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().map(undotted).and_then(|name| {
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                self.find(&name.to_ascii_lowercase())
            } else {
                self.find(name)
            }
        });
        let candidates = found.unwrap_or(&self.default);
        let fits = |at: &&u32| {
            self.keys[**at as usize]
                .key
                .choose_scheme(hello.signature_schemes())
                .is_some()
        };
        let chosen = candidates.iter().find(fits).or(candidates.first())?;
        Some(Arc::clone(&self.keys[*chosen as usize]))
    }
}

/// A chain with its key, checked to belong together.
pub(super) fn certified_key(
    chain_pem: &[u8],
    key_pem: &[u8],
    label: &str,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = pem::certificates(chain_pem, &format!("{label}, chain"))?;
    let part = format!("{label}, key");
    let der = pem::private_key(key_pem, &part)?;
    let key = provider.key_provider.load_private_key(der).map_err(|error| {
        TlsError::new(
            &part,
            format!("not a key that can be used ({error})"),
            "give an RSA key of 2048 bits or more, or EC P-256, P-384, P-521, or Ed25519",
        )
    })?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(key),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::new(
            part,
            "does not belong to the certificate (their public keys differ)",
            "give the key that the certificate was issued for, and the leaf certificate first in the chain",
        )),
        Err(error) => Err(TlsError::new(
            format!("{label}, chain"),
            format!("the first certificate cannot be read ({error})"),
            "give an X.509 version 3 certificate as it was issued",
        )),
    }
}

/// The names a certificate is chosen by, and the label under which it is spoken of.
fn names(
    plan: &CertificatePlan,
    key: &CertifiedKey,
    label: &str,
    now_s: i64,
    warnings: &mut Vec<String>,
) -> Result<(Vec<String>, String), TlsError> {
    let read = key.cert.first().and_then(|certificate| x509::read(certificate));
    let own: Vec<String> = read
        .iter()
        .flat_map(|read| &read.sans)
        .filter_map(|san| match san {
            x509::San::Dns(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let mut names = Vec::new();
    if plan.names.len() > NAMES_MAX {
        return Err(TlsError::new(
            label,
            format!("more than {NAMES_MAX} names"),
            "give fewer names or a wildcard",
        ));
    }
    for name in &plan.names {
        let plain = undotted(name).to_ascii_lowercase();
        if !valid(&plain) {
            return Err(TlsError::new(
                format!("{label}, names"),
                format!("{name:?} is no host name"),
                "write it like www.example.com or *.example.com, other alphabets as xn--…",
            ));
        }
        names.push(plain);
    }
    let label = match names.first().or(own.first()) {
        Some(name) => format!("{label} ({name})"),
        None => label.to_owned(),
    };
    if names.is_empty() {
        names = own.into_iter().filter(|name| valid(name)).collect();
        if names.is_empty() {
            warnings.push(format!(
                "{label}: has no DNS names; it is used only when no other certificate fits and it comes first"
            ));
        }
    }
    if let Some(read) = read {
        if read.not_after_s < now_s {
            warnings.push(format!(
                "{label}: expired {} hours ago; clients will refuse it",
                (now_s - read.not_after_s) / 3600
            ));
        } else if read.not_before_s > now_s {
            warnings.push(format!(
                "{label}: is not valid for another {} hours; clients will refuse it",
                (read.not_before_s - now_s) / 3600
            ));
        }
    }
    Ok((names, label))
}

/// A host name or a wildcard of a whole first label.
fn valid(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    rustls::pki_types::DnsName::try_from(host).is_ok()
}

/// An OCSP response whose status is "successful" (RFC 6960 §4.2.1): one in an error state would make clients fail for nothing.
fn ocsp_response(der: &[u8], label: &str) -> Result<Vec<u8>, TlsError> {
    let part = || format!("{label}, OCSP response");
    let mend = "give the DER file that `openssl ocsp -respout` or the authority's responder writes";
    if der.len() > usize::from(u16::MAX) {
        return Err(TlsError::new(part(), "longer than 65,535 bytes", mend));
    }
    match x509::ocsp_status(der) {
        Some(0) => Ok(der.to_vec()),
        Some(status) => Err(TlsError::new(
            part(),
            format!("says that the responder failed (status {status})"),
            "fetch it again",
        )),
        None => Err(TlsError::new(part(), "is no OCSP response in DER", mend)),
    }
}

#[cfg(test)]
#[path = "certificates_test.rs"]
mod tests;

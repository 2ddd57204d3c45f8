//! Certificates and keys out of PEM text, with errors that say what was found instead.

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// Certificates in one PEM text: a chain, or a bundle of authorities (the largest public bundles have about 150).
const CERTIFICATES_MAX: usize = 1000;

/// Every certificate of a PEM text, in order; at least one.
pub(super) fn certificates(pem: &[u8], part: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|error| {
            TlsError::new(
                part,
                format!("the PEM text is broken ({error})"),
                "give the file as it was issued, unchanged",
            )
        })?;
        match kind {
            SectionKind::Certificate => found.push(CertificateDer::from(der)),
            other => others.push(label(other)),
        }
        if found.len() > CERTIFICATES_MAX {
            return Err(TlsError::new(
                part,
                format!("more than {CERTIFICATES_MAX} certificates"),
                "give only those that are needed",
            ));
        }
    }
    if found.is_empty() {
        let what = match others.first() {
            Some(other) => format!("no certificate in the PEM text (it holds {other})"),
            None => "no certificate in the PEM text".to_owned(),
        };
        return Err(TlsError::new(
            part,
            what,
            "give a text with -----BEGIN CERTIFICATE-----, the leaf first",
        ));
    }
    Ok(found)
}

/// The one private key of a PEM text: PKCS#8, PKCS#1 (RSA) or SEC1 (EC).
pub(super) fn private_key(pem: &[u8], part: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = String::from_utf8_lossy(pem);
    if text.contains("ENCRYPTED") {
        return Err(TlsError::new(
            part,
            "the key is encrypted with a passphrase",
            "decrypt it with `openssl pkey -in key.pem -out plain.pem`",
        ));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => TlsError::new(
            part,
            "no private key in the PEM text",
            "give a text with -----BEGIN PRIVATE KEY----- (PKCS#8, or RSA or EC)",
        ),
        error => TlsError::new(
            part,
            format!("the PEM text is broken ({error})"),
            "give the file as it was issued, unchanged",
        ),
    })
}

fn label(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::PublicKey => "a public key",
        SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey => "a private key",
        SectionKind::Crl => "a revocation list",
        SectionKind::Csr => "a certificate request, which is not yet a certificate",
        _ => "something else",
    }
}

//! Who a client is, by the certificate it proved to own.

use rustls::pki_types::CertificateDer;

use super::x509;

/// A verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The subject as RFC 4514 text (`CN=alice,O=Example`); empty when it has none.
    pub subject: String,
    /// Alternative names, each with its kind: `DNS:…`, `IP:…`, `email:…`, `URI:…`.
    pub sans: Vec<String>,
    /// SHA-256 of the certificate in DER.
    pub fingerprint_sha256: [u8; 32],
    /// The certificate itself.
    pub der: Vec<u8>,
}

impl ClientIdentity {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> ClientIdentity {
        let mut fingerprint_sha256 = [0; 32];
        fingerprint_sha256.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate).as_ref());
        // What verification accepted and this reader does not understand is an identity without names: no rule about names matches it.
        let read = x509::read(certificate);
        ClientIdentity {
            subject: read.as_ref().map(|read| read.subject.clone()).unwrap_or_default(),
            sans: read
                .iter()
                .flat_map(|read| &read.sans)
                .map(x509::San::to_string)
                .collect(),
            fingerprint_sha256,
            der: certificate.to_vec(),
        }
    }

    /// The fingerprint in hexadecimal, as headers and policies write it.
    pub fn fingerprint(&self) -> String {
        super::ja4::hex(&self.fingerprint_sha256)
    }
}

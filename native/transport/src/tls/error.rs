//! What is wrong with a TLS configuration: which part, what, and what to do about it.

use std::fmt;

/// A part of a TLS plan that cannot be used. `Display` reads "certificate 2 (example.com), key: does not belong to the certificate; give the key …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The part: "certificate 1", "certificate 2, key", "client CA", "upstream identity, chain".
    pub part: String,
    /// What is wrong with it.
    pub what: String,
    /// What mends it.
    pub mend: String,
}

impl TlsError {
    pub(crate) fn new(part: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        TlsError {
            part: part.into(),
            what: what.into(),
            mend: mend.into(),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.part, self.what, self.mend)
    }
}

impl std::error::Error for TlsError {}

//! SQL injection and cross-site scripting in a value, found as libinjection finds them.
//!
//! [`sqli`] reads the value as SQL in up to five ways (as it stands, and as if it began inside of quotes), folds the tokens to at most
//! five, and looks their kinds up in a list of fingerprints. [`xss`] reads it as HTML in five contexts and judges tags, attributes and
//! URLs by name. The answers are those of libinjection 3.10.0, which the tests ask: Debian's libmodsecurity holds it.
//!
//! Nothing is allocated for a call, and the time of a call is linear in the length of the value, whatever it holds.

pub mod sqli;
pub mod xss;

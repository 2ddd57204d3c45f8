//! Fuzz targets of the WAF. Each is a function of bytes that panics when something does not hold; [`TARGETS`] has them with seeds and words, for those who have no fuzzer.

mod bodies;
mod count;
mod matching;
mod rules;
mod seeds;

pub use bodies::{waf_bodies, waf_json, waf_multipart, waf_urlencoded, waf_xml};
pub use matching::{libinjection_sqli, libinjection_xss, waf_pcre, waf_prefilter, waf_transformations};
pub use rules::{waf_expression, waf_rules, waf_seclang};
pub use seeds::TARGETS;

/// Two texts in one input: what stands before the first NUL, which must be UTF-8, and what follows it.
fn text_and_value(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let at = bytes.iter().position(|b| *b == 0)?;
    Some((std::str::from_utf8(&bytes[..at]).ok()?, &bytes[at + 1..]))
}

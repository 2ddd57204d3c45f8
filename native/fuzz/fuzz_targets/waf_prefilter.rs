//! An expression and a value, separated by the first NUL: what the prefilter leaves out does not match.
#![no_main]

use cnx_waf::operator::{Expression, RegexCaches, Requirement};
use cnx_waf::program::literals::requirement;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(at) = bytes.iter().position(|b| *b == 0) else {
        return;
    };
    let Ok(pattern) = std::str::from_utf8(&bytes[..at]) else {
        return;
    };
    let value = &bytes[at + 1..];
    if pattern.len() > 200 {
        return;
    }
    let Ok((expression, hir)) = Expression::new(pattern, false, false, &mut 0) else {
        return;
    };
    if let Requirement::OneOf(set) = requirement(&hir) {
        let folded = value.to_ascii_lowercase();
        let possible = set.iter().any(|l| folded.windows(l.len()).any(|w| w == l.as_slice()));
        if !possible {
            assert!(!expression.is_match(value, &mut RegexCaches::default()), "{pattern}");
        }
    }
});

//! Matching: regular expressions, what is known of them beforehand, transformations, and the port of libinjection.

use cnx_libinjection::{sqli, xss};
use cnx_waf::bytes::ByteSet;
use cnx_waf::operator::pcre::matcher::{Scratch, search};
use cnx_waf::operator::pcre::{Program, parse};
use cnx_waf::operator::{Expression, RegexCaches, Requirement};
use cnx_waf::program::literals::requirement;
use cnx_waf::program::needs::Needs;
use cnx_waf::transform::{GROWTH_ADD, TRANSFORMS, Trigger};

use crate::text_and_value;

/// Longest expression that is tried. Unit: bytes.
const PATTERN_BYTES_MAX: usize = 200;

/// An expression and a value: what the prefilter leaves out does not match.
pub fn waf_prefilter(bytes: &[u8]) {
    let Some((pattern, value)) = text_and_value(bytes) else {
        return;
    };
    if pattern.len() > PATTERN_BYTES_MAX {
        return;
    }
    let Ok((expression, hir)) = Expression::new(pattern, false, false, &mut 0) else {
        return;
    };
    if !Needs::of(&hir).allow(value, &ByteSet::present_in(value)) {
        assert!(!expression.is_match(value, &mut RegexCaches::default()), "{pattern}");
    }
    if let Requirement::OneOf(set) = requirement(&hir) {
        let folded = value.to_ascii_lowercase();
        let possible = set.iter().any(|l| folded.windows(l.len()).any(|w| w == l.as_slice()));
        if !possible {
            assert!(!expression.is_match(value, &mut RegexCaches::default()), "{pattern}");
        }
    }
}

/// An expression and a value: the automaton alone matches wherever the tree does, and the search is bounded.
pub fn waf_pcre(bytes: &[u8]) {
    let Some((pattern, value)) = text_and_value(bytes) else {
        return;
    };
    if pattern.len() > PATTERN_BYTES_MAX {
        return;
    }
    let Ok(tree) = parse(pattern, false, false) else {
        return;
    };
    let Ok(program) = Program::new(&tree) else {
        return;
    };
    let Ok(automaton) = Expression::at_least(&tree) else {
        return;
    };
    let mut work = 0;
    let found = search(&program, value, 0, &mut Scratch::default(), &mut work);
    assert!(work < 20_000_000);
    if found == Ok(true) {
        assert!(automaton.is_match(value, &mut RegexCaches::default()), "{pattern}");
    }
}

/// Values: no panic, bounded growth, identity without trigger bytes.
pub fn waf_transformations(bytes: &[u8]) {
    for d in TRANSFORMS {
        let mut out = Vec::new();
        (d.apply)(bytes, &mut out);
        assert!(out.len() <= bytes.len() * d.growth + GROWTH_ADD, "{}", d.name);
        if let Trigger::Bytes(set) = d.trigger
            && !set.meets(&ByteSet::present_in(bytes))
        {
            assert_eq!(out, bytes, "{}", d.name);
        }
    }
}

/// A value: the SQL reader stops, reads each byte at most five times, and finds nothing without a byte that is needed.
pub fn libinjection_sqli(value: &[u8]) {
    let answer = sqli::detect(value);
    assert!(answer.bytes_read <= 5 * value.len() as u64);
    if let Some(fingerprint) = answer.fingerprint {
        assert!((1..=5).contains(&fingerprint.as_bytes().len()));
        assert!(value.iter().copied().any(sqli::is_needed));
    }
}

/// The same of the HTML reader.
pub fn libinjection_xss(value: &[u8]) {
    let answer = xss::detect(value);
    assert!(answer.bytes_read <= 5 * value.len() as u64);
    assert!(!answer.found || value.iter().copied().any(xss::is_needed));
}

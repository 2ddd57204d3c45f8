//! An expression and a value, separated by the first NUL: the printed expression matches wherever the tree does, and the search is bounded.
#![no_main]

use cnx_waf::operator::pcre::matcher::{Scratch, search};
use cnx_waf::operator::pcre::{Program, parse, print};
use cnx_waf::operator::{Expression, RegexCaches};
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
    let Ok(tree) = parse(pattern, false, false) else {
        return;
    };
    let Ok(program) = Program::new(&tree) else {
        return;
    };
    let Ok((printed, _)) = Expression::new(&print(&tree.node), false, false, &mut 0) else {
        return;
    };
    let mut work = 0;
    let found = search(&program, value, 0, &mut Scratch::default(), &mut work);
    assert!(work < 20_000_000);
    if found == Ok(true) {
        assert!(printed.is_match(value, &mut RegexCaches::default()), "{pattern}");
    }
});

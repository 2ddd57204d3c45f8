//! Expressions: no panic, every error names a mend, what is printed is read as the same, and the prefilter leaves out nothing that
//! is true.
#![no_main]

use std::sync::Arc;

use cnx_waf::engine::Transaction;
use cnx_waf::expression::parser::parse;
use cnx_waf::expression::rule::{Action, ExpressionRule, Expressions};
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::compile::{CompileOptions, compile_with};
use cnx_waf::wire::{Request, pack_request};
use libfuzzer_sys::fuzz_target;

/// Whether an expression is true of a request; `None` when it is none.
fn holds(when: String, packed: &[u8]) -> Option<bool> {
    let rule = ExpressionRule {
        place: String::new(),
        before: 0,
        local: false,
        id: None,
        name: None,
        when,
        action: Action::Log,
        message: None,
        severity: None,
    };
    let expressions = Expressions {
        rules: vec![rule],
        lists: Vec::new(),
    };
    match compile_with(&[], &expressions, CompileOptions::default()) {
        Ok(program) => {
            let profile = Profile::new(Arc::new(program), &ProfileOptions::default()).ok()?;
            let request = Request::unpack(packed).ok()?;
            Some(Transaction::default().inspect(&profile, &request).matches == 1)
        }
        Err(list) => {
            assert!(list.iter().all(|d| !d.message.is_empty() && !d.mend.is_empty()));
            None
        }
    }
}

fuzz_target!(|input: (&str, &[u8])| {
    let (when, value) = input;
    if let Ok(condition) = parse(when) {
        let printed = condition.to_string();
        assert_eq!(parse(&printed).map(|c| c.to_string()).ok(), Some(printed));
    }
    let target = [b"/", value].concat();
    let packed = pack_request(
        b"GET",
        &target,
        b"HTTP/1.1",
        b"192.0.2.1",
        &[(b"host", value), (b"x", value)],
        value,
    );
    let first = holds(when.to_owned(), &packed);
    // Nothing is required of what is negated, so this one is always looked at.
    if let Some(holds_anyway) = holds(format!("not (not ({when}))"), &packed) {
        assert!(first.is_none() || first == Some(holds_anyway));
    }
});

//! Rules: files of SecLang, WAF expressions, and whether what is compiled of both finds what they say.

use std::sync::Arc;

use cnx_waf::engine::Transaction;
use cnx_waf::expression::parser::parse;
use cnx_waf::expression::rule::{Action, ExpressionRule, Expressions};
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::Program;
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile, compile_with};
use cnx_waf::seclang::diagnostic::Diagnostic;
use cnx_waf::wire::{Request, pack_request};

use crate::text_and_value;

/// Longest argument of an operator that is tried. Unit: bytes.
const ARGUMENT_BYTES_MAX: usize = 200;
/// What a value goes through, by the second byte of an input.
const TRANSFORMATIONS: [&str; 8] = [
    "",
    ",t:lowercase",
    ",t:urlDecodeUni",
    ",t:urlDecodeUni,t:lowercase",
    ",t:htmlEntityDecode,t:removeNulls",
    ",t:removeWhitespace,t:lowercase",
    ",t:hexEncode",
    ",t:jsDecode,t:compressWhitespace,multiMatch",
];
/// Operators with a prefilter, by the first byte.
const OPERATORS: [&str; 8] = [
    "rx",
    "pm",
    "contains",
    "streq",
    "beginsWith",
    "endsWith",
    "within",
    "containsWord",
];

/// Rule files: no panic, and every error names a mend.
pub fn waf_seclang(bytes: &[u8]) {
    let files = [
        SourceFile {
            name: "f.conf",
            content: bytes,
        },
        SourceFile {
            name: "f.data",
            content: b"a\nb\n",
        },
    ];
    let _ = compiled(compile(&files, CompileOptions::default()));
}

/// An operator and a value: a rule that the prefilter may leave out matches exactly where the same rule does as a link of a chain, which is always looked at.
pub fn waf_rules(bytes: &[u8]) {
    let [operator, transformation, rest @ ..] = bytes else {
        return;
    };
    let Some((argument, value)) = text_and_value(rest) else {
        return;
    };
    // Lines, quotes and the end of the text are the reader's matter, which has a target of its own.
    if argument.len() > ARGUMENT_BYTES_MAX || argument.contains(['\n', '\r', '"']) || argument.ends_with('\\') {
        return;
    }
    let not = if operator & 0x80 == 0 { "" } else { "!" };
    let operator = OPERATORS[usize::from(*operator) % OPERATORS.len()];
    let actions = TRANSFORMATIONS[usize::from(*transformation) % TRANSFORMATIONS.len()];
    let text = format!(
        "SecRule REQUEST_HEADERS:X \"{not}@{operator} {argument}\" \"id:1,phase:1,pass,t:none{actions}\"\n\
         SecRule REQUEST_METHOD \"@streq GET\" \"id:2,phase:1,pass,t:none,chain\"\n\
         SecRule REQUEST_HEADERS:X \"{not}@{operator} {argument}\" \"t:none{actions}\"\n\
         SecRule REQUEST_HEADERS:X \"{not}@{operator} {argument}\" \"id:3,phase:2,pass,t:none{actions}\"\n"
    );
    let file = SourceFile {
        name: "f.conf",
        content: text.as_bytes(),
    };
    let Some(program) = compiled(compile(&[file], CompileOptions::default())) else {
        return;
    };
    let packed = pack_request(b"GET", b"/", b"HTTP/1.1", b"192.0.2.1", &[(b"x", value)], b"");
    let found = matches(program, &packed);
    assert!(found == [1, 2, 3] || found.is_empty(), "{text}{found:?}");
}

/// A WAF expression and a value: no panic, every error names a mend, what is printed is read as the same, and the prefilter leaves out nothing that is true.
pub fn waf_expression(bytes: &[u8]) {
    let Some((when, value)) = text_and_value(bytes) else {
        return;
    };
    if let Ok(condition) = parse(when) {
        let printed = condition.to_string();
        assert_eq!(parse(&printed).map(|c| c.to_string()).ok(), Some(printed));
    }
    let target = [b"/", value].concat();
    let fields: [(&[u8], &[u8]); 2] = [(b"host", value), (b"x", value)];
    let packed = pack_request(b"GET", &target, b"HTTP/1.1", b"192.0.2.1", &fields, value);
    let first = holds(when.to_owned(), &packed);
    // Nothing is required of what is negated, so this one is always looked at.
    if let Some(holds_anyway) = holds(format!("not (not ({when}))"), &packed) {
        assert!(first.is_none() || first == Some(holds_anyway));
    }
}

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
    let program = compiled(compile_with(&[], &expressions, CompileOptions::default()))?;
    Some(matches(program, packed).len() == 1)
}

/// Rules that report a request, each once, in their order.
fn matches(program: Program, packed: &[u8]) -> Vec<u32> {
    let profile = Profile::new(Arc::new(program), &ProfileOptions::default()).expect("a profile");
    let request = Request::unpack(packed).expect("a packed request");
    let mut transaction = Transaction::default();
    transaction.inspect(&profile, &request);
    let mut rules: Vec<u32> = transaction.reports().map(|r| r.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// A program, or errors of which each says what to do.
fn compiled(result: Result<Program, Vec<Diagnostic>>) -> Option<Program> {
    match result {
        Ok(program) => Some(program),
        Err(list) => {
            assert!(!list.is_empty());
            assert!(list.iter().all(|d| !d.message.is_empty() && !d.mend.is_empty()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TARGETS;

    fn seeds(name: &str) -> &'static [&'static [u8]] {
        TARGETS
            .iter()
            .find(|t| t.name == name)
            .expect("a target of this name")
            .seeds
    }

    #[test]
    fn expressions_to_begin_with_are_read_and_rule_files_compile() {
        for seed in seeds("waf_expression") {
            let (when, _) = text_and_value(seed).expect("an expression and a value");
            assert!(
                holds(when.to_owned(), &pack_request(b"GET", b"/", b"", b"", &[], b"")).is_some(),
                "{when}"
            );
        }
        for seed in seeds("waf_seclang") {
            let files = [
                SourceFile {
                    name: "f.conf",
                    content: seed,
                },
                SourceFile {
                    name: "f.data",
                    content: b"a\n",
                },
            ];
            let said = compile(&files, CompileOptions::default()).err();
            assert!(said.is_none(), "{}: {said:?}", seed.escape_ascii());
        }
    }
}

//! Of random expressions: they are true when a slow evaluator says so, what is printed means the same, the prefilter never leaves out
//! what is true, and nothing panics.

mod common;

use cnx_waf::expression::parser::parse;
use cnx_waf::expression::rule::Action;
use common::expressions::{Given, Running, program, rule};
use common::reference::is_true;
use proptest::prelude::*;

const TEXTS: &[&str] = &[
    "a", "A", "ab", "aB", "/a", "admin", "x-tag", "", "é", "%41", "\"\\", "a b",
];

fn one_of(list: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(list).prop_map(str::to_owned)
}

fn quoted() -> impl Strategy<Value = String> + Clone {
    let plain = |t: &str| format!("\"{}\"", t.replace('\\', "\\\\").replace('"', "\\\""));
    prop_oneof![
        prop::sample::select(TEXTS)
            .prop_filter("an empty string fits not everywhere", |t| !t.is_empty())
            .prop_map(plain),
        Just("r#\"a\"b\"#".to_owned()),
        Just("\"\\x61\\x42\"".to_owned()),
    ]
}

/// Strings: fields, and functions of them.
fn text(leaf: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> + Clone {
    leaf.prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|v| format!("lower({v})")),
            inner.clone().prop_map(|v| format!("upper({v})")),
            inner.clone().prop_map(|v| format!("url_decode({v})")),
            inner.clone().prop_map(|v| format!("url_decode({v}, \"ru\")")),
            inner.clone().prop_map(|v| format!("decode_base64({v})")),
            (inner.clone(), -3i64..4, -3i64..4).prop_map(|(v, a, b)| format!("substring({v}, {a}, {b})")),
            (inner.clone(), quoted()).prop_map(|(v, t)| format!("remove_bytes({v}, {t})")),
            (inner, quoted()).prop_map(|(v, t)| format!("concat({v}, {t})")),
        ]
    })
}

/// Comparisons of a string. `of_each` stands behind what a function gives.
fn compared(
    value: impl Strategy<Value = String> + Clone + 'static,
    of_each: &'static str,
) -> impl Strategy<Value = String> + Clone {
    let operator = one_of(&["eq", "ne", "contains", "starts_with", "ends_with", "==", "lt", ">="]);
    let pattern = one_of(&["(?i)ad.in", "^/a", "[ab]+$", "a|b", "\\\\bx", "."]);
    prop_oneof![
        4 => (value.clone(), operator, quoted()).prop_map(|(v, o, t)| format!("{v} {o} {t}")),
        1 => (value.clone(), prop::collection::vec(quoted(), 1..3)).prop_map(|(v, t)| format!("{v} in {{{}}}", t.join(" "))),
        1 => (value.clone(), pattern).prop_map(|(v, p)| format!("{v} matches \"{p}\"")),
        1 => (value.clone(), one_of(&["*a*", "/A*", "a\\\\*", "*"])).prop_map(|(v, p)| format!("{v} wildcard \"{p}\"")),
        1 => (value.clone(), 0u8..9).prop_map(move |(v, n)| format!("len({v}){of_each} gt {n}")),
        1 => value.prop_map(|v| format!("starts_with({v}, \"a\")")),
    ]
}

fn joined(leaf: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> + Clone {
    leaf.prop_recursive(3, 12, 3, |inner| {
        let join = one_of(&["and", "or", "xor", "&&", "||", "^^"]);
        prop_oneof![
            3 => (inner.clone(), join.clone(), inner.clone()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
            2 => (inner.clone(), join, inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            1 => inner.clone().prop_map(|a| format!("not ({a})")),
            1 => inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

const ARRAYS: &[&str] = &[
    "http.request.headers.values",
    "http.request.headers.names",
    "http.request.headers[\"X-Tag\"]",
    "http.request.uri.args[\"q\"]",
    "http.request.uri.args.values",
    "http.request.cookies.values",
];

fn expression() -> impl Strategy<Value = String> {
    let field = one_of(&[
        "http.request.path",
        "http.request.uri",
        "raw.http.request.uri.path",
        "http.host",
        "http.request.headers[\"x-tag\"][0]",
        "http.request.headers[\"x-tag\"][1]",
        "http.request.uri.args[\"q\"][0]",
        "lower(http.request.uri.args[\"q\"][*])[1]",
        "to_string(ip.src)",
    ]);
    let each = prop::sample::select(ARRAYS).prop_flat_map(|array| {
        // A function of each element is an array again.
        let values = prop_oneof![
            2 => Just(format!("{array}[*]")),
            1 => one_of(&["lower", "upper", "url_decode"]).prop_map(move |f| format!("{f}({array}[*])[*]")),
        ];
        (one_of(&["any", "all"]), joined(compared(values, "[*]"))).prop_map(|(f, c)| format!("{f}({c})"))
    });
    let other = one_of(&[
        "ssl",
        "ip.src in $office",
        "ip.src in {192.0.2.0/24 2001:db8::1}",
        "cidr(ip.src, 8, 8) eq 10.0.0.0",
        "http.request.path in $paths",
        "has_key(http.request.uri.args, \"q\")",
        "has_value(http.request.headers, \"a\")",
        "len(http.request.headers[\"x-tag\"]) in {1 3..4}",
        "http.request.body.size in $sizes",
        "http.request.body.raw contains \"ab\"",
        "any(http.request.body.form[\"q\"][*] contains \"a\")",
    ]);
    let leaf = prop_oneof![4 => compared(text(field), ""), 2 => each, 1 => other];
    joined(leaf.boxed()).prop_filter("within the bounds", |t| t.len() < 8000)
}

fn word() -> impl Strategy<Value = String> {
    one_of(&[
        "a",
        "A",
        "ab",
        "aB%41",
        "admin",
        "/a",
        "x",
        "",
        "caf%C3%A9",
        "YWI=",
        "%2541",
        "+",
    ])
}

fn given() -> impl Strategy<Value = Given> {
    let words = || prop::collection::vec(word(), 0..4).prop_map(|w| w.concat());
    let arguments = prop::collection::vec((one_of(&["q", "Q", "x"]), words()), 0..4);
    let headers = prop::collection::vec((one_of(&["x-tag", "X-Tag", "x-ab", "cookie"]), words()), 0..4);
    (words(), arguments, headers, words(), any::<bool>(), any::<bool>()).prop_map(
        |(path, arguments, headers, body, tls, form)| {
            let query: Vec<String> = arguments.iter().map(|(n, v)| format!("{n}={v}")).collect();
            let mut given = Given::get(&format!("/{path}?{}", query.join("&")));
            given.headers.extend(headers);
            given.tls = tls;
            if form {
                given.form(&format!("q={body}&admin={body}"))
            } else {
                given
            }
        },
    )
}

fn verdict(when: &str, given: &Given) -> bool {
    let mut running = Running::new(vec![rule(when, Action::Log)], &[]);
    let first = running.send(given).matches == 1;
    // The second time values are known already.
    assert_eq!(running.send(given).matches == 1, first, "{when}");
    first
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_means_the_same(when in expression(), given in given()) {
        let read = parse(&when).map_err(|f| TestCaseError::fail(format!("{when}: {f:?}")))?;
        let printed = read.to_string();
        let again = parse(&printed).map_err(|f| TestCaseError::fail(format!("{printed}: {f:?}")))?;
        prop_assert_eq!(again.to_string(), printed.clone());
        prop_assert_eq!(verdict(&when, &given), verdict(&printed, &given), "{} | {}", when, printed);
    }

    #[test]
    fn what_is_true_is_what_is_told_by_hand(when in expression(), given in given()) {
        let read = parse(&when).map_err(|f| TestCaseError::fail(format!("{when}: {f:?}")))?;
        prop_assert_eq!(verdict(&when, &given), is_true(&read, &given), "{}", when);
    }

    #[test]
    fn the_prefilter_leaves_out_nothing_that_is_true(when in expression(), given in given()) {
        // Nothing is required of what is negated, so this one is always looked at.
        let looked_at = format!("not (not ({when}))");
        prop_assert_eq!(verdict(&when, &given), verdict(&looked_at, &given), "{}", when);
    }

    #[test]
    fn nothing_panics_and_every_error_has_a_mend(text in "[ -~é\n]{0,60}", pieces in prop::collection::vec(one_of(&[
        "http.host", "eq", "\"a\"", "(", ")", "[", "]", "*", "and", "not", "in", "{", "}", "$office", "lower", "any", ",", "5", "..",
        "10.0.0.0/8", "!", "~", "ssl", "http.request.headers", "[\"x\"]", "[0]", "[*]", "strict", "wildcard", "r#", "-",
    ]), 0..12)) {
        for when in [text, pieces.join(" "), pieces.concat()] {
            if let Err(list) = program(vec![rule(&when, Action::Log)], &[]) {
                prop_assert!(!list.is_empty() && list.iter().all(|d| d.ends_with(')') && !d.ends_with("()")), "{when}: {list:?}");
            }
        }
    }
}

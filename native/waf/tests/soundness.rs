//! What the prefilter leaves out can never match, and hostile input never panics.

mod common;

use cnx_waf::bytes::ByteSet;
use cnx_waf::operator::{Expression, RegexCaches, Requirement};
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};
use cnx_waf::program::literals;
use cnx_waf::program::needs::Needs;
use common::Gateway;
use proptest::prelude::*;

/// Expressions made of everything that the literal extractor looks at.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("B".to_owned()),
        Just("ab".to_owned()),
        Just("abc".to_owned()),
        Just("'".to_owned()),
        Just("[ab]".to_owned()),
        Just("[^a]".to_owned()),
        Just(r"\d".to_owned()),
        Just(r"\s".to_owned()),
        Just(".".to_owned()),
        Just(r"\b".to_owned()),
        Just("^".to_owned()),
        Just("$".to_owned()),
        Just(r"\x27".to_owned()),
        Just("(?i)Ab".to_owned()),
        Just(r"\xe9".to_owned()),
        Just("[A-C]".to_owned()),
        Just("(?i:bC)".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|v| v.concat()),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|v| format!("(?:{})", v.join("|"))),
            inner.clone().prop_map(|p| format!("(?:{p})*")),
            inner.clone().prop_map(|p| format!("(?:{p})+?")),
            inner.clone().prop_map(|p| format!("({p})?")),
            inner.clone().prop_map(|p| format!("(?:{p}){{2}}")),
            inner.prop_map(|p| format!("(?:{p}){{1,3}}")),
        ]
    })
}

fn value() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        proptest::sample::select(vec![
            "a", "A", "b", "B", "c", "C", "abc", "'", " ", "1", "é", "%27", "%20", "x",
        ]),
        0..12,
    )
    .prop_map(|v| v.concat())
}

/// Rules as the prefilter sees them, and the same as links of a chain, which are never prefiltered.
fn both(operator: &str, transformations: &str, multi: bool) -> String {
    let multi = if multi { ",multiMatch" } else { "" };
    format!(
        "SecRule ARGS|ARGS_NAMES|REQUEST_HEADERS:X-Test \"{operator}\" \"id:1,pass,t:none{transformations}{multi}\"\n\
         SecRule REQUEST_METHOD \"!@streq none\" \"id:2,pass,chain\"\n\
         SecRule ARGS|ARGS_NAMES|REQUEST_HEADERS:X-Test \"{operator}\" \"t:none{transformations}{multi}\"\n"
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_rule_that_the_prefilter_leaves_out_does_not_match(
        pattern in pattern(),
        values in proptest::collection::vec(value(), 1..4),
        transformations in proptest::sample::select(vec!["", ",t:lowercase", ",t:urlDecodeUni", ",t:urlDecodeUni,t:uppercase", ",t:removeWhitespace,t:lowercase", ",t:hexEncode", ",t:compressWhitespace"]),
        multi in any::<bool>(),
        phrase in any::<bool>(),
        negated in any::<bool>(),
    ) {
        let operator = if phrase { "@pm ab BC 'x e9".to_owned() } else { format!("@rx {pattern}") };
        let operator = if negated { format!("!{operator}") } else { operator };
        let rules = both(&operator.replace('"', "\\\""), transformations, multi);
        let mut g = Gateway::rules(&rules);
        let query: Vec<String> = values.iter().map(|v| format!("q={}", v.replace(' ', "+"))).collect();
        let header = values[0].clone();
        g.get(&format!("/?{}", query.join("&")), &[("x-test", header.as_str())]);
        let ids = g.ids();
        prop_assert_eq!(ids.contains(&1), ids.contains(&2), "{} on {:?}", rules, values);
    }

    #[test]
    fn what_an_expression_requires_and_needs_is_in_all_that_it_matches(
        pattern in pattern(),
        anchored in any::<bool>(),
        values in proptest::collection::vec(value(), 1..8),
    ) {
        let pattern = if anchored { format!("^{pattern}") } else { pattern };
        let Ok((expression, hir)) = Expression::new(&pattern, false, false, &mut 0) else {
            return Ok(());
        };
        let (requirement, needs) = (literals::requirement(&hir), Needs::of(&hir));
        for value in values {
            let matches = expression.is_match(value.as_bytes(), &mut RegexCaches::default());
            let folded = value.to_ascii_lowercase();
            let has = |set: &[Vec<u8>]| set.iter().any(|l| memchr::memmem::find(folded.as_bytes(), l).is_some());
            if let Requirement::OneOf(set) = &requirement {
                prop_assert!(!matches || has(set), "{} requires {:?} of {:?}", pattern, set, value);
            }
            let present = ByteSet::present_in(value.as_bytes());
            prop_assert!(!matches || needs.allow(value.as_bytes(), &present), "{} needs {:?} of {:?}", pattern, needs, value);
        }
    }

    #[test]
    fn the_parser_never_panics_and_names_a_place(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "SecRule", "SecAction", "SecMarker", "SecDefaultAction", "SecRuleUpdateTargetById", "SecRuleRemoveById", " ", "\n", "\\\n", "\"", "'", "ARGS", "|", "!", "&",
            ":", "/", "@rx ", "@pm ", "@pmFromFile x", "@within %{tx.a}", "%{", "}", "id:", "1", "2", ",", "phase:1", "phase:9", "deny", "chain", "t:none", "t:lowercase", "setvar:tx.a=+1",
            "skipAfter:X", "skip:3", "ctl:ruleRemoveById=1-", "msg:'", "(", ")", "[", "\u{e9}", "#", "<", "(?=a)", "a{9999999}", "multiMatch", "capture",
        ]), 0..40)
    ) {
        let text = words.concat();
        let files = [SourceFile { name: "f.conf", content: text.as_bytes() }];
        if let Err(list) = compile(&files, CompileOptions::default()) {
            prop_assert!(!list.is_empty());
            prop_assert!(list.iter().all(|d| !d.message.is_empty() && !d.mend.is_empty()));
        }
    }

    #[test]
    fn rule_files_of_any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let files = [SourceFile { name: "f.conf", content: &bytes }, SourceFile { name: "x.data", content: &bytes }];
        let _ = compile(&files, CompileOptions::default());
    }
}

#[test]
fn no_packed_bytes_and_no_request_make_the_engine_panic() {
    let g = std::cell::RefCell::new(Gateway::new(&common::demo()));
    let config = ProptestConfig::with_cases(400);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let piece = proptest::sample::select(vec![
        "a", "=", "&", "%", "%u0041", "+", "?", "/", "..", "<script", "'", "\"", ";", "\\x41", "&#x3c;", "{\"a\":",
        "[", "]", "}", "--B", "\r\n", "\u{e9}", "\0", "select", " or 1=1", "/*", "*/", "\\", "Zm9v",
    ]);
    let text = proptest::collection::vec(piece, 0..60).prop_map(|v| v.concat());
    let kind = proptest::sample::select(vec![
        "application/x-www-form-urlencoded",
        "application/json",
        "text/xml",
        "multipart/form-data; boundary=B",
        "text/plain",
        "",
    ]);
    runner
        .run(
            &(text.clone(), text.clone(), text, kind),
            |(target, header, body, kind)| {
                let outcome = g.borrow_mut().send(
                    "POST",
                    &target,
                    &[("content-type", kind), ("x", &header), ("cookie", &header)],
                    body.as_bytes(),
                );
                prop_assert!(outcome.work < 50_000_000);
                Ok(())
            },
        )
        .unwrap();
    runner
        .run(&proptest::collection::vec(any::<u8>(), 0..200), |bytes| {
            let _ = cnx_waf::wire::Request::unpack(&bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_is_known_of_values_changes_no_verdict() {
    // One engine that has seen everything before, one that begins anew each time, and one whose memory others use up in between.
    let files = common::demo();
    let engines = std::cell::RefCell::new([Gateway::new(&files), Gateway::new(&files), Gateway::new(&files)]);
    let piece = proptest::sample::select(vec![
        "a",
        "=",
        "&",
        "%27",
        "+",
        "?",
        "/",
        "../",
        "<script>",
        "'",
        "\"",
        ";",
        "cat",
        "select ",
        " or 1=1--",
        "$(id)",
        "nikto",
        "\x01",
        "x.php",
    ]);
    let text = proptest::collection::vec(piece, 0..8).prop_map(|v| v.concat());
    let method = proptest::sample::select(vec!["GET", "POST", "PROPFIND"]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1000));
    runner
        .run(
            &(method, text.clone(), text.clone(), text),
            |(method, query, header, body)| {
                let [warm, new, crowded] = &mut *engines.borrow_mut();
                new.transaction.forget();
                for i in 0..4 {
                    let filler = format!("{header}{i}").repeat(200);
                    crowded.send("GET", "/", &[("host", "a"), ("x", &filler)], b"");
                }
                let headers = [
                    ("host", "a"),
                    ("content-type", "application/x-www-form-urlencoded"),
                    ("user-agent", header.as_str()),
                    ("cookie", header.as_str()),
                ];
                let target = format!("/?{query}");
                let seen = [warm, new, crowded].map(|g| {
                    let o = g.send(method, &target, &headers, body.as_bytes());
                    (o.verdict, o.score, o.matches, g.ids(), g.variables(), g.messages())
                });
                prop_assert_eq!(&seen[0], &seen[1]);
                prop_assert_eq!(&seen[0], &seen[2]);
                Ok(())
            },
        )
        .unwrap();
}

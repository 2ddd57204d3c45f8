//! Known answers of expressions that no automaton can do, and of PCRE's way to write.

use super::matcher::{Scratch, search};
use super::*;

/// The groups of the first match.
fn ask(pattern: &str, value: &str) -> Option<Vec<Option<String>>> {
    let tree = parse(pattern, false, false).unwrap_or_else(|p| panic!("{pattern}: {}", p.message));
    let program = Program::new(&tree).unwrap_or_else(|p| panic!("{pattern}: {}", p.message));
    let mut scratch = Scratch::default();
    let found = search(&program, value.as_bytes(), 0, &mut scratch, &mut 0).expect("few steps");
    found.then(|| scratch.groups().map(|g| g.map(|r| value[r].to_owned())).collect())
}

#[test]
fn what_no_automaton_can_do_is_done() {
    for (pattern, value, whole) in [
        (r"<\?(?!xml)", "<?xml <?php", Some("<?")),
        (r"<\?(?!xml)", "<?xml", None),
        (r"(?<!a|bc)x", "ax bcx", None),
        (r"(?<!a|bc)x", "cx", Some("x")),
        (r"(?<=\$)\d+", "1 $23", Some("23")),
        (r"(\w+)\s\1", "the the", Some("the the")),
        (r"(?i)(a)\1", "aA", Some("aA")),
        (r"\b(\w+)=(?!\b\1\b)\w+", "a=a b=c", Some("b=c")),
        (r"a++b", "aaab", Some("aaab")),
        (r"a++ab", "aaab", None),
        (r"(?>a|ab)c", "abc", None),
        (r"(?>ab|a)c", "abc", Some("abc")),
        (r"(a*)*b", "aaac", None),
        (r"(?:a*?)*?b", "aab", Some("aab")),
        (r"^(?=.*\d)(?=.*[a-z]).{3,}$", "ab1", Some("ab1")),
        (r"^(?=.*\d)(?=.*[a-z]).{3,}$", "abc", None),
        (r"(?=(ab))a", "ab", Some("a")),
        (r"x{,3}", "x{,3}", Some("x{,3}")),
        (r"{{.*?}}", "a{{b}}", Some("{{b}}")),
        (r"a{2}{3}", "aaaaaa", Some("aaaaaa")),
        (r"[[a]+", "[a[", Some("[a[")),
        (r"[]a]+", "]a", Some("]a")),
        (r"[^]a]", "]ab", Some("b")),
        (r"[a\]]+", "a]", Some("a]")),
        (r"[\w-]+", "a-b", Some("a-b")),
        (r"[[:alpha:][:digit:]]+", "-a1-", Some("a1")),
        (r"\h+", "a \tb", Some(" \t")),
        (r"\Qa.b\E+", "a.bb", Some("a.bb")),
        (r"\x41\101\cA?", "AA", Some("AA")),
        ("a(?#comment)b", "ab", Some("ab")),
        ("(?x) a b # c\n c", "abc", Some("abc")),
        (r"a\Z", "a\n", Some("a")),
        (r"(?<n>a)\k<n>\g{-1}\g1", "aaaa", Some("aaaa")),
        (r"\R", "\r\n", Some("\r\n")),
        ("é+", "éé", Some("é")),
    ] {
        let found = ask(pattern, value).map(|groups| groups[0].clone().unwrap_or_default());
        assert_eq!(found.as_deref(), whole, "{pattern} on {value}");
    }
    let groups = ask(r"(?:(a)|b)(?=(c))(?!(d))", "bc").unwrap();
    assert_eq!(groups, [Some("b".into()), None, Some("c".into()), None]);
}

#[test]
fn what_is_no_expression_is_an_error() {
    for pattern in [
        "(",
        ")",
        "[a",
        "*a",
        "a{3,1}",
        r"\1",
        "(?P>x)",
        "(?R)",
        "(?|a)",
        "(*ANY)",
        r"\Ka",
        r"\p{L}",
        "[z-a]",
        "(?<=a+)b",
        r"\x{100}",
        "(?<n",
        "a{2}}}(",
        "[[:nope:]]",
        r"\",
        "(?(1)a)",
    ] {
        let made = parse(pattern, false, false).and_then(|t| Program::new(&t).map(drop));
        assert!(made.is_err_and(|p| !p.mend.is_empty()), "{pattern}");
    }
}

#[test]
fn hostile_values_end() {
    for (pattern, unit) in [
        (r"(a+)+\1b", "a"),
        (r"(?=(.*a){5})(a|aa)+$\1", "a"),
        (r"(x+x+)+(?!z)y", "x"),
    ] {
        let tree = parse(pattern, false, false).unwrap();
        let program = Program::new(&tree).unwrap();
        let value = unit.repeat(20_000);
        let mut work = 0;
        let _ = search(&program, value.as_bytes(), 0, &mut Scratch::default(), &mut work);
        assert!(work < 12_000_000, "{pattern}: {work}");
    }
}

mod property {
    use super::*;
    use proptest::prelude::*;

    fn pattern() -> impl Strategy<Value = String> {
        let leaf = proptest::sample::select(vec![
            "a", "b", "[ab]", "[^a]", ".", r"\b", "^", "$", r"\w", "{", "}", "]", "é", r"\x41",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..4).prop_map(|v| v.concat()),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(?:{a}|{b})")),
                (
                    inner.clone(),
                    proptest::sample::select(vec!["*", "+", "?", "*?", "{2}", "{1,2}", "{1,}?"])
                )
                    .prop_map(|(a, q)| format!("(?:{a}){q}")),
                inner.clone().prop_map(|a| format!("({a})")),
                inner.clone().prop_map(|a| format!("(?={a})")),
                inner.clone().prop_map(|a| format!("(?!{a})")),
                inner.prop_map(|a| format!("(?>{a})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn the_automaton_matches_wherever_the_tree_does(pattern in pattern(), value in "[abA {}é]{0,8}") {
            let tree = parse(&pattern, false, false).unwrap();
            let program = Program::new(&tree).unwrap();
            let mut scratch = Scratch::default();
            let Ok(found) = search(&program, value.as_bytes(), 0, &mut scratch, &mut 0) else { return Ok(()) };
            let regex = regex_automata::meta::Regex::builder()
                .configure(regex_automata::meta::Config::new().utf8_empty(false))
                .build_from_hir(&hir(&tree))
                .unwrap();
            let simple = regex.find(value.as_bytes());
            prop_assert!(!found || simple.is_some(), "{}", pattern);
            if !tree.special {
                // Rounds of a loop that take nothing end it in Perl and not in an automaton, so ends may differ.
                let ours = found.then(|| scratch.groups().next().flatten()).flatten();
                prop_assert_eq!(simple.map(|m| m.start()), ours.map(|g| g.start), "{} on {}", pattern, value);
            }
        }
    }

    /// What `regex-syntax` reads as PCRE does.
    fn shared() -> impl Strategy<Value = String> {
        let leaf = proptest::sample::select(vec![
            "a",
            "B",
            "-",
            "ab",
            "[ab]",
            "[^a]",
            "[b-dX]",
            r"[\w-]",
            r"[^\s\x00-\x1f]",
            ".",
            r"\b",
            r"\B",
            "^",
            "$",
            r"\w",
            r"\D",
            r"\x41",
            r"\n",
            r"\.",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(5, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..5).prop_map(|v| v.concat()),
                proptest::collection::vec(inner.clone(), 1..5).prop_map(|v| format!("(?:{})", v.join("|"))),
                (
                    inner.clone(),
                    proptest::sample::select(vec!["*", "+", "?", "*?", "{2}", "{1,2}", "{1,}?", "{0}"])
                )
                    .prop_map(|(a, q)| format!("(?:{a}){q}")),
                inner.clone().prop_map(|a| format!("({a})")),
                inner.clone().prop_map(|a| format!("(?i:{a})")),
                inner.clone().prop_map(|a| format!("(?-s:{a})")),
                inner.prop_map(|a| format!("(?m)(|{a})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn the_automaton_is_that_of_regex_syntax_where_both_read_alike(pattern in shared(), ignore_case: bool, multi_line: bool) {
            let tree = parse(&pattern, ignore_case, multi_line).unwrap();
            let config = regex_automata::util::syntax::Config::new()
                .unicode(false)
                .utf8(false)
                .dot_matches_new_line(true)
                .multi_line(multi_line)
                .case_insensitive(ignore_case);
            let other = regex_automata::util::syntax::parse_with(&pattern, &config).unwrap();
            prop_assert_eq!(hir(&tree), other, "{}", pattern);
        }
    }
}

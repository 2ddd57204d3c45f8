//! Known answers of every operator.

use super::*;

/// Runs an operator on a value; the groups as text.
fn ask(name: &str, argument: &str, value: &[u8]) -> (bool, Vec<String>) {
    let phrases: &[u8] = b"# comment\nAlpha\n\nbeta gamma\n";
    let networks: &[u8] = b"10.0.0.0/8\n# x\n::1\n";
    let data = move |n: &str| match n {
        "phrases.data" => Some(phrases),
        "networks.data" => Some(networks),
        _ => None,
    };
    let mut expressions = 0;
    let mut recipe = Recipe {
        argument,
        has_macros: false,
        data: &data,
        dataset: &data,
        expressions: &mut expressions,
        multi_line: false,
    };
    let op = by_name(name)
        .unwrap()
        .build(&mut recipe)
        .unwrap_or_else(|p| panic!("{name} {argument}: {}", p.message));
    let (mut groups, mut caches, mut work) = (Groups::default(), RegexCaches::default(), 0);
    let mut probe = Probe {
        value,
        argument: b"",
        capture: true,
        groups: &mut groups,
        caches: &mut caches,
        work: &mut work,
    };
    let hit = op.matches(&mut probe);
    let parts = groups.all().iter().map(|r| &value[r.clone()]);
    let found = groups
        .said()
        .into_iter()
        .chain(parts)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect();
    if hit && let Requirement::OneOf(set) = op.requirement() {
        let folded = value.to_ascii_lowercase();
        assert!(
            set.iter().any(|l| memchr::memmem::find(&folded, l).is_some()),
            "{name} {argument} matched without its requirement"
        );
    }
    (hit, found)
}

#[test]
fn operators_give_the_known_answers() {
    let table: &[(&str, &str, &[u8], bool)] = &[
        ("rx", "^a.c$", b"a\nc", true),
        ("rx", "(?i)SELECT", b"xselect", true),
        ("rx", r"[^\x00-\x7f]", b"\xff", true),
        ("rx", r"\x{41}", b"A", true),
        ("rx", "^b", b"a\nb", false),
        ("rx", r"<\?(?!xml)", b"<?xml <?php", true),
        ("rx", r"<\?(?!xml)", b"<?xml", false),
        ("rx", r"(\w+)=\1", b"a=ab c=d", true),
        ("rx", r"(?i)x{{é", "X{{é".as_bytes(), true),
        ("pm", "one two", b"xTWOx", true),
        ("pm", "one two", b"three", false),
        ("pm", "a|4142|b", b"aABb", true),
        ("pm", "x|41 42 20|y", b"xab y", true),
        ("pm", r"a\:b c\;d", b"c;d", true),
        ("pm", r"a\q", br"a\q", true),
        ("pm", "a|b", b"a|b", true),
        ("pmFromDataset", "phrases.data", b"alpha", true),
        ("ipMatchFromDataset", "networks.data", b"::1", true),
        ("geoLookup", "", b"192.0.2.1", false),
        ("rbl", "dnsbl.httpbl.org", b"192.0.2.1", false),
        ("restpath", "/users/{id}/x", b"/api/users/5/x", true),
        ("restpath", "/users/{id}/x", b"/users/5/6/x", false),
        ("verifyCC", r"\d{13,16}", b"card 4532015112830366", true),
        ("verifyCC", r"\d{13,16}", b"card 4532015112830367", false),
        ("verifyCC", r"(?<!\d)\d{16}(?!\d)", b"94532015112830366", false),
        ("verifySSN", r"\d{3}-?\d{2}-?\d{4}", b"ssn 078-05-1120", true),
        ("verifySSN", r"\d{3}-?\d{2}-?\d{4}", b"ssn 666-05-1120", false),
        ("verifyCPF", r"[\d.-]{11,14}", b"529.982.247-25", true),
        ("verifyCPF", r"[\d.-]{11,14}", b"529.982.247-26", false),
        ("verifySVNR", r"\d{10}", b"1237010180", true),
        ("verifySVNR", r"\d{10}", b"1238010180", false),
        ("validateNid", r"cl [0-9.]{7,10}-[0-9Kk]", b"rut 11.222.333-9", true),
        ("validateNid", r"cl [0-9.]{7,10}-[0-9Kk]", b"rut 11.222.333-8", false),
        ("validateNid", r"us \d{9}", b"078051120", true),
        ("pmFromFile", "phrases.data", b"..ALPHA..", true),
        ("pmf", "phrases.data", b"BETA gamma", true),
        ("pmf", "phrases.data", b"beta", false),
        ("contains", "b c", b"ab cd", true),
        ("contains", "B", b"abc", false),
        ("containsWord", "cat", b"a cat.", true),
        ("containsWord", "cat", b"concat cats", false),
        ("containsWord", "cat", b"cat9", true),
        ("beginsWith", "ab", b"abc", true),
        ("beginsWith", "bc", b"abc", false),
        ("endsWith", "bc", b"abc", true),
        ("endsWith", "abcd", b"abc", false),
        ("streq", "abc", b"abc", true),
        ("streq", "abc", b"Abc", false),
        ("strmatch", "b", b"abc", true),
        ("within", "GET HEAD POST", b"HEAD", true),
        ("within", "GET HEAD POST", b"PUT", false),
        ("within", "GET", b"", true),
        ("eq", "5", b"5", true),
        ("eq", "0", b"abc", true),
        ("eq", "0", b"", true),
        ("ge", "5", b"5", true),
        ("gt", "5", b"5", false),
        ("le", "5", b"6", false),
        ("lt", "5", b"-6", true),
        ("ipMatch", "192.168.0.0/16,10.1.2.3", b"192.168.4.5", true),
        ("ipMatch", "192.168.0.0/16,10.1.2.3", b"10.1.2.4", false),
        ("ipMatch", "2001:db8::/33", b"2001:db8:7fff::1", true),
        ("ipMatch", "2001:db8::/33", b"2001:db8:8000::1", false),
        ("ipMatch", "0.0.0.0/0", b"1.2.3.4", true),
        ("ipMatch", "10.0.0.0/8", b"::ffff:10.1.2.3", true),
        ("ipMatch", "10.0.0.0/8", b"not an address", false),
        ("ipMatchFromFile", "networks.data", b"10.9.9.9", true),
        ("ipMatchF", "networks.data", b"::2", false),
        ("validateByteRange", "32-126,9", b"a\tb", false),
        ("validateByteRange", "32-126,9", b"a\nb", true),
        ("validateUrlEncoding", "", b"%41%zz", true),
        ("validateUrlEncoding", "", b"%41%4", true),
        ("validateUrlEncoding", "", b"%41", false),
        ("validateUtf8Encoding", "", "é€😀a".as_bytes(), false),
        ("validateUtf8Encoding", "", b"\xc0\xaf", true),
        ("validateUtf8Encoding", "", b"\xed\xa0\x80", true),
        ("validateUtf8Encoding", "", b"a\xe2\x82", true),
        ("detectSQLi", "", b"1' or '1'='1", true),
        ("detectSQLi", "", b"it's fine", false),
        ("detectXSS", "", b"<svg/onload=a>", true),
        ("detectXSS", "", b"a < b", false),
        ("unconditionalMatch", "", b"", true),
        ("noMatch", "", b"x", false),
    ];
    for (name, argument, value, want) in table {
        assert_eq!(
            ask(name, argument, value).0,
            *want,
            "@{name} {argument} on {:?}",
            String::from_utf8_lossy(value)
        );
    }
}

#[test]
fn groups_are_captured() {
    assert_eq!(ask("rx", "(a)(x)?(b)", b"zab").1, ["ab", "a", "", "b"]);
    assert_eq!(ask("rx", r"(a+)(?=(b))", b"zaab").1, ["aa", "aa", "b"]);
    assert_eq!(ask("rxGlobal", "(a)(.)", b"abxac").1, ["ab", "a", "b", "ac", "a", "c"]);
    assert_eq!(ask("pm", "foo bar", b"xBARx").1, ["BAR"]);
    assert_eq!(ask("detectSQLi", "", b"1' or '1'='1").1, ["s&sos"]);
    assert_eq!(ask("detectXSS", "", b"x <script").1, ["x <script"]);
}

#[test]
fn wrong_arguments_are_errors() {
    for (name, argument) in [
        ("rx", "(a"),
        ("rx", "(?R)"),
        ("pmFromFile", "absent.data"),
        ("ipMatch", "10.0.0.0/40"),
        ("ipMatch", "x"),
        ("validateByteRange", "1-300"),
        ("validateByteRange", "a"),
        ("unconditionalMatch", "x"),
        ("pm", ""),
        ("eq", ""),
        ("rbl", "sbl.example.org"),
        ("validateNid", "fr x"),
        ("validateNid", "cl"),
        ("restpath", "/{id"),
        ("restpath", "/{a}/{a}"),
        ("pmFromDataset", "none"),
        ("verifyCC", "("),
    ] {
        let data = |_: &str| None;
        let mut expressions = 0;
        let mut recipe = Recipe {
            argument,
            has_macros: false,
            data: &data,
            dataset: &data,
            expressions: &mut expressions,
            multi_line: false,
        };
        let made = by_name(name).unwrap().build(&mut recipe);
        assert!(made.is_err_and(|p| !p.mend.is_empty()), "@{name} {argument}");
    }
    assert!(by_name("inspectFile").is_err());
    assert_eq!(by_name("pmFromFil").err().unwrap().mend, "did you mean pmFromFile?");
}

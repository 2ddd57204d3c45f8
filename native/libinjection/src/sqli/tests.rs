//! Known answers, and what must hold for all values.

use proptest::prelude::*;

use super::*;

fn print(value: &str) -> Option<String> {
    let found = detect(value.as_bytes()).fingerprint?;
    Some(String::from_utf8_lossy(found.as_bytes()).into_owned())
}

#[test]
fn attacks_have_the_known_fingerprints() {
    for (value, want) in [
        ("1 OR 1=1", "1&1"),
        ("1' OR '1'='1", "s&sos"),
        ("\" or \"\"=\"", "s&sos"),
        ("1 UNION SELECT 1,2", "1UE1"),
        ("-1 union all select user from password", "1UEnk"),
        ("1;drop table users", "1;Tnn"),
        ("admin'--", "sc"),
        ("1/*!union*/", "X"),
        ("1--", "1c"),
        ("1 /* a */ -- sp_password", "1c"),
        ("foo' + 'bar", "sos"),
        ("sleep(5)", "f(1)"),
        ("1 in (select 1)", "1o(E1"),
    ] {
        assert_eq!(print(value).as_deref(), Some(want), "{value}");
    }
}

#[test]
fn ordinary_text_is_no_attack() {
    for value in [
        "",
        "a",
        "42",
        "running shoes",
        "it's fine",
        "rock 'n' roll",
        "1 union",
        "fish and chips",
        "2024-01-31T12:00:00Z",
        "https://example.com/a/b?c=d&e=f",
        "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
        "#hashtag",
        "admin'#",
        "a -- b",
    ] {
        assert_eq!(print(value), None, "{value}");
    }
}

/// Values of word bytes alone: names, numbers and the words of the table joined.
fn word_bytes() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = include_str!("../../data/words.txt")
        .lines()
        .filter_map(|l| Some(l.split_once(' ')?.1.as_bytes()))
        .filter(|w| !w.iter().copied().any(is_needed))
        .collect();
    let piece = prop_oneof![
        proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        proptest::sample::select(vec![
            "0x", "0b", "0b2", "1e", "1f", "0b0", "9", "1e5", "q", "x", "_", "\u{e9}"
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>().prop_filter("a word byte", |b| !is_needed(*b)), 1..4),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|v| v.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn nothing_is_found_without_a_byte_that_is_needed(value in word_bytes()) {
        prop_assert_eq!(detect(&value).fingerprint, None);
    }

    #[test]
    fn any_bytes_are_answered_in_five_readings(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let answer = detect(&value);
        prop_assert!(answer.bytes_read <= 5 * value.len() as u64);
    }
}

//! Known answers, and what must hold for all values.

use proptest::prelude::*;

use super::*;

#[test]
fn attacks_are_found_in_every_context() {
    for value in [
        "<script>alert(1)</script>",
        "<SCR\0IPT>",
        "<svg/onload=alert(1)>",
        "<img src=x onerror=alert(1)>",
        "x onclick=alert(1)",
        "' onfocus=alert(1) autofocus x='",
        "\"><iframe src=//a>",
        "` onmouseover=a",
        "<a href=\"  javascript:alert(1)\">",
        "<a href=&#x6A;ava&#115;cript:a>",
        "<div style=\"a\">",
        "<!DOCTYPE a>",
        "<!--[if IE]>",
        "<?import a>",
        "<!ENTITY a>",
        "<% ` %>",
        "<set attributename=onclick>",
        "<a xmlns:b=c>",
        "</a b><script",
    ] {
        assert!(detect(value.as_bytes()).found, "{value}");
    }
}

#[test]
fn ordinary_text_is_no_attack() {
    for value in [
        "",
        "a < b",
        "a=b&c=d",
        "<b>bold</b> and <a href=\"https://example.com/\">a link</a>",
        "if (a<b) x = 1;",
        "<!-- a comment -->",
        "<img src='a.png' alt=\"b\">",
        "one=1",
    ] {
        assert!(!detect(value.as_bytes()).found, "{value}");
    }
}

/// HTML with none of the bytes without which nothing is found.
fn without_needed() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "script",
            "onload",
            "'",
            "\"",
            "`",
            ">",
            "/",
            " ",
            "javascript:",
            "href",
            "!--",
            "!DOCTYPE",
            "?",
            "%",
            "\0"
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>().prop_filter("not needed", |b| !is_needed(*b)), 1..4),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|v| v.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn nothing_is_found_without_a_byte_that_is_needed(value in without_needed()) {
        // The tokens are looked at without the shortcut.
        for context in Context::ALL {
            prop_assert!(!is_attack(&mut Tokenizer::new(&value, context)));
        }
    }

    #[test]
    fn any_bytes_are_answered_in_five_contexts(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(detect(&value).bytes_read <= 5 * value.len() as u64);
    }

    #[test]
    fn a_context_whose_quote_is_missing_finds_nothing(value in without_needed(), tail in "[a-z<=> ]{0,20}") {
        let value = [&value[..], tail.as_bytes()].concat();
        for context in Context::ALL {
            if context.quote().is_some_and(|q| !value.contains(&q)) {
                prop_assert!(!is_attack(&mut Tokenizer::new(&value, context)));
            }
        }
    }
}

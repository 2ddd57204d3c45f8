//! URLs that run programs, however their scheme is written.

/// How the schemes begin that do. `JAVA` is `javascript:` and `java:`.
const SCHEMES: [&[u8]; 4] = [b"DATA", b"VIEW-SOURCE", b"JAVA", b"VBSCRIPT"];
/// The largest number of a character reference.
const REFERENCE_MAX: u32 = 0x10_00ff;

/// A URL whose scheme runs programs or shows what they are made of.
pub(super) fn is_bad(url: &[u8]) -> bool {
    // Bytes above ASCII are skipped too: some browsers take white space of other encodings for such.
    let begin = url.iter().position(|b| matches!(b, 33..=126)).unwrap_or(url.len());
    SCHEMES.iter().any(|scheme| begins(&url[begin..], scheme))
}

/// Whether a text begins with a word when its character references are read and what browsers skip is left out.
fn begins(mut text: &[u8], word: &[u8]) -> bool {
    let mut left = word;
    let mut blank = true;
    while !left.is_empty() && !text.is_empty() {
        let (character, len) = character(text);
        text = &text[len..];
        if blank && character <= 32 {
            continue;
        }
        blank = false;
        if matches!(character, 0 | 10) {
            continue;
        }
        // The number is cut to a byte, as some browsers did.
        let byte = if character < 128 {
            (character as u8).to_ascii_uppercase()
        } else {
            character as u8
        };
        if byte != left[0] {
            return false;
        }
        left = &left[1..];
    }
    left.is_empty()
}

/// The first character of a text that is not empty, and how many bytes it takes. Named references are not read, and what is wrong in a
/// reference is a `&`.
fn character(text: &[u8]) -> (u32, usize) {
    const AMPERSAND: (u32, usize) = (b'&' as u32, 1);
    let Some(rest) = text.strip_prefix(b"&#") else {
        return (u32::from(text[0]), 1);
    };
    let (radix, from) = match rest.first() {
        Some(b'x' | b'X') => (16, 3),
        _ => (10, 2),
    };
    let mut number = 0;
    for (at, b) in text.iter().enumerate().skip(from) {
        let Some(digit) = char::from(*b).to_digit(radix) else {
            return match at {
                _ if at == from => AMPERSAND,
                _ if *b == b';' => (number, at + 1),
                _ => (number, at),
            };
        };
        number = number * radix + digit;
        if number > REFERENCE_MAX {
            return AMPERSAND;
        }
    }
    if text.len() == from {
        AMPERSAND
    } else {
        (number, text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_browsers_do() {
        for (text, want) in [
            ("a", (97, 1)),
            ("&", (38, 1)),
            ("&#", (38, 1)),
            ("&#x", (38, 1)),
            ("&#;", (38, 1)),
            ("&#106", (106, 5)),
            ("&#106;a", (106, 6)),
            ("&#106a", (106, 5)),
            ("&#x6A;", (106, 6)),
            ("&#x0000006ag", (106, 11)),
            ("&#1048832;", (38, 1)),
            ("&amp;", (38, 1)),
        ] {
            assert_eq!(character(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn schemes_are_seen_through_what_browsers_skip() {
        for url in [
            "javascript:alert(1)",
            " \u{a0}jAvA",
            "j\0a\nva",
            "&#106;&#x61;va",
            "&#9;data:",
            "view-source:x",
            "vbscript",
        ] {
            assert!(is_bad(url.as_bytes()), "{url:?}");
        }
        for url in ["", "jav", "https://java", "j\ta\tva", "&colon;java"] {
            assert!(!is_bad(url.as_bytes()), "{url:?}");
        }
    }
}

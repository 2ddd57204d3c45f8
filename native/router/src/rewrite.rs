//! Rewriting of paths by regular expressions: linear in the length of the path, compiled when the configuration is.
//!
//! A path comes percent-encoded in its canonical form. The expression sees it decoded, as the expressions of routes do; what it does not match and what its
//! groups hold goes into the result as it was encoded, so that an escaped delimiter stays escaped (RFC 3986 §2.2). The text of a replacement is written decoded.

use crate::{REWRITE_BYTES_MAX, REWRITE_MATCHES_MAX, REWRITE_NFA_BYTES_MAX, REWRITE_RESULT_BYTES_MAX};
use regex_automata::meta::Regex;
use regex_automata::util::{captures::Captures, syntax};
use std::borrow::Cow;
use std::ops::Range;

/// Deepest nesting of groups.
const NEST_MAX: u32 = 64;

/// A part of a replacement.
enum Part {
    /// Percent-encoded.
    Text(Vec<u8>),
    /// A group by its number.
    Group(usize),
}

/// An expression and what takes the place of each of its matches.
pub struct PathRewrite {
    regex: Regex,
    parts: Vec<Part>,
}

/// What became of a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// The expression does not match: the path stays.
    Unchanged,
    /// The path, percent-encoded. The caller checks its form.
    Path(Vec<u8>),
    /// Longer than a path may be, or more matches than are replaced.
    TooLong,
}

impl PathRewrite {
    /// Compiles an expression and its replacement; the error says the mend.
    ///
    /// # Errors
    /// When the expression is malformed, too large or not linear, or the replacement names a group that is not there or holds what a path cannot.
    pub fn new(pattern: &str, replacement: &str) -> Result<Self, String> {
        for (what, text) in [("expression", pattern), ("replacement", replacement)] {
            if text.len() > REWRITE_BYTES_MAX {
                return Err(format!(
                    "the {what} has {} bytes; at most {REWRITE_BYTES_MAX} are allowed",
                    text.len()
                ));
            }
        }
        let regex = Regex::builder()
            .syntax(syntax::Config::new().nest_limit(NEST_MAX))
            .configure(
                Regex::config()
                    .nfa_size_limit(Some(REWRITE_NFA_BYTES_MAX))
                    .hybrid_cache_capacity(REWRITE_NFA_BYTES_MAX),
            )
            .build(pattern)
            .map_err(|e| match e.syntax_error() {
                Some(error) => error.to_string(),
                None => format!("the expression is too large ({e}); use smaller repetition counts"),
            })?;
        let parts = parse(replacement, &regex)?;
        Ok(Self { regex, parts })
    }

    /// The path with every match replaced.
    #[must_use]
    pub fn apply(&self, encoded: &[u8]) -> Rewritten {
        let path = Decoded::of(encoded);
        let mut found = self.regex.create_captures();
        let mut out = Vec::new();
        let mut kept = 0;
        let mut matched = false;
        for (number, captures) in self.regex.captures_iter(path.text.as_ref()).enumerate() {
            found.clone_from(&captures);
            let Some(span) = found.get_match().map(|m| m.range()) else {
                continue;
            };
            // An empty match at the end of what `.*` has taken is no second one to whoever wrote it.
            if number > 0 && span.is_empty() {
                continue;
            }
            matched = true;
            out.extend_from_slice(&encoded[path.place(kept)..path.place(span.start)]);
            self.expand(&path, encoded, &found, &mut out);
            // Looking for all matches is linear for each of them.
            if out.len() > REWRITE_RESULT_BYTES_MAX || number >= REWRITE_MATCHES_MAX {
                return Rewritten::TooLong;
            }
            kept = span.end;
        }
        if !matched {
            return Rewritten::Unchanged;
        }
        out.extend_from_slice(&encoded[path.place(kept)..]);
        if out.len() > REWRITE_RESULT_BYTES_MAX {
            Rewritten::TooLong
        } else {
            Rewritten::Path(out)
        }
    }

    fn expand(&self, path: &Decoded<'_>, encoded: &[u8], found: &Captures, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(number) => {
                    let Some(Range { start, end }) = found.get_group(*number).map(|g| g.range()) else {
                        continue;
                    };
                    out.extend_from_slice(&encoded[path.place(start)..path.place(end)]);
                }
            }
        }
    }
}

/// A path without its escapes, and where each of its bytes stood.
struct Decoded<'a> {
    text: Cow<'a, [u8]>,
    /// Places in the encoded path, one for each byte and one for the end; empty when nothing is escaped.
    places: Vec<u32>,
}

impl<'a> Decoded<'a> {
    fn of(encoded: &'a [u8]) -> Self {
        if memchr::memchr(b'%', encoded).is_none() {
            return Self {
                text: Cow::Borrowed(encoded),
                places: Vec::new(),
            };
        }
        let mut text = Vec::with_capacity(encoded.len());
        let mut places = Vec::with_capacity(encoded.len() + 1);
        let mut at = 0;
        while at < encoded.len() {
            places.push(at as u32);
            let escape = (encoded[at] == b'%')
                .then(|| Some(hex(*encoded.get(at + 1)?)? << 4 | hex(*encoded.get(at + 2)?)?))
                .flatten();
            text.push(escape.unwrap_or(encoded[at]));
            at += if escape.is_some() { 3 } else { 1 };
        }
        places.push(encoded.len() as u32);
        Self {
            text: Cow::Owned(text),
            places,
        }
    }

    fn place(&self, decoded: usize) -> usize {
        self.places.get(decoded).map_or(decoded, |place| *place as usize)
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|n| n as u8)
}

/// `$1`, `${1}` and `${name}` are groups, `$$` is a dollar sign.
fn parse(replacement: &str, regex: &Regex) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = Vec::new();
    let mut rest = replacement;
    while let Some(char) = rest.chars().next() {
        if char != '$' {
            push_text(char, &mut text, replacement)?;
            rest = &rest[char.len_utf8()..];
            continue;
        }
        let after = &rest[1..];
        if let Some(more) = after.strip_prefix('$') {
            push_text('$', &mut text, replacement)?;
            rest = more;
            continue;
        }
        let (name, more) = match after.strip_prefix('{') {
            Some(inner) => inner
                .split_once('}')
                .ok_or_else(|| format!("`${{` without `}}` in \"{replacement}\""))?,
            None => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
        };
        if name.is_empty() {
            return Err(format!(
                "`$` in \"{replacement}\" names no group; write `$1`, `${{name}}`, or `$$` for the sign itself"
            ));
        }
        let number = group(name, regex).ok_or_else(|| {
            format!(
                "the expression has no group `{name}`; it has {} and their names are those of `(?<name>…)`",
                regex.group_info().group_len(regex_automata::PatternID::ZERO) - 1
            )
        })?;
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Group(number));
        rest = more;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn group(name: &str, regex: &Regex) -> Option<usize> {
    let info = regex.group_info();
    let pattern = regex_automata::PatternID::ZERO;
    match name.parse::<usize>() {
        Ok(number) => (number < info.group_len(pattern)).then_some(number),
        Err(_) => info.to_index(pattern, name),
    }
}

/// A character of a path as it goes upstream.
fn push_text(char: char, out: &mut Vec<u8>, replacement: &str) -> Result<(), String> {
    if matches!(char, '?' | '#' | '%' | '\\') || char.is_control() {
        return Err(format!(
            "a replacement is a path, written decoded: {char:?} cannot stand in \"{replacement}\"; groups are `$1`, and the query stays as it is"
        ));
    }
    let mut bytes = [0; 4];
    for byte in char.encode_utf8(&mut bytes).bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewritten(pattern: &str, replacement: &str, path: &str) -> Option<String> {
        match PathRewrite::new(pattern, replacement).unwrap().apply(path.as_bytes()) {
            Rewritten::Path(path) => Some(String::from_utf8(path).unwrap()),
            Rewritten::Unchanged => None,
            Rewritten::TooLong => Some("too long".to_owned()),
        }
    }

    #[test]
    fn groups_take_their_places() {
        for (pattern, replacement, path, expected) in [
            ("^/old/(.*)$", "/new/$1", "/old/a/b", Some("/new/a/b")),
            ("^/old/(.*)$", "/new/$1", "/older", None),
            ("^/(?<a>[^/]+)/(?<b>[^/]+)", "/${b}/${a}", "/x/y/z", Some("/y/x/z")),
            ("^/v[0-9]+", "", "/v12/x", Some("/x")),
            ("a", "b", "/banana", Some("/bbnbnb")),
            ("(x)?y", "$1-", "/y", Some("/-")),
            (".*", "/all", "/x", Some("/all")),
            ("/a", "/$$", "/a", Some("/$")),
            ("^/(.*)$", "/${1}0", "/a", Some("/a0")),
        ] {
            assert_eq!(
                rewritten(pattern, replacement, path).as_deref(),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn the_expression_sees_characters_and_the_result_keeps_escapes() {
        assert_eq!(
            rewritten("^/a b/(.*)$", "/c d/$1", "/a%20b/x%3By;z").as_deref(),
            Some("/c%20d/x%3By;z")
        );
        assert_eq!(
            rewritten("^/é(.)", "/ü$1", "/%C3%A9%C3%A8x").as_deref(),
            Some("/%C3%BC%C3%A8x")
        );
        assert_eq!(rewritten("%", "/x", "/a%25b").as_deref(), Some("/a/xb"));
    }

    #[test]
    fn what_would_mislead_is_refused() {
        for (pattern, replacement, says) in [
            ("(a", "/", "unclosed group"),
            (r"(a)\1", "/", "backreferences"),
            ("(?=a)", "/", "look-around"),
            ("a", "/$1", "no group"),
            ("a", "/${x}", "no group"),
            ("a", "/${1", "without"),
            ("a", "/$", "names no group"),
            ("a", "/x?y=1", "query"),
            ("a", "/%41", "decoded"),
            ("(a)", r"/\1", "`$1`"),
            (r"\pL{900}{900}", "/", "too large"),
        ] {
            let error = PathRewrite::new(pattern, replacement).err().unwrap_or_default();
            assert!(error.contains(says), "{pattern} {replacement}: {error}");
        }
        assert!(PathRewrite::new(&"a".repeat(REWRITE_BYTES_MAX + 1), "/").is_err());
    }

    #[test]
    fn what_grows_is_cut() {
        let rewrite = PathRewrite::new("a", &"b".repeat(1_000)).unwrap();
        assert_eq!(rewrite.apply(&[b'a'; 100]), Rewritten::TooLong);
        let rewrite = PathRewrite::new("a", "b").unwrap();
        assert_eq!(rewrite.apply(&[b'a'; REWRITE_MATCHES_MAX + 1]), Rewritten::TooLong);
    }

    proptest! {
        /// Bytes that are not matched, and all that groups hold, are the path's own.
        #[test]
        fn a_whole_group_gives_the_path_back(path in "(/[a-z%é ;:@.]{0,8}){1,8}") {
            let mut encoded = Vec::new();
            for char in path.chars() {
                match char {
                    '%' => encoded.extend_from_slice(b"%25"),
                    _ => push_text(char, &mut encoded, "").unwrap(),
                }
            }
            let text = String::from_utf8(encoded.clone()).unwrap();
            prop_assert_eq!(rewritten("(?s)^(.*)$", "$1", &text), Some(text.clone()));
            prop_assert_eq!(rewritten("(?s)(.)", "$1", &text), Some(text));
        }

        #[test]
        fn nothing_panics(pattern in ".{0,12}", replacement in "[/a$0-9{}%é]{0,12}", path in "[/a-c%0-9A-F.]{0,40}") {
            if let Ok(rewrite) = PathRewrite::new(&pattern, &replacement) {
                let _ = rewrite.apply(path.as_bytes());
            }
        }
    }
}

//! JSON bodies, flattened: `{"a":{"b":[1]}}` gives the argument `json.a.b.array_0` (as ModSecurity 3 names it) with
//! the value `1`. Strings are unescaped; numbers, `true` and `false` stay as written, `null` is empty. Objects and arrays that are
//! empty give their name with an empty value, since a client chose it; one that is all of the document gives nothing. Strict (RFC 8259) but for what follows no rule: a lone surrogate becomes U+FFFD.

use super::Sink;
use crate::bytes::hex_pair;

/// Longest name of an argument; a longer one is seen once, and an error.
const NAME_BYTES_MAX: usize = 4096;
/// Bytes of the longest escape: one that is wrong so near to the end may go on behind it.
const ESCAPE_BYTES_MAX: usize = 6;

/// Most bytes of scratch memory that are kept for the next document.
const ROOM_KEPT_BYTES_MAX: usize = 64 * 1024;

/// Scratch memory, so that a document of usual size allocates nothing.
#[derive(Default)]
pub struct Room {
    name: Vec<u8>,
    value: Vec<u8>,
    levels: Vec<Level>,
}

struct Level {
    /// Length of the name without this level's key.
    name: usize,
    /// Next index of an array; `None` for an object.
    index: Option<u32>,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

/// Parses a document. An error names what is wrong; what came before it has reached the sink, and so has a string that is never closed.
pub fn parse(text: &[u8], depth_max: usize, room: &mut Room, sink: &mut dyn Sink) -> Result<(), &'static str> {
    let mut p = Parser { text, at: 0 };
    let result = document(&mut p, depth_max, room, sink);
    if result.is_err() && p.at + ESCAPE_BYTES_MAX > text.len() {
        sink.cut();
    }
    result
}

fn document(p: &mut Parser<'_>, depth_max: usize, room: &mut Room, sink: &mut dyn Sink) -> Result<(), &'static str> {
    if room.value.capacity() > ROOM_KEPT_BYTES_MAX {
        room.value = Vec::new();
    }
    let Room { name, value, levels } = room;
    name.clear();
    name.extend_from_slice(b"json");
    levels.clear();
    p.space();
    loop {
        // A value begins here; `name` is its name.
        match p.peek() {
            Some(open @ (b'{' | b'[')) => {
                p.at += 1;
                if levels.len() >= depth_max {
                    return Err("the JSON body is nested too deeply");
                }
                levels.push(Level {
                    name: name.len(),
                    index: (open == b'[').then_some(0),
                });
                p.space();
                let close = if open == b'[' { b']' } else { b'}' };
                if p.peek() != Some(close) {
                    begin_member(p, name, levels, value, sink)?;
                    continue;
                }
                if levels.len() > 1 && !sink.argument(name, b"") {
                    return Ok(());
                }
            }
            Some(b'"') => {
                value.clear();
                let whole = p.string(value);
                if !sink.argument(name, value) {
                    return Ok(());
                }
                whole?;
            }
            Some(_) => {
                let scalar = p.scalar()?;
                // As in ModSecurity and Coraza, nothing is the empty text.
                let scalar = if scalar == b"null" { b"" } else { scalar };
                if !sink.argument(name, scalar) {
                    return Ok(());
                }
            }
            None => return Err("the JSON body ends early"),
        }
        // A value ended: close what ends with it, or go on to the next member.
        loop {
            p.space();
            let Some(level) = levels.last() else {
                return if p.at == p.text.len() {
                    // RFC 8259 §8.1.
                    let is_utf8 = std::str::from_utf8(p.text).is_ok();
                    is_utf8.then_some(()).ok_or("the JSON body is not UTF-8")
                } else {
                    Err("text follows the JSON body")
                };
            };
            match (p.peek(), level.index.is_some()) {
                (Some(b','), _) => {
                    p.at += 1;
                    p.space();
                    name.truncate(level.name);
                    begin_member(p, name, levels, value, sink)?;
                    break;
                }
                (Some(b']'), true) | (Some(b'}'), false) => {
                    p.at += 1;
                    name.truncate(level.name);
                    levels.pop();
                }
                (None, _) => return Err("the JSON body ends early"),
                _ => return Err("the JSON body is malformed"),
            }
        }
    }
}

/// Appends the key or index of the next member to the name.
fn begin_member(
    p: &mut Parser<'_>,
    name: &mut Vec<u8>,
    levels: &mut [Level],
    key: &mut Vec<u8>,
    sink: &mut dyn Sink,
) -> Result<(), &'static str> {
    let Some(level) = levels.last_mut() else {
        return Err("the JSON body is malformed");
    };
    name.push(b'.');
    if let Some(index) = &mut level.index {
        name.extend_from_slice(b"array_");
        crate::bytes::push_int(name, i64::from(*index));
        *index = index.saturating_add(1);
    } else {
        if p.peek() != Some(b'"') {
            return Err("a key of the JSON body is no string");
        }
        key.clear();
        let whole = p.string(key);
        name.extend_from_slice(key);
        if whole.is_err() || name.len() > NAME_BYTES_MAX {
            sink.argument(name, b"");
            whole?;
            return Err("a name of the JSON body is too long");
        }
        p.space();
        if p.peek() != Some(b':') {
            return Err("a key of the JSON body has no value");
        }
        p.at += 1;
        p.space();
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("a name of the JSON body is too long");
    }
    Ok(())
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A number or one of the three words.
    fn scalar(&mut self) -> Result<&'a [u8], &'static str> {
        let from = self.at;
        while self
            .peek()
            .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            self.at += 1;
        }
        let word = &self.text[from..self.at];
        if matches!(word, b"true" | b"false" | b"null") || is_number(word) {
            Ok(word)
        } else {
            Err("a value of the JSON body is malformed")
        }
    }

    /// A string, unescaped to the end of `out`, also as far as it goes when something is wrong with it. The opening quote is here.
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(stop) = memchr::memchr2(b'"', b'\\', rest) else {
                out.extend_from_slice(rest);
                self.at = self.text.len();
                return Err("a string of the JSON body is never closed");
            };
            if rest[..stop].iter().any(|b| *b < 0x20) {
                return Err("a string of the JSON body holds a control character");
            }
            out.extend_from_slice(&rest[..stop]);
            self.at += stop + 1;
            if rest[stop] == b'"' {
                return Ok(());
            }
            self.escape(out)?;
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        const WRONG: &str = "an escape of the JSON body is wrong";
        let c = self.peek().ok_or(WRONG)?;
        self.at += 1;
        let byte = match c {
            b'"' | b'\\' | b'/' => c,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let first = self.unit().ok_or(WRONG)?;
                let mut code = u32::from(first);
                if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    match self.unit().ok_or(WRONG)? {
                        second @ 0xdc00..=0xdfff => {
                            code = 0x1_0000 + ((u32::from(first) - 0xd800) << 10) + (u32::from(second) - 0xdc00);
                        }
                        _ => self.at = back,
                    }
                }
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(WRONG),
        };
        out.push(byte);
        Ok(())
    }

    fn unit(&mut self) -> Option<u16> {
        let unit = u16::from(hex_pair(self.text, self.at)?) << 8 | u16::from(hex_pair(self.text, self.at + 2)?);
        self.at += 4;
        Some(unit)
    }
}

/// RFC 8259 §6.
fn is_number(word: &[u8]) -> bool {
    let digits = |t: &mut &[u8]| {
        let n = t.iter().take_while(|b| b.is_ascii_digit()).count();
        *t = &t[n..];
        n
    };
    let mut t = word.strip_prefix(b"-").unwrap_or(word);
    let leading_zero = t.first() == Some(&b'0');
    let whole = digits(&mut t);
    if whole == 0 || (leading_zero && whole > 1) {
        return false;
    }
    if let Some(rest) = t.strip_prefix(b".") {
        t = rest;
        if digits(&mut t) == 0 {
            return false;
        }
    }
    if let Some((b'e' | b'E', rest)) = t.split_first() {
        t = rest.strip_prefix(b"+").or(rest.strip_prefix(b"-")).unwrap_or(rest);
        if digits(&mut t) == 0 {
            return false;
        }
    }
    t.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::tests::collected;
    use super::*;

    fn ok(text: &str) -> Vec<(String, String)> {
        let mut c = collected();
        parse(text.as_bytes(), 10, &mut Room::default(), &mut c).unwrap_or_else(|e| panic!("{text}: {e}"));
        c.arguments
    }

    #[test]
    fn leaves_are_named_by_their_path() {
        let want = [
            ("json.a.b.array_0", "1"),
            ("json.a.b.array_1.c", "x\n\u{1f600}"),
            ("json.d", ""),
            ("json.e", "-1.5e3"),
            ("json.f", ""),
            ("json.g.array_0", ""),
        ];
        let got = ok(r#" {"a":{"b":[1, {"c":"x\n\ud83d\ude00"}]},"d":null,"e":-1.5e3,"f":{},"g":[ [ ] ]} "#);
        assert_eq!(got, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(ok("[]"), []);
        assert_eq!(ok("\"x\"")[0].0, "json");
        assert_eq!(ok("[[1],[2]]")[1].0, "json.array_1.array_0");
    }

    #[test]
    fn nothing_of_a_string_hides_behind_its_length_or_the_end() {
        let run = |text: &str| {
            let mut c = collected();
            let result = parse(text.as_bytes(), 10, &mut Room::default(), &mut c);
            (result.is_err(), c.cut, c.arguments)
        };
        let long = "k".repeat(NAME_BYTES_MAX);
        let (wrong, cut, arguments) = run(&format!("{{\"{long}attack\":1, \"b\":2}}"));
        assert!(wrong && !cut && arguments.iter().any(|(n, _)| n.ends_with("attack")));
        for (text, name, value) in [
            (r#"{"a":"attack"#, "json.a", "attack"),
            (r#"{"a":"att\u0061ck\u00"#, "json.a", "attack"),
            (r#"{"a":1,"attack"#, "json.attack", ""),
        ] {
            let (wrong, cut, arguments) = run(text);
            assert!(wrong && cut, "{text}");
            assert_eq!(arguments.last(), Some(&(name.to_owned(), value.to_owned())));
        }
        for text in [
            r#"{"a":tru e,"b":"attack"}"#,
            r#"{"a":1,}           "#,
            r#"["\x",       1]"#,
        ] {
            let (wrong, cut, _) = run(text);
            assert!(wrong && !cut, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for text in [
            "",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "[1,]",
            "[1 2]",
            "{a:1}",
            "01",
            "1.",
            "\"a",
            "\"\\x\"",
            "\"\n\"",
            "tru",
            "[] x",
            "[}",
            "{\"a\":1]",
            "\"\\u12\"",
        ] {
            assert!(
                parse(text.as_bytes(), 10, &mut Room::default(), &mut collected()).is_err(),
                "{text}"
            );
        }
        let deep = "[".repeat(11) + &"]".repeat(11);
        assert!(parse(deep.as_bytes(), 10, &mut Room::default(), &mut collected()).is_err());
        assert_eq!(ok(&("[".repeat(10) + &"]".repeat(10))).len(), 1);
    }
}

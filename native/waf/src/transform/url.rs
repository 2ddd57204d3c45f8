//! `urlDecode`, `urlDecodeUni`, `urlEncode`.

use crate::bytes::{hex, hex_pair};

/// `+` and `%HH`; what is no escape stays.
pub fn decode(input: &[u8], out: &mut Vec<u8>) {
    decode_with(input, out, false);
}

/// `+`, `%HH` and `%uHHHH`; what is no escape stays.
pub fn decode_uni(input: &[u8], out: &mut Vec<u8>) {
    decode_with(input, out, true);
}

fn decode_with(input: &[u8], out: &mut Vec<u8>, unicode: bool) {
    let mut rest = input;
    while let Some(at) = memchr::memchr(b'%', rest) {
        push_plain(&rest[..at], out);
        let (b, used) = if let Some(b) = hex_pair(rest, at + 1) {
            (b, 3)
        } else if let (true, Some(b)) = (unicode, wide(rest, at + 1)) {
            (b, 6)
        } else {
            (b'%', 1)
        };
        out.push(b);
        rest = &rest[at + used..];
    }
    push_plain(rest, out);
}

/// What holds no escape: only each `+` becomes a space.
fn push_plain(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(text);
    for b in &mut out[start..] {
        *b = if *b == b'+' { b' ' } else { *b };
    }
}

/// `urlDecodeUni` where `SecUnicodeMapFile` says what code points look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnicodeMap {
    /// By code point; `None` where the file says nothing.
    bytes: Vec<Option<u8>>,
}

impl UnicodeMap {
    /// Reads one code page of a mapping file: its number, then pairs `hhhh:hh` up to what is none. `None` when the page is not
    /// there.
    pub fn read(content: &[u8], page: u32) -> Option<Self> {
        let mut words = content
            .split(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
            .filter(|w| !w.is_empty());
        words.find(|w| std::str::from_utf8(w).is_ok_and(|w| w.parse() == Ok(page)))?;
        let mut bytes = vec![None; 0x1_0000];
        // Full stops that host names are written with (RFC 3490 §3.1).
        for dot in [0x3002, 0xff61, 0xff0e, 0x002e] {
            bytes[dot] = Some(b'.');
        }
        let pairs = words.skip_while(|w| !w.contains(&b':')).map_while(|w| {
            let (code, byte) = std::str::from_utf8(w).ok()?.split_once(':')?;
            Some((u16::from_str_radix(code, 16).ok()?, u8::from_str_radix(byte, 16).ok()?))
        });
        for (code, byte) in pairs {
            bytes[usize::from(code)] = Some(byte);
        }
        Some(Self { bytes })
    }

    /// As [`decode_uni`], with this map first.
    pub fn decode(&self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some(at) = memchr::memchr(b'%', rest) {
            let mapped = matches!(rest.get(at + 1), Some(b'u' | b'U'))
                .then(|| Some((hex_pair(rest, at + 2)?, hex_pair(rest, at + 4)?)))
                .flatten()
                .and_then(|(high, low)| self.bytes[usize::from(high) << 8 | usize::from(low)]);
            // An escape of two digits is left whole for the other decoder.
            let end = if mapped.is_some() { at } else { (at + 1).min(rest.len()) };
            let escape = if mapped.is_none() && hex_pair(rest, at + 1).is_some() {
                at + 3
            } else {
                end
            };
            let escape = if mapped.is_none() && wide(rest, at + 1).is_some() {
                at + 6
            } else {
                escape
            };
            decode_uni(&rest[..escape], out);
            rest = &rest[escape..];
            if let Some(b) = mapped {
                out.push(b);
                rest = &rest[6..];
            }
        }
        decode_uni(rest, out);
    }
}

/// The byte of `uHHHH` at a position.
fn wide(input: &[u8], at: usize) -> Option<u8> {
    if !matches!(input.get(at), Some(b'u' | b'U')) {
        return None;
    }
    low_byte_of_code(input, at + 1)
}

/// Four hexadecimal digits to one byte: the low one; full-width forms (FF01 to FF5E) become what they look like.
pub fn low_byte_of_code(input: &[u8], at: usize) -> Option<u8> {
    let high = hex_pair(input, at)?;
    let low = hex_pair(input, at + 2)?;
    Some(if high == 0xff && low > 0 && low < 0x5f {
        low + 0x20
    } else {
        low
    })
}

/// Everything but letters, digits and `*` is escaped; a space becomes `+`.
pub fn encode(input: &[u8], out: &mut Vec<u8>) {
    for &b in input {
        match b {
            b' ' => out.push(b'+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' => out.push(b),
            _ => {
                out.push(b'%');
                out.push(b"0123456789abcdef"[usize::from(b >> 4)]);
                out.push(b"0123456789abcdef"[usize::from(b & 15)]);
            }
        }
    }
}

/// The first wrong percent escape, if any.
pub fn has_wrong_escape(input: &[u8]) -> bool {
    let mut i = 0;
    while i < input.len() {
        if input[i] == b'%' {
            if !(input.get(i + 1).is_some_and(|b| hex(*b).is_some())
                && input.get(i + 2).is_some_and(|b| hex(*b).is_some()))
            {
                return true;
            }
            i += 3;
        } else {
            i += 1;
        }
    }
    false
}

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
    let mut i = 0;
    while i < input.len() {
        match input[i] {
            b'+' => {
                out.push(b' ');
                i += 1;
            }
            b'%' => {
                if let Some(b) = hex_pair(input, i + 1) {
                    out.push(b);
                    i += 3;
                } else if let (true, Some(b)) = (unicode, wide(input, i + 1)) {
                    out.push(b);
                    i += 6;
                } else {
                    out.push(b'%');
                    i += 1;
                }
            }
            b => {
                out.push(b);
                i += 1;
            }
        }
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

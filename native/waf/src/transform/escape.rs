//! `escapeSeqDecode`.

use crate::bytes::hex_pair;

/// The byte of a one-letter escape.
pub fn letter(c: u8) -> Option<u8> {
    Some(match c {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        _ => return None,
    })
}

/// ANSI C escapes; of a wrong escape the backslash vanishes. Octal escapes count modulo 256.
pub fn decode(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        if input[i] != b'\\' || i + 1 >= input.len() {
            out.push(input[i]);
            i += 1;
            continue;
        }
        let c = input[i + 1];
        if let Some(b) = letter(c) {
            out.push(b);
            i += 2;
        } else if matches!(c, b'\\' | b'?' | b'\'' | b'"') {
            out.push(c);
            i += 2;
        } else if let (b'x' | b'X', Some(b)) = (c, hex_pair(input, i + 2)) {
            out.push(b);
            i += 4;
        } else if matches!(c, b'0'..=b'7') {
            let digits = input[i + 1..].iter().take(3).take_while(|b| matches!(b, b'0'..=b'7'));
            let (value, used) = digits.fold((0u8, 0), |(v, n), d| (v.wrapping_mul(8).wrapping_add(d - b'0'), n + 1));
            out.push(value);
            i += 1 + used;
        } else {
            out.push(c);
            i += 2;
        }
    }
}

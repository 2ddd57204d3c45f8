//! `jsDecode`.

use super::url::low_byte_of_code;
use crate::bytes::hex_pair;

/// `\uHHHH`, `\xHH`, octal and single-letter escapes; the backslash of any other escape is dropped.
pub fn decode(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        if input[i] != b'\\' || i + 1 >= input.len() {
            out.push(input[i]);
            i += 1;
            continue;
        }
        let c = input[i + 1];
        if let (b'u', Some(b)) = (c, low_byte_of_code(input, i + 2)) {
            out.push(b);
            i += 6;
        } else if let (b'x', Some(b)) = (c, hex_pair(input, i + 2)) {
            out.push(b);
            i += 4;
        } else if matches!(c, b'0'..=b'7') {
            let (b, used) = octal(&input[i + 1..]);
            out.push(b);
            i += 1 + used;
        } else {
            out.push(super::escape::letter(c).unwrap_or(c));
            i += 2;
        }
    }
}

/// Up to three octal digits that fit a byte, and how many they are. The first byte must be a digit.
fn octal(digits: &[u8]) -> (u8, usize) {
    let mut value: u32 = 0;
    let mut used = 0;
    while used < 3 {
        let Some(d) = digits.get(used).filter(|b| matches!(b, b'0'..=b'7')) else {
            break;
        };
        let next = value * 8 + u32::from(d - b'0');
        if next > 255 {
            break;
        }
        value = next;
        used += 1;
    }
    ((value & 0xff) as u8, used)
}

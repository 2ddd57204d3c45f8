//! `hexDecode`, `hexEncode`, `sqlHexDecode`.

use crate::bytes::hex_pair;

/// Pairs of digits to bytes; what is no pair is skipped.
pub fn decode(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        match hex_pair(input, i) {
            Some(b) => {
                out.push(b);
                i += 2;
            }
            None => i += if crate::bytes::hex(input[i]).is_some() { 2 } else { 1 },
        }
    }
}

/// Bytes to pairs of digits.
pub fn encode(input: &[u8], out: &mut Vec<u8>) {
    for b in input {
        out.push(b"0123456789abcdef"[usize::from(b >> 4)]);
        out.push(b"0123456789abcdef"[usize::from(b & 15)]);
    }
}

/// `0x` and pairs of digits to bytes, anywhere in the value.
pub fn sql_decode(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        let prefixed =
            input[i] == b'0' && matches!(input.get(i + 1), Some(b'x' | b'X')) && hex_pair(input, i + 2).is_some();
        if !prefixed {
            out.push(input[i]);
            i += 1;
            continue;
        }
        i += 2;
        while let Some(b) = hex_pair(input, i) {
            out.push(b);
            i += 2;
        }
    }
}

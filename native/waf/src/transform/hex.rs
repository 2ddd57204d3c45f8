//! `hexDecode`, `hexEncode`, `sqlHexDecode`.

use crate::bytes::hex_pair;

/// Pairs to bytes. As in ModSecurity nothing is checked: whatever stands for a digit counts as its arithmetic makes it.
/// A single byte at the end vanishes.
pub fn decode(input: &[u8], out: &mut Vec<u8>) {
    let digit = |b: u8| match b {
        b'A'.. => (b & 0xdf).wrapping_sub(b'A').wrapping_add(10),
        _ => b.wrapping_sub(b'0'),
    };
    let (pairs, _) = input.as_chunks::<2>();
    out.extend(
        pairs
            .iter()
            .map(|[a, b]| digit(*a).wrapping_mul(16).wrapping_add(digit(*b))),
    );
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

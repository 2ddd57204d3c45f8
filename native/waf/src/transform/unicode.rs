//! `utf8toUnicode` and the parity transformations.

/// Sequences of two to four bytes become `%uHHHH` (at least four digits). Those that are longer than they need be, which
/// hide characters from filters, are decoded too; as in ModSecurity their first byte follows, as it does for surrogates.
/// The first byte of a broken sequence vanishes, other bytes stay.
pub fn utf8_to_unicode(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        let b = input[i];
        let (length, mask, least) = match b {
            0xc0..=0xdf => (2, 0x1f, 0x80),
            0xe0..=0xef => (3, 0x0f, 0x800),
            0xf0..=0xf7 => (4, 0x07, 0x1_0000),
            _ => {
                out.push(b);
                i += 1;
                continue;
            }
        };
        if b >= 0xf5 {
            out.push(b);
        }
        let rest = input.get(i + 1..i + length).unwrap_or(&[]);
        if rest.is_empty() || rest.iter().any(|b| b & 0xc0 != 0x80) {
            i += 1;
            continue;
        }
        let code = rest
            .iter()
            .fold(u32::from(b & mask), |code, b| code << 6 | u32::from(b & 0x3f));
        push_code(code, out);
        for odd in [(0xd800..=0xdfff).contains(&code), code < least] {
            if odd {
                out.push(b);
            }
        }
        i += length;
    }
}

/// `%u` and at least four digits.
fn push_code(code: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"%u");
    let digits = (32 - code.leading_zeros()).div_ceil(4).max(4);
    for shift in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(code >> (shift * 4) & 15) as usize]);
    }
}

/// The eighth bit set where an odd number of bits is set, else cleared. As in ModSecurity the old eighth bit counts.
pub fn parity_even(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|b| (b & 0x7f) | (b.count_ones() as u8 & 1) << 7));
}

/// The eighth bit set where an even number of bits is set, else cleared.
pub fn parity_odd(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|b| (b & 0x7f) | ((b.count_ones() as u8 & 1) ^ 1) << 7));
}

/// The eighth bit cleared.
pub fn parity_zero(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|b| b & 0x7f));
}

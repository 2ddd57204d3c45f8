//! `utf8toUnicode` and the parity transformations.

/// Well-formed sequences of two to four bytes become `%uHHHH` (at least four digits); other bytes stay.
pub fn utf8_to_unicode(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        let b = input[i];
        if b < 0x80 {
            out.push(b);
            i += 1;
            continue;
        }
        match sequence(&input[i..]) {
            Some((code, used)) => {
                out.extend_from_slice(b"%u");
                let digits = if code > 0xffff {
                    5 + usize::from(code > 0xf_ffff)
                } else {
                    4
                };
                for shift in (0..digits).rev() {
                    out.push(b"0123456789abcdef"[(code >> (shift * 4) & 15) as usize]);
                }
                i += used;
            }
            None => {
                out.push(b);
                i += 1;
            }
        }
    }
}

/// The code point of a well-formed sequence of more than one byte at the begin, and its length.
pub fn sequence(bytes: &[u8]) -> Option<(u32, usize)> {
    let first = *bytes.first()?;
    let (length, mask, min) = match first {
        0xc2..=0xdf => (2, 0x1f, 0x80),
        0xe0..=0xef => (3, 0x0f, 0x800),
        0xf0..=0xf4 => (4, 0x07, 0x1_0000),
        _ => return None,
    };
    let mut code = u32::from(first & mask);
    for k in 1..length {
        let b = *bytes.get(k)?;
        if b & 0xc0 != 0x80 {
            return None;
        }
        code = code << 6 | u32::from(b & 0x3f);
    }
    let valid = code >= min && code <= 0x10_ffff && !(0xd800..=0xdfff).contains(&code);
    valid.then_some((code, length))
}

/// Even parity.
pub fn parity_even(input: &[u8], out: &mut Vec<u8>) {
    out.extend(
        input
            .iter()
            .map(|b| (b & 0x7f) | ((b & 0x7f).count_ones() as u8 & 1) << 7),
    );
}

/// Odd parity.
pub fn parity_odd(input: &[u8], out: &mut Vec<u8>) {
    out.extend(
        input
            .iter()
            .map(|b| (b & 0x7f) | (((b & 0x7f).count_ones() as u8 & 1) ^ 1) << 7),
    );
}

/// The eighth bit cleared.
pub fn parity_zero(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|b| b & 0x7f));
}

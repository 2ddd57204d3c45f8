//! `base64Decode`, `base64DecodeExt`, `base64Encode`.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn value(b: u8) -> Option<u32> {
    Some(u32::from(match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Decodes up to the first byte that does not belong to base64; line ends are skipped.
pub fn decode(input: &[u8], out: &mut Vec<u8>) {
    decode_with(input, out, |b| matches!(b, b'\r' | b'\n'));
}

/// Decodes what belongs to base64 and skips the rest.
pub fn decode_ext(input: &[u8], out: &mut Vec<u8>) {
    decode_with(input, out, |b| b != b'=');
}

fn decode_with(input: &[u8], out: &mut Vec<u8>, skip: fn(u8) -> bool) {
    let mut bits = 0u32;
    let mut count = 0u32;
    for &b in input {
        match value(b) {
            Some(v) => {
                bits = bits << 6 | v;
                count += 6;
                if count >= 8 {
                    count -= 8;
                    out.push((bits >> count & 0xff) as u8);
                }
            }
            None if skip(b) => {}
            None => return,
        }
    }
}

/// Encodes with padding.
pub fn encode(input: &[u8], out: &mut Vec<u8>) {
    for chunk in input.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for k in 0..4 {
            if k <= chunk.len() {
                out.push(ALPHABET[(word >> (18 - 6 * k) & 63) as usize]);
            } else {
                out.push(b'=');
            }
        }
    }
}

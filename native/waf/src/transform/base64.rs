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

/// Gathers six bits at a time.
#[derive(Default)]
struct Bits {
    bits: u32,
    count: u32,
}

impl Bits {
    fn add(&mut self, v: u32, out: &mut Vec<u8>) {
        self.bits = self.bits << 6 | v;
        self.count += 6;
        if self.count >= 8 {
            self.count -= 8;
            out.push((self.bits >> self.count & 0xff) as u8);
        }
    }

    /// One digit of a group of four has been seen.
    fn is_one_digit(&self) -> bool {
        self.count == 6
    }
}

/// Decodes up to the first byte that does not belong to base64; line ends are skipped.
pub fn decode(input: &[u8], out: &mut Vec<u8>) {
    let mut bits = Bits::default();
    for &b in input {
        match value(b) {
            Some(v) => bits.add(v, out),
            None if matches!(b, b'\r' | b'\n') => {}
            None => return,
        }
    }
}

/// Decodes what belongs to base64 and skips the rest; a text whose padding follows a single digit of a group gives
/// nothing.
pub fn decode_ext(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut bits = Bits::default();
    for (i, &b) in input.iter().enumerate() {
        match value(b) {
            Some(v) => bits.add(v, out),
            None if b == b'=' && bits.is_one_digit() && input.get(i + 1) != Some(&b'=') => {
                out.truncate(start);
                return;
            }
            None => {}
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

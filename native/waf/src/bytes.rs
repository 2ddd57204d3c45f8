//! Sets of bytes and what little C libraries do with ASCII text.

/// A set of byte values, 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteSet(pub [u64; 4]);

impl ByteSet {
    /// No byte.
    pub const EMPTY: Self = Self([0; 4]);

    /// The bytes of a list.
    pub const fn of(list: &[u8]) -> Self {
        let mut out = [0u64; 4];
        let mut i = 0;
        while i < list.len() {
            out[(list[i] >> 6) as usize] |= 1 << (list[i] & 63);
            i += 1;
        }
        Self(out)
    }

    /// The bytes from one to another, both included.
    pub const fn range(from: u8, to: u8) -> Self {
        let mut out = [0u64; 4];
        let (first, last) = ((from >> 6) as usize, (to >> 6) as usize);
        let mut word = first;
        while word <= last {
            out[word] = u64::MAX;
            word += 1;
        }
        if from <= to {
            out[first] &= u64::MAX << (from & 63);
            out[last] &= u64::MAX >> (63 - (to & 63));
        }
        Self(out)
    }

    /// The bytes of both sets.
    pub const fn or(self, other: Self) -> Self {
        Self([
            self.0[0] | other.0[0],
            self.0[1] | other.0[1],
            self.0[2] | other.0[2],
            self.0[3] | other.0[3],
        ])
    }

    /// Bytes that stand side by side, as ranges in their order.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::RangeInclusive<u8>> {
        let set = *self;
        // The first place from one on whose bit is as asked; 256 when there is none.
        let next = move |from: usize, wanted: bool| {
            let flip = if wanted { 0 } else { u64::MAX };
            let mut mask = u64::MAX << (from % 64);
            for (at, word) in set.0.iter().enumerate().skip(from / 64) {
                let left = (word ^ flip) & mask;
                if left != 0 {
                    return at * 64 + left.trailing_zeros() as usize;
                }
                mask = u64::MAX;
            }
            256
        };
        let mut at = 0;
        std::iter::from_fn(move || {
            let from = next(at, true);
            at = next(from, false);
            Some(u8::try_from(from).ok()?..=u8::try_from(at - 1).ok()?)
        })
    }

    /// The bytes that occur in a text.
    pub fn present_in(text: &[u8]) -> Self {
        if text.len() > 64 {
            return Self::present_in_long(text);
        }
        // Four sets in turn: no byte waits for the store of the one before it.
        let mut sets = [[0u64; 4]; 4];
        let (fours, rest) = text.as_chunks::<4>();
        for four in fours {
            for (set, b) in sets.iter_mut().zip(four) {
                set[usize::from(b >> 6)] |= 1 << (b & 63);
            }
        }
        for (set, b) in sets.iter_mut().zip(rest) {
            set[usize::from(b >> 6)] |= 1 << (b & 63);
        }
        let [a, b, c, d] = sets;
        Self(std::array::from_fn(|i| a[i] | b[i] | c[i] | d[i]))
    }

    fn present_in_long(text: &[u8]) -> Self {
        let mut seen = [0u8; 256];
        for &b in text {
            seen[usize::from(b)] = 1;
        }
        let mut out = [0u64; 4];
        let (chunks, _) = seen.as_chunks::<8>();
        for (i, chunk) in chunks.iter().enumerate() {
            // Gathers the low bits of eight bytes into one byte.
            let bits = u64::from_le_bytes(*chunk).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            out[i / 8] |= bits << (i % 8 * 8);
        }
        Self(out)
    }

    /// True when the sets share a byte.
    #[inline]
    pub fn meets(&self, other: &Self) -> bool {
        (self.0[0] & other.0[0]) | (self.0[1] & other.0[1]) | (self.0[2] & other.0[2]) | (self.0[3] & other.0[3]) != 0
    }

    /// True when the byte is in the set.
    #[inline]
    pub fn has(&self, b: u8) -> bool {
        self.0[usize::from(b >> 6)] >> (b & 63) & 1 == 1
    }

    /// Adds a byte.
    pub fn add(&mut self, b: u8) {
        self.0[usize::from(b >> 6)] |= 1 << (b & 63);
    }
}

/// What C's `isspace` calls white space.
#[inline]
pub const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The value of a hexadecimal digit.
#[inline]
pub const fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// The value of two hexadecimal digits at a position.
#[inline]
pub fn hex_pair(text: &[u8], at: usize) -> Option<u8> {
    Some(hex(*text.get(at)?)? << 4 | hex(*text.get(at + 1)?)?)
}

/// As C's `strtoll`: leading white space, a sign, digits; anything else ends the number; saturating.
pub fn to_int(text: &[u8]) -> i64 {
    let mut i = 0;
    while text.get(i).is_some_and(|b| is_space(*b)) {
        i += 1;
    }
    let negative = text.get(i) == Some(&b'-');
    if matches!(text.get(i), Some(b'-' | b'+')) {
        i += 1;
    }
    let mut n: i64 = 0;
    while let Some(d) = text.get(i).filter(|b| b.is_ascii_digit()) {
        n = n.saturating_mul(10).saturating_add(i64::from(d - b'0'));
        i += 1;
    }
    if negative { -n } else { n }
}

/// Writes a number in decimal.
pub fn push_int(out: &mut Vec<u8>, n: i64) {
    let mut digits = [0u8; 20];
    let mut i = digits.len();
    let mut rest = n.unsigned_abs();
    loop {
        i -= 1;
        digits[i] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[i..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_does() {
        for (text, n) in [
            ("12", 12),
            (" -3x", -3),
            ("", 0),
            ("abc", 0),
            ("+7", 7),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(to_int(text.as_bytes()), n, "{text}");
        }
        let mut out = Vec::new();
        push_int(&mut out, i64::MIN);
        assert_eq!(out, i64::MIN.to_string().as_bytes());
    }

    #[test]
    fn sets_know_their_bytes() {
        let s = ByteSet::of(b"%+").or(ByteSet::range(0x80, 0xff));
        assert!(s.has(b'%') && s.has(0xff) && s.has(0x80) && !s.has(b'a'));
        assert!(s.meets(&ByteSet::present_in(b"a+b")) && !s.meets(&ByteSet::present_in(b"ab")));
        let all: Vec<u8> = (0..=255).filter(|b| b % 3 == 0).collect();
        assert_eq!(ByteSet::present_in(&all), ByteSet::of(&all));
        let long = all.repeat(9);
        assert_eq!(ByteSet::present_in(&long), ByteSet::of(&all));
    }

    #[test]
    fn ranges_are_what_a_set_holds() {
        for set in [
            ByteSet::EMPTY,
            ByteSet::range(0, 255),
            ByteSet::of(b"ab-z").or(ByteSet::range(0x7e, 0xc0)),
            ByteSet::range(63, 64).or(ByteSet::of(&[0, 255])),
        ] {
            let mut seen = ByteSet::EMPTY;
            for r in set.ranges() {
                r.for_each(|b| seen.add(b));
            }
            assert_eq!(seen, set);
        }
        let ranges: Vec<_> = ByteSet::of(b"abd").or(ByteSet::range(60, 70)).ranges().collect();
        assert_eq!(ranges, [60..=70, b'a'..=b'b', b'd'..=b'd']);
    }
}

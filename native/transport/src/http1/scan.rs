//! Classes of bytes, and the loops that run over all of a head: eight bytes at a time for values and targets, one table look-up a byte for names.

/// Token bytes in lower case, 0 for all others (RFC 9110 §5.6.2): a field name is checked and lowered by one look-up.
pub(super) const LOWER_TOKEN: [u8; 256] = lower_token();

const fn lower_token() -> [u8; 256] {
    let mut table = [0u8; 256];
    let marks = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = marks[i];
        i += 1;
    }
    let mut byte = b'0';
    while byte <= b'9' {
        table[byte as usize] = byte;
        byte += 1;
    }
    let mut byte = b'a';
    while byte <= b'z' {
        table[byte as usize] = byte;
        table[(byte - 32) as usize] = byte;
        byte += 1;
    }
    table
}

/// True for a token byte.
#[inline]
pub(super) fn is_token(byte: u8) -> bool {
    LOWER_TOKEN[byte as usize] != 0
}

/// True for a byte that may stand in a field value: HTAB, SP, VCHAR and obs-text (RFC 9110 §5.5).
#[inline]
pub(super) fn in_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// True for a byte that may stand in a target as this layer sees it: visible ASCII but `#` (RFC 9112 §3.2; fragments are never sent). What RFC 3986 leaves out
/// besides is judged where paths are decoded.
#[inline]
pub(super) fn in_target(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f && byte != b'#'
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte below `n` (at most 0x80) whose own high bit is clear. Exact up to the first such byte; above it a borrow may show others.
#[inline]
const fn below(word: u64, n: u8) -> u64 {
    word.wrapping_sub(ONES * n as u64) & !word & HIGHS
}

/// The high bit of each byte equal to `byte` (ASCII); exact up to the first.
#[inline]
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * byte as u64), 1)
}

/// First place at or after `from` whose byte may not stand in a value, or the length.
#[inline]
pub(super) fn value_end(bytes: &[u8], from: usize) -> usize {
    first(bytes, from, |word| below(word, b' ') | equal(word, 0x7f), in_value)
}

/// First place at or after `from` whose byte may not stand in a target, or the length.
#[inline]
pub(super) fn target_end(bytes: &[u8], from: usize) -> usize {
    first(
        bytes,
        from,
        |word| below(word, b'!') | equal(word, 0x7f) | equal(word, b'#') | (word & HIGHS),
        in_target,
    )
}

/// `stops`: high bits of bytes to look at, exact up to the first; `passes` has the last word on it.
#[inline(always)]
fn first(bytes: &[u8], from: usize, stops: impl Fn(u64) -> u64, passes: impl Fn(u8) -> bool) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = stops(u64::from_le_bytes(*chunk));
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        if !passes(bytes[at]) {
            return at;
        }
        at += 1;
    }
    while at < bytes.len() && passes(bytes[at]) {
        at += 1;
    }
    at.min(bytes.len())
}

/// True for optional white space (RFC 9110 §5.6.3).
#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `from..to` without white space at either end.
#[inline]
pub(super) fn trimmed(bytes: &[u8], mut from: usize, mut to: usize) -> (usize, usize) {
    while from < to && is_space(bytes[from]) {
        from += 1;
    }
    while to > from && is_space(bytes[to - 1]) {
        to -= 1;
    }
    (from, to)
}

/// Members of a comma-separated list, without white space and empty ones (RFC 9110 §5.6.1).
pub(super) fn listed(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').filter_map(|part| {
        let (from, to) = trimmed(part, 0, part.len());
        (from < to).then(|| &part[from..to])
    })
}

/// One decimal number of 1 to 15 digits, nothing else: exact in a double too. Rust's own parsing would take a sign.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

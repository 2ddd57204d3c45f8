//! `htmlEntityDecode`.

use crate::bytes::hex;

/// Numeric entities become their low byte; of the named ones quot, amp, lt, gt and nbsp are known, and those whose
/// names hide ASCII punctuation from filters. The semicolon may be missing.
pub fn decode(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        if input[i] == b'&'
            && let Some((byte, used)) = entity(&input[i + 1..])
        {
            out.push(byte);
            i += 1 + used;
            if input.get(i) == Some(&b';') {
                i += 1;
            }
            continue;
        }
        out.push(input[i]);
        i += 1;
    }
}

/// The byte of an entity and the bytes it takes, without `&` and `;`.
fn entity(rest: &[u8]) -> Option<(u8, usize)> {
    if rest.first() == Some(&b'#') {
        let is_hex = matches!(rest.get(1), Some(b'x' | b'X'));
        let from = if is_hex { 2 } else { 1 };
        let mut code: i64 = 0;
        let mut i = from;
        while let Some(d) = rest
            .get(i)
            .and_then(|b| if is_hex { hex(*b) } else { hex(*b).filter(|d| *d < 10) })
        {
            // As strtol: what does not fit is the largest number.
            let wider = code.checked_mul(if is_hex { 16 } else { 10 });
            code = wider.and_then(|c| c.checked_add(i64::from(d))).unwrap_or(i64::MAX);
            i += 1;
        }
        return (i > from).then_some(((code & 0xff) as u8, i));
    }
    let length = rest.iter().take(12).take_while(|b| b.is_ascii_alphanumeric()).count();
    let name = &rest[..length];
    NAMED
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, b)| (*b, length))
}

const NAMED: &[(&[u8], u8)] = &[
    (b"quot", b'"'),
    (b"amp", b'&'),
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"nbsp", 0xa0),
    (b"tab", b'\t'),
    (b"newline", b'\n'),
    (b"colon", b':'),
    (b"semi", b';'),
    (b"lpar", b'('),
    (b"rpar", b')'),
    (b"sol", b'/'),
    (b"bsol", b'\\'),
    (b"apos", b'\''),
    (b"grave", b'`'),
    (b"excl", b'!'),
    (b"equals", b'='),
    (b"lbrack", b'['),
    (b"rbrack", b']'),
    (b"lbrace", b'{'),
    (b"rbrace", b'}'),
    (b"period", b'.'),
    (b"comma", b','),
];

//! `removeWhitespace`, `compressWhitespace`, `trim…`, `removeNulls`, `replaceNulls`.

use crate::bytes::is_space;

/// Removes white space and the bytes of no-break spaces in Latin-1 and UTF-8.
pub fn remove(input: &[u8], out: &mut Vec<u8>) {
    keep(input, out, |b| !is_space(b) && !matches!(b, 0xa0 | 0xc2));
}

/// Makes one space of each run of white space.
pub fn compress(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut inside = false;
    keep(input, out, |b| {
        let before = std::mem::replace(&mut inside, is_space(b));
        !(before && inside)
    });
    for b in &mut out[start..] {
        *b = if is_space(*b) { b' ' } else { *b };
    }
}

/// True when runs of white space are one space each already.
pub fn is_compressed(input: &[u8]) -> bool {
    let mut inside = false;
    input.iter().all(|b| {
        let before = std::mem::replace(&mut inside, is_space(*b));
        !inside || (*b == b' ' && !before)
    })
}

/// Appends the bytes that are to be kept. Each is written, and the next one over it when it is not: no byte waits for a branch.
fn keep(input: &[u8], out: &mut Vec<u8>, mut kept: impl FnMut(u8) -> bool) {
    let start = out.len();
    out.resize(start + input.len(), 0);
    let mut n = start;
    for b in input {
        if let Some(to) = out.get_mut(n) {
            *to = *b;
        }
        n += usize::from(kept(*b));
    }
    out.truncate(n);
}

/// Removes white space at both ends.
pub fn trim(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(right(left(input)));
}

/// Removes white space at the begin.
pub fn trim_left(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(left(input));
}

/// Removes white space at the end.
pub fn trim_right(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(right(input));
}

fn left(input: &[u8]) -> &[u8] {
    let from = input.iter().position(|b| !is_space(*b)).unwrap_or(input.len());
    &input[from..]
}

fn right(input: &[u8]) -> &[u8] {
    let to = input.iter().rposition(|b| !is_space(*b)).map_or(0, |i| i + 1);
    &input[..to]
}

/// Removes NUL bytes.
pub fn remove_nulls(input: &[u8], out: &mut Vec<u8>) {
    keep(input, out, |b| b != 0);
}

/// Makes spaces of NUL bytes.
pub fn replace_nulls(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|b| if *b == 0 { b' ' } else { *b }));
}

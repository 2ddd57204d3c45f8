//! `removeWhitespace`, `compressWhitespace`, `trim…`, `removeNulls`, `replaceNulls`.

use crate::bytes::is_space;

/// White space, or the no-break space of Latin-1, as ModSecurity counts it.
fn is_blank(b: u8) -> bool {
    is_space(b) || b == 0xa0
}

/// Removes white space.
pub fn remove(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().filter(|b| !is_blank(**b)));
}

/// Makes one space of each run of white space.
pub fn compress(input: &[u8], out: &mut Vec<u8>) {
    let mut inside = false;
    for &b in input {
        if !is_blank(b) {
            out.push(b);
        } else if !inside {
            out.push(b' ');
        }
        inside = is_blank(b);
    }
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
    out.extend(input.iter().filter(|b| **b != 0));
}

/// Makes spaces of NUL bytes.
pub fn replace_nulls(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|b| if *b == 0 { b' ' } else { *b }));
}

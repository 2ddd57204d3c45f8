//! `lowercase`, `uppercase`.

/// A-Z to a-z.
pub fn lower(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(input);
    out[start..].make_ascii_lowercase();
}

/// a-z to A-Z.
pub fn upper(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(input);
    out[start..].make_ascii_uppercase();
}

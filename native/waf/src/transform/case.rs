//! `lowercase`, `uppercase`.

/// A-Z to a-z.
pub fn lower(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(u8::to_ascii_lowercase));
}

/// a-z to A-Z.
pub fn upper(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(u8::to_ascii_uppercase));
}

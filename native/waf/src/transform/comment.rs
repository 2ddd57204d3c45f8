//! `replaceComments`, `removeComments`, `removeCommentsChar`.

/// Each `/* … */` becomes one space, also when it is not closed.
pub fn replace(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        if input[i..].starts_with(b"/*") {
            out.push(b' ');
            i = end_of(input, i + 2, b"*/");
        } else {
            out.push(input[i]);
            i += 1;
        }
    }
}

/// C and HTML comments vanish; what follows `--` or `#` vanishes to the end.
pub fn remove(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        let rest = &input[i..];
        if rest.starts_with(b"/*") {
            i = end_of(input, i + 2, b"*/");
        } else if rest.starts_with(b"<!--") {
            i = end_of(input, i + 4, b"-->");
        } else if rest.starts_with(b"--") || rest[0] == b'#' {
            return;
        } else {
            out.push(input[i]);
            i += 1;
        }
    }
}

/// Only the marks `/*`, `*/`, `--`, `#`, `<!--` and `-->` vanish.
pub fn remove_marks(input: &[u8], out: &mut Vec<u8>) {
    const MARKS: [&[u8]; 6] = [b"<!--", b"-->", b"/*", b"*/", b"--", b"#"];
    let mut i = 0;
    while i < input.len() {
        match MARKS.iter().find(|m| input[i..].starts_with(m)) {
            Some(m) => i += m.len(),
            None => {
                out.push(input[i]);
                i += 1;
            }
        }
    }
}

fn end_of(input: &[u8], from: usize, mark: &[u8]) -> usize {
    memchr::memmem::find(&input[from..], mark).map_or(input.len(), |at| from + at + mark.len())
}

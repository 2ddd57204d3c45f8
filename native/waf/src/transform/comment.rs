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

/// C and HTML comments vanish, whichever mark ends them; one that is not closed becomes a space. What follows `--` or `#`
/// vanishes to the end. As in ModSecurity the byte behind a comment is not looked at again, and at the end it is NUL.
pub fn remove(input: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < input.len() {
        let rest = &input[i..];
        let mark = if rest.starts_with(b"/*") {
            2
        } else if rest.starts_with(b"<!--") {
            4
        } else if rest.starts_with(b"--") || rest[0] == b'#' {
            return;
        } else {
            out.push(input[i]);
            i += 1;
            continue;
        };
        i = end_of_either(input, i + mark);
        match i.checked_sub(input.len() + 1) {
            Some(_) => out.push(b' '),
            None => out.push(input.get(i).copied().unwrap_or(0)),
        }
        i += 1;
    }
}

/// Where the text behind `*/` or `-->` begins; behind the end if there is neither.
fn end_of_either(input: &[u8], from: usize) -> usize {
    let mut i = from;
    while let Some(at) = input.get(i..).and_then(|rest| memchr::memchr2(b'*', b'-', rest)) {
        i += at;
        if input[i..].starts_with(b"*/") {
            return i + 2;
        }
        if input[i..].starts_with(b"-->") {
            return i + 3;
        }
        i += 1;
    }
    input.len() + 1
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

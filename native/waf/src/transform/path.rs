//! `normalizePath`, `normalizePathWin`.

/// Removes empty and `.` segments and resolves `..`; a path that begins above its root keeps its leading `..`, an
/// absolute one does not; a slash at the end stays.
pub fn normalize(input: &[u8], out: &mut Vec<u8>) {
    clean(input, out, |b| b == b'/');
}

/// The same with backslashes taken for slashes.
pub fn normalize_win(input: &[u8], out: &mut Vec<u8>) {
    clean(input, out, |b| b == b'/' || b == b'\\');
}

/// True when a path certainly stays as it is.
pub fn is_normal(input: &[u8]) -> bool {
    !input.starts_with(b".")
        && memchr::memchr_iter(b'/', input).all(|at| !matches!(input.get(at + 1), Some(b'/' | b'.')))
}

fn clean(input: &[u8], out: &mut Vec<u8>, slash: fn(u8) -> bool) {
    let start = out.len();
    let absolute = input.first().is_some_and(|b| slash(*b));
    if absolute {
        out.push(b'/');
    }
    // What lies before `floor` cannot be removed by a `..`.
    let mut floor = out.len();
    for segment in input.split(|b| slash(*b)) {
        match segment {
            b"" | b"." => {}
            b".." => {
                if out.len() > floor {
                    let cut = out[floor..]
                        .iter()
                        .rposition(|b| *b == b'/')
                        .map_or(floor, |p| floor + p);
                    out.truncate(cut);
                } else if !absolute {
                    separate(out, start);
                    out.extend_from_slice(b"..");
                    floor = out.len();
                }
            }
            s => {
                separate(out, start);
                out.extend_from_slice(s);
            }
        }
    }
    if input.last().is_some_and(|b| slash(*b)) && out.len() > start && out.last() != Some(&b'/') {
        out.push(b'/');
    }
}

fn separate(out: &mut Vec<u8>, start: usize) {
    if out.len() > start && out.last() != Some(&b'/') {
        out.push(b'/');
    }
}

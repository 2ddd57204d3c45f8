//! `cmdLine`.

/// Removes `\ " ' ^`, makes one space of each run of spaces, tabs, line ends, `,` and `;`, removes it before `/` and `(`,
/// and folds letters.
pub fn cmd_line(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    for &b in input {
        match b {
            b'\\' | b'"' | b'\'' | b'^' => {}
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b';' => {
                if out.len() == start || out.last() != Some(&b' ') {
                    out.push(b' ');
                }
            }
            b'/' | b'(' => {
                if out.len() > start && out.last() == Some(&b' ') {
                    out.pop();
                }
                out.push(b);
            }
            b => out.push(b.to_ascii_lowercase()),
        }
    }
}

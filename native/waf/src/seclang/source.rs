//! Physical lines to logical lines: continuation with a trailing backslash, comments, line numbers.

/// Longest logical line, in bytes. The longest of CRS 4 is 13 KB.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// One directive's text and the number of its first line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Logical {
    /// Number of the first physical line.
    pub line: u32,
    /// The joined text without surrounding white space.
    pub text: String,
}

/// Splits a file. As in Apache and ModSecurity 3, a comment that ends with a backslash goes on in the next line.
/// Bytes that are not UTF-8 are kept by the caller's lossless decoding; here only ASCII matters.
pub fn logical_lines(text: &str) -> Vec<Logical> {
    let mut out = Vec::new();
    let mut current = String::new();
    let mut first = 0u32;
    let mut open = false;
    let mut quoted = false;
    for (index, raw) in text.split('\n').enumerate() {
        let line = raw.strip_suffix('\r').unwrap_or(raw);
        if quoted {
            // Lines of a data set are kept as they are.
            current.push('\n');
            current.push_str(line);
            if line.trim_end().ends_with('`') {
                quoted = false;
                finish(&mut out, first, &current);
            }
            continue;
        }
        if !open {
            first = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
            current.clear();
        }
        let joined = line.trim_end_matches([' ', '\t']);
        if let Some(head) = joined.strip_suffix('\\').filter(|h| !ends_escaped(h)) {
            current.push_str(head);
            open = true;
            continue;
        }
        open = false;
        current.push_str(joined);
        if opens_quote(&current) {
            quoted = true;
            continue;
        }
        finish(&mut out, first, &current);
    }
    if open || quoted {
        finish(&mut out, first, &current);
    }
    out
}

/// True for a line that ends with a backtick which none before it closes: what follows belongs to it.
fn opens_quote(line: &str) -> bool {
    let name = line.trim_start().get(..10).unwrap_or("");
    name.eq_ignore_ascii_case("SecDataset") && line.ends_with('`') && line.matches('`').count() == 1
}

/// True when an odd number of backslashes precedes, so that the last one is itself escaped.
fn ends_escaped(head: &str) -> bool {
    head.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn finish(out: &mut Vec<Logical>, line: u32, text: &str) {
    let text = text.trim();
    if !text.is_empty() && !text.starts_with('#') {
        out.push(Logical {
            line,
            text: text.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_numbered_by_their_first() {
        let lines = logical_lines("# c\n\nSecRule A \\\n    \"@rx x\" \\\r\n    \"id:1\"\nSecMarker X\n");
        assert_eq!(
            lines,
            vec![
                Logical {
                    line: 3,
                    text: "SecRule A     \"@rx x\"     \"id:1\"".into()
                },
                Logical {
                    line: 6,
                    text: "SecMarker X".into()
                },
            ]
        );
    }

    #[test]
    fn a_data_set_goes_on_to_its_closing_backtick() {
        let lines = logical_lines("SecDataset d `\n a\\\n# b\n`\nSecMarker X");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].text, "SecDataset d `\n a\\\n# b\n`");
        assert_eq!((lines[1].line, lines[1].text.as_str()), (5, "SecMarker X"));
    }

    #[test]
    fn a_continued_comment_swallows_the_next_line() {
        assert_eq!(logical_lines("# a \\\nSecMarker X\nSecMarker Y").len(), 1);
    }

    #[test]
    fn an_escaped_backslash_at_the_end_does_not_continue() {
        assert_eq!(logical_lines("SecMarker a\\\\\nSecMarker b").len(), 2);
    }
}

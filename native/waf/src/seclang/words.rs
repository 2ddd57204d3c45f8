//! A logical line to its arguments.

use super::diagnostic::Problem;

/// Splits at white space. An argument may stand in double or single quotes; inside, `\"` (or `\'`) is the quote
/// itself and every other backslash stays, since it belongs to a regular expression.
pub fn split(line: &str) -> Result<Vec<String>, Problem> {
    let bytes = line.as_bytes();
    let mut words = Vec::new();
    let mut i = 0;
    loop {
        while i < bytes.len() && bytes[i].is_ascii_whitespace() {
            i += 1;
        }
        let Some(&start) = bytes.get(i) else { return Ok(words) };
        let mut word: Vec<u8> = Vec::new();
        if start == b'`' {
            // Nothing means anything special inside.
            let Some(end) = bytes[i + 1..].iter().position(|b| *b == b'`') else {
                return Err(Problem::new(
                    "the backtick that opens this argument is never closed",
                    "close it with `",
                ));
            };
            word.extend_from_slice(&bytes[i + 1..i + 1 + end]);
            i += end + 2;
        } else if start == b'"' || start == b'\'' {
            i = quoted(bytes, i, &mut word)?;
            if bytes.get(i).is_some_and(|b| !b.is_ascii_whitespace()) {
                return Err(Problem::new(
                    format!("text follows the closing quote: {:?}", tail(line, i)),
                    "put white space after the quote, or a backslash before a quote that belongs to the argument",
                ));
            }
        } else {
            while i < bytes.len() && !bytes[i].is_ascii_whitespace() {
                word.push(bytes[i]);
                i += 1;
            }
        }
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
}

fn quoted(bytes: &[u8], open: usize, word: &mut Vec<u8>) -> Result<usize, Problem> {
    let quote = bytes[open];
    let mut i = open + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if i + 1 < bytes.len() => {
                if bytes[i + 1] != quote {
                    word.push(b'\\');
                }
                word.push(bytes[i + 1]);
                i += 2;
            }
            b if b == quote => return Ok(i + 1),
            b => {
                word.push(b);
                i += 1;
            }
        }
    }
    Err(Problem::new(
        "the quote that opens this argument is never closed",
        "close it, or put a backslash at the end of the line if the argument goes on in the next",
    ))
}

fn tail(line: &str, from: usize) -> String {
    line.get(from..).unwrap_or("").chars().take(24).collect()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn arguments_are_split_and_unquoted() {
        let table: [(&str, &[&str]); 6] = [
            ("SecMarker X", &["SecMarker", "X"]),
            (r#"A "b c" 'd e'"#, &["A", "b c", "d e"]),
            (r#"A "x \"y\" z""#, &["A", r#"x "y" z"#]),
            (r#"A "\\d\s""#, &["A", r"\\d\s"]),
            (r#"A "ends with \\" b"#, &["A", r"ends with \\", "b"]),
            ("  A\t b ", &["A", "b"]),
        ];
        for (line, want) in table {
            assert_eq!(split(line).unwrap(), want, "{line}");
        }
    }

    #[test]
    fn an_open_quote_and_glued_text_are_errors() {
        assert!(split(r#"A "b"#).is_err());
        assert!(split(r#"A "b"c"#).is_err());
    }
}

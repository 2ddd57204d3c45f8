//! Path patterns as written, read into segments.

use crate::{PATTERN_BYTES_MAX, SEGMENTS_MAX};

/// A path pattern as written. Compared with the normalised path (decoded once, dot segments resolved).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathSpec<'a> {
    /// The whole path and nothing else.
    Exact(&'a str),
    /// A path and all below it: `/api` matches `/api`, `/api/` and `/api/x`, not `/apix`. A slash at the end says nothing.
    Prefix(&'a str),
    /// `/users/{id}/orders`; a parameter is one segment of at least one byte. `{rest...}` as the last segment takes everything
    /// after its slash, also nothing: `/files/{rest...}` matches `/files/` but not `/files`.
    Template(&'a str),
    /// A regular expression over the whole path (anchored at both ends, bytes; `\w`, `\d` and `(?i)` are ASCII).
    Regex(&'a str),
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Static(Vec<u8>),
    Param,
}

/// How a pattern ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The path ends here.
    Closed,
    /// A slash and anything follow.
    Rest,
    /// The path ends here, or a slash and anything follow.
    Open,
}

/// A pattern that is not a regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub segments: Vec<Segment>,
    pub end: End,
}

impl Pattern {
    pub fn exact(text: &str) -> Result<Self, String> {
        let segments = statics(after_slash(text)?)?;
        Ok(Self {
            segments,
            end: End::Closed,
        })
    }

    pub fn prefix(text: &str) -> Result<Self, String> {
        let body = after_slash(text)?;
        let segments = if body.is_empty() {
            Vec::new()
        } else {
            statics(body.strip_suffix('/').unwrap_or(body))?
        };
        Ok(Self {
            segments,
            end: End::Open,
        })
    }

    pub fn template(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut parts = after_slash(text)?.split('/').peekable();
        while let Some(part) = parts.next() {
            bounded(segments.len())?;
            let Some(inner) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
                if part.contains(['{', '}']) {
                    return Err(format!("`{part}`: a parameter is a whole segment, as in /users/{{id}}"));
                }
                segments.push(Segment::Static(literal(part)?));
                continue;
            };
            let (name, rest) = inner.strip_suffix("...").map_or((inner, false), |name| (name, true));
            if !is_name(name) {
                return Err(format!(
                    "`{{{inner}}}`: a parameter's name is a letter or _ and then letters, digits, _ or -"
                ));
            }
            if names.contains(&name) {
                return Err(format!("the parameter `{name}` occurs twice"));
            }
            names.push(name);
            if rest {
                if parts.peek().is_some() {
                    return Err(format!("`{{{inner}}}` must be the last segment"));
                }
                return Ok(Self {
                    segments,
                    end: End::Rest,
                });
            }
            segments.push(Segment::Param);
        }
        Ok(Self {
            segments,
            end: End::Closed,
        })
    }
}

fn after_slash(text: &str) -> Result<&str, String> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "the path has {} bytes; at most {PATTERN_BYTES_MAX} are allowed",
            text.len()
        ));
    }
    text.strip_prefix('/')
        .ok_or_else(|| format!("the path `{text}` must begin with /"))
}

fn statics(body: &str) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    for part in body.split('/') {
        bounded(segments.len())?;
        segments.push(Segment::Static(literal(part)?));
    }
    Ok(segments)
}

fn bounded(segments: usize) -> Result<(), String> {
    if segments >= SEGMENTS_MAX {
        return Err(format!("the path has more than {SEGMENTS_MAX} segments"));
    }
    Ok(())
}

/// A segment that a normalised path can have; one that it cannot would make a route that never matches.
fn literal(part: &str) -> Result<Vec<u8>, String> {
    if part == "." || part == ".." {
        return Err(format!(
            "`{part}`: a normalised path has no dot segments, so this never matches"
        ));
    }
    if part.bytes().any(|b| b < 0x20 || b == 0x7F) {
        return Err("the path has control characters".to_string());
    }
    Ok(part.as_bytes().to_vec())
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(s: &str) -> Segment {
        Segment::Static(s.as_bytes().to_vec())
    }

    #[test]
    fn a_slash_at_the_end_is_a_segment_of_an_exact_path_and_nothing_in_a_prefix() {
        assert_eq!(Pattern::exact("/a/").unwrap().segments, [fixed("a"), fixed("")]);
        assert_eq!(Pattern::prefix("/a/").unwrap(), Pattern::prefix("/a").unwrap());
        assert_eq!(Pattern::prefix("/").unwrap().segments, []);
        assert_eq!(Pattern::exact("/").unwrap().segments, [fixed("")]);
    }

    #[test]
    fn templates_are_read_by_segment() {
        let t = Pattern::template("/users/{id}/{rest...}").unwrap();
        assert_eq!(t.segments, [fixed("users"), Segment::Param]);
        assert_eq!(t.end, End::Rest);
    }

    #[test]
    fn bad_templates_say_what_is_wrong() {
        for (text, says) in [
            ("users", "must begin with /"),
            ("/a{id}", "whole segment"),
            ("/{}", "name is a letter"),
            ("/{1}", "name is a letter"),
            ("/{a}/{a}", "occurs twice"),
            ("/{a...}/b", "must be the last segment"),
            ("/a/../b", "no dot segments"),
            ("/a\u{1}", "control characters"),
        ] {
            let error = Pattern::template(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(
            Pattern::exact(&format!("/{}", "a/".repeat(64)))
                .unwrap_err()
                .contains("64 segments")
        );
        assert!(
            Pattern::prefix(&format!("/{}", "a".repeat(2048)))
                .unwrap_err()
                .contains("2048")
        );
    }
}

//! The heads of the parts of a multipart body: their lines, and the names that a disposition gives (RFC 7578 §4.2).

use super::Sink;
use crate::seclang::variable::Var;

/// Most header lines of one part.
const PART_HEADERS_MAX: usize = 64;
/// Most bytes of the head of one part.
const PART_HEAD_BYTES_MAX: usize = 16 * 1024;

/// How the lines of delimiters and heads end. Those of contents may end as they like: they are the sender's own.
#[derive(Default)]
pub struct LineEnds {
    crlf: bool,
    bare: bool,
}

impl LineEnds {
    /// Looks at the end of a text.
    pub fn note(&mut self, text: &[u8]) {
        if text.ends_with(b"\r\n") {
            self.crlf = true;
        } else if text.ends_with(b"\n") {
            self.bare = true;
        }
    }

    /// Sets the flags.
    pub fn tell(&self, sink: &mut dyn Sink) {
        if self.bare {
            sink.flag(Var::MultipartLfLine);
            if self.crlf {
                sink.flag(Var::MultipartCrlfLfLines);
            }
        }
    }
}

/// A line without its end.
pub fn trim_line(raw: &[u8]) -> &[u8] {
    raw.strip_suffix(b"\r\n").or(raw.strip_suffix(b"\n")).unwrap_or(raw)
}

/// The head of a part.
pub struct Head<'a> {
    /// Its lines, unfolded.
    pub lines: Vec<Vec<u8>>,
    /// What follows it.
    pub content: &'a [u8],
    /// A last line that has no end.
    pub open: Option<&'a [u8]>,
    /// Why it cannot be understood.
    pub wrong: Option<&'static str>,
}

/// Splits a part; a NUL and what only some servers take for a line end set a flag.
pub fn head<'a>(part: &'a [u8], ends: &mut LineEnds, sink: &mut dyn Sink) -> Head<'a> {
    let mut out = Head {
        lines: Vec::new(),
        content: part,
        open: None,
        wrong: None,
    };
    let mut bytes = 0;
    loop {
        let rest = out.content;
        let Some(at) = memchr::memchr(b'\n', rest) else {
            sink.flag(Var::MultipartInvalidPart);
            out.wrong = Some("a part of the multipart body has no end of its head");
            out.open = Some(rest);
            return out;
        };
        ends.note(&rest[..=at]);
        let line = trim_line(&rest[..=at]);
        out.content = &rest[at + 1..];
        bytes += at + 1;
        if line.is_empty() {
            return out;
        }
        if line.contains(&b'\r') {
            sink.flag(Var::MultipartInvalidPart);
        }
        if line.contains(&0) {
            sink.flag(Var::MultipartInvalidPart);
            out.wrong = Some("the head of a part holds a NUL");
        }
        if bytes > PART_HEAD_BYTES_MAX || out.lines.len() >= PART_HEADERS_MAX {
            sink.flag(Var::MultipartInvalidPart);
            out.wrong = Some("the head of a part of the multipart body is too long");
            return out;
        }
        if line[0] != b' ' && line[0] != b'\t' {
            out.lines.push(line.to_vec());
            continue;
        }
        sink.flag(Var::MultipartHeaderFolding);
        if let Some(last) = out.lines.last_mut() {
            last.push(b' ');
            last.extend_from_slice(line.trim_ascii());
        } else {
            sink.flag(Var::MultipartInvalidHeaderFolding);
            out.wrong = Some("the head of a part begins with a folded line");
            return out;
        }
    }
}

/// Field name and file name of a part with these header lines.
#[allow(clippy::type_complexity, reason = "a pair of names")]
pub fn names(lines: &[Vec<u8>], sink: &mut dyn Sink) -> Result<(Vec<u8>, Option<Vec<u8>>), &'static str> {
    let mut disposition: Option<&[u8]> = None;
    for line in lines {
        let Some(at) = memchr::memchr(b':', line) else {
            sink.flag(Var::MultipartInvalidPart);
            return Err("a header of a part has no colon");
        };
        let name = &line[..at];
        if name.iter().any(u8::is_ascii_whitespace) {
            // Some servers read such a header, others pass it over.
            sink.flag(Var::MultipartInvalidPart);
        }
        if name.trim_ascii().eq_ignore_ascii_case(b"content-disposition") {
            if disposition.is_some() {
                sink.flag(Var::MultipartInvalidPart);
                return Err("a part has two dispositions");
            }
            disposition = Some(line[at + 1..].trim_ascii());
        }
    }
    let Some(disposition) = disposition else {
        sink.flag(Var::MultipartInvalidPart);
        return Err("a part has no disposition");
    };
    disposition_names(disposition, sink)
}

/// Field name and file name of a disposition.
#[allow(clippy::type_complexity, reason = "a pair of names")]
fn disposition_names(disposition: &[u8], sink: &mut dyn Sink) -> Result<(Vec<u8>, Option<Vec<u8>>), &'static str> {
    let Some(mut rest) = disposition
        .get(..9)
        .filter(|h| h.eq_ignore_ascii_case(b"form-data"))
        .map(|_| &disposition[9..])
    else {
        sink.flag(Var::MultipartInvalidPart);
        return Err("a part is no form data");
    };
    let (mut name, mut filename, mut wide_filename) = (None, None, None);
    loop {
        rest = rest.trim_ascii_start();
        let Some((first, after)) = rest.split_first() else {
            break;
        };
        if *first == b';' {
            rest = after.trim_ascii_start();
        } else {
            sink.flag(Var::MultipartMissingSemicolon);
        }
        if rest.is_empty() {
            break;
        }
        let Some(at) = memchr::memchr(b'=', rest) else {
            sink.flag(Var::MultipartInvalidPart);
            return Err("a parameter of a disposition has no value");
        };
        let (key, value) = (rest[..at].trim_ascii_end(), rest[at + 1..].trim_ascii_start());
        if key.len() < at || value.len() < rest.len() - at - 1 {
            // RFC 2045 §5.1 has no space there: to some servers what stands so is no parameter, and an upload is a field.
            sink.flag(Var::MultipartInvalidPart);
        }
        let key = key.to_ascii_lowercase();
        let to = match key.as_slice() {
            b"name" => &mut name,
            b"filename" => &mut filename,
            b"filename*" => &mut wide_filename,
            _ => {
                sink.flag(Var::MultipartInvalidPart);
                return Err("a parameter of a disposition is unknown");
            }
        };
        let (value, next) = if key == b"filename*" {
            // RFC 7578 §4.2 forbids it, and not all servers read it.
            sink.flag(Var::MultipartInvalidPart);
            extended_value(value)?
        } else {
            parameter_value(value, sink)?
        };
        rest = next;
        if to.is_some() {
            sink.flag(Var::MultipartInvalidPart);
            return Err("a disposition names something twice");
        }
        *to = Some(value);
    }
    match name {
        // What a server prefers is the wide name (RFC 6266 §4.3); rules see it.
        Some(n) => Ok((n, wide_filename.or(filename))),
        None => {
            sink.flag(Var::MultipartInvalidPart);
            Err("a part has no name")
        }
    }
}

/// `charset'language'value` (RFC 5987 §3.2), with its percent escapes decoded.
#[allow(clippy::type_complexity, reason = "a value and what follows")]
fn extended_value(rest: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    const WRONG: &str = "an extended parameter of a disposition is malformed";
    let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
    let (text, next) = rest.split_at(end);
    let mut parts = text.trim_ascii_end().splitn(3, |b| *b == b'\'');
    let (charset, _language, value) = (parts.next(), parts.next().ok_or(WRONG)?, parts.next().ok_or(WRONG)?);
    if charset.is_none_or(<[u8]>::is_empty) {
        return Err(WRONG);
    }
    let attribute = |b: &u8| b.is_ascii_alphanumeric() || b"!#$&+-.^_`|~%".contains(b);
    if !value.iter().all(attribute) || crate::transform::has_wrong_escape(value) {
        return Err(WRONG);
    }
    let mut out = Vec::new();
    super::percent_decode(value, &mut out);
    Ok((out, next))
}

fn parameter_value<'a>(rest: &'a [u8], sink: &mut dyn Sink) -> Result<(Vec<u8>, &'a [u8]), &'static str> {
    let mut out = Vec::new();
    let quote = match rest.first() {
        Some(q @ (b'"' | b'\'')) => *q,
        _ => {
            let end = rest
                .iter()
                .position(|b| *b == b';' || b.is_ascii_whitespace())
                .unwrap_or(rest.len());
            return Ok((rest[..end].to_vec(), &rest[end..]));
        }
    };
    if quote == b'\'' {
        // Only some parsers take a single quote for a quote.
        sink.flag(Var::MultipartInvalidQuoting);
    }
    let mut i = 1;
    while i < rest.len() {
        match rest[i] {
            b'\\' if matches!(rest.get(i + 1), Some(b'"' | b'\\')) => {
                out.push(rest[i + 1]);
                i += 2;
            }
            b if b == quote => return Ok((out, &rest[i + 1..])),
            b => {
                out.push(b);
                i += 1;
            }
        }
    }
    sink.flag(Var::MultipartInvalidQuoting);
    Err("a quoted parameter of a disposition is never closed")
}

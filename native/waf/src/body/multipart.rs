//! `multipart/form-data` (RFC 7578, RFC 2046 §5.1), strict: whatever an application might read differently sets a flag
//! that rules can see, or makes the body an error.

use super::Sink;
use crate::engine::Limit;
use crate::seclang::variable::Var;

/// Longest boundary, RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;
/// Most header lines of one part.
const PART_HEADERS_MAX: usize = 64;
/// Most bytes of the head of one part.
const PART_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Parses a body.
pub fn parse(content: &[u8], content_type: &[u8], files_max: usize, sink: &mut dyn Sink) -> Result<(), &'static str> {
    let boundary = boundary(content_type, sink)?;
    let mut delimiter = b"--".to_vec();
    delimiter.extend_from_slice(&boundary);
    let mut files = Files {
        left: files_max,
        bytes: 0,
    };
    let mut part: Option<(usize, usize)> = None;
    let mut closed = false;
    let mut parts = 0usize;
    let mut line_start = 0;
    let (mut crlf, mut bare) = (false, false);
    while line_start < content.len() {
        let end = memchr::memchr(b'\n', &content[line_start..]).map_or(content.len(), |n| line_start + n + 1);
        let raw = &content[line_start..end];
        if raw.ends_with(b"\r\n") {
            crlf = true;
        } else if raw.ends_with(b"\n") {
            bare = true;
        }
        let line = trim_line(raw);
        match kind(line, &delimiter) {
            Kind::Data => {
                if closed && !line.is_empty() {
                    sink.flag(Var::MultipartDataAfter);
                } else if part.is_none() && !closed && !line.is_empty() {
                    sink.flag(Var::MultipartDataBefore);
                }
                if line.starts_with(b"--") && (line.len() > 2) && looks_like(line, &delimiter) {
                    sink.flag(Var::MultipartUnmatchedBoundary);
                }
            }
            found => {
                if closed {
                    sink.flag(Var::MultipartDataAfter);
                }
                if let Some((from, _)) = part.take() {
                    let to = content[..line_start]
                        .strip_suffix(b"\r\n")
                        .or(content[..line_start].strip_suffix(b"\n"))
                        .map_or(line_start, <[u8]>::len);
                    parts += 1;
                    if !one_part(&content[from..to.max(from)], &mut files, sink)? {
                        return Ok(());
                    }
                }
                match found {
                    Kind::Last => closed = true,
                    _ => part = Some((end, 0)),
                }
            }
        }
        line_start = end;
    }
    if bare {
        sink.flag(Var::MultipartLfLine);
        if crlf {
            sink.flag(Var::MultipartCrlfLfLines);
        }
    }
    sink.number(Var::FilesCombinedSize, files.bytes);
    match (closed, part) {
        (true, _) if parts == 0 => Err("the multipart body has no part"),
        (true, _) => Ok(()),
        (false, Some((from, _))) => {
            // What is there counts, and the missing end is an error.
            one_part(&content[from..], &mut files, sink)?;
            Err("the last boundary of the multipart body is missing")
        }
        (false, None) => Err("the multipart body has no boundary"),
    }
}

struct Files {
    left: usize,
    bytes: i64,
}

enum Kind {
    Data,
    Next,
    Last,
}

fn kind(line: &[u8], delimiter: &[u8]) -> Kind {
    match line.strip_prefix(delimiter).map(<[u8]>::trim_ascii_end) {
        Some(b"") => Kind::Next,
        Some(b"--") => Kind::Last,
        _ => Kind::Data,
    }
}

/// True for a line that a lax parser might take for a boundary.
fn looks_like(line: &[u8], delimiter: &[u8]) -> bool {
    line.starts_with(delimiter) || line.len() >= delimiter.len() && line.trim_ascii().eq_ignore_ascii_case(delimiter)
}

fn trim_line(raw: &[u8]) -> &[u8] {
    raw.strip_suffix(b"\r\n").or(raw.strip_suffix(b"\n")).unwrap_or(raw)
}

/// The boundary of the media type.
fn boundary(content_type: &[u8], sink: &mut dyn Sink) -> Result<Vec<u8>, &'static str> {
    let mut found: Option<Vec<u8>> = None;
    for parameter in content_type.split(|b| *b == b';' || *b == b',').skip(1) {
        let trimmed = parameter.trim_ascii();
        let Some(at) = memchr::memchr(b'=', trimmed) else {
            continue;
        };
        if !trimmed[..at].trim_ascii().eq_ignore_ascii_case(b"boundary") {
            continue;
        }
        if found.is_some() {
            return Err("the media type names two boundaries");
        }
        let value = &trimmed[at + 1..];
        if trimmed[..at].len() != trimmed[..at].trim_ascii().len() || value.first().is_some_and(u8::is_ascii_whitespace)
        {
            sink.flag(Var::MultipartBoundaryWhitespace);
        }
        let value = value.trim_ascii();
        let bare = match value.strip_prefix(b"\"") {
            Some(rest) => {
                sink.flag(Var::MultipartBoundaryQuoted);
                rest.strip_suffix(b"\"").ok_or("the quoted boundary is never closed")?
            }
            None => value,
        };
        let fits = !bare.is_empty() && bare.len() <= BOUNDARY_BYTES_MAX;
        if !fits || !bare.iter().all(|b| (0x20..0x7f).contains(b) && *b != b'"') {
            return Err("the boundary of the media type is malformed");
        }
        found = Some(bare.to_vec());
    }
    found.ok_or("the media type names no boundary")
}

/// Reads one part. False when there is no room for more arguments.
fn one_part(part: &[u8], files: &mut Files, sink: &mut dyn Sink) -> Result<bool, &'static str> {
    let mut rest = part;
    let mut disposition: Option<Vec<u8>> = None;
    let mut headers: Vec<Vec<u8>> = Vec::new();
    let mut head_bytes = 0;
    loop {
        let Some(at) = memchr::memchr(b'\n', rest) else {
            sink.flag(Var::MultipartInvalidPart);
            return Err("a part of the multipart body has no end of its head");
        };
        let line = trim_line(&rest[..=at]);
        rest = &rest[at + 1..];
        head_bytes += at + 1;
        if line.is_empty() {
            break;
        }
        if line.contains(&0) {
            sink.flag(Var::MultipartInvalidPart);
            return Err("the head of a part holds a NUL");
        }
        if head_bytes > PART_HEAD_BYTES_MAX || headers.len() >= PART_HEADERS_MAX {
            sink.flag(Var::MultipartInvalidPart);
            return Err("the head of a part of the multipart body is too long");
        }
        if line[0] == b' ' || line[0] == b'\t' {
            sink.flag(Var::MultipartHeaderFolding);
            match headers.last_mut() {
                Some(last) => {
                    last.push(b' ');
                    last.extend_from_slice(line.trim_ascii());
                }
                None => {
                    sink.flag(Var::MultipartInvalidHeaderFolding);
                    return Err("the head of a part begins with a folded line");
                }
            }
            continue;
        }
        headers.push(line.to_vec());
    }
    for line in &headers {
        let Some(at) = memchr::memchr(b':', line) else {
            sink.flag(Var::MultipartInvalidPart);
            return Err("a header of a part has no colon");
        };
        if line[..at].trim_ascii().eq_ignore_ascii_case(b"content-disposition") {
            if disposition.is_some() {
                sink.flag(Var::MultipartInvalidPart);
                return Err("a part has two dispositions");
            }
            disposition = Some(line[at + 1..].trim_ascii().to_vec());
        }
    }
    let Some(disposition) = disposition else {
        sink.flag(Var::MultipartInvalidPart);
        return Err("a part has no disposition");
    };
    let (name, filename) = names(&disposition, sink)?;
    for line in &headers {
        sink.item(Var::MultipartPartHeaders, &name, line);
    }
    sink.item(Var::MultipartName, &name, &name);
    let Some(filename) = filename else {
        return Ok(sink.argument(&name, rest));
    };
    if files.left == 0 {
        sink.flag(Var::MultipartFileLimitExceeded);
        sink.exceed(Limit::Files);
        return Ok(false);
    }
    files.left -= 1;
    files.bytes = files.bytes.saturating_add_unsigned(rest.len() as u64);
    sink.item(Var::Files, &name, &filename);
    sink.item(Var::FilesNames, &name, &name);
    sink.item(Var::FilesTmpContent, &name, rest);
    sink.item(Var::MultipartFilename, &name, &filename);
    let mut size = Vec::new();
    crate::bytes::push_int(&mut size, i64::try_from(rest.len()).unwrap_or(i64::MAX));
    sink.item(Var::FilesSizes, &name, &size);
    Ok(true)
}

/// Field name and file name of a disposition.
#[allow(clippy::type_complexity, reason = "a pair of names")]
fn names(disposition: &[u8], sink: &mut dyn Sink) -> Result<(Vec<u8>, Option<Vec<u8>>), &'static str> {
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
        let key = rest[..at].trim_ascii().to_ascii_lowercase();
        let value = rest[at + 1..].trim_ascii_start();
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

#[cfg(test)]
mod tests {
    use super::super::tests::{Collected, collected};
    use super::*;

    fn run(body: &str, content_type: &str) -> (Result<(), &'static str>, Collected) {
        let mut c = collected();
        let r = parse(body.as_bytes(), content_type.as_bytes(), 2, &mut c);
        (r, c)
    }

    const TYPE: &str = "multipart/form-data; boundary=XX";

    #[test]
    fn fields_and_files_are_found() {
        let body = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv1\r\nv2\r\n--XX\r\nContent-Disposition: form-data; name=f; filename=\"x\\\".php\"\r\nContent-Type: text/plain\r\n\r\ndata\r\n--XX--\r\n";
        let (r, c) = run(body, TYPE);
        r.unwrap();
        assert_eq!(c.arguments, [("a".to_owned(), "v1\r\nv2".to_owned())]);
        assert!(c.items.contains(&(Var::Files, "f".into(), "x\".php".into())));
        assert!(c.items.contains(&(Var::FilesTmpContent, "f".into(), "data".into())));
        assert!(
            c.items
                .contains(&(Var::MultipartPartHeaders, "f".into(), "Content-Type: text/plain".into()))
        );
        assert_eq!(c.flags, []);
    }

    #[test]
    fn wide_file_names_are_decoded_and_flagged() {
        let body = "--XX\r\nContent-Disposition: form-data; name=f; filename=\"a.txt\"; filename*=UTF-8'en'%2e%2e%2fx.php\r\n\r\nd\r\n--XX--\r\n";
        let (r, c) = run(body, TYPE);
        r.unwrap();
        assert!(
            c.items.contains(&(Var::Files, "f".into(), "../x.php".into())),
            "{:?}",
            c.items
        );
        assert_eq!(c.flags, [Var::MultipartInvalidPart]);
    }

    #[test]
    fn what_parsers_may_read_differently_is_flagged() {
        let part = "Content-Disposition: form-data; name=\"a\"\r\n\r\nv\r\n";
        for (body, content_type, flag) in [
            (format!("x\r\n--XX\r\n{part}--XX--\r\n"), TYPE, Var::MultipartDataBefore),
            (format!("--XX\r\n{part}--XX--\r\nx"), TYPE, Var::MultipartDataAfter),
            (format!("--XX\n{part}--XX--\r\n"), TYPE, Var::MultipartLfLine),
            (
                format!("--XX\r\n{part}--XXY\r\n--XX--\r\n"),
                TYPE,
                Var::MultipartUnmatchedBoundary,
            ),
            (
                format!("--XX\r\n{part}--XX--\r\n"),
                "multipart/form-data; boundary=\"XX\"",
                Var::MultipartBoundaryQuoted,
            ),
            (
                "--XX\r\nContent-Disposition: form-data; name='a'\r\n\r\nv\r\n--XX--\r\n".into(),
                TYPE,
                Var::MultipartInvalidQuoting,
            ),
            (
                "--XX\r\nContent-Disposition: form-data name=a\r\n\r\nv\r\n--XX--\r\n".into(),
                TYPE,
                Var::MultipartMissingSemicolon,
            ),
            (
                "--XX\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\nv\r\n--XX--\r\n".into(),
                TYPE,
                Var::MultipartHeaderFolding,
            ),
        ] {
            let (_, c) = run(&body, content_type);
            assert!(c.flags.contains(&flag), "{body:?} {:?}", c.flags);
        }
    }

    #[test]
    fn broken_bodies_are_errors() {
        for (body, content_type) in [
            ("", TYPE),
            ("x", TYPE),
            ("--XX--\r\n", TYPE),
            (
                "--XX\r\nContent-Disposition: form-data; name=a; x=y\r\n\r\nv\r\n--XX--",
                TYPE,
            ),
            (
                "--XX\r\nContent-Disposition: form-data; name=a; filename*=UTF-8'%41\r\n\r\nv\r\n--XX--",
                TYPE,
            ),
            (
                "--XX\r\nContent-Disposition: form-data; name=\0a\r\n\r\nv\r\n--XX--",
                TYPE,
            ),
            ("--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nv", TYPE),
            ("--XX\r\nX: y\r\n\r\nv\r\n--XX--", TYPE),
            (
                "--XX\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nv\r\n--XX--",
                TYPE,
            ),
            ("--XX--", "multipart/form-data"),
            ("--XX--", "multipart/form-data; boundary=XX; boundary=YY"),
        ] {
            assert!(run(body, content_type).0.is_err(), "{body:?} {content_type}");
        }
    }
}

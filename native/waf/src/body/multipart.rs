//! `multipart/form-data` (RFC 7578, RFC 2046 §5.1), strict: whatever an application might read differently sets a flag
//! that rules can see, or makes the body an error.

use super::Sink;
use super::part::{LineEnds, head, names, trim_line};
use crate::engine::Limit;
use crate::seclang::variable::Var;

/// Longest boundary, RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;
/// What it may hold beside letters and digits, RFC 2046 §5.1.1.
const BOUNDARY_MARKS_QUOTED: &[u8] = b"'()+_,-./:=? ";
/// Those of them that may stand without quotes (a token, RFC 2045 §5.1): at any other some readers end it, and some take `<` and `>` off its ends, so that parts for them are content here.
const BOUNDARY_MARKS: &[u8] = b"'+_-.";

/// Parses a body.
pub fn parse(content: &[u8], content_type: &[u8], files_max: usize, sink: &mut dyn Sink) -> Result<(), &'static str> {
    let boundary = boundary(content_type, sink)?;
    let mut delimiter = b"--".to_vec();
    delimiter.extend_from_slice(&boundary);
    let anywhere = memchr::memmem::Finder::new(&delimiter);
    let mut files = Files {
        left: files_max,
        bytes: 0,
        ends: LineEnds::default(),
    };
    let mut part: Option<usize> = None;
    let mut closed = false;
    let mut line_start = 0;
    while line_start < content.len() {
        let end = memchr::memchr(b'\n', &content[line_start..]).map_or(content.len(), |n| line_start + n + 1);
        let raw = &content[line_start..end];
        let line = trim_line(raw);
        match kind(line, &delimiter) {
            Kind::Data => {
                if part.is_none() {
                    files.ends.note(raw);
                    if !line.is_empty() {
                        sink.flag(if closed {
                            Var::MultipartDataAfter
                        } else {
                            Var::MultipartDataBefore
                        });
                    }
                }
                // Servers differ in what may stand before and behind a delimiter: one that is none here may be one there.
                if anywhere.find(line).is_some() || looks_like(line, &delimiter) {
                    sink.flag(Var::MultipartUnmatchedBoundary);
                }
            }
            found => {
                if closed {
                    sink.flag(Var::MultipartDataAfter);
                }
                if line.last().is_some_and(u8::is_ascii_whitespace) {
                    sink.flag(Var::MultipartBoundaryWhitespace);
                }
                files.ends.note(raw);
                if let Some(from) = part.take() {
                    // The line end before a delimiter belongs to it (RFC 2046 §5.1.1).
                    files.ends.note(&content[from..line_start]);
                    if !one_part(trim_line(&content[from..line_start]), true, &mut files, sink)? {
                        return Ok(());
                    }
                }
                match found {
                    Kind::Last => closed = true,
                    _ => part = Some(end),
                }
            }
        }
        line_start = end;
    }
    files.ends.tell(sink);
    sink.number(Var::FilesCombinedSize, files.bytes);
    match (closed, part) {
        // Browsers send forms without fields so, although RFC 2046 §5.1.1 wants a part.
        (true, _) => Ok(()),
        (false, Some(from)) => {
            // What is there counts, and the missing end is an error.
            one_part(&content[from..], false, &mut files, sink)?;
            sink.cut();
            Err("the last boundary of the multipart body is missing")
        }
        (false, None) => Err("the multipart body has no boundary"),
    }
}

struct Files {
    left: usize,
    bytes: i64,
    ends: LineEnds,
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

/// True for a line that differs from a delimiter only in the case of its letters.
fn looks_like(line: &[u8], delimiter: &[u8]) -> bool {
    line.starts_with(b"--") && line.trim_ascii().eq_ignore_ascii_case(delimiter)
}

/// The boundary of the media type.
fn boundary(content_type: &[u8], sink: &mut dyn Sink) -> Result<Vec<u8>, &'static str> {
    let mut found: Option<Vec<u8>> = None;
    for parameter in content_type.split(|b| *b == b';' || *b == b',').skip(1) {
        let trimmed = parameter.trim_ascii();
        let Some(at) = memchr::memchr(b'=', trimmed) else {
            continue;
        };
        let key = trimmed[..at].trim_ascii();
        if !key.eq_ignore_ascii_case(b"boundary") {
            // Continuations and other charsets (RFC 2231), which some servers put in the place of the plain one.
            if key.get(..9).is_some_and(|k| k.eq_ignore_ascii_case(b"boundary*")) {
                return Err("the media type names its boundary in a way that not all read");
            }
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
        let (bare, beside) = match value.strip_prefix(b"\"") {
            Some(rest) => {
                sink.flag(Var::MultipartBoundaryQuoted);
                let bare = rest.strip_suffix(b"\"").ok_or("the quoted boundary is never closed")?;
                (bare, BOUNDARY_MARKS_QUOTED)
            }
            None => (value, BOUNDARY_MARKS),
        };
        let fits = !bare.is_empty() && bare.len() <= BOUNDARY_BYTES_MAX && !bare.ends_with(b" ");
        if !fits || !bare.iter().all(|b| b.is_ascii_alphanumeric() || beside.contains(b)) {
            return Err("the boundary of the media type is malformed");
        }
        found = Some(bare.to_vec());
    }
    found.ok_or("the media type names no boundary")
}

/// Reads one part; `ended`: a delimiter follows it. False when there is no room for more arguments.
fn one_part(part: &[u8], ended: bool, files: &mut Files, sink: &mut dyn Sink) -> Result<bool, &'static str> {
    let head = head(part, &mut files.ends, sink);
    let (name, filename) = match head.wrong.map_or_else(|| names(&head.lines, sink), Err) {
        Ok(found) => found,
        Err(reason) => {
            // What is there of the head is seen, although nobody knows whose it is.
            for line in &head.lines {
                sink.item(Var::MultipartPartHeaders, b"", line);
            }
            if let Some(open) = head.open {
                sink.argument(b"", open);
                if !ended {
                    sink.cut();
                }
            }
            return Err(reason);
        }
    };
    for line in &head.lines {
        sink.item(Var::MultipartPartHeaders, &name, line);
    }
    sink.item(Var::MultipartName, &name, &name);
    let rest = head.content;
    // Without a name for it nothing is uploaded: many servers take such a part for a field, as ModSecurity does.
    let filename = filename.filter(|f| !f.is_empty());
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
    fn what_uploads_hold_is_the_senders_own() {
        let body = "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\none\ntwo\n\r\n--XX\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\none\ntwo\r\n--XX--\r\n";
        let (r, c) = run(body, TYPE);
        r.unwrap();
        assert_eq!(c.flags, []);
        assert_eq!(c.arguments, [("t".to_owned(), "one\ntwo".to_owned())]);
    }

    #[test]
    fn what_some_server_takes_for_a_delimiter_is_flagged_wherever_it_stands() {
        let field = "Content-Disposition: form-data; name=\"a\"";
        let upload = format!("{field}; filename=\"x\"");
        for (inside, flag) in [
            ("d\r--XX\r{field}\r\rv\r--XX--", Var::MultipartUnmatchedBoundary),
            ("d--XX\r\n{field}\r\n\r\nv", Var::MultipartUnmatchedBoundary),
            (" --XX\r\n{field}\r\n\r\nv", Var::MultipartUnmatchedBoundary),
            ("d\r\n--XX--x", Var::MultipartUnmatchedBoundary),
            ("d\n--XX\r\n{field}\r\n\r\nv", Var::MultipartLfLine),
            ("d\r\n--XX \r\n{field}\r\n\r\nv", Var::MultipartBoundaryWhitespace),
        ] {
            let inside = inside.replace("{field}", field);
            let (_, c) = run(&format!("--XX\r\n{upload}\r\n\r\n{inside}\r\n--XX--\r\n"), TYPE);
            assert!(c.flags.contains(&flag), "{inside:?} {:?}", c.flags);
        }
        let (_, c) = run(&format!("--XX\r\n{upload}\r\nX: y\r\rv\r\n\r\nd\r\n--XX--\r\n"), TYPE);
        assert_eq!(c.flags, [Var::MultipartInvalidPart], "a head that ends at a bare CR");
        let continued = "multipart/form-data; boundary=XX; boundary*0=Y; boundary*1=Y";
        assert!(
            run(&format!("--XX\r\n{field}\r\n\r\nv\r\n--XX--\r\n"), continued)
                .0
                .is_err()
        );
    }

    #[test]
    fn space_that_hides_a_parameter_or_a_header_from_some_servers_is_flagged() {
        for head in [
            "Content-Disposition: form-data; name=\"a\"; filename =\"f\"",
            "Content-Disposition: form-data; name=\"a\"; filename= \"f\"",
            "Content-Disposition : form-data; name=\"a\"; filename=\"f\"",
            "Content-Disposition: form-data; name=\"a\"; filename=\"f\"\r\nContent-Type\t: text/plain",
        ] {
            let (r, c) = run(&format!("--XX\r\n{head}\r\n\r\nd\r\n--XX--\r\n"), TYPE);
            r.unwrap();
            assert_eq!(c.flags, [Var::MultipartInvalidPart], "{head}");
        }
    }

    #[test]
    fn a_form_without_fields_is_well_formed() {
        for (body, content_type) in [
            ("--XX--\r\n", TYPE),
            ("------a.b_C+'9--\r\n", "multipart/form-data; boundary=----a.b_C+'9"),
        ] {
            let (r, c) = run(body, content_type);
            r.unwrap();
            assert_eq!((c.arguments.len(), c.flags.len()), (0, 0));
        }
    }

    #[test]
    fn a_part_whose_file_has_no_name_is_a_field() {
        let (r, c) = run(
            "--XX\r\nContent-Disposition: form-data; name=a; filename=\"\"\r\n\r\nv\r\n--XX--\r\n",
            TYPE,
        );
        r.unwrap();
        assert_eq!(c.arguments, [("a".to_owned(), "v".to_owned())]);
        assert!(!c.items.iter().any(|(var, ..)| *var == Var::Files));
    }

    #[test]
    fn of_a_broken_head_what_is_there_is_seen() {
        let (r, c) = run(
            "--XX\r\nContent-Disposition: form-data; name=a\r\nX-\0: <script>\r\n\r\nv\r\n--XX--\r\n",
            TYPE,
        );
        assert!(r.is_err());
        assert_eq!(c.items.len(), 2, "{:?}", c.items);
        let (r, c) = run("--XX\r\nContent-Disposition: form-data; name=\"attack", TYPE);
        assert!(r.is_err() && c.cut && c.arguments.len() == 1, "{:?}", c.arguments);
        let (r, c) = run("--XX\r\nX: y\r\n\r\nv\r\n--XX\r\n", TYPE);
        assert!(r.is_err() && !c.cut);
    }

    #[test]
    fn broken_bodies_are_errors() {
        for (body, content_type) in [
            ("", TYPE),
            ("x", TYPE),
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
            ("--<XX>--", "multipart/form-data; boundary=<XX>"),
            ("--X:Y--", "multipart/form-data; boundary=X:Y"),
            ("--X=Y--", "multipart/form-data; boundary=X=Y"),
            ("--X/Y--", "multipart/form-data; boundary=X/Y"),
            ("--X Y--", "multipart/form-data; boundary=X Y"),
            ("--X\\X--", "multipart/form-data; boundary=\"X\\X\""),
            ("--X --", "multipart/form-data; boundary=\"X \""),
        ] {
            assert!(run(body, content_type).0.is_err(), "{body:?} {content_type}");
        }
    }
}

//! The four forms of a request target (RFC 9112 §3.2). Only their shape is judged here; paths are decoded and judged where they are made canonical.

use super::Span;
use super::host::read_host;
use crate::layout::Fault;

/// Longest target, bytes: path, query, and room for scheme and authority.
pub const TARGET_BYTES_MAX: usize = 24 * 1024 + 512;

/// A target taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub path: Span,
    pub query: Span,
    /// Of absolute-form.
    pub authority: Option<Span>,
}

/// Which methods have a form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Connect,
    Options,
    Other,
}

/// Takes apart the target at `span`, whose bytes are known to be visible ASCII without `#`.
pub(super) fn read_target(bytes: &[u8], span: Span, form: Form) -> Result<Target, Fault> {
    let text = span.of(bytes);
    let at = span.at as usize;
    match (form, text) {
        (Form::Connect, _) => {
            // authority-form: the port must be there (RFC 9110 §9.3.6).
            let host = read_host(text).ok_or(Fault::BadTarget)?;
            if host.port.is_empty() {
                return Err(Fault::BadTarget);
            }
            Ok(Target {
                path: span,
                ..Target::default()
            })
        }
        (_, [b'/', ..]) => Ok(origin(bytes, at, span.end(), at)),
        (Form::Options, b"*") => Ok(Target {
            path: span,
            ..Target::default()
        }),
        _ => absolute(bytes, span),
    }
}

/// Path and query in `from..to`. `slash`: where a slash stands, to be the path when there is none.
fn origin(bytes: &[u8], from: usize, to: usize, slash: usize) -> Target {
    let question = memchr::memchr(b'?', &bytes[from..to]).map_or(to, |n| from + n);
    Target {
        path: if question == from {
            Span::between(slash, slash + 1)
        } else {
            Span::between(from, question)
        },
        query: Span::between((question + 1).min(to), to),
        ..Target::default()
    }
}

/// `http://authority/path?query`, or https: other schemes are not for us to serve (RFC 9110 §7.4).
fn absolute(bytes: &[u8], span: Span) -> Result<Target, Fault> {
    let text = span.of(bytes);
    let at = span.at as usize;
    let is = |scheme: &[u8]| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let from = if is(b"http://") {
        7
    } else if is(b"https://") {
        8
    } else {
        return Err(Fault::BadTarget);
    };
    let end = memchr::memchr2(b'/', b'?', &text[from..]).map_or(text.len(), |n| from + n);
    // userinfo, an empty authority and a bad port are malformed here as they are in Host.
    read_host(&text[from..end]).ok_or(Fault::BadTarget)?;
    // Without a path the last slash of `://` stands for it.
    let found = origin(bytes, at + end, span.end(), at + from - 1);
    Ok(Target {
        authority: Some(Span::between(at + from, at + end)),
        ..found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, form: Form) -> Result<(String, String, String), Fault> {
        let bytes = format!("GET {text} ");
        let span = Span::between(4, 4 + text.len());
        let target = read_target(bytes.as_bytes(), span, form)?;
        let of = |span: Span| String::from_utf8_lossy(span.of(bytes.as_bytes())).into_owned();
        Ok((
            of(target.path),
            of(target.query),
            target.authority.map(of).unwrap_or_default(),
        ))
    }

    #[test]
    fn each_form_is_taken_apart_and_belongs_to_its_method() {
        let parts = |path: &str, query: &str, authority: &str| Ok((path.into(), query.into(), authority.into()));
        for (text, form, wanted) in [
            ("/", Form::Other, parts("/", "", "")),
            ("/a/b?c=d?e", Form::Other, parts("/a/b", "c=d?e", "")),
            ("/a?", Form::Other, parts("/a", "", "")),
            ("//a", Form::Other, parts("//a", "", "")),
            ("http://a.test", Form::Other, parts("/", "", "a.test")),
            ("http://a.test?x", Form::Other, parts("/", "x", "a.test")),
            ("HTTP://a.test:80/b?c", Form::Other, parts("/b", "c", "a.test:80")),
            ("https://[::1]:8443/", Form::Options, parts("/", "", "[::1]:8443")),
            ("http://a.test", Form::Options, parts("/", "", "a.test")),
            ("*", Form::Options, parts("*", "", "")),
            ("a.test:443", Form::Connect, parts("a.test:443", "", "")),
        ] {
            assert_eq!(read(text, form), wanted, "{text}");
        }
        for (text, form) in [
            ("*", Form::Other),
            ("*a", Form::Options),
            ("a", Form::Other),
            ("a.test:80", Form::Other),
            ("?a", Form::Other),
            ("http:/a", Form::Other),
            ("http://", Form::Other),
            ("http:///a", Form::Other),
            ("http://u@a.test/", Form::Other),
            ("http://u:p@a.test/", Form::Other),
            ("http://a.test:x/", Form::Other),
            ("ftp://a.test/", Form::Other),
            ("file:///a", Form::Other),
            ("/", Form::Connect),
            ("a.test", Form::Connect),
            ("a.test:", Form::Connect),
            ("http://a.test:80/", Form::Connect),
        ] {
            assert_eq!(read(text, form), Err(Fault::BadTarget), "{text}");
        }
    }
}

//! XML bodies: all text of the document as `XML:/*`, every attribute value as `XML://@*`. Entities beyond the five
//! predefined ones and character references are never expanded, and are errors, since rules cannot see what they stand for; what a document
//! type declares is one more value of `XML:/*`. Where reading ends early, the rest is seen as text.

use quick_xml::errors::{IllFormedError, SyntaxError};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use quick_xml::{Error, Reader};

use super::Sink;
use crate::engine::Limit;
use crate::seclang::variable::Var;

/// Deepest nesting.
const DEPTH_MAX: usize = 256;
/// Most attributes.
const ATTRIBUTES_MAX: usize = 10_000;

/// Longest reference in a declaration, without `&` and `;`.
const REFERENCE_BYTES_MAX: usize = 64;

const MALFORMED: &str = "the XML body is malformed";

/// What is known of a document so far.
#[derive(Default)]
struct Seen {
    attributes: usize,
    depth: usize,
    elements: usize,
    /// It has a document type, which may declare entities.
    doctype: bool,
    /// One of them was referred to.
    own_entity: bool,
}

/// Parses a document. What came before an error has reached the sink.
pub fn parse(content: &[u8], sink: &mut dyn Sink) -> Result<(), &'static str> {
    let mut text: Vec<u8> = Vec::new();
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut reader = Reader::from_reader(content);
    reader.config_mut().check_end_names = true;
    let mut read = Read::default();
    let result = document(&mut reader, content, &mut read, &mut text, sink);
    if result.is_err() {
        text.truncate(read.text);
        text.extend_from_slice(content.get(read.content..).unwrap_or(&[]));
    }
    sink.item(Var::Xml, b"/*", &text);
    result
}

/// Where the last event began.
#[derive(Default)]
struct Read {
    content: usize,
    text: usize,
}

/// Reads all events.
fn document(
    reader: &mut Reader<&[u8]>,
    content: &[u8],
    read: &mut Read,
    text: &mut Vec<u8>,
    sink: &mut dyn Sink,
) -> Result<(), &'static str> {
    let mut seen = Seen::default();
    let mut bytes_only = false;
    loop {
        *read = Read {
            content: usize::try_from(reader.buffer_position()).unwrap_or(content.len()),
            text: text.len(),
        };
        let event = reader.read_event().map_err(|e| {
            if is_cut(&e, content.get(read.content..).unwrap_or(&[])) {
                sink.cut();
            }
            MALFORMED
        })?;
        match &event {
            Event::Start(e) | Event::Empty(e) => {
                if seen.depth == 0 && seen.elements > 0 {
                    return Err("the XML body has two roots");
                }
                seen.elements += 1;
                if matches!(event, Event::Start(_)) {
                    seen.depth += 1;
                }
                if seen.depth > DEPTH_MAX {
                    return Err("the XML body is nested too deeply");
                }
                attribute_values(e, &mut seen, sink)?;
            }
            Event::End(_) => seen.depth = seen.depth.saturating_sub(1),
            Event::Text(t) if seen.depth == 0 && t.iter().any(|b| !b.is_ascii_whitespace()) => {
                return Err("the XML body has text outside of its root");
            }
            Event::Text(t) if seen.depth > 0 => lines(t, text)?,
            Event::CData(t) if seen.depth > 0 => lines(t, text)?,
            Event::CData(_) => return Err("the XML body has text outside of its root"),
            Event::GeneralRef(r) if seen.depth > 0 => reference(r, &mut seen, text)?,
            Event::GeneralRef(_) => return Err("the XML body has text outside of its root"),
            Event::Decl(d) => bytes_only = has_bytes_only(d)?,
            Event::DocType(t) => {
                seen.doctype = true;
                declarations(t, sink);
            }
            Event::Eof => {
                return if seen.depth > 0 || seen.elements == 0 {
                    sink.cut();
                    Err("the XML body ends early")
                } else if !bytes_only && std::str::from_utf8(content).is_err() {
                    Err("the XML body is not UTF-8")
                } else if seen.own_entity {
                    Err("the XML body refers to entities of its own")
                } else {
                    Ok(())
                };
            }
            _ => {}
        }
    }
}

/// True when an event could not be read because the text, of which this is the rest, ends.
fn is_cut(error: &Error, rest: &[u8]) -> bool {
    match error {
        // What follows `<!` says too little, or something wrong.
        Error::Syntax(SyntaxError::InvalidBangMarkup) => rest.len() < b"<!DOCTYPE".len(),
        Error::Syntax(_) => true,
        Error::IllFormed(IllFormedError::UnclosedReference) => {
            !rest[1.min(rest.len())..].iter().any(|b| b"<&;".contains(b))
        }
        _ => false,
    }
}

/// What the internal subset of a document type says, its character references resolved: values of entities and defaults of attributes become text of the
/// document in parsers that read it. Its end is not looked for, for a parser may find another.
fn declarations(doctype: &[u8], sink: &mut dyn Sink) {
    let Some(at) = memchr::memchr(b'[', doctype) else {
        return;
    };
    let mut text = Vec::new();
    let mut rest = &doctype[at + 1..];
    while let Some(at) = memchr::memchr(b'&', rest) {
        text.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let end = memchr::memchr(b';', rest).filter(|end| *end <= REFERENCE_BYTES_MAX);
        let mut declared = Seen {
            doctype: true,
            ..Seen::default()
        };
        if let Some(end) = end
            && reference(&rest[..end], &mut declared, &mut text).is_ok()
        {
            rest = &rest[end + 1..];
        } else {
            text.push(b'&');
        }
    }
    text.extend_from_slice(rest);
    sink.item(Var::Xml, b"/*", &text);
}

/// Whether the declared encoding has one byte for each character. Encodings in which markup could hide are errors.
fn has_bytes_only(d: &quick_xml::events::BytesDecl<'_>) -> Result<bool, &'static str> {
    let Some(encoding) = d.encoding() else { return Ok(false) };
    let name = encoding.map_err(|_| MALFORMED)?.to_ascii_lowercase();
    match &*name {
        b"utf-8" | b"utf8" | b"us-ascii" | b"ascii" => Ok(false),
        b"iso-8859-1" | b"iso-8859-15" | b"windows-1252" | b"latin1" => Ok(true),
        _ => Err("the encoding of the XML body is not understood"),
    }
}

/// Appends text with its line ends made one (XML 1.0 §2.11). Control characters cannot stand in it (§2.2).
fn lines(part: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    for (i, b) in part.iter().enumerate() {
        match b {
            b'\r' if part.get(i + 1) == Some(&b'\n') => {}
            b'\r' => out.push(b'\n'),
            b'\t' | b'\n' | 0x20.. => out.push(*b),
            _ => return Err("the XML body holds a control character"),
        }
    }
    Ok(())
}

/// The values of all attributes; declarations of name spaces are none.
fn attribute_values(
    e: &quick_xml::events::BytesStart<'_>,
    seen: &mut Seen,
    sink: &mut dyn Sink,
) -> Result<(), &'static str> {
    let mut value = Vec::new();
    for a in e.attributes().with_checks(false) {
        let Ok(a) = a else {
            return Err("an attribute of the XML body is malformed");
        };
        seen.attributes += 1;
        if seen.attributes > ATTRIBUTES_MAX {
            sink.exceed(Limit::Arguments);
            return Err("the XML body has too many attributes");
        }
        if a.value.contains(&b'<') {
            return Err("an attribute of the XML body is malformed");
        }
        let name = a.key.as_ref();
        if name == b"xmlns" || name.starts_with(b"xmlns:") {
            continue;
        }
        value.clear();
        unescape(&a.value, seen, &mut value)?;
        sink.item(Var::Xml, b"//@*", &value);
    }
    Ok(())
}

/// An attribute's value: references resolved, each white space one space (XML 1.0 §3.3.3).
fn unescape(text: &[u8], seen: &mut Seen, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = text;
    let plain = |part: &[u8], out: &mut Vec<u8>| {
        let from = out.len();
        lines(part, out)?;
        for b in &mut out[from..] {
            if b.is_ascii_whitespace() {
                *b = b' ';
            }
        }
        Ok(())
    };
    while let Some(at) = memchr::memchr(b'&', rest) {
        plain(&rest[..at], out)?;
        rest = &rest[at + 1..];
        let end = memchr::memchr(b';', rest).ok_or(MALFORMED)?;
        reference(&rest[..end], seen, out)?;
        rest = &rest[end + 1..];
    }
    plain(rest, out)
}

/// A reference to a character or a predefined entity. Others stay as written where a document type may declare them, so that reading goes on, and are
/// errors elsewhere; nothing is ever expanded.
fn reference(name: &[u8], seen: &mut Seen, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const WRONG: &str = "a reference of the XML body is wrong";
    let text = std::str::from_utf8(name).map_err(|_| WRONG)?;
    if let Some(n) = text.strip_prefix('#') {
        let code = match n.strip_prefix('x') {
            Some(h) => u32::from_str_radix(h, 16),
            None => n.parse(),
        };
        let allowed = |c: &char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
        let c = code.ok().and_then(char::from_u32).filter(allowed).ok_or(WRONG)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else if let Some(known) = resolve_predefined_entity(text) {
        out.extend_from_slice(known.as_bytes());
    } else if seen.doctype {
        seen.own_entity = true;
        out.push(b'&');
        out.extend_from_slice(name);
        out.push(b';');
    } else {
        return Err(WRONG);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Collected, collected};
    use super::*;

    #[test]
    fn text_and_attribute_values_are_found() {
        let mut c = collected();
        let text = r#"<?xml version="1.0"?><!DOCTYPE a><a x="1 &lt; 2"><b y='&#65;'>t&amp;</b><![CDATA[<c>]]></a>"#;
        parse(text.as_bytes(), &mut c).unwrap();
        let want = [("//@*", "1 < 2"), ("//@*", "A"), ("/*", "t&<c>")];
        assert_eq!(pairs(&c), want);
    }

    fn pairs(c: &Collected) -> Vec<(&str, &str)> {
        c.items.iter().map(|(_, k, v)| (k.as_str(), v.as_str())).collect()
    }

    #[test]
    fn entities_are_not_expanded_but_seen_where_they_are_declared_and_refused_where_they_are_used() {
        for (text, want) in [
            (
                r#"<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>1&e;2</a>"#,
                &[("/*", "<!ENTITY e SYSTEM \"file:///etc/passwd\">]"), ("/*", "1&e;2")][..],
            ),
            (
                r#"<!DOCTYPE a [<!ENTITY e "att&#97;ck &e; &">]><a b="&e;">3</a>"#,
                &[("/*", "<!ENTITY e \"attack &e; &\">]"), ("//@*", "&e;"), ("/*", "3")],
            ),
        ] {
            let mut c = collected();
            assert_eq!(
                parse(text.as_bytes(), &mut c),
                Err("the XML body refers to entities of its own")
            );
            assert_eq!(pairs(&c), want);
        }
        // Declared and not used is no error; an attribute's default is text as well.
        let mut c = collected();
        assert_eq!(
            parse(b"<!DOCTYPE a [<!ATTLIST a b CDATA 'attack'>]><a/>", &mut c),
            Ok(())
        );
        assert!(pairs(&c)[0].1.contains("attack"));
        // What a parser that counts angle brackets takes for the document type is the document for others.
        let mut c = collected();
        let hidden = b"<!DOCTYPE a [<!-- < -->]><a><![CDATA[ attack >><a> ]]></a>";
        let _ = parse(hidden, &mut c);
        assert!(pairs(&c).iter().any(|(_, v)| v.contains("attack")), "{:?}", pairs(&c));
    }

    #[test]
    fn what_could_not_be_read_is_seen_as_text() {
        for (text, cut) in [
            ("<a><b c=\"attack", true),
            ("<a><![CDATA[attack", true),
            ("<a><!-- attack", true),
            ("<a>attack", true),
            ("<a>attack &am", true),
            ("<a>attack<!", true),
            ("<a>attack &am<b>", false),
            ("<a><!x attack></a>", false),
            ("<a></b>attack</a>", false),
            ("<a>&none;attack</a>", false),
        ] {
            let mut c = collected();
            assert!(parse(text.as_bytes(), &mut c).is_err());
            assert!(
                pairs(&c).iter().any(|(_, v)| v.contains("attack")),
                "{text} {:?}",
                pairs(&c)
            );
            assert_eq!(c.cut, cut, "{text}");
        }
    }

    #[test]
    fn what_is_no_xml_is_an_error() {
        for text in [
            &b""[..],
            b"x",
            b"<a>",
            b"<a></b>",
            b"<a x=1",
            b"<a b></a>",
            b"<a/><b/>",
            b"<a/>x",
            b"x<a/>",
            b"<a>\xff</a>",
            b"<a>&none;</a>",
            b"<a>&#0;</a>",
            b"<a>\x01</a>",
            b"<a x='<'/>",
            b"<a x='&'/>",
            b"\xff\xfe<\0a\0/\0>\0",
            b"<?xml version='1.0' encoding='utf-7'?><a/>",
            b"<?xml version='1.0' encoding='UTF-16'?><a/>",
        ] {
            assert!(parse(text, &mut collected()).is_err(), "{}", text.escape_ascii());
        }
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>";
        assert_eq!(parse(latin, &mut collected()), Ok(()));
        let deep = "<a>".repeat(DEPTH_MAX + 1) + &"</a>".repeat(DEPTH_MAX + 1);
        assert!(parse(deep.as_bytes(), &mut collected()).is_err());
    }
}

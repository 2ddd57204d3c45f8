//! XML bodies: all text of the document as `XML:/*`, every attribute value as `XML://@*`. Entities beyond the five
//! predefined ones and character references are never expanded; document types are skipped.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::Sink;
use crate::engine::Limit;
use crate::seclang::variable::Var;

/// Deepest nesting.
const DEPTH_MAX: usize = 256;
/// Most attributes.
const ATTRIBUTES_MAX: usize = 10_000;

/// Parses a document. What came before an error has reached the sink.
pub fn parse(content: &[u8], sink: &mut dyn Sink) -> Result<(), &'static str> {
    let mut reader = Reader::from_reader(content);
    reader.config_mut().check_end_names = true;
    let mut text: Vec<u8> = Vec::new();
    let mut attributes = 0usize;
    let mut depth = 0usize;
    let mut elements = 0usize;
    let result = loop {
        match reader.read_event() {
            Ok(Event::Start(e)) => {
                depth += 1;
                elements += 1;
                if depth > DEPTH_MAX {
                    break Err("the XML body is nested too deeply");
                }
                if let Err(reason) = attribute_values(&e, &mut attributes, sink) {
                    break Err(reason);
                }
            }
            Ok(Event::Empty(e)) => {
                elements += 1;
                if let Err(reason) = attribute_values(&e, &mut attributes, sink) {
                    break Err(reason);
                }
            }
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Text(t)) => text.extend_from_slice(&t),
            Ok(Event::CData(t)) => text.extend_from_slice(&t),
            Ok(Event::GeneralRef(r)) => reference(&r, &mut text),
            Ok(Event::Eof) => {
                break if depth > 0 || elements == 0 {
                    Err("the XML body ends early")
                } else {
                    Ok(())
                };
            }
            Ok(_) => {}
            Err(_) => break Err("the XML body is malformed"),
        }
    };
    sink.item(Var::Xml, b"/*", &text);
    result
}

fn attribute_values(
    e: &quick_xml::events::BytesStart<'_>,
    count: &mut usize,
    sink: &mut dyn Sink,
) -> Result<(), &'static str> {
    let mut value = Vec::new();
    for a in e.attributes().with_checks(false) {
        let Ok(a) = a else {
            return Err("an attribute of the XML body is malformed");
        };
        *count += 1;
        if *count > ATTRIBUTES_MAX {
            sink.exceed(Limit::Arguments);
            return Err("the XML body has too many attributes");
        }
        value.clear();
        unescape(&a.value, &mut value);
        sink.item(Var::Xml, b"//@*", &value);
    }
    Ok(())
}

/// Predefined entities and character references; others stay as written.
fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match memchr::memchr(b';', &rest[..rest.len().min(12)]) {
            Some(end) => {
                reference(&rest[..end], out);
                rest = &rest[end + 1..];
            }
            None => out.push(b'&'),
        }
    }
    out.extend_from_slice(rest);
}

fn reference(name: &[u8], out: &mut Vec<u8>) {
    let text = std::str::from_utf8(name).unwrap_or("");
    let code = match text.strip_prefix('#') {
        Some(n) => match n.strip_prefix(['x', 'X']) {
            Some(h) => u32::from_str_radix(h, 16).ok(),
            None => n.parse().ok(),
        },
        None => None,
    };
    if let Some(c) = code.and_then(char::from_u32) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else if let Some(known) = resolve_predefined_entity(text) {
        out.extend_from_slice(known.as_bytes());
    } else {
        out.push(b'&');
        out.extend_from_slice(name);
        out.push(b';');
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::collected;
    use super::*;

    #[test]
    fn text_and_attribute_values_are_found_and_entities_are_not_expanded() {
        let mut c = collected();
        let text = r#"<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a x="1 &lt; 2"><b y='&#65;'>t&amp;</b>&e;<![CDATA[<c>]]></a>"#;
        parse(text.as_bytes(), &mut c).unwrap();
        let want = [("//@*", "1 < 2"), ("//@*", "A"), ("/*", "t&&e;<c>")];
        let got: Vec<(&str, &str)> = c.items.iter().map(|(_, k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn what_is_no_xml_is_an_error() {
        for text in ["", "x", "<a>", "<a></b>", "<a x=1", "<a b></a>"] {
            assert!(parse(text.as_bytes(), &mut collected()).is_err(), "{text}");
        }
        let deep = "<a>".repeat(DEPTH_MAX + 1) + &"</a>".repeat(DEPTH_MAX + 1);
        assert!(parse(deep.as_bytes(), &mut collected()).is_err());
    }
}

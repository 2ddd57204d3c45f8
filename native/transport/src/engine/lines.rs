//! Heads between HTTP/2 and the one form that the engine works on: HTTP/1.1's text. So both versions are judged by one parser and edited by one code.

use http::{HeaderMap, HeaderName, HeaderValue, request, response};

use super::fields::write_field;
use super::known::KnownFields;
use crate::http1::is_forbidden_trailer;

/// The request as HTTP/1.1 would say it. `websocket`: an extended CONNECT (RFC 8441), which becomes the handshake of RFC 6455.
pub fn request_text(parts: &request::Parts, websocket: bool, key: &[u8], out: &mut Vec<u8>) {
    let method = if websocket { "GET" } else { parts.method.as_str() };
    let target = parts.uri.path_and_query().map_or("", |p| p.as_str());
    let authority = parts.uri.authority().map(|a| a.as_str());
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    match (target, authority) {
        ("", Some(authority)) if method == "CONNECT" => out.extend_from_slice(authority.as_bytes()),
        ("", _) => out.push(b'/'),
        _ => out.extend_from_slice(target.as_bytes()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority {
        write_field(out, b"host", authority.as_bytes());
    }
    let mut cookies = false;
    for (name, value) in &parts.headers {
        // Its crumbs are one field for HTTP/1.1 (RFC 9113 §8.2.3).
        if name == http::header::COOKIE {
            cookies = true;
        } else if !(websocket && name == http::header::SEC_WEBSOCKET_KEY) {
            // A key means nothing in HTTP/2, but some clients send one (RFC 8441 §5); beside ours it would be a second.
            write_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if cookies {
        let crumbs: Vec<&[u8]> = parts
            .headers
            .get_all(http::header::COOKIE)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        write_field(out, b"cookie", &crumbs.join(&b"; "[..]));
    }
    if websocket {
        out.extend_from_slice(b"upgrade: websocket\r\nconnection: upgrade\r\n");
        write_field(out, b"sec-websocket-key", key);
    }
    out.extend_from_slice(b"\r\n");
}

/// The response as HTTP/1.1 would say it.
pub fn response_text(parts: &response::Parts, out: &mut Vec<u8>) {
    super::fields::write_status(out, parts.status.as_u16());
    for (name, value) in &parts.headers {
        write_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Lines of fields, each with what of its end is white space.
pub fn field_lines(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    memchr::memchr_iter(b'\n', lines).map(move |end| &lines[std::mem::replace(&mut at, end + 1)..end])
}

/// The field of a line. None when HTTP/2 cannot say it: our own parsers and stages let no such line pass.
pub fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = memchr::memchr(b':', line)?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

/// Lines of fields, without those that cannot be said in HTTP/2.
pub fn header_map(lines: &[u8]) -> HeaderMap {
    let mut map = sized(lines);
    map.extend(field_lines(lines).filter_map(field));
    map
}

/// With room for all fields of these lines: grown step by step it would be filled anew at each.
pub fn sized(lines: &[u8]) -> HeaderMap {
    HeaderMap::with_capacity(memchr::memchr_iter(b'\n', lines).count())
}

/// Trailers as lines.
pub fn trailer_lines(fields: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        // As from HTTP/1.1's chunked coding: what frames, routes or authenticates comes too late.
        if !is_forbidden_trailer(name.as_str().as_bytes()) {
            write_field(&mut out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out
}

/// Head of an HTTP/2 request from the text of an HTTP/1.1 one.
pub fn request_parts(text: &[u8], secure: bool, grpc: bool, known: &mut KnownFields) -> Option<request::Parts> {
    let line_end = text.windows(2).position(|w| w == b"\r\n")?;
    let (line, lines) = text.split_at(line_end + 2);
    let mut words = line.trim_ascii().split(|b| *b == b' ');
    let method = words.next()?;
    let target = words.next()?;
    let mut map = known.of_request(lines);
    let authority = map.remove(http::header::HOST)?;
    map.remove(http::header::CONNECTION);
    map.remove(http::header::TRANSFER_ENCODING);
    if grpc {
        // gRPC asks for it, and the client's own ended here (RFC 9110 §10.1.4).
        map.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    let uri = http::Uri::builder()
        .scheme(if secure { "https" } else { "http" })
        .authority(authority.as_bytes())
        .path_and_query(target)
        .build()
        .ok()?;
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = http::Method::from_bytes(method).ok()?;
    parts.uri = uri;
    parts.headers = map;
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_passes_through_text_unchanged() {
        let text = b"GET /a?b HTTP/1.1\r\nhost: example.org\r\nx-a: 1\r\nconnection: close\r\n\r\n";
        let parts = request_parts(text, true, false, &mut KnownFields::default()).unwrap();
        assert_eq!(parts.uri, "https://example.org/a?b");
        let mut out = Vec::new();
        request_text(&parts, false, b"", &mut out);
        assert_eq!(out, b"GET /a?b HTTP/1.1\r\nhost: example.org\r\nx-a: 1\r\n\r\n");
    }

    #[test]
    fn crumbs_of_a_cookie_become_one() {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.headers.append("cookie", HeaderValue::from_static("a=1"));
        parts.headers.append("cookie", HeaderValue::from_static("b=2"));
        let mut out = Vec::new();
        request_text(&parts, false, b"", &mut out);
        assert!(out.ends_with(b"cookie: a=1; b=2\r\n\r\n"));
    }
}

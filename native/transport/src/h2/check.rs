//! What makes a message malformed (RFC 9113 §8.1.1) beyond what h2 sees. Whoever is behind us may read it over HTTP/1.1, so that what HTTP/1.1 refuses is refused here.

use std::net::Ipv6Addr;

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use http::{Method, request, response};

/// Longest content-length, digits: below 2^53, as JavaScript counts.
const LENGTH_DIGITS_MAX: usize = 15;
/// Longest authority, bytes.
const AUTHORITY_BYTES_MAX: usize = 262;

/// The message is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Checks a request, and drops a Host that says what `:authority` says.
pub(super) fn request(parts: &mut request::Parts) -> Result<(), Malformed> {
    values(&parts.headers)?;
    length(&parts.headers)?;
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Malformed);
    }
    match (authority, host.map(HeaderValue::as_bytes)) {
        (None, None) => return Err(Malformed),
        (Some(authority), None) => check_authority(authority)?,
        (None, Some(host)) => check_authority(host)?,
        (Some(authority), Some(host)) => {
            check_authority(authority)?;
            if !authority.eq_ignore_ascii_case(host) {
                return Err(Malformed);
            }
        }
    }
    if authority.is_some() && host.is_some() {
        parts.headers.remove(HOST);
    }
    if parts
        .uri
        .scheme_str()
        .is_some_and(|scheme| scheme != "http" && scheme != "https")
    {
        return Err(Malformed);
    }
    let extended = parts.extensions.get::<::h2::ext::Protocol>().is_some();
    if parts.method == Method::CONNECT && !extended {
        return if parts.uri.port_u16().is_some() {
            Ok(())
        } else {
            Err(Malformed)
        };
    }
    let target = parts
        .uri
        .path_and_query()
        .map_or(&b""[..], |target| target.as_str().as_bytes());
    let form = target.first() == Some(&b'/') || (target == b"*" && parts.method == Method::OPTIONS);
    if form && target.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#') {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// Checks the head of a response, an interim one too.
pub(super) fn response(parts: &response::Parts) -> Result<(), Malformed> {
    // RFC 9113 §8.6: there is no 101.
    if parts.status.as_u16() == 101 {
        return Err(Malformed);
    }
    values(&parts.headers)?;
    length(&parts.headers)
}

/// No value begins or ends with white space (RFC 9113 §8.2.1); controls are refused by the type.
pub(super) fn values(fields: &HeaderMap) -> Result<(), Malformed> {
    let space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bad = fields
        .values()
        .any(|value| space(value.as_bytes().first()) || space(value.as_bytes().last()));
    if bad { Err(Malformed) } else { Ok(()) }
}

/// At most one content-length, of digits. Whether DATA agrees with it is seen to by h2.
fn length(fields: &HeaderMap) -> Result<(), Malformed> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let Some(value) = lengths.next() else { return Ok(()) };
    let digits = value.as_bytes();
    let good = (1..=LENGTH_DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if good && lengths.next().is_none() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// `host [":" port]`: a name of letters, digits, `-`, `_` and dots, or an address; no userinfo (RFC 9113 §8.3.1).
fn check_authority(text: &[u8]) -> Result<(), Malformed> {
    if text.is_empty() || text.len() > AUTHORITY_BYTES_MAX {
        return Err(Malformed);
    }
    let name_end = if text[0] == b'[' {
        let end = text.iter().position(|byte| *byte == b']').ok_or(Malformed)?;
        let address = std::str::from_utf8(&text[1..end]).map_err(|_| Malformed)?;
        address.parse::<Ipv6Addr>().map_err(|_| Malformed)?;
        end + 1
    } else {
        let name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let end = text.iter().position(|byte| !name(byte)).unwrap_or(text.len());
        if text[..end].iter().all(|byte| *byte == b'.') {
            return Err(Malformed);
        }
        end
    };
    let port = match &text[name_end..] {
        [] | [b':'] => return Ok(()),
        [b':', port @ ..] if port.len() <= 5 && port.iter().all(u8::is_ascii_digit) => port,
        _ => return Err(Malformed),
    };
    let number = port
        .iter()
        .fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    if (1..=65_535).contains(&number) {
        Ok(())
    } else {
        Err(Malformed)
    }
}

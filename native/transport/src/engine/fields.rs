//! Header fields on their way through: what ends here, and the edits of stages ([`crate::layout::edit`]).

use crate::http1::nominated;
use crate::layout::edit;

/// Who we are in Via (RFC 9110 §7.6.3): protocol and pseudonym, no host name.
pub const VIA: &[u8] = b"via: 1.1 cloudnexus\r\n";
const VIA_1_0: &[u8] = b"via: 1.0 cloudnexus\r\n";
const VIA_2: &[u8] = b"via: 2 cloudnexus\r\n";

/// The same for a request, with the protocol in which it was received.
pub fn via(http2: bool, http10: bool) -> &'static [u8] {
    match (http2, http10) {
        (true, _) => VIA_2,
        (false, true) => VIA_1_0,
        (false, false) => VIA,
    }
}

/// Fields by which many upstreams believe what only a proxy may say of a client; a client's own never pass. The list of `src/data/transport/claims.ts`; a test
/// compares the two.
const CLIENT_CLAIMS: [&str; 30] = [
    "x-forwarded-client-cert",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-original-url",
    "x-original-host",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-mirrored-request",
    "x-forwarded-ssl",
    "x-forwarded-protocol",
    "x-url-scheme",
    "front-end-https",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-forwarded-method",
    "x-original-uri",
    "x-original-method",
    "x-host",
    "x-http-host-override",
    "client-ip",
    "proxy",
];

/// True for the name of one of them, in lower case, also with `_` for `-`.
pub fn is_claim(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'x' | b't' | b'f' | b'c' | b'p'))
        && CLIENT_CLAIMS
            .iter()
            .any(|claim| claim.len() == name.len() && same_variable(claim.as_bytes(), name))
}

/// Edits as decisions wrote them. What is malformed ends the list: it is our own side that writes it.
#[derive(Clone, Copy)]
pub struct Edits<'a>(pub &'a [u8]);

/// One of them.
pub struct Edit<'a> {
    pub kind: u8,
    pub name: &'a [u8],
    pub value: &'a [u8],
    /// Name and value, which lie side by side.
    both: &'a [u8],
}

impl<'a> Iterator for Edits<'a> {
    type Item = Edit<'a>;

    fn next(&mut self) -> Option<Edit<'a>> {
        let (head, rest) = self.0.split_at_checked(4)?;
        let name_bytes = usize::from(head[1]);
        let value_bytes = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let (both, rest) = rest.split_at_checked(name_bytes + value_bytes)?;
        let (name, value) = both.split_at(name_bytes);
        self.0 = rest;
        Some(Edit {
            kind: head[0],
            name,
            value,
            both,
        })
    }
}

impl Edits<'_> {
    /// True when a field of that name, as received, does not pass: it is set, removed or written anew with what is appended. `X_User` and `X-User` are one variable to CGI and its heirs, so
    /// an edit of the one hides the other.
    pub fn hides(self, name: &[u8]) -> bool {
        self.into_iter().any(|e| {
            matches!(e.kind, edit::SET | edit::REMOVE | edit::APPEND)
                && e.name.len() == name.len()
                && same_variable(e.name, name)
        })
    }

    /// Writes the fields that are set or added.
    pub fn write(self, out: &mut Vec<u8>) {
        self.write_beside(out, std::iter::empty());
    }

    /// As `write`, beside the fields that were received, as far as they may pass.
    pub fn write_beside<'f>(self, out: &mut Vec<u8>, received: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone) {
        self.each_beside(received, |name, value| write_field(out, name, value));
    }

    /// What `write_beside` writes, field by field.
    pub fn each_beside<'f>(
        self,
        received: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        mut take: impl FnMut(&[u8], &[u8]),
    ) {
        for e in self {
            // A line break would begin another field, or end the head. Decisions make none; the check is cheap.
            if e.name.is_empty() || !is_line(e.both) {
                continue;
            }
            match e.kind {
                edit::SET | edit::ADD => take(e.name, e.value),
                edit::ABSENT if !received.clone().any(|(name, _)| is_name(e.name, name)) => {
                    take(e.name, e.value);
                }
                edit::APPEND => {
                    let mut joined = Vec::with_capacity(e.value.len() + 64);
                    for (_, value) in received
                        .clone()
                        .filter(|(name, value)| is_name(e.name, name) && !value.is_empty())
                    {
                        joined.extend_from_slice(value);
                        joined.extend_from_slice(b", ");
                    }
                    joined.extend_from_slice(e.value);
                    take(e.name, &joined);
                }
                _ => {}
            }
        }
    }
}

/// Leaves out of trailer lines those whose fields do not pass: what decisions take away or replace in a head does not come after the body either, for there are readers that merge the two.
pub fn retain_lines(lines: &mut Vec<u8>, passes: impl Fn(&[u8]) -> bool) {
    let mut at = 0;
    while at < lines.len() {
        let rest = &lines[at..];
        let end = at + memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let name = at + memchr::memchr(b':', rest).unwrap_or(0);
        if passes(&lines[at..name]) {
            at = end;
        } else {
            lines.drain(at..end);
        }
    }
}

/// Whether a Connection field nominates the field of this name.
pub fn nominates(connection: &[u8], name: &[u8]) -> bool {
    nominated(connection).any(|option| is_name(option, name))
}

fn is_line(text: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, text).is_none()
}

/// Field names are the same in any case (RFC 9110 §5.1).
fn is_name(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn same_variable(a: &[u8], b: &[u8]) -> bool {
    a.iter()
        .zip(b)
        .all(|(a, b)| a == b || (*a == b'-' && *b == b'_') || a.eq_ignore_ascii_case(b))
}

/// `name: value` and a line end.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal.
pub fn write_number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// `content-length: n` and a line end.
pub fn write_length(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(b"content-length: ");
    write_number(out, n);
    out.extend_from_slice(b"\r\n");
}

/// Reason phrases of RFC 9110 §15 and the registry; nobody may depend on them.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// What a gRPC client is told of a refusal: the nearest of gRPC's status codes.
pub fn grpc_status(status: u16) -> u64 {
    match status {
        // UNAUTHENTICATED, PERMISSION_DENIED
        401 => 16,
        403 => 7,
        // UNIMPLEMENTED
        404 | 405 | 501 | 505 => 12,
        // DEADLINE_EXCEEDED
        408 | 504 => 4,
        // RESOURCE_EXHAUSTED
        413 | 429 | 431 => 8,
        // UNAVAILABLE
        502 | 503 => 14,
        // INTERNAL: the message broke the protocol, or we did
        400 | 414 | 417 | 500 => 13,
        // UNKNOWN
        _ => 2,
    }
}

/// Milliseconds of a `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, "Timeout"). None when it is malformed.
pub fn grpc_timeout_ms(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let mut n = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        n = n * 10 + u64::from(digit - b'0');
    }
    match unit {
        b'H' => Some(n * 3_600_000),
        b'M' => Some(n * 60_000),
        b'S' => Some(n * 1_000),
        b'm' => Some(n),
        b'u' => Some(n.div_ceil(1_000)),
        b'n' => Some(n.div_ceil(1_000_000)),
        _ => None,
    }
}

/// The status line.
pub fn write_status(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(kind: u8, name: &str, value: &str) -> Vec<u8> {
        let mut out = vec![kind, name.len() as u8];
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
        out
    }

    #[test]
    fn edits_are_read_as_they_were_written() {
        let mut list = packed(edit::SET, "x-user", "alice");
        list.extend(packed(edit::REMOVE, "cookie", ""));
        list.extend(packed(edit::ADD, "x-a", ""));
        list.extend(packed(edit::VOID, "x-b", "late"));
        let edits = Edits(&list);
        assert!(edits.hides(b"x-user"));
        assert!(edits.hides(b"x_user"));
        assert!(edits.hides(b"cookie"));
        assert!(!edits.hides(b"x-a"));
        assert!(!edits.hides(b"x-b"));
        let mut out = Vec::new();
        edits.write(&mut out);
        assert_eq!(out, b"x-user: alice\r\nx-a: \r\n");
    }

    #[test]
    fn what_is_received_decides_whether_and_beside_what_a_field_is_written() {
        let mut list = packed(edit::ABSENT, "x-a", "ours");
        list.extend(packed(edit::ABSENT, "x-b", "ours"));
        list.extend(packed(edit::APPEND, "vary", "origin"));
        list.extend(packed(edit::APPEND, "x-c", "ours"));
        let received: [(&[u8], &[u8]); 3] = [(b"X-A", b"theirs"), (b"Vary", b"accept"), (b"vary", b"cookie")];
        let edits = Edits(&list);
        assert!(!edits.hides(b"x-a"));
        assert!(edits.hides(b"vary"));
        let mut out = Vec::new();
        edits.write_beside(&mut out, received.into_iter());
        assert_eq!(out, b"x-b: ours\r\nvary: accept, cookie, origin\r\nx-c: ours\r\n");
    }

    #[test]
    fn a_list_that_breaks_off_ends_there() {
        let mut list = packed(edit::SET, "a", "b");
        list.extend_from_slice(&[edit::SET, 200, 255, 255, 1]);
        assert_eq!(Edits(&list).count(), 1);
    }

    #[test]
    fn claims_are_known_in_both_spellings() {
        assert!(is_claim(b"x-real-ip"));
        assert!(is_claim(b"x_real_ip"));
        assert!(is_claim(b"true-client-ip"));
        assert!(is_claim(b"front_end_https"));
        assert!(is_claim(b"client-ip"));
        assert!(is_claim(b"proxy"));
        assert!(!is_claim(b"proxy-status"));
        assert!(!is_claim(b"x-real-ipx"));
        assert!(!is_claim(b"accept"));
    }

    #[test]
    fn grpc_timeouts_have_digits_and_a_unit() {
        for (text, ms) in [
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("10S", Some(10_000)),
            ("99999999m", Some(99_999_999)),
            ("1u", Some(1)),
            ("2500000n", Some(3)),
            ("", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("123456789S", None),
            ("1s", None),
        ] {
            assert_eq!(grpc_timeout_ms(text.as_bytes()), ms, "{text}");
        }
    }

    #[test]
    fn lines_that_do_not_pass_are_left_out() {
        for (lines, left) in [
            ("", ""),
            ("a: 1\r\n", "a: 1\r\n"),
            ("b: 1\r\n", ""),
            ("b: 1\r\na: b\r\nb: a: 2\r\nb: \r\nc: \r\n", "a: b\r\nc: \r\n"),
        ] {
            let mut lines = lines.as_bytes().to_vec();
            retain_lines(&mut lines, |name| name != b"b");
            assert_eq!(lines, left.as_bytes());
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for n in [0, 7, 10, 65_535, u64::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, n);
            assert_eq!(String::from_utf8(out).unwrap(), n.to_string());
        }
    }
}

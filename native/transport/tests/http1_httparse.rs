//! Heads through httparse as well: what is read here is read there, with the same fields at the same places. Disagreements are one-sided and named: httparse is lax.

use cnx_transport::http1::{Parsed, Progress, RequestHead, parse_request};
use cnx_transport::layout::{FIELDS_MAX, Fault};
use proptest::prelude::*;

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"GET / HTTP/1.1\r\nHost: a.test\r\n",
        b"POST /a?b HTTP/1.1\r\nHost: a\r\n",
        b"GET http://a/ HTTP/1.0\r\nHost: a\r\n",
        b"GET",
        b" ",
        b"/",
        b" HTTP/1.1\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\t",
        b" ",
        b":",
        b"X: y\r\n",
        b"X:\t y z \t\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Host: b\r\n",
        b"x",
        b"\xe9",
        b"\x7f",
        b"\0",
        b"#",
        b"\"",
        b"Cookie: a=b; c=d\r\n",
    ];
    prop_oneof![
        10 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let begins: Vec<&'static [u8]> = vec![b"GET / HTTP/1.1\r\nHost: a.test\r\n", b"GET / HTTP/1.1\r\n", b""];
    let begin = proptest::sample::select(begins);
    (begin, proptest::collection::vec(piece(), 0..12), any::<bool>()).prop_map(|(begin, parts, ended)| {
        let end: &[u8] = if ended { b"\r\n" } else { b"" };
        [begin, &parts.concat(), end].concat()
    })
}

/// Why a head that httparse takes is none to us. Each is a rule that it leaves to its caller (RFC 9112 §2.2, §3.2, §6.3).
fn is_known_laxity(fault: Fault, bytes: &[u8]) -> bool {
    let line_ends = bytes.iter().filter(|byte| **byte == b'\n').count();
    let bare_lf = line_ends > bytes.windows(2).filter(|pair| pair == b"\r\n").count();
    match fault {
        // It ends lines at a bare LF, and skips any number of empty lines before the request line.
        Fault::BadHeader | Fault::BadRequest if bare_lf || bytes.starts_with(b"\r\n\r\n") => true,
        // It takes any visible byte as target, 8-bit and `#` among them, and knows no forms.
        Fault::BadTarget => true,
        // It knows neither lengths nor codings nor hosts nor expectations.
        Fault::BadFraming | Fault::BadHost => true,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_here_is_read_alike_by_httparse(bytes in head()) {
        let mut lowered = bytes.clone();
        let mut head = RequestHead::default();
        let ours = parse_request(&mut lowered, &mut Progress::default(), &mut head);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let theirs = request.parse(&bytes);
        match (ours, theirs) {
            (Parsed::Done(end), Ok(httparse::Status::Complete(other))) => {
                prop_assert_eq!(end, other);
                prop_assert_eq!(request.method.map(str::as_bytes), Some(head.method_at.of(&bytes)));
                prop_assert_eq!(request.version, Some(u8::from(!head.http10)));
                let target = request.path.unwrap_or_default().as_bytes();
                prop_assert!(target.ends_with(head.query.of(&bytes)));
                prop_assert_eq!(request.headers.len(), head.fields.len());
                for (field, other) in head.fields.iter().zip(request.headers.iter()) {
                    prop_assert!(field.name.of(&lowered) == other.name.to_ascii_lowercase().as_bytes());
                    prop_assert_eq!(field.name.of(&bytes), other.name.as_bytes());
                    prop_assert_eq!(field.value.of(&lowered), other.value);
                }
            }
            (Parsed::Done(_), other) => prop_assert!(false, "httparse: {:?}", other),
            (Parsed::Broken(fault), Ok(httparse::Status::Complete(_))) => {
                prop_assert!(is_known_laxity(fault, &bytes), "{:?}", fault);
            }
            // We may know sooner. What is wrong to it must never be only unfinished to us.
            (Parsed::Broken(_), _) => {}
            (Parsed::More, Ok(httparse::Status::Partial)) => {}
            (Parsed::More, other) => prop_assert!(false, "httparse: {:?}", other),
        }
    }
}

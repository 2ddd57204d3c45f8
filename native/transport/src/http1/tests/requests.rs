use crate::http1::*;
use crate::layout::{FIELDS_MAX, Fault, HEAD_BYTES_MAX, KNOWN_NAMES};

const HOST: &str = "Host: a.test\r\n";

fn parse(text: &[u8]) -> (Parsed, RequestHead, Vec<u8>) {
    let mut bytes = text.to_vec();
    let mut head = RequestHead::default();
    let parsed = parse_request(&mut bytes, &mut Progress::default(), &mut head);
    (parsed, head, bytes)
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).expect("a byte"))
        .collect()
}

fn done(text: &str) -> (RequestHead, Vec<u8>) {
    let bytes = latin1(text);
    let (parsed, head, lowered) = parse(&bytes);
    assert_eq!(parsed, Parsed::Done(bytes.len()), "{text:?}");
    (head, lowered)
}

fn text(span: Span, bytes: &[u8]) -> String {
    String::from_utf8_lossy(span.of(bytes)).into_owned()
}

#[test]
fn a_whole_head_is_told_by_its_places() {
    let (head, bytes) = done(
        "POST /a/b?c=d HTTP/1.1\r\nHOST: A.test:8080\r\nX-Mixed-Case:\t v \t\r\nX-Empty:\r\ncontent-length: 5\r\nTE: gzip, trailers\r\nX-High: caf\u{e9}\r\n\r\n",
    );
    assert_eq!(head.method, 2);
    assert_eq!(text(head.method_at, &bytes), "POST");
    assert_eq!(text(head.path, &bytes), "/a/b");
    assert_eq!(text(head.query, &bytes), "c=d");
    assert_eq!(text(head.host, &bytes), "A.test:8080");
    let lines: Vec<(String, Vec<u8>)> = head
        .fields
        .iter()
        .map(|f| (text(f.name, &bytes), f.value.of(&bytes).to_vec()))
        .collect();
    let wanted: [(&str, &[u8]); 6] = [
        ("host", b"A.test:8080"),
        ("x-mixed-case", b"v"),
        ("x-empty", b""),
        ("content-length", b"5"),
        ("te", b"gzip, trailers"),
        ("x-high", b"caf\xe9"),
    ];
    assert_eq!(lines.len(), wanted.len());
    for ((name, value), (n, v)) in lines.iter().zip(wanted) {
        assert_eq!((name.as_str(), value.as_slice()), (n, v));
    }
    assert_eq!(head.framing, Framing::Length(5));
    assert!(head.keep_alive && head.te_trailers && !head.http10 && !head.expect_continue && !head.websocket);
    assert_eq!(
        head.field_bytes as usize,
        wanted.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>()
    );
    let host = KNOWN_NAMES.iter().position(|n| *n == "host").expect("host") + 1;
    assert_eq!(head.known[host], 0);
    assert_eq!(head.value(host as u8, &bytes), Some(b"A.test:8080".as_slice()));
    assert_eq!(head.repeated, 0);
    assert_eq!(
        head.fields.iter().map(|f| f.hop).collect::<Vec<_>>(),
        [false, false, false, false, true, false]
    );
}

#[test]
fn what_follows_the_head_is_left_alone() {
    let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (parsed, _, bytes) = parse(&[head.as_slice(), b"GET /Next: X\r\n\0"].concat());
    assert_eq!(parsed, Parsed::Done(head.len()));
    assert!(bytes.ends_with(b"GET /Next: X\r\n\0"));
}

#[test]
fn each_method_has_its_number_by_exact_case() {
    for (n, method) in METHODS.iter().enumerate() {
        let target = if *method == "CONNECT" { "a:1" } else { "/" };
        assert_eq!(
            done(&format!("{method} {target} HTTP/1.1\r\n{HOST}\r\n")).0.method as usize,
            n
        );
    }
    for other in ["get", "PURGE", "M-SEARCH", "GETT", "X"] {
        assert_eq!(
            done(&format!("{other} / HTTP/1.1\r\n{HOST}\r\n")).0.method,
            METHOD_OTHER
        );
    }
}

/// Heads that are whole, or broken before their end, and why. Each also stands for its class: several spellings of one flaw.
#[test]
fn what_is_malformed_is_refused_with_its_reason() {
    use Fault::*;
    let post = |line: &str| format!("POST / HTTP/1.1\r\n{HOST}{line}\r\n\r\n");
    let mut rows: Vec<(String, Fault)> = Vec::new();
    for line in [
        "GET",
        "GET\r\n",
        "GET /\r\n",
        "GET / \r\n",
        "GET  / HTTP/1.1\r\n",
        "GET /  HTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\rX",
        "GET / http/1.1\r\n",
        "GET / HTTP/01.1\r\n",
        "GET / HTTP/1.10\r\n",
        "GET / HTTP/1,1\r\n",
        "GET / HTTP/1\r\n",
        "GET / HTTPS/1.1\r\n",
        "GET / HTTP/ 1.1\r\n",
        "GET\t/ HTTP/1.1\r\n",
        " GET / HTTP/1.1\r\n",
        "G(T / HTTP/1.1\r\n",
        "G\u{e9}T / HTTP/1.1\r\n",
        "\nGET / HTTP/1.1\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n",
        "\r\rGET / HTTP/1.1\r\n",
        "\0",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        let fault = if line.ends_with("GET") || line == "GET / HTTP/1.1\r\n" {
            None
        } else {
            Some(BadRequest)
        };
        match fault {
            Some(fault) => rows.push((line.into(), fault)),
            None => assert_eq!(parse(line.as_bytes()).0, Parsed::More, "{line:?}"),
        }
    }
    for target in [
        "/a#b",
        "/caf\u{e9}",
        "/\u{1}",
        "/\t",
        "/\u{7f}",
        "*",
        "a",
        "a:80",
        "http://u@a/",
        "ftp://a/",
        "http:///",
    ] {
        rows.push((format!("GET {target} HTTP/1.1\r\n{HOST}\r\n"), BadTarget));
    }
    rows.push((format!("CONNECT / HTTP/1.1\r\n{HOST}\r\n"), BadTarget));
    for version in ["1.2", "2.0", "0.9", "3.0", "1.9"] {
        rows.push((format!("GET / HTTP/{version}\r\n{HOST}\r\n"), VersionNotSupported));
    }
    rows.push(("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), VersionNotSupported));
    rows.push((
        format!("{} / HTTP/1.1\r\n", "M".repeat(METHOD_BYTES_MAX + 1)),
        NotImplemented,
    ));
    rows.push((
        format!("GET /{} HTTP/1.1\r\n", "a".repeat(TARGET_BYTES_MAX)),
        TargetTooLong,
    ));
    for line in [
        ": v",
        "X : v",
        "X\t: v",
        "X",
        "X\u{1}: v",
        "X(: v",
        "X\u{e9}: v",
        "X: a\u{1}",
        "X: a\0b",
        "X: a\u{7f}",
        "X: a\nY: b",
        "X: a\rY: b",
        "X: a\r\r",
        " X: v",
        "\tX: v",
        "X: a\r\n b",
        "X: a\r\n\tb",
        "\"X\": v",
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
        "Connection: authorization",
        "Connection: close, Cookie",
        "Connection: x-forwarded-for",
        "Connection: content-length",
        "Connection: Host",
        "\rX: a",
        "X: v\r\n: v",
        "X y: v",
        "X:v\r\n\u{b}",
    ] {
        rows.push((post(line), BadHeader));
    }
    for line in [
        "Content-Length: ",
        "Content-Length: +5",
        "Content-Length: -0",
        "Content-Length: 5 5",
        "Content-Length: 5,5",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: 05",
        "Content-Length: 00",
        "Content-Length: 1_0",
        "Content-Length: 1234567890123456",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: \u{b2}",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: ",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;a=b",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunk",
        "Transfer-Encoding: chunked\u{a0}",
    ] {
        rows.push((post(line), BadFraming));
    }
    rows.push((
        format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"),
        BadFraming,
    ));
    for host in [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: u@a\r\n",
        "Host: a/b\r\n",
        "Host: a, b\r\n",
        "Host: a:x\r\n",
        "Host: a:99999\r\n",
    ] {
        rows.push((format!("GET / HTTP/1.1\r\n{host}\r\n"), BadHost));
    }
    rows.push(("GET http://a.test/ HTTP/1.1\r\n\r\n".into(), BadHost));
    rows.push((format!("GET http://b.test/ HTTP/1.1\r\n{HOST}\r\n"), BadHost));
    rows.push(("GET / HTTP/1.0\r\n\r\n".into(), BadHost));
    for expect in ["100-continued", "x", "100-continue, x", ""] {
        rows.push((post(&format!("Expect: {expect}")), ExpectationFailed));
    }
    rows.push((post(&format!("{}: v", "x".repeat(NAME_BYTES_MAX + 1))), HeadTooLarge));
    rows.push((post(&"X: v\r\n".repeat(FIELDS_MAX)), HeadTooLarge));
    rows.push((post(&format!("X: {}", "v".repeat(HEAD_BYTES_MAX))), HeadTooLarge));
    for (text, fault) in &rows {
        assert_eq!(
            parse(&latin1(text)).0,
            Parsed::Broken(*fault),
            "{:?}",
            &text[..text.len().min(200)]
        );
    }
}

#[test]
fn what_is_well_formed_is_read_though_unusual() {
    let longest = format!("GET / HTTP/1.1\r\n{HOST}X: \r\n\r\n");
    let pad = "v".repeat(HEAD_BYTES_MAX - longest.len());
    for text in [
        format!("GET / HTTP/1.1\r\n{HOST}X: {pad}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "X:\r\n".repeat(FIELDS_MAX - 1)),
        format!("GET / HTTP/1.1\r\n{HOST}{}:\r\n\r\n", "x".repeat(NAME_BYTES_MAX)),
        format!("\r\nGET / HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET http://A.TEST:80/ HTTP/1.1\r\n{HOST}\r\n"),
        "GET https://[::1]/ HTTP/1.1\r\nHost: [::1]:443\r\n\r\n".into(),
        "GET http://a HTTP/1.0\r\n\r\n".into(),
        format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}Connection: ,, close ,\t,\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding:\tCHUNKED \r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}!#$%&'*+-.^_`|~0Az: v\r\n\r\n"),
    ] {
        done(&text);
    }
}

#[test]
fn the_connection_stays_by_version_and_by_what_connection_says() {
    for (version, connection, stays) in [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let (head, _) = done(&format!("GET / HTTP/{version}\r\n{HOST}{connection}\r\n"));
        assert_eq!(
            (head.keep_alive, head.http10),
            (stays, version == "1.0"),
            "{version} {connection}"
        );
    }
}

#[test]
fn what_connection_nominates_ends_here() {
    let (head, bytes) = done(&format!(
        "GET / HTTP/1.1\r\nX-A: 1\r\n{HOST}Connection: x-a, TE\r\nX-B: 2\r\nConnection: X-B\r\nX-C: 3\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nProxy-Authorization: b\r\nHTTP2-Settings: a\r\nTrailer: x\r\nUpgrade: h2c\r\n\r\n"
    ));
    let stay: Vec<String> = head
        .fields
        .iter()
        .filter(|f| !f.hop)
        .map(|f| text(f.name, &bytes))
        .collect();
    assert_eq!(stay, ["host", "x-c"]);
    let many = |n: usize| format!("GET / HTTP/1.1\r\n{HOST}Connection: {}\r\n\r\n", "a,".repeat(n));
    done(&many(NOMINATED_MAX));
    assert_eq!(
        parse(many(NOMINATED_MAX + 1).as_bytes()).0,
        Parsed::Broken(Fault::BadHeader)
    );
}

#[test]
fn the_client_is_told_to_go_on_only_where_a_body_waits_for_it() {
    for (head, waits) in [
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
            true,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
            true,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
            false,
        ),
    ] {
        assert_eq!(done(head).0.expect_continue, waits, "{head:?}");
    }
}

#[test]
fn a_websocket_handshake_is_one_only_when_all_of_it_is_there() {
    let good = [
        "GET / HTTP/1.1",
        "Host: a",
        "Upgrade: WebSocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: chat, super.chat",
    ];
    let with = |place: usize, line: &str| {
        let mut lines = good.to_vec();
        lines[place] = line;
        lines.retain(|line| !line.is_empty());
        format!("{}\r\n\r\n", lines.join("\r\n"))
    };
    assert!(done(&with(0, good[0])).0.websocket);
    assert!(done(&with(6, "")).0.websocket);
    assert!(done(&with(2, "Upgrade: h2c, websocket")).0.websocket);
    assert!(done(&with(1, "Host: a\r\nContent-Length: 0")).0.websocket);
    for (place, line) in [
        (0, "POST / HTTP/1.1"),
        (0, "GET / HTTP/1.0"),
        (2, ""),
        (2, "Upgrade: websockets"),
        (3, ""),
        (3, "Connection: keep-alive"),
        (4, ""),
        (4, "Sec-WebSocket-Version: 8"),
        (4, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8"),
        (5, ""),
        (5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ="),
        (5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="),
        (5, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q=="),
        (
            5,
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
    ] {
        assert!(!done(&with(place, line)).0.websocket, "{line:?}");
    }
    for (place, line, fault) in [
        (1, "Host: a\r\nContent-Length: 1", Fault::BadFraming),
        (1, "Host: a\r\nTransfer-Encoding: chunked", Fault::BadFraming),
        (6, "Sec-WebSocket-Protocol: a, a", Fault::BadHeader),
        (6, "Sec-WebSocket-Protocol: a,", Fault::BadHeader),
        (6, "Sec-WebSocket-Protocol: a b", Fault::BadHeader),
        (
            6,
            "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a",
            Fault::BadHeader,
        ),
    ] {
        assert_eq!(parse(with(place, line).as_bytes()).0, Parsed::Broken(fault), "{line:?}");
    }
}

#[test]
fn a_refused_request_still_says_what_it_was() {
    let (parsed, head, bytes) = parse(b"PUT /a/b?c HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n");
    assert_eq!(parsed, Parsed::Broken(Fault::BadHeader));
    let told = |head: &RequestHead, bytes: &[u8]| {
        (
            text(head.method_at, bytes),
            text(head.path, bytes),
            text(head.host, bytes),
        )
    };
    assert_eq!(told(&head, &bytes), ("PUT".into(), "/a/b".into(), "a.test".into()));
    let (_, head, bytes) = parse(b"PUT /a/b?c#d HTTP/1.1\r\n");
    assert_eq!(told(&head, &bytes), ("PUT".into(), "/a/b".into(), String::new()));
    let (_, head, bytes) = parse(b"PUT /a HTTP/7.1\r\n");
    assert_eq!(told(&head, &bytes), ("PUT".into(), "/a".into(), String::new()));
    let (_, head, bytes) = parse(b"PUT /a HTTP/1.1\r\nHost: a@b\r\n\r\n");
    assert_eq!(told(&head, &bytes), ("PUT".into(), "/a".into(), "a@b".into()));
}

#[test]
fn a_head_that_is_read_into_again_keeps_nothing_and_allocates_nothing() {
    let mut head = RequestHead::default();
    let mut bytes = latin1(&format!(
        "POST /a?b HTTP/1.0\r\n{HOST}Connection: keep-alive\r\nTE: trailers\r\nX: 1\r\nX: 1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    ));
    parse_request(&mut bytes, &mut Progress::default(), &mut head);
    let (place, room) = (head.fields.as_ptr(), head.fields.capacity());
    let mut next = latin1("GET / HTTP/1.1\r\nHost: b\r\n\r\n");
    parse_request(&mut next, &mut Progress::default(), &mut head);
    assert_eq!((head.fields.as_ptr(), head.fields.capacity()), (place, room));
    assert_eq!(head, parse(&next).1);
}

use crate::http1::*;
use crate::layout::Fault;

fn parse(text: &[u8], to_head: bool) -> (Parsed, ResponseHead, Vec<u8>) {
    let mut bytes = text.to_vec();
    let mut head = ResponseHead::default();
    let parsed = parse_response(&mut bytes, &mut Progress::default(), &mut head, to_head);
    (parsed, head, bytes)
}

fn done(text: &str) -> (ResponseHead, Vec<u8>) {
    let (parsed, head, bytes) = parse(text.as_bytes(), false);
    assert_eq!(parsed, Parsed::Done(text.len()), "{text:?}");
    (head, bytes)
}

#[test]
fn a_whole_head_is_told_by_its_places() {
    let (head, bytes) = done(
        "HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 12\r\nConnection: keep-alive, X-Own\r\nX-Own: 1\r\nKeep-Alive: max=3, timeout=7\r\n\r\n",
    );
    assert_eq!((head.status, head.reason.of(&bytes)), (404, b"Not Found".as_slice()));
    assert_eq!(head.framing, Framing::Length(12));
    assert_eq!(head.keep_alive_hint_s, Some(7));
    assert!(head.keep_alive && !head.http10 && !head.upgrade);
    let hops: Vec<bool> = head.fields.iter().map(|f| f.hop).collect();
    assert_eq!(hops, [false, false, true, true, true]);
}

#[test]
fn the_end_of_the_body_follows_from_status_method_and_fields() {
    let cl = "Content-Length: 3\r\n";
    let te = "Transfer-Encoding: chunked\r\n";
    for (status, fields, to_head, framing, keep_alive) in [
        ("1.1 200", "", false, Framing::UntilClose, false),
        ("1.1 200", cl, false, Framing::Length(3), true),
        ("1.1 200", "Content-Length: 0\r\n", false, Framing::Length(0), true),
        ("1.1 200", te, false, Framing::Chunked, true),
        ("1.1 200", cl, true, Framing::None, true),
        ("1.1 200", te, true, Framing::None, true),
        ("1.1 200", "", true, Framing::None, true),
        ("1.1 204", "", false, Framing::None, true),
        ("1.1 204", "Content-Length: 0\r\n", false, Framing::None, true),
        ("1.1 204", cl, false, Framing::None, false),
        ("1.1 204", te, false, Framing::None, false),
        ("1.1 304", cl, false, Framing::None, true),
        ("1.1 304", "Connection: close\r\n", false, Framing::None, false),
        ("1.1 100", "", false, Framing::None, true),
        ("1.0 200", cl, false, Framing::Length(3), false),
        (
            "1.0 200",
            "Content-Length: 3\r\nConnection: keep-alive\r\n",
            false,
            Framing::Length(3),
            true,
        ),
        (
            "1.0 200",
            "Connection: keep-alive\r\n",
            false,
            Framing::UntilClose,
            false,
        ),
    ] {
        let text = format!("HTTP/{status} X\r\n{fields}\r\n");
        let (parsed, head, _) = parse(text.as_bytes(), to_head);
        assert_eq!(parsed, Parsed::Done(text.len()), "{text:?}");
        assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{text:?}");
    }
}

#[test]
fn a_length_passes_on_but_where_it_must_not_stand() {
    let hop = |text: &str| done(text).0.fields[0].hop;
    assert!(!hop("HTTP/1.1 304 X\r\nContent-Length: 3\r\n\r\n"));
    assert!(!hop(
        "HTTP/1.1 200 X\r\nContent-Length: 3\r\nConnection: content-length\r\n\r\n"
    ));
    assert!(hop("HTTP/1.1 204 X\r\nContent-Length: 3\r\n\r\n"));
}

#[test]
fn a_switch_of_protocols_names_what_it_switches_to() {
    for (fields, upgrade) in [
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", true),
        ("Connection: Upgrade\r\n", false),
        ("Upgrade: websocket\r\n", false),
        ("Connection: upgrade\r\nUpgrade: \r\n", false),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", false),
        ("Connection: upgrade\r\nUpgrade: websocket, h2c\r\n", false),
        ("Connection: upgrade\r\nUpgrade: WebSocket\r\n", true),
    ] {
        assert_eq!(
            done(&format!("HTTP/1.1 101 X\r\n{fields}\r\n")).0.upgrade,
            upgrade,
            "{fields:?}"
        );
    }
    assert!(
        !done("HTTP/1.1 200 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            .0
            .upgrade
    );
}

#[test]
fn the_reason_may_be_empty_or_8_bit_or_left_out() {
    for (line, reason) in [
        ("HTTP/1.1 200 ", b"".as_slice()),
        ("HTTP/1.1 200", b""),
        ("HTTP/1.1 200 a\tb  c", b"a\tb  c"),
        ("HTTP/1.1 200  ", b" "),
    ] {
        let (head, bytes) = done(&format!("{line}\r\n\r\n"));
        assert_eq!(head.reason.of(&bytes), reason);
    }
    assert_eq!(parse(b"HTTP/1.1 200 \xe9\r\n\r\n", false).0, Parsed::Done(18));
}

#[test]
fn what_is_malformed_is_broken() {
    for line in [
        "HTTP/1.2 200 X",
        "HTTP/2.0 200 X",
        "HTTP/0.9 200 X",
        "http/1.1 200 X",
        "HTTP/1.1  200 X",
        "HTTP/1.1 20 X",
        "HTTP/1.1 2000 X",
        "HTTP/1.1 099 X",
        "HTTP/1.1 600 X",
        "HTTP/1.1 2x0 X",
        "HTTP/1.1 +20 X",
        "HTTP/1.1\t200 X",
        "HTTP/1.1 200\tX",
        "HTTP/1.1 200 X\0",
        "HTTP/1.1 200 \u{7f}",
        "HTTP/1.1 200 X\rY",
        "HTTP/1.1 200 X\nY: z",
        "ICY 200 OK",
        " HTTP/1.1 200 X",
        "\r\nHTTP/1.1 200 X",
        "200 OK",
    ] {
        assert_eq!(
            parse(format!("{line}\r\n\r\n").as_bytes(), false).0,
            Parsed::Broken(Fault::BadRequest),
            "{line:?}"
        );
    }
    for field in [
        "X : y",
        ": y",
        "X",
        " X: y",
        "X: a\r\n b",
        "X: a\nY: b",
        "X: a\rb",
        "X: \0",
        "X: \u{7f}",
        "X y: z",
        "Content-Length: ",
        "Content-Length: +1",
        "Content-Length: 1, 1",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: ",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Content_Length: 1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Content-Length: 9999999999999999",
    ] {
        for to_head in [false, true] {
            let text = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
            assert_eq!(
                parse(text.as_bytes(), to_head).0,
                Parsed::Broken(Fault::BadRequest),
                "{field:?}"
            );
        }
    }
    for text in [
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert_eq!(
            parse(text.as_bytes(), false).0,
            Parsed::Broken(Fault::BadRequest),
            "{text:?}"
        );
    }
}

#[test]
fn heads_are_bounded_in_bytes_and_fields() {
    let with = |fields: String| parse(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), false).0;
    assert!(matches!(with("X: y\r\n".repeat(RESPONSE_FIELDS_MAX)), Parsed::Done(_)));
    assert_eq!(
        with("X: y\r\n".repeat(RESPONSE_FIELDS_MAX + 1)),
        Parsed::Broken(Fault::BadRequest)
    );
    assert_eq!(
        with(format!("X: {}\r\n", "y".repeat(RESPONSE_HEAD_BYTES_MAX))),
        Parsed::Broken(Fault::BadRequest)
    );
    let room = RESPONSE_HEAD_BYTES_MAX - "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
    assert_eq!(
        with(format!("X: {}\r\n", "y".repeat(room))),
        Parsed::Done(RESPONSE_HEAD_BYTES_MAX)
    );
}

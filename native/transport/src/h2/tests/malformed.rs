//! Malformed messages (RFC 9113 §8.1.1), as raw frames: an error of the stream, or of the connection where the header block cannot be read at all; never an event.

use super::super::{Event, Limits};
use super::pair::head;
use super::raw::*;

/// What a server says to one request: the code of a reset or GOAWAY, none when it was taken.
fn verdict(fields: &[(&str, &str)], body: Option<&[u8]>) -> Option<u32> {
    let mut peer = ToServer::new(&Limits::default());
    let flags = if body.is_some() { 0 } else { END_STREAM };
    let mut bytes = frame(HEADERS, flags | END_HEADERS, 1, &block(fields));
    if let Some(body) = body {
        bytes.extend(frame(DATA, END_STREAM, 1, body));
    }
    let (said, _) = peer.say(&bytes);
    let told = peer.told();
    let error = said
        .iter()
        .find(|frame| matches!(frame.kind, RST_STREAM | GOAWAY))
        .map(Frame::code);
    if body.is_none() {
        assert_eq!(
            error.is_none(),
            told.iter().any(|event| matches!(event, Event::Request { .. })),
            "{fields:?} {told:?}"
        );
    } else if error.is_some() {
        assert!(
            !told
                .iter()
                .any(|event| matches!(event, Event::Data { ended: true, .. })),
            "{fields:?} {told:?}"
        );
        assert!(
            told.is_empty() || matches!(told.last(), Some(Event::Reset { .. })),
            "{fields:?} {told:?}"
        );
    }
    error
}

fn request(method: &str, path: &str, authority: &str, more: &[(&str, &str)]) -> Option<u32> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", authority),
        (":path", path),
    ];
    fields.extend_from_slice(more);
    verdict(&fields, None)
}

#[test]
fn what_is_well_formed_is_told() {
    for path in ["/", "/a?b=c", "/%41;x=1", "/a|b^{\"}\\", "//", "/?", "/?{|}^`\\"] {
        assert_eq!(request("GET", path, "a.test", &[]), None, "{path}");
    }
    for authority in ["a.test", "A.TEST:8443", "a_b.test:", "1.2.3.4", "[::1]:80"] {
        assert_eq!(request("GET", "/", authority, &[]), None, "{authority}");
    }
    assert_eq!(request("OPTIONS", "*", "a.test", &[]), None);
    assert_eq!(
        request(
            "BREW",
            "/",
            "a.test",
            &[("te", "trailers"), ("cookie", "a=b"), ("cookie", "c=d")]
        ),
        None
    );
    assert_eq!(request("GET", "/", "a.test", &[("x", "\u{e9}"), ("y", "")]), None);
    assert_eq!(
        verdict(
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                ("host", "a.test")
            ],
            None
        ),
        None
    );
    assert_eq!(
        verdict(&[(":method", "CONNECT"), (":authority", "a.test:443")], None),
        None
    );
}

#[test]
fn pseudo_header_fields_are_as_they_must_be() {
    let all: &[&[(&str, &str)]] = &[
        &[],
        &[("a", "b")],
        &[(":scheme", "http"), (":authority", "a"), (":path", "/")],
        &[(":method", "GET"), (":authority", "a"), (":path", "/")],
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/")],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", ""),
        ],
        &[
            (":method", "GET"),
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
            (":path", "/"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":authority", "a"),
            (":path", "/"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            ("x", "y"),
            (":path", "/"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
            (":status", "200"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
            (":other", "1"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
            (":protocol", "websocket"),
        ],
        &[
            (":method", "GE T"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
        ],
        &[
            (":method", ""),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "ftp"),
            (":authority", "a"),
            (":path", "/"),
        ],
        &[(":method", "GET"), (":scheme", ""), (":authority", "a"), (":path", "/")],
        &[
            (":method", "CONNECT"),
            (":scheme", "http"),
            (":authority", "a:1"),
            (":path", "/"),
        ],
        &[(":method", "CONNECT"), (":authority", "a")],
        &[(":method", "CONNECT")],
        &[(":method", "CONNECT"), (":protocol", "websocket"), (":authority", "a")],
    ];
    for fields in all {
        assert_eq!(verdict(fields, None), Some(PROTOCOL_ERROR), "{fields:?}");
    }
}

#[test]
fn targets_and_authorities_are_as_strict_as_in_http_1() {
    for path in [
        "x",
        "http://a.test/",
        "*",
        "/a b",
        "/a\tb",
        "/a\u{0}b",
        "/a\r\nb",
        "/a\u{7f}",
        "/\u{e9}",
        "/<",
        "/?<",
    ] {
        assert_eq!(request("GET", path, "a.test", &[]), Some(PROTOCOL_ERROR), "{path:?}");
    }
    for authority in [
        "",
        "u@a.test",
        "a.test/",
        "a.test:0",
        "a.test:65536",
        "a.test:x",
        "a,b",
        "a b",
        "a.test#",
        "[::1",
        ".",
    ] {
        assert_eq!(
            request("GET", "/", authority, &[]),
            Some(PROTOCOL_ERROR),
            "{authority:?}"
        );
    }
    assert_eq!(request("OPTIONS", "*x", "a.test", &[]), Some(PROTOCOL_ERROR));
}

#[test]
fn host_and_authority_agree() {
    let host = |values: &[&str]| {
        let more: Vec<(&str, &str)> = values.iter().map(|value| ("host", *value)).collect();
        request("GET", "/", "a.test:80", &more)
    };
    assert_eq!(host(&["A.test:80"]), None);
    for bad in [
        &["b.test"][..],
        &["a.test"],
        &["a.test:80", "a.test:80"],
        &[""],
        &["a.test:80, b.test"],
    ] {
        assert_eq!(host(bad), Some(PROTOCOL_ERROR), "{bad:?}");
    }
    let mut peer = ToServer::new(&Limits::default());
    let mut fields = GET.to_vec();
    fields.push(("host", "a.test"));
    peer.say(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields)));
    let told = peer.told();
    let [Event::Request { parts, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(!parts.headers.contains_key("host"), "one place says it");
}

#[test]
fn fields_are_as_they_must_be() {
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("X-Upper", "a"),
        ("a b", "c"),
        ("a:b", "c"),
        ("", "c"),
        ("a\u{0}", "c"),
        ("x", "a\r\nb: c"),
        ("x", "a\u{0}b"),
        ("x", "a\nb"),
        ("x", " a"),
        ("x", "a "),
        ("x", "\ta"),
        ("x", "a\t"),
        ("x", " "),
        ("content-length", ""),
        ("content-length", "+0"),
        ("content-length", "-1"),
        ("content-length", "0x0"),
        ("content-length", "1"),
        ("content-length", "0, 0"),
        ("content-length", "0000000000000000"),
    ] {
        let code = request("GET", "/", "a.test", &[(name, value)]);
        assert!(matches!(code, Some(PROTOCOL_ERROR | 9)), "{name:?}: {value:?} {code:?}");
    }
    let code = request(
        "GET",
        "/",
        "a.test",
        &[("content-length", "0"), ("content-length", "0")],
    );
    assert_eq!(code, Some(PROTOCOL_ERROR));
}

#[test]
fn the_length_is_that_of_the_body() {
    let post = |length: &str, body: &[u8]| verdict(&[POST, &[("content-length", length)]].concat(), Some(body));
    assert_eq!(post("5", b"hello"), None);
    assert_eq!(post("0", b""), None);
    for (length, body) in [("4", &b"hello"[..]), ("6", b"hello"), ("5", b""), ("0", b"x")] {
        assert_eq!(post(length, body), Some(PROTOCOL_ERROR), "{length}");
    }
    // Trailers end a body too.
    let mut peer = ToServer::new(&Limits::default());
    let mut bytes = frame(
        HEADERS,
        END_HEADERS,
        1,
        &block(&[POST, &[("content-length", "5")]].concat()),
    );
    bytes.extend(frame(DATA, 0, 1, b"hell"));
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[("x", "y")])));
    let (said, _) = peer.say(&bytes);
    assert!(
        said.iter()
            .any(|frame| frame.kind == RST_STREAM && frame.code() == PROTOCOL_ERROR),
        "{said:?}"
    );
}

/// What a server says to trailers.
fn trailers(flags: u8, fields: &[(&str, &str)]) -> (Option<u32>, Vec<Event>) {
    let mut peer = ToServer::new(&Limits::default());
    let bytes = [
        post(1),
        frame(DATA, 0, 1, b"x"),
        frame(HEADERS, flags | END_HEADERS, 1, &block(fields)),
    ]
    .concat();
    let (said, _) = peer.say(&bytes);
    (
        said.iter()
            .find(|frame| matches!(frame.kind, RST_STREAM | GOAWAY))
            .map(Frame::code),
        peer.told(),
    )
}

#[test]
fn trailers_are_as_they_must_be() {
    assert_eq!(trailers(END_STREAM, &[("x", "y")]).0, None);
    for (flags, fields) in [
        (0, &[("x", "y")][..]),
        (END_STREAM, &[("connection", "close")]),
        (END_STREAM, &[("transfer-encoding", "chunked")]),
        (END_STREAM, &[("x", " y")]),
        (END_STREAM, &[("X", "y")]),
        (END_STREAM, &[(":path", "/")]),
        (END_STREAM, &[(":status", "200")]),
        (END_STREAM, &[(":other", "1")]),
    ] {
        let (code, told) = trailers(flags, fields);
        assert_eq!(code, Some(PROTOCOL_ERROR), "{fields:?}");
        assert!(
            !told.iter().any(|event| matches!(event, Event::Trailers { .. })),
            "{told:?}"
        );
    }
}

/// What a client makes of a response to GET: its code when it is refused.
fn response(bytes: &[Vec<u8>]) -> Option<u32> {
    let mut peer = ToClient::new(&Limits::default());
    let stream = peer.client.request(head("GET", "/"), true).expect("a stream");
    assert_eq!(stream, 1);
    peer.say(&[]);
    let (_, closed) = peer.say(&bytes.concat());
    let told = peer.told();
    let reset = told.iter().find_map(|event| match event {
        Event::Reset {
            code, remote: false, ..
        } => Some(*code),
        _ => None,
    });
    reset.or(closed.map(|closed| closed.code))
}

#[test]
fn responses_are_as_they_must_be() {
    let answer = |flags: u8, fields: &[(&str, &str)]| frame(HEADERS, flags | END_HEADERS, 1, &block(fields));
    let data = |flags: u8, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    assert_eq!(response(&[answer(END_STREAM, &[(":status", "200")])]), None);
    assert_eq!(
        response(&[
            answer(0, &[(":status", "100")]),
            answer(END_STREAM, &[(":status", "200")])
        ]),
        None
    );
    assert_eq!(
        response(&[
            answer(0, &[(":status", "200"), ("content-length", "1")]),
            data(END_STREAM, b"x")
        ]),
        None
    );
    let bad: &[&[Vec<u8>]] = &[
        &[answer(END_STREAM, &[])],
        &[answer(END_STREAM, &[("x", "y")])],
        &[answer(END_STREAM, &[(":status", "abc")])],
        &[answer(END_STREAM, &[(":status", "99")])],
        &[answer(END_STREAM, &[(":status", "200"), (":status", "200")])],
        &[answer(END_STREAM, &[("x", "y"), (":status", "200")])],
        &[answer(0, &[(":status", "101")])],
        &[answer(END_STREAM, &[(":status", "100")])],
        &[answer(END_STREAM, &[(":status", "200"), ("connection", "close")])],
        &[answer(
            END_STREAM,
            &[(":status", "200"), ("transfer-encoding", "chunked")],
        )],
        &[answer(END_STREAM, &[(":status", "200"), ("x", " y")])],
        &[answer(END_STREAM, &[(":status", "200"), ("x", "y\r\nz: 1")])],
        &[answer(END_STREAM, &[(":status", "200"), ("content-length", "1")])],
        &[
            answer(
                0,
                &[(":status", "200"), ("content-length", "2"), ("content-length", "2")],
            ),
            data(END_STREAM, b"xy"),
        ],
        &[
            answer(0, &[(":status", "200"), ("content-length", "1")]),
            data(END_STREAM, b"xy"),
        ],
        &[
            answer(0, &[(":status", "200"), ("content-length", "3")]),
            data(END_STREAM, b"xy"),
        ],
        &[answer(0, &[(":status", "204")]), data(END_STREAM, b"x")],
        &[answer(0, &[(":status", "200")]), answer(0, &[("x", "y")])],
        &[data(END_STREAM, b"x")],
    ];
    for bytes in bad {
        let code = response(bytes);
        assert!(matches!(code, Some(PROTOCOL_ERROR | 9)), "{code:?} {bytes:?}");
    }
    // Interim answers without end.
    let many: Vec<Vec<u8>> = (0..100).map(|_| answer(0, &[(":status", "103")])).collect();
    assert_eq!(response(&many), Some(PROTOCOL_ERROR));
    // A head beyond the limit.
    let value = "y".repeat(15_000);
    let large = block(&[(":status", "200"), ("x", &value), ("y", &value), ("z", &value)]);
    let parts = [
        frame(HEADERS, END_STREAM, 1, &large[..16_000]),
        frame(CONTINUATION, 0, 1, &large[16_000..32_000]),
        frame(CONTINUATION, END_HEADERS, 1, &large[32_000..]),
    ];
    assert_eq!(response(&parts), Some(PROTOCOL_ERROR));
}

#[test]
fn push_promises_are_not_taken() {
    let mut promise = 2u32.to_be_bytes().to_vec();
    promise.extend(block(GET));
    assert_eq!(response(&[frame(5, END_HEADERS, 1, &promise)]), Some(PROTOCOL_ERROR));
}

#[test]
fn pseudo_header_fields_in_trailers_are_seen_byte_by_byte_and_behind_padding() {
    let starts: [&[u8]; 5] = [
        &[0x84],
        &[0x44, 1, b'/'],
        &[0x20, 0x04, 1, b'/'],
        // `:path`, Huffman-coded.
        &[0x00, 0x84, 0xb9, 0x58, 0xd3, 0x3f, 1, b'/'],
        &[0x10, 7, b':', b's', b't', b'a', b't', b'u', b's', 3, b'2', b'0', b'0'],
    ];
    for start in starts {
        for padded in [false, true] {
            let payload = if padded {
                [&[3], start, &[0; 3]].concat()
            } else {
                start.to_vec()
            };
            let flags = END_STREAM | END_HEADERS | if padded { PADDED } else { 0 };
            let mut peer = ToServer::new(&Limits::default());
            peer.say(&post(1));
            let mut reset = false;
            for byte in frame(HEADERS, flags, 1, &payload) {
                let (said, _) = peer.say(&[byte]);
                reset |= said
                    .iter()
                    .any(|frame| frame.kind == RST_STREAM && frame.code() == PROTOCOL_ERROR);
            }
            assert!(reset, "{start:x?} {padded}");
            assert!(!peer.told().iter().any(|event| matches!(event, Event::Trailers { .. })));
        }
    }
}

#[test]
fn a_fragment_is_seen_by_nobody() {
    let mut peer = ToServer::new(&Limits::default());
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/a?b#/../c"),
    ];
    peer.say(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields)));
    let told = peer.told();
    let [Event::Request { parts, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(parts.uri.to_string(), "http://a.test/a?b");
}

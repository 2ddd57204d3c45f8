//! Whole exchanges, a client against a server.

use super::super::{Client, Event, Protocol, Server};
use super::pair::{Pair, body, fields, head};
use http::HeaderMap;

#[test]
fn a_request_is_answered_with_a_body() {
    let mut pair = Pair::default();
    let stream = pair.client.request(head("GET", "/x?y=1"), true).expect("a stream");
    pair.pump();
    let told = pair.at_server();
    let [
        Event::Request {
            stream: seen,
            parts,
            ended: true,
        },
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((*seen, parts.uri.to_string().as_str()), (stream, "http://a.test/x?y=1"));
    assert!(
        pair.server
            .respond(stream, 200, fields(&[("content-type", "text/plain")]), false)
    );
    assert_eq!(pair.server.data(stream, b"hello", true), 5);
    pair.pump();
    let told = pair.at_client();
    let [
        Event::Response {
            parts, ended: false, ..
        },
        Event::Data { bytes, ended: true, .. },
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((parts.status.as_u16(), &bytes[..]), (200, &b"hello"[..]));
    assert_eq!(parts.headers["content-type"], "text/plain");
    pair.client.release(stream, 5);
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

#[test]
fn bodies_and_trailers_go_both_ways_while_both_are_open() {
    let mut pair = Pair::default();
    let stream = pair.open("POST", false);
    assert!(pair.server.respond(stream, 200, HeaderMap::new(), false));
    for n in 0..50u8 {
        assert_eq!(pair.client.data(stream, &[n; 100], false), 100);
        pair.pump();
        assert_eq!(body(&pair.at_server()), (vec![n; 100], false));
        pair.server.release(stream, 100);
        assert_eq!(pair.server.data(stream, &[n; 200], false), 200);
        pair.pump();
        assert_eq!(body(&pair.at_client()), (vec![n; 200], false));
        pair.client.release(stream, 200);
    }
    assert!(pair.client.trailers(stream, fields(&[("x-sum", "1")])));
    pair.pump();
    let told = pair.at_server();
    assert!(
        matches!(&told[..], [Event::Trailers { fields, .. }] if fields["x-sum"] == "1"),
        "{told:?}"
    );
    assert!(pair.server.trailers(stream, fields(&[("grpc-status", "0")])));
    pair.pump();
    let told = pair.at_client();
    assert!(
        matches!(&told[..], [Event::Trailers { fields, .. }] if fields["grpc-status"] == "0"),
        "{told:?}"
    );
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

#[test]
fn an_answer_of_a_head_and_trailers_only_is_one_that_ends() {
    // gRPC's "trailers-only": one HEADERS frame.
    let mut pair = Pair::default();
    let stream = pair.open("POST", true);
    assert!(pair.server.respond(stream, 200, fields(&[("grpc-status", "12")]), true));
    pair.pump();
    let told = pair.at_client();
    assert!(matches!(&told[..], [Event::Response { ended: true, .. }]), "{told:?}");
    // A head, then trailers; and trailers without a field.
    for (trailers, count) in [(fields(&[("grpc-status", "0")]), 1), (HeaderMap::new(), 0)] {
        let stream = pair.open("POST", true);
        assert!(pair.server.respond(stream, 200, HeaderMap::new(), false));
        assert!(pair.server.trailers(stream, trailers));
        pair.pump();
        let told = pair.at_client();
        match &told[..] {
            [Event::Response { ended: false, .. }, Event::Trailers { fields, .. }] => assert_eq!(fields.len(), count),
            [
                Event::Response { ended: false, .. },
                Event::Data { bytes, ended: true, .. },
            ] => {
                assert_eq!((count, bytes.len()), (0, 0));
            }
            _ => panic!("{told:?}"),
        }
    }
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

#[test]
fn interim_answers_come_before_the_answer() {
    let mut pair = Pair::default();
    let stream = pair.open("POST", false);
    assert!(pair.server.interim(stream, 100, HeaderMap::new()));
    assert!(
        pair.server
            .interim(stream, 103, fields(&[("link", "</a>; rel=preload")]))
    );
    assert!(!pair.server.interim(stream, 101, HeaderMap::new()));
    assert!(!pair.server.interim(stream, 200, HeaderMap::new()));
    pair.pump();
    assert!(pair.server.respond(stream, 204, HeaderMap::new(), true));
    assert!(!pair.server.interim(stream, 103, HeaderMap::new()));
    pair.pump();
    let told = pair.at_client();
    let [
        Event::Informational { parts: first, .. },
        Event::Informational { parts: second, .. },
        Event::Response {
            parts: last,
            ended: true,
            ..
        },
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(
        [first.status.as_u16(), second.status.as_u16(), last.status.as_u16()],
        [100, 103, 204]
    );
    assert_eq!(second.headers["link"], "</a>; rel=preload");
}

#[test]
fn answers_without_content_keep_their_length() {
    let mut pair = Pair::default();
    for (method, status) in [("HEAD", 200), ("GET", 304)] {
        let stream = pair.open(method, true);
        assert!(
            pair.server
                .respond(stream, status, fields(&[("content-length", "1234")]), true)
        );
        pair.pump();
        let told = pair.at_client();
        let [Event::Response { parts, ended: true, .. }] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(parts.headers["content-length"], "1234");
    }
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

#[test]
fn a_304_with_a_length_may_end_after_its_head() {
    let mut pair = Pair::default();
    let stream = pair.open("GET", true);
    assert!(
        pair.server
            .respond(stream, 304, fields(&[("content-length", "1234")]), false)
    );
    pair.server.data(stream, b"", true);
    pair.pump();
    let told = pair.at_client();
    assert!(
        matches!(
            &told[..],
            [Event::Response { ended: false, .. }, Event::Data { bytes, ended: true, .. }] if bytes.is_empty()
        ),
        "{told:?}"
    );
    assert_eq!(pair.client.open_streams(), 0);
}

#[test]
fn content_where_there_is_none_is_an_error() {
    let mut pair = Pair::default();
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let stream = pair.open(method, true);
        assert!(pair.server.respond(stream, status, HeaderMap::new(), false));
        assert_eq!(pair.server.data(stream, b"x", true), 1);
        pair.pump();
        let told = pair.at_client();
        assert!(
            matches!(
                told.last(),
                Some(Event::Reset {
                    code: 1,
                    remote: false,
                    ..
                })
            ),
            "{told:?}"
        );
    }
}

#[test]
fn an_extended_connect_is_a_tunnel() {
    let mut pair = Pair::default();
    assert!(pair.client.extended_connect());
    let mut parts = head("CONNECT", "/chat");
    parts.extensions.insert(Protocol::from_static("websocket"));
    let stream = pair.client.request(parts, false).expect("a stream");
    pair.pump();
    let told = pair.at_server();
    let [
        Event::Request {
            parts, ended: false, ..
        },
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(
        parts.extensions.get::<Protocol>().map(Protocol::as_str),
        Some("websocket")
    );
    assert_eq!((parts.method.as_str(), parts.uri.path()), ("CONNECT", "/chat"));
    assert!(pair.server.respond(stream, 200, HeaderMap::new(), false));
    assert_eq!(pair.client.data(stream, b"ping", false), 4);
    assert_eq!(pair.server.data(stream, b"pong", false), 4);
    pair.pump();
    assert_eq!(body(&pair.at_server()), (b"ping".to_vec(), false));
    assert_eq!(body(&pair.at_client()), (b"pong".to_vec(), false));
    assert_eq!(pair.server.data(stream, b"", true), 0);
    assert_eq!(pair.client.data(stream, b"", true), 0);
    pair.pump();
    assert_eq!(body(&pair.at_server()), (vec![], true));
    assert_eq!(body(&pair.at_client()), (vec![], true));
    for side in [pair.client.open_streams(), pair.server.open_streams()] {
        assert_eq!(side, 0);
    }
}

#[test]
fn what_belongs_to_connections_is_not_sent() {
    let mut pair = Pair::default();
    let mut parts = head("GET", "/");
    parts.headers = fields(&[("connection", "close")]);
    assert_eq!(pair.client.request(parts, true), None);
    let stream = pair.open("GET", true);
    assert!(
        !pair
            .server
            .respond(stream, 200, fields(&[("transfer-encoding", "chunked")]), true)
    );
    assert!(pair.server.respond(stream, 200, HeaderMap::new(), false));
    assert!(!pair.server.trailers(stream, fields(&[("connection", "close")])));
    assert!(pair.server.trailers(stream, fields(&[("x", "y")])));
    pair.pump();
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

#[test]
fn what_comes_too_late_or_twice_is_turned_down() {
    let mut pair = Pair::default();
    let stream = pair.open("GET", true);
    assert_eq!(pair.server.data(stream, b"x", true), 0);
    assert!(!pair.server.trailers(stream, HeaderMap::new()));
    assert!(pair.server.respond(stream, 200, HeaderMap::new(), true));
    assert!(!pair.server.respond(stream, 200, HeaderMap::new(), true));
    assert_eq!(pair.server.data(stream, b"x", true), 0);
    pair.server.release(stream, 1);
    pair.server.reset(stream, 8);
    assert_eq!(pair.client.data(99, b"x", false), 0);
    pair.client.release(99, 1);
    pair.client.reset(99, 8);
    pair.pump();
}

#[test]
fn streams_go_on_beside_each_other_and_places_are_used_again() {
    let mut pair = Pair::default();
    for round in 0..20 {
        let streams: Vec<u32> = (0..50)
            .map(|_| pair.client.request(head("GET", "/"), true).expect("a stream"))
            .collect();
        pair.pump();
        assert_eq!(pair.at_server().len(), 50);
        for stream in streams.iter().rev() {
            assert!(pair.server.respond(*stream, 200, HeaderMap::new(), false));
            assert_eq!(pair.server.data(*stream, &stream.to_be_bytes(), true), 4);
        }
        pair.pump();
        let told = pair.at_client();
        assert_eq!(told.len(), 100, "{round}");
        for event in told {
            if let Event::Data { stream, bytes, ended } = event {
                assert_eq!((&bytes[..], ended), (&stream.to_be_bytes()[..], true));
                pair.client.release(stream, 4);
            }
        }
        assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
    }
}

#[test]
fn connections_can_be_handed_to_another_thread() {
    fn movable<T: Send>() {}
    movable::<Server>();
    movable::<Client>();
}

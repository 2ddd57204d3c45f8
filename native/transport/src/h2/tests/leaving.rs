//! Resets, GOAWAY and the end of connections, and what is told of requests that were never read.

use super::super::{Event, LOST, Limits};
use super::pair::{Pair, head};
use super::raw::*;
use http::HeaderMap;

#[test]
fn resets_go_both_ways_with_their_codes() {
    let mut pair = Pair::default();
    let stream = pair.open("POST", false);
    pair.client.reset(stream, CANCEL);
    pair.pump();
    let told = pair.at_server();
    assert!(
        matches!(
            told[..],
            [Event::Reset {
                code: CANCEL,
                remote: true,
                ..
            }]
        ),
        "{told:?}"
    );
    // Also when all was received and the answer is under way.
    let stream = pair.open("GET", true);
    assert!(pair.server.respond(stream, 200, HeaderMap::new(), false));
    pair.pump();
    pair.client.reset(stream, CANCEL);
    pair.pump();
    let told = pair.at_server();
    assert!(
        matches!(
            told[..],
            [Event::Reset {
                code: CANCEL,
                remote: true,
                ..
            }]
        ),
        "{told:?}"
    );
    pair.at_client();
    for code in [2, CANCEL, ENHANCE_YOUR_CALM, 13] {
        let stream = pair.open("GET", true);
        pair.server.reset(stream, code);
        pair.pump();
        let told = pair.at_client();
        assert!(
            matches!(told[..], [Event::Reset { code: seen, remote: true, unprocessed: false, .. }] if seen == code),
            "{told:?}"
        );
    }
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

#[test]
fn a_refused_stream_was_never_read() {
    let mut pair = Pair::default();
    let stream = pair.open("POST", false);
    pair.server.reset(stream, REFUSED_STREAM);
    pair.pump();
    let told = pair.at_client();
    assert!(
        matches!(
            told[..],
            [Event::Reset {
                remote: true,
                unprocessed: true,
                ..
            }]
        ),
        "{told:?}"
    );
}

#[test]
fn after_a_complete_answer_the_rest_of_the_request_is_not_asked_for() {
    let mut pair = Pair::default();
    let stream = pair.open("POST", false);
    assert!(pair.server.respond(stream, 413, HeaderMap::new(), false));
    assert_eq!(pair.server.data(stream, b"too large", true), 9);
    pair.server.reset(stream, 0);
    pair.pump();
    let told = pair.at_client();
    let [
        Event::Response { .. },
        Event::Data { bytes, ended: true, .. },
        Event::Reset { code: 0, .. },
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(&bytes[..], b"too large");
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

/// A request with half a body that the server answers whole, and what the client is told at once.
fn answered_early(pair: &mut Pair, due: u64) -> u32 {
    let stream = pair.open("POST", false);
    assert_eq!(pair.client.data(stream, &[1; 9_000], false), 9_000);
    pair.pump();
    pair.at_server();
    assert!(pair.server.respond(stream, 413, HeaderMap::new(), false));
    assert_eq!(pair.server.data(stream, b"too large", true), 9);
    pair.server.answered(stream, due);
    pair.pump();
    stream
}

#[test]
fn a_client_that_was_answered_within_its_upload_has_time_to_read_before_it_is_reset() {
    let mut pair = Pair::default();
    let stream = answered_early(&mut pair, 10);
    let told = pair.at_client();
    assert!(
        matches!(told[..], [Event::Response { .. }, Event::Data { ended: true, .. }]),
        "{told:?}"
    );
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (1, 0));
    // What it still sends is told to nobody, and holds nothing of the connection's window.
    pair.at_server();
    let mut sent = 0;
    while pair.client.data(stream, &[2; 1_000], false) == 1_000 {
        sent += 1_000;
        pair.pump();
    }
    assert!(sent > 50_000 && pair.at_server().is_empty());
    let other = pair.open("POST", false);
    let mut taken = 0;
    while taken < 4_000_000 {
        let n = pair.client.data(other, &[3; 16_000], false);
        pair.pump();
        let came: usize = pair
            .at_server()
            .iter()
            .map(|event| {
                if let Event::Data { bytes, .. } = event {
                    bytes.len()
                } else {
                    0
                }
            })
            .sum();
        pair.server.release(other, came);
        pair.pump();
        assert!(n + came > 0, "the connection's window is used up after {taken} bytes");
        taken += n;
    }
    pair.at_client();
    assert!(!pair.server.dismiss(9));
    assert!(pair.server.dismiss(10));
    pair.pump();
    let told = pair.at_client();
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::Reset { stream: seen, code: 0, remote: true, .. } if *seen == stream)),
        "{told:?}"
    );
}

#[test]
fn a_client_that_ends_or_resets_what_was_answered_early_is_not_reset() {
    let mut pair = Pair::default();
    let ended = answered_early(&mut pair, 10);
    assert_eq!(pair.client.data(ended, b"", true), 0);
    let reset = answered_early(&mut pair, 10);
    pair.client.reset(reset, CANCEL);
    pair.pump();
    assert_eq!(pair.client.open_streams(), 0);
    pair.at_client();
    assert!(pair.server.dismiss(10));
    pair.pump();
    assert!(
        pair.at_client().is_empty()
            && pair
                .at_server()
                .iter()
                .all(|event| !matches!(event, Event::Reset { .. }))
    );
    assert!(pair.server_closed.is_none());
}

#[test]
fn few_streams_wait_for_clients_to_read() {
    let mut pair = Pair::default();
    let streams: Vec<u32> = (0..40).map(|_| answered_early(&mut pair, 10)).collect();
    let reset: Vec<u32> = pair
        .at_client()
        .iter()
        .filter_map(|event| match event {
            Event::Reset { stream, code: 0, .. } => Some(*stream),
            _ => None,
        })
        .collect();
    assert_eq!(reset, streams[..8]);
}

#[test]
fn a_server_that_leaves_serves_what_is_open() {
    let mut pair = Pair::default();
    let stream = pair.open("GET", true);
    pair.server.go_away();
    // On its way when the server decided.
    let late = pair.client.request(head("GET", "/late"), true).expect("a stream");
    pair.pump();
    assert!(matches!(pair.at_client()[..], [Event::Closing]));
    assert!(!pair.client.ready());
    assert_eq!(pair.client.request(head("GET", "/"), true), None);
    assert!(matches!(pair.at_server()[..], [Event::Request { stream, .. }] if stream == late));
    for stream in [stream, late] {
        assert!(pair.server.respond(stream, 200, HeaderMap::new(), true));
    }
    pair.pump();
    assert_eq!(pair.at_client().len(), 2);
    for closed in [&pair.server_closed, &pair.client_closed] {
        assert!(closed.as_ref().is_some_and(|closed| closed.clean), "{closed:?}");
    }
}

#[test]
fn a_server_that_leaves_before_the_preface_says_so_after_it() {
    let mut server = super::super::Server::new(&Limits::default());
    server.go_away();
    let mut peer = ToServer {
        server,
        events: Vec::new(),
    };
    let (said, _) = peer.say(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    assert!(
        said.iter().any(|frame| frame.kind == GOAWAY && frame.code() == 0),
        "{said:?}"
    );
}

#[test]
fn a_client_that_leaves_ends_after_its_last_stream() {
    let mut pair = Pair::default();
    let stream = pair.open("GET", true);
    pair.client.go_away();
    assert_eq!(pair.client.request(head("GET", "/"), true), None);
    pair.pump();
    assert_eq!(pair.client_closed, None);
    assert!(pair.server.respond(stream, 200, HeaderMap::new(), true));
    pair.pump();
    assert!(matches!(pair.at_client()[..], [Event::Response { ended: true, .. }]));
    assert!(pair.client_closed.as_ref().is_some_and(|closed| closed.clean));
    assert!(matches!(pair.at_server()[..], [Event::Closing]));
    assert!(pair.server_closed.is_some_and(|closed| closed.clean));
}

#[test]
fn streams_beyond_the_last_of_a_goaway_were_never_read() {
    let mut peer = ToClient::new(&Limits::default());
    let streams: Vec<u32> = (0..4)
        .map(|_| peer.client.request(head("POST", "/"), true).expect("a stream"))
        .collect();
    peer.say(&[]);
    let goaway = [streams[1].to_be_bytes(), 0u32.to_be_bytes()].concat();
    peer.say(&frame(GOAWAY, 0, 0, &goaway));
    let told = peer.told();
    let mut lost: Vec<u32> = told
        .iter()
        .filter_map(|event| match event {
            Event::Reset {
                stream,
                unprocessed: true,
                ..
            } => Some(*stream),
            Event::Closing => None,
            _ => panic!("{told:?}"),
        })
        .collect();
    lost.sort_unstable();
    assert_eq!(lost, streams[2..]);
    // The others are answered.
    let mut answer = Vec::new();
    for stream in &streams[..2] {
        answer.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            *stream,
            &block(&[(":status", "204")]),
        ));
    }
    let (_, closed) = peer.say(&answer);
    assert_eq!(peer.told().len(), 2);
    assert!(closed.is_some_and(|closed| closed.clean));
}

#[test]
fn a_request_of_which_nothing_left_was_never_read() {
    let mut peer = ToClient::new(&Limits::default());
    let first = peer.client.request(head("POST", "/"), true).expect("a stream");
    assert_eq!(peer.client.poll(&mut peer.events), Ok(()));
    // One byte of it leaves.
    peer.client.sent(1);
    let second = peer.client.request(head("POST", "/"), true).expect("a stream");
    assert_eq!(peer.client.poll(&mut peer.events), Ok(()));
    peer.client.feed_end();
    let closed = peer.client.poll(&mut peer.events).expect_err("it is over");
    assert!(!closed.clean);
    for event in peer.told() {
        let Event::Reset {
            stream,
            code: LOST,
            remote: true,
            unprocessed,
        } = event
        else {
            panic!("{event:?}")
        };
        assert_eq!(unprocessed, stream == second, "{first} {second}");
    }
    assert_eq!(peer.client.poll(&mut peer.events), Err(closed));
    assert_eq!(peer.client.open_streams(), 0);
}

#[test]
fn an_end_in_the_middle_resets_what_is_open_after_what_had_arrived() {
    let mut peer = ToServer::new(&Limits::default());
    peer.say(&[post(1), get(3)].concat());
    peer.told();
    peer.server.feed(&frame(DATA, 0, 1, b"half"));
    peer.server.feed_end();
    let closed = peer.turn().1.expect("it is over");
    assert!(!closed.clean);
    let told = peer.told();
    assert!(matches!(told[0], Event::Data { stream: 1, .. }), "{told:?}");
    let resets = told
        .iter()
        .filter(|event| {
            matches!(
                event,
                Event::Reset {
                    remote: true,
                    code: LOST,
                    ..
                }
            )
        })
        .count();
    assert_eq!((resets, told.len()), (2, 3), "{told:?}");
    assert_eq!(peer.server.open_streams(), 0);
}

#[test]
fn an_end_between_requests_is_clean() {
    let mut peer = ToServer::new(&Limits::default());
    peer.say(&get(1));
    assert!(peer.server.respond(1, 204, HeaderMap::new(), true));
    assert_eq!(peer.turn().1, None);
    peer.server.feed_end();
    assert!(peer.turn().1.is_some_and(|closed| closed.clean));
}

#[test]
fn a_preface_that_is_none_ends_the_connection() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"\x16\x03\x01",
    ] {
        let mut peer = ToServer {
            server: super::super::Server::new(&Limits::default()),
            events: Vec::new(),
        };
        assert!(peer.say(bytes).1.is_some_and(|closed| !closed.clean));
    }
    let mut peer = ToServer {
        server: super::super::Server::new(&Limits::default()),
        events: Vec::new(),
    };
    assert_eq!(peer.say(&PREFACE[..10]).1, None);
    peer.server.feed_end();
    assert!(peer.turn().1.is_some());
}

#[test]
fn a_client_opens_no_more_streams_than_both_allow() {
    let mut peer = ToClient::new(&Limits {
        streams_max: 3,
        ..Limits::default()
    });
    assert_eq!(peer.client.streams(), 3);
    peer.say(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 2]));
    assert_eq!(peer.client.streams(), 2);
    for _ in 0..2 {
        assert!(peer.client.ready());
        assert!(peer.client.request(head("GET", "/"), true).is_some());
    }
    assert!(!peer.client.ready());
    assert_eq!(peer.client.request(head("GET", "/"), true), None);
    assert_eq!(peer.client.open_streams(), 2);
}

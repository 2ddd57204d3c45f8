//! Bytes and frames at random: nothing panics, nothing grows, and every stream that was told begins once and ends at most once.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Event, Limits};
use super::pair::head;
use super::raw::*;
use http::HeaderMap;

/// A frame whose parts often make sense.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![9 => 0u8..=9, 1 => any::<u8>()];
    let flags = prop_oneof![Just(0), Just(1), Just(4), Just(5), any::<u8>()];
    let stream = prop_oneof![6 => 0u32..=9, 1 => any::<u32>()];
    let payload = prop_oneof![
        Just(block(GET)),
        Just(block(POST)),
        Just(block(&[("x", "y")])),
        Just(block(&[(":status", "200")])),
        Just(block(&[(":status", "103")])),
        Just(vec![0, 0, 0, 8]),
        Just(vec![0; 8]),
        Just(vec![]),
        vec(any::<u8>(), 0..64),
        Just(vec![0x7f, 0xff, 0xff, 0xff]),
        Just(vec![0, 4, 0, 0, 0, 5]),
        Just(vec![0, 4, 0x7f, 0xff, 0xff, 0xff]),
        (0usize..16_000).prop_map(|len| vec![1; len]),
    ];
    (kind, flags, stream, payload).prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload))
}

/// What an application does after a turn.
#[derive(Clone, Debug)]
enum Act {
    Respond(u32, bool),
    Interim(u32),
    Data(u32, usize, bool),
    Trailers(u32),
    Release(u32, usize),
    Reset(u32, u32),
    GoAway,
    Nothing,
}

fn any_act() -> impl Strategy<Value = Act> {
    let stream = 0u32..=9;
    prop_oneof![
        4 => (stream.clone(), any::<bool>()).prop_map(|(stream, end)| Act::Respond(stream, end)),
        1 => stream.clone().prop_map(Act::Interim),
        4 => (stream.clone(), 0usize..100_000, any::<bool>()).prop_map(|(stream, n, end)| Act::Data(stream, n, end)),
        1 => stream.clone().prop_map(Act::Trailers),
        4 => (stream.clone(), 0usize..100_000).prop_map(|(stream, n)| Act::Release(stream, n)),
        1 => (stream, 0u32..20).prop_map(|(stream, code)| Act::Reset(stream, code)),
        1 => Just(Act::GoAway),
        4 => Just(Act::Nothing),
    ]
}

/// 1 begun, 2 told that nothing follows, 3 broken off.
fn follow(streams: &mut HashMap<u32, u8>, events: &[Event]) {
    for event in events {
        let (stream, ended) = match event {
            Event::Request { stream, ended, .. } => {
                assert_eq!(streams.insert(*stream, 1), None, "begun twice");
                (*stream, *ended)
            }
            Event::Response { stream, ended, .. } => (*stream, *ended),
            Event::Data { stream, ended, .. } => (*stream, *ended),
            Event::Trailers { stream, .. } => (*stream, true),
            Event::Informational { stream, .. } | Event::Writable { stream } => {
                assert!(streams[stream] < 3);
                continue;
            }
            Event::Reset { stream, .. } => {
                assert!(streams.insert(*stream, 3).is_some_and(|state| state < 3));
                continue;
            }
            Event::Closing => continue,
        };
        assert_eq!(streams[&stream], 1);
        if ended {
            streams.insert(stream, 2);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_server_takes_anything(turns in vec((vec(any_frame(), 0..6), vec(any_act(), 0..3), 0usize..200_000), 0..40)) {
        let limits = Limits { output_bytes_max: 60_000, ..Limits::default() };
        let mut peer = ToServer::new(&limits);
        let mut streams = HashMap::new();
        for (bytes, acts, leave) in turns {
            for bytes in bytes {
                peer.server.feed(&bytes);
            }
            let over = peer.server.poll(&mut peer.events).is_err();
            follow(&mut streams, &peer.told());
            if over {
                prop_assert_eq!(peer.server.open_streams(), 0);
                break;
            }
            for act in acts {
                match act {
                    Act::Respond(stream, end) => _ = peer.server.respond(stream, 200, HeaderMap::new(), end),
                    Act::Interim(stream) => _ = peer.server.interim(stream, 103, HeaderMap::new()),
                    Act::Data(stream, n, end) => prop_assert!(peer.server.data(stream, &vec![0; n], end) <= n),
                    Act::Trailers(stream) => _ = peer.server.trailers(stream, HeaderMap::new()),
                    Act::Release(stream, n) => peer.server.release(stream, n),
                    Act::Reset(stream, code) => {
                        peer.server.reset(stream, code);
                        if streams.contains_key(&stream) {
                            streams.insert(stream, 3);
                        }
                    }
                    Act::GoAway => peer.server.go_away(),
                    Act::Nothing => {}
                }
            }
            prop_assert!(peer.server.output().len() < 120_000);
            peer.server.sent(leave);
        }
    }

    #[test]
    fn a_client_takes_anything(turns in vec((vec(any_frame(), 0..6), vec(any_act(), 0..3)), 0..40)) {
        let mut peer = ToClient::new(&Limits::default());
        let mut streams = HashMap::new();
        for (bytes, acts) in turns {
            for act in acts {
                match act {
                    Act::Respond(_, end) | Act::Data(_, _, end) if peer.client.ready() => {
                        if let Some(stream) = peer.client.request(head("POST", "/"), end) {
                            prop_assert_eq!(streams.insert(stream, 1), None);
                        }
                    }
                    Act::Data(stream, n, end) => prop_assert!(peer.client.data(stream, &vec![0; n], end) <= n),
                    Act::Trailers(stream) => _ = peer.client.trailers(stream, HeaderMap::new()),
                    Act::Release(stream, n) => peer.client.release(stream, n),
                    Act::Reset(stream, code) => {
                        peer.client.reset(stream, code);
                        if streams.contains_key(&stream) {
                            streams.insert(stream, 3);
                        }
                    }
                    _ => {}
                }
            }
            for bytes in bytes {
                peer.client.feed(&bytes);
            }
            let over = peer.client.poll(&mut peer.events).is_err();
            peer.client.sent(usize::MAX);
            follow(&mut streams, &peer.told());
            if over {
                prop_assert_eq!(peer.client.open_streams(), 0);
                break;
            }
        }
    }

    #[test]
    fn bytes_that_are_no_frames_end_the_connection(bytes in vec(any::<u8>(), 0..4_096)) {
        let mut peer = ToServer::new(&Limits::default());
        peer.say(&bytes);
        peer.server.feed_end();
        prop_assert!(peer.turn().1.is_some());
        prop_assert_eq!(peer.server.open_streams(), 0);
    }
}

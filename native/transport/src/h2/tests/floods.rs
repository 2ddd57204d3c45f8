//! The known floods, each as the frames an attacker sends. Every one ends with a GOAWAY that says to calm down, long before it has cost anything.

use super::super::{Closed, Event, FED_BYTES_MAX, Limits};
use super::raw::*;

/// Sends parts until the connection is over; the count of parts, and how it ended.
fn flood(peer: &mut ToServer, max: usize, mut part: impl FnMut(usize) -> Vec<u8>) -> (usize, Closed) {
    for n in 0..max {
        let (said, closed) = peer.say(&part(n));
        if let Some(closed) = closed {
            let last = said.iter().rfind(|frame| frame.kind == GOAWAY).expect("a GOAWAY");
            assert_eq!(last.code(), closed.code);
            return (n, closed);
        }
    }
    panic!("never ended");
}

fn calmed(limits: &Limits, max: usize, part: impl FnMut(usize) -> Vec<u8>) -> (usize, ToServer) {
    let mut peer = ToServer::new(limits);
    let (n, closed) = flood(&mut peer, max, part);
    assert_eq!((closed.clean, closed.code), (false, ENHANCE_YOUR_CALM), "{closed:?}");
    (n, peer)
}

/// No time gives anything back, so that counts are exact.
fn limits() -> Limits {
    Limits {
        resets_per_second: 0,
        control_frames_per_second: 0,
        ..Limits::default()
    }
}

fn odd(n: usize) -> u32 {
    n as u32 * 2 + 1
}

#[test]
fn rapid_reset_is_bounded_whether_requests_are_seen_or_not() {
    let cancel = CANCEL.to_be_bytes();
    // One request and its reset in one packet: nobody sees the request.
    let (n, mut peer) = calmed(&limits(), 10_000, |n| {
        [get(odd(n)), frame(RST_STREAM, 0, odd(n), &cancel)].concat()
    });
    assert_eq!(n, 200);
    assert!(peer.told().is_empty());
    // Each in a packet of its own: each is told and told to be over.
    let (n, mut peer) = calmed(&limits(), 10_000, |n| match n % 2 {
        0 => get(odd(n / 2)),
        _ => frame(RST_STREAM, 0, odd(n / 2), &cancel),
    });
    assert_eq!(n, 401);
    let told = peer.told();
    let begun = told
        .iter()
        .filter(|event| matches!(event, Event::Request { .. }))
        .count();
    let over = told
        .iter()
        .filter(|event| {
            matches!(
                event,
                Event::Reset {
                    remote: true,
                    code: CANCEL,
                    ..
                }
            )
        })
        .count();
    assert_eq!((begun, over), (201, 200));
    assert_eq!(peer.server.open_streams(), 0);
    // Many in one packet.
    let packet: Vec<u8> = (0..500)
        .flat_map(|n| [get(odd(n)), frame(RST_STREAM, 0, odd(n), &cancel)].concat())
        .collect();
    assert_eq!(calmed(&limits(), 1, |_| packet.clone()).0, 0);
}

#[test]
fn resets_between_answers_are_no_flood() {
    let mut peer = ToServer::new(&limits());
    for n in 0..1_000 {
        let (seen, cancelled) = (odd(n * 2), odd(n * 2 + 1));
        let packet = [
            get(seen),
            get(cancelled),
            frame(RST_STREAM, 0, cancelled, &CANCEL.to_be_bytes()),
        ]
        .concat();
        assert_eq!(peer.say(&packet).1, None, "{n}");
        assert!(peer.server.respond(seen, 204, http::HeaderMap::new(), true));
        assert_eq!(peer.turn().1, None);
    }
}

#[test]
fn made_you_reset_is_bounded() {
    // A request, then a frame that is an error of its stream: the server resets it, its application works on (CVE-2025-8671).
    let provocations: [fn(u32) -> Vec<u8>; 4] = [
        |stream| frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffffu32.to_be_bytes()),
        |stream| frame(PRIORITY, 0, stream, &[stream.to_be_bytes().as_slice(), &[0]].concat()),
        |stream| frame(HEADERS, END_HEADERS, stream, &block(&[("a", "b")])),
        |stream| {
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                stream,
                &block(&[("connection", "close")]),
            )
        },
    ];
    for (number, provoke) in provocations.iter().enumerate() {
        let mut peer = ToServer::new(&limits());
        let (n, closed) = flood(&mut peer, 10_000, |n| [post(odd(n)), provoke(odd(n))].concat());
        assert!(n <= 256, "{number}: {n}");
        assert_eq!(closed.code, ENHANCE_YOUR_CALM, "{number}");
        assert_eq!(peer.server.open_streams(), 0);
    }
}

#[test]
fn malformed_requests_are_bounded() {
    let bad = block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "u@a.test"),
        (":path", "/"),
    ]);
    let (n, mut peer) = calmed(&limits(), 10_000, |n| {
        frame(HEADERS, END_STREAM | END_HEADERS, odd(n), &bad)
    });
    assert!((200..=202).contains(&n), "{n}");
    assert!(peer.told().is_empty());
}

#[test]
fn continuation_floods_are_bounded() {
    let begin = || frame(HEADERS, END_STREAM, 1, &block(GET));
    // Parts without anything in them.
    let (n, _) = calmed(&limits(), 10_000, |n| {
        if n == 0 {
            begin()
        } else {
            frame(CONTINUATION, 0, 1, &[])
        }
    });
    assert!(n <= 16, "{n}");
    // Large parts whose fields are never kept.
    let part = block(&[("x", &"y".repeat(16_000))]);
    let (n, _) = calmed(&limits(), 10_000, |n| {
        if n == 0 {
            begin()
        } else {
            frame(CONTINUATION, 0, 1, &part)
        }
    });
    assert!(n <= 16, "{n}");
    // A string that never ends.
    let mut string = vec![0, 1, b'x', 127, 0xff, 0xff, 0xff, 0x3f];
    string.resize(16_000, b'y');
    let mut peer = ToServer::new(&limits());
    let (n, _) = flood(&mut peer, 10_000, |n| match n {
        0 => begin(),
        1 => frame(CONTINUATION, 0, 1, &string),
        _ => frame(CONTINUATION, 0, 1, &[b'y'; 16_000]),
    });
    assert!(n <= 16, "{n}");
}

#[test]
fn ping_settings_priority_and_window_update_floods_are_bounded() {
    let (n, _) = calmed(&limits(), 100_000, |_| frame(PING, 0, 0, &[7; 8]));
    assert!(n <= 500, "{n}");
    let (n, _) = calmed(&limits(), 100_000, |_| frame(PING, ACK, 0, &[7; 8]));
    assert!(n <= 500, "{n}");
    let (n, _) = calmed(&limits(), 100_000, |_| frame(SETTINGS, 0, 0, &[]));
    assert!(n <= 100, "{n}");
    let entries = [0, 1, 0, 0, 16, 0].repeat(1_000);
    let (n, _) = calmed(&limits(), 100_000, |_| frame(SETTINGS, 0, 0, &entries));
    assert!(n <= 10, "{n}");
    let (n, _) = calmed(&limits(), 100_000, |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]));
    assert!(n <= 1_000, "{n}");
    let (n, _) = calmed(&limits(), 100_000, |n| match n {
        0 => post(1),
        _ => frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes()),
    });
    assert!(n <= 1_001, "{n}");
    let (n, _) = calmed(&limits(), 100_000, |_| frame(0x99, 0, 0, &[]));
    assert!(n <= 1_000, "{n}");
}

#[test]
fn empty_frames_are_bounded() {
    let first = |n: usize, then: Vec<u8>| if n == 0 { post(1) } else { then };
    let (n, _) = calmed(&limits(), 100_000, |n| first(n, frame(DATA, 0, 1, &[])));
    assert!(n <= 101, "{n}");
    // Nothing but padding.
    let (n, _) = calmed(&limits(), 100_000, |n| first(n, frame(DATA, PADDED, 1, &[3, 0, 0, 0])));
    assert!(n <= 101, "{n}");
    // Heads without a field, each an error of its stream.
    let mut peer = ToServer::new(&limits());
    let (n, _) = flood(&mut peer, 100_000, |n| {
        frame(HEADERS, END_STREAM | END_HEADERS, odd(n), &[])
    });
    assert!(n <= 300, "{n}");
}

#[test]
fn an_hpack_bomb_is_bounded() {
    // A field of 3 KiB is put into the dynamic table, then named again and again with one byte each.
    let value = "v".repeat(3_000);
    let mut bomb = vec![0x40, 1, b'x'];
    bomb.extend(&block(&[("", &value)])[2..]);
    bomb.resize(bomb.len() + 10_000, 0x80 | 62);
    let mut head = block(GET);
    head.extend(&bomb);
    let mut peer = ToServer::new(&limits());
    let (said, closed) = peer.say(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head));
    assert_eq!(closed.expect("over").code, ENHANCE_YOUR_CALM, "{said:?}");
    assert!(peer.told().is_empty());
    // A few times the limit: refused with 431, and the table stays in step.
    let mut peer = ToServer::new(&limits());
    let mut head = block(GET);
    head.extend(&bomb[..bomb.len() - 10_000 + 20]);
    let (said, closed) = peer.say(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head));
    assert_eq!(closed, None);
    assert!(
        said.iter().any(|frame| frame.kind == HEADERS && frame.stream == 1),
        "{said:?}"
    );
    assert!(peer.told().is_empty());
    let mut head = block(GET);
    head.push(0x80 | 62);
    assert_eq!(peer.say(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &head)).1, None);
    let told = peer.told();
    let [Event::Request { parts, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(parts.headers["x"].len(), 3_000);
}

#[test]
fn more_streams_than_allowed_are_refused_and_end_the_connection_in_the_end() {
    let limits = Limits {
        streams_max: 10,
        ..limits()
    };
    let mut peer = ToServer::new(&limits);
    for n in 0..10 {
        assert_eq!(peer.say(&get(odd(n))).1, None);
    }
    let (said, _) = peer.say(&get(odd(10)));
    assert!(
        said.iter()
            .any(|frame| frame.kind == RST_STREAM && frame.code() == REFUSED_STREAM),
        "{said:?}"
    );
    assert_eq!(peer.server.open_streams(), 10);
    let (_, closed) = flood(&mut peer, 10_000, |n| get(odd(n + 11)));
    assert_eq!(closed.code, ENHANCE_YOUR_CALM);
}

#[test]
fn pings_among_bodies_and_over_time_are_no_flood() {
    let mut peer = ToServer::new(&limits());
    assert_eq!(peer.say(&post(1)).1, None);
    for _ in 0..2_000 {
        let packet = [frame(DATA, 0, 1, &[0; 2_048]), frame(PING, 0, 0, &[1; 8])].concat();
        assert_eq!(peer.say(&packet).1, None);
        for event in peer.told() {
            if let Event::Data { stream, bytes, .. } = event {
                peer.server.release(stream, bytes.len());
            }
        }
    }
}

#[test]
fn pongs_that_cannot_leave_stop_reading() {
    let limits = Limits {
        output_bytes_max: 2_000,
        control_frames_max: 1_000_000,
        input_bytes_max: 4_000,
        ..limits()
    };
    let mut peer = ToServer::new(&limits);
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(100);
    for _ in 0..1_000 {
        if !peer.server.wants_input() {
            break;
        }
        peer.server.feed(&pings);
        assert_eq!(peer.server.poll(&mut peer.events), Ok(()));
    }
    assert!(!peer.server.wants_input());
    assert!(peer.server.output().len() < 40_000, "{}", peer.server.output().len());
    // Once it has left, all goes on.
    for _ in 0..10 {
        assert_eq!(peer.turn().1, None);
    }
    assert!(peer.server.wants_input());
}

#[test]
fn a_header_block_changes_the_tables_size_twice_at_most() {
    let plain = block(GET);
    let priority = [0, 0, 0, 0, 15];
    let padded = |block: Vec<u8>| [&[3][..], &priority, &block, &[0; 3]].concat();
    for (updates, code) in [
        (&[0x20][..], None),
        (&[0x20, 0x3f, 0xe1, 0x1f], None),
        (&[0x20, 0x20, 0x3f, 0xe1, 0x1f], Some(COMPRESSION_ERROR)),
        (&[0x20; 1000], Some(COMPRESSION_ERROR)),
    ] {
        let whole = [updates, &plain].concat();
        let (one, rest) = whole.split_at(1);
        for bytes in [
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &whole),
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | PADDED | 0x20,
                1,
                &padded(whole.clone()),
            ),
            // In two parts, and with a part of nothing first.
            [
                frame(HEADERS, END_STREAM, 1, one),
                frame(CONTINUATION, END_HEADERS, 1, rest),
            ]
            .concat(),
            [
                frame(HEADERS, END_STREAM, 1, &[]),
                frame(CONTINUATION, END_HEADERS, 1, &whole),
            ]
            .concat(),
        ] {
            let mut peer = ToServer::new(&Limits::default());
            let mut over = None;
            for byte in bytes {
                over = over.or(peer.say(&[byte]).1);
            }
            assert_eq!(over.map(|closed| closed.code), code, "{updates:02x?}");
            assert_eq!(peer.told().len(), usize::from(code.is_none()));
        }
    }
}

fn data_bytes(told: &[Event]) -> usize {
    told.iter()
        .map(|event| match event {
            Event::Data { bytes, .. } => bytes.len(),
            other => panic!("{other:?}"),
        })
        .sum()
}

#[test]
fn small_messages_that_arrive_fast_are_no_flood() {
    for payload in [&[7][..], &[7; 5], &[7; 30]] {
        let mut peer = ToServer::new(&limits());
        peer.say(&post(1));
        peer.told();
        let one = frame(DATA, 0, 1, payload);
        // As much as one read brings.
        let count = FED_BYTES_MAX / one.len();
        assert_eq!(peer.say(&one.repeat(count)).1, None, "{count} of {}", payload.len());
        assert_eq!(data_bytes(&peer.told()), count * payload.len());
    }
}

#[test]
fn small_messages_that_waited_unread_are_no_flood() {
    let limits = Limits {
        output_bytes_max: 2_000,
        control_frames_max: 1_000_000,
        ..limits()
    };
    let mut peer = ToServer::new(&limits);
    peer.say(&post(1));
    peer.told();
    // Pongs that cannot leave stop reading.
    let ping = frame(PING, 0, 0, &[7; 8]);
    peer.server.feed(&ping.repeat(1_000));
    assert_eq!(peer.server.poll(&mut peer.events), Ok(()));
    let one = frame(DATA, 0, 1, &[7]);
    let mut count = 0;
    while peer.server.wants_input() {
        peer.server.feed(&one);
        count += 1;
    }
    assert!(count > 1_000, "{count}");
    // The last read may have been as long as reads are.
    let more = FED_BYTES_MAX / one.len();
    peer.server.feed(&one.repeat(more));
    for _ in 0..100 {
        assert_eq!(peer.turn().1, None);
    }
    assert_eq!(data_bytes(&peer.told()), count + more);
}

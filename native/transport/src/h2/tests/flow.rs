//! Flow control: what is taken, when more is, and who waits for whom.

use super::super::{Event, Limits};
use super::pair::{Pair, body, head};
use super::raw::*;
use http::HeaderMap;

fn small() -> Limits {
    Limits {
        window_bytes: 10_000,
        connection_window_bytes: 100_000,
        ..Limits::default()
    }
}

fn writable(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Writable { .. }))
}

#[test]
fn no_more_is_taken_than_the_window_and_release_opens_it() {
    let mut pair = Pair::new(&small(), &small());
    let stream = pair.open("POST", false);
    assert_eq!(pair.client.data(stream, &[1; 25_000], true), 10_000);
    pair.pump();
    assert_eq!(body(&pair.at_server()).0.len(), 10_000);
    assert!(!writable(&pair.at_client()));
    assert_eq!(pair.client.data(stream, &[1; 15_000], true), 0);
    // What was not taken by the application gives no window.
    pair.pump();
    assert!(!writable(&pair.at_client()));
    pair.server.release(stream, 10_000);
    pair.pump();
    assert!(writable(&pair.at_client()));
    assert_eq!(pair.client.data(stream, &[1; 15_000], true), 10_000);
    pair.pump();
    pair.server.release(stream, 10_000);
    pair.pump();
    assert_eq!(pair.client.data(stream, &[1; 5_000], true), 5_000);
    pair.pump();
    assert_eq!(body(&pair.at_server()), (vec![1; 15_000], true));
}

#[test]
fn an_answer_waits_for_the_window_of_its_reader_alone() {
    let mut pair = Pair::new(&small(), &small());
    let (slow, quick) = (pair.open("GET", true), pair.open("GET", true));
    for stream in [slow, quick] {
        assert!(pair.server.respond(stream, 200, HeaderMap::new(), false));
        assert_eq!(pair.server.data(stream, &[0; 20_000], true), 10_000);
    }
    pair.pump();
    pair.at_client();
    pair.client.release(quick, 10_000);
    pair.pump();
    let told = pair.at_server();
    assert!(
        matches!(told[..], [Event::Writable { stream }] if stream == quick),
        "{told:?}"
    );
}

#[test]
fn streams_that_share_the_window_of_the_connection_all_go_on_in_the_end() {
    let limits = Limits {
        window_bytes: 80_000,
        connection_window_bytes: 100_000,
        ..Limits::default()
    };
    let mut pair = Pair::new(&limits, &limits);
    let streams: Vec<u32> = (0..5).map(|_| pair.open("POST", false)).collect();
    let mut left = [200_000usize; 5];
    let mut seen = [0usize; 5];
    let mut offer = [true; 5];
    let number = |stream: u32| streams.iter().position(|other| *other == stream).expect("one of them");
    for _ in 0..1_000 {
        for (n, stream) in streams.iter().enumerate() {
            if std::mem::take(&mut offer[n]) && left[n] > 0 {
                let taken = pair
                    .client
                    .data(*stream, &vec![0; left[n].min(50_000)], left[n] <= 50_000);
                left[n] -= taken;
                offer[n] = taken == 50_000;
            }
        }
        pair.pump();
        let mut held = 0;
        for event in pair.at_server() {
            if let Event::Data { stream, bytes, .. } = event {
                seen[number(stream)] += bytes.len();
                held += bytes.len();
                pair.server.release(stream, bytes.len());
            }
        }
        assert!(held <= 100_000);
        for event in pair.at_client() {
            if let Event::Writable { stream } = event {
                offer[number(stream)] = true;
            }
        }
    }
    assert_eq!((left, seen), ([0; 5], [200_000; 5]));
}

#[test]
fn window_is_given_back_only_for_what_was_taken() {
    let mut peer = ToServer::new(&small());
    peer.say(&post(1));
    let (said, _) = peer.say(&frame(DATA, 0, 1, &[0; 8_000]));
    assert!(said.iter().all(|frame| frame.kind != WINDOW_UPDATE), "{said:?}");
    peer.server.release(1, 8_000);
    let (said, _) = peer.turn();
    assert!(
        said.iter()
            .any(|frame| frame.kind == WINDOW_UPDATE && frame.stream == 1),
        "{said:?}"
    );
    // More than was told is not released.
    peer.server.release(1, 1_000_000);
    let (said, _) = peer.turn();
    assert!(said.iter().all(|frame| frame.kind != WINDOW_UPDATE), "{said:?}");
    // More than the window is an error of the stream.
    let (said, _) = peer.say(&frame(DATA, 0, 1, &[0; 11_000]));
    assert!(
        said.iter().any(|frame| frame.kind == RST_STREAM && frame.code() == 3),
        "{said:?}"
    );
}

#[test]
fn bytes_of_a_stream_that_is_over_hold_the_window_of_the_connection_until_they_are_taken() {
    let limits = Limits {
        window_bytes: 60_000,
        connection_window_bytes: 70_000,
        ..Limits::default()
    };
    let mut pair = Pair::new(&limits, &limits);
    let first = pair.open("POST", false);
    assert_eq!(pair.client.data(first, &[0; 60_000], true), 60_000);
    pair.pump();
    assert!(pair.server.respond(first, 200, HeaderMap::new(), true));
    pair.pump();
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
    let second = pair.client.request(head("POST", "/"), false).expect("a stream");
    pair.pump();
    assert_eq!(pair.client.data(second, &[0; 60_000], true), 10_000);
    pair.pump();
    pair.server.release(first, 60_000);
    pair.pump();
    assert_eq!(pair.client.data(second, &[0; 50_000], true), 50_000);
    pair.pump();
}

#[test]
fn output_is_bounded_and_goes_on_when_it_has_left() {
    let limits = Limits {
        output_bytes_max: 50_000,
        ..Limits::default()
    };
    let mut peer = ToServer::new(&limits);
    // Windows without end.
    let wide = [0, 4, 0x7f, 0xff, 0xff, 0xff];
    peer.say(&frame(SETTINGS, 0, 0, &wide));
    peer.say(&frame(WINDOW_UPDATE, 0, 0, &0x7000_0000u32.to_be_bytes()));
    for stream in [1, 3, 5] {
        peer.say(&get(stream));
        assert!(peer.server.respond(stream, 200, HeaderMap::new(), false));
    }
    let mut left = [300_000usize; 3];
    let mut offer = [true; 3];
    let mut received = 0;
    for _ in 0..1_000 {
        for n in 0..3 {
            while std::mem::take(&mut offer[n]) && left[n] > 0 {
                let taken = peer
                    .server
                    .data(n as u32 * 2 + 1, &[0; 30_000][..left[n].min(30_000)], left[n] <= 30_000);
                left[n] -= taken;
                offer[n] = taken == 30_000;
            }
        }
        peer.events.clear();
        assert_eq!(peer.server.poll(&mut peer.events), Ok(()));
        assert!(peer.server.output().len() < 90_000, "{}", peer.server.output().len());
        for frame in frames(peer.server.output()) {
            received += if frame.kind == DATA { frame.payload.len() } else { 0 };
        }
        peer.server.sent(usize::MAX);
        assert_eq!(peer.server.poll(&mut peer.events), Ok(()));
        for event in peer.told() {
            if let Event::Writable { stream } = event {
                offer[stream as usize / 2] = true;
            }
        }
        // The second poll may have framed more.
        for frame in frames(peer.server.output()) {
            received += if frame.kind == DATA { frame.payload.len() } else { 0 };
        }
        peer.server.sent(usize::MAX);
    }
    assert_eq!((left, received), ([0; 3], 900_000));
    assert_eq!(peer.server.open_streams(), 0);
}

#[test]
fn output_that_leaves_byte_by_byte_is_the_same() {
    let mut peer = ToServer::new(&Limits::default());
    peer.say(&get(1));
    assert!(peer.server.respond(1, 200, HeaderMap::new(), false));
    assert_eq!(peer.server.data(1, &[5; 1_000], true), 1_000);
    assert_eq!(peer.server.poll(&mut peer.events), Ok(()));
    let mut all = Vec::new();
    while let Some(byte) = peer.server.output().first() {
        all.push(*byte);
        peer.server.sent(1);
        if all.len() % 100 == 0 {
            peer.server.feed(&frame(PING, 0, 0, &[0; 8]));
            assert_eq!(peer.server.poll(&mut peer.events), Ok(()));
        }
    }
    let kinds = frames(&all);
    assert_eq!(
        kinds
            .iter()
            .filter(|frame| frame.kind == DATA)
            .map(|frame| frame.payload.len())
            .sum::<usize>(),
        1_000
    );
    assert!(
        kinds
            .iter()
            .filter(|frame| frame.kind == PING && frame.flags == ACK)
            .count()
            >= 10
    );
}

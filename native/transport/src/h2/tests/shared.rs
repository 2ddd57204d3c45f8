//! A connection to an upstream that many share: whatever becomes of single streams, the others go on.

use super::super::{Event, Limits};
use super::raw::*;

/// No time gives anything back.
fn limits() -> Limits {
    Limits {
        resets_per_second: 0,
        control_frames_per_second: 0,
        ..Limits::default()
    }
}

fn begin(peer: &mut ToClient) -> u32 {
    let parts = http::Request::get("http://a.test/").body(()).unwrap().into_parts().0;
    peer.client.request(parts, true).expect("a stream")
}

/// A stream whose answer has begun.
fn lasting(peer: &mut ToClient) -> u32 {
    let stream = begin(peer);
    assert_eq!(peer.say(&[]).1, None);
    assert_eq!(peer.say(&ok(0, stream)).1, None);
    peer.told();
    stream
}

fn ok(flags: u8, stream: u32) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &[0x88])
}

#[test]
fn what_an_upstream_says_on_streams_that_were_let_go_ends_no_others() {
    let mut peer = ToClient::new(&limits());
    let lasting = lasting(&mut peer);
    // Far more than are remembered, and several frames of each are on their way.
    for _ in 0..40 {
        let streams: Vec<u32> = (0..100).map(|_| begin(&mut peer)).collect();
        assert_eq!(peer.say(&[]).1, None);
        for stream in &streams {
            peer.client.reset(*stream, CANCEL);
        }
        assert_eq!(peer.say(&[]).1, None);
        for stream in streams {
            let late = [
                ok(0, stream),
                frame(DATA, 0, stream, b"late"),
                frame(DATA, END_STREAM, stream, b"late"),
            ];
            let (said, closed) = peer.say(&late.concat());
            assert_eq!(closed, None, "{said:?}");
        }
    }
    peer.told();
    peer.say(&frame(DATA, END_STREAM, lasting, b"whole"));
    assert!(matches!(&peer.told()[..], [Event::Data { stream, ended: true, .. }] if *stream == lasting));
}

#[test]
fn as_many_resets_as_there_were_requests_are_no_flood() {
    let mut peer = ToClient::new(&limits());
    let lasting = lasting(&mut peer);
    for n in 0..2_000 {
        let stream = begin(&mut peer);
        assert_eq!(peer.say(&[]).1, None);
        let (_, closed) = peer.say(&frame(RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes()));
        assert_eq!(closed, None, "after {n}");
    }
    // More than that are.
    let more = frame(RST_STREAM, 0, lasting, &CANCEL.to_be_bytes());
    let mut over = None;
    for _ in 0..1_000 {
        over = over.or(peer.say(&more).1);
    }
    assert_eq!(over.map(|closed| closed.code), Some(ENHANCE_YOUR_CALM));
}

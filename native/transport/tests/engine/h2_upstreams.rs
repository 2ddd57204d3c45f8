//! HTTP/2 upstreams that are hostile or broken, and what others of their connection are spared.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use cnx_transport::h2::{Event, Limits, Server};
use http::{HeaderMap, request};

use crate::driver::{PATIENCE, Plan};
use crate::h2_peers::{H2Client, Streams, h2_upstream, serve_h2, speaking_h2};
use crate::peers::{Upstream, Wire, upstream};

/// Serves a connection as `answer` says of each request; bodies are taken and dropped.
fn serve(mut stream: TcpStream, limits: &Limits, mut answer: impl FnMut(&mut Server, u32, &request::Parts)) {
    stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let mut server = Server::new(limits);
    let mut room = vec![0; 64 * 1024];
    loop {
        let mut events = Vec::new();
        let over = server.poll(&mut events).is_err();
        for event in events {
            match event {
                Event::Request { stream, parts, .. } => answer(&mut server, stream, &parts),
                Event::Data { stream, bytes, .. } => server.release(stream, bytes.len()),
                _ => {}
            }
        }
        let _ = server.poll(&mut Vec::new());
        let out = server.output().to_vec();
        if stream.write_all(&out).is_err() || over {
            return;
        }
        server.sent(out.len());
        match stream.read(&mut room) {
            Ok(0) => return,
            Ok(n) => server.feed(&room[..n]),
            Err(_) => {}
        }
    }
}

/// A plan for one connection to an HTTP/2 upstream.
fn over_one(upstream: &Upstream) -> Plan {
    let mut plan = speaking_h2(upstream);
    plan.endpoints[0].0.http2 = true;
    plan.endpoints[0].0.connections_max = 1;
    plan
}

#[test]
fn clients_that_take_nothing_hold_up_no_others_of_the_connection() {
    let upstream = h2_upstream();
    let mut plan = over_one(&upstream);
    plan.head_ms = 20_000;
    let lane = plan.start();
    let mut slow = H2Client::to(lane.port, Some(65_535));
    slow.shut = true;
    // Together they leave more untaken than the 1 MiB that the connection's window once was.
    let streams: Vec<u32> = (0..10).map(|_| slow.ask("GET", "/f0/large", None)).collect();
    slow.until("heads", |c| streams.iter().all(|stream| c.got[stream].status == 200));
    let mut wires: Vec<Wire> = (0..6).map(|_| Wire::to(lane.port)).collect();
    for wire in &mut wires {
        wire.send("GET /f0/large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for wire in &mut wires {
        assert_eq!(wire.head().unwrap().status(), 103);
    }
    let mut client = H2Client::to(lane.port, None);
    let stream = client.ask("GET", "/f0/large", None);
    let got = client.end(stream);
    assert_eq!((got.status, got.body), (200, 1_000_000));
    drop((slow, wires, client));
    lane.end();
}

#[test]
fn whoever_waits_for_a_stream_gets_one_as_soon_as_others_leave() {
    let begun = Arc::<AtomicUsize>::default();
    let counted = begun.clone();
    let upstream = upstream(move |wire, _| {
        let limits = Limits {
            streams_max: 3,
            ..Limits::default()
        };
        serve(wire.stream, &limits, |server, stream, parts| {
            counted.fetch_add(1, SeqCst);
            if !parts.uri.path().ends_with("/never") {
                server.respond(stream, 204, HeaderMap::new(), true);
            }
        });
    });
    let lane = over_one(&upstream).start();
    for _ in 0..5 {
        let mut leaves = H2Client::to(lane.port, None);
        let before = begun.load(SeqCst);
        for _ in 0..3 {
            leaves.ask("POST", "/f0/never", None);
        }
        leaves.turn();
        leaves.until("streams", |_| begun.load(SeqCst) == before + 3);
        let mut waits = H2Client::to(lane.port, None);
        let seen = lane.seen.lock().unwrap().begun;
        let streams: Vec<u32> = (0..8).map(|_| waits.ask("POST", "/f0/x", None)).collect();
        waits.until("requests", |_| lane.seen.lock().unwrap().begun == seen + 8);
        drop(leaves);
        for stream in streams {
            assert_eq!(waits.end(stream).status, 204);
        }
    }
    assert_eq!(lane.seen.lock().unwrap().failed, []);
    lane.end();
}

#[test]
fn streams_that_an_upstream_allows_later_are_used_then() {
    let upstream = upstream(|mut wire, _| {
        // No streams at first; then ten.
        wire.send([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]);
        std::thread::sleep(Duration::from_millis(100));
        wire.send([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 10]);
        wire.exactly(24);
        while let [a, b, c, kind, _, stream @ ..] = &wire.exactly(9)[..] {
            if *kind == 1 {
                wire.send([&[0, 0, 1, 1, 5], stream, &[0x89]].concat());
            }
            wire.exactly(usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c));
        }
    });
    let lane = over_one(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    // The first one goes before anything is known of the upstream, and makes the connection.
    client.ask("POST", "/f0/x", None);
    client.turn();
    assert!(lane.until(|_| upstream.accepted.load(SeqCst) == 1));
    std::thread::sleep(Duration::from_millis(50));
    let streams: Vec<u32> = (0..3).map(|_| client.ask("POST", "/f0/x", None)).collect();
    for stream in streams {
        assert_eq!(client.end(stream).status, 204);
    }
    drop(client);
    lane.end();
}

#[test]
fn a_connection_on_which_an_upstream_says_nothing_is_not_used_again() {
    let upstream = upstream(|mut wire, number| {
        if number == 0 {
            // SETTINGS, then nothing: a host that is gone and was never heard to go.
            wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
            wire.exactly(usize::MAX);
        } else {
            serve_h2(wire.stream, Duration::ZERO, &Streams::default());
        }
    });
    let mut plan = over_one(&upstream);
    plan.head_ms = 4_000;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    let lost = client.ask("POST", "/f0/echo", None);
    assert_eq!(client.end(lost).status, 502);
    for _ in 0..3 {
        let stream = client.ask("POST", "/f0/echo", Some((5, false)));
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (200, 5));
    }
    assert_eq!(upstream.accepted.load(SeqCst), 2);
    drop(client);
    lane.end();
}

#[test]
fn one_slow_answer_does_not_end_the_use_of_a_connection_that_answers_others() {
    let upstream = upstream(|wire, _| {
        serve(wire.stream, &Limits::default(), |server, stream, parts| {
            if !parts.uri.path().ends_with("/never") {
                server.respond(stream, 204, HeaderMap::new(), true);
            }
        });
    });
    let mut plan = over_one(&upstream);
    // Who is silent for half of it is left.
    plan.head_ms = 7_000;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    let slow = client.ask("POST", "/f0/never", None);
    while client.got[&slow].status == 0 {
        let stream = client.ask("POST", "/f0/x", None);
        assert_eq!(client.end(stream).status, 204);
    }
    assert_eq!(client.end(slow).status, 502);
    assert_eq!(upstream.accepted.load(SeqCst), 1);
    drop(client);
    lane.end();
}

#[test]
fn a_leaving_connection_that_still_serves_makes_room_for_another() {
    let upstream = upstream(|wire, number| {
        serve(wire.stream, &Limits::default(), |server, stream, parts| {
            if parts.uri.path().ends_with("/lasting") {
                server.respond(stream, 200, HeaderMap::new(), false);
                server.go_away();
            } else {
                server.respond(stream, if number == 0 { 500 } else { 204 }, HeaderMap::new(), true);
            }
        });
    });
    let lane = over_one(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    let lasting = client.ask("POST", "/f0/lasting", None);
    client.until("a head", |c| c.got[&lasting].status == 200);
    // GOAWAY comes with it, or a little later: what goes before has the first connection's answer.
    let begun = Instant::now();
    let mut ask = || {
        let stream = client.ask("POST", "/f0/x", None);
        client.end(stream).status
    };
    while ask() != 204 {
        assert!(begun.elapsed() < PATIENCE, "the leaving connection is used");
    }
    for _ in 0..3 {
        assert_eq!(ask(), 204);
    }
    assert!(!client.got[&lasting].ended && client.got[&lasting].reset.is_none());
    assert_eq!(upstream.accepted.load(SeqCst), 2);
    drop(client);
    lane.end();
}

#[test]
fn a_whole_body_that_a_leaving_upstream_never_read_goes_to_another_connection() {
    let upstream = upstream(|mut wire, number| {
        if number == 0 {
            wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
            wire.exactly(24 + 9);
            std::thread::sleep(Duration::from_millis(50));
            wire.send([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            wire.ended();
        } else {
            serve_h2(wire.stream, Duration::ZERO, &Streams::default());
        }
    });
    let mut plan = speaking_h2(&upstream);
    plan.endpoints[0].0.http2 = true;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    // More than is kept of a body that nobody collected.
    let stream = client.ask("POST", "/i100000/echo", Some((50_000, false)));
    let got = client.end(stream);
    assert_eq!((got.status, got.body), (200, 50_000));
    drop(client);
    lane.end();
}

#[test]
fn an_answer_before_the_body_reaches_the_client_whole() {
    let upstream = upstream(|wire, _| {
        serve(wire.stream, &Limits::default(), |server, stream, _| {
            server.respond(stream, 413, HeaderMap::new(), false);
            assert_eq!(server.data(stream, b"early", true), 5);
            // No more of the body is wanted (RFC 9113 §8.1).
            server.reset(stream, 0);
        });
    });
    let lane = over_one(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    for _ in 0..10 {
        let stream = client.ask("POST", "/f0/x", Some((300_000, true)));
        let got = client.end(stream);
        assert_eq!((got.status, &got.last[..], got.ended), (413, &b"early"[..], true));
        client.sending.clear();
        let mut wire = Wire::to(lane.port);
        wire.send("POST /f0/x HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
        let answer = wire.answer().unwrap();
        assert_eq!(
            (answer.status(), &answer.body[..], answer.whole),
            (413, &b"early"[..], true)
        );
    }
    drop(client);
    lane.end();
}

#[test]
fn a_connection_whose_streams_the_upstream_resets_is_idle_like_any_other() {
    const INTERNAL_ERROR: u32 = 2;
    let left = Arc::<AtomicUsize>::default();
    let gone = left.clone();
    let upstream = upstream(move |wire, _| {
        serve(wire.stream, &Limits::default(), |server, stream, _| {
            server.reset(stream, INTERNAL_ERROR);
        });
        gone.fetch_add(1, SeqCst);
    });
    let mut plan = over_one(&upstream);
    plan.options.idle_ms = 300;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    let stream = client.ask("POST", "/f0/x", None);
    assert_eq!(client.end(stream).status, 502);
    assert_eq!(left.load(SeqCst), 0);
    assert!(lane.until(|_| left.load(SeqCst) == 1));
    drop(client);
    lane.end();
}

//! HTTP/2 through the engine, on either side.

use std::time::{Duration, Instant};

use cnx_transport::h2::Protocol;
use http::{HeaderValue, Request};

use crate::driver::Plan;
use crate::h2_peers::{H2Client, Streams, h2_upstream, serve_h2, speaking_h2};
use crate::kept::{LONG, keeping};
use crate::peers::{obedient, upstream};

#[test]
fn streams_of_one_connection_are_exchanges_of_their_own() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    for (method, path, body, status, length) in [
        ("GET", "/f0/len/300000", None, 200, 300_000),
        ("GET", "/f0/chunk/3", None, 200, 9),
        ("GET", "/f0/until/9", None, 200, 9),
        ("GET", "/f0/none/204", None, 204, 0),
        ("HEAD", "/f0/len/9", None, 200, 0),
        ("GET", "/f0/hints", None, 200, 2),
        ("GET", "/r2", None, 403, 9),
        ("GET", "/a", None, 200, 3),
        ("GET", "/a204", None, 204, 0),
        ("POST", "/f0/echo", Some((5, false)), 200, 5),
        ("POST", "/f0/echo", Some((700_000, true)), 200, 700_000),
        ("POST", "/i100/echo", Some((700_000, false)), 200, 700_000),
        ("POST", "/r2", Some((700_000, false)), 403, 9),
        ("POST", "/f0/gone", Some((1, false)), 502, 9),
    ] {
        let stream = client.ask(method, path, body);
        client.end(stream);
        client.sending.clear();
        let got = &client.got[&stream];
        assert_eq!((got.status, got.body), (status, length), "{method} {path}");
    }
    assert!(client.got.values().any(|got| got.interim == [103, 102]));
    let many: Vec<u32> = (0..100).map(|_| client.ask("GET", "/w/len/2000", None)).collect();
    for stream in many {
        assert_eq!(client.end(stream).body, 2_000);
    }
    drop(client);
    lane.end();
}

#[test]
fn an_answer_whose_end_is_known_ends_with_its_last_bytes() {
    let (upstream, over_http2) = (obedient(), h2_upstream());
    let mut plan = speaking_h2(&upstream);
    plan.endpoints.push(crate::driver::plain(over_http2.address));
    plan.endpoints[1].0.http2 = true;
    let lane = plan.start();
    // A window that the longer ones outgrow.
    let mut client = H2Client::to(lane.port, Some(70_000));
    for (path, length) in [
        ("/f0/len/10", 10),
        ("/f0/len/300000", 300_000),
        ("/f0/hints", 2),
        ("/r2", 9),
        ("/a", 3),
    ] {
        let stream = client.ask("GET", path, None);
        let got = client.end(stream);
        assert_eq!((got.body, got.ended_with > 0), (length, true), "{path}");
    }
    // Only the next bytes tell whether more will come; or trailers end it.
    for (path, length) in [("/f0/until/9", 9), ("/f0/chunk/3", 9), ("/f1/echo", 5)] {
        let stream = client.ask("POST", path, (path == "/f1/echo").then_some((5, false)));
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (200, length), "{path}");
        assert!(got.ended_with == 0 || got.trailers.is_some(), "{path}: {got:?}");
        client.sending.clear();
    }
    drop(client);
    lane.end();
}

#[test]
fn an_upload_that_is_answered_early_is_reset_after_its_client_had_time_to_read() {
    let upstream = obedient();
    for (linger_ms, reset) in [(50, Some(0)), (3_600_000, None)] {
        let mut plan = speaking_h2(&upstream);
        plan.options.linger_ms = linger_ms;
        let lane = plan.start();
        let mut client = H2Client::to(lane.port, None);
        for (path, status) in [("/r2", 403), ("/f0/early", 413)] {
            let stream = client.ask("POST", path, Some((700_000, false)));
            client.until("an answer", |c| c.got[&stream].ended);
            // What was answered afterwards was heard afterwards.
            let after = client.ask("GET", "/w/len/9", None);
            client.end(after);
            if reset.is_some() {
                client.until("a reset", |c| c.got[&stream].reset.is_some());
            }
            let got = &client.got[&stream];
            assert_eq!((got.status, got.reset), (status, reset), "{path}");
            client.sending.clear();
        }
        assert!(lane.until(|lane| lane.open().0 == 0));
        drop(client);
        lane.end();
    }
}

#[test]
fn a_window_that_stays_shut_holds_the_upstream_and_ends_by_its_deadline() {
    let upstream = obedient();
    let mut plan = speaking_h2(&upstream);
    plan.options.write_ms = 200;
    plan.idle_ms = 100;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, Some(65_535));
    client.shut = true;
    let stalled = client.ask("GET", "/f0/len/50000000", None);
    let own = client.ask("GET", "/a", None);
    client.end(stalled);
    assert!(client.got[&stalled].reset.is_some() && client.got[&stalled].body <= 65_535);
    client.end(own);
    assert!(lane.until(|lane| lane.open().0 == 0));
    drop(client);
    lane.end();
}

#[test]
fn a_window_that_opens_by_a_byte_now_and_then_is_as_good_as_shut() {
    let upstream = obedient();
    let takes = |bytes: u32, whole: bool| {
        let mut plan = speaking_h2(&upstream);
        // The client of many bytes may stand still for 3 s of each time, and takes enough in the rest.
        plan.options.write_ms = 4_000;
        plan.options.body_rate_min = 200;
        let lane = plan.start();
        let mut client = H2Client::to(lane.port, Some(2 * bytes));
        client.shut = true;
        // Longer than that time for either of them.
        let stream = client.ask("GET", "/f0/len/6000", None);
        let mut released = 0;
        client.until("a begin", |c| !c.got[&stream].last.is_empty());
        let begun = Instant::now();
        while !client.got[&stream].ended && client.got[&stream].reset.is_none() {
            assert!(begun.elapsed() < Duration::from_secs(40), "{bytes}: it is held");
            let here = client.got[&stream].body;
            let n = (here - released).min(bytes as usize);
            client.client.release(stream, n);
            released += n;
            client.turn();
            std::thread::sleep(Duration::from_millis(15));
        }
        assert_eq!(client.got[&stream].ended, whole, "{bytes} at a time");
        drop(client);
        lane.end();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| takes(1, false));
        scope.spawn(|| takes(20, true));
    });
}

#[test]
fn resets_and_lost_connections_free_exchanges() {
    let upstream = obedient();
    let mut plan = speaking_h2(&upstream);
    plan.options.idle_ms = 100;
    plan.options.linger_ms = 100;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    let paths = ["/f0/never", "/n", "/i9/echo", "/f0/len/90000000"];
    let streams: Vec<u32> = paths
        .iter()
        .map(|p| client.ask("POST", p, Some((900_000, false))))
        .collect();
    client.turn();
    assert!(lane.until_seen(|seen| seen.begun == 4));
    for stream in streams {
        client.sending.remove(&stream);
        client.client.reset(stream, 8);
    }
    client.turn();
    assert!(lane.until(|lane| lane.open().0 == 0), "resets free exchanges");
    client.until("a connection without streams is asked to leave", |c| c.closing);
    let mut second = H2Client::to(lane.port, None);
    for path in paths {
        second.ask("GET", path, None);
    }
    second.turn();
    assert!(lane.until_seen(|seen| seen.begun == 8));
    drop((client, second));
    lane.end();
}

#[test]
fn draining_serves_what_is_open_and_says_goodbye() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    let stream = client.ask("GET", "/w/len/3000000", None);
    client.turn();
    assert!(lane.until_seen(|seen| seen.begun == 1));
    lane.run(|engine| engine.drain());
    client.until("goodbye", |c| c.closing);
    assert_eq!(client.end(stream).body, 3_000_000);
    client.until("the end", |c| c.over);
    drop(client);
    lane.end();
}

/// An extended CONNECT for a WebSocket of this version (RFC 8441).
fn handshake(version: &str) -> http::request::Parts {
    let (mut parts, ()) = Request::builder()
        .method("CONNECT")
        .uri("http://a/f0/up/2")
        .header("sec-websocket-version", version)
        .body(())
        .unwrap()
        .into_parts();
    parts.extensions.insert(Protocol::from_static("websocket"));
    parts
}

#[test]
fn a_handshake_over_http2_that_is_none_is_refused() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    client.until("settings", |c| c.client.extended_connect());
    let stream = client.ask_parts(handshake("8"), Some((0, false)));
    assert!(client.end(stream).status >= 400);
    drop(client);
    lane.end();
}

#[test]
fn websockets_over_http2_reach_an_http1_upstream() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    client.until("settings", |c| c.client.extended_connect());
    let stream = client.ask_parts(handshake("13"), Some((0, false)));
    client.sending.clear();
    client.until("hello", |c| c.got[&stream].body == 5);
    assert_eq!(client.client.data(stream, b"ping", false), 4);
    client.until("ping", |c| c.got[&stream].body == 9);
    client.client.data(stream, b"", true);
    let got = client.end(stream);
    assert_eq!((got.status, &got.last[..]), (200, &b"hellopingbye"[..]));
    drop(client);
    lane.end();
}

#[test]
fn whatever_streams_do_each_exchange_ends_once() {
    let (old, new) = (obedient(), h2_upstream());
    let mut plan = Plan::to(&[old.address, new.address]);
    plan.listen.http2 = true;
    plan.endpoints[0].0.connections_max = 4;
    plan.endpoints[1].0.http2 = true;
    let o = &mut plan.options;
    (o.idle_ms, o.collect_ms, o.linger_ms, o.decide_ms, o.write_ms) = (200, 200, 100, 200, 300);
    (plan.connect_ms, plan.head_ms, plan.idle_ms) = (200, 200, 300);
    let lane = plan.start();
    let port = lane.port;
    let paths = [
        "/f0/len/300000",
        "/f0/chunk/3",
        "/f0/never",
        "/f0/cut",
        "/f0/gone",
        "/f0/early",
        "/f0/echo",
        "/f1/large",
        "/f1/echo",
        "/f1/x",
        "/i5/echo",
        "/w/echo",
        "/n",
        "/r2",
        "/a",
        "/f9/x",
    ];
    let threads: Vec<_> = (0..6_u64)
        .map(|seed| {
            std::thread::spawn(move || {
                let mut state = seed + 1;
                let mut chance = |n: usize| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) as usize % n
                };
                let mut client = H2Client::to(port, None);
                let mut open = Vec::new();
                for _ in 0..150 {
                    match chance(8) {
                        0 if !open.is_empty() => {
                            let stream = open.swap_remove(chance(open.len()));
                            client.sending.remove(&stream);
                            client.client.reset(stream, 8);
                        }
                        1 if chance(10) == 0 => client.over = true,
                        2 => client.shut = chance(3) == 0,
                        3..6 if client.client.ready() => {
                            let body = [None, Some((0, true)), Some((9, false)), Some((400_000, true))][chance(4)];
                            open.push(client.ask("POST", paths[chance(paths.len())], body));
                        }
                        _ => client.turn(),
                    }
                    if client.over {
                        client = H2Client::to(port, None);
                        open.clear();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert!(seen.begun > 50, "{}", seen.begun);
}

#[test]
fn http2_upstreams_get_bodies_and_give_trailers() {
    let upstream = h2_upstream();
    let mut plan = speaking_h2(&upstream);
    plan.endpoints[0].0.http2 = true;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    for (body, length) in [(None, 0), (Some((5, false)), 5), (Some((900_000, true)), 900_000)] {
        let stream = client.ask("POST", "/f0/echo", body);
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (200, length));
        assert_eq!(got.trailers.as_ref().unwrap()["x-sum"], "9");
    }
    // More together than the windows of the connection hold.
    let many: Vec<u32> = (0..20).map(|_| client.ask("GET", "/f0/large", None)).collect();
    for stream in many {
        assert_eq!(client.end(stream).body, 1_000_000);
    }
    let mut wire = crate::peers::Wire::to(lane.port);
    for _ in 0..20 {
        wire.send("GET /f0/large HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = wire.head().map(|mut head| {
            wire.body(&mut head, false);
            head
        });
        let early = answer.unwrap();
        assert_eq!(early.status(), 103);
        let answer = wire.answer().unwrap();
        assert_eq!((answer.body.len(), &answer.trailers[..]), (1_000_000, "x-sum: 9\n"));
    }
    drop((client, wire));
    lane.end();
}

#[test]
fn an_answer_that_ends_with_its_head_ends_so_at_the_client() {
    let upstream = h2_upstream();
    let mut plan = speaking_h2(&upstream);
    plan.endpoints[0].0.http2 = true;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    for (path, field, value, length) in [
        ("/f0/only", "grpc-status", "12", None),
        ("/w/only", "grpc-status", "12", None),
        ("/f0/nothing", "content-length", "0", Some("0")),
    ] {
        for body in [None, Some((5, false))] {
            let stream = client.ask("POST", path, body);
            let got = client.end(stream);
            let only = got.only.as_ref().unwrap_or_else(|| panic!("{path}: {got:?}"));
            assert_eq!((got.status, only[field].to_str().unwrap()), (200, value), "{path}");
            assert_eq!(
                only.get("content-length").map(|v| v.to_str().unwrap()),
                length,
                "{path}"
            );
            client.sending.clear();
        }
    }
    let mut wire = crate::peers::Wire::to(lane.port);
    wire.send("GET /f0/only HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = wire.answer().unwrap();
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
    drop((client, wire));
    lane.end();
}

#[test]
fn streams_that_a_leaving_upstream_never_read_go_to_another_connection() {
    let upstream = upstream(|mut wire, number| {
        if number == 0 {
            // SETTINGS, then GOAWAY: nothing was read.
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
    let streams: Vec<u32> = (0..5)
        .map(|_| client.ask("POST", "/f0/echo", Some((5, false))))
        .collect();
    for stream in streams {
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (200, 5));
    }
    drop(client);
    lane.end();
}

#[test]
fn answers_are_shown_between_all_versions() {
    for (upstream, to_h2) in [(obedient(), false), (h2_upstream(), true)] {
        let mut plan = speaking_h2(&upstream);
        plan.endpoints[0].0.http2 = to_h2;
        let lane = plan.start();
        let mut client = H2Client::to(lane.port, None);
        // What an HTTP/2 upstream says by the path, and what an obedient one does.
        let large = if to_h2 { "large" } else { "len/1000000" };
        let small = if to_h2 { "echo" } else { "len/4" };
        for (how, rest, body) in [
            ("p", large, 1_000_000),
            ("j100", large, 1_000_000),
            ("j2000000", large, 1_000_000),
            ("v", large, 1_000_000),
            ("j100", small, if to_h2 { 0 } else { 4 }),
        ] {
            let stream = client.ask("GET", &format!("/{how}/{rest}"), None);
            let got = client.end(stream);
            assert_eq!(
                (got.status, got.body, got.reset),
                (200, body, None),
                "{how}/{rest} {to_h2}"
            );
            if to_h2 {
                assert!(got.trailers.is_some(), "{how}/{rest}");
            }
        }
        for how in ["x2", "q100"] {
            let stream = client.ask("GET", &format!("/{how}/{large}"), None);
            let got = client.end(stream);
            assert_eq!((got.status, &got.last[..]), (403, &b"refused ."[..]), "{how} {to_h2}");
        }
        // A call is told by fields what another request is told by a status.
        let mut parts = Request::builder()
            .method("POST")
            .uri(format!("http://a/x2/{large}"))
            .body(())
            .unwrap()
            .into_parts()
            .0;
        parts
            .headers
            .insert("content-type", HeaderValue::from_static("application/grpc"));
        let stream = client.ask_parts(parts, Some((5, false)));
        let got = client.end(stream);
        assert_eq!((got.status, got.body, got.ended), (200, 0, true));
        drop(client);
        lane.end();
    }
}

#[test]
fn a_kept_body_answers_several_streams_at_once() {
    let upstream = obedient();
    let lane = keeping(speaking_h2(&upstream), LONG);
    let mut client = H2Client::to(lane.port, None);
    let streams: Vec<u32> = (0..3).map(|_| client.ask("GET", "/y1", None)).collect();
    for stream in streams {
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (200, LONG - 1));
    }
    drop(client);
    lane.end();
}

#[test]
fn what_was_held_of_an_answer_goes_before_what_its_stream_says_next() {
    let upstream = h2_upstream();
    let mut plan = speaking_h2(&upstream);
    plan.endpoints[0].0.http2 = true;
    let lane = plan.start();
    for path in ["/j100000/large", "/j300000/large", "/p/large"] {
        let mut client = H2Client::to(lane.port, Some(20_000));
        client.shut = true;
        let stream = client.ask("GET", path, None);
        client.until("a head", |c| c.got[&stream].status == 200);
        // Its window takes little, and the upstream's lets more come than was asked for.
        let until = Instant::now() + Duration::from_millis(100);
        client.until("more", |_| Instant::now() > until);
        client.shut = false;
        client.client.release(stream, client.got[&stream].body);
        let got = client.end(stream);
        assert_eq!((got.body, got.reset), (1_000_000, None), "{path}");
        assert!(got.in_order, "{path}");
    }
    lane.end();
}

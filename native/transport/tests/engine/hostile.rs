//! Clients that do at an unexpected moment what the protocol lets them do, or ask for what decisions did not think of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use cnx_transport::compress::{Algorithm, Levels, Plan as Compression};
use cnx_transport::h2::Protocol;
use cnx_transport::layout::Fault;
use http::{HeaderMap, HeaderValue, Request, request};

use crate::driver::{PATIENCE, Plan};
use crate::h2_peers::{Got, H2Client, h2_upstream_after, speaking_h2};
use crate::peers::{Upstream, Wire, obedient, upstream};

/// An extended CONNECT for a WebSocket (RFC 8441).
fn handshake(path: &str) -> request::Parts {
    let (mut parts, ()) = Request::builder()
        .method("CONNECT")
        .uri(format!("http://a{path}"))
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap()
        .into_parts();
    parts.extensions.insert(Protocol::from_static("websocket"));
    parts
}

#[test]
fn an_upstream_that_does_not_switch_opens_no_tunnel_over_http2() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    client.until("settings", |c| c.client.extended_connect());
    for (path, status) in [
        ("/f0/len/5", 400),
        ("/f0/none/204", 400),
        ("/p/len/5", 400),
        ("/f0/none/404", 404),
    ] {
        let stream = client.ask_parts(handshake(path), Some((0, false)));
        client.sending.clear();
        assert_eq!(client.end(stream).status, status, "{path}");
    }
    // An answer of our own is none either.
    let stream = client.ask_parts(handshake("/a"), Some((0, false)));
    client.sending.clear();
    let got = client.end(stream);
    assert!(got.status == 0 && got.reset.is_some(), "{got:?}");
    drop(client);
    // Whoever speaks HTTP/1 sees that nothing was switched.
    let mut wire = Wire::to(lane.port);
    wire.send(
        "GET /f0/len/5 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    assert_eq!(wire.answer().unwrap().status(), 200);
    drop(wire);
    lane.end();
}

#[test]
fn trailers_end_the_clients_side_of_a_tunnel_too() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    client.until("settings", |c| c.client.extended_connect());
    let stream = client.ask_parts(handshake("/f0/up/2"), Some((0, false)));
    client.sending.clear();
    client.until("hello", |c| c.got[&stream].body == 5);
    client.client.data(stream, b"ping", false);
    client.until("ping", |c| c.got[&stream].body == 9);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-t", HeaderValue::from_static("1"));
    client.client.trailers(stream, trailers);
    let got = client.end(stream);
    assert_eq!((got.status, &got.last[..]), (200, &b"hellopingbye"[..]));
    drop(client);
    lane.end();
}

#[test]
fn who_waits_for_100_continue_over_http2_gets_it() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    for path in ["/f0/echo", "/i100/echo"] {
        let parts = Request::post(format!("http://a{path}"))
            .header("expect", "100-continue")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let stream = client.client.request(parts, false).unwrap();
        client.got.insert(stream, Got::default());
        client.until("100", |c| c.got[&stream].interim == [100]);
        client.sending.insert(stream, (5, false));
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (200, 5), "{path}");
    }
    drop(client);
    lane.end();
}

#[test]
fn a_slow_client_of_a_long_answer_of_our_own_is_not_taken_for_slow_decisions() {
    let upstream = obedient();
    let mut plan = speaking_h2(&upstream);
    plan.options.decide_ms = 200;
    let lane = plan.start();
    lane.run(|engine| {
        let gzip = Compression {
            algorithms: vec![Algorithm::Gzip],
            types: vec!["text/*".into()],
            bytes_min: 100,
            levels: Levels {
                gzip: 6,
                brotli: 5,
                zstd: 3,
            },
        };
        assert!(engine.set_compression(1, gzip));
    });
    let mut client = H2Client::to(lane.port, Some(500));
    client.shut = true;
    let parts = Request::get("http://a/b40000000")
        .header("accept-encoding", "gzip")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let stream = client.ask_parts(parts, None);
    client.until("a part", |c| c.got[&stream].body > 0);
    let until = std::time::Instant::now() + Duration::from_millis(600);
    client.until("time", |_| std::time::Instant::now() > until);
    client.shut = false;
    client.client.release(stream, client.got[&stream].body);
    let got = client.end(stream);
    assert_eq!((got.reset, got.ended), (None, true));
    drop(client);
    lane.end();
}

#[test]
fn what_was_collected_of_a_long_upload_counts_no_more_once_it_has_left() {
    let upstream = obedient();
    let mut plan = Plan::to(&[upstream.address]);
    plan.options.collected_bytes_max = 500_000;
    let lane = plan.start();
    let mut slow: Vec<Wire> = (0..3)
        .map(|n| {
            let mut wire = Wire::to(lane.port);
            wire.send("POST /i400000/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")
                .send("x".repeat(410_000));
            assert!(lane.until_seen(|seen| seen.bodies.len() == n + 1));
            wire.send("and a little more");
            wire
        })
        .collect();
    for wire in &mut slow {
        wire.send("x".repeat(2_000_000 - 410_000 - 17));
        assert_eq!(wire.answer().unwrap().body.len(), 2_000_000);
    }
    assert_eq!(lane.seen.lock().unwrap().faults, []);
    drop(slow);
    lane.end();
}

#[test]
fn a_connection_that_still_takes_answers_is_not_idle() {
    let upstream = obedient();
    let mut plan = speaking_h2(&upstream);
    plan.options.idle_ms = 100;
    plan.options.linger_ms = 50;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, Some(1024 * 1024));
    client.small_reads(16 * 1024);
    let streams = [(); 2].map(|()| client.ask("GET", "/f0/len/500000", None));
    client.until("ends", |c| {
        // Slow enough that all was taken over long before it has arrived.
        std::thread::sleep(Duration::from_millis(10));
        c.over || streams.iter().all(|stream| c.got[stream].ended)
    });
    for stream in streams {
        let got = &client.got[&stream];
        assert_eq!((got.body, got.ended, got.reset), (500_000, true, None));
    }
    drop(client);
    lane.end();
}

#[test]
fn what_decisions_take_from_a_head_does_not_come_after_the_body() {
    let secretive = upstream(|mut wire, _| {
        while let Some(request) = wire.request() {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Secret: s\r\n\r\n";
            let names = request.trailers.replace('\n', ", ");
            wire.send(format!(
                "{head}1\r\nx\r\n0\r\nX-Secret: s\r\nX_Secret: s\r\nX-Got: {names}\r\n\r\n"
            ));
        }
    });
    for http2 in [false, true] {
        let lane = speaking_h2(&secretive).start();
        for (path, sees) in [("/u/x", "x-t: 1"), ("/t/x", ""), ("/w/x", "x-user: theirs, x-t: 1")] {
            let (got, secret) = if http2 {
                let mut client = H2Client::to(lane.port, None);
                let stream = client.ask("POST", path, Some((3, false)));
                client.sending.clear();
                while client.client.data(stream, b"abc", false) == 0 {
                    client.turn();
                }
                let mut trailers = HeaderMap::new();
                for (name, value) in [("x-user", "theirs"), ("x-original-url", "/admin"), ("x-t", "1")] {
                    trailers.insert(name, HeaderValue::from_static(value));
                }
                client.client.trailers(stream, trailers);
                let trailers = client.end(stream).trailers.clone().unwrap();
                (
                    trailers["x-got"].to_str().unwrap().to_owned(),
                    trailers.contains_key("x-secret"),
                )
            } else {
                let mut wire = Wire::to(lane.port);
                let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
                wire.send(head + "3\r\nabc\r\n0\r\nX-User: theirs\r\nX_Original_Url: /admin\r\nX-T: 1\r\n\r\n");
                let answer = wire.answer().unwrap();
                let got = answer.trailers.lines().find_map(|line| line.strip_prefix("x-got: "));
                (got.unwrap().to_owned(), answer.trailers.contains("x-secret"))
            };
            assert_eq!(
                (got.trim_end_matches([',', ' ']), secret),
                (sees, path != "/u/x"),
                "{path} {http2}"
            );
        }
        lane.end();
    }
}

/// A call of gRPC whose client waits for so long.
fn call(path: &str, timeout: &'static str) -> request::Parts {
    let mut parts = Request::post(format!("http://a{path}"))
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let fields = [("content-type", "application/grpc"), ("grpc-timeout", timeout)];
    for (name, value) in fields {
        parts.headers.insert(name, HeaderValue::from_static(value));
    }
    parts
}

#[test]
fn a_call_that_says_nothing_for_a_while_is_no_slow_upload() {
    let (http2, _) = h2_upstream_after(Duration::from_millis(600));
    let silent = silent(&Arc::default());
    let mut plan = Plan::to(&[http2.address, silent.address]);
    plan.listen.http2 = true;
    plan.endpoints[0].0.http2 = true;
    (plan.options.body_rate_ms, plan.options.body_rate_min) = (100, 1_000);
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    let mut ask = |path: &str, content_type: &'static str| {
        let mut parts = call(path, "1M");
        let content_type = HeaderValue::from_static(content_type);
        parts.headers.insert("content-type", content_type);
        let stream = client.client.request(parts, false).unwrap();
        client.got.insert(stream, Got::default());
        while client.client.data(stream, b"a message", false) == 0 {
            client.turn();
        }
        client.until("an answer", |c| c.got[&stream].status != 0);
        if !client.got[&stream].ended {
            client.client.data(stream, b", and the last", true);
        }
        let got = client.end(stream);
        (got.status, got.body)
    };
    assert_eq!(ask("/f0/x", "application/grpc"), (200, 23), "both messages come back");
    // A connection is not held that way, nor a stream by an upload.
    assert_eq!(ask("/f1/x", "application/grpc").1, 0);
    assert_ne!(ask("/f0/x", "text/plain").0, 200);
    drop(client);
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.faults, [Fault::RequestTimeout as i32; 2]);
    assert_eq!((&seen.failed[..], seen.blamed), (&[][..], 0));
}

/// An upstream that hears requests, counts them and says nothing.
fn silent(heard: &Arc<AtomicUsize>) -> Upstream {
    let counted = heard.clone();
    upstream(move |mut wire, _| {
        while wire.request().is_some() {
            counted.fetch_add(1, SeqCst);
        }
    })
}

/// What an upstream is blamed for counts against its health and its circuit: whoever could have it blamed could take it from all others.
#[test]
fn no_client_has_an_endpoint_blamed_for_what_it_does_itself() {
    let heard = Arc::<AtomicUsize>::default();
    let silent = silent(&heard);
    let begins = upstream(|mut wire, _| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin");
        wire.exactly(usize::MAX);
    });
    let (http2, streams) = h2_upstream_after(Duration::from_secs(60));
    let mut plan = Plan::to(&[silent.address, http2.address, begins.address]);
    plan.listen.http2 = true;
    plan.endpoints[1].0.http2 = true;
    plan.idle_ms = 200;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    // A call that gives too little time to answer.
    let mut calls = 0;
    for path in ["/f0/x", "/f1/x"] {
        // On a busy machine a call may end before it has reached its endpoint.
        let reached = || match path {
            "/f0/x" => heard.load(SeqCst) > 0,
            _ => streams.begun.load(SeqCst) > 0,
        };
        let begun = Instant::now();
        while !reached() {
            assert!(begun.elapsed() < PATIENCE, "{path}: no call has reached its endpoint");
            calls += 1;
            let stream = client.ask_parts(call(path, "500m"), None);
            assert_eq!(client.end(stream).status, 200, "{path}: in gRPC's own words");
        }
    }
    // What the endpoint's protocol cannot say.
    let mut wire = Wire::to(lane.port);
    let head = "Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
    wire.send(format!("GET /f1/x HTTP/1.1\r\n{head}\r\n\r\n"));
    assert_eq!(wire.answer().unwrap().status(), 400);
    // An answer that begins, and goes on once the client has said the rest.
    for http2 in [false, true] {
        let mut wire = Wire::to(lane.port);
        let stream = client.client.request(call("/f2/x", "1M"), false).unwrap();
        client.got.insert(stream, Got::default());
        if http2 {
            assert!(client.end(stream).reset.is_some());
        } else {
            client.client.reset(stream, 8);
            wire.send("POST /f2/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
            assert!(!wire.answer().unwrap().whole);
        }
    }
    {
        let seen = lane.seen.lock().unwrap();
        assert_eq!((&seen.failed[..], seen.blamed), (&[][..], 0));
        let mut faults = vec![Fault::RequestTimeout as i32; calls];
        faults.push(Fault::NotImplemented as i32);
        assert_eq!(seen.faults, faults);
    }
    // Whoever had time is.
    let stream = client.ask_parts(call("/f0/x", "4S"), None);
    client.end(stream);
    assert_eq!(lane.seen.lock().unwrap().failed.len(), 1);
    drop((client, wire));
    lane.end();
}

/// Clients' patience is what they have said of it, not when a lane that stood still comes to look.
#[test]
fn a_lane_that_stood_still_blames_no_endpoint_for_what_a_client_did_not_wait_for() {
    let heard = Arc::<AtomicUsize>::default();
    let lane = speaking_h2(&silent(&heard)).start();
    let mut client = H2Client::to(lane.port, None);
    let stream = client.ask_parts(call("/f0/x", "500m"), None);
    client.until("a call", |_| lane.seen.lock().unwrap().begun == 1);
    lane.run(|_| std::thread::sleep(Duration::from_millis(1_500)));
    client.end(stream);
    {
        let seen = lane.seen.lock().unwrap();
        assert_eq!(
            (&seen.failed[..], &seen.faults[..]),
            (&[][..], &[Fault::RequestTimeout as i32][..])
        );
    }
    drop(client);
    lane.end();
}

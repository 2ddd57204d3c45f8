//! Requests that are turned away unread: what clients see of it, that nobody is told of them, and that connections go on.

use std::time::Duration;

use cnx_transport::engine::options::ShedPlan;
use http::Request;

use crate::driver::Plan;
use crate::h2_peers::{H2Client, speaking_h2};
use crate::peers::{Upstream, Wire, obedient};

const ID: &str = "abcdef-03-";

fn shedding(upstream: &Upstream) -> Plan {
    let mut plan = speaking_h2(upstream);
    plan.options.shed = Some(ShedPlan {
        row: 2,
        retry_after_s: 7,
        id_prefix: ID.into(),
    });
    plan
}

#[test]
fn whoever_is_turned_away_hears_why_and_may_go_on() {
    let upstream = obedient();
    let lane = shedding(&upstream).start();
    let post = |rest: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}");
    // Request, and whether the connection can be used again.
    let table = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), false),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(), false),
        ("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".to_owned(), true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".to_owned(), true),
        (post("Content-Length: 4\r\n\r\nbody"), true),
        (post("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nX: y\r\n\r\n"), true),
        // More than is read for nothing.
        (post("Content-Length: 300000000\r\n\r\n"), false),
        // It may or may not come now.
        (post("Content-Length: 4\r\nExpect: 100-continue\r\n\r\n"), false),
    ];
    let mut count = 0;
    for bytewise in [false, true] {
        for (request, stays) in &table {
            lane.run(|engine| engine.set_shed(1.0));
            let mut wire = Wire::to(lane.port);
            if bytewise {
                for byte in request.as_bytes() {
                    wire.send([*byte]);
                }
            } else {
                wire.send(request);
            }
            count += 1;
            let answer = wire.answer().unwrap_or_else(|| panic!("no answer to {request}"));
            let id = format!("{ID}s{count:08x}");
            assert_eq!(answer.status(), 403, "{request}");
            assert_eq!(
                String::from_utf8_lossy(&answer.body),
                format!("refused {id}."),
                "{request}"
            );
            for field in [
                "content-type: application/problem+json",
                "retry-after: 7",
                "cache-control: no-store",
                "via: 1.1 cloudnexus",
                &format!("x-request-id: {id}"),
            ] {
                assert!(answer.has(field), "{field} in {}", answer.head);
            }
            assert!(answer.head.contains("date: "));
            assert_eq!(answer.has("connection: close"), !stays, "{request}");
            assert_eq!(lane.run(|engine| engine.take_shed()), 1);
            lane.run(|engine| engine.set_shed(0.0));
            if *stays {
                let next = wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").answer();
                let next = next.unwrap_or_else(|| panic!("nothing after {request}"));
                assert_eq!((next.status(), &next.body[..]), (200, &b"own"[..]), "after {request}");
            } else {
                assert!(wire.ended(), "{request}");
            }
        }
    }
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.begun, 2 * table.iter().filter(|(_, stays)| *stays).count());
    assert_eq!(seen.wrong, Vec::<String>::new());
}

#[test]
fn head_hears_it_without_a_body() {
    let upstream = obedient();
    let lane = shedding(&upstream).start();
    lane.run(|engine| engine.set_shed(1.0));
    let mut wire = Wire::to(lane.port);
    for _ in 0..2 {
        let answer = wire.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").bare().unwrap();
        assert!(answer.has(&format!("content-length: {}", "refused .".len() + ID.len() + 9)));
    }
    lane.run(|engine| engine.set_shed(0.0));
    let next = wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").answer().unwrap();
    assert_eq!(next.body, b"own");
    drop(wire);
    lane.end();
}

#[test]
fn what_was_pipelined_is_turned_away_in_its_place() {
    let upstream = obedient();
    let lane = shedding(&upstream).start();
    lane.run(|engine| engine.set_shed(0.5));
    let mut wire = Wire::to(lane.port);
    let mut all = String::new();
    for _ in 0..100 {
        all += "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        all += "POST /f0/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    }
    wire.send(&all);
    let mut away = 0;
    for at in 0..200 {
        let answer = wire.answer().unwrap();
        if answer.status() == 403 {
            away += 1;
        } else {
            let body: &[u8] = if at % 2 == 0 { b"own" } else { b"abc" };
            assert_eq!((answer.status(), &answer.body[..]), (200, body), "{at}");
        }
    }
    assert!((40..=160).contains(&away), "{away} of 200");
    assert_eq!(lane.run(|engine| engine.take_shed()), away);
    drop(wire);
    assert_eq!(lane.end().lock().unwrap().begun as u64, 200 - away);
}

#[test]
fn what_is_no_sound_request_is_told_all_the_same() {
    let upstream = obedient();
    let lane = shedding(&upstream).start();
    lane.run(|engine| engine.set_shed(1.0));
    for request in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n"] {
        let mut wire = Wire::to(lane.port);
        assert_eq!(wire.send(request).answer().unwrap().status(), 400, "{request}");
        assert!(wire.ended());
    }
    assert_eq!(lane.run(|engine| engine.take_shed()), 0);
    lane.end();
}

#[test]
fn nobody_is_turned_away_where_nothing_says_how() {
    let upstream = obedient();
    let mut plan = shedding(&upstream);
    plan.options.shed = None;
    let lane = plan.start();
    lane.run(|engine| engine.set_shed(1.0));
    let mut wire = Wire::to(lane.port);
    assert_eq!(
        wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            .answer()
            .unwrap()
            .status(),
        200
    );
    drop(wire);
    lane.end();
}

#[test]
fn whoever_takes_no_answers_is_not_read_any_more() {
    let upstream = obedient();
    let mut plan = shedding(&upstream);
    plan.options.write_ms = 300;
    plan.options.decide_ms = 60_000;
    let lane = plan.start();
    lane.run(|engine| engine.set_shed(1.0));
    let wire = Wire::to(lane.port);
    wire.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let many = "GET /n HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
    let mut sent = 0;
    while std::io::Write::write(&mut &wire.stream, many.as_bytes()).is_ok() {
        sent += many.len();
        assert!(sent < 200_000_000, "it is read for ever");
    }
    assert!(lane.until(|lane| lane.open().1 == 0), "and left in the end");
    lane.end();
}

#[test]
fn a_connection_that_is_to_leave_leaves_with_it() {
    let upstream = obedient();
    let lane = shedding(&upstream).start();
    let mut wire = Wire::to(lane.port);
    assert_eq!(
        wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            .answer()
            .unwrap()
            .status(),
        200
    );
    lane.run(|engine| engine.set_shed(1.0));
    lane.run(|engine| engine.drain());
    let answer = wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").answer().unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.has("connection: close"));
    assert!(wire.ended());
    drop(wire);
    lane.end();
}

#[test]
fn streams_are_turned_away_and_their_connection_goes_on() {
    let upstream = obedient();
    let lane = shedding(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    let before = client.ask("GET", "/w/len/300000", None);
    client.turn();
    assert!(lane.until_seen(|seen| seen.begun == 1));
    lane.run(|engine| engine.set_shed(1.0));
    let length = "refused .".len() + ID.len() + 9;
    for (method, body, bytes) in [
        ("GET", None, length),
        ("HEAD", None, 0),
        ("POST", Some((5, false)), length),
        ("POST", Some((700_000, true)), length),
    ] {
        let stream = client.ask(method, "/a", body);
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (403, bytes), "{method} {body:?}");
        client.sending.clear();
    }
    let (mut call, ()) = Request::builder()
        .method("POST")
        .uri("http://a/a")
        .header("content-type", "application/grpc+proto")
        .body(())
        .unwrap()
        .into_parts();
    call.version = http::Version::HTTP_2;
    let stream = client.ask_parts(call, Some((5, false)));
    let got = client.end(stream);
    assert_eq!((got.status, got.body), (200, 0), "trailers alone");
    assert_eq!(lane.run(|engine| engine.take_shed()), 5);
    assert_eq!(client.end(before).body, 300_000, "what was begun is not touched");
    lane.run(|engine| engine.set_shed(0.0));
    let after = client.ask("GET", "/a", None);
    assert_eq!(client.end(after).body, 3);
    drop(client);
    assert_eq!(lane.end().lock().unwrap().begun, 2);
}

#[test]
fn a_stream_whose_window_takes_no_words_is_told_that_nothing_was_done() {
    let upstream = obedient();
    let lane = shedding(&upstream).start();
    let mut client = H2Client::to(lane.port, Some(10));
    lane.run(|engine| engine.set_shed(1.0));
    client.turn();
    let stream = client.ask("GET", "/a", None);
    client.until("a reset", |c| c.got[&stream].reset.is_some());
    assert_eq!(client.got[&stream].reset, Some(7));
    drop(client);
    lane.end();
}

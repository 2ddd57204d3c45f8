//! HTTP/1 through the engine when everybody behaves.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::driver::Plan;
use crate::peers::{Wire, obedient};

#[test]
fn exchanges_are_what_both_sides_said() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let post = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{rest}");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    // Request, status, body, and whether the connection can be used again.
    let table: Vec<(String, u16, &str, bool)> = vec![
        (get("/f0/len/3"), 200, "xxx", true),
        (get("/f0/len/0"), 200, "", true),
        (get("/f0/chunk/2"), 200, "abcabc", true),
        (get("/f0/until/4"), 200, "uuuu", true),
        (get("/f0/close"), 200, "ok", true),
        (get("/f0/none/204"), 204, "", true),
        (get("/f0/none/304"), 304, "", true),
        (get("/r2"), 403, "refused .", true),
        (get("/r1"), 400, "refused .", false),
        (get("/a"), 200, "own", true),
        (get("/a204"), 204, "", true),
        (get("/w/len/2"), 200, "xx", true),
        (post("/f0/echo", "Content-Length: 4\r\n\r\nbody"), 200, "body", true),
        (
            post(
                "/f0/echo",
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n",
            ),
            200,
            "abcd",
            true,
        ),
        (post("/r2", "Content-Length: 4\r\n\r\nbody"), 403, "refused .", true),
        (
            post("/r2", "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
            403,
            "refused .",
            true,
        ),
        (post("/i100/echo", "Content-Length: 4\r\n\r\nbody"), 200, "body", true),
        (post("/i2/echo", "Content-Length: 4\r\n\r\nbody"), 200, "body", true),
        (
            post(
                "/i2/echo",
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n3\r\nghi\r\n0\r\n\r\n",
            ),
            200,
            "abcdefghi",
            true,
        ),
        (get("/f0/close HTTP/9.9\r\n"), 400, "refused .", false),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400, "refused .", false),
        ("GET /f0/len/1 HTTP/1.0\r\nHost: a\r\n\r\n".into(), 200, "x", false),
        (
            "GET /f0/len/1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".into(),
            200,
            "x",
            true,
        ),
        (
            "GET /f0/chunk/1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".into(),
            200,
            "abc",
            false,
        ),
        (
            "GET /f0/len/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(),
            200,
            "x",
            false,
        ),
    ];
    for bytewise in [false, true] {
        for (request, status, body, stays) in &table {
            let mut wire = Wire::to(lane.port);
            if bytewise {
                for byte in request.as_bytes() {
                    wire.send([*byte]);
                }
            } else {
                wire.send(request);
            }
            let answer = wire.answer().unwrap_or_else(|| panic!("no answer to {request}"));
            assert_eq!(answer.status(), *status, "{request}");
            assert_eq!(String::from_utf8_lossy(&answer.body), *body, "{request}");
            assert!(answer.whole, "{request}");
            assert_eq!(answer.has("connection: close"), !stays, "{request}");
            if *stays {
                let next = wire
                    .send(get("/a"))
                    .answer()
                    .unwrap_or_else(|| panic!("nothing after {request}"));
                assert_eq!((next.status(), &next.body[..]), (200, &b"own"[..]), "after {request}");
            } else {
                assert!(wire.ended(), "{request}");
            }
        }
    }
    lane.end();
}

#[test]
fn a_body_that_is_collected_is_cut_at_the_limit_and_passes_whole() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let body = "z".repeat(300_000);
    let mut wire = Wire::to(lane.port);
    wire.send(format!(
        "POST /i1000/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n{body}"
    ));
    assert_eq!(wire.answer().unwrap().body.len(), 300_000);
    wire.send("POST /i5/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde");
    assert_eq!(wire.answer().unwrap().body, b"abcde");
    drop(wire);
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.bodies[0].len(), 1000);
    assert_eq!(seen.bodies[1], b"abcde");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    let mut all = String::new();
    for n in 1..40 {
        all += &format!("POST /f0/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{n:03}");
        all += "GET /r2 HTTP/1.1\r\nHost: a\r\n\r\nGET /w/chunk/1 HTTP/1.1\r\nHost: a\r\n\r\n";
        all += "POST /r2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    }
    all += "GET /r1 HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    wire.send(&all);
    for n in 1..40 {
        assert_eq!(wire.answer().unwrap().body, format!("{n:03}").as_bytes());
        assert_eq!(wire.answer().unwrap().status(), 403);
        assert_eq!(wire.answer().unwrap().body, b"abc");
        assert_eq!(wire.answer().unwrap().status(), 403);
    }
    assert_eq!(wire.answer().unwrap().status(), 400);
    assert!(wire.ended(), "nothing after a refusal that ends the connection is read");
    drop(wire);
    assert_eq!(lane.end().lock().unwrap().begun, 39 * 4 + 1);
    assert!(
        upstream.accepted.load(SeqCst) <= 2,
        "one connection serves requests that follow each other"
    );
}

#[test]
fn head_gets_the_head_alone() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    for path in ["/f0/len/7", "/a", "/r2"] {
        wire.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = wire.bare().unwrap();
        assert!(answer.head.contains("content-length: "), "{path}");
    }
    wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.answer().unwrap().body, b"own");
    drop(wire);
    lane.end();
}

#[test]
fn trailers_pass_both_ways_without_those_that_frame() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    wire.send("POST /f0/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\nHost: b\r\n\r\n");
    let answer = wire.answer().unwrap();
    assert!(answer.has("x-trailers: x-t: 1"), "{}", answer.head);
    wire.send("GET /f0/chunk/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.answer().unwrap().trailers, "x-sum: 9\n");
    // What Connection nominates ends here, wherever it stands (RFC 9110 §7.6.1).
    wire.send("POST /f0/echo HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Here\r\nConnection: x-too\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Here: 1\r\nX-T: 1\r\nX-Too: 1\r\n\r\n");
    let answer = wire.answer().unwrap();
    assert!(
        answer.has("x-trailers: x-t: 1") && !answer.head.contains("x-here") && !answer.head.contains("x-too"),
        "{}",
        answer.head
    );
    for sum in ["", "x-sum: 9\n"] {
        let path = if sum.is_empty() { "hop" } else { "chunk" };
        wire.send(format!("GET /f0/{path}/1 HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(wire.answer().unwrap().trailers, sum);
    }
    drop(wire);
    lane.end();
}

#[test]
fn expectations_are_relayed_and_met() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    for path in ["/f0/echo", "/i100/echo"] {
        let mut wire = Wire::to(lane.port);
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        ));
        assert_eq!(wire.head().unwrap().status(), 100, "{path}");
        assert_eq!(wire.send("ab").answer().unwrap().body, b"ab");
        assert_eq!(
            wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
                .answer()
                .unwrap()
                .status(),
            200
        );
    }
    // Nobody knows whether the body follows a refusal: the connection ends.
    let mut wire = Wire::to(lane.port);
    wire.send("POST /r2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    let answer = wire.answer().unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.has("connection: close") && wire.ended());
    drop(wire);
    lane.end();
}

#[test]
fn interim_answers_pass_but_not_to_http10() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    wire.send("GET /f0/hints HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.head().unwrap().head, "HTTP/1.1 103 Early Hints\nlink: </a>");
    assert_eq!(wire.head().unwrap().status(), 102);
    assert_eq!(wire.answer().unwrap().body, b"ok");
    let mut old = Wire::to(lane.port);
    old.send("GET /f0/hints HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(old.answer().unwrap().status(), 200);
    drop((wire, old));
    lane.end();
}

const HANDSHAKE: &str = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

#[test]
fn tunnels_end_from_either_side_with_all_bytes() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    for first in [1, 2] {
        let mut wire = Wire::to(lane.port);
        wire.send(format!("GET /f0/up/{first} HTTP/1.1\r\n{HANDSHAKE}ping"));
        let head = wire.head().unwrap();
        assert_eq!(head.status(), 101);
        assert!(head.has("upgrade: websocket") && head.has("connection: upgrade"));
        assert_eq!(wire.exactly(9), b"helloping");
        if first == 2 {
            wire.half_close();
            assert_eq!(wire.exactly(3), b"bye");
        }
        assert!(wire.ended());
    }
    assert_eq!(lane.end().lock().unwrap().finished, 2);
}

#[test]
fn tunnels_hold_back_who_is_faster_and_lose_nothing_at_the_end() {
    const MUCH: usize = 20_000_000;
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    wire.send(format!("GET /f0/pour/{MUCH} HTTP/1.1\r\n{HANDSHAKE}"));
    assert_eq!(wire.head().unwrap().status(), 101);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(wire.exactly(MUCH).len(), MUCH);
    assert!(wire.ended());
    let mut wire = Wire::to(lane.port);
    wire.send(format!("GET /f0/drink HTTP/1.1\r\n{HANDSHAKE}"));
    assert_eq!(wire.head().unwrap().status(), 101);
    wire.send(vec![b'd'; MUCH]).half_close();
    assert_eq!(wire.exactly(8), MUCH.to_string().as_bytes());
    drop(wire);
    lane.end();
}

#[test]
fn what_is_told_while_events_are_heard_is_heard_next() {
    let mut plan = Plan::to(&["127.0.0.1:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap()]);
    plan.endpoints[1].1.clear();
    let lane = plan.start();
    let mut waits = Wire::to(lane.port);
    waits.send("GET /f1/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(lane.until_seen(|seen| seen.begun == 1));
    let mut other = Wire::to(lane.port);
    other.send("GET /s HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(other.answer().unwrap().status(), 403);
    assert_eq!(waits.answer().unwrap().status(), 502);
    drop((waits, other));
    lane.end();
}

#[test]
fn draining_answers_what_is_open_and_ends_with_it() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut busy = Wire::to(lane.port);
    busy.send("GET /w/len/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut idle = Wire::to(lane.port);
    assert!(lane.until_seen(|seen| seen.begun == 1));
    lane.run(|engine| engine.drain());
    assert_eq!(busy.answer().unwrap().body, b"x");
    assert!(busy.ended());
    let answer = idle.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").answer().unwrap();
    assert!(answer.has("connection: close") && idle.ended());
    drop((busy, idle));
    lane.end();
}

#[test]
fn a_listener_that_closes_takes_in_who_has_connected() {
    let lane = Plan::to(&[]).start();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (stopped, told) = std::sync::mpsc::channel();
    lane.post(move |engine| {
        // The engine does not run: clients wait to be accepted.
        let _ = wait.recv();
        engine.drain();
        stopped.send(()).unwrap();
    });
    let mut wires: Vec<Wire> = (0..100).map(|_| Wire::to(lane.port)).collect();
    go.send(()).unwrap();
    told.recv_timeout(Duration::from_secs(10)).unwrap();
    for wire in &mut wires {
        assert_eq!(
            wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").answer().unwrap().body,
            b"own"
        );
    }
    drop(wires);
    lane.end();
}

#[test]
fn closing_ends_everything_and_tells_it() {
    let upstream = obedient();
    let mut lane = Plan::to(&[upstream.address]).start();
    let mut wires = Vec::new();
    for path in ["/f0/never", "/n", "/i100/echo", "/w/never"] {
        let mut wire = Wire::to(lane.port);
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\npart"
        ));
        wires.push(wire);
    }
    assert!(lane.until_seen(|seen| seen.begun == 4));
    lane.stop();
    let seen = lane.seen.lock().unwrap();
    assert_eq!((seen.finished, seen.aborted), (0, 4));
    assert_eq!(seen.wrong, Vec::<String>::new());
}

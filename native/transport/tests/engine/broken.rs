//! Peers that leave, refuse, reset, garble or say nothing.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use cnx_transport::layout::FailReason;

use crate::driver::{Lane, Plan};
use crate::peers::{Wire, obedient, upstream};

#[test]
fn what_upstreams_do_wrong_is_told_and_worded() {
    let upstream = obedient();
    // Only the one that says nothing is met with a short deadline: on a busy machine others take longer than that to do wrong.
    let patient = Plan::to(&[upstream.address, "127.0.0.1:1".parse().unwrap()]);
    let mut hasty = Plan::to(&[upstream.address]);
    hasty.head_ms = 150;
    for (plan, wrongs) in [
        (
            patient,
            &[
                ("/f0/gone", FailReason::Reset),
                ("/f0/garbage", FailReason::Invalid),
                ("/f0/two", FailReason::Invalid),
                ("/f0/none/101", FailReason::Invalid),
                ("/f0/none/999", FailReason::Invalid),
                ("/f1/any", FailReason::Connect),
                ("/f9/none", FailReason::Connect),
            ][..],
        ),
        (hasty, &[("/f0/never", FailReason::Timeout)][..]),
    ] {
        let lane = plan.start();
        for (path, reason) in wrongs {
            let mut wire = Wire::to(lane.port);
            let answer = wire
                .send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .answer()
                .unwrap();
            assert_eq!(answer.status(), 502, "{path}");
            let failed = lane.seen.lock().unwrap().failed.last().copied();
            assert_eq!(failed.map(|f| f.0), Some(*reason as i32), "{path}");
            assert_eq!(
                wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").answer().unwrap().body,
                b"own"
            );
        }
        assert!(
            lane.until(|_| upstream.open.load(SeqCst) == 0),
            "upstream connections are let go"
        );
        lane.end();
    }
}

#[test]
fn an_answer_that_upstream_cuts_is_cut_for_the_client() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    let cut = wire.send("GET /f0/cut HTTP/1.1\r\nHost: a\r\n\r\n").answer().unwrap();
    assert_eq!((&cut.body[..], cut.whole), (&b"half"[..], false));
    drop(wire);
    assert!(
        lane.until(|_| upstream.open.load(SeqCst) == 0),
        "upstream connections are let go"
    );
    lane.end();
}

#[test]
fn bytes_behind_an_answer_belong_to_nobody() {
    let upstream = obedient();
    let mut plan = Plan::to(&[upstream.address]);
    plan.endpoints[0].0.connections_max = 1;
    let lane = plan.start();
    // Many wait for the one connection, so that it is handed on at once.
    let mut wires: Vec<Wire> = (0..20).map(|_| Wire::to(lane.port)).collect();
    for wire in &mut wires {
        wire.send("GET /f0/extra HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for wire in &mut wires {
        assert_eq!(wire.answer().unwrap().status(), 204);
    }
    drop(wires);
    lane.end();
}

#[test]
fn a_client_that_leaves_frees_its_upstream_in_every_phase() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let pipelined = "GET /f0/never HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    // Sends a request and leaves, by a reset or by a plain end.
    let leave = |lane: &Lane, request: &str, reset: bool| {
        let before = lane.seen.lock().unwrap().begun;
        let mut wire = Wire::to(lane.port);
        wire.send(request);
        assert!(lane.until_seen(|seen| seen.begun > before), "{request}");
        if reset {
            rustix::net::sockopt::set_socket_linger(&wire.stream, Some(std::time::Duration::ZERO)).unwrap();
        }
    };
    for request in [
        "GET /f0/never HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /n HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /n HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        "POST /i100/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        "POST /f0/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        "GET /w/never HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /f0/len/90000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        for reset in [false, true] {
            leave(&lane, request, reset);
        }
    }
    // A reset is found at once, with a pipelined request before it too; a plain end there when that was read.
    leave(&lane, pipelined, true);
    let mut hasty = Plan::to(&[upstream.address]);
    hasty.head_ms = 500;
    let hasty = hasty.start();
    leave(&hasty, pipelined, false);
    assert!(lane.until(|_| upstream.open.load(SeqCst) == 0), "upstreams are freed");
    assert_eq!(hasty.end().lock().unwrap().begun, 2);
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.begun, 15);
    assert!(seen.slots <= 64, "slots are used again");
}

#[test]
fn a_request_that_a_closing_connection_never_read_goes_to_another() {
    // Serves one request for each connection, waits for the next one and closes on it.
    let count = AtomicUsize::new(0);
    let upstream = upstream(move |mut wire, _| {
        if wire.request().is_some() {
            count.fetch_add(1, SeqCst);
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
            let _ = wire.head();
        }
    });
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    for _ in 0..10 {
        wire.send("GET /f0/ HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.answer().unwrap().status(), 200);
    }
    assert!(lane.seen.lock().unwrap().failed.is_empty());
    // What is not idempotent is told instead.
    wire.send("POST /f0/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(wire.answer().unwrap().status(), 502);
    assert_eq!(lane.seen.lock().unwrap().failed, [(FailReason::Reset as i32, false)]);
    drop(wire);
    lane.end();
}

#[test]
fn an_answer_before_the_body_reaches_the_client() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    for size in [10, 100_000, 5_000_000] {
        let mut wire = Wire::to(lane.port);
        wire.send(format!(
            "POST /f0/early HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        ));
        let mut sender = wire.stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut sender, &vec![b'b'; size]);
        });
        let answer = wire
            .answer()
            .unwrap_or_else(|| panic!("no answer with a body of {size}"));
        assert_eq!((answer.status(), &answer.body[..]), (413, &b"early"[..]), "{size}");
        writer.join().unwrap();
    }
    lane.end();
}

#[test]
fn the_rest_of_a_refused_body_is_dropped_if_small_and_never_read_as_a_request() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    for (size, stays) in [(1_000, true), (200_000, true), (3_000_000, false)] {
        let mut wire = Wire::to(lane.port);
        let body = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(size / 27 + 1);
        let body = body[..size].to_owned();
        wire.send(format!(
            "POST /r2 HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        ));
        let mut sender = wire.stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut sender, body.as_bytes());
        });
        assert_eq!(wire.answer().unwrap().status(), 403);
        writer.join().unwrap();
        wire.send("GET /r2 HTTP/1.1\r\nHost: a\r\n\r\n");
        if stays {
            assert_eq!(wire.answer().unwrap().status(), 403, "{size}");
        } else {
            assert!(wire.answer().is_none(), "{size}");
        }
    }
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().begun, 5);
}

#[test]
fn a_broken_body_ends_the_connection() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    for path in ["/f0/echo", "/i9/echo", "/w/echo"] {
        let mut wire = Wire::to(lane.port);
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        assert_eq!(wire.answer().unwrap().status(), 400, "{path}");
        assert!(wire.ended(), "{path}");
    }
    assert_eq!(lane.end().lock().unwrap().begun, 3);
}

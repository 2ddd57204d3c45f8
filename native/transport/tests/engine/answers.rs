//! Answers that decisions ask to see before they go on.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cnx_transport::layout::{FailReason, Fault};

use crate::driver::Plan;
use crate::peers::{Message, Upstream, Wire, obedient, upstream};

const COMPLETE: i32 = 0;
const CUT: i32 = 1;
const NO_ROOM: i32 = 4;

fn ask(wire: &mut Wire, path: &str) -> Option<Message> {
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).answer()
}

#[test]
fn an_answer_that_was_seen_is_what_it_would_have_been() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut plain = Wire::to(lane.port);
    for rest in [
        "len/3",
        "len/0",
        "len/300",
        "len/100000",
        "chunk/2",
        "chunk/100",
        "until/4",
        "until/70000",
        "close",
        "none/204",
        "none/304",
        "echo",
        "extra",
    ] {
        let expected = ask(&mut plain, &format!("/f0/{rest}")).unwrap();
        // By one connection all of them: each leaves it as it was.
        let mut wire = Wire::to(lane.port);
        for how in ["p", "j100", "j1000000", "j0", "v"] {
            let got = ask(&mut wire, &format!("/{how}/{rest}")).unwrap();
            assert_eq!(got.status(), expected.status(), "{how}/{rest}");
            assert_eq!(got.body.len(), expected.body.len(), "{how}/{rest}");
            assert!(got.body == expected.body && got.whole, "{how}/{rest}");
            assert_eq!(got.trailers, expected.trailers, "{how}/{rest}");
        }
    }
    drop(plain);
    lane.end();
}

#[test]
fn interim_answers_pass_before_and_other_protocols_are_not_shown() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    let hints = ask(&mut wire, "/j100/hints").unwrap();
    assert_eq!(hints.status(), 103);
    assert_eq!(wire.answer().unwrap().status(), 102);
    assert_eq!(wire.answer().unwrap().body, b"ok");
    let shake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13";
    wire.send(format!("GET /x2/up/1 HTTP/1.1\r\nHost: a\r\n{shake}\r\n\r\n"));
    assert_eq!(wire.head().unwrap().status(), 101);
    assert_eq!(wire.exactly(5), b"hello");
    wire.send("ping");
    assert_eq!(wire.exactly(4), b"ping");
    drop(wire);
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().shown.len(), 1);
}

#[test]
fn bodies_are_whole_or_cut_or_find_no_room() {
    let upstream = obedient();
    let mut plan = Plan::to(&[upstream.address]);
    plan.options.collected_bytes_max = 200_000;
    let lane = plan.start();
    let mut wire = Wire::to(lane.port);
    for (path, state, bytes) in [
        ("/j100/len/99", COMPLETE, 99),
        ("/j100/len/100", COMPLETE, 100),
        ("/j100/len/101", CUT, 100),
        ("/j100/chunk/1000", CUT, 100),
        ("/j100/none/204", COMPLETE, 0),
        ("/j0/len/1", CUT, 0),
        ("/j100000/until/100000", COMPLETE, 100_000),
        ("/j1000000/until/150000", COMPLETE, 150_000),
    ] {
        assert!(ask(&mut wire, path).unwrap().whole);
        let seen = lane.seen.lock().unwrap();
        let (got, body) = seen.answers.last().unwrap();
        assert_eq!((*got, body.len()), (state, bytes), "{path}");
        drop(seen);
        if path.contains("until") {
            wire = Wire::to(lane.port);
        }
    }
    // More than the lane may hold: the stage hears of it, and what was held passes.
    let whole = ask(&mut wire, "/j1000000/len/1000000").unwrap();
    assert_eq!((whole.body.len(), whole.whole), (1_000_000, true));
    assert_eq!(lane.seen.lock().unwrap().answers.last().unwrap().0, NO_ROOM);
    // None of it counts any more.
    ask(&mut wire, "/j1000000/len/150000").unwrap();
    assert_eq!(lane.seen.lock().unwrap().answers.last().unwrap().0, COMPLETE);
    drop(wire);
    lane.end();
}

#[test]
fn a_refusal_takes_the_place_of_the_answer() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    for path in [
        "/x2/len/3",
        "/x2/len/1000000",
        "/x2/chunk/9",
        "/x2/until/9",
        "/x2/none/304",
        "/q100/len/3",
        "/q100/len/1000000",
    ] {
        let got = ask(&mut wire, path).unwrap();
        assert_eq!((got.status(), &got.body[..]), (403, &b"refused ."[..]), "{path}");
    }
    // The request's body may still be on its way.
    wire.send("POST /x2/noexpect HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(wire.answer().unwrap().status(), 403);
    wire.send("HEAD /x2/len/7 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.bare().unwrap().status(), 403);
    drop(wire);
    lane.end();
}

#[test]
fn what_breaks_while_it_is_held_is_a_failed_attempt() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    // Collected, it is known in time; passed, the client sees it cut.
    assert_eq!(ask(&mut wire, "/j100/cut").unwrap().status(), 502);
    assert_eq!(lane.seen.lock().unwrap().failed, [(FailReason::Reset as i32, false)]);
    let cut = ask(&mut wire, "/j2/cut").unwrap();
    assert_eq!((cut.status(), &cut.body[..], cut.whole), (200, &b"half"[..], false));
    drop(wire);
    lane.end();
}

#[test]
fn collecting_and_deciding_end_in_time() {
    let upstream = upstream(|mut wire, _| {
        if wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
            wire.ended();
        }
    });
    for (path, status) in [("/j100/a", 502), ("/o/a", 400)] {
        for idle_ms in [0, 100] {
            let mut plan = Plan::to(&[upstream.address]);
            (plan.options.collect_ms, plan.options.decide_ms) = (150, 100);
            plan.idle_ms = idle_ms;
            let lane = plan.start();
            let mut wire = Wire::to(lane.port);
            assert_eq!(ask(&mut wire, path).unwrap().status(), status, "{path} {idle_ms}");
            drop(wire);
            let seen = lane.end();
            let seen = seen.lock().unwrap();
            if status == 502 {
                assert_eq!(seen.failed, [(FailReason::Timeout as i32, false)]);
            } else {
                assert_eq!(seen.faults, [Fault::Overloaded as i32]);
            }
        }
    }
}

#[test]
fn clients_that_leave_meanwhile_free_everything() {
    let upstream = upstream(|mut wire, _| {
        if wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf");
            wire.ended();
        }
    });
    let lane = Plan::to(&[upstream.address]).start();
    for path in ["/j1000000/a", "/o/a"] {
        let before = lane.seen.lock().unwrap().shown.len();
        let mut wire = Wire::to(lane.port);
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(lane.until_seen(|seen| seen.shown.len() > before));
        drop(wire);
    }
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().aborted, 2);
}

#[test]
fn a_slow_client_of_a_held_answer_gets_all_of_it() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    wire.send("GET /j8000000/len/9000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(lane.until_seen(|seen| !seen.answers.is_empty()));
    assert_eq!(lane.seen.lock().unwrap().answers[0].0, CUT);
    let mut small = [0; 1024];
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(2));
        assert!(wire.stream.read(&mut small).is_ok());
    }
    let mut rest = 0;
    let mut room = vec![0; 1 << 20];
    while rest + 20 * small.len() < 9_000_000 {
        rest += wire.stream.read(&mut room).unwrap();
    }
    drop(wire);
    lane.end();
}

#[test]
fn a_filter_changes_bodies_and_nothing_else() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    let twice = |body: &[u8]| [body.iter().flat_map(|b| [*b, *b]).collect(), vec![b'!']].concat();
    for (rest, body) in [
        ("len/3", b"xxx".to_vec()),
        ("len/1000000", vec![b'x'; 1_000_000]),
        ("chunk/2", b"abcabc".to_vec()),
    ] {
        let got = ask(&mut wire, &format!("/d/{rest}")).unwrap();
        assert!(got.whole && got.body == twice(&body), "{rest}");
        assert!(got.has("transfer-encoding: chunked"), "{rest}");
        // Trailers follow what the filter had left.
        assert_eq!(got.trailers.is_empty(), !rest.starts_with("chunk"));
    }
    // What has no body has none afterwards.
    for rest in ["none/204", "none/304", "len/0"] {
        let got = ask(&mut wire, &format!("/d/{rest}")).unwrap();
        assert!(got.whole && got.body.is_empty(), "{rest}");
    }
    wire.send("HEAD /d/len/7 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(wire.bare().unwrap().has("content-length: 7"));
    drop(wire);
    let mut old = Wire::to(lane.port);
    old.send("GET /d/len/3 HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(old.answer().unwrap().body, b"xxxxxx!");
    // An answer that breaks off does not look whole.
    let mut wire = Wire::to(lane.port);
    let cut = ask(&mut wire, "/d/cut").unwrap();
    assert!(!cut.whole && !cut.body.contains(&b'!'));
    drop((wire, old));
    lane.end();
}

#[test]
fn a_filter_holds_the_upstream_as_its_client_does() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let upstream = upstream({
        let sent = sent.clone();
        move |mut wire, _| {
            if wire.request().is_some() {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n");
                let piece = vec![b'y'; 64 * 1024];
                while std::io::Write::write_all(&mut wire.stream, &piece).is_ok() {
                    sent.fetch_add(piece.len(), std::sync::atomic::Ordering::SeqCst);
                }
            }
        }
    });
    let mut plan = Plan::to(&[upstream.address]);
    plan.options.write_ms = 300;
    let lane = plan.start();
    let mut wire = Wire::to(lane.port);
    wire.send("GET /d/a HTTP/1.1\r\nHost: a\r\n\r\n");
    // It takes nothing: it is left, and until then little was read for it.
    assert!(lane.until_seen(|seen| seen.aborted == 1));
    assert!(sent.load(std::sync::atomic::Ordering::SeqCst) < 50_000_000);
    drop(wire);
    lane.end();
}

/// An upstream that answers everything with this, and keeps what it was asked.
fn saying(answer: &'static str) -> (Upstream, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let kept = asked.clone();
    let up = upstream(move |mut wire, _| {
        while let Some(mut request) = wire.head() {
            wire.body(&mut request, false);
            let body = String::from_utf8_lossy(&request.body).into_owned();
            kept.lock().unwrap().push(request.head + &body);
            wire.send(answer);
        }
    });
    (up, asked)
}

#[test]
fn an_answer_that_was_seen_can_be_dropped_for_another_attempt() {
    let (first, asked_first) = saying("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy");
    let (second, asked_second) = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let lane = Plan::to(&[first.address, second.address]).start();
    let mut wire = Wire::to(lane.port);
    for fields in ["\r\n", "Content-Length: 3\r\n\r\nabc"] {
        let answer = wire
            .send(format!("POST /n1/x HTTP/1.1\r\nHost: a\r\n{fields}"))
            .answer()
            .unwrap();
        assert_eq!((answer.status(), answer.body.as_slice()), (200, b"ok".as_slice()));
        let last = |asked: &Mutex<Vec<String>>| asked.lock().unwrap().last().cloned().unwrap();
        assert_eq!(last(&asked_first), last(&asked_second), "the same request, all of it");
    }
    drop(wire);
    assert_eq!(lane.end().lock().unwrap().shown.len(), 4);
}

#[test]
fn what_comes_of_a_body_while_an_early_answer_is_judged_goes_with_the_next_attempt() {
    let first = upstream(|mut wire, _| {
        if wire.head().is_some() {
            // Not all of it is here yet: the connection takes more of the request.
            wire.send("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbu");
            wire.ended();
        }
    });
    let (second, asked) = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let lane = Plan::to(&[first.address, second.address]).start();
    let mut wire = Wire::to(lane.port);
    // More than is kept for another attempt: 16 KiB.
    let body = "b".repeat(60_000);
    wire.send(format!(
        "POST /c/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}",
        body.len(),
        &body[..100]
    ));
    assert!(lane.until_seen(|seen| !seen.shown.is_empty()));
    let answer = wire.send(&body[100..]).answer().unwrap();
    assert_eq!((answer.status(), answer.body.as_slice()), (200, b"ok".as_slice()));
    assert!(asked.lock().unwrap().last().unwrap().ends_with(&body), "all of it");
    drop(wire);
    lane.end();
}

#[test]
fn an_early_answer_that_is_collected_or_passed_lets_the_body_go_on() {
    // Its head comes at once, its body after that of the request.
    let upstream = upstream(|mut wire, _| {
        while let Some(mut request) = wire.head() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
            wire.body(&mut request, false);
            wire.send(format!("{:05}", request.body.len()));
        }
    });
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    let body = "b".repeat(60_000);
    for (n, how) in ["j100", "v", "p"].iter().enumerate() {
        wire.send(format!(
            "POST /{how}/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}",
            body.len(),
            &body[..100]
        ));
        assert!(lane.until_seen(|seen| seen.shown.len() > n));
        let answer = wire.send(&body[100..]).answer().unwrap();
        assert_eq!(
            (answer.status(), answer.body.as_slice()),
            (200, b"60000".as_slice()),
            "{how}"
        );
    }
    drop(wire);
    lane.end();
}

#[test]
fn all_attempts_together_have_a_deadline() {
    let upstream = obedient();
    let timeout = (FailReason::Timeout as i32, false);
    // Before the head it is a failed attempt that cannot be sent again, within the answer it is broken off, though bytes still come. There the head has time to come.
    for (path, total_ms, status, whole, failed) in [
        ("/f0/never", 300, 502, true, &[timeout][..]),
        ("/f0/trickle", 4_000, 200, false, &[]),
    ] {
        let mut plan = Plan::to(&[upstream.address]);
        plan.total_ms = total_ms;
        let lane = plan.start();
        let mut wire = Wire::to(lane.port);
        let answer = ask(&mut wire, path).unwrap();
        assert_eq!((answer.status(), answer.whole), (status, whole), "{path}");
        drop(wire);
        assert_eq!(lane.end().lock().unwrap().failed, failed, "{path}");
    }
}

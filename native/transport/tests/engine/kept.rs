//! Bodies that are kept and answer many requests.

use crate::driver::{Lane, Plan};
use crate::peers::{Wire, obedient};

/// Beyond what the sockets hold.
pub const LONG: usize = 6_000_000;

/// Bytes none of which is like the one before.
pub fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8).collect()
}

/// A lane that keeps the body as number 1.
pub fn keeping(plan: Plan, n: usize) -> Lane {
    let lane = plan.start();
    assert_eq!(lane.run(move |engine| engine.keep(&bytes(n))), 1);
    lane
}

#[test]
fn one_body_answers_many_requests_and_those_on_their_way_outlive_it() {
    let upstream = obedient();
    let lane = keeping(Plan::to(&[upstream.address]), LONG);
    let mut slow: Vec<Wire> = (0..4).map(|_| Wire::to(lane.port)).collect();
    for wire in &mut slow {
        // The second waits behind the first, whose bytes the socket does not take.
        wire.send(
            "GET /y1 HTTP/1.1\r\nHost: a\r\n\r\nGET /y1 HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        );
        let head = wire.head().unwrap();
        assert!(head.has(&format!("content-length: {}", LONG - 1)), "{}", head.head);
    }
    assert_eq!(lane.run(|engine| engine.kept()), (1, LONG));
    lane.run(|engine| engine.let_go(1));
    assert_eq!(lane.run(|engine| engine.kept()), (0, 0));
    for wire in &mut slow {
        assert!(wire.exactly(LONG - 1) == bytes(LONG)[1..]);
        // It came after it was let go of.
        assert_eq!(wire.answer().unwrap().status(), 403);
        assert_eq!(wire.answer().unwrap().body, b"own");
    }
    drop(slow);
    lane.end();
}

#[test]
fn short_ones_and_heads_are_as_answers_of_our_own() {
    let upstream = obedient();
    let lane = keeping(Plan::to(&[upstream.address]), 100);
    let mut wire = Wire::to(lane.port);
    for _ in 0..3 {
        let got = wire.send("GET /y1 HTTP/1.1\r\nHost: a\r\n\r\n").answer().unwrap();
        assert!(got.whole && got.body == bytes(100)[1..], "{}", got.head);
        wire.send("HEAD /y1 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(wire.head().unwrap().has("content-length: 99"));
    }
    let none = wire.send("GET /y2 HTTP/1.1\r\nHost: a\r\n\r\n").answer().unwrap();
    assert_eq!(none.status(), 403);
    drop(wire);
    lane.end();
}

#[test]
fn parts_beyond_its_end_are_none() {
    let upstream = obedient();
    let lane = keeping(Plan::to(&[upstream.address]), 100);
    let whole = lane.run(|engine| {
        [
            engine.set_kept(0, 1, 0, 101),
            engine.set_kept(0, 1, 50, 49),
            engine.set_kept(0, 7, 0, 0),
            engine.set_kept(9_999_999, 1, 0, 1),
        ]
    });
    assert_eq!(whole, [false; 4]);
    lane.end();
}

#[test]
fn clients_that_leave_let_go_of_what_they_did_not_take() {
    let upstream = obedient();
    let lane = keeping(Plan::to(&[upstream.address]), LONG);
    for _ in 0..3 {
        let mut wire = Wire::to(lane.port);
        wire.send("GET /y1 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.head().unwrap().status(), 200);
        wire.exactly(1000);
    }
    assert!(lane.until(|lane| lane.open() == (0, 0)));
    lane.end();
}

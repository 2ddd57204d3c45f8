//! What came in one turn with news that its client is gone: decisions hear of both, one after the other, and ask in between.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::driver::{Lane, Plan};
use crate::peers::{Wire, obedient, upstream};

/// What `work` does comes to the lane in one turn.
pub fn within_one_turn(lane: &Lane, work: impl FnOnce()) {
    let (tell, told) = channel();
    let (wake, woken) = channel::<()>();
    lane.post(move |_| {
        tell.send(()).unwrap();
        let _ = woken.recv();
    });
    told.recv().unwrap();
    work();
    // For what was sent to be there.
    std::thread::sleep(Duration::from_millis(20));
    drop(wake);
}

/// Answers say nothing before `go`, then the first text; the second follows at the second `go`.
fn an_answer_is_no_whole_one(texts: [&'static str; 2]) {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let asked = Arc::<AtomicUsize>::default();
    let (tell, told) = channel();
    let upstream = upstream({
        let asked = asked.clone();
        move |mut wire, _| {
            wire.request();
            asked.fetch_add(1, SeqCst);
            for text in texts.into_iter().filter(|text| !text.is_empty()) {
                let _ = gone.lock().unwrap().recv();
                wire.send(text);
                tell.send(()).unwrap();
            }
            wire.request();
        }
    });
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    wire.send("GET /j1000/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(lane.until(|_| asked.load(SeqCst) == 1));
    if !texts[1].is_empty() {
        go.send(()).unwrap();
        told.recv().unwrap();
        assert!(lane.until_seen(|seen| !seen.shown.is_empty()));
    }
    within_one_turn(&lane, || {
        go.send(()).unwrap();
        told.recv().unwrap();
        drop(wire);
    });
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!((seen.aborted, seen.shown.len()), (1, 1));
    // An empty body that is said to be whole would be stored, and answer others.
    assert_eq!(seen.answers, []);
}

#[test]
fn an_answer_whose_client_is_gone_is_not_said_to_be_whole() {
    an_answer_is_no_whole_one(["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole", ""]);
}

#[test]
fn nor_is_one_that_was_collected_when_the_client_went() {
    an_answer_is_no_whole_one(["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwh", "ole"]);
}

#[test]
fn half_a_request_whose_client_is_gone_is_not_said_to_be_whole() {
    let upstream = obedient();
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.answer().unwrap().body, b"own");
    within_one_turn(&lane, || {
        wire.send("POST /i1000/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhalf");
        drop(wire);
    });
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!((seen.begun, seen.aborted), (2, 1));
    assert_eq!(seen.bodies, Vec::<Vec<u8>>::new());
}

#[test]
fn what_a_broken_filter_was_given_counts_no_more_among_what_is_collected() {
    let upstream = obedient();
    let mut plan = Plan::to(&[upstream.address]);
    plan.options.collected_bytes_max = 500_000;
    let lane = plan.start();
    for _ in 0..4 {
        let mut wire = Wire::to(lane.port);
        wire.send("GET /e1000000/len/200000 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(!wire.answer().is_some_and(|answer| answer.whole));
    }
    let mut wire = Wire::to(lane.port);
    let answer = wire
        .send("GET /j1000000/len/200000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answer();
    assert_eq!(answer.unwrap().body.len(), 200_000);
    drop(wire);
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    let states: Vec<_> = seen.answers.iter().map(|(state, body)| (*state, body.len())).collect();
    assert_eq!(states, [(0, 200_000); 5]);
}

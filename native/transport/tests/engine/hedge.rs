//! A second attempt beside one that is slow: who wins, who is let go, and that nothing of either is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use cnx_transport::layout::FailReason;

use crate::driver::{Lane, Plan, plain};
use crate::h2_peers::{H2Client, h2_upstream, h2_upstream_after};
use crate::peers::{Message, Upstream, Wire, upstream};

const FIRST: i32 = 1;
const HEDGE: i32 = 2;
/// Bits of FAILED: the other goes on; and it was the hedge.
const FIRST_LOST: i32 = 4;
const HEDGE_LOST: i32 = 12;

fn get(lane: &Lane, path: &str) -> Message {
    let mut wire = Wire::to(lane.port);
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    wire.answer().expect("an answer")
}

/// An upstream, and how many requests it has read.
struct Gated(Upstream, Arc<AtomicUsize>);

impl std::ops::Deref for Gated {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.0
    }
}

/// Answers once `gate` is open, with its own name and `status`; before that it only reads.
fn gated(name: &'static str, status: u16, gate: Arc<AtomicBool>) -> Gated {
    let asked = Arc::<AtomicUsize>::default();
    let counted = asked.clone();
    let upstream = upstream(move |mut wire, _| {
        while let Some(request) = wire.request() {
            counted.fetch_add(1, SeqCst);
            while !gate.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(2));
            }
            let whole = request.whole;
            let body = format!("{name} {} {whole}", String::from_utf8_lossy(&request.body));
            wire.send(format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
    });
    Gated(upstream, asked)
}

/// Reads a request, and closes once `gate` is open.
fn leaving(gate: Arc<AtomicBool>) -> Upstream {
    upstream(move |mut wire, _| {
        wire.request();
        while !gate.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
    })
}

fn open() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

fn shut() -> Arc<AtomicBool> {
    Arc::default()
}

fn lane(first: &Upstream, second: &Upstream) -> Lane {
    Plan::to(&[first.address, second.address]).start()
}

fn empties(lane: &Lane, upstream: &Upstream) {
    assert!(
        lane.until(|_| upstream.open.load(SeqCst) == 0),
        "connections of who lost are closed"
    );
}

#[test]
fn when_the_first_is_slow_the_second_wins_and_the_first_is_let_go() {
    let gate = shut();
    let (first, second) = (gated("first", 200, gate.clone()), gated("second", 200, open()));
    let lane = lane(&first, &second);
    for path in ["/h20/", "/H20/"] {
        for _ in 0..5 {
            let answer = get(&lane, path);
            assert_eq!((answer.status(), &answer.body[..6]), (200, &b"second"[..]));
        }
    }
    // What the loser says afterwards finds nobody.
    gate.store(true, SeqCst);
    empties(&lane, &first);
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!((seen.hedges, &seen.raced[..]), (10, &[HEDGE; 10][..]));
    assert!(seen.failed.is_empty() && seen.lost.is_empty());
    assert!(seen.slots <= 64, "slots of hedges are used again");
}

#[test]
fn when_the_first_is_quick_there_is_no_second() {
    let (first, second) = (gated("first", 200, open()), gated("second", 200, open()));
    let lane = lane(&first, &second);
    let mut wire = Wire::to(lane.port);
    for _ in 0..50 {
        wire.send("GET /h9000/ HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(&wire.answer().unwrap().body[..5], b"first");
    }
    drop(wire);
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().hedges, 0);
    assert_eq!(second.accepted.load(SeqCst), 0);
}

#[test]
fn a_first_that_answers_late_wins_when_the_second_has_not() {
    let gate = shut();
    let (first, second) = (gated("first", 200, gate.clone()), gated("second", 200, shut()));
    let lane = lane(&first, &second);
    for path in ["/h10/", "/H10/"] {
        gate.store(false, SeqCst);
        let before = second.accepted.load(SeqCst);
        let asks = std::thread::spawn({
            let port = lane.port;
            move || {
                let mut wire = Wire::to(port);
                wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                wire.answer().unwrap()
            }
        });
        assert!(
            lane.until(|_| second.accepted.load(SeqCst) > before),
            "the hedge is out"
        );
        gate.store(true, SeqCst);
        assert_eq!(&asks.join().unwrap().body[..5], b"first");
    }
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().raced, [FIRST; 2]);
}

#[test]
fn a_second_that_fails_changes_nothing_for_the_first() {
    let gate = shut();
    let first = gated("first", 200, gate.clone());
    let gone = upstream(|mut wire, _| drop(wire.request()));
    let garbage = upstream(|mut wire, _| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx");
    });
    for (address, reason) in [
        ("127.0.0.1:1".parse().unwrap(), FailReason::Connect),
        (gone.address, FailReason::Reset),
        (garbage.address, FailReason::Invalid),
        // To itself there is no hedge.
        (first.address, FailReason::Busy),
    ] {
        gate.store(false, SeqCst);
        let mut plan = Plan::to(&[first.address]);
        if address != first.address {
            plan.endpoints.push(plain(address));
        }
        let lane = plan.start();
        let mut wire = Wire::to(lane.port);
        wire.send("GET /h10/ HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(lane.until_seen(|seen| !seen.lost.is_empty()), "{reason:?}");
        gate.store(true, SeqCst);
        assert_eq!(&wire.answer().unwrap().body[..5], b"first");
        drop(wire);
        let seen = lane.end();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.lost, [(reason as i32, HEDGE_LOST, 0)]);
        assert!(seen.raced.is_empty(), "there was one when the head came");
    }
}

#[test]
fn when_the_first_fails_the_second_goes_on_alone() {
    let gate = shut();
    let second = gated("second", 200, gate.clone());
    // Closes when the second one has the request.
    let leave = shut();
    let first = leaving(leave.clone());
    let lane = lane(&first, &second);
    let mut wire = Wire::to(lane.port);
    wire.send("PUT /h10/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert!(lane.until(|_| second.accepted.load(SeqCst) == 1));
    leave.store(true, SeqCst);
    assert!(lane.until_seen(|seen| !seen.lost.is_empty()));
    gate.store(true, SeqCst);
    assert_eq!(wire.answer().unwrap().body, b"second body true");
    drop(wire);
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.lost, [(FailReason::Reset as i32, FIRST_LOST, 0)]);
    assert!(seen.failed.is_empty());
}

#[test]
fn when_both_fail_the_last_failure_is_told_as_any() {
    let (one, two) = (shut(), shut());
    let (first, second) = (leaving(one.clone()), leaving(two.clone()));
    let lane = lane(&first, &second);
    let mut wire = Wire::to(lane.port);
    // No method that may be sent twice, so that nothing is tried again after that.
    wire.send("POST /h10/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(lane.until(|_| second.accepted.load(SeqCst) == 1));
    one.store(true, SeqCst);
    assert!(lane.until_seen(|seen| !seen.lost.is_empty()));
    two.store(true, SeqCst);
    assert_eq!(wire.answer().unwrap().status(), 502);
    drop(wire);
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.lost, [(FailReason::Reset as i32, FIRST_LOST, 0)]);
    assert_eq!(seen.failed, [(FailReason::Reset as i32, false)]);
}

#[test]
fn a_gateway_error_is_passed_over_while_another_attempt_is_out_and_passes_when_it_is_the_last() {
    for (statuses, shown) in [
        ((503, 200), 200),
        ((200, 503), 200),
        ((502, 504), 504),
        ((500, 200), 500),
    ] {
        let (one, two) = (shut(), shut());
        let (first, second) = (
            gated("first", statuses.0, one.clone()),
            gated("second", statuses.1, two.clone()),
        );
        let lane = lane(&first, &second);
        for path in ["/h10/", "/H10/"] {
            one.store(false, SeqCst);
            two.store(false, SeqCst);
            let before = second.1.load(SeqCst);
            let mut wire = Wire::to(lane.port);
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert!(lane.until(|_| second.1.load(SeqCst) > before));
            let lost = lane.seen.lock().unwrap().lost.len();
            let order = if statuses.1 == 503 { [&two, &one] } else { [&one, &two] };
            order[0].store(true, SeqCst);
            if statuses.0 != 500 {
                assert!(lane.until_seen(|seen| seen.lost.len() > lost), "{statuses:?}");
                order[1].store(true, SeqCst);
            }
            assert_eq!(wire.answer().unwrap().status(), shown, "{statuses:?}");
        }
        let seen = lane.end();
        let seen = seen.lock().unwrap();
        if statuses.0 != 500 {
            let (bits, status) = if statuses.1 == 503 {
                (HEDGE_LOST, 503)
            } else {
                (FIRST_LOST, i32::from(statuses.0))
            };
            assert_eq!(seen.lost, [(FailReason::Invalid as i32, bits, status); 2]);
        }
        assert!(seen.failed.is_empty());
    }
}

#[test]
fn deadlines_of_one_attempt_end_it_and_the_deadline_of_all_ends_both() {
    let (first, second) = (gated("first", 200, shut()), gated("second", 200, shut()));
    for total_ms in [0, 300] {
        let mut plan = Plan::to(&[first.address, second.address]);
        // The hedge has to be out before the first one's time is.
        plan.head_ms = if total_ms == 0 { 3_000 } else { 20_000 };
        plan.total_ms = total_ms;
        let lane = plan.start();
        assert_eq!(get(&lane, "/h10/").status(), 502);
        let seen = lane.end();
        let seen = seen.lock().unwrap();
        let timeout = FailReason::Timeout as i32;
        assert_eq!(seen.failed, [(timeout, false)]);
        let lost: &[(i32, i32, i32)] = if total_ms == 0 {
            &[(timeout, FIRST_LOST, 0)]
        } else {
            &[]
        };
        assert_eq!(seen.lost, lost);
    }
}

#[test]
fn a_client_that_leaves_takes_both_with_it() {
    let waits = || {
        upstream(|mut wire, _| {
            wire.request();
            wire.ended();
        })
    };
    let (first, second) = (waits(), waits());
    let lane = lane(&first, &second);
    for count in 1..=10 {
        let mut wire = Wire::to(lane.port);
        wire.send("GET /h10/ HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(lane.until(|_| second.accepted.load(SeqCst) == count));
        drop(wire);
    }
    empties(&lane, &first);
    empties(&lane, &second);
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().aborted, 10);
}

#[test]
fn an_engine_that_closes_ends_each_exchange_once() {
    let (first, second) = (gated("first", 200, shut()), gated("second", 200, shut()));
    let mut lane = lane(&first, &second);
    let mut wires = Vec::new();
    for count in 1..=20 {
        let mut wire = Wire::to(lane.port);
        wire.send("GET /h10/ HTTP/1.1\r\nHost: a\r\n\r\n");
        wires.push(wire);
        assert!(lane.until(|_| second.accepted.load(SeqCst) == count));
    }
    lane.stop();
    let seen = lane.seen.lock().unwrap();
    assert_eq!((seen.begun, seen.aborted, seen.wrong.len()), (20, 20, 0));
}

#[test]
fn what_cannot_go_twice_has_no_hedge() {
    let gate = shut();
    let (first, second) = (gated("first", 200, gate.clone()), gated("second", 200, open()));
    let lane = lane(&first, &second);
    for request in [
        // A body that is not all here, one that is longer than what is kept, one that is promised after a 100, a gRPC call.
        format!("PUT /h10/ HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n{}", "x".repeat(30_000)),
        "PUT /h10/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n".to_owned(),
        "POST /h10/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "GET /h10/ HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_owned(),
    ] {
        let before = first.accepted.load(SeqCst);
        let mut wire = Wire::to(lane.port);
        wire.send(&request);
        assert!(lane.until(|_| first.accepted.load(SeqCst) > before), "{request:.40}");
        std::thread::sleep(Duration::from_millis(60));
    }
    gate.store(true, SeqCst);
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().hedges, 0);
    assert_eq!(second.accepted.load(SeqCst), 0);
}

#[test]
fn streams_of_http2_upstreams_win_and_are_reset() {
    let slow = Duration::from_secs(60);
    for speaking in [[true, false], [false, true], [true, true]] {
        let ((h2_slow, streams_seen), h2_quick) = (h2_upstream_after(slow), h2_upstream());
        let (h1_slow, h1_quick) = (gated("first", 200, shut()), gated("second", 200, open()));
        let first = if speaking[0] { &h2_slow } else { &h1_slow };
        let second = if speaking[1] { &h2_quick } else { &h1_quick };
        let mut plan = Plan::to(&[first.address, second.address]);
        plan.listen.http2 = true;
        for (place, http2) in speaking.into_iter().enumerate() {
            plan.endpoints[place].0.http2 = http2;
        }
        let lane = plan.start();
        let mut client = H2Client::to(lane.port, None);
        for round in 0..2 {
            let streams: Vec<u32> = (0..20)
                .map(|i| {
                    client.ask(
                        "PUT",
                        if i % 2 == round { "/h10/" } else { "/H10/" },
                        Some((9_000, false)),
                    )
                })
                .collect();
            for stream in streams {
                let got = client.end(stream);
                // What the first says before the hedge has won is passed on; of a hedge nothing is.
                let early = usize::from(speaking[0]);
                assert_eq!((got.status, got.reset), (200, None), "{speaking:?}");
                assert!(got.interim.len() <= early, "{speaking:?}: {:?}", got.interim);
            }
        }
        if speaking[0] {
            assert!(lane.until(|_| streams_seen.reset.load(SeqCst) == 40), "{speaking:?}");
        }
        drop(client);
        let seen = lane.end();
        let seen = seen.lock().unwrap();
        assert_eq!((seen.hedges, &seen.raced[..]), (40, &[HEDGE; 40][..]), "{speaking:?}");
    }
}

#[test]
fn http2_clients_that_reset_take_both_attempts_with_them() {
    let slow = Duration::from_secs(60);
    let ((first, its), (second, theirs)) = (h2_upstream_after(slow), h2_upstream_after(slow));
    let mut plan = Plan::to(&[first.address, second.address]);
    plan.listen.http2 = true;
    plan.endpoints[0].0.http2 = true;
    plan.endpoints[1].0.http2 = true;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    let streams: Vec<u32> = (0..20).map(|_| client.ask("GET", "/h10/", None)).collect();
    client.until("sent", |_| {
        its.begun.load(SeqCst) == 20 && theirs.begun.load(SeqCst) == 20
    });
    for stream in streams {
        client.client.reset(stream, 8);
    }
    client.until("ended", |_| lane.open().0 == 0);
    assert!(lane.until(|_| its.reset.load(SeqCst) == 20 && theirs.reset.load(SeqCst) == 20));
    drop(client);
    lane.end();
}

#[test]
fn whatever_happens_each_exchange_ends_once_and_no_connection_stays() {
    // Answers, fails or stays silent, by the number of the request.
    let fickle = |salt: usize| {
        let count = AtomicUsize::new(salt);
        upstream(move |mut wire, _| {
            while wire.request().is_some() {
                let n = count.fetch_add(1, SeqCst).wrapping_mul(2_654_435_761) >> 7;
                std::thread::sleep(Duration::from_millis((n % 23) as u64));
                match n % 7 {
                    0 => return,
                    1 => wire.send("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"),
                    2 => wire.send("HTTP/1.1 103 X\r\nLink: a\r\n\r\nHTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\nx"),
                    3 => {
                        wire.ended();
                        return;
                    }
                    _ => wire.send("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
                };
            }
        })
    };
    let (first, second) = (fickle(1), fickle(500));
    let mut plan = Plan::to(&[first.address, second.address]);
    plan.head_ms = 150;
    plan.endpoints[0].0.connections_max = 6;
    plan.endpoints[1].0.connections_max = 3;
    let lane = plan.start();
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let port = lane.port;
            std::thread::spawn(move || {
                for round in 0..40 {
                    let mut wire = Wire::to(port);
                    let path = if (number + round) % 2 == 0 { "/h4/" } else { "/H4/" };
                    wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                    if (number * 7 + round) % 5 == 0 {
                        std::thread::sleep(Duration::from_millis(round as u64 % 9));
                    } else {
                        let status = wire.answer().map(|answer| answer.status());
                        assert!(matches!(status, Some(103 | 200 | 502 | 503)), "{status:?}");
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let hedges = lane.seen.lock().unwrap().hedges;
    assert!(hedges > 20, "{hedges}");
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert!(seen.raced.contains(&FIRST) && seen.raced.contains(&HEDGE));
    assert!(!seen.lost.is_empty());
}

#[test]
fn a_body_that_takes_longer_than_the_delay_is_waited_for() {
    let (first, second) = (gated("first", 200, shut()), gated("second", 200, open()));
    let lane = lane(&first, &second);
    let mut wire = Wire::to(lane.port);
    wire.send("PUT /h5/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
    assert!(lane.until(|_| first.accepted.load(SeqCst) == 1));
    std::thread::sleep(Duration::from_millis(60));
    wire.send("dy");
    assert_eq!(wire.answer().unwrap().body, b"second body true");
    drop(wire);
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().hedges, 1);
}

#[test]
fn answers_without_a_body_that_hedges_bring_leave_pipelines_in_step() {
    let first = gated("first", 200, shut());
    let bare = |http2: bool| {
        if http2 {
            return h2_upstream();
        }
        upstream(|mut wire, _| {
            while let Some(request) = wire.request() {
                let path = request.path().to_owned();
                wire.send(if request.head.starts_with("HEAD ") {
                    "HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n"
                } else if path.ends_with("204") {
                    "HTTP/1.1 204 X\r\n\r\n"
                } else if path.ends_with("304") {
                    "HTTP/1.1 304 X\r\nContent-Length: 9\r\nETag: \"a\"\r\n\r\n"
                } else {
                    "HTTP/1.1 103 X\r\nLink: a\r\n\r\nHTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                });
            }
        })
    };
    for how in ["h5", "H5"] {
        let second = bare(false);
        let lane = lane(&first, &second);
        let mut wire = Wire::to(lane.port);
        for (method, rest) in [
            ("HEAD", "a"),
            ("GET", "204"),
            ("GET", "304"),
            ("HEAD", "304"),
            ("GET", "a"),
        ] {
            wire.send(format!("{method} /{how}/{rest} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        for status in [200, 204, 304] {
            assert_eq!(wire.bare().unwrap().status(), status, "{how}");
        }
        assert_eq!(wire.bare().unwrap().status(), 200, "{how}");
        // What a hedge says before its answer is no promise.
        let last = wire.answer().unwrap();
        assert_eq!((last.status(), &last.body[..]), (200, &b"ok"[..]), "{how}");
        drop(wire);
        assert_eq!(lane.end().lock().unwrap().raced, [HEDGE; 5]);
    }
    let second = bare(true);
    let mut plan = Plan::to(&[first.address, second.address]);
    plan.listen.http2 = true;
    plan.endpoints[1].0.http2 = true;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    for (method, path, length) in [
        ("HEAD", "/h5/a", 0),
        ("GET", "/H5/large", 1_000_000),
        ("PUT", "/h5/a", 3_000),
        ("HEAD", "/H5/a", 0),
    ] {
        let body = (method == "PUT").then_some((3_000, true));
        let stream = client.ask(method, path, body);
        let got = client.end(stream);
        assert_eq!(
            (got.status, got.body, got.reset),
            (200, length, None),
            "{method} {path}"
        );
    }
    drop(client);
    assert_eq!(lane.end().lock().unwrap().raced, [HEDGE; 4]);
}

//! Bounds and deadlines: each is made small enough to be met.

use std::io::{Read, Write};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use cnx_transport::engine::options::Cidr;
use cnx_transport::layout::{FailReason, Fault};

use crate::driver::Plan;
use crate::gone::within_one_turn;
use crate::peers::{Wire, obedient, upstream};

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn slow_clients_are_refused_or_left() {
    let upstream = obedient();
    // Request so far, how long a head may take, and what is said of it.
    for (text, head_ms, status, fault) in [
        ("", 100, None, None),
        // Its first bytes have that long, too.
        ("GET / HTTP/1.1\r\nHost", 4_000, Some(400), Some(Fault::RequestTimeout)),
        (
            "POST /i100/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
            20_000,
            Some(400),
            Some(Fault::RequestTimeout),
        ),
        (
            "POST /f0/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
            20_000,
            Some(400),
            Some(Fault::RequestTimeout),
        ),
    ] {
        let mut plan = Plan::to(&[upstream.address]);
        let o = &mut plan.options;
        (o.head_ms, o.idle_ms, o.handshake_ms, o.collect_ms, o.linger_ms) = (head_ms, 100, 100, 100, 100);
        (o.body_rate_ms, o.body_rate_min) = (100, 1_000);
        let lane = plan.start();
        let mut wire = Wire::to(lane.port);
        wire.send(text);
        assert_eq!(wire.answer().map(|a| a.status()), status, "{text}");
        assert!(wire.ended(), "{text}");
        let seen = lane.end();
        assert_eq!(
            seen.lock().unwrap().faults.last().copied(),
            fault.map(|f| f as i32),
            "{text}"
        );
    }
}

#[test]
fn a_client_that_takes_nothing_holds_little_memory_and_is_left() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let upstream = upstream({
        let sent = sent.clone();
        move |mut wire, _| {
            if wire.request().is_some() {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n");
                let piece = vec![b'y'; 64 * 1024];
                while wire.stream.write_all(&piece).is_ok() {
                    sent.fetch_add(piece.len(), SeqCst);
                }
            }
        }
    });
    let mut plan = Plan::to(&[upstream.address]);
    plan.options.write_ms = 700;
    let lane = plan.start();
    let mut wire = Wire::to(lane.port);
    wire.send("GET /f0/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(lane.until_seen(|seen| seen.aborted == 1));
    // What sockets' buffers hold on both sides, and a little more.
    assert!(
        sent.load(SeqCst) < 40_000_000,
        "{} bytes were taken for nobody",
        sent.load(SeqCst)
    );
    drop(wire);
    lane.end();
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_reader_that_is_always_behind_costs_no_memory() {
    const SIZE: usize = 200_000_000;
    let upstream = upstream(|mut wire, _| {
        if wire.request().is_some() {
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
            let piece = vec![b'y'; 64 * 1024];
            let mut left = SIZE;
            while left > 0 {
                let n = left.min(piece.len());
                if wire.stream.write_all(&piece[..n]).is_err() {
                    return;
                }
                left -= n;
            }
            wire.ended();
        }
    });
    let lane = Plan::to(&[upstream.address]).start();
    let mut wire = Wire::to(lane.port);
    wire.send("GET /f0/ HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut room = vec![0; 100_000];
    let (mut got, mut first) = (0, 0);
    while got < SIZE {
        let n = wire.stream.read(&mut room).unwrap();
        assert!(n > 0, "cut after {got}");
        got += n;
        if first == 0 && got > SIZE / 10 {
            first = resident();
        }
        if got % 7 == 0 {
            std::thread::yield_now();
        }
    }
    // Other tests run in this process: what is looked for is a body that stays.
    assert!(resident() < first + SIZE * 3 / 4, "{} then {}", first, resident());
    drop(wire);
    lane.end();
}

#[test]
fn an_upstream_that_takes_nothing_holds_the_client() {
    let upstream = upstream(|mut wire, _| {
        let _ = wire.head();
        std::thread::sleep(Duration::from_millis(800));
    });
    let mut plan = Plan::to(&[upstream.address]);
    plan.head_ms = 300;
    let lane = plan.start();
    let mut wire = Wire::to(lane.port);
    wire.send("POST /f0/ HTTP/1.1\r\nHost: a\r\nContent-Length: 200000000\r\n\r\n");
    wire.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while let Ok(n @ 1..) = wire.stream.write(&[b'z'; 64 * 1024]) {
        sent += n;
        if sent > 100_000_000 {
            break;
        }
    }
    assert!(sent < 60_000_000, "{sent} bytes were taken for nobody");
    drop(wire);
    lane.end();
}

#[test]
fn connections_are_bounded_in_all_and_by_address() {
    let mut plan = Plan::to(&[]);
    plan.options.connections_max = 3;
    let lane = plan.start();
    let mut wires: Vec<Wire> = (0..3).map(|_| Wire::to(lane.port)).collect();
    for wire in &mut wires {
        assert_eq!(wire.send(GET).answer().unwrap().status(), 200);
    }
    assert!(Wire::to(lane.port).send(GET).answer().is_none());
    wires.pop();
    assert!(lane.until(|lane| lane.open().1 == 2));
    assert!(Wire::to(lane.port).send(GET).answer().is_some());
    drop(wires);
    lane.end();
}

#[test]
fn a_balancers_connections_count_for_whom_it_names() {
    let mut plan = Plan::to(&[]);
    plan.options.connections_per_address_max = 1;
    plan.listen.proxy_from = vec![Cidr {
        address: "127.0.0.1".parse().unwrap(),
        bits: 32,
    }];
    let lane = plan.start();
    let line = |n: u8| format!("PROXY TCP4 10.0.0.{n} 10.0.1.1 1000 80\r\n{GET}");
    let mut one = Wire::to(lane.port);
    assert_eq!(one.send(line(1)).answer().unwrap().status(), 200);
    assert!(
        Wire::to(lane.port).send(line(1)).answer().is_none(),
        "a second one of the same client"
    );
    let mut other = Wire::to(lane.port);
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x02\x0a\0\x01\x01\x03\xe8\0\x50".to_vec();
    binary.extend_from_slice(GET.as_bytes());
    for byte in binary {
        other.send([byte]);
    }
    assert_eq!(other.answer().unwrap().status(), 200);
    for broken in [GET, "PROXY TCP4 x y 1 2\r\n"] {
        assert!(Wire::to(lane.port).send(broken).answer().is_none(), "{broken}");
    }
    drop((one, other));
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().peers, [[10, 0, 0, 1], [10, 0, 0, 2]]);
}

#[test]
fn a_proxy_header_of_a_stranger_is_no_request() {
    let lane = Plan::to(&[]).start();
    let mut wire = Wire::to(lane.port);
    assert_eq!(
        wire.send(format!("PROXY TCP4 10.0.0.1 10.0.1.1 1000 80\r\n{GET}"))
            .answer()
            .unwrap()
            .status(),
        400
    );
    drop(wire);
    lane.end();
}

#[test]
fn who_waits_for_a_full_pool_waits_in_a_bounded_queue() {
    let upstream = obedient();
    let mut plan = Plan::to(&[upstream.address]);
    plan.endpoints[0].0.connections_max = 1;
    plan.endpoints[0].0.waiting_max = Some(2);
    plan.head_ms = 400;
    let lane = plan.start();
    let mut wires: Vec<Wire> = (0..6).map(|_| Wire::to(lane.port)).collect();
    // At once, before any of them has waited too long.
    within_one_turn(&lane, || {
        for wire in &mut wires {
            wire.send("POST /f0/never HTTP/1.1\r\nHost: a\r\n\r\n");
        }
    });
    for wire in &mut wires {
        assert_eq!(wire.answer().unwrap().status(), 502);
    }
    drop(wires);
    let seen = lane.end();
    let failed = &seen.lock().unwrap().failed;
    assert!(failed.iter().any(|f| f.0 == FailReason::Busy as i32), "{failed:?}");
    assert!(failed.iter().any(|f| f.0 == FailReason::Timeout as i32), "{failed:?}");
    assert!(upstream.accepted.load(SeqCst) <= 4);
}

#[test]
fn bodies_beyond_the_bound_are_refused() {
    let upstream = obedient();
    let mut plan = Plan::to(&[upstream.address]);
    plan.body_max = 10;
    let lane = plan.start();
    for (framing, stays) in [
        ("Content-Length: 11\r\n\r\nabcdefghijk", false),
        ("Transfer-Encoding: chunked\r\n\r\nb\r\nabcdefghijk\r\n0\r\n\r\n", false),
        ("Content-Length: 10\r\n\r\nabcdefghij", true),
    ] {
        let mut wire = Wire::to(lane.port);
        wire.send(format!("POST /f0/echo HTTP/1.1\r\nHost: a\r\n{framing}"));
        assert_eq!(
            wire.answer().unwrap().status(),
            if stays { 200 } else { 400 },
            "{framing}"
        );
        assert_eq!(wire.send(GET).answer().is_some(), stays, "{framing}");
    }
    let seen = lane.end();
    assert_eq!(seen.lock().unwrap().faults, [Fault::BodyTooLarge as i32; 2]);
}

#[test]
fn bodies_whose_answers_have_begun_leave_room_for_others() {
    let upstream = upstream(|mut wire, _| {
        while let Some(request) = wire.request() {
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
            if request.path().ends_with("/endless") {
                // An event stream: it goes on for as long as its client wants.
                wire.ended();
                return;
            }
            wire.send("0\r\n\r\n");
        }
    });
    let mut plan = Plan::to(&[upstream.address]);
    plan.options.collected_bytes_max = 250_000;
    let lane = plan.start();
    let post = |wire: &mut Wire, path: &str| {
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
        ));
        wire.send(vec![b'b'; 100_000]);
        wire.head().unwrap().status()
    };
    let mut streams: Vec<Wire> = (0..4).map(|_| Wire::to(lane.port)).collect();
    for wire in &mut streams {
        assert_eq!(post(wire, "/i1000000/endless"), 200);
    }
    assert_eq!(post(&mut Wire::to(lane.port), "/i1000000/short"), 200);
    drop(streams);
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert_eq!((seen.bodies.len(), seen.faults.len()), (5, 0));
}

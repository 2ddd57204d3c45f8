//! Many clients do many things at once, in an order that a seed gives, to upstreams that do the same: whatever happens, each exchange ends once and nothing
//! stays open.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::driver::{PATIENCE, Plan};
use crate::peers::{Wire, obedient};
use cnx_transport::layout::CHUNK_SLOTS;

const CLIENTS: u64 = 12;
const STEPS: usize = 60;

struct Chance(u64);

impl Chance {
    fn of(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

const PATHS: [&str; 24] = [
    "/f0/len/3",
    "/f0/len/400000",
    "/f0/chunk/9",
    "/f0/until/70000",
    "/f0/close",
    "/f0/none/204",
    "/f0/hints",
    "/f0/cut",
    "/f0/extra",
    "/f0/gone",
    "/f0/garbage",
    "/f0/two",
    "/f0/never",
    "/f0/early",
    "/f0/echo",
    "/f1/any",
    "/f9/any",
    "/r0",
    "/r1",
    "/r2",
    "/a",
    "/i5/echo",
    "/w/echo",
    "/n",
];

fn hurried(port: u16) -> Wire {
    let wire = Wire::to(port);
    wire.stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    wire.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    wire
}

fn client(port: u16, seed: u64) {
    let mut chance = Chance(seed);
    let mut wire = hurried(port);
    for _ in 0..STEPS {
        match chance.of(12) {
            0 => {
                if chance.of(2) == 0 {
                    let _ = rustix::net::sockopt::set_socket_linger(&wire.stream, Some(Duration::ZERO));
                }
                wire = hurried(port);
            }
            1 => wire.half_close(),
            2 | 3 => {
                if wire.answer().is_none() {
                    wire = hurried(port);
                }
            }
            4 => {
                wire.send(["x", "\r\n", "GET / HT", "\0\r\n\r\n"][chance.of(4)]);
            }
            5 => std::thread::sleep(Duration::from_millis(chance.of(20) as u64)),
            _ => {
                let path = PATHS[chance.of(PATHS.len())];
                let size = [0, 5, 3_000, 300_000][chance.of(4)];
                let body = "b".repeat(size);
                match chance.of(4) {
                    0 => wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")),
                    1 => wire.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{body}")),
                    2 if size > 0 => wire.send(format!(
                        "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"
                    )),
                    // A body that lacks its end.
                    _ => wire.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", size + 1)),
                };
            }
        }
    }
}

#[test]
fn whatever_happens_each_exchange_ends_once() {
    for seed in [1, 2] {
        let upstream = obedient();
        let mut plan = Plan::to(&[upstream.address, "127.0.0.1:1".parse().unwrap()]);
        plan.endpoints[0].0.connections_max = 6;
        let o = &mut plan.options;
        (o.head_ms, o.idle_ms, o.collect_ms, o.linger_ms, o.decide_ms, o.write_ms) = (200, 200, 200, 100, 200, 300);
        (plan.connect_ms, plan.head_ms, plan.idle_ms) = (200, 150, 300);
        let lane = plan.start();
        let port = lane.port;
        let threads: Vec<_> = (0..CLIENTS)
            .map(|n| std::thread::spawn(move || client(port, seed * 1_000 + n)))
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let begun = std::time::Instant::now();
        while upstream.open.load(SeqCst) > 6 && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        let seen = lane.end();
        let seen = seen.lock().unwrap();
        assert!(seen.begun > CLIENTS as usize, "{}", seen.begun);
        // Each client may have one besides that has ended and is not free yet, and one that has not begun.
        let most = (seen.most_open + 2 * CLIENTS as usize).next_multiple_of(CHUNK_SLOTS);
        assert!(
            seen.slots <= most,
            "{} slots, {} open at once",
            seen.slots,
            seen.most_open
        );
    }
}

//! What becomes of clients that have not read all when the lane says goodbye.

use std::time::{Duration, Instant};

use crate::driver::{Lane, Plan};
use crate::h2_peers::{H2Client, speaking_h2};
use crate::peers::{Wire, obedient};

const LINGER_MS: u64 = 100;
const WRITE_MS: u64 = 800;
/// The client's kernel holds little of it, ours the rest.
const ANSWER: usize = 200_000;

/// A lane that drains, and a client that has heard goodbye, whose answer is out, and that has read little of it.
fn slow_reader() -> (Lane, H2Client, u32) {
    let upstream = obedient();
    let mut plan = speaking_h2(&upstream);
    plan.options.linger_ms = LINGER_MS;
    plan.options.write_ms = WRITE_MS;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, Some(256 * 1024));
    client.small_reads(4_096);
    let stream = client.ask("GET", &format!("/w/len/{ANSWER}"), None);
    client.turn();
    assert!(lane.until_seen(|seen| seen.begun == 1));
    lane.run(|engine| engine.drain());
    client.until("goodbye", |c| c.closing);
    client.turn();
    assert!(lane.until_seen(|seen| seen.finished == 1));
    (lane, client, stream)
}

#[test]
fn who_reads_slowly_gets_all_that_was_said_before_the_end() {
    let (lane, mut client, stream) = slow_reader();
    let begun = Instant::now();
    while !client.got[&stream].ended {
        client.turn();
        assert!(!client.over || client.got[&stream].ended, "it has {:?}", client.got);
        // All of it takes longer than any of the deadlines.
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(
        begun.elapsed() > Duration::from_millis(WRITE_MS),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(client.got[&stream].body, ANSWER);
    drop(client);
    lane.end();
}

#[test]
fn who_reads_nothing_is_left() {
    let (lane, client, _) = slow_reader();
    assert_eq!(lane.run(|engine| engine.leaving()), 1);
    assert!(lane.until(|lane| lane.open().1 == 0));
    assert_eq!(lane.run(|engine| engine.leaving()), 0);
    drop(client);
    lane.end();
}

#[test]
fn who_waits_for_nothing_holds_up_no_end() {
    let upstream = obedient();
    let mut plan = Plan::to(&[upstream.address]);
    plan.listen.http2 = true;
    plan.options.linger_ms = LINGER_MS;
    let lane = plan.start();
    let mut kept_alive = Wire::to(lane.port);
    kept_alive.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(kept_alive.answer().unwrap().status(), 200);
    let mut idle = H2Client::to(lane.port, None);
    let stream = idle.ask("GET", "/a", None);
    idle.end(stream);
    let mut asleep = H2Client::to(lane.port, None);
    let stream = asleep.ask("GET", "/a", None);
    asleep.end(stream);
    lane.run(|engine| engine.drain());
    assert_eq!(lane.run(|engine| engine.leaving()), 2);
    idle.until("the end", |c| c.over);
    // One does not even say that it has heard goodbye.
    assert!(lane.until(|lane| lane.run(|engine| engine.leaving()) == 0));
    // A request may be on its way.
    assert_eq!(lane.open().1, 1);
    drop((kept_alive, idle, asleep));
    lane.end();
}

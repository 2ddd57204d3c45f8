//! What becomes of clients that have not read all when the lane says goodbye.

use std::time::{Duration, Instant};

use crate::driver::{Lane, Plan};
use crate::h2_peers::{H2Client, speaking_h2};
use crate::peers::{Wire, obedient, upstream};

const LINGER_MS: u64 = 100;
/// A client may stand still for 3 s, and the kernel then asks as late again whether it takes more.
const WRITE_MS: u64 = 7_000;
/// The client's kernel holds little of it, ours the rest.
const ANSWER: usize = 200_000;

/// A client whose answer is out and that has read little of it, and a lane that has said goodbye: because it drains, or because the connection is idle.
fn slow_reader(drains: bool) -> (Lane, H2Client, u32) {
    let upstream = obedient();
    let mut plan = speaking_h2(&upstream);
    plan.options.linger_ms = LINGER_MS;
    plan.options.write_ms = WRITE_MS;
    if !drains {
        plan.options.idle_ms = LINGER_MS;
    }
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, Some(256 * 1024));
    client.small_reads(8_192);
    let stream = client.ask("GET", &format!("/w/len/{ANSWER}"), None);
    client.turn();
    assert!(lane.until_seen(|seen| seen.begun == 1));
    if drains {
        lane.run(|engine| engine.drain());
        client.until("goodbye", |c| c.closing);
        client.turn();
    }
    assert!(lane.until_seen(|seen| seen.finished == 1));
    (lane, client, stream)
}

#[test]
fn who_reads_slowly_gets_all_that_was_said_before_the_end() {
    let reads = |drains: bool| {
        let (lane, mut client, stream) = slow_reader(drains);
        let begun = Instant::now();
        while !client.got[&stream].ended {
            client.turn();
            assert!(!client.over || client.got[&stream].ended, "{drains}: {:?}", client.got);
            std::thread::sleep(Duration::from_millis(350));
        }
        assert!(
            begun.elapsed() > Duration::from_millis(WRITE_MS),
            "all of it takes longer than any deadline: {:?}",
            begun.elapsed()
        );
        assert_eq!(client.got[&stream].body, ANSWER);
        drop(client);
        lane.end();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| reads(true));
        scope.spawn(|| reads(false));
    });
}

#[test]
fn who_reads_nothing_is_left() {
    let (lane, client, _) = slow_reader(true);
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
    let leaving = lane.run(|engine| {
        engine.drain();
        engine.leaving()
    });
    // An acknowledgement of the third may be on its way still.
    assert!(leaving >= 2);
    idle.until("the end", |c| c.over);
    // One does not even say that it has heard goodbye.
    assert!(lane.until(|lane| lane.run(|engine| engine.leaving()) == 0));
    // A request may be on its way.
    assert_eq!(lane.open().1, 1);
    drop((kept_alive, idle, asleep));
    lane.end();
}

#[test]
fn what_the_kernel_still_has_for_a_client_is_waited_for() {
    let upstream = obedient();
    // An answer before goodbye, one that ends its connection, and one after it.
    for (connection, after) in [("keep-alive", false), ("close", false), ("keep-alive", true)] {
        let mut plan = Plan::to(&[upstream.address]);
        plan.options.linger_ms = LINGER_MS;
        let lane = plan.start();
        let mut client = Wire::to(lane.port);
        rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 16_384).unwrap();
        client.send(format!(
            "GET /w/len/{ANSWER} HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n"
        ));
        if after {
            assert!(lane.until_seen(|seen| seen.begun == 1));
            lane.run(|engine| engine.drain());
        }
        // The exchange is over when the kernel has all.
        assert!(lane.until_seen(|seen| seen.finished == 1));
        if !after {
            lane.run(|engine| engine.drain());
        }
        std::thread::sleep(Duration::from_millis(5 * LINGER_MS));
        assert_eq!(
            lane.run(|engine| engine.leaving()),
            1,
            "{connection}, after goodbye: {after}"
        );
        assert_eq!(client.answer().unwrap().body.len(), ANSWER);
        assert!(lane.until(|lane| lane.run(|engine| engine.leaving()) == 0));
        drop(client);
        lane.end();
    }
}

#[test]
fn who_has_all_and_asks_for_nothing_more_is_not_lingered_for() {
    let upstream = obedient();
    let mut plan = Plan::to(&[upstream.address]);
    // A connection that is lingered for outlives the test.
    plan.options.linger_ms = 3_600_000;
    let lane = plan.start();
    let ask = |text: &str| {
        let mut client = Wire::to(lane.port);
        client.send(text);
        assert_eq!(client.answer().unwrap().status(), 200);
        assert!(client.ended());
        client
    };
    // Whether its system has said that it has the answer when the engine asks is up to it.
    for said in [
        "GET /f0/w/len/5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
    ] {
        let clients = [(); 50].map(|()| ask(said));
        assert!(lane.until(|lane| lane.open().1 < clients.len()), "{said}");
        drop(clients);
        assert!(lane.until(|lane| lane.open().1 == 0), "{said}");
    }
    // Who says more all the same would lose the answer by a close.
    let talkative = ask("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(lane.open().1, 1);
    drop(talkative);
    lane.end();
}

#[test]
fn who_has_said_more_than_its_last_request_is_not_reset() {
    // Its answer comes while the lane is held up, and so does what it says beyond.
    let (answer, answered) = std::sync::mpsc::channel::<()>();
    let answered = std::sync::Mutex::new(answered);
    let upstream = upstream(move |mut wire, _| {
        if wire.request().is_some() {
            answered.lock().unwrap().recv().unwrap();
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody");
        }
    });
    let lane = Plan::to(&[upstream.address]).start();
    let table = [
        ("POST /f0/ HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "\r\n"),
        (
            "GET /f0/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
    ];
    for (asked, beyond) in table {
        let mut client = Wire::to(lane.port);
        client.send(asked);
        assert!(lane.until_seen(|seen| seen.begun > seen.finished));
        // The upstream has the request.
        std::thread::sleep(Duration::from_millis(100));
        lane.post(|_| std::thread::sleep(Duration::from_millis(300)));
        answer.send(()).unwrap();
        client.send(beyond);
        let mut got = Vec::new();
        std::io::Read::read_to_end(&mut client.stream, &mut got).expect("an end, not a reset");
        assert!(got.ends_with(b"body"), "{asked}");
        drop(client);
    }
    lane.end();
}

//! The engine without JavaScript: everything goes to one endpoint. For profiles and for the limit of what the lane can reach.
//! `proxy <listen> <upstream>`, e.g. `proxy 127.0.0.1:8080 127.0.0.1:9000`.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use cnx_transport::engine::Engine;
use cnx_transport::engine::options::{EndpointPlan, ListenPlan, Options};
use cnx_transport::layout::{EVENT_WORDS, SLOT_BYTES, event, verdict, word};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut address = || -> SocketAddr {
        arguments
            .next()
            .and_then(|text| text.parse().ok())
            .expect("proxy <listen> <upstream>, both as address:port")
    };
    let (listen, upstream) = (address(), address());
    let mut engine = Engine::new(Options::default(), Vec::new())?;
    let endpoint = engine.endpoint(EndpointPlan {
        tls: None,
        connections_max: 1024,
        waiting_max: None,
        http2: false,
    });
    engine.set_addresses(endpoint, &[upstream]);
    engine.listen(ListenPlan {
        http2: true,
        ..ListenPlan::plain(listen)
    })?;
    let mut ticked = Instant::now();
    loop {
        wait(engine.epoll_fd(), 100);
        while turn(&mut engine, endpoint) {}
        if ticked.elapsed() > Duration::from_millis(100) {
            ticked = Instant::now();
            engine.tick();
        }
    }
}

#[allow(unsafe_code)]
fn wait(fd: i32, ms: i64) {
    // SAFETY: the engine outlives the call.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(
        fd,
        rustix::event::PollFlags::IN,
    )];
    let timeout = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: ms * 1_000_000,
    };
    let _ = rustix::event::poll(&mut fds, Some(&timeout));
}

#[allow(unsafe_code)]
fn turn(engine: &mut Engine, endpoint: u32) -> bool {
    let more = engine.poll();
    let (memory, count) = engine.events();
    let mut begun = Vec::with_capacity(count);
    for i in 0..count {
        // SAFETY: within the list; the engine does not run now.
        let row = unsafe { std::slice::from_raw_parts(memory.at().cast::<i32>().add(i * EVENT_WORDS), EVENT_WORDS) };
        if row[0] == event::BEGIN {
            begun.push(row[1] as u32);
        }
    }
    engine.told();
    for slot in begun {
        let chunk = engine.chunk(slot as usize / 64).expect("a slot lies in a chunk");
        // SAFETY: within the slot's record; the engine does not run now.
        unsafe {
            let record = chunk.at().add(slot as usize % 64 * SLOT_BYTES).cast::<i32>();
            let target = b"/";
            let edits = record.cast::<u8>().add(cnx_transport::layout::EDITS_AT);
            edits.copy_from_nonoverlapping(target.as_ptr(), 1);
            edits.add(1).copy_from_nonoverlapping(b"upstream".as_ptr(), 8);
            for (at, value) in [
                (word::VERDICT, verdict::FORWARD),
                (word::CHOICE, endpoint as i32),
                (word::TARGET_AT, 0),
                (word::TARGET_AT + 1, 1),
                (word::AUTHORITY_AT, 1),
                (word::AUTHORITY_AT + 1, 8),
                (word::REQUEST_EDITS_AT, 0),
                (word::REQUEST_EDITS_AT + 1, 0),
                (word::ANSWER_EDITS_AT, 0),
                (word::ANSWER_EDITS_AT + 1, 0),
                (word::CONNECT_MS, 2_000),
                (word::HEAD_MS, 10_000),
                (word::IDLE_MS, 0),
                (word::BODY_MAX, -1),
                (word::BODY_MAX + 1, 0x1f_ffff),
            ] {
                record.add(at).write(value);
            }
        }
        engine.apply(slot);
    }
    more || count > 0
}

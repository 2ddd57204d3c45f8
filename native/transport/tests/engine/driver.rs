//! An engine in a thread, driven as the lane drives it: events are read from memory, heard, told, and answered by verdicts that the first part of a path
//! says. What is heard is checked: one end for each begin, and nothing after it.
//!
//! `/f0/…` forward to endpoint 0 · `/r2` refuse with row 2 · `/a`, `/a204` answer ourselves · `/i100/…` collect 100 bytes of the body, then forward to
//! endpoint 0 · `/s` fail what waits for endpoint 1, refuse · `/w/…` wait, then forward to endpoint 0 · `/n` decide nothing.
//!
//! These forward to endpoint 0 and ask to see the answer: `/p/…` it passes · `/j100/…` collect 100 bytes of its body, then it passes · `/q100/…` collect, then
//! refuse with row 2 · `/x2/…` refuse with row 2 · `/v/…` wait, then it passes · `/o/…` decide nothing about it ·
//! `/d/…` every byte of its body twice, and one more at its end · `/m100/…` collect, then it passes, compressed by plan 1 · `/e100/…` collect, then
//! it passes by a filter that cannot go on.
//!
//! `/u/…` forward to endpoint 0 with `x-user: ours`, and without the answer's `x-secret`.
//!
//! `/h50/…` forward to endpoint 0, and after 50 ms without a head to endpoint 1 as well · `/H50/…` the same, and ask to see the answer.
//!
//! `/k/…` compress by plan 1 what endpoint 0 answers · `/b1000` so many bytes of our own, of plan 1 too · `/y3` what is kept by number 3, of plan 1 too,
//! but for its first byte.

mod decide;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cnx_transport::engine::Engine;
use cnx_transport::engine::options::{EndpointPlan, ListenPlan, Options, RefusalTemplate};
use cnx_transport::layout::{CHUNK_SLOTS, EVENT_WORDS, event, verdict, word};

/// Rows of refusals: an upstream that failed, a broken request; row 2 keeps the connection.
pub const FAILED: i32 = 0;
pub const BROKEN: i32 = 1;

const WAIT: Duration = Duration::from_millis(30);
/// Longer than any pause of a busy machine, as the deadlines of `Plan::to` are.
pub const PATIENCE: Duration = Duration::from_secs(30);

type Command = Box<dyn FnOnce(&mut Engine) + Send>;

#[derive(Default)]
pub struct Seen {
    pub begun: usize,
    pub finished: usize,
    pub aborted: usize,
    /// Of these, the ones that the upstream is blamed for.
    pub blamed: usize,
    /// Reasons of FAILED events, and whether they may be sent again.
    pub failed: Vec<(i32, bool)>,
    /// FAILED events of one of two attempts: reason, bits, status.
    pub lost: Vec<(i32, i32, i32)>,
    /// HEDGE events; and who of two attempts has brought the head.
    pub hedges: usize,
    pub raced: Vec<i32>,
    /// Faults of REFUSED events and of heads.
    pub faults: Vec<i32>,
    /// Bodies that were collected.
    pub bodies: Vec<Vec<u8>>,
    /// Heads of answers that were shown: status, known length, count of fields.
    pub shown: Vec<(i32, i32, i32)>,
    /// What was collected of answers: the state, and the bytes.
    pub answers: Vec<(i32, Vec<u8>)>,
    /// Addresses of clients, as records have them.
    pub peers: Vec<[u8; 4]>,
    pub wrong: Vec<String>,
    pub slots: usize,
    /// Most exchanges that were open at once.
    pub most_open: usize,
}

pub struct Lane {
    pub port: u16,
    pub seen: Arc<Mutex<Seen>>,
    exchanges: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// What a lane is made of.
pub struct Plan {
    pub options: Options,
    pub listen: ListenPlan,
    pub endpoints: Vec<(EndpointPlan, Vec<SocketAddr>)>,
    pub connect_ms: i32,
    pub head_ms: i32,
    pub idle_ms: i32,
    pub body_max: i64,
    pub total_ms: i32,
}

pub fn plain(address: SocketAddr) -> (EndpointPlan, Vec<SocketAddr>) {
    let plan = EndpointPlan {
        tls: None,
        connections_max: 64,
        waiting_max: None,
        http2: false,
    };
    (plan, vec![address])
}

impl Plan {
    pub fn to(upstreams: &[SocketAddr]) -> Plan {
        Plan {
            options: Options::default(),
            listen: ListenPlan {
                number: 7,
                ..ListenPlan::plain("127.0.0.1:0".parse().unwrap())
            },
            endpoints: upstreams.iter().map(|a| plain(*a)).collect(),
            connect_ms: 20_000,
            head_ms: 20_000,
            idle_ms: 20_000,
            body_max: i64::MAX,
            total_ms: 0,
        }
    }

    pub fn start(self) -> Lane {
        let (commands, inbox) = channel::<Command>();
        let (opened, port) = channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (exchanges, connections) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let thread = std::thread::spawn({
            let (seen, exchanges, connections) = (seen.clone(), exchanges.clone(), connections.clone());
            move || {
                let row = |status, close| RefusalTemplate {
                    status,
                    before_id: "refused ".into(),
                    after_id: ".".into(),
                    close,
                };
                let rows = vec![row(502, false), row(400, true), row(403, false)];
                let mut engine = Engine::new(self.options.clone(), rows).unwrap();
                for (endpoint, addresses) in &self.endpoints {
                    let number = engine.endpoint(endpoint.clone());
                    // Without any it is not resolved yet.
                    if !addresses.is_empty() {
                        engine.set_addresses(number, addresses);
                    }
                }
                opened.send(engine.listen(self.listen.clone()).unwrap()).unwrap();
                let mut driver = Driver {
                    engine,
                    plan: self,
                    seen,
                    open: HashMap::new(),
                    waiting: Vec::new(),
                };
                driver.run(&inbox, &exchanges, &connections);
            }
        });
        Lane {
            port: port.recv().unwrap(),
            seen,
            exchanges,
            connections,
            commands,
            thread: Some(thread),
        }
    }
}

impl Lane {
    /// Done when the lane comes to it.
    pub fn post(&self, command: impl FnOnce(&mut Engine) + Send + 'static) {
        self.commands.send(Box::new(command)).unwrap();
    }

    /// Done when it returns; what the engine said.
    pub fn run<T: Send + 'static>(&self, command: impl FnOnce(&mut Engine) -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        self.post(move |engine| tell.send(command(engine)).unwrap());
        told.recv().unwrap()
    }

    pub fn open(&self) -> (usize, usize) {
        (self.exchanges.load(SeqCst), self.connections.load(SeqCst))
    }

    /// Waits until a condition holds; false when it does not in time.
    pub fn until(&self, holds: impl Fn(&Lane) -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if holds(self) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        false
    }

    pub fn until_seen(&self, holds: impl Fn(&Seen) -> bool) -> bool {
        self.until(|lane| holds(&lane.seen.lock().unwrap()))
    }

    /// All has ended, all was told, nothing is left.
    pub fn end(mut self) -> Arc<Mutex<Seen>> {
        let quiet = self.until(|lane| lane.open() == (0, 0));
        assert!(quiet, "still open: exchanges and connections {:?}", self.open());
        self.stop();
        let seen = self.seen.clone();
        {
            let seen = seen.lock().unwrap();
            assert_eq!(seen.wrong, Vec::<String>::new());
            assert_eq!(seen.begun, seen.finished + seen.aborted, "an end for each begin");
        }
        seen
    }

    /// The engine goes without waiting for anybody.
    pub fn stop(&mut self) {
        let (none, _) = channel();
        self.commands = none;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the engine does not panic");
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

struct Driver {
    engine: Engine,
    plan: Plan,
    seen: Arc<Mutex<Seen>>,
    /// Of each slot that is open: generation, path, attempts.
    open: HashMap<u32, (i32, String, u32)>,
    waiting: Vec<(Instant, u32, i32)>,
}

impl Driver {
    fn run(&mut self, inbox: &Receiver<Command>, exchanges: &AtomicUsize, connections: &AtomicUsize) {
        let mut ticked = Instant::now();
        loop {
            if !self.engine.has_work() {
                wait(self.engine.epoll_fd(), 5);
            }
            self.turns();
            if ticked.elapsed() >= Duration::from_millis(20) {
                ticked = Instant::now();
                self.engine.tick();
            }
            let now = Instant::now();
            while let Some(place) = self.waiting.iter().position(|(due, ..)| *due <= now) {
                let (_, slot, generation) = self.waiting.swap_remove(place);
                if let Some((_, path, _)) = self.open.get(&slot).filter(|(g, ..)| *g == generation) {
                    if path.starts_with("/v") {
                        self.pass(slot);
                    } else {
                        self.forward(slot, i32::from(path.starts_with("/c")));
                    }
                    self.engine.apply(slot);
                }
            }
            // Whoever has heard of a command reads what was so before it, not a turn ago.
            self.publish(exchanges, connections);
            loop {
                match inbox.try_recv() {
                    Ok(command) => command(&mut self.engine),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                        self.engine.close();
                        self.turns();
                        if !self.open.is_empty() {
                            self.wrong(format!("no end for {} after close", self.open.len()));
                        }
                        return;
                    }
                }
            }
            self.turns();
            self.publish(exchanges, connections);
        }
    }

    fn publish(&self, exchanges: &AtomicUsize, connections: &AtomicUsize) {
        exchanges.store(self.engine.open_exchanges(), SeqCst);
        connections.store(self.engine.open_connections(), SeqCst);
    }

    fn turns(&mut self) {
        for _ in 0..64 {
            if !self.turn() {
                return;
            }
        }
    }

    #[allow(unsafe_code)]
    fn turn(&mut self) -> bool {
        let more = self.engine.poll();
        let (memory, count) = self.engine.events();
        let mut decided = Vec::new();
        // Whatever ends within the turn has its slot until the turn was told.
        let mut at_once = self.open.len();
        for i in 0..count {
            // SAFETY: within the list; the engine does not run now.
            let row: [i32; EVENT_WORDS] = unsafe { memory.at().cast::<[i32; EVENT_WORDS]>().add(i).read() };
            at_once += usize::from(row[0] == event::BEGIN);
            if self.hear(row) {
                decided.push(row[1] as u32);
            }
        }
        self.engine.told();
        {
            let mut seen = self.seen.lock().unwrap();
            seen.most_open = seen.most_open.max(at_once);
        }
        for slot in decided {
            self.engine.apply(slot);
        }
        more || count > 0
    }

    fn wrong(&self, what: String) {
        self.seen.lock().unwrap().wrong.push(what);
    }

    /// True when a verdict was written.
    fn hear(&mut self, row: [i32; EVENT_WORDS]) -> bool {
        let (kind, slot, generation) = (row[0], row[1] as u32, row[2]);
        if kind == event::CHUNK {
            self.seen.lock().unwrap().slots += CHUNK_SLOTS;
            return false;
        }
        if kind == event::BEGIN {
            let path = self.path(slot);
            if self.open.insert(slot, (generation, path.clone(), 0)).is_some() {
                self.wrong(format!("slot {slot} begins twice"));
            }
            let fault = self.word(slot, word::FAULT);
            {
                let mut seen = self.seen.lock().unwrap();
                seen.begun += 1;
                seen.peers.push(self.word(slot, word::PEER_ADDRESS).to_ne_bytes());
                if fault != 0 {
                    seen.faults.push(fault);
                }
            }
            if fault != 0 {
                return self.refuse(slot, BROKEN);
            }
            return self.decide(slot, &path);
        }
        let Some((known, _, tries)) = self.open.get_mut(&slot) else {
            self.wrong(format!("event {kind} of slot {slot}, which is not open"));
            return false;
        };
        if *known != generation {
            let text = format!("event {kind} of slot {slot} with another generation");
            self.wrong(text);
            return false;
        }
        match kind {
            event::BODY => {
                let body = self.engine.body(slot).to_vec();
                self.seen.lock().unwrap().bodies.push(body);
                self.forward(slot, 0)
            }
            event::HEDGE => {
                self.seen.lock().unwrap().hedges += 1;
                self.forward(slot, 1);
                self.set(slot, word::VERDICT, verdict::HEDGE);
                true
            }
            event::FAILED if row[4] & 4 != 0 => {
                self.seen.lock().unwrap().lost.push((row[3], row[4], row[5]));
                false
            }
            event::HEAD => {
                if row[6] != 0 {
                    self.seen.lock().unwrap().raced.push(row[6]);
                }
                row[4] == 1 && self.shown(slot, row[3])
            }
            event::ANSWER_BODY => self.judge(slot),
            event::FAILED => {
                *tries += 1;
                let safe = row[4] & 1 != 0;
                let again = safe && *tries < 3;
                self.seen.lock().unwrap().failed.push((row[3], safe));
                if again && row[3] != 0 {
                    self.forward(slot, 0)
                } else {
                    self.refuse(slot, FAILED)
                }
            }
            event::REFUSED => {
                self.seen.lock().unwrap().faults.push(row[3]);
                self.refuse(slot, BROKEN)
            }
            event::FINISHED | event::ABORTED => {
                self.open.remove(&slot);
                let mut seen = self.seen.lock().unwrap();
                if kind == event::FINISHED {
                    seen.finished += 1;
                } else {
                    seen.aborted += 1;
                    seen.blamed += usize::from(row[3] & 1 << 16 != 0);
                }
                false
            }
            _ => false,
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

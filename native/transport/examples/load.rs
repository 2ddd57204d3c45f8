//! A load that keeps its rate whatever the target does: requests come as those of many independent clients do (a Poisson process), each
//! on a connection that is idle. Generators that send for all their connections at once, every tick, measure their own bursts.
//!
//! `load <address> <seconds> <connections>@<requests per second>… < requests`: as many requests, with a zero byte between them, as kinds of
//! load. One process asks all of them, for several on one core would measure each other's turns. Each is sent as it is, and must keep its
//! connection alive. Prints a line for each answer as h2load logs it (epoch µs of the request, status, which is -1 where none came, µs until
//! the end of the answer), how many µs the request had waited for an idle connection, and which kind it was.

use std::collections::VecDeque;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

/// How long answers are waited for after the last request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const READ_BYTES: usize = 64 * 1024;
const EVENTS_MAX: usize = 512;
/// What the timer is called where connections have their number.
const TIMER: u64 = u64::MAX;

struct Connection {
    kind: usize,
    stream: TcpStream,
    /// Of the request that is under way: when it went out, and how long it had waited.
    asked: Option<(Instant, Duration)>,
    head: Vec<u8>,
    /// Of the answer whose head was read.
    status: i32,
    left: usize,
    closes: bool,
}

impl Connection {
    fn to(address: SocketAddr, kind: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let head = Vec::with_capacity(HEAD_BYTES_MAX);
        Ok(Self {
            kind,
            stream,
            asked: None,
            head,
            status: 0,
            left: 0,
            closes: false,
        })
    }

    /// Takes bytes; true when the answer is whole.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        if self.status == 0 {
            self.head.extend_from_slice(bytes);
            let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
                let long = self.head.len() > HEAD_BYTES_MAX;
                return if long {
                    Err(ErrorKind::InvalidData.into())
                } else {
                    Ok(false)
                };
            };
            let after = self.head.len() - (end + 4);
            bytes = &bytes[bytes.len() - after..];
            self.read_head(end)?;
            self.head.clear();
        }
        if bytes.len() > self.left {
            return Err(ErrorKind::InvalidData.into());
        }
        self.left -= bytes.len();
        Ok(self.left == 0)
    }

    fn read_head(&mut self, end: usize) -> io::Result<()> {
        let text = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        self.status = status.ok_or(ErrorKind::InvalidData)?;
        (self.left, self.closes) = (0, false);
        for line in lines {
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("content-length", value)) => self.left = value.parse().map_err(|_| ErrorKind::InvalidData)?,
                Some(("connection", "close")) => self.closes = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// What came of a request.
struct Answer {
    sent: Instant,
    status: i32,
    took: Duration,
    waited: Duration,
    kind: usize,
}

/// One kind of load.
struct Kind {
    request: Vec<u8>,
    /// Requests per second.
    rate: f64,
    /// When the next one is due.
    next: Instant,
    /// The longest idle goes first, so that all take their turns as those of many clients do.
    idle: VecDeque<usize>,
    /// Requests that found no idle connection.
    waiting: VecDeque<Instant>,
}

struct Load {
    address: SocketAddr,
    kinds: Vec<Kind>,
    epoll: OwnedFd,
    /// Wakes for the next request: epoll's own time-out counts in milliseconds.
    timer: OwnedFd,
    connections: Vec<Connection>,
    answers: Vec<Answer>,
}

impl Load {
    fn open(address: SocketAddr, plans: Vec<(Vec<u8>, usize, f64)>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        let mut load = Self {
            address,
            kinds: Vec::new(),
            epoll,
            timer,
            connections: Vec::new(),
            answers: Vec::new(),
        };
        for (number, (request, count, rate)) in plans.into_iter().enumerate() {
            let from = load.connections.len();
            for i in from..from + count {
                load.connections.push(Connection::to(address, number)?);
                load.watch(i)?;
            }
            load.kinds.push(Kind {
                request,
                rate,
                next: Instant::now(),
                idle: (from..from + count).collect(),
                waiting: VecDeque::new(),
            });
        }
        Ok(load)
    }

    fn watch(&self, i: usize) -> io::Result<()> {
        let stream = &self.connections[i].stream;
        Ok(epoll::add(
            &self.epoll,
            stream,
            EventData::new_u64(i as u64),
            EventFlags::IN,
        )?)
    }

    fn send_waiting(&mut self) -> io::Result<()> {
        for kind in 0..self.kinds.len() {
            self.send_waiting_of(kind)?;
        }
        Ok(())
    }

    fn send_waiting_of(&mut self, number: usize) -> io::Result<()> {
        loop {
            let kind = &mut self.kinds[number];
            let (Some(&asked), Some(&i)) = (kind.waiting.front(), kind.idle.front()) else {
                return Ok(());
            };
            kind.waiting.pop_front();
            kind.idle.pop_front();
            let connection = &mut self.connections[i];
            let now = Instant::now();
            connection.asked = Some((now, now - asked));
            let sent = connection.stream.write(&kind.request);
            if !matches!(sent, Ok(n) if n == kind.request.len()) {
                self.over(i, -1)?;
            }
        }
    }

    /// The request of a connection has its answer, or never will.
    fn over(&mut self, i: usize, status: i32) -> io::Result<()> {
        let connection = &mut self.connections[i];
        let kind = connection.kind;
        if let Some((sent, waited)) = connection.asked.take() {
            let took = sent.elapsed();
            self.answers.push(Answer {
                sent,
                status,
                took,
                waited,
                kind,
            });
        }
        connection.status = 0;
        if status < 0 || connection.closes {
            self.connections[i] = Connection::to(self.address, kind)?;
            self.watch(i)?;
        }
        self.kinds[kind].idle.push_back(i);
        Ok(())
    }

    fn read(&mut self, i: usize, room: &mut [u8]) -> io::Result<()> {
        let connection = &mut self.connections[i];
        let whole = match connection.stream.read(room) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => connection.take(&room[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => Err(error),
        };
        let idle = connection.asked.is_none();
        match whole {
            Ok(false) => Ok(()),
            Ok(true) => {
                let status = connection.status;
                self.over(i, status)
            }
            // The target closes what is idle when it likes to.
            Err(_) if idle => {
                self.connections[i] = Connection::to(self.address, connection.kind)?;
                self.watch(i)
            }
            Err(_) => self.over(i, -1),
        }
    }

    fn wait(&mut self, most: Duration, room: &mut [u8]) -> io::Result<()> {
        // Setting it again takes back that it rang; nothing at all would switch it off.
        let rings = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: most.as_secs() as i64,
                tv_nsec: i64::from(most.subsec_nanos()).max(1),
            },
        };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &rings)?;
        let mut events = Vec::with_capacity(EVENTS_MAX);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            let connection = event.data.u64();
            if connection != TIMER {
                self.read(connection as usize, room)?;
            }
        }
        Ok(())
    }

    fn run(&mut self, seconds: f64) -> io::Result<()> {
        let mut room = vec![0; READ_BYTES];
        let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        loop {
            let now = Instant::now();
            for kind in &mut self.kinds {
                while kind.next <= now && kind.next < end {
                    kind.waiting.push_back(now);
                    kind.next += rest(&mut chance, kind.rate);
                }
            }
            let Some(next) = self.kinds.iter().map(|kind| kind.next).min().filter(|next| *next < end) else {
                break;
            };
            self.send_waiting()?;
            self.wait(next.saturating_duration_since(Instant::now()), &mut room)?;
            self.send_waiting()?;
        }
        // What has not gone out by now never was asked.
        for kind in &mut self.kinds {
            kind.waiting.clear();
        }
        let patience = Instant::now() + PATIENCE;
        while self.connections.iter().any(|c| c.asked.is_some()) && Instant::now() < patience {
            self.wait(PATIENCE / 100, &mut room)?;
        }
        for i in 0..self.connections.len() {
            if self.connections[i].asked.is_some() {
                self.over(i, -1)?;
            }
        }
        Ok(())
    }
}

/// Time between two requests of independent clients: exponentially distributed (xorshift64*).
fn rest(chance: &mut u64, rate: f64) -> Duration {
    *chance ^= *chance >> 12;
    *chance ^= *chance << 25;
    *chance ^= *chance >> 27;
    let bits = chance.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
    let uniform = (bits as f64 + 1.0) / (1_u64 << 53) as f64;
    Duration::from_secs_f64(-uniform.ln() / rate)
}

const USAGE: &str = "load <address:port> <seconds> <connections>@<requests per second>... < requests";

fn argument<T: std::str::FromStr>(text: Option<String>) -> T {
    text.and_then(|text| text.parse().ok()).expect(USAGE)
}

fn main() -> io::Result<()> {
    let mut requests = Vec::new();
    io::stdin().read_to_end(&mut requests)?;
    let mut arguments = std::env::args().skip(1);
    let (address, seconds) = (argument(arguments.next()), argument(arguments.next()));
    let rates: Vec<String> = arguments.collect();
    let requests: Vec<&[u8]> = requests.split(|byte| *byte == 0).collect();
    assert!(!rates.is_empty() && rates.len() == requests.len(), "{USAGE}");
    let plans = rates.iter().zip(requests).map(|(rate, request)| {
        let (connections, rate) = rate.split_once('@').expect(USAGE);
        let parsed = (argument(Some(connections.into())), argument(Some(rate.into())));
        (request.to_vec(), parsed.0, parsed.1)
    });
    let mut load = Load::open(address, plans.collect())?;
    load.run(seconds)?;
    let (now, epoch) = (
        Instant::now(),
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
    );
    let mut out = BufWriter::new(io::stdout().lock());
    for Answer {
        sent,
        status,
        took,
        waited,
        kind,
    } in &load.answers
    {
        let at = epoch.saturating_sub(now.duration_since(*sent)).as_micros();
        let (took, waited) = (took.as_micros(), waited.as_micros());
        writeln!(out, "{at}\t{status}\t{took}\t{waited}\t{kind}")?;
    }
    out.flush()
}

//! The two ends of HTTP/2 that the engine stands between: a client, and an upstream.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use cnx_transport::h2::{Client, Event, Limits, Server};
use http::{HeaderMap, HeaderValue, Request, request};

use crate::driver::{PATIENCE, Plan};
use crate::peers::{Upstream, upstream};

#[derive(Debug, Default)]
pub struct Got {
    pub status: u16,
    pub interim: Vec<u16>,
    pub body: usize,
    /// Bytes count up, as those of `/large` do.
    pub in_order: bool,
    pub last: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    pub ended: bool,
    /// Bytes of the frame that ended it.
    pub ended_with: usize,
    /// The fields of a head that ended the stream.
    pub only: Option<HeaderMap>,
    pub reset: Option<u32>,
}

pub struct H2Client {
    stream: TcpStream,
    pub client: Client,
    pub got: HashMap<u32, Got>,
    /// Bodies on their way: what is left, and whether trailers end them.
    pub sending: HashMap<u32, (usize, bool)>,
    /// Nothing that arrives is released.
    pub shut: bool,
    pub closing: bool,
    pub over: bool,
    /// Bytes that it reads at once.
    room: usize,
}

impl H2Client {
    pub fn to(port: u16, window: Option<u32>) -> H2Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        stream.set_nodelay(true).unwrap();
        let limits = Limits {
            window_bytes: window.unwrap_or(128 * 1024),
            ..Limits::default()
        };
        H2Client {
            stream,
            client: Client::new(&limits),
            got: HashMap::new(),
            sending: HashMap::new(),
            shut: false,
            closing: false,
            over: false,
            room: 64 * 1024,
        }
    }

    /// From now on it takes so few bytes at once, and its kernel keeps few for it.
    pub fn small_reads(&mut self, bytes: usize) {
        rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, bytes).unwrap();
        self.room = bytes;
    }

    pub fn ask(&mut self, method: &str, path: &str, body: Option<(usize, bool)>) -> u32 {
        let parts = Request::builder()
            .method(method)
            .uri(format!("http://a{path}"))
            .body(())
            .unwrap()
            .into_parts()
            .0;
        self.ask_parts(parts, body)
    }

    pub fn ask_parts(&mut self, parts: request::Parts, body: Option<(usize, bool)>) -> u32 {
        let stream = self.client.request(parts, body.is_none()).expect("a stream");
        self.got.insert(stream, Got::default());
        if let Some(body) = body {
            self.sending.insert(stream, body);
        }
        stream
    }

    pub fn turn(&mut self) {
        for (stream, (left, trailers)) in &mut self.sending {
            let piece = vec![b'q'; (*left).min(32 * 1024)];
            let taken = self.client.data(*stream, &piece, piece.len() == *left && !*trailers);
            *left -= taken;
            if *left == 0 && *trailers {
                let mut map = HeaderMap::new();
                map.insert("x-t", HeaderValue::from_static("1"));
                self.client.trailers(*stream, map);
            }
        }
        self.sending.retain(|_, (left, _)| *left > 0);
        let mut events = Vec::new();
        self.over |= self.client.poll(&mut events).is_err();
        for event in events {
            self.hear(event);
        }
        let out = self.client.output().to_vec();
        if !out.is_empty() {
            self.over |= self.stream.write_all(&out).is_err();
            self.client.sent(out.len());
        }
        let mut room = vec![0; self.room];
        match self.stream.read(&mut room) {
            Ok(0) => self.over = true,
            Ok(n) => self.client.feed(&room[..n]),
            Err(_) => {}
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Response { stream, parts, ended } => {
                let got = self.got.entry(stream).or_default();
                got.status = parts.status.as_u16();
                got.ended = ended;
                got.only = ended.then_some(parts.headers);
            }
            Event::Informational { stream, parts } => {
                self.got.entry(stream).or_default().interim.push(parts.status.as_u16());
            }
            Event::Data { stream, bytes, ended } => {
                let got = self.got.entry(stream).or_default();
                let from = got.body;
                got.in_order = (from == 0 || got.in_order)
                    && bytes.iter().enumerate().all(|(at, byte)| *byte == counted(from + at));
                got.body += bytes.len();
                got.last.extend_from_slice(&bytes[..bytes.len().min(64)]);
                got.ended |= ended;
                got.ended_with = bytes.len();
                if !self.shut {
                    self.client.release(stream, bytes.len());
                }
            }
            Event::Trailers { stream, fields } => {
                let got = self.got.entry(stream).or_default();
                got.trailers = Some(fields);
                got.ended = true;
            }
            Event::Reset { stream, code, .. } => self.got.entry(stream).or_default().reset = Some(code),
            Event::Closing => self.closing = true,
            Event::Writable { .. } | Event::Request { .. } => {}
        }
    }

    pub fn until(&mut self, what: &str, holds: impl Fn(&H2Client) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", self.got);
            self.turn();
        }
    }

    pub fn end(&mut self, stream: u32) -> &Got {
        self.until("an end", |c| c.got[&stream].ended || c.got[&stream].reset.is_some());
        &self.got[&stream]
    }
}

pub fn speaking_h2(upstream: &Upstream) -> Plan {
    let mut plan = Plan::to(&[upstream.address]);
    plan.listen.http2 = true;
    plan
}

/// A byte of `/large`.
fn counted(at: usize) -> u8 {
    (at % 251) as u8
}

/// How many streams an upstream has seen.
#[derive(Default)]
pub struct Streams {
    pub begun: AtomicUsize,
    pub reset: AtomicUsize,
}

/// An HTTP/2 upstream: sends bodies back, then a trailer; its heads come so late, but for those that end their streams. Counts streams.
pub fn serve_h2(mut stream: TcpStream, late: Duration, seen: &Streams) {
    let mut later: Vec<(Instant, u32)> = Vec::new();
    stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let mut server = Server::new(&Limits::default());
    let mut bodies: HashMap<u32, (Vec<u8>, bool)> = HashMap::new();
    let mut room = vec![0; 64 * 1024];
    loop {
        let mut events = Vec::new();
        let over = server.poll(&mut events).is_err();
        for event in events {
            match event {
                Event::Request { stream, parts, ended } => {
                    if parts.uri.path().ends_with("/only") {
                        // gRPC calls an answer without a message "Trailers-Only".
                        let mut map = HeaderMap::new();
                        map.insert("grpc-status", HeaderValue::from_static("12"));
                        server.respond(stream, 200, map, true);
                        continue;
                    }
                    if parts.uri.path().ends_with("/nothing") {
                        let mut map = HeaderMap::new();
                        map.insert("content-length", HeaderValue::from_static("0"));
                        server.respond(stream, 200, map, true);
                        continue;
                    }
                    let large = parts.uri.path().ends_with("/large");
                    server.interim(stream, 103, HeaderMap::new());
                    seen.begun.fetch_add(1, SeqCst);
                    later.push((Instant::now() + late, stream));
                    bodies.insert(
                        stream,
                        (
                            if large {
                                (0..1_000_000).map(counted).collect()
                            } else {
                                Vec::new()
                            },
                            ended,
                        ),
                    );
                }
                Event::Data { stream, bytes, ended } => {
                    server.release(stream, bytes.len());
                    if let Some((body, over)) = bodies.get_mut(&stream) {
                        body.extend_from_slice(&bytes);
                        *over |= ended;
                    }
                }
                Event::Trailers { stream, .. } => {
                    if let Some((_, over)) = bodies.get_mut(&stream) {
                        *over = true;
                    }
                }
                Event::Reset { stream, .. } => {
                    seen.reset.fetch_add(1, SeqCst);
                    later.retain(|(_, s)| *s != stream);
                    bodies.remove(&stream);
                }
                _ => {}
            }
        }
        later.retain(|(due, stream)| {
            let waits = *due > Instant::now();
            if !waits {
                server.respond(*stream, 200, HeaderMap::new(), false);
            }
            waits
        });
        bodies.retain(|stream, (body, ended)| {
            if later.iter().any(|(_, s)| s == stream) {
                return true;
            }
            let taken = server.data(*stream, body, false);
            body.drain(..taken);
            if *ended && body.is_empty() {
                let mut map = HeaderMap::new();
                map.insert("x-sum", HeaderValue::from_static("9"));
                server.trailers(*stream, map);
                return false;
            }
            true
        });
        let _ = server.poll(&mut Vec::new());
        let out = server.output().to_vec();
        if stream.write_all(&out).is_err() || over {
            return;
        }
        server.sent(out.len());
        match stream.read(&mut room) {
            Ok(0) => return,
            Ok(n) => server.feed(&room[..n]),
            Err(_) => {}
        }
    }
}

pub fn h2_upstream() -> Upstream {
    h2_upstream_after(Duration::ZERO).0
}

/// One whose heads come so late, and what became of its streams.
pub fn h2_upstream_after(late: Duration) -> (Upstream, Arc<Streams>) {
    let streams = Arc::<Streams>::default();
    let counted = streams.clone();
    (upstream(move |wire, _| serve_h2(wire.stream, late, &counted)), streams)
}

//! HTTP/2 through the engine, on either side.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use cnx_transport::h2::{Client, Event, Limits, Protocol, Server};
use http::{HeaderMap, HeaderValue, Request, request};

use crate::driver::{PATIENCE, Plan};
use crate::kept::{LONG, keeping};
use crate::peers::{Upstream, obedient, upstream};

#[derive(Debug, Default)]
pub struct Got {
    pub status: u16,
    pub interim: Vec<u16>,
    pub body: usize,
    /// Bytes count up, as those of `/large` do.
    in_order: bool,
    last: Vec<u8>,
    trailers: Option<HeaderMap>,
    ended: bool,
    pub reset: Option<u32>,
}

pub struct H2Client {
    stream: TcpStream,
    pub client: Client,
    got: HashMap<u32, Got>,
    /// Bodies on their way: what is left, and whether trailers end them.
    sending: HashMap<u32, (usize, bool)>,
    /// Nothing that arrives is released.
    shut: bool,
    closing: bool,
    over: bool,
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
        }
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

    fn ask_parts(&mut self, parts: request::Parts, body: Option<(usize, bool)>) -> u32 {
        let stream = self.client.request(parts, body.is_none()).expect("a stream");
        self.got.insert(stream, Got::default());
        if let Some(body) = body {
            self.sending.insert(stream, body);
        }
        stream
    }

    fn turn(&mut self) {
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
        let mut room = vec![0; 64 * 1024];
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

/// An HTTP/2 upstream: sends bodies back, then a trailer; its heads come so late. Counts streams.
fn serve_h2(mut stream: TcpStream, late: Duration, seen: &Streams) {
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

#[test]
fn streams_of_one_connection_are_exchanges_of_their_own() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    for (method, path, body, status, length) in [
        ("GET", "/f0/len/300000", None, 200, 300_000),
        ("GET", "/f0/chunk/3", None, 200, 9),
        ("GET", "/f0/until/9", None, 200, 9),
        ("GET", "/f0/none/204", None, 204, 0),
        ("HEAD", "/f0/len/9", None, 200, 0),
        ("GET", "/f0/hints", None, 200, 2),
        ("GET", "/r2", None, 403, 9),
        ("GET", "/a", None, 200, 3),
        ("GET", "/a204", None, 204, 0),
        ("POST", "/f0/echo", Some((5, false)), 200, 5),
        ("POST", "/f0/echo", Some((700_000, true)), 200, 700_000),
        ("POST", "/i100/echo", Some((700_000, false)), 200, 700_000),
        ("POST", "/r2", Some((700_000, false)), 403, 9),
        ("POST", "/f0/gone", Some((1, false)), 502, 9),
    ] {
        let stream = client.ask(method, path, body);
        client.end(stream);
        client.sending.clear();
        let got = &client.got[&stream];
        assert_eq!((got.status, got.body), (status, length), "{method} {path}");
    }
    assert!(client.got.values().any(|got| got.interim == [103, 102]));
    let many: Vec<u32> = (0..100).map(|_| client.ask("GET", "/w/len/2000", None)).collect();
    for stream in many {
        assert_eq!(client.end(stream).body, 2_000);
    }
    drop(client);
    lane.end();
}

#[test]
fn a_window_that_stays_shut_holds_the_upstream_and_ends_by_its_deadline() {
    let upstream = obedient();
    let mut plan = speaking_h2(&upstream);
    plan.options.write_ms = 200;
    plan.idle_ms = 100;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, Some(65_535));
    client.shut = true;
    let stalled = client.ask("GET", "/f0/len/50000000", None);
    let own = client.ask("GET", "/a", None);
    client.end(stalled);
    assert!(client.got[&stalled].reset.is_some() && client.got[&stalled].body <= 65_535);
    client.end(own);
    assert!(lane.until(|lane| lane.open().0 == 0));
    drop(client);
    lane.end();
}

#[test]
fn resets_and_lost_connections_free_exchanges() {
    let upstream = obedient();
    let mut plan = speaking_h2(&upstream);
    plan.options.idle_ms = 100;
    plan.options.linger_ms = 100;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    let paths = ["/f0/never", "/n", "/i9/echo", "/f0/len/90000000"];
    let streams: Vec<u32> = paths
        .iter()
        .map(|p| client.ask("POST", p, Some((900_000, false))))
        .collect();
    client.turn();
    assert!(lane.until_seen(|seen| seen.begun == 4));
    for stream in streams {
        client.sending.remove(&stream);
        client.client.reset(stream, 8);
    }
    client.turn();
    assert!(lane.until(|lane| lane.open().0 == 0), "resets free exchanges");
    client.until("a connection without streams is asked to leave", |c| c.closing);
    let mut second = H2Client::to(lane.port, None);
    for path in paths {
        second.ask("GET", path, None);
    }
    second.turn();
    assert!(lane.until_seen(|seen| seen.begun == 8));
    drop((client, second));
    lane.end();
}

#[test]
fn draining_serves_what_is_open_and_says_goodbye() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    let stream = client.ask("GET", "/w/len/3000000", None);
    client.turn();
    assert!(lane.until_seen(|seen| seen.begun == 1));
    lane.run(|engine| engine.drain());
    client.until("goodbye", |c| c.closing);
    assert_eq!(client.end(stream).body, 3_000_000);
    client.until("the end", |c| c.over);
    drop(client);
    lane.end();
}

/// An extended CONNECT for a WebSocket of this version (RFC 8441).
fn handshake(version: &str) -> http::request::Parts {
    let (mut parts, ()) = Request::builder()
        .method("CONNECT")
        .uri("http://a/f0/up/2")
        .header("sec-websocket-version", version)
        .body(())
        .unwrap()
        .into_parts();
    parts.extensions.insert(Protocol::from_static("websocket"));
    parts
}

#[test]
fn a_handshake_over_http2_that_is_none_is_refused() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    client.until("settings", |c| c.client.extended_connect());
    let stream = client.ask_parts(handshake("8"), Some((0, false)));
    assert!(client.end(stream).status >= 400);
    drop(client);
    lane.end();
}

#[test]
fn websockets_over_http2_reach_an_http1_upstream() {
    let upstream = obedient();
    let lane = speaking_h2(&upstream).start();
    let mut client = H2Client::to(lane.port, None);
    client.until("settings", |c| c.client.extended_connect());
    let stream = client.ask_parts(handshake("13"), Some((0, false)));
    client.sending.clear();
    client.until("hello", |c| c.got[&stream].body == 5);
    assert_eq!(client.client.data(stream, b"ping", false), 4);
    client.until("ping", |c| c.got[&stream].body == 9);
    client.client.data(stream, b"", true);
    let got = client.end(stream);
    assert_eq!((got.status, &got.last[..]), (200, &b"hellopingbye"[..]));
    drop(client);
    lane.end();
}

#[test]
fn whatever_streams_do_each_exchange_ends_once() {
    let (old, new) = (obedient(), h2_upstream());
    let mut plan = Plan::to(&[old.address, new.address]);
    plan.listen.http2 = true;
    plan.endpoints[0].0.connections_max = 4;
    plan.endpoints[1].0.http2 = true;
    let o = &mut plan.options;
    (o.idle_ms, o.collect_ms, o.linger_ms, o.decide_ms, o.write_ms) = (200, 200, 100, 200, 300);
    (plan.connect_ms, plan.head_ms, plan.idle_ms) = (200, 200, 300);
    let lane = plan.start();
    let port = lane.port;
    let paths = [
        "/f0/len/300000",
        "/f0/chunk/3",
        "/f0/never",
        "/f0/cut",
        "/f0/gone",
        "/f0/early",
        "/f0/echo",
        "/f1/large",
        "/f1/echo",
        "/f1/x",
        "/i5/echo",
        "/w/echo",
        "/n",
        "/r2",
        "/a",
        "/f9/x",
    ];
    let threads: Vec<_> = (0..6_u64)
        .map(|seed| {
            std::thread::spawn(move || {
                let mut state = seed + 1;
                let mut chance = |n: usize| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) as usize % n
                };
                let mut client = H2Client::to(port, None);
                let mut open = Vec::new();
                for _ in 0..150 {
                    match chance(8) {
                        0 if !open.is_empty() => {
                            let stream = open.swap_remove(chance(open.len()));
                            client.sending.remove(&stream);
                            client.client.reset(stream, 8);
                        }
                        1 if chance(10) == 0 => client.over = true,
                        2 => client.shut = chance(3) == 0,
                        3..6 if client.client.ready() => {
                            let body = [None, Some((0, true)), Some((9, false)), Some((400_000, true))][chance(4)];
                            open.push(client.ask("POST", paths[chance(paths.len())], body));
                        }
                        _ => client.turn(),
                    }
                    if client.over {
                        client = H2Client::to(port, None);
                        open.clear();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let seen = lane.end();
    let seen = seen.lock().unwrap();
    assert!(seen.begun > 50, "{}", seen.begun);
}

#[test]
fn http2_upstreams_get_bodies_and_give_trailers() {
    let upstream = h2_upstream();
    let mut plan = speaking_h2(&upstream);
    plan.endpoints[0].0.http2 = true;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    for (body, length) in [(None, 0), (Some((5, false)), 5), (Some((900_000, true)), 900_000)] {
        let stream = client.ask("POST", "/f0/echo", body);
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (200, length));
        assert_eq!(got.trailers.as_ref().unwrap()["x-sum"], "9");
    }
    // More together than the windows of the connection hold.
    let many: Vec<u32> = (0..20).map(|_| client.ask("GET", "/f0/large", None)).collect();
    for stream in many {
        assert_eq!(client.end(stream).body, 1_000_000);
    }
    let mut wire = crate::peers::Wire::to(lane.port);
    for _ in 0..20 {
        wire.send("GET /f0/large HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = wire.head().map(|mut head| {
            wire.body(&mut head, false);
            head
        });
        let early = answer.unwrap();
        assert_eq!(early.status(), 103);
        let answer = wire.answer().unwrap();
        assert_eq!((answer.body.len(), &answer.trailers[..]), (1_000_000, "x-sum: 9\n"));
    }
    drop((client, wire));
    lane.end();
}

#[test]
fn streams_that_a_leaving_upstream_never_read_go_to_another_connection() {
    let upstream = upstream(|mut wire, number| {
        if number == 0 {
            // SETTINGS, then GOAWAY: nothing was read.
            wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
            wire.exactly(24 + 9);
            std::thread::sleep(Duration::from_millis(50));
            wire.send([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            wire.ended();
        } else {
            serve_h2(wire.stream, Duration::ZERO, &Streams::default());
        }
    });
    let mut plan = speaking_h2(&upstream);
    plan.endpoints[0].0.http2 = true;
    let lane = plan.start();
    let mut client = H2Client::to(lane.port, None);
    let streams: Vec<u32> = (0..5)
        .map(|_| client.ask("POST", "/f0/echo", Some((5, false))))
        .collect();
    for stream in streams {
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (200, 5));
    }
    drop(client);
    lane.end();
}

#[test]
fn answers_are_shown_between_all_versions() {
    for (upstream, to_h2) in [(obedient(), false), (h2_upstream(), true)] {
        let mut plan = speaking_h2(&upstream);
        plan.endpoints[0].0.http2 = to_h2;
        let lane = plan.start();
        let mut client = H2Client::to(lane.port, None);
        // What an HTTP/2 upstream says by the path, and what an obedient one does.
        let large = if to_h2 { "large" } else { "len/1000000" };
        let small = if to_h2 { "echo" } else { "len/4" };
        for (how, rest, body) in [
            ("p", large, 1_000_000),
            ("j100", large, 1_000_000),
            ("j2000000", large, 1_000_000),
            ("v", large, 1_000_000),
            ("j100", small, if to_h2 { 0 } else { 4 }),
        ] {
            let stream = client.ask("GET", &format!("/{how}/{rest}"), None);
            let got = client.end(stream);
            assert_eq!(
                (got.status, got.body, got.reset),
                (200, body, None),
                "{how}/{rest} {to_h2}"
            );
            if to_h2 {
                assert!(got.trailers.is_some(), "{how}/{rest}");
            }
        }
        for how in ["x2", "q100"] {
            let stream = client.ask("GET", &format!("/{how}/{large}"), None);
            let got = client.end(stream);
            assert_eq!((got.status, &got.last[..]), (403, &b"refused ."[..]), "{how} {to_h2}");
        }
        // A call is told by fields what another request is told by a status.
        let mut parts = Request::builder()
            .method("POST")
            .uri(format!("http://a/x2/{large}"))
            .body(())
            .unwrap()
            .into_parts()
            .0;
        parts
            .headers
            .insert("content-type", HeaderValue::from_static("application/grpc"));
        let stream = client.ask_parts(parts, Some((5, false)));
        let got = client.end(stream);
        assert_eq!((got.status, got.body, got.ended), (200, 0, true));
        drop(client);
        lane.end();
    }
}

#[test]
fn a_kept_body_answers_several_streams_at_once() {
    let upstream = obedient();
    let lane = keeping(speaking_h2(&upstream), LONG);
    let mut client = H2Client::to(lane.port, None);
    let streams: Vec<u32> = (0..3).map(|_| client.ask("GET", "/y1", None)).collect();
    for stream in streams {
        let got = client.end(stream);
        assert_eq!((got.status, got.body), (200, LONG - 1));
    }
    drop(client);
    lane.end();
}

#[test]
fn what_was_held_of_an_answer_goes_before_what_its_stream_says_next() {
    let upstream = h2_upstream();
    let mut plan = speaking_h2(&upstream);
    plan.endpoints[0].0.http2 = true;
    let lane = plan.start();
    for path in ["/j100000/large", "/j300000/large", "/p/large"] {
        let mut client = H2Client::to(lane.port, Some(20_000));
        client.shut = true;
        let stream = client.ask("GET", path, None);
        client.until("a head", |c| c.got[&stream].status == 200);
        // Its window takes little, and the upstream's lets more come than was asked for.
        let until = Instant::now() + Duration::from_millis(100);
        client.until("more", |_| Instant::now() > until);
        client.shut = false;
        client.client.release(stream, client.got[&stream].body);
        let got = client.end(stream);
        assert_eq!((got.body, got.reset), (1_000_000, None), "{path}");
        assert!(got.in_order, "{path}");
    }
    lane.end();
}

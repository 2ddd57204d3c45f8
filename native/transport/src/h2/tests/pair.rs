//! A client and a server whose outputs are each other's inputs.

use super::super::{Client, Closed, Event, Limits, Server};
use http::{HeaderMap, HeaderName, HeaderValue, Request, request};

pub struct Pair {
    pub client: Client,
    pub server: Server,
    /// What the client was told.
    pub c: Vec<Event>,
    /// What the server was told.
    pub s: Vec<Event>,
    pub client_closed: Option<Closed>,
    pub server_closed: Option<Closed>,
}

/// Rounds until nothing more is said, at most.
const ROUNDS_MAX: usize = 1_000;

impl Pair {
    pub fn new(client: &Limits, server: &Limits) -> Pair {
        let mut pair = Pair {
            client: Client::new(client),
            server: Server::new(server),
            c: Vec::new(),
            s: Vec::new(),
            client_closed: None,
            server_closed: None,
        };
        pair.pump();
        pair
    }

    pub fn default() -> Pair {
        Pair::new(&Limits::default(), &Limits::default())
    }

    /// Carries bytes until there are none.
    pub fn pump(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.client_closed = self.client.poll(&mut self.c).err().or(self.client_closed.take());
            let up = self.client.output().len();
            self.server.feed(self.client.output());
            self.client.sent(up);
            self.server_closed = self.server.poll(&mut self.s).err().or(self.server_closed.take());
            let down = self.server.output().len();
            self.client.feed(self.server.output());
            self.server.sent(down);
            if up + down == 0 {
                return;
            }
        }
        panic!("they never fall silent");
    }

    /// What the client was told since the last call.
    pub fn at_client(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.c)
    }

    /// What the server was told since the last call.
    pub fn at_server(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.s)
    }

    /// Opens a stream, carries the head over and forgets that the server was told.
    pub fn open(&mut self, method: &str, end: bool) -> u32 {
        let stream = self
            .client
            .request(head(method, "/"), end)
            .expect("a stream can be opened");
        self.pump();
        let told = self.at_server();
        assert!(
            matches!(told[..], [Event::Request { stream: seen, ended, .. }] if seen == stream && ended == end),
            "{told:?}"
        );
        stream
    }
}

pub fn head(method: &str, path: &str) -> request::Parts {
    let uri = format!("http://a.test{path}");
    Request::builder()
        .method(method)
        .uri(uri)
        .body(())
        .expect("a request")
        .into_parts()
        .0
}

pub fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

/// Bytes of bodies among the events, and whether a body ended.
pub fn body(events: &[Event]) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut over = false;
    for event in events {
        if let Event::Data { bytes, ended, .. } = event {
            all.extend_from_slice(bytes);
            over |= ended;
        }
    }
    (all, over)
}

//! A peer that writes frames by hand.

use super::super::{Client, Closed, Event, Limits, Server};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const PROTOCOL_ERROR: u32 = 1;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// HPACK: each field a literal that is not indexed, with its name in full.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        integer(&mut block, name.len());
        block.extend_from_slice(name.as_bytes());
        integer(&mut block, value.len());
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// With a prefix of 7 bits, not Huffman-coded.
fn integer(into: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return into.push(value as u8);
    }
    into.push(127);
    value -= 127;
    while value >= 128 {
        into.push((value % 128 + 128) as u8);
        value /= 128;
    }
    into.push(value as u8);
}

pub const GET: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "a.test"),
    (":path", "/"),
];
pub const POST: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "a.test"),
    (":path", "/"),
];

pub fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(GET))
}

pub fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(POST))
}

/// A frame that was received.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let len = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        let stream = u32::from_be_bytes(bytes[5..9].try_into().expect("four bytes"));
        all.push(Frame {
            kind: bytes[3],
            flags: bytes[4],
            stream,
            payload: bytes[9..9 + len].to_vec(),
        });
        bytes = &bytes[9 + len..];
    }
    all
}

/// A server and what it says to a peer that writes by hand.
pub struct ToServer {
    pub server: Server,
    pub events: Vec<Event>,
}

impl ToServer {
    /// The preface and SETTINGS have been exchanged.
    pub fn new(limits: &Limits) -> ToServer {
        let mut peer = ToServer {
            server: Server::new(limits),
            events: Vec::new(),
        };
        let mut hello = PREFACE.to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &[]));
        hello.extend(frame(SETTINGS, ACK, 0, &[]));
        let (said, closed) = peer.say(&hello);
        assert_eq!(closed, None);
        assert!(
            said.iter().any(|frame| frame.kind == SETTINGS && frame.flags == 0),
            "{said:?}"
        );
        peer
    }

    /// Sends bytes; what comes back.
    pub fn say(&mut self, bytes: &[u8]) -> (Vec<Frame>, Option<Closed>) {
        self.server.feed(bytes);
        self.turn()
    }

    pub fn turn(&mut self) -> (Vec<Frame>, Option<Closed>) {
        let closed = self.server.poll(&mut self.events).err();
        let said = frames(self.server.output());
        self.server.sent(usize::MAX);
        (said, closed)
    }

    pub fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// A client and what it says to a peer that writes by hand.
pub struct ToClient {
    pub client: Client,
    pub events: Vec<Event>,
}

impl ToClient {
    /// The preface and SETTINGS have been exchanged.
    pub fn new(limits: &Limits) -> ToClient {
        let mut peer = ToClient {
            client: Client::new(limits),
            events: Vec::new(),
        };
        assert_eq!(peer.client.poll(&mut peer.events), Ok(()));
        let said = frames(peer.client.output().strip_prefix(PREFACE).expect("the preface"));
        peer.client.sent(usize::MAX);
        assert_eq!(said[0].kind, SETTINGS);
        let mut hello = frame(SETTINGS, 0, 0, &[]);
        hello.extend(frame(SETTINGS, ACK, 0, &[]));
        assert_eq!(peer.say(&hello).1, None);
        peer
    }

    pub fn say(&mut self, bytes: &[u8]) -> (Vec<Frame>, Option<Closed>) {
        self.client.feed(bytes);
        let closed = self.client.poll(&mut self.events).err();
        let said = frames(self.client.output());
        self.client.sent(usize::MAX);
        (said, closed)
    }

    pub fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

//! HTTP/2 clients: streams become exchanges; their bodies wait in the stream's window until somebody takes them.

use std::collections::HashMap;

use bytes::{Buf, Bytes};

use super::Engine;
use super::io::Got;
use super::lines::{header_map, request_text, trailer_lines};
use super::request::is_call;
use super::slab::Key;
use super::state::{Down, H1, Phase, Proto, Stage};
use crate::h2::{Event, Limits, Protocol, Server};
use crate::http1::{Framing, Parsed, Progress, parse_request};
use crate::layout::Fault;

/// Bytes that may wait for the socket before no more are framed.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Bytes framed in one round, from which on another one is made: half of what fits is when streams are told that there is room again.
pub(super) const FRAMED_BYTES_MAX: usize = 64 * 1024;
/// Events whose memory is kept from one turn to the next: about 60 KiB.
const EVENTS_KEPT: usize = 256;
/// Rounds of one connection in one turn.
const ROUNDS_MAX: usize = 16;
/// Codes of RFC 9113 §7.
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

/// The HTTP/2 state of a downstream connection.
pub struct H2 {
    pub server: Server,
    pub streams: HashMap<u32, u32>,
    pub touched: bool,
    pub leaving: bool,
    /// It has begun a request.
    pub served: bool,
}

impl H2 {
    pub fn new() -> Self {
        Self {
            server: Server::new(&Limits::default()),
            streams: HashMap::new(),
            touched: false,
            leaving: false,
            served: false,
        }
    }
}

impl Engine {
    pub(super) fn h2(&mut self, key: Key) -> Option<&mut H2> {
        match self.downs.get_mut(key) {
            Some(Down {
                proto: Proto::H2(h2), ..
            }) => Some(h2),
            _ => None,
        }
    }

    /// It has something to frame: looked at once at the end of the turn.
    pub(super) fn touch(&mut self, key: Key) {
        let Some(h2) = self.h2(key) else { return };
        if !std::mem::replace(&mut h2.touched, true) {
            self.touched.push(key);
        }
    }

    pub(super) fn h2_read(&mut self, key: Key, scratch: &mut [u8]) {
        for _ in 0..super::READS_PER_TURN {
            let Some(h2) = self.h2(key) else { return };
            if !h2.server.wants_input() {
                return;
            }
            let Some(down) = self.downs.get_mut(key) else { return };
            match down.io.read(scratch) {
                Got::Bytes(n) => {
                    let Some(h2) = self.h2(key) else { return };
                    h2.server.feed(&scratch[..n]);
                    self.h2_turn(key);
                }
                Got::Wait => return,
                Got::End => {
                    let Some(h2) = self.h2(key) else { return };
                    h2.server.feed_end();
                    self.h2_turn(key);
                    // It has closed: there is nothing of it left to read, which is what lingering is for.
                    if self.h2(key).is_none() && self.downs.get(key).is_some_and(|down| down.io.pending() == 0) {
                        self.drop_down(key);
                    }
                    return;
                }
                Got::Broken => return self.h2_lost(key),
            }
        }
        self.resume_down.push(key);
    }

    /// All that can go on, and what it has to say.
    pub(super) fn h2_turn(&mut self, key: Key) {
        let mut events = std::mem::take(&mut self.h2_events);
        self.h2_rounds(key, &mut events);
        self.keep_events(events);
    }

    /// Keeps the list's memory for the next turn, unless somebody had very much to say.
    pub(super) fn keep_events(&mut self, mut events: Vec<Event>) {
        events.clear();
        if events.capacity() <= EVENTS_KEPT {
            self.h2_events = events;
        }
    }

    fn h2_rounds(&mut self, key: Key, events: &mut Vec<Event>) {
        for _ in 0..ROUNDS_MAX {
            let Some(h2) = self.h2(key) else { return };
            h2.touched = false;
            let state = h2.server.poll(events);
            let quiet = events.is_empty();
            for event in events.drain(..) {
                self.h2_event(key, event);
            }
            let sent = self.h2_send(key);
            if state.is_err() {
                return self.h2_over(key);
            }
            // Where much was framed, more may have waited for the room.
            if quiet && sent < FRAMED_BYTES_MAX && !self.h2(key).is_some_and(|h2| h2.touched) {
                return;
            }
        }
        self.touch(key);
    }

    /// How many bytes were framed and handed over.
    fn h2_send(&mut self, key: Key) -> usize {
        let Some(Down {
            io,
            proto: Proto::H2(h2),
            ..
        }) = self.downs.get_mut(key)
        else {
            return 0;
        };
        if io.pending() >= OUTPUT_BYTES_MAX {
            return 0;
        }
        let n = h2.server.output().len();
        if n > 0 {
            io.write(h2.server.output());
            h2.server.sent(n);
        }
        n
    }

    fn h2_event(&mut self, key: Key, event: Event) {
        match event {
            Event::Request { stream, parts, ended } => self.h2_request(key, stream, &parts, ended),
            Event::Data { stream, bytes, ended } => {
                let Some(slot) = self.h2_slot(key, stream) else {
                    if let Some(h2) = self.h2(key) {
                        h2.server.release(stream, bytes.len());
                    }
                    return;
                };
                let x = &mut self.exchanges[slot as usize];
                x.inbox.extend_from_slice(&bytes);
                x.inbox_ended |= ended;
                self.pump_body(slot);
            }
            Event::Trailers { stream, fields } => {
                let Some(slot) = self.h2_slot(key, stream) else { return };
                let x = &self.exchanges[slot as usize];
                // A tunnel ends with them as with its last bytes. Of a body that was refused half way nothing more is of interest.
                if !x.websocket {
                    if x.body_ended {
                        return;
                    }
                    self.set_trailers(slot, trailer_lines(&fields));
                }
                self.exchanges[slot as usize].inbox_ended = true;
                self.pump_body(slot);
            }
            Event::Writable { stream } => {
                let Some(slot) = self.h2_slot(key, stream) else { return };
                self.pump_answer(slot);
                self.client_takes(slot);
            }
            Event::Reset { stream, .. } => {
                let Some(h2) = self.h2(key) else { return };
                if let Some(slot) = h2.streams.remove(&stream) {
                    self.abort(slot, false);
                    self.h2_idle(key);
                }
            }
            Event::Closing | Event::Response { .. } | Event::Informational { .. } => {}
        }
    }

    fn h2_slot(&mut self, key: Key, stream: u32) -> Option<u32> {
        self.h2(key)?.streams.get(&stream).copied()
    }

    fn h2_request(&mut self, key: Key, stream: u32, parts: &http::request::Parts, ended: bool) {
        if let Some(h2) = self.h2(key) {
            h2.served = true;
        }
        let protocol = parts.extensions.get::<Protocol>();
        let websocket = protocol.is_some_and(|p| p.as_str() == "websocket");
        let mut text = std::mem::take(&mut self.out);
        text.clear();
        let nonce = self.websocket_key();
        request_text(parts, websocket, &nonce, &mut text);
        let mut head = std::mem::take(&mut self.request_head);
        let parsed = parse_request(&mut text, &mut Progress::default(), &mut head);
        let fault = match parsed {
            // An extended CONNECT for anything but WebSockets.
            Parsed::Done(_) if protocol.is_some() && !websocket => Some(Fault::NotImplemented),
            // A handshake that is none (RFC 6455 §4.1) would go upstream as a plain GET, whose 200 looks like an open tunnel.
            Parsed::Done(_) if websocket && !head.websocket => Some(Fault::BadRequest),
            Parsed::Done(_) => None,
            Parsed::More => Some(Fault::BadRequest),
            Parsed::Broken(fault) => Some(fault),
        };
        if !ended && !websocket && head.framing == Framing::None {
            head.framing = Framing::Chunked;
        }
        let shed = fault.is_none() && self.shed_http2(key, stream, &head, is_call(&head, &text), ended);
        let slot = if shed { None } else { self.take_slot() };
        if let Some(slot) = slot {
            if let Some(h2) = self.h2(key) {
                h2.streams.insert(stream, slot);
            }
            self.begin(slot, key, stream, &text, &head, fault);
            let x = &mut self.exchanges[slot as usize];
            x.body_ended = ended || websocket || fault.is_some();
            x.expects = !x.body_ended && head.expects();
            x.inbox_ended = ended;
        } else if !shed && let Some(h2) = self.h2(key) {
            h2.server.reset(stream, REFUSED_STREAM);
        }
        self.request_head = head;
        self.out = text;
    }

    /// Body bytes of a stream go to whoever takes them; their window goes back with them.
    pub(super) fn pump_body(&mut self, slot: u32) {
        let x = &mut self.exchanges[slot as usize];
        let (key, stream) = (x.down, x.stream);
        if x.phase == Phase::Tunnel {
            if self.upstream_takes(slot) {
                let x = &mut self.exchanges[slot as usize];
                let inbox = std::mem::take(&mut x.inbox);
                let ended = x.inbox_ended;
                if !inbox.is_empty() {
                    self.tunnel_up(slot, &inbox);
                    self.h2_release(key, stream, inbox.len());
                }
                if ended {
                    self.tunnel_ended_down(slot);
                }
            }
            return;
        }
        if !self.wants_body(slot) {
            return;
        }
        let x = &mut self.exchanges[slot as usize];
        let inbox = std::mem::take(&mut x.inbox);
        let ended = x.inbox_ended;
        if !inbox.is_empty() || ended {
            self.body_bytes(slot, &inbox, ended);
            self.h2_release(key, stream, inbox.len());
        }
    }

    fn h2_release(&mut self, key: Key, stream: u32, n: usize) {
        if let Some(h2) = self.h2(key) {
            h2.server.release(stream, n);
            self.touch(key);
        }
    }

    /// The head of an answer, as lines of fields.
    pub(super) fn h2_respond(&mut self, slot: u32, status: u16, lines: &[u8], end: bool) {
        let x = &self.exchanges[slot as usize];
        let (key, stream) = (x.down, x.stream);
        // A tunnel stands with 200 (RFC 8441 §5).
        let status = if status == 101 { 200 } else { status };
        let map = self.known_fields.of_answer(lines);
        let Some(h2) = self.h2(key) else { return };
        let sent = if (100..200).contains(&status) {
            h2.server.interim(stream, status, map);
            true
        } else {
            h2.server.respond(stream, status, map, end)
        };
        self.touch(key);
        if !sent {
            // Reset meanwhile, or a head that HTTP/2 cannot say.
            self.abort(slot, false);
            self.cut(slot);
        }
    }

    /// `last`: nothing follows, so that the end of the stream goes with them and not in a frame of its own.
    pub(super) fn h2_data(&mut self, slot: u32, bytes: &[u8], last: bool) {
        let x = &mut self.exchanges[slot as usize];
        let (key, stream, waits) = (x.down, x.stream, !x.outbox.is_empty());
        let taken = match self.h2(key) {
            Some(h2) if !waits => h2.server.data(stream, bytes, last),
            _ => 0,
        };
        let x = &mut self.exchanges[slot as usize];
        x.outbox.extend_from_slice(&bytes[taken..]);
        if !x.outbox.is_empty() {
            self.h2_waits(slot, taken);
        }
        self.touch(key);
    }

    /// Bytes wait for the stream's windows, which have just taken so many. The client gets more time when it took what the slowest body brings: one that opens its window by a byte now and then
    /// ("data dribble", CVE-2019-9511) would otherwise hold them, and the upstream, for ever.
    fn h2_waits(&mut self, slot: u32, taken: usize) {
        let least = (self.options.body_rate_min * self.options.write_ms / 1_000).max(1);
        let due = self.now + self.options.write_ms;
        let x = &mut self.exchanges[slot as usize];
        x.write_taken += taken as u64;
        if x.write_due == u64::MAX || x.write_taken >= least {
            x.write_due = due;
            x.write_taken = 0;
        }
    }

    /// What waits for the stream's windows, then the end.
    pub(super) fn pump_answer(&mut self, slot: u32) {
        let x = &mut self.exchanges[slot as usize];
        let (key, stream, ended) = (x.down, x.stream, x.answer_ended);
        let mut outbox = std::mem::take(&mut x.outbox);
        let mut rest = std::mem::take(&mut x.own_rest);
        let trailers = std::mem::take(&mut x.answer_trailers);
        if let Some(h2) = self.h2(key) {
            let waited = outbox.len() + rest.len();
            let ends = ended && trailers.is_empty();
            if !outbox.is_empty() {
                let taken = h2.server.data(stream, &outbox, ends && rest.is_empty());
                outbox.drain(..taken);
            }
            if outbox.is_empty() && !rest.is_empty() {
                let taken = h2.server.data(stream, &rest, ends);
                rest.advance(taken);
            }
            let waits = outbox.len() + rest.len();
            if waits == 0 {
                // Whoever shares it may be the last one now.
                rest = Bytes::new();
            }
            let done = ended && waits == 0;
            if done && trailers.is_empty() {
                h2.server.data(stream, &[], true);
            } else if done {
                h2.server.trailers(stream, header_map(&trailers));
            }
            self.touch(key);
            let x = &mut self.exchanges[slot as usize];
            x.outbox = outbox;
            x.own_rest = rest;
            x.answer_trailers = trailers;
            if waits > 0 {
                self.h2_waits(slot, waited - waits);
            } else {
                x.write_due = u64::MAX;
            }
            if done {
                self.finish(slot);
            }
        }
    }

    /// The stream of an exchange that is over.
    pub(super) fn h2_forget(&mut self, slot: u32, whole: bool) {
        let x = &self.exchanges[slot as usize];
        let (key, stream, body_ended) = (x.down, x.stream, x.inbox_ended && x.inbox.is_empty());
        let due = self.now + self.options.linger_ms;
        let Some(h2) = self.h2(key) else { return };
        if h2.streams.remove(&stream).is_none() {
            return;
        }
        if !whole {
            h2.server.reset(stream, INTERNAL_ERROR);
        } else if !body_ended {
            // The rest of the body is of no interest.
            h2.server.answered(stream, due);
        }
        self.touch(key);
        self.h2_idle(key);
    }

    /// A connection without streams has a deadline. One that was asked to leave has what its client needs to say that it has read that: all that it was sent before comes first.
    pub(super) fn h2_idle(&mut self, key: Key) {
        let (now, draining) = (self.now, self.draining);
        let (idle_ms, write_ms, linger_ms) = (self.options.idle_ms, self.options.write_ms, self.options.linger_ms);
        if let Some(Down {
            deadline,
            proto: Proto::H2(h2),
            ..
        }) = self.downs.get_mut(key)
            && h2.streams.is_empty()
        {
            *deadline = now
                + match h2.leaving {
                    false => idle_ms,
                    // `h2_over` waits for what is still on its way.
                    true if draining || !h2.served => linger_ms,
                    true => write_ms,
                };
        }
    }

    /// The connection is over; what was framed before still goes out.
    pub(super) fn h2_over(&mut self, key: Key) {
        let slots: Vec<u32> = match self.h2(key) {
            Some(h2) => h2.streams.drain().map(|(_, slot)| slot).collect(),
            None => return,
        };
        for slot in slots {
            self.abort(slot, false);
        }
        let Some(down) = self.downs.get_mut(key) else { return };
        if !down.io.flush() {
            return self.drop_down(key);
        }
        let sent = down.io.pending() == 0;
        let mut last = H1::new();
        last.stage = Stage::Linger;
        last.drop_left = self.options.linger_bytes_max;
        last.speaks = true;
        down.proto = Proto::H1(last);
        // Else `down_writable` ends it, or the deadline of a client that takes nothing.
        down.deadline = u64::MAX;
        if sent {
            self.linger(key);
        }
    }

    /// The connection was lost.
    pub(super) fn h2_lost(&mut self, key: Key) {
        let slots: Vec<u32> = match self.h2(key) {
            Some(h2) => h2.streams.drain().map(|(_, slot)| slot).collect(),
            None => return,
        };
        for slot in slots {
            self.abort(slot, false);
        }
        if let Some(down) = self.downs.get_mut(key) {
            down.io.flush();
            down.io.shut_down();
        }
        self.drop_down(key);
    }

    pub(super) fn h2_writable(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        if !down.io.flush() {
            return self.h2_lost(key);
        }
        self.h2_turn(key);
        self.resume_down.push(key);
    }

    /// Asks the client to leave: GOAWAY, then the streams that are open.
    pub(super) fn h2_leave(&mut self, key: Key) {
        let Some(h2) = self.h2(key) else { return };
        if !std::mem::replace(&mut h2.leaving, true) {
            h2.server.go_away();
            self.h2_idle(key);
            self.h2_turn(key);
        }
    }

    /// 16 bytes in base64 for a handshake that we begin for an HTTP/2 client (RFC 6455 §4.1). It proves nothing but that the upstream speaks the protocol.
    fn websocket_key(&mut self) -> [u8; 24] {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut key = *b"AAAAAAAAAAAAAAAAAAAAAA==";
        for digit in &mut key[..21] {
            self.nonce = self
                .nonce
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *digit = DIGITS[(self.nonce >> 58) as usize];
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::super::options::{ListenPlan, Options};
    use super::*;
    use crate::h2::Client;
    use crate::layout::{event, verdict, word};

    const LONG: usize = 6_000_000;

    /// The slot of the request that a client begins with.
    fn begun(engine: &mut Engine, stream: &mut TcpStream, client: &mut Client) -> u32 {
        let mut room = [0; 16 * 1024];
        for _ in 0..1_000 {
            engine.poll();
            for place in 0..engine.event_count() {
                let [kind, slot, ..] = engine.slots.read_event(place);
                if kind == event::BEGIN {
                    engine.told();
                    return slot as u32;
                }
            }
            engine.told();
            if let Ok(n) = stream.read(&mut room) {
                client.feed(&room[..n]);
            }
            client.poll(&mut Vec::new()).unwrap();
            let n = client.output().len();
            stream.write_all(client.output()).unwrap();
            client.sent(n);
        }
        panic!("no request");
    }

    #[test]
    fn what_a_window_does_not_take_of_a_kept_body_is_not_copied() {
        let mut engine = Engine::new(Options::default(), Vec::new()).unwrap();
        let plan = ListenPlan {
            http2: true,
            ..ListenPlan::plain("127.0.0.1:0".parse().unwrap())
        };
        let port = engine.listen(plan).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut client = Client::new(&Limits::default());
        let parts = http::Request::get("http://a/").body(()).unwrap().into_parts().0;
        client.request(parts, true).unwrap();
        let slot = begun(&mut engine, &mut stream, &mut client);
        let number = engine.keep(&vec![b'x'; LONG]);
        assert!(engine.set_kept(slot, number, 0, LONG));
        for at in [word::TARGET_AT, word::ANSWER_EDITS_AT] {
            engine.slots.set_word(slot, at + 1, 0);
        }
        engine.slots.set_word(slot, word::CHOICE, 200);
        engine.slots.set_word(slot, word::VERDICT, verdict::ANSWER);
        engine.apply(slot);
        let x = &engine.exchanges[slot as usize];
        assert_eq!((x.phase, x.bytes_out), (Phase::Answering, LONG as u64));
        assert_eq!(x.outbox.capacity(), 0);
        // A client that takes nothing of it is given up.
        assert!(x.write_due < u64::MAX && x.own_rest.len() > LONG / 2);
        drop(stream);
        while engine.open_exchanges() > 0 {
            engine.poll();
        }
        engine.told();
        assert!(engine.exchanges[slot as usize].own_rest.is_empty());
    }
}

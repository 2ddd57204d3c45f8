//! HTTP/2 upstreams: connections that many exchanges share.

use std::collections::HashMap;

use super::Engine;
use super::h2_down::FRAMED_BYTES_MAX;
use super::hedge::Hedge;
use super::io::Got;
use super::lines::{header_map, request_parts, response_text, trailer_lines};
use super::slab::Key;
use super::state::{After, Due, Phase, Up, UpStage};
use crate::h2::{Client, Event, Limits};
use crate::http1::{Framing, Parsed, Progress, parse_response};
use crate::layout::{FailReason, Fault};
use crate::lent::Body;

const OUTPUT_BYTES_MAX: usize = 256 * 1024;
const ROUNDS_MAX: usize = 16;
/// Code of RFC 9113 §7: the stream is no longer needed.
const CANCEL: u32 = 8;

/// The HTTP/2 state of an upstream connection.
pub struct H2Up {
    pub client: Client,
    pub streams: HashMap<u32, u32>,
    pub touched: bool,
    /// Since when something is asked and nothing at all was said; engine time, ms. u64::MAX: nothing is asked.
    pub silent_since: u64,
    /// No more streams are opened on it.
    pub leaving: bool,
}

impl Engine {
    fn h2_up(&mut self, key: Key) -> Option<&mut H2Up> {
        self.ups.get_mut(key)?.h2.as_deref_mut()
    }

    pub(super) fn touch_up(&mut self, key: Key) {
        let Some(h2) = self.h2_up(key) else { return };
        if !std::mem::replace(&mut h2.touched, true) {
            self.touched_up.push(key);
        }
    }

    /// The connection stands: it is HTTP/2 from its first byte.
    pub(super) fn h2_up_stands(&mut self, key: Key) {
        let idle_ms = self.options.idle_ms;
        let due = self.now + idle_ms;
        let Some(up) = self.ups.get_mut(key) else { return };
        up.stage = UpStage::Shared;
        up.deadline = due;
        up.h2 = Some(Box::new(H2Up {
            client: Client::new(&Limits::upstream()),
            streams: HashMap::new(),
            touched: false,
            silent_since: u64::MAX,
            leaving: false,
        }));
        let endpoint = up.endpoint;
        self.endpoints[endpoint as usize].shared.push(key);
        self.touch_up(key);
        self.h2_up_serve(endpoint);
    }

    /// Exchanges that wait get streams, as far as there are any.
    fn h2_up_serve(&mut self, endpoint: u32) {
        while let Some(slot) = self.endpoints[endpoint as usize].waiting.front().copied() {
            if !self.share_connection(slot, endpoint) {
                return self.open_connections_to(endpoint);
            }
            let waiting = &mut self.endpoints[endpoint as usize].waiting;
            if waiting.front() == Some(&slot) {
                waiting.pop_front();
            }
        }
    }

    /// Sends the request on a connection that is there. False when none has room.
    pub(super) fn share_connection(&mut self, slot: u32, endpoint: u32) -> bool {
        for place in 0..self.endpoints[endpoint as usize].shared.len() {
            let key = self.endpoints[endpoint as usize].shared[place];
            if self.h2_up_ready(key) {
                return self.h2_up_request(slot, key);
            }
        }
        false
    }

    fn h2_up_ready(&mut self, key: Key) -> bool {
        self.h2_up(key).is_some_and(|h2| h2.client.ready())
    }

    fn h2_up_request(&mut self, slot: u32, key: Key) -> bool {
        let now = self.now;
        let body_rate_ms = self.options.body_rate_ms;
        let replay_max = self.options.replay_bytes_max;
        let Some(up) = self.ups.get_mut(key) else { return false };
        let secure = up.io.tls.is_some();
        let x = &mut self.exchanges[slot as usize];
        let bodiless = x.body_ended && x.kept.is_empty() && x.trailers.is_empty();
        let parts = request_parts(&x.head_out, secure, x.grpc, &mut self.known_fields);
        let Some(h2) = up.h2.as_deref_mut() else { return false };
        let sayable = parts.is_some();
        let Some(stream) = parts.and_then(|parts| h2.client.request(parts, bodiless)) else {
            if sayable && !h2.client.ready() {
                return false;
            }
            // A request that HTTP/2 cannot say, such as a WebSocket handshake of HTTP/1.1: no connection will have room for it, and the endpoint is not to blame.
            if matches!(x.hedge, Hedge::Of { .. }) {
                self.fail(slot, FailReason::Busy);
            } else {
                self.refuse_for(slot, Fault::NotImplemented);
            }
            return true;
        };
        h2.streams.insert(stream, slot);
        h2.silent_since = h2.silent_since.min(now);
        up.deadline = u64::MAX;
        x.phase = Phase::Forwarding;
        x.up = Some(key);
        x.up_stream = stream;
        x.written = true;
        x.on_reused = false;
        x.request_ended = bodiless;
        x.due = Due::Head;
        x.deadline = now + x.head_ms;
        // Messages of a call come when there is something to say, and what waits for them holds a stream, not a connection.
        x.rate_at = if x.grpc && x.stream != 0 {
            u64::MAX
        } else {
            now + body_rate_ms
        };
        x.rate_bytes = x.received;
        x.uplink.clear();
        x.uplink.extend_from_slice(&x.kept);
        x.kept_sent = x.kept.len();
        if x.kept.len() > replay_max && !x.body_ended {
            x.kept = Body::default();
            x.kept_sent = 0;
            x.kept_all = false;
        }
        self.touch_up(key);
        if !bodiless {
            self.h2_up_pump(slot);
            self.resume_body_of(slot);
        }
        true
    }

    /// Body bytes that wait, then the end, as far as the windows allow.
    pub(super) fn h2_up_pump(&mut self, slot: u32) {
        let x = &mut self.exchanges[slot as usize];
        let (Some(key), stream) = (x.up, x.up_stream) else {
            return;
        };
        if x.request_ended {
            return;
        }
        let mut uplink = std::mem::take(&mut x.uplink);
        let ended = x.body_ended;
        let trailers = std::mem::take(&mut x.trailers);
        let mut done = false;
        if let Some(h2) = self.h2_up(key) {
            if !uplink.is_empty() {
                let taken = h2.client.data(stream, &uplink, ended && trailers.is_empty());
                uplink.drain(..taken);
            }
            done = ended && uplink.is_empty();
            if done && trailers.is_empty() {
                h2.client.data(stream, &[], true);
            } else if done {
                h2.client.trailers(stream, header_map(&trailers));
            }
        }
        let x = &mut self.exchanges[slot as usize];
        x.uplink = uplink;
        x.trailers = trailers;
        x.request_ended = done;
        self.touch_up(key);
    }

    pub(super) fn h2_up_read(&mut self, key: Key, scratch: &mut [u8]) {
        let now = self.now;
        for _ in 0..super::READS_PER_TURN {
            let Some(up) = self.ups.get_mut(key) else { return };
            let Some(h2) = up.h2.as_deref_mut() else { return };
            if !h2.client.wants_input() {
                return;
            }
            match up.io.read(scratch) {
                Got::Bytes(n) => {
                    h2.silent_since = if h2.streams.is_empty() { u64::MAX } else { now };
                    h2.client.feed(&scratch[..n]);
                    self.h2_up_turn(key);
                }
                Got::Wait => return,
                Got::End => {
                    h2.client.feed_end();
                    return self.h2_up_turn(key);
                }
                Got::Broken => return self.h2_up_lost(key),
            }
        }
        self.resume_up.push(key);
    }

    pub(super) fn h2_up_turn(&mut self, key: Key) {
        let mut events = std::mem::take(&mut self.h2_events);
        self.h2_up_rounds(key, &mut events);
        self.keep_events(events);
    }

    fn h2_up_rounds(&mut self, key: Key, events: &mut Vec<Event>) {
        for _ in 0..ROUNDS_MAX {
            let Some(h2) = self.h2_up(key) else { return };
            h2.touched = false;
            let state = h2.client.poll(events);
            let quiet = events.is_empty();
            for event in events.drain(..) {
                self.h2_up_event(key, event);
            }
            let sent = self.h2_up_send(key);
            if state.is_err() {
                return self.h2_up_lost(key);
            }
            // Streams become free without an exchange that says so: the upstream allows more of them, or has been told of resets.
            if let Some(endpoint) = self.ups.get(key).map(|up| up.endpoint)
                && !self.endpoints[endpoint as usize].waiting.is_empty()
                && self.h2_up_ready(key)
            {
                self.h2_up_serve(endpoint);
            }
            if quiet && sent < FRAMED_BYTES_MAX && !self.h2_up(key).is_some_and(|h2| h2.touched) {
                return;
            }
        }
        self.touch_up(key);
    }

    fn h2_up_send(&mut self, key: Key) -> usize {
        let Some(Up { io, h2: Some(h2), .. }) = self.ups.get_mut(key) else {
            return 0;
        };
        let n = h2.client.output().len();
        if n == 0 || io.pending() >= OUTPUT_BYTES_MAX {
            return 0;
        }
        io.write(h2.client.output());
        h2.client.sent(n);
        n
    }

    fn h2_up_event(&mut self, key: Key, event: Event) {
        match event {
            Event::Response { stream, parts, ended } => self.h2_up_response(key, stream, &parts, ended),
            Event::Informational { stream, parts } => {
                let Some(slot) = self.h2_up_slot(key, stream) else {
                    return;
                };
                self.with_response_text(slot, &parts, true, |engine, text, head| {
                    engine.interim(slot, text, head)
                });
            }
            Event::Data { stream, bytes, ended } => {
                let Some(slot) = self.h2_up_slot(key, stream) else {
                    if let Some(h2) = self.h2_up(key) {
                        h2.client.release(stream, bytes.len());
                    }
                    return;
                };
                self.answer_bytes(slot, &bytes, if ended { After::Nothing } else { After::Unknown });
                self.exchanges[slot as usize].unreleased += bytes.len();
                if self.client_has_room(slot) {
                    self.h2_up_release(slot);
                }
                if ended {
                    self.h2_up_ended(key, slot, &[]);
                }
            }
            Event::Trailers { stream, fields } => {
                let Some(slot) = self.h2_up_slot(key, stream) else {
                    return;
                };
                let lines = trailer_lines(&fields);
                self.h2_up_ended(key, slot, &lines);
            }
            Event::Writable { stream } => {
                let Some(slot) = self.h2_up_slot(key, stream) else {
                    return;
                };
                self.h2_up_pump(slot);
                self.resume_body_of(slot);
            }
            Event::Reset {
                stream, unprocessed, ..
            } => {
                let Some(h2) = self.h2_up(key) else { return };
                let Some(slot) = h2.streams.remove(&stream) else { return };
                self.h2_up_broke(slot, !unprocessed);
                self.h2_up_freed(key);
            }
            Event::Closing => {
                // It takes no more: those that wait go elsewhere.
                self.h2_up_retire(key);
                if let Some(up) = self.ups.get(key) {
                    let endpoint = up.endpoint;
                    self.open_connections_to(endpoint);
                }
            }
            Event::Request { .. } => {}
        }
    }

    fn h2_up_slot(&mut self, key: Key, stream: u32) -> Option<u32> {
        self.h2_up(key)?.streams.get(&stream).copied()
    }

    fn with_response_text(
        &mut self,
        slot: u32,
        parts: &http::response::Parts,
        ended: bool,
        then: impl FnOnce(&mut Self, &[u8], &crate::http1::ResponseHead),
    ) -> bool {
        let mut text = Vec::with_capacity(512);
        response_text(parts, &mut text);
        let mut head = std::mem::take(&mut self.response_head);
        let to_head = self.exchanges[slot as usize].is_head();
        let parsed = parse_response(&mut text, &mut Progress::default(), &mut head, to_head);
        let sound = matches!(parsed, Parsed::Done(_));
        if sound {
            // HTTP/2 frames bodies by itself: what has no length goes on until the stream ends.
            if ended && !to_head {
                head.framing = Framing::None;
            } else if !ended && head.framing == Framing::UntilClose {
                head.framing = Framing::Chunked;
            }
            then(self, &text, &head);
        }
        self.response_head = head;
        sound
    }

    fn h2_up_response(&mut self, key: Key, stream: u32, parts: &http::response::Parts, ended: bool) {
        let Some(slot) = self.h2_up_slot(key, stream) else {
            return;
        };
        let status = parts.status.as_u16();
        let mut passes = None;
        let sound = (200..600).contains(&status)
            && self.with_response_text(slot, parts, ended, |engine, text, head| {
                passes = engine.race(slot, status);
                if let Some(slot) = passes {
                    engine.answer_arrived(slot, text, head);
                }
            });
        if !sound {
            return self.fail(slot, FailReason::Invalid);
        }
        if ended && let Some(slot) = passes {
            self.h2_up_ended(key, slot, &[]);
        }
    }

    /// The response is complete.
    fn h2_up_ended(&mut self, key: Key, slot: u32, trailers: &[u8]) {
        // All of it is here: the connection's window is for the others again.
        self.h2_up_release(slot);
        self.h2_up_forget(slot, key, true);
        self.exchanges[slot as usize].up = None;
        self.exchanges[slot as usize].unreleased = 0;
        self.answer_end(slot, trailers);
    }

    /// The stream of an exchange that needs it no more.
    pub(super) fn h2_up_forget(&mut self, slot: u32, key: Key, whole: bool) {
        let x = &mut self.exchanges[slot as usize];
        let stream = std::mem::take(&mut x.up_stream);
        let request_ended = x.request_ended;
        let Some(h2) = self.h2_up(key) else { return };
        if h2.streams.remove(&stream).is_some() && !(whole && request_ended) {
            h2.client.reset(stream, CANCEL);
        }
        self.h2_up_freed(key);
    }

    /// A stream of the connection has ended, whoever ended it.
    fn h2_up_freed(&mut self, key: Key) {
        let (idle, linger) = (self.now + self.options.idle_ms, self.now + self.options.linger_ms);
        let Some(up) = self.ups.get_mut(key) else { return };
        let endpoint = up.endpoint;
        let Some(h2) = up.h2.as_deref_mut() else { return };
        if h2.streams.is_empty() {
            up.deadline = if h2.leaving { linger } else { idle };
        }
        self.touch_up(key);
        if !self.endpoints[endpoint as usize].waiting.is_empty() {
            self.h2_up_serve(endpoint);
        }
    }

    /// The stream was broken off. `read`: the upstream may have read the request.
    fn h2_up_broke(&mut self, slot: u32, read: bool) {
        let x = &mut self.exchanges[slot as usize];
        x.up = None;
        x.up_stream = 0;
        match x.phase {
            Phase::Forwarding => self.fail_read(slot, FailReason::Reset, read),
            Phase::Judging => self.held_broke(slot, FailReason::Reset),
            Phase::Answering | Phase::Tunnel => {
                if x.answer_ended {
                    return;
                }
                self.abort(slot, true);
                self.cut(slot);
            }
            Phase::Free | Phase::Deciding | Phase::Waiting | Phase::Over => {}
        }
    }

    pub(super) fn h2_up_release(&mut self, slot: u32) {
        let x = &mut self.exchanges[slot as usize];
        let n = std::mem::take(&mut x.unreleased);
        let stream = x.up_stream;
        let Some(key) = x.up else { return };
        if let Some(h2) = self.h2_up(key) {
            h2.client.release(stream, n);
            self.touch_up(key);
        }
    }

    pub(super) fn h2_up_lost(&mut self, key: Key) {
        let slots: Vec<u32> = match self.h2_up(key) {
            Some(h2) => h2.streams.drain().map(|(_, slot)| slot).collect(),
            None => Vec::new(),
        };
        let why = self.ups.get(key).and_then(|up| up.io.tls_failure()).unwrap_or_default();
        self.drop_up(key);
        for slot in slots {
            self.exchanges[slot as usize].failure = why.as_str().into();
            self.h2_up_broke(slot, true);
        }
    }

    pub(super) fn h2_up_writable(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        if !up.io.flush() {
            return self.h2_up_lost(key);
        }
        self.h2_up_turn(key);
        self.resume_up.push(key);
    }

    /// The answer to an exchange did not come in time. A connection on which nothing was said for half of that time is no better than none: its host may be gone without a word,
    /// and the system would not find that out for a quarter of an hour. Half: SETTINGS of a new connection come after its first request. Streams that are open on it have their own time.
    pub(super) fn h2_up_overdue(&mut self, slot: u32) {
        let now = self.now;
        let x = &self.exchanges[slot as usize];
        let (Some(key), head_ms) = (x.up, x.head_ms) else {
            return;
        };
        let silent = self
            .h2_up(key)
            .is_some_and(|h2| h2.silent_since.saturating_add(head_ms / 2) <= now);
        if silent {
            self.h2_up_retire(key);
        }
    }

    /// No more streams are opened on it; those that are open go on.
    fn h2_up_retire(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let endpoint = up.endpoint;
        let Some(h2) = up.h2.as_deref_mut() else { return };
        let e = &mut self.endpoints[endpoint as usize];
        e.retired += u32::from(!std::mem::replace(&mut h2.leaving, true));
        e.shared.retain(|k| *k != key);
        h2.client.go_away();
        self.touch_up(key);
    }

    /// The same at once; it ends when nothing is open on it.
    pub(super) fn h2_up_leave(&mut self, key: Key) {
        let due = self.now + self.options.linger_ms;
        let Some(up) = self.ups.get_mut(key) else { return };
        up.deadline = due;
        let idle = up.h2.as_deref().is_some_and(|h2| h2.streams.is_empty());
        self.h2_up_retire(key);
        self.h2_up_turn(key);
        if idle {
            self.drop_up(key);
        }
    }
}

//! A head becomes a slot's record, which decisions read; its body is collected for the stage that asks, or passes on.

use std::net::IpAddr;

use super::Engine;
use super::slab::Key;
use super::state::{Due, InBody, Phase, Stage};
use crate::http1::{Framing, RequestHead};
use crate::layout::{FIELD_HOP, FIELDS_AT, FIELDS_MAX, Fault, HEAD_BYTES_MAX, event, flag, verdict, word};

/// Answers of `inspect`, as `BodyState` in transport.ts.
pub const BODY_COMPLETE: i32 = 0;
/// The limit was reached.
pub const BODY_CUT: i32 = 1;
/// Still arriving.
pub const BODY_PENDING: i32 = 2;

/// Known id of Content-Type.
const CONTENT_TYPE: usize = 5;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Engine {
    /// Makes an exchange of an HTTP/1 head. With a fault, what could be read of it is still shown, for the record.
    pub(super) fn head_arrived(&mut self, key: Key, bytes: &[u8], head: &RequestHead, fault: Option<Fault>) {
        if fault.is_none() && self.shed_http1(key, head) {
            return;
        }
        let Some(slot) = self.take_slot() else {
            // No room even to refuse it in words.
            self.drop_down(key);
            return;
        };
        let sound = fault.is_none();
        let draining = self.draining;
        let last = self.options.requests_per_connection_max;
        let Some(h1) = self.h1(key) else { return };
        h1.requests += 1;
        h1.stage = Stage::Exchange;
        h1.slot = slot;
        h1.is_last = sound && !head.keep_alive;
        h1.keep_alive = sound && head.keep_alive && !draining && (last == 0 || h1.requests < last);
        h1.body = if sound {
            Self::in_body(&head.framing)
        } else {
            InBody::Done
        };
        let ended = matches!(h1.body, InBody::Done);
        self.begin(slot, key, 0, bytes, head, fault);
        let x = &mut self.exchanges[slot as usize];
        x.body_ended = ended;
        x.expects = sound && head.expect_continue && !ended;
    }

    /// Fills a slot and tells of it.
    pub(super) fn begin(
        &mut self,
        slot: u32,
        key: Key,
        stream: u32,
        bytes: &[u8],
        head: &RequestHead,
        fault: Option<Fault>,
    ) {
        let sound = fault.is_none();
        let Some(down) = self.downs.get_mut(key) else { return };
        down.deadline = u64::MAX;
        let (listener, peer, local_port) = (down.listener, down.peer, down.local_port);
        let secure = down.io.tls.is_some();
        let grpc = sound && is_call(head, bytes);

        let x = &mut self.exchanges[slot as usize];
        x.begin(key, stream);
        x.method = head.method;
        x.http10 = head.http10;
        x.websocket = sound && head.websocket;
        x.grpc = grpc;
        x.has_body = sound && !matches!(head.framing, Framing::None);
        x.declared = match head.framing {
            Framing::Length(n) => Some(n),
            _ => None,
        };
        x.due = Due::Decision;
        x.deadline = self.now + self.options.decide_ms;
        let generation = x.generation;
        self.open += 1;

        let mut flags = 0;
        for (bit, on) in [
            (flag::SECURE, secure),
            (flag::HTTP10, head.http10),
            (flag::WEBSOCKET, x.websocket),
            (flag::HTTP2, stream != 0),
            (flag::GRPC, grpc),
        ] {
            if on {
                flags |= bit;
            }
        }
        let kept = bytes.len().min(HEAD_BYTES_MAX);
        x.head_bytes = kept;
        self.slots.head(slot)[..kept].copy_from_slice(&bytes[..kept]);
        let record = self.slots.record(slot);
        record[word::GENERATION] = generation;
        record[word::METHOD] = i32::from(head.method);
        record[word::FLAGS] = flags;
        record[word::FAULT] = fault.map_or(0, |f| f as i32);
        let (kind, length) = match head.framing {
            Framing::Length(n) => (1, n),
            Framing::Chunked => (2, 0),
            Framing::None | Framing::UntilClose => (0, 0),
        };
        record[word::BODY_KIND] = if sound { kind } else { 0 };
        record[word::BODY_LENGTH] = length as i32;
        record[word::BODY_LENGTH + 1] = (length >> 32) as i32;
        for (at, span) in [
            (word::METHOD_AT, head.method_at),
            (word::PATH_AT, head.path),
            (word::QUERY_AT, head.query),
            (word::HOST_AT, head.host),
        ] {
            let inside = (span.at + span.len) as usize <= kept;
            record[at] = if inside { span.at as i32 } else { 0 };
            record[at + 1] = if inside { span.len as i32 } else { 0 };
        }
        record[word::LISTENER] = self.listeners[listener].plan.number as i32;
        record[word::PEER_PORT] = i32::from(peer.port());
        record[word::LOCAL_PORT] = i32::from(local_port);
        write_address(record, peer.ip());
        record[word::CONNECTION] = if secure { slot as i32 } else { -1 };
        record[word::VERDICT] = verdict::NONE;
        record[word::COMPRESS] = 0;
        // A broken head's fields may be half read: none is shown.
        let fields = if sound {
            &head.fields[..head.fields.len().min(FIELDS_MAX)]
        } else {
            &[]
        };
        record[word::FIELD_COUNT] = fields.len() as i32;
        record[word::FIELD_BYTES] = head.field_bytes as i32;
        record[word::REPEATED] = if sound { head.repeated as i32 } else { 0 };
        for (id, place) in head.known.iter().enumerate() {
            record[word::KNOWN + id] = if sound { i32::from(*place) } else { -1 };
        }
        let mut at = FIELDS_AT / 4;
        for field in fields {
            record[at] = (field.value.at | (field.value.len << 16)) as i32;
            let hop = if field.hop { FIELD_HOP } else { 0 };
            record[at + 1] = (field.name.at | (field.name.len << 16) | (u32::from(field.known) << 24)) as i32 | hop;
            at += 2;
        }
        self.waits.passed();
        self.tell(event::BEGIN, slot, [0; 5]);
    }

    /// A part of the body has arrived, or its end.
    pub(super) fn body_bytes(&mut self, slot: u32, bytes: &[u8], ended: bool) {
        let x = &mut self.exchanges[slot as usize];
        if x.received > x.body_max {
            // Refused already: the rest of what was read with it.
            return;
        }
        x.received += bytes.len() as u64;
        x.body_ended |= ended;
        if x.received > x.body_max {
            x.body_ended = true;
            self.body_is_done_with(slot);
            self.refuse_for(slot, Fault::BodyTooLarge);
            return;
        }
        // What came in one read with bytes that were asked for is not lost when those were enough.
        if matches!(x.phase, Phase::Deciding | Phase::Waiting) && x.kept_all {
            x.kept.extend_from_slice(bytes);
            x.collected += bytes.len();
            self.collected += bytes.len();
        }
        if x.phase == Phase::Deciding && x.inspecting {
            // One byte more than was asked for tells a cut body from one that ends there.
            let full = x.kept.len() > x.inspect_max;
            if ended || full {
                x.inspecting = false;
                x.due = Due::Decision;
                x.deadline = self.now + self.options.decide_ms;
                self.tell(event::BODY, slot, [0; 5]);
            } else if self.collected > self.options.collected_bytes_max {
                self.refuse_for(slot, Fault::Overloaded);
            }
            return;
        }
        if matches!(x.phase, Phase::Forwarding | Phase::Judging | Phase::Answering) {
            self.send_body(slot, bytes);
        }
    }

    /// No further body byte of this exchange is of interest: the connection drops the rest by itself.
    fn body_is_done_with(&mut self, slot: u32) {
        let x = &self.exchanges[slot as usize];
        let key = x.down;
        if let Some(h1) = self.h1(key) {
            h1.keep_alive = false;
        }
    }

    /// Asks for up to `limit` bytes of the body. That of an exchange which is over, as will be heard, stays pending: it may be half a body.
    pub fn inspect(&mut self, slot: u32, generation: i32, limit: u32) -> i32 {
        let Some(x) = self.exchanges.get_mut(slot as usize) else {
            return BODY_PENDING;
        };
        if x.generation != generation || matches!(x.phase, Phase::Free | Phase::Over) {
            return BODY_PENDING;
        }
        if x.phase != Phase::Deciding || !x.kept_all {
            return BODY_COMPLETE;
        }
        let limit = limit as usize;
        x.inspect_max = limit;
        if x.kept.len() > limit {
            return BODY_CUT;
        }
        if x.body_ended {
            return BODY_COMPLETE;
        }
        x.inspecting = true;
        x.due = Due::Body;
        x.deadline = self.now + self.options.collect_ms;
        let (key, stream, expects) = (x.down, x.stream, std::mem::take(&mut x.expects));
        if stream != 0 {
            if expects {
                self.h2_respond(slot, 100, &[], false);
            }
            self.resume_body.push(slot);
            return BODY_PENDING;
        }
        if expects && let Some(down) = self.downs.get_mut(key) {
            down.io.write(CONTINUE);
        }
        self.resume_down.push(key);
        BODY_PENDING
    }

    /// What was collected, up to the limit that was asked for.
    #[must_use]
    pub fn body(&self, slot: u32) -> &[u8] {
        self.exchanges.get(slot as usize).map_or(&[], |x| {
            let shown = x.kept.len().min(x.inspect_max);
            &x.kept[..shown]
        })
    }

    /// Number by which other threads find what was collected of the request's body, until the exchange is over ([`crate::lent`]); None: none is there, or too much is lent.
    pub fn lend(&mut self, slot: u32) -> Option<u64> {
        self.exchanges.get_mut(slot as usize)?.kept.lend()
    }

    /// The answer's head goes out: no other attempt follows, and what was kept of the body for one leaves its room to others, however long the answer takes.
    pub(super) fn let_go_of_body(&mut self, slot: u32) {
        let x = &mut self.exchanges[slot as usize];
        self.collected -= std::mem::take(&mut x.collected);
        x.clear_kept();
        x.kept_sent = 0;
        x.kept_all = false;
    }

    /// The transport itself has a reason to refuse: decisions are told, and word it. After the answer's head it can only be cut off.
    pub(super) fn refuse_for(&mut self, slot: u32, fault: Fault) {
        let x = &mut self.exchanges[slot as usize];
        match x.phase {
            Phase::Free | Phase::Over => return,
            Phase::Answering | Phase::Tunnel => {
                self.abort(slot, false);
                self.cut(slot);
                return;
            }
            Phase::Judging => self.drop_held(slot),
            Phase::Deciding | Phase::Waiting | Phase::Forwarding => {}
        }
        self.let_go_of_upstream(slot);
        let x = &mut self.exchanges[slot as usize];
        x.phase = Phase::Deciding;
        x.inspecting = false;
        x.due = Due::Decision;
        x.deadline = self.now + self.options.decide_ms;
        self.tell(event::REFUSED, slot, [fault as i32, 0, 0, 0, 0]);
    }
}

/// Whether a sound request is a call of gRPC.
pub(super) fn is_call(head: &RequestHead, bytes: &[u8]) -> bool {
    usize::try_from(head.known[CONTENT_TYPE])
        .ok()
        .and_then(|place| head.fields.get(place))
        .is_some_and(|field| is_grpc(field.value.of(bytes)))
}

/// `application/grpc`, alone or with a suffix (the gRPC protocol over HTTP/2).
fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn write_address(record: &mut [i32], address: IpAddr) {
    let mut bytes = [0_u8; 16];
    let count = match address {
        IpAddr::V4(a) => {
            bytes[..4].copy_from_slice(&a.octets());
            4
        }
        IpAddr::V6(a) => {
            bytes = a.octets();
            16
        }
    };
    record[word::PEER_BYTES] = count;
    for (i, part) in bytes.chunks_exact(4).enumerate() {
        record[word::PEER_ADDRESS + i] = i32::from_ne_bytes([part[0], part[1], part[2], part[3]]);
    }
}

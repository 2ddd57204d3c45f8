//! Verdicts, and the request on its way upstream.

use super::Engine;
use super::fields::{Edits, grpc_timeout_ms, is_claim, nominates, retain_lines, via, write_field, write_length};
use super::hedge::Hedge;
use super::slab::Key;
use super::slots::Slots;
use super::state::{Due, Exchange, Phase};
use crate::http1::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE, chunk_prefix};
use crate::layout::{FIELD_HOP, FIELDS_AT, FIELDS_MAX, FailReason, Fault, event, verdict, word};
use crate::lent::Body;

/// Of what an attempt failed of: names in a certificate are its owner's.
const FAILURE_CHARS_MAX: usize = 300;

impl Engine {
    /// Takes the verdict in the slot's record. One that comes late, or is none, changes nothing.
    pub fn apply(&mut self, slot: u32) {
        let Some(x) = self.exchanges.get(slot as usize) else {
            return;
        };
        let phase = x.phase;
        if self.slots.word(slot, word::VERDICT) == verdict::HEDGE
            && self.slots.word(slot, word::GENERATION) == x.generation
        {
            self.slots.set_word(slot, word::VERDICT, verdict::NONE);
            self.hedge(slot);
            return self.go_on();
        }
        if !matches!(phase, Phase::Deciding | Phase::Judging) || self.slots.word(slot, word::GENERATION) != x.generation
        {
            return;
        }
        let said = self.slots.word(slot, word::VERDICT);
        self.slots.set_word(slot, word::VERDICT, verdict::NONE);
        if phase == Phase::Judging
            && matches!(
                said,
                verdict::REFUSE | verdict::ANSWER | verdict::PAGE | verdict::FORWARD
            )
        {
            // The upstream's answer is dropped, its connection or stream with it unless all of it is here. Another attempt may follow instead of an answer of our own.
            self.drop_held(slot);
            self.let_go_of_upstream(slot);
            self.exchanges[slot as usize].phase = Phase::Deciding;
        }
        match said {
            verdict::PASS if phase == Phase::Judging => self.pass(slot),
            verdict::FORWARD => self.forward(slot),
            verdict::REFUSE => self.refuse(slot, false),
            verdict::PAGE => self.refuse(slot, true),
            verdict::ANSWER => self.answer_own(slot),
            _ => {}
        }
        self.go_on();
    }

    fn forward(&mut self, slot: u32) {
        let endpoint = self.slots.word(slot, word::CHOICE);
        let known = usize::try_from(endpoint).is_ok_and(|e| self.endpoints.get(e).is_some_and(|e| e.plan.is_some()));
        let ms = |slots: &Slots, at| u64::try_from(slots.word(slot, at)).unwrap_or(0);
        let low = self.slots.word(slot, word::BODY_MAX) as u32;
        let high = self.slots.word(slot, word::BODY_MAX + 1) as u32;
        let compress = self.compression(slot);
        let x = &mut self.exchanges[slot as usize];
        x.inspecting = false;
        x.connect_ms = ms(&self.slots, word::CONNECT_MS);
        x.head_ms = ms(&self.slots, word::HEAD_MS);
        x.idle_ms = ms(&self.slots, word::IDLE_MS);
        x.body_max = u64::from(low) | (u64::from(high) << 32);
        x.asks = self.slots.word(slot, word::ASKS) & 1 != 0;
        x.compress = compress;
        if x.grpc && x.client_deadline == u64::MAX {
            x.client_deadline = field(&self.slots, slot, b"grpc-timeout")
                .and_then(grpc_timeout_ms)
                .map_or(u64::MAX, |ms| self.now + ms);
        }
        x.call_deadline = x.call_deadline.min(x.client_deadline);
        let total = ms(&self.slots, word::TOTAL_MS);
        if total > 0 {
            x.call_deadline = x.call_deadline.min(self.now + total);
        }
        if x.declared.unwrap_or(x.received) > x.body_max || x.received > x.body_max {
            self.refuse_for(slot, Fault::BodyTooLarge);
            return;
        }
        if !known {
            self.fail(slot, FailReason::Connect);
            return;
        }
        // What of its body went with another attempt is gone: the rest alone would be another request.
        let sayable = self.sayable(slot);
        let x = &mut self.exchanges[slot as usize];
        if !x.kept_all || !sayable {
            self.abort(slot, false);
            return self.cut(slot);
        }
        strip_trailers(&self.slots, slot, x);
        x.endpoint = endpoint as u32;
        x.kept_sent = 0;
        x.sent_again = false;
        x.raced = 0;
        let mut head = std::mem::take(&mut x.head_out);
        head.clear();
        let whole = write_request_head(&self.slots, slot, x, &mut head);
        x.upstream_chunked = x.has_body && x.declared.is_none() && !whole;
        x.head_out = head;
        let hedge_ms = ms(&self.slots, word::HEDGE_MS);
        if hedge_ms > 0 {
            self.await_hedge(slot, hedge_ms);
        }
        self.wait_for_connection(slot);
    }

    /// The body has ended with these trailer lines.
    pub(super) fn set_trailers(&mut self, slot: u32, lines: Vec<u8>) {
        let x = &mut self.exchanges[slot as usize];
        x.trailers = lines;
        // Before there is a verdict, it is done with that.
        if x.phase != Phase::Deciding {
            strip_trailers(&self.slots, slot, x);
        }
    }

    /// A line break in the request line would be a second one.
    pub(super) fn sayable(&self, slot: u32) -> bool {
        [word::TARGET_AT, word::AUTHORITY_AT].iter().all(|at| {
            let written = self.slots.written_at(slot, *at).unwrap_or_default();
            written.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
        })
    }

    /// A connection is there: head, and what is here of the body, go out in one piece.
    pub(super) fn send_request(&mut self, slot: u32, key: Key, reused: bool) {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let now = self.now;
        let replay_max = self.options.replay_bytes_max;
        let x = &mut self.exchanges[slot as usize];
        x.phase = Phase::Forwarding;
        x.up = Some(key);
        x.on_reused = reused;
        x.written = true;
        x.due = Due::Head;
        x.deadline = now + x.head_ms;
        x.rate_at = now + self.options.body_rate_ms;
        x.rate_bytes = x.received;
        out.extend_from_slice(&x.head_out);
        x.kept_sent = x.kept.len();
        encode(x, &mut out, true);
        let ended = x.body_ended;
        x.request_ended = ended;
        if x.kept.len() > replay_max && !ended {
            x.kept = Body::default();
            x.kept_sent = 0;
            x.kept_all = false;
        }
        let sent = self.ups.get_mut(key).is_some_and(|up| up.io.write(&out));
        self.out = out;
        if !sent {
            return self.upstream_takes_no_more(key);
        }
        if !ended {
            self.resume_body_of(slot);
        }
    }

    /// A part of the body that has just arrived, towards the upstream.
    pub(super) fn send_body(&mut self, slot: u32, bytes: &[u8]) {
        let replay_max = self.options.replay_bytes_max;
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let x = &mut self.exchanges[slot as usize];
        if x.kept_all {
            if x.kept.len() + bytes.len() <= replay_max {
                x.kept.extend_from_slice(bytes);
                x.kept_sent = x.kept.len();
            } else {
                x.kept = Body::default();
                x.kept_sent = 0;
                x.kept_all = false;
            }
        }
        if !x.kept_all {
            // More is sent on only when little waits: of what was collected, nearly all has left.
            self.collected -= std::mem::take(&mut x.collected);
        }
        if x.phase == Phase::Forwarding && x.due == Due::Head {
            x.deadline = self.now + x.head_ms;
        }
        if x.up_stream != 0 {
            x.uplink.extend_from_slice(bytes);
            self.out = out;
            return self.h2_up_pump(slot);
        }
        encode_part(x, bytes, &mut out);
        if x.body_ended {
            encode_end(x, &mut out);
            x.request_ended = true;
        }
        let up = x.up;
        let sent = match up.and_then(|key| self.ups.get_mut(key)) {
            Some(up) => up.io.write(&out),
            None => true,
        };
        self.out = out;
        if !sent && let Some(key) = up {
            self.upstream_takes_no_more(key);
        }
    }

    /// It has closed, or reset the connection. What it said before that, which may be a whole answer, is read first.
    pub(super) fn upstream_takes_no_more(&mut self, key: Key) {
        if let Some(up) = self.ups.get_mut(key) {
            up.io.readable = true;
            self.resume_up.push(key);
        }
    }

    /// Whether the upstream takes more of this exchange now.
    pub(super) fn upstream_takes(&self, slot: u32) -> bool {
        let x = &self.exchanges[slot as usize];
        if x.up_stream != 0 {
            return x.up.is_some() && x.uplink.len() < self.options.queue_bytes_max;
        }
        let Some(key) = x.up else {
            return false;
        };
        self.ups
            .get(key)
            .is_some_and(|up| up.io.pending() < self.options.queue_bytes_max)
    }

    pub(super) fn tunnel_up(&mut self, slot: u32, bytes: &[u8]) {
        let now = self.now;
        let x = &mut self.exchanges[slot as usize];
        x.received += bytes.len() as u64;
        if x.idle_ms > 0 {
            x.deadline = now + x.idle_ms;
        }
        let Some(key) = x.up else { return };
        if !self.ups.get_mut(key).is_some_and(|up| up.io.write(bytes)) {
            self.upstream_takes_no_more(key);
        }
    }

    /// As `fail`, with what is known of why.
    pub(super) fn fail_of(&mut self, slot: u32, reason: FailReason, why: &str) {
        self.exchanges[slot as usize].failure = why.chars().take(FAILURE_CHARS_MAX).collect();
        self.fail(slot, reason);
    }

    /// What the last attempt failed of, beyond the reason that was told; empty: no more is known.
    pub fn failure(&self, slot: u32) -> &str {
        self.exchanges.get(slot as usize).map_or("", |x| &x.failure)
    }

    /// Tells that an attempt failed. Whether there is another is for decisions to say.
    pub(super) fn fail(&mut self, slot: u32, reason: FailReason) {
        self.fail_read(slot, reason, true);
    }

    /// As `fail`; `read`: the upstream may have read the request.
    pub(super) fn fail_read(&mut self, slot: u32, reason: FailReason, read: bool) {
        if self.exchanges[slot as usize].hedge != Hedge::None && self.lost(slot, reason, 0) {
            return;
        }
        self.let_go_of_upstream(slot);
        let now = self.now;
        let decide_ms = self.options.decide_ms;
        let x = &mut self.exchanges[slot as usize];
        let unread = !read || !x.written || (x.idempotent() && reason == FailReason::Reset);
        let whole = x.complete_copy();
        let again = whole && (unread || reason == FailReason::Busy);
        let known = !x.failure.is_empty();
        x.phase = Phase::Deciding;
        x.written = false;
        x.due = Due::Decision;
        x.deadline = now + decide_ms;
        self.tell(
            event::FAILED,
            slot,
            [
                reason as i32,
                i32::from(again) | i32::from(whole) << 1,
                i32::from(known),
                0,
                0,
            ],
        );
    }
}

/// A request's trailers say no more than its head may, or nothing.
fn strip_trailers(slots: &Slots, slot: u32, x: &mut Exchange) {
    let edits = Edits(slots.written_at(slot, word::REQUEST_EDITS_AT).unwrap_or_default());
    let ends_here = |name: &[u8]| fields_of(slots, slot, b"connection").any(|options| nominates(options, name));
    let none = slots.word(slot, word::ASKS) & 2 != 0;
    retain_lines(&mut x.trailers, |name| {
        !none && !is_claim(name) && !edits.hides(name) && !ends_here(name)
    });
}

/// Body bytes that are kept, in the coding of the upstream request; `end`: and its end if all is here.
fn encode(x: &mut Exchange, out: &mut Vec<u8>, end: bool) {
    let kept = std::mem::take(&mut x.kept);
    encode_part(x, &kept, out);
    x.kept = kept;
    if end && x.body_ended {
        encode_end(x, out);
    }
}

fn encode_part(x: &Exchange, bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    if x.upstream_chunked {
        let mut prefix = [0; 10];
        let n = chunk_prefix(bytes.len(), &mut prefix);
        out.extend_from_slice(&prefix[..n]);
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(bytes);
    }
}

fn encode_end(x: &Exchange, out: &mut Vec<u8>) {
    if x.upstream_chunked {
        out.extend_from_slice(b"0\r\n");
        out.extend_from_slice(&x.trailers);
        out.extend_from_slice(b"\r\n");
    }
}

/// First value of a field of the request.
pub(super) fn field<'a>(slots: &'a Slots, slot: u32, wanted: &[u8]) -> Option<&'a [u8]> {
    fields_of(slots, slot, wanted).next()
}

/// All of them.
fn fields_of<'a>(slots: &'a Slots, slot: u32, wanted: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let head = slots.head_ref(slot);
    let count = slots.word(slot, word::FIELD_COUNT).clamp(0, FIELDS_MAX as i32) as usize;
    (0..count).filter_map(move |i| {
        let value = slots.word(slot, FIELDS_AT / 4 + 2 * i) as u32;
        let name = slots.word(slot, FIELDS_AT / 4 + 2 * i + 1) as u32;
        let at = (name & 0xffff) as usize;
        if head.get(at..at + (name >> 16 & 0xff) as usize)? != wanted {
            return None;
        }
        let at = (value & 0xffff) as usize;
        head.get(at..at + (value >> 16) as usize)
    })
}

/// The head of the upstream request. True when the body goes with a length because all of it is here.
pub(super) fn write_request_head(slots: &Slots, slot: u32, x: &Exchange, out: &mut Vec<u8>) -> bool {
    let head = slots.head_ref(slot);
    let at = |offset: i32, len: i32| {
        head.get(offset as usize..offset.wrapping_add(len) as usize)
            .unwrap_or_default()
    };
    let method = at(slots.word(slot, word::METHOD_AT), slots.word(slot, word::METHOD_AT + 1));
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(slots.written_at(slot, word::TARGET_AT).unwrap_or(b"/"));
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(
        out,
        b"host",
        slots.written_at(slot, word::AUTHORITY_AT).unwrap_or_default(),
    );
    let edits = Edits(slots.written_at(slot, word::REQUEST_EDITS_AT).unwrap_or_default());
    let count = slots.word(slot, word::FIELD_COUNT);
    for i in 0..count.clamp(0, FIELDS_MAX as i32) as usize {
        let value = slots.word(slot, FIELDS_AT / 4 + 2 * i) as u32;
        let name = slots.word(slot, FIELDS_AT / 4 + 2 * i + 1);
        let known = (name as u32 >> 24) as u8 & 0x1f;
        let name_at = at(name & 0xffff, (name >> 16) & 0xff);
        let skipped = matches!(known, HOST | CONTENT_LENGTH | TRANSFER_ENCODING)
            || (known == EXPECT && !x.expects)
            || (name & FIELD_HOP != 0 && !(x.websocket && matches!(known, UPGRADE | CONNECTION)) && known != EXPECT);
        if skipped || (known == CONNECTION && x.websocket) || (known == 0 && is_claim(name_at)) || edits.hides(name_at)
        {
            continue;
        }
        write_field(out, name_at, at((value & 0xffff) as i32, (value >> 16) as i32));
    }
    edits.write(out);
    // After the Via of those before us (RFC 9110 §7.6.3).
    out.extend_from_slice(via(x.stream != 0, x.http10));
    if x.websocket {
        out.extend_from_slice(b"connection: upgrade\r\n");
    }
    let whole = x.has_body && x.declared.is_none() && x.body_ended && x.kept_all && x.trailers.is_empty();
    if let Some(n) = x.declared {
        write_length(out, n);
    } else if whole {
        write_length(out, x.kept.len() as u64);
    } else if x.has_body {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    whole
}

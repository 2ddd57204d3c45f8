//! What goes back to the client: the upstream's answer or one of our own; and how exchanges end.

use super::Engine;
use super::compress::{Answer, Coding};
use super::fields::{Edits, VIA, retain_lines, write_field, write_length, write_number};
use super::hedge::Hedge;
use super::state::{After, AnswerBody, Due, InBody, Phase, Proto, Stage};
use crate::http1::{CONTENT_LENGTH, Framing, ResponseHead, TRANSFER_ENCODING, UPGRADE, chunk_prefix};
use crate::layout::{event, word};
use crate::lent::Body;

pub(super) const CLOSE: &[u8] = b"connection: close\r\n";
pub(super) const KEEP_ALIVE: &[u8] = b"connection: keep-alive\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Engine {
    /// The final head of the upstream's answer.
    pub(super) fn answer_head(&mut self, slot: u32, bytes: &[u8], head: &ResponseHead) {
        self.let_go_of_body(slot);
        let x = &self.exchanges[slot as usize];
        let (key, http10, tunnel) = (x.down, x.http10, head.status == 101);
        // HTTP/2 has no Upgrade: the method said it (RFC 8441 §5).
        let upgrades = tunnel && x.stream == 0;
        let bodiless = x.is_head() || head.status == 204 || head.status == 304;
        let body = match head.framing {
            _ if bodiless || tunnel => AnswerBody::None,
            Framing::None => AnswerBody::Length(0),
            Framing::Length(n) => AnswerBody::Length(n),
            Framing::Chunked | Framing::UntilClose if http10 => AnswerBody::Close,
            Framing::Chunked | Framing::UntilClose => AnswerBody::Chunked,
        };
        let to_head = x.is_head();
        let mut coding = Coding::default();
        if !tunnel
            && x.filter.is_none()
            && let Some(plan) = x.compress.clone()
        {
            let passing = head.fields.iter().filter(|field| !field.hop);
            let fields = passing.map(|field| (field.name.of(bytes), field.value.of(bytes)));
            let status = head.status;
            let plan = &*plan;
            coding = self.coding(
                slot,
                Answer {
                    status,
                    body,
                    fields,
                    plan,
                    to_head,
                },
            );
            coding = self.start_coding(slot, plan, coding, body);
        }
        let body = if self.exchanges[slot as usize].filter.is_some() {
            self.frame_filtered(slot, body)
        } else {
            body
        };
        // The head that ended the upstream's stream ends the client's: a gRPC status in it counts only there ("Trailers-Only").
        let ends =
            self.exchanges[slot as usize].stream != 0 && head.framing == Framing::None && body == AnswerBody::Length(0);
        let body = if ends { AnswerBody::None } else { body };
        let keep_alive = self.keeps_alive(slot, body == AnswerBody::Close);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let edits = Edits(self.slots.written_at(slot, word::ANSWER_EDITS_AT).unwrap_or_default());
        write_status_of(&mut out, head.status, head.reason.of(bytes));
        let mut dated = false;
        for field in &head.fields {
            let name = field.name.of(bytes);
            if field.hop && !(upgrades && field.known == UPGRADE)
                || matches!(field.known, TRANSFER_ENCODING)
                || field.known == CONTENT_LENGTH && (!bodiless || head.status == 204 || tunnel || coding.weakens)
                || !edits.0.is_empty() && edits.hides(name)
            {
                continue;
            }
            dated |= name == b"date";
            coding.field(&mut out, name, field.value.of(bytes));
        }
        let passing = head.fields.iter().filter(|field| !field.hop);
        let passing = passing.map(|field| (field.name.of(bytes), field.value.of(bytes)));
        edits.each_beside(passing, |name, value| coding.field(&mut out, name, value));
        coding.write(&mut out);
        out.extend_from_slice(VIA);
        if !dated && !edits.hides(b"date") {
            out.extend_from_slice(&self.date);
        }
        let lines = out.len();
        match body {
            AnswerBody::Length(n) => write_length(&mut out, n),
            AnswerBody::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            AnswerBody::None | AnswerBody::Close => {}
        }
        if tunnel {
            out.extend_from_slice(b"connection: upgrade\r\n");
        } else if !keep_alive {
            out.extend_from_slice(CLOSE);
        } else if http10 {
            out.extend_from_slice(KEEP_ALIVE);
        }
        out.extend_from_slice(b"\r\n");
        let x = &mut self.exchanges[slot as usize];
        let stream = x.stream;
        x.status = head.status;
        x.head_sent = true;
        x.answer = body;
        x.phase = if tunnel { Phase::Tunnel } else { Phase::Answering };
        x.due = if x.idle_ms == 0 { Due::Nothing } else { Due::Answer };
        x.deadline = if x.idle_ms == 0 { u64::MAX } else { self.now + x.idle_ms };
        if stream != 0 {
            out.truncate(lines);
            if let AnswerBody::Length(n) = body {
                write_length(&mut out, n);
            } else if ends && head.known[CONTENT_LENGTH as usize] >= 0 {
                write_length(&mut out, 0);
            }
            // The status line is not one of the fields.
            let from = line_end(&out);
            self.h2_respond(slot, head.status, &out[from..], body == AnswerBody::None && !tunnel);
            if tunnel {
                self.resume_body.push(slot);
            }
            self.out = out;
            return;
        }
        if let Some(down) = self.downs.get_mut(key) {
            // Goes out with what follows, or when this turn of the upstream is over.
            down.io.queue(&out);
            self.flush_down.push(key);
        }
        if tunnel && let Some(h1) = self.h1(key) {
            h1.stage = Stage::Tunnel;
            self.resume_down.push(key);
        }
        self.out = out;
    }

    /// Whether another request may follow on the client's connection; decided when the answer's head is written.
    pub(super) fn keeps_alive(&mut self, slot: u32, close: bool) -> bool {
        let draining = self.draining;
        let discard_max = self.options.discard_bytes_max;
        let x = &self.exchanges[slot as usize];
        let (key, expects) = (x.down, x.expects);
        let Some(h1) = self.h1(key) else { return false };
        let rest = match &h1.body {
            InBody::Done => 0,
            InBody::Length(left) => *left,
            InBody::Chunked(_) => discard_max,
        };
        // A client that waits for 100 Continue may or may not send its body now: what follows could be either.
        if close || draining || rest > discard_max || (expects && rest > 0) {
            h1.keep_alive = false;
        }
        h1.keep_alive
    }

    /// An interim answer (RFC 9110 §15.2). HTTP/1.0 has none.
    pub(super) fn interim(&mut self, slot: u32, bytes: &[u8], head: &ResponseHead) {
        let x = &mut self.exchanges[slot as usize];
        let key = x.down;
        // A hedge has no client of its own, and what it says before its answer is no promise.
        if x.http10 || matches!(x.hedge, Hedge::Of { .. }) {
            return;
        }
        let stream = x.stream;
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        if head.status == 100 {
            if std::mem::take(&mut x.expects) {
                out.extend_from_slice(CONTINUE);
            }
        } else {
            write_status_of(&mut out, head.status, head.reason.of(bytes));
            // What the answer's edits take away or replace does not come before it either.
            let edits = Edits(self.slots.written_at(slot, word::ANSWER_EDITS_AT).unwrap_or_default());
            for field in &head.fields {
                let name = field.name.of(bytes);
                if !field.hop && !matches!(field.known, CONTENT_LENGTH | TRANSFER_ENCODING) && !edits.hides(name) {
                    write_field(&mut out, name, field.value.of(bytes));
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        if stream != 0 {
            if !out.is_empty() {
                let from = line_end(&out);
                self.h2_respond(slot, head.status, &out[from..], false);
            }
        } else if let Some(down) = self.downs.get_mut(key) {
            down.io.write(&out);
        }
        self.out = out;
    }

    /// A part of the answer's body.
    pub(super) fn answer_bytes(&mut self, slot: u32, bytes: &[u8], after: After) {
        let x = &self.exchanges[slot as usize];
        // A stream says more than was asked for, as far as its window lets it: that waits behind what is held already.
        if x.phase == Phase::Judging || !x.held.is_empty() {
            return self.hold(slot, bytes);
        }
        if x.filter.is_some() {
            if x.idle_ms > 0 {
                // The upstream is not silent, whatever the filter gives of it.
                self.exchanges[slot as usize].deadline = self.now + x.idle_ms;
            }
            return self.filtered(slot, Some(bytes));
        }
        self.answer_out(slot, bytes, after);
    }

    /// What the client gets of it.
    pub(super) fn answer_out(&mut self, slot: u32, bytes: &[u8], after: After) {
        let now = self.now;
        let x = &mut self.exchanges[slot as usize];
        if x.phase != Phase::Answering || bytes.is_empty() {
            return;
        }
        x.bytes_out += bytes.len() as u64;
        if x.idle_ms > 0 {
            x.deadline = now + x.idle_ms;
        }
        if x.stream != 0 {
            if x.answer != AnswerBody::None {
                self.h2_data(slot, bytes, after == After::Nothing);
            }
            return;
        }
        let Some(down) = self.downs.get_mut(x.down) else { return };
        let mut prefix = [0; 10];
        let end: &[u8] = match x.answer {
            AnswerBody::None => return,
            AnswerBody::Length(_) | AnswerBody::Close => b"",
            AnswerBody::Chunked => {
                let n = chunk_prefix(bytes.len(), &mut prefix);
                down.io.queue(&prefix[..n]);
                b"\r\n"
            }
        };
        let sent = match after {
            After::Unknown => down.io.write_both(bytes, end),
            After::More | After::Nothing => down.io.write_before(bytes, end),
        };
        if !sent {
            // Flushing finds that the client is gone, once the upstream's bytes are dealt with.
            self.flush_down.push(x.down);
        }
    }

    /// Sends what parts of the answer's body left for more to come.
    pub(super) fn flush_client(&mut self, slot: u32) {
        let x = &self.exchanges[slot as usize];
        if x.phase == Phase::Answering
            && x.stream == 0
            && self.downs.get_mut(x.down).is_some_and(|down| !down.io.flush())
        {
            self.flush_down.push(x.down);
        }
    }

    /// The answer is complete.
    pub(super) fn answer_end(&mut self, slot: u32, trailers: &[u8]) {
        let x = &mut self.exchanges[slot as usize];
        if x.phase == Phase::Judging || !x.held.is_empty() {
            return self.held_ends(slot, trailers);
        }
        if x.phase != Phase::Answering {
            return;
        }
        if x.filter.is_some() {
            self.filtered(slot, None);
        }
        let x = &mut self.exchanges[slot as usize];
        if x.phase != Phase::Answering {
            return;
        }
        x.answer_ended = true;
        x.due = Due::Nothing;
        let mut trailers = trailers.to_vec();
        if !trailers.is_empty() {
            let edits = Edits(self.slots.written_at(slot, word::ANSWER_EDITS_AT).unwrap_or_default());
            retain_lines(&mut trailers, |name| !edits.hides(name));
        }
        if x.stream != 0 {
            if x.answer == AnswerBody::None {
                self.finish(slot);
            } else {
                x.answer_trailers = trailers;
                self.pump_answer(slot);
            }
            return;
        }
        let key = x.down;
        let Some(down) = self.downs.get_mut(key) else { return };
        if x.answer == AnswerBody::Chunked {
            down.io.queue(b"0\r\n");
            down.io.queue(&trailers);
            down.io.queue(b"\r\n");
        }
        if matches!(&down.proto, Proto::H1(h1) if !h1.keep_alive) {
            down.io.ends();
        }
        if !down.io.flush() {
            self.client_left(key);
        } else if down.io.pending() == 0 {
            self.finish(slot);
        }
    }

    /// Whether bytes for this client may be read from the upstream. If not, it is told when they may.
    pub(super) fn client_has_room(&mut self, slot: u32) -> bool {
        let x = &self.exchanges[slot as usize];
        match x.phase {
            Phase::Judging => x.collecting,
            _ => x.held.is_empty() && self.client_takes_more(slot) && self.filter_takes_more(slot),
        }
    }

    /// Whether less waits for the client than may.
    pub(super) fn client_takes_more(&self, slot: u32) -> bool {
        let x = &self.exchanges[slot as usize];
        if x.stream != 0 {
            return x.outbox.len() < self.options.queue_bytes_max;
        }
        self.downs
            .get(x.down)
            .is_some_and(|down| down.io.pending() < self.options.queue_bytes_max)
    }

    /// The client's socket has taken something.
    pub(super) fn client_takes(&mut self, slot: u32) {
        let x = &self.exchanges[slot as usize];
        if !x.held.is_empty() {
            return self.pass_held(slot);
        }
        let pending = if x.stream == 0 {
            self.downs.get(x.down).map_or(0, |down| down.io.pending())
        } else {
            x.outbox.len()
        };
        if pending < self.options.queue_bytes_max && x.unreleased > 0 {
            self.h2_up_release(slot);
        }
        let x = &self.exchanges[slot as usize];
        if x.answer_ended && pending == 0 && matches!(x.phase, Phase::Answering | Phase::Tunnel) && x.stream == 0 {
            self.finish(slot);
        } else if let Some(up) = x.up
            && pending < self.options.queue_bytes_max
        {
            self.resume_up.push(up);
        }
    }

    pub(super) fn tunnel_down(&mut self, slot: u32, bytes: &[u8]) {
        let now = self.now;
        let x = &mut self.exchanges[slot as usize];
        if x.phase != Phase::Tunnel {
            return;
        }
        x.bytes_out += bytes.len() as u64;
        if x.idle_ms > 0 {
            x.deadline = now + x.idle_ms;
        }
        if x.stream != 0 {
            return self.h2_data(slot, bytes, false);
        }
        let key = x.down;
        if !self.downs.get_mut(key).is_some_and(|down| down.io.write(bytes)) {
            self.client_left(key);
        }
    }

    /// The client's side of a tunnel has ended: the upstream is told, and gets a moment for its own last words.
    pub(super) fn tunnel_ended_down(&mut self, slot: u32) {
        let due = self.now + self.options.linger_ms;
        let x = &mut self.exchanges[slot as usize];
        if std::mem::replace(&mut x.client_ended, true) {
            return;
        }
        x.due = Due::Answer;
        x.deadline = due;
        x.idle_ms = 0;
        let Some(up) = x.up.and_then(|key| self.ups.get_mut(key)) else {
            return;
        };
        up.io.flush();
        // What waits goes first: `up_writable` ends it then.
        if up.io.pending() == 0 {
            up.io.shut_down();
        }
    }

    /// The upstream's side of a tunnel has ended, and with it the exchange.
    pub(super) fn tunnel_ended_up(&mut self, slot: u32) {
        self.let_go_of_upstream(slot);
        let x = &mut self.exchanges[slot as usize];
        x.answer_ended = true;
        if x.stream != 0 {
            return self.pump_answer(slot);
        }
        let key = x.down;
        let Some(down) = self.downs.get_mut(key) else { return };
        if !down.io.flush() {
            self.client_left(key);
        } else if down.io.pending() == 0 {
            self.finish(slot);
        }
    }

    /// The exchange is over, and the client has all of it.
    pub(super) fn finish(&mut self, slot: u32) {
        self.h2_forget(slot, true);
        let key = self.exchanges[slot as usize].down;
        let tunnel = self.exchanges[slot as usize].phase == Phase::Tunnel;
        self.over(slot, event::FINISHED, 0);
        let collect_ms = self.options.collect_ms;
        let discard_max = self.options.discard_bytes_max;
        let due = self.now + collect_ms;
        let Some(h1) = self.h1(key) else { return };
        if !h1.keep_alive || tunnel {
            if self.client_is_done(key) {
                self.drop_down(key);
            } else {
                self.linger(key);
            }
        } else if matches!(h1.body, InBody::Done) {
            self.next_request(key);
        } else {
            h1.stage = Stage::Discard;
            h1.drop_left = discard_max;
            if let Some(down) = self.downs.get_mut(key) {
                down.deadline = due;
            }
            self.resume_down.push(key);
        }
    }

    /// The exchange is broken off. The caller deals with the client's connection.
    pub(super) fn abort(&mut self, slot: u32, upstream_fault: bool) {
        if matches!(self.exchanges[slot as usize].phase, Phase::Free | Phase::Over) {
            return;
        }
        self.let_go_of_upstream(slot);
        self.over(slot, event::ABORTED, if upstream_fault { 1 << 16 } else { 0 });
    }

    fn over(&mut self, slot: u32, kind: i32, bits: i32) {
        let x = &mut self.exchanges[slot as usize];
        debug_assert_eq!(x.hedge, Hedge::None, "nobody waits for a hedge of what is over");
        x.phase = Phase::Over;
        x.due = Due::Nothing;
        x.up = None;
        let status = if x.head_sent { i32::from(x.status) } else { 0 };
        let row = [
            status | bits,
            x.received as i32,
            (x.received >> 32) as i32,
            x.bytes_out as i32,
            (x.bytes_out >> 32) as i32,
        ];
        self.collected -= x.collected + x.held.len();
        x.collected = 0;
        x.held = Body::default();
        self.open -= 1;
        self.ending.push_back((self.made, slot));
        self.tell(kind, slot, row);
    }

    /// Breaks off the answer to an exchange that was aborted, so that what the client got does not look whole.
    pub(super) fn cut(&mut self, slot: u32) {
        let x = &self.exchanges[slot as usize];
        let key = x.down;
        if x.stream != 0 {
            return self.h2_forget(slot, false);
        }
        // A body that ends with the connection must not seem to end well. All others lack bytes, and a reset could take those that the client has not read yet.
        if x.answer == AnswerBody::Close
            && let Some(down) = self.downs.get_mut(key)
        {
            down.io.reset_on_close();
        }
        self.drop_down(key);
    }
}

/// Where the status line ends.
pub(super) fn line_end(text: &[u8]) -> usize {
    memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1)
}

fn write_status_of(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

//! Answers that decisions want to see before they go on: head and body are held here, nothing of them has gone out, and the upstream is read no further than
//! was asked for. Then the answer passes, or another one takes its place.

use super::state::{After, Due, Phase};
use super::{Engine, SCRATCH_BYTES};
use crate::http1::{Framing, Parsed, Progress, ResponseHead, parse_response};
use crate::layout::{ANSWER_AT, ANSWER_FIELDS_AT, FIELD_HOP, FailReason, Fault, answer, event};
use crate::lent::Body;

use super::request::{BODY_COMPLETE, BODY_CUT, BODY_PENDING};
/// Answer of `inspect_answer`: the lane holds as much as it may.
pub const BODY_NO_ROOM: i32 = 4;

impl Engine {
    /// The final head is here: it goes on at once, unless decisions have asked to see it. Other protocols are none of their business.
    pub(super) fn answer_arrived(&mut self, slot: u32, bytes: &[u8], head: &ResponseHead) {
        if self.opens_tunnel(slot, head.status) {
            // What was asked for is what the endpoint does not do: that does not make it a broken one.
            return self.refuse_for(slot, Fault::NotImplemented);
        }
        let asked = self.exchanges[slot as usize].asks && head.status != 101;
        let whole = self.exchanges[slot as usize].complete_copy();
        let raced = self.exchanges[slot as usize].raced;
        let row = [i32::from(head.status), i32::from(asked), i32::from(whole), raced, 0];
        if asked {
            self.show_answer(slot, bytes, head);
            self.tell(event::HEAD, slot, row);
        } else {
            self.tell(event::HEAD, slot, row);
            self.answer_head(slot, bytes, head);
        }
    }

    /// Whether a status other than 101 would open a tunnel to whoever sees it: over HTTP/2 any success does, of the CONNECT that asks for a WebSocket (RFC 8441 §5), and the body
    /// that follows would be its frames.
    pub(super) fn opens_tunnel(&self, slot: u32, status: u16) -> bool {
        let x = &self.exchanges[slot as usize];
        x.websocket && x.stream != 0 && (200..300).contains(&status)
    }

    /// Lays the head out in the slot. It fits: no longer one is read.
    fn show_answer(&mut self, slot: u32, bytes: &[u8], head: &ResponseHead) {
        self.slots.answer_head(slot)[..bytes.len()].copy_from_slice(bytes);
        let (kind, length) = match head.framing {
            Framing::None => (0, 0),
            Framing::Length(n) => (1, n),
            Framing::Chunked | Framing::UntilClose => (2, 0),
        };
        let record = self.slots.answer_record(slot);
        record[answer::STATUS] = i32::from(head.status);
        record[answer::FIELD_COUNT] = head.fields.len() as i32;
        record[answer::FIELD_BYTES] = head.field_bytes as i32;
        record[answer::REPEATED] = head.repeated as i32;
        record[answer::BODY_KIND] = kind;
        let http2 = self.exchanges[slot as usize].up_stream != 0;
        record[answer::VERSION] = if http2 { 2 } else { i32::from(head.http10) };
        record[answer::BODY_LENGTH] = length as i32;
        record[answer::BODY_LENGTH + 1] = (length >> 32) as i32;
        for (to, place) in record[answer::KNOWN..].iter_mut().zip(head.known) {
            *to = i32::from(place);
        }
        let table = &mut record[(ANSWER_FIELDS_AT - ANSWER_AT) / 4..];
        for (to, field) in table.chunks_exact_mut(2).zip(&head.fields) {
            let hop = if field.hop { FIELD_HOP } else { 0 };
            to[0] = (field.value.at | (field.value.len << 16)) as i32;
            to[1] = (field.name.at | (field.name.len << 16) | (u32::from(field.known) << 24)) as i32 | hop;
        }
        let x = &mut self.exchanges[slot as usize];
        x.phase = Phase::Judging;
        x.due = Due::Decision;
        x.deadline = self.now + self.options.decide_ms;
        x.held_framing = head.framing;
        x.held_head = bytes.len();
        x.held_whole = false;
    }

    /// A part of an answer that is held.
    pub(super) fn hold(&mut self, slot: u32, bytes: &[u8]) {
        self.collected += bytes.len();
        let x = &mut self.exchanges[slot as usize];
        x.held.extend_from_slice(bytes);
        if !x.collecting {
            return;
        }
        // One byte more than was asked for tells a cut body from one that ends there.
        if x.held.len() > x.collect_max || self.collected > self.options.collected_bytes_max {
            self.answer_collected(slot);
        } else if x.idle_ms > 0 {
            x.deadline = x.collect_due.min(self.now + x.idle_ms);
        }
    }

    /// The upstream has sent all of an answer that is held.
    pub(super) fn held_ends(&mut self, slot: u32, trailers: &[u8]) {
        let x = &mut self.exchanges[slot as usize];
        x.held_whole = true;
        x.answer_trailers = trailers.to_vec();
        if x.collecting {
            self.answer_collected(slot);
        }
    }

    fn answer_collected(&mut self, slot: u32) {
        let x = &mut self.exchanges[slot as usize];
        x.collecting = false;
        x.due = Due::Decision;
        x.deadline = self.now + self.options.decide_ms;
        self.tell(event::ANSWER_BODY, slot, [0; 5]);
    }

    /// Asks for up to `limit` bytes of the body of an answer that is shown. One that was let go of, as will be heard, stays pending: what is left of it is no body.
    pub fn inspect_answer(&mut self, slot: u32, generation: i32, limit: u32) -> i32 {
        let Some(x) = self.exchanges.get_mut(slot as usize) else {
            return BODY_PENDING;
        };
        if x.generation != generation || x.phase != Phase::Judging {
            return BODY_PENDING;
        }
        x.collect_max = limit as usize;
        if x.held.len() > x.collect_max {
            return BODY_CUT;
        }
        if x.held_whole {
            return BODY_COMPLETE;
        }
        if self.collected > self.options.collected_bytes_max {
            return BODY_NO_ROOM;
        }
        if !x.collecting {
            x.collecting = true;
            x.collect_due = self.now + self.options.collect_ms;
            x.due = Due::AnswerBody;
            x.deadline = x.collect_due;
            if x.idle_ms > 0 {
                x.deadline = x.deadline.min(self.now + x.idle_ms);
            }
            self.read_on(slot);
            self.resume_body_of(slot);
        }
        BODY_PENDING
    }

    /// The upstream may send more.
    fn read_on(&mut self, slot: u32) {
        let x = &self.exchanges[slot as usize];
        let Some(up) = x.up else { return };
        if x.unreleased > 0 {
            self.h2_up_release(slot);
        }
        self.resume_up.push(up);
    }

    /// What was collected of the answer, up to the limit that was asked for.
    #[must_use]
    pub fn answer_body(&self, slot: u32) -> &[u8] {
        self.exchanges.get(slot as usize).map_or(&[], |x| {
            let shown = x.held.len().min(x.collect_max);
            &x.held[..shown]
        })
    }

    /// As `lend`, of the answer's body.
    pub fn lend_answer(&mut self, slot: u32) -> Option<u64> {
        self.exchanges.get_mut(slot as usize)?.held.lend()
    }

    /// The answer goes on: its head with the edits, then what is held, then the rest as it comes.
    pub(super) fn pass(&mut self, slot: u32) {
        self.resume_body_of(slot);
        let x = &mut self.exchanges[slot as usize];
        x.collecting = false;
        let (length, framing, to_head) = (x.held_head, x.held_framing, x.is_head());
        let mut text = std::mem::take(&mut self.held_text);
        text.clear();
        text.extend_from_slice(&self.slots.answer_head(slot)[..length]);
        let mut head = std::mem::take(&mut self.response_head);
        // Read once more rather than kept: the table is too large to be copied for every answer that is shown.
        let sound = matches!(
            parse_response(&mut text, &mut Progress::default(), &mut head, to_head),
            Parsed::Done(_)
        );
        if sound {
            head.framing = framing;
            self.answer_head(slot, &text, &head);
        }
        self.response_head = head;
        self.held_text = text;
        if sound {
            self.pass_held(slot);
        } else {
            self.abort(slot, false);
            self.cut(slot);
        }
    }

    /// Held bytes go on as far as the client takes them.
    pub(super) fn pass_held(&mut self, slot: u32) {
        loop {
            let x = &mut self.exchanges[slot as usize];
            if x.phase != Phase::Answering {
                return;
            }
            if x.held.is_empty() {
                break;
            }
            if !self.client_takes_more(slot) || !self.filter_takes_more(slot) {
                return;
            }
            let x = &mut self.exchanges[slot as usize];
            let held = std::mem::take(&mut x.held);
            let from = x.held_from;
            let to = held.len().min(from + SCRATCH_BYTES);
            let last = x.held_whole && to == held.len();
            self.answer_bytes(slot, &held[from..to], if last { After::More } else { After::Unknown });
            let x = &mut self.exchanges[slot as usize];
            // What broke off has nothing left that could go on.
            if to < held.len() && x.phase == Phase::Answering {
                x.held_from = to;
                x.held = held;
            } else {
                x.held_from = 0;
                self.collected -= held.len();
            }
        }
        let x = &mut self.exchanges[slot as usize];
        if x.held_whole {
            let trailers = std::mem::take(&mut x.answer_trailers);
            self.answer_end(slot, &trailers);
        } else {
            self.read_on(slot);
        }
    }

    /// Another answer takes the place of the one that is held.
    pub(super) fn drop_held(&mut self, slot: u32) {
        let x = &mut self.exchanges[slot as usize];
        self.collected -= x.held.len();
        x.held = Body::default();
        x.held_from = 0;
        x.held_whole = false;
        x.collecting = false;
        x.answer_trailers = Vec::new();
    }

    /// The upstream breaks off an answer of which nothing has gone out: a refusal can still take its place. It is not asked again, for decisions have seen
    /// what it said.
    pub(super) fn held_broke(&mut self, slot: u32, reason: FailReason) {
        self.drop_held(slot);
        self.exchanges[slot as usize].kept_all = false;
        self.fail(slot, reason);
    }
}

//! Answers of our own: refusals, what decisions say, what was stored.

use bytes::Bytes;

use super::Engine;
use super::answer::{CLOSE, KEEP_ALIVE, line_end};
use super::compress::{Answer, Coding};
use super::fields::{Edits, VIA, grpc_status, reason, write_field, write_length, write_number, write_status};
use super::state::{AnswerBody, Due, Phase};
use crate::layout::word;

/// gRPC tells its own status in fields; HTTP's is always this.
pub(super) const GRPC_HTTP_STATUS: u16 = 200;
/// A body of our own up to this goes behind its head in one piece, and under TLS in one record; a longer one is not copied.
const JOINED_BYTES_MAX: usize = 8 * 1024;

impl Engine {
    /// One of our own refusals. `page`: in the words that were handed over.
    pub(super) fn refuse(&mut self, slot: u32, page: bool) {
        let row = usize::try_from(self.slots.word(slot, word::CHOICE)).unwrap_or(usize::MAX);
        let Some(template) = self.refusals.get(row) else {
            self.abort(slot, false);
            return self.cut(slot);
        };
        let (status, close) = (template.status, template.close);
        let x = &self.exchanges[slot as usize];
        if x.grpc && x.stream != 0 {
            return self.refuse_call(slot, status);
        }
        let id = self.slots.written_at(slot, word::TARGET_AT).unwrap_or_default();
        if page {
            let content_type = id.to_vec();
            let body = std::mem::take(&mut self.exchanges[slot as usize].own_body);
            self.exchanges[slot as usize].filter = None;
            return self.own(slot, status, &content_type, body, close, Coding::default());
        }
        let mut body = Vec::with_capacity(template.before_id.len() + id.len() + template.after_id.len());
        body.extend_from_slice(template.before_id.as_bytes());
        body.extend_from_slice(id);
        body.extend_from_slice(template.after_id.as_bytes());
        self.exchanges[slot as usize].filter = None;
        self.own(
            slot,
            status,
            b"application/problem+json",
            body.into(),
            close,
            Coding::default(),
        );
    }

    /// A refusal as a gRPC client reads it: trailers only, with a status of gRPC's own (gRPC over HTTP/2, "Responses").
    fn refuse_call(&mut self, slot: u32, status: u16) {
        let mut out = Vec::with_capacity(256);
        let edits = Edits(self.slots.written_at(slot, word::ANSWER_EDITS_AT).unwrap_or_default());
        write_field(&mut out, b"content-type", b"application/grpc");
        edits.write(&mut out);
        out.extend_from_slice(VIA);
        out.extend_from_slice(&self.date);
        write_call_status(&mut out, status);
        let x = &mut self.exchanges[slot as usize];
        x.filter = None;
        x.status = GRPC_HTTP_STATUS;
        x.head_sent = true;
        x.phase = Phase::Answering;
        x.answer = AnswerBody::None;
        self.h2_respond(slot, GRPC_HTTP_STATUS, &out, true);
        self.answer_end(slot, &[]);
    }

    /// Body of an answer of our own; to be said before its verdict.
    pub fn set_answer(&mut self, slot: u32, body: &[u8]) {
        if let Some(x) = self.exchanges.get_mut(slot as usize) {
            x.own_body = Bytes::copy_from_slice(body);
        }
    }

    pub(super) fn answer_own(&mut self, slot: u32) {
        let status = u16::try_from(self.slots.word(slot, word::CHOICE)).unwrap_or(0);
        if !(200..600).contains(&status) || self.opens_tunnel(slot, status) {
            self.abort(slot, false);
            return self.cut(slot);
        }
        let content_type = self
            .slots
            .written_at(slot, word::TARGET_AT)
            .unwrap_or_default()
            .to_vec();
        let mut body = std::mem::take(&mut self.exchanges[slot as usize].own_body);
        self.exchanges[slot as usize].filter = None;
        let mut coding = Coding::default();
        if let Some(plan) = self.compression(slot) {
            let length = AnswerBody::Length(body.len() as u64);
            let to_head = self.exchanges[slot as usize].is_head();
            let answer = Answer {
                status,
                body: length,
                fields: (!content_type.is_empty())
                    .then_some((b"content-type".as_slice(), content_type.as_slice()))
                    .into_iter(),
                plan: &plan,
                to_head,
            };
            coding = self.coding(slot, answer);
            if !to_head && status != 304 {
                coding = self.code_own(slot, &plan, coding, &mut body);
            }
        }
        self.own(slot, status, &content_type, body, false, coding);
    }

    fn own(&mut self, slot: u32, status: u16, content_type: &[u8], body: Bytes, close: bool, coding: Coding) {
        let x = &self.exchanges[slot as usize];
        // A long body that is compressed on its way: its length is not known yet.
        let later = x.filter.is_some();
        let keep_alive = self.keeps_alive(slot, close || later && x.http10);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let edits = Edits(self.slots.written_at(slot, word::ANSWER_EDITS_AT).unwrap_or_default());
        write_status(&mut out, status);
        let named = (!content_type.is_empty()).then_some((b"content-type".as_slice(), content_type));
        if let Some((name, value)) = named
            && !edits.hides(name)
        {
            write_field(&mut out, name, value);
        }
        edits.each_beside(named.into_iter(), |name, value| coding.field(&mut out, name, value));
        coding.write(&mut out);
        out.extend_from_slice(VIA);
        // An answer out of a store keeps the date when it was made.
        if !edits.hides(b"date") {
            out.extend_from_slice(&self.date);
        }
        // These have neither content nor, in 204, a length (RFC 9110 §8.6): bytes after the head would be read as the next answer.
        let bodiless = matches!(status, 204 | 304);
        let x = &mut self.exchanges[slot as usize];
        let lines = out.len();
        if later {
            if !x.http10 {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
        } else if !(bodiless || x.is_head() && coding.algorithm.is_some()) {
            write_length(&mut out, body.len() as u64);
        }
        let body = if bodiless { Bytes::new() } else { body };
        if later {
            return self.own_later(slot, status, out, lines, body, keep_alive);
        }
        if x.stream != 0 {
            x.status = status;
            x.head_sent = true;
            x.phase = Phase::Answering;
            let bodiless = x.is_head() || body.is_empty();
            x.answer = if bodiless {
                AnswerBody::None
            } else {
                AnswerBody::Length(0)
            };
            if !bodiless {
                x.bytes_out += body.len() as u64;
                x.own_rest = body;
            }
            let from = line_end(&out);
            self.h2_respond(slot, status, &out[from..], bodiless);
            self.out = out;
            return self.answer_end(slot, &[]);
        }
        if !keep_alive {
            out.extend_from_slice(CLOSE);
        } else if x.http10 {
            out.extend_from_slice(KEEP_ALIVE);
        }
        out.extend_from_slice(b"\r\n");
        let body = if x.is_head() { Bytes::new() } else { body };
        x.bytes_out += body.len() as u64;
        x.status = status;
        x.head_sent = true;
        x.phase = Phase::Answering;
        x.answer = AnswerBody::Length(0);
        let key = x.down;
        if let Some(down) = self.downs.get_mut(key) {
            if body.len() > JOINED_BYTES_MAX {
                down.io.write_shared(&out, body);
            } else {
                out.extend_from_slice(&body);
                down.io.write(&out);
            }
        }
        self.out = out;
        self.answer_end(slot, &[]);
    }

    /// An answer of our own whose body passes a filter: it goes as one that was held, a piece at a time.
    fn own_later(&mut self, slot: u32, status: u16, mut out: Vec<u8>, lines: usize, body: Bytes, keep_alive: bool) {
        let x = &mut self.exchanges[slot as usize];
        x.status = status;
        x.head_sent = true;
        x.phase = Phase::Answering;
        x.answer = if x.http10 {
            AnswerBody::Close
        } else {
            AnswerBody::Chunked
        };
        // It was decided. How long the client may take is not the time of decisions.
        x.due = Due::Nothing;
        self.collected += body.len();
        x.held = Vec::from(body).into();
        x.held_from = 0;
        x.held_whole = true;
        x.answer_trailers = Vec::new();
        if x.stream == 0 {
            if !keep_alive {
                out.extend_from_slice(CLOSE);
            }
            out.extend_from_slice(b"\r\n");
            let key = x.down;
            if let Some(down) = self.downs.get_mut(key) {
                down.io.queue(&out);
                self.flush_down.push(key);
            }
        } else {
            out.truncate(lines);
            let from = line_end(&out);
            self.h2_respond(slot, status, &out[from..], false);
        }
        self.out = out;
        self.pass_held(slot);
    }
}

/// What a gRPC client is told in the place of a status of HTTP.
pub(super) fn write_call_status(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"grpc-status: ");
    write_number(out, grpc_status(status));
    out.extend_from_slice(b"\r\ngrpc-message: ");
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

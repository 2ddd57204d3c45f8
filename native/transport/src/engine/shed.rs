//! Requests that are turned away as soon as their head is read, before anybody decides: what a lane under overload says most often has to be cheap, or saying it takes the time of those that it
//! could have served. Which share of them it is, decisions say; who is among them, chance.

use std::hash::{BuildHasher, RandomState};

use super::Engine;
use super::answer::{CLOSE, KEEP_ALIVE, line_end};
use super::fields::{VIA, write_field, write_length, write_number, write_status};
use super::own::{GRPC_HTTP_STATUS, write_call_status};
use super::slab::Key;
use super::state::{InBody, Proto, Stage};
use crate::http1::RequestHead;

/// The method HEAD, as heads have it.
const HEAD: u8 = 1;
/// The code of RFC 9113 §7 that says that nothing of the request was processed.
const REFUSED_STREAM: u32 = 7;
/// What a share counts in.
const WHOLE: f64 = 4_294_967_296.0;

/// How many are turned away, and who is next.
pub(super) struct Shed {
    /// Of 2^32 requests.
    share: u64,
    /// State of xorshift64*; never 0.
    random: u64,
    /// Requests that were turned away since somebody asked, and ever.
    recent: u64,
    ever: u64,
}

impl Shed {
    pub(super) fn new() -> Self {
        Self {
            share: 0,
            random: RandomState::new().hash_one(0) | 1,
            recent: 0,
            ever: 0,
        }
    }

    /// Whether the next one is turned away.
    fn takes(&mut self) -> bool {
        if self.share == 0 {
            return false;
        }
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let high = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        high < self.share
    }
}

/// What one of them is told.
struct Said {
    status: u16,
    close: bool,
    /// Fields that say which request it was.
    lines: Vec<u8>,
    body: Vec<u8>,
}

impl Engine {
    /// From now on this share of requests, 0 to 1, is turned away unread. Without a plan for it in the options none is.
    pub fn set_shed(&mut self, share: f64) {
        let known = self
            .options
            .shed
            .as_ref()
            .is_some_and(|plan| plan.row < self.refusals.len());
        self.shed.share = if known {
            (share.clamp(0.0, 1.0) * WHOLE) as u64
        } else {
            0
        };
    }

    /// How many requests were turned away unread since the last call.
    pub fn take_shed(&mut self) -> u64 {
        std::mem::take(&mut self.shed.recent)
    }

    /// Turns away a sound HTTP/1 request whose head has just been read. False: it goes its way.
    pub(super) fn shed_http1(&mut self, key: Key, head: &RequestHead) -> bool {
        // Behind answers that the client does not take, the next one waits with its request, not in memory.
        let may = self.shed.share > 0 && self.downs.get(key).is_some_and(|down| !down.io.is_stalled());
        if !may || !self.shed.takes() {
            return false;
        }
        let Some(Said {
            status,
            close,
            lines,
            body,
        }) = self.shed_words()
        else {
            return false;
        };
        let keep_alive = self.shed_keeps_alive(key, head, close);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        self.shed_head(&mut out, status, b"application/problem+json", &lines);
        write_length(&mut out, body.len() as u64);
        if !keep_alive {
            out.extend_from_slice(CLOSE);
        } else if head.http10 {
            out.extend_from_slice(KEEP_ALIVE);
        }
        out.extend_from_slice(b"\r\n");
        if head.method != HEAD {
            out.extend_from_slice(&body);
        }
        let sent = self.downs.get_mut(key).is_some_and(|down| down.io.write(&out));
        self.out = out;
        if sent {
            self.shed_goes_on(key, keep_alive);
        } else {
            self.client_left(key);
        }
        true
    }

    /// Whether another request may follow, as after any answer of our own (`keeps_alive`).
    fn shed_keeps_alive(&mut self, key: Key, head: &RequestHead, close: bool) -> bool {
        let (draining, last) = (self.draining, self.options.requests_per_connection_max);
        let discard_max = self.options.discard_bytes_max;
        let Some(h1) = self.h1(key) else { return false };
        h1.requests += 1;
        h1.body = Self::in_body(&head.framing);
        let rest = match &h1.body {
            InBody::Done => 0,
            InBody::Length(left) => *left,
            InBody::Chunked(_) => discard_max,
        };
        // A client that waits for 100 Continue may or may not send its body now.
        let unsure = head.expect_continue && rest > 0;
        h1.keep_alive = head.keep_alive
            && !(close || draining || unsure || rest > discard_max)
            && (last == 0 || h1.requests < last);
        h1.keep_alive
    }

    /// What follows on a connection of HTTP/1 whose request was turned away.
    fn shed_goes_on(&mut self, key: Key, keep_alive: bool) {
        let (idle, collect) = (self.now + self.options.idle_ms, self.now + self.options.collect_ms);
        let discard_max = self.options.discard_bytes_max;
        let Some(down) = self.downs.get_mut(key) else { return };
        let waits = down.io.pending() > 0;
        let Proto::H1(h1) = &mut down.proto else { return };
        if !keep_alive && waits {
            // `down_writable` ends it, or the deadline of a client that takes nothing.
            h1.stage = Stage::Linger;
            h1.drop_left = 0;
        } else if !keep_alive {
            self.linger(key);
        } else if matches!(h1.body, InBody::Done) {
            // What is awaited is a head still, and whoever reads goes on.
            down.deadline = idle;
        } else {
            h1.stage = Stage::Discard;
            h1.drop_left = discard_max;
            down.deadline = collect;
        }
    }

    /// Turns away a sound request of HTTP/2; `ended`: it has no body. False: it goes its way.
    pub(super) fn shed_http2(&mut self, key: Key, stream: u32, head: &RequestHead, grpc: bool, ended: bool) -> bool {
        if !self.shed.takes() {
            return false;
        }
        let Some(Said {
            status, lines, body, ..
        }) = self.shed_words()
        else {
            return false;
        };
        let mut out = Vec::with_capacity(256);
        let whole = if grpc {
            self.shed_head(&mut out, GRPC_HTTP_STATUS, b"application/grpc", &lines);
            write_call_status(&mut out, status);
            self.h2_answer(key, stream, GRPC_HTTP_STATUS, &out, &[])
        } else {
            self.shed_head(&mut out, status, b"application/problem+json", &lines);
            write_length(&mut out, body.len() as u64);
            let body = if head.method == HEAD { &[] } else { body.as_slice() };
            self.h2_answer(key, stream, status, &out, body)
        };
        let due = self.now + self.options.linger_ms;
        let Some(h2) = self.h2(key) else { return true };
        if !whole {
            // The client's window took no more of it. Nothing was processed, and the code says so.
            h2.server.reset(stream, REFUSED_STREAM);
        } else if !ended {
            // The rest of the body is of no interest.
            h2.server.answered(stream, due);
        }
        self.touch(key);
        self.h2_idle(key);
        true
    }

    /// A short answer to a stream that is no exchange. False: not all of it was taken.
    fn h2_answer(&mut self, key: Key, stream: u32, status: u16, head: &[u8], body: &[u8]) -> bool {
        let fields = self.known_fields.of_answer(&head[line_end(head)..]);
        let Some(h2) = self.h2(key) else { return false };
        h2.server.respond(stream, status, fields, body.is_empty())
            && (body.is_empty() || h2.server.data(stream, body, true) == body.len())
    }

    /// Counts one that is turned away, and words it.
    fn shed_words(&mut self) -> Option<Said> {
        let plan = self.options.shed.as_ref()?;
        let template = self.refusals.get(plan.row)?;
        self.shed.recent += 1;
        self.shed.ever += 1;
        self.waits.passed();
        // The letter says that there is no record of it.
        let id = format!("{}s{:08x}", plan.id_prefix, self.shed.ever);
        let mut lines = Vec::with_capacity(64);
        write_field(&mut lines, b"x-request-id", id.as_bytes());
        let body = [
            template.before_id.as_bytes(),
            id.as_bytes(),
            template.after_id.as_bytes(),
        ]
        .concat();
        Some(Said {
            status: template.status,
            close: template.close,
            lines,
            body,
        })
    }

    /// Status line and fields, but for those of the body's length.
    fn shed_head(&self, out: &mut Vec<u8>, status: u16, content_type: &[u8], lines: &[u8]) {
        write_status(out, status);
        write_field(out, b"content-type", content_type);
        if let Some(plan) = &self.options.shed {
            out.extend_from_slice(b"retry-after: ");
            write_number(out, u64::from(plan.retry_after_s));
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(lines);
        out.extend_from_slice(b"cache-control: no-store\r\n");
        out.extend_from_slice(VIA);
        out.extend_from_slice(&self.date);
    }
}

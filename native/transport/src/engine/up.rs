//! Reading HTTP/1 upstreams.

use super::fields::{nominates, retain_lines};
use super::forward::field;
use super::io::Got;
use super::slab::Key;
use super::state::{After, OutBody, Phase, Up, UpStage};
use super::{Engine, READS_PER_TURN};
use crate::http1::{CONNECTION, Framing, Parsed, Progress, accept_of, nominated, parse_response};
use crate::layout::FailReason;

/// Interim answers of one exchange; more are an upstream gone wrong.
const INTERIM_MAX: u32 = 16;
/// Bytes of a response head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

impl Engine {
    /// Reads as long as the client takes it.
    pub(super) fn up_read(&mut self, key: Key) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if scratch.is_empty() {
            self.resume_up.push(key);
            return;
        }
        self.up_read_with(key, &mut scratch);
        self.scratch = scratch;
    }

    fn up_read_with(&mut self, key: Key, scratch: &mut [u8]) {
        for _ in 0..READS_PER_TURN {
            let Some(up) = self.ups.get_mut(key) else { return };
            match up.stage {
                UpStage::Connecting => return,
                UpStage::Handshake => {
                    let got = up.io.read(scratch);
                    let done = up.io.tls.as_ref().is_some_and(|s| !s.handshaking());
                    match got {
                        Got::End | Got::Broken => return self.give_up_connecting(key),
                        // First words that come with the handshake's last: HTTP/2 has them, HTTP/1 has none before a request.
                        Got::Bytes(n) => {
                            self.connection_stands(key);
                            match self.ups.get_mut(key) {
                                Some(Up { h2: Some(h2), .. }) => h2.client.feed(&scratch[..n]),
                                _ => return self.upstream_broke(key),
                            }
                            self.touch_up(key);
                        }
                        Got::Wait if done => self.connection_stands(key),
                        Got::Wait => return,
                    }
                    continue;
                }
                // Nothing is due: whatever comes, the end or bytes, ends it.
                UpStage::Idle => {
                    if up.io.readable && !matches!(up.io.read(scratch), Got::Wait) {
                        self.drop_up(key);
                    }
                    return;
                }
                UpStage::Body | UpStage::Tunnel => {
                    let slot = up.slot;
                    if !self.client_has_room(slot) {
                        return;
                    }
                }
                UpStage::Head => {}
                UpStage::Shared => return self.h2_up_read(key, scratch),
            }
            let Some(up) = self.ups.get_mut(key) else { return };
            if !up.ahead.is_empty() && up.stage != UpStage::Head {
                let mut ahead = std::mem::take(&mut up.ahead);
                self.up_take(key, &mut ahead);
                continue;
            }
            match up.io.read(scratch) {
                Got::Bytes(n) => {
                    if up.ahead.is_empty() {
                        self.up_take(key, &mut scratch[..n]);
                    } else {
                        let mut ahead = std::mem::take(&mut up.ahead);
                        ahead.extend_from_slice(&scratch[..n]);
                        self.up_take(key, &mut ahead);
                    }
                }
                Got::Wait => return,
                Got::End => return self.upstream_ended(key),
                Got::Broken => return self.upstream_broke(key),
            }
        }
        self.resume_up.push(key);
    }

    /// Takes all of these bytes, or keeps them.
    fn up_take(&mut self, key: Key, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let Some(up) = self.ups.get_mut(key) else { return };
            let slot = up.slot;
            match up.stage {
                UpStage::Head => match self.take_response_head(key, slot, &mut bytes[at..]) {
                    Some(n) => at += n,
                    None => {
                        if let Some(up) = self.ups.get_mut(key) {
                            up.ahead = bytes[at..].to_vec();
                        }
                        return;
                    }
                },
                UpStage::Body => at += self.take_response_body(key, slot, &bytes[at..]),
                UpStage::Tunnel => {
                    self.tunnel_down(slot, &bytes[at..]);
                    return;
                }
                // More than was due: the connection's framing is in doubt, and what came is nobody's.
                UpStage::Idle => return self.drop_up(key),
                UpStage::Connecting | UpStage::Handshake | UpStage::Shared => return,
            }
        }
    }

    /// A response head, or a part of one: none = more is needed.
    fn take_response_head(&mut self, key: Key, slot: u32, bytes: &mut [u8]) -> Option<usize> {
        let mut head = std::mem::take(&mut self.response_head);
        let up = self.ups.get_mut(key)?;
        let mut progress = std::mem::take(&mut up.progress);
        let to_head = self.exchanges[slot as usize].is_head();
        // Once it has said anything, the request was read.
        self.exchanges[slot as usize].on_reused = false;
        let taken = match parse_response(bytes, &mut progress, &mut head, to_head) {
            Parsed::More if bytes.len() < HEAD_BYTES_MAX => {
                up.progress = progress;
                None
            }
            Parsed::More | Parsed::Broken(_) => {
                self.fail(slot, FailReason::Invalid);
                Some(bytes.len())
            }
            Parsed::Done(n) => {
                let bodiless = matches!(head.framing, Framing::None | Framing::Length(0));
                let more = n < bytes.len();
                if bodiless && more && head.status >= 200 {
                    // What follows a response that is over belongs to nothing, least of all to the next request.
                    head.keep_alive = false;
                }
                self.response_head_arrived(key, slot, &bytes[..n], &head);
                if bodiless && head.status >= 200 {
                    Some(bytes.len())
                } else {
                    Some(n)
                }
            }
        };
        self.response_head = head;
        taken
    }

    fn response_head_arrived(&mut self, key: Key, slot: u32, bytes: &[u8], head: &crate::http1::ResponseHead) {
        let agreed = head.upgrade && self.is_agreed(slot, bytes, head);
        let Some(up) = self.ups.get_mut(key) else { return };
        match head.status {
            101 if agreed => {}
            // Nobody asked for another protocol.
            101 => return self.fail(slot, FailReason::Invalid),
            100..200 => {
                up.progress = Progress::default();
                up.interim += 1;
                if up.interim > INTERIM_MAX {
                    return self.fail(slot, FailReason::Invalid);
                }
                self.interim(slot, bytes, head);
                return;
            }
            200..600 => {}
            _ => return self.fail(slot, FailReason::Invalid),
        }
        let Some(slot) = self.race(slot, head.status) else {
            return;
        };
        let Some(up) = self.ups.get_mut(key) else { return };
        up.interim = 0;
        up.keep_alive = head.keep_alive;
        if let Some(seconds) = head.keep_alive_hint_s {
            // A second less than it says: it may count from an earlier moment.
            let hint = u64::from(seconds.saturating_sub(1)) * 1000;
            up.idle_ms = hint.clamp(1, self.options.upstream_idle_hint_ms_max);
        }
        let tunnel = head.status == 101;
        up.stage = if tunnel { UpStage::Tunnel } else { UpStage::Body };
        up.body = match head.framing {
            Framing::None | Framing::Length(0) => OutBody::Done,
            Framing::Length(n) => OutBody::Length(n),
            Framing::Chunked => OutBody::Chunked(Box::default()),
            Framing::UntilClose => OutBody::UntilClose,
        };
        if matches!(up.body, OutBody::Chunked(_)) && head.known[CONNECTION as usize] >= 0 {
            let options = head.fields.iter().filter(|field| field.known == CONNECTION);
            for name in options.flat_map(|field| nominated(field.value.of(bytes))) {
                up.nominated.extend_from_slice(name);
                up.nominated.push(b',');
            }
        }
        let over = !tunnel && matches!(up.body, OutBody::Done);
        self.answer_arrived(slot, bytes, head);
        if over {
            self.response_ended(key, slot, &[]);
        }
    }

    /// Whether a 101 agrees to the WebSocket that was asked for. A client of HTTP/1.1 looks at the key by itself; for one of HTTP/2 the handshake is ours (RFC 6455 §4.1).
    fn is_agreed(&self, slot: u32, bytes: &[u8], head: &crate::http1::ResponseHead) -> bool {
        let x = &self.exchanges[slot as usize];
        if !x.websocket || x.stream == 0 {
            return x.websocket;
        }
        let mut accepted = head
            .fields
            .iter()
            .filter(|field| field.name.of(bytes) == b"sec-websocket-accept");
        let key = field(&self.slots, slot, b"sec-websocket-key").unwrap_or_default();
        accepted
            .next()
            .is_some_and(|field| field.value.of(bytes) == accept_of(key))
            && accepted.next().is_none()
    }

    fn take_response_body(&mut self, key: Key, slot: u32, bytes: &[u8]) -> usize {
        let Some(up) = self.ups.get_mut(key) else {
            return bytes.len();
        };
        match &mut up.body {
            OutBody::Done => {
                // Bytes after the response's end.
                self.response_ended(key, slot, &[]);
                bytes.len()
            }
            OutBody::Length(left) => {
                let n = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= n as u64;
                let over = *left == 0;
                if over {
                    up.body = OutBody::Done;
                    // What follows belongs to nothing.
                    up.keep_alive &= n == bytes.len();
                }
                self.answer_bytes(slot, &bytes[..n], if over { After::Nothing } else { After::Unknown });
                if over {
                    self.response_ended(key, slot, &[]);
                    return bytes.len();
                }
                n
            }
            OutBody::Chunked(decoder) => {
                let mut decoder = std::mem::take(decoder);
                let decoded = decoder.decode(bytes, &mut |part| self.answer_bytes(slot, part, After::More));
                match decoded {
                    Ok(decoded) => {
                        let Some(up) = self.ups.get_mut(key) else {
                            return bytes.len();
                        };
                        if decoded.done {
                            up.body = OutBody::Done;
                            up.keep_alive &= decoded.consumed == bytes.len();
                            let ends_here = std::mem::take(&mut up.nominated);
                            let mut trailers = decoder.trailers().to_vec();
                            retain_lines(&mut trailers, |name| !nominates(&ends_here, name));
                            self.response_ended(key, slot, &trailers);
                            return bytes.len();
                        }
                        up.body = OutBody::Chunked(decoder);
                        self.flush_client(slot);
                        decoded.consumed
                    }
                    Err(_) => {
                        self.flush_client(slot);
                        self.upstream_broke(key);
                        bytes.len()
                    }
                }
            }
            OutBody::UntilClose => {
                self.answer_bytes(slot, bytes, After::Unknown);
                bytes.len()
            }
        }
    }

    /// The response is complete: the connection is free again if the request is through, too.
    fn response_ended(&mut self, key: Key, slot: u32, trailers: &[u8]) {
        let x = &mut self.exchanges[slot as usize];
        if x.up != Some(key) {
            return self.drop_up(key);
        }
        x.up = None;
        let through = x.request_ended;
        self.answer_end(slot, trailers);
        if through {
            self.give_back(key);
        } else {
            self.drop_up(key);
        }
    }

    /// The upstream has sent its last byte.
    fn upstream_ended(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let slot = up.slot;
        up.keep_alive = false;
        match up.stage {
            // Who merely closes below TLS may be somebody on the way: then nobody knows whether that was all (RFC 9112 §9.8).
            UpStage::Body if matches!(up.body, OutBody::UntilClose) && up.io.ended_cleanly() => {
                self.response_ended(key, slot, &[]);
            }
            UpStage::Tunnel => self.tunnel_ended_up(slot),
            _ => self.upstream_broke(key),
        }
    }

    /// The connection is of no use any more, and its exchange has to be told.
    pub(super) fn upstream_broke(&mut self, key: Key) {
        let Some(up) = self.ups.get(key) else { return };
        let slot = up.slot;
        match up.stage {
            UpStage::Connecting | UpStage::Handshake => return self.give_up_connecting(key),
            UpStage::Idle => return self.drop_up(key),
            UpStage::Shared => return self.h2_up_lost(key),
            UpStage::Head | UpStage::Body | UpStage::Tunnel => {}
        }
        let x = &mut self.exchanges[slot as usize];
        if x.up != Some(key) {
            return self.drop_up(key);
        }
        match x.phase {
            Phase::Forwarding => {
                let partial = !up.ahead.is_empty();
                // The upstream closed as the request went out, as keep-alive allows it to: what may be sent twice is, on another connection (RFC 9112 §9.3.1).
                if x.on_reused && !x.sent_again && !partial && x.idempotent() && x.complete_copy() {
                    x.sent_again = true;
                    x.up = None;
                    self.drop_up(key);
                    self.wait_for_connection(slot);
                    return;
                }
                let reason = if partial {
                    FailReason::Invalid
                } else {
                    FailReason::Reset
                };
                // An upstream of TLS 1.3 judges our certificate when our part of the handshake is over.
                let why = up.io.tls_failure().unwrap_or_default();
                self.fail_of(slot, reason, &why);
            }
            Phase::Judging => self.held_broke(slot, FailReason::Reset),
            Phase::Answering | Phase::Tunnel => {
                self.abort(slot, true);
                self.cut(slot);
            }
            Phase::Free | Phase::Deciding | Phase::Waiting | Phase::Over => self.drop_up(key),
        }
    }

    pub(super) fn up_writable(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        match up.stage {
            UpStage::Connecting => return self.connecting(key),
            UpStage::Idle => return,
            UpStage::Shared => return self.h2_up_writable(key),
            UpStage::Handshake | UpStage::Head | UpStage::Body | UpStage::Tunnel => {}
        }
        let slot = up.slot;
        if !up.io.flush() {
            return if up.stage == UpStage::Handshake {
                self.give_up_connecting(key);
            } else {
                self.upstream_takes_no_more(key);
            };
        }
        if up.stage == UpStage::Handshake {
            return;
        }
        let now = self.now;
        let x = &mut self.exchanges[slot as usize];
        if up.stage == UpStage::Tunnel && x.client_ended && !up.io.shut {
            x.deadline = now + self.options.linger_ms;
            if up.io.pending() == 0 {
                up.io.shut_down();
            }
        }
        if x.phase == Phase::Forwarding {
            x.deadline = now + x.head_ms;
        }
        if self.upstream_takes(slot) {
            self.resume_body_of(slot);
        }
    }
}

//! Reading HTTP/1 clients: heads become exchanges, bodies go to whoever takes them, and what nobody takes stays in the socket.

use super::io::Got;
use super::slab::{Key, Slab};
use super::state::{Down, H1, InBody, Phase, Proto, Stage};
use super::{Engine, READS_PER_TURN};
use crate::http1::{Framing, Parsed, parse_request};
use crate::layout::Fault;

pub(super) fn h1_of(downs: &mut Slab<Down>, key: Key) -> Option<&mut H1> {
    match downs.get_mut(key) {
        Some(Down {
            proto: Proto::H1(h1), ..
        }) => Some(h1),
        _ => None,
    }
}

impl Engine {
    /// Reads as long as somebody takes it.
    pub(super) fn down_read(&mut self, key: Key) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if scratch.is_empty() {
            // Within another connection's read: later.
            self.resume_down.push(key);
            return;
        }
        self.down_read_with(key, &mut scratch);
        self.scratch = scratch;
    }

    fn down_read_with(&mut self, key: Key, scratch: &mut [u8]) {
        if !self.open(key, scratch) {
            return;
        }
        if self.h2(key).is_some() {
            return self.h2_read(key, scratch);
        }
        for _ in 0..READS_PER_TURN {
            // What was read before comes first.
            let Some(h1) = self.h1(key) else { return };
            if !h1.ahead.is_empty() {
                let mut ahead = std::mem::take(&mut h1.ahead);
                let taken = self.h1_take(key, &mut ahead);
                let Some(h1) = self.h1(key) else { return };
                // What is taken as a whole leaves no room behind: an idle connection would keep it.
                if taken < ahead.len() {
                    ahead.drain(..taken);
                    h1.ahead = ahead;
                }
            }
            if !self.wants_bytes(key) {
                return;
            }
            let Some(down) = self.downs.get_mut(key) else { return };
            match down.io.read(scratch) {
                Got::Bytes(n) => {
                    let Some(h1) = self.h1(key) else { return };
                    if h1.ahead.is_empty() {
                        let taken = self.h1_take(key, &mut scratch[..n]);
                        if taken < n
                            && let Some(h1) = self.h1(key)
                        {
                            h1.ahead.extend_from_slice(&scratch[taken..n]);
                        }
                    } else {
                        h1.ahead.extend_from_slice(&scratch[..n]);
                    }
                }
                Got::Wait => return,
                Got::End => return self.client_ended(key),
                Got::Broken => return self.client_left(key),
            }
        }
        self.resume_down.push(key);
    }

    pub(super) fn h1(&mut self, key: Key) -> Option<&mut H1> {
        h1_of(&mut self.downs, key)
    }

    /// Whether more of this connection should be read now.
    fn wants_bytes(&mut self, key: Key) -> bool {
        let Some(h1) = self.h1(key) else { return false };
        match h1.stage {
            Stage::Head | Stage::Discard => true,
            Stage::Linger => h1.drop_left > 0,
            Stage::Exchange => {
                let slot = h1.slot;
                // What is not taken of the bytes that are here stays; so no more are needed.
                h1.ahead.is_empty() && self.wants_body(slot)
            }
            Stage::Tunnel => {
                let slot = h1.slot;
                self.upstream_takes(slot)
            }
        }
    }

    /// Takes what the connection's state lets it take; returns how much.
    fn h1_take(&mut self, key: Key, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let Some(h1) = self.h1(key) else { return bytes.len() };
            match h1.stage {
                Stage::Head => {
                    let Some(n) = self.take_head(key, &mut bytes[at..]) else {
                        return at;
                    };
                    at += n;
                }
                Stage::Exchange => {
                    let slot = h1.slot;
                    if !self.wants_body(slot) {
                        return at;
                    }
                    let Some(n) = self.take_body(key, slot, &bytes[at..]) else {
                        return bytes.len();
                    };
                    if n == 0 {
                        return at;
                    }
                    at += n;
                }
                Stage::Tunnel => {
                    let slot = h1.slot;
                    if !self.upstream_takes(slot) {
                        return at;
                    }
                    self.tunnel_up(slot, &bytes[at..]);
                    return bytes.len();
                }
                Stage::Discard => {
                    let n = self.discard(key, &bytes[at..]);
                    at += n;
                }
                Stage::Linger => {
                    // Beyond the bound nothing is read, and the client has the rest of the time to read what was said: to close now would reset it.
                    h1.drop_left = h1.drop_left.saturating_sub((bytes.len() - at) as u64);
                    return bytes.len();
                }
            }
        }
        at
    }

    /// A head, or a part of one: none = more is needed.
    fn take_head(&mut self, key: Key, bytes: &mut [u8]) -> Option<usize> {
        let mut head = std::mem::take(&mut self.request_head);
        let h1 = self.h1(key)?;
        let first = !std::mem::replace(&mut h1.within_head, true);
        let mut progress = std::mem::take(&mut h1.progress);
        let parsed = parse_request(bytes, &mut progress, &mut head);
        let taken = match parsed {
            Parsed::More => {
                if let Some(h1) = self.h1(key) {
                    h1.progress = progress;
                }
                if first {
                    let due = self.now + self.options.head_ms;
                    if let Some(down) = self.downs.get_mut(key) {
                        down.deadline = due;
                        // Tickets of TLS that were to go with an answer: there is none at once.
                        down.io.flush();
                    }
                }
                None
            }
            Parsed::Done(n) => {
                h1_of(&mut self.downs, key)?.within_head = false;
                self.head_arrived(key, &bytes[..n], &head, None);
                Some(n)
            }
            Parsed::Broken(_) if self.speaks_neither(key, bytes) => {
                self.drop_down(key);
                Some(bytes.len())
            }
            Parsed::Broken(fault) => {
                self.head_arrived(key, bytes, &head, Some(fault));
                // Where the next message would begin nobody knows.
                Some(bytes.len())
            }
        };
        self.request_head = head;
        taken
    }

    /// The first line of a connection which might have spoken HTTP/2 names no version of HTTP: its preface is invalid (RFC 9113 §3.4), and an answer of HTTP/1
    /// would say nothing to whoever sent it.
    fn speaks_neither(&mut self, key: Key, bytes: &[u8]) -> bool {
        let Some(down) = self.downs.get_mut(key) else {
            return false;
        };
        let plan = &self.listeners[down.listener].plan;
        let Proto::H1(h1) = &down.proto else { return false };
        plan.http2 && plan.tls.is_none() && h1.requests == 0 && names_no_version(bytes)
    }

    /// A part of the body: none = the connection is gone or does not take any more of it.
    fn take_body(&mut self, key: Key, slot: u32, bytes: &[u8]) -> Option<usize> {
        let h1 = self.h1(key)?;
        match &mut h1.body {
            InBody::Done => Some(0),
            InBody::Length(left) => {
                let n = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= n as u64;
                let ended = *left == 0;
                if ended {
                    h1.body = InBody::Done;
                }
                self.body_bytes(slot, &bytes[..n], ended);
                Some(n)
            }
            InBody::Chunked(decoder) => {
                let mut decoder = std::mem::take(decoder);
                let decoded = decoder.decode(bytes, &mut |part| self.body_bytes(slot, part, false));
                match decoded {
                    Ok(decoded) => {
                        if decoded.done {
                            self.set_trailers(slot, decoder.trailers().to_vec());
                            self.h1(key)?.body = InBody::Done;
                            self.body_bytes(slot, &[], true);
                        } else if let Some(h1) = self.h1(key) {
                            h1.body = InBody::Chunked(decoder);
                        }
                        Some(decoded.consumed)
                    }
                    Err(fault) => {
                        self.body_broken(key, slot, fault);
                        None
                    }
                }
            }
        }
    }

    /// The body's coding is broken: nothing that follows has a known beginning.
    fn body_broken(&mut self, key: Key, slot: u32, fault: Fault) {
        if let Some(h1) = self.h1(key) {
            h1.body = InBody::Done;
            h1.keep_alive = false;
            h1.ahead = Vec::new();
        }
        self.refuse_for(slot, fault);
    }

    /// Drops the rest of a body whose answer is out.
    fn discard(&mut self, key: Key, bytes: &[u8]) -> usize {
        let Some(h1) = self.h1(key) else { return bytes.len() };
        let (consumed, done) = match &mut h1.body {
            InBody::Done => (0, true),
            InBody::Length(left) => {
                let n = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= n as u64;
                (n, *left == 0)
            }
            InBody::Chunked(decoder) => match decoder.decode(bytes, &mut |_| {}) {
                Ok(decoded) => (decoded.consumed, decoded.done),
                Err(_) => {
                    self.linger(key);
                    return bytes.len();
                }
            },
        };
        h1.drop_left = h1.drop_left.saturating_sub(consumed as u64);
        if done {
            h1.body = InBody::Done;
            self.next_request(key);
        } else if h1.drop_left == 0 {
            self.linger(key);
        }
        consumed
    }

    /// The connection waits for its next request.
    pub(super) fn next_request(&mut self, key: Key) {
        let due = self.now + self.options.idle_ms;
        let draining = self.draining;
        let Some(down) = self.downs.get_mut(key) else { return };
        let Proto::H1(h1) = &mut down.proto else { return };
        down.deadline = due;
        h1.stage = Stage::Head;
        if draining && h1.ahead.is_empty() {
            self.linger(key);
            return;
        }
        let Some(down) = self.downs.get_mut(key) else { return };
        let Proto::H1(h1) = &mut down.proto else { return };
        if !h1.ahead.is_empty() || down.io.may_read() {
            self.resume_down.push(key);
        }
    }

    /// Nothing more is said to this client, and nothing of it is heard: but it gets time to read what was said, which a plain close could destroy (RFC 9112 §9.6).
    pub(super) fn linger(&mut self, key: Key) {
        let due = self.now + self.options.linger_ms;
        let left = self.options.linger_bytes_max;
        let Some(down) = self.downs.get_mut(key) else { return };
        down.deadline = due;
        down.io.shut_down();
        let Proto::H1(h1) = &mut down.proto else { return };
        h1.stage = Stage::Linger;
        h1.drop_left = left;
        h1.ahead = Vec::new();
        if down.io.readable {
            self.resume_down.push(key);
        }
    }

    /// Whether the client has all that was said to it, and will say nothing that a close could answer with a reset: there is nothing to linger for.
    pub(super) fn client_is_done(&self, key: Key) -> bool {
        let Some(down) = self.downs.get(key) else { return false };
        let Proto::H1(h1) = &down.proto else { return false };
        h1.is_last
            && h1.stage == Stage::Exchange
            && matches!(h1.body, InBody::Done)
            && h1.ahead.is_empty()
            && !down.io.may_read()
            && down.io.unacknowledged() == 0
            && down.io.is_quiet()
    }

    /// The client has sent its last byte.
    fn client_ended(&mut self, key: Key) {
        let Some(h1) = self.h1(key) else {
            return self.drop_down(key);
        };
        match h1.stage {
            Stage::Tunnel => {
                let slot = h1.slot;
                self.tunnel_ended_down(slot);
            }
            // Half a request, or none: there is nothing to answer.
            Stage::Head | Stage::Discard | Stage::Linger => self.drop_down(key),
            Stage::Exchange => self.client_left(key),
        }
    }

    /// The client is gone: its exchange ends, whatever it was at.
    pub(super) fn client_left(&mut self, key: Key) {
        if self.h2(key).is_some() {
            return self.h2_lost(key);
        }
        let Some(h1) = self.h1(key) else {
            return self.drop_down(key);
        };
        if matches!(h1.stage, Stage::Exchange | Stage::Tunnel) {
            let slot = h1.slot;
            self.abort(slot, false);
        }
        self.drop_down(key);
    }

    /// An event said that the client will send no more. Whoever still has bytes of it to read will find the end there.
    pub(super) fn down_hung_up(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        let Proto::H1(h1) = &down.proto else { return };
        // Unread bytes mean that it may only have ended its side early; then the end is found when they are read. Under TLS they are the
        // close_notify of a client that leaves.
        if h1.stage == Stage::Tunnel && down.io.peer_is_reset() {
            return self.client_left(key);
        }
        if h1.stage != Stage::Exchange {
            return;
        }
        // Whatever follows what it pipelined, a body that lacks bytes is all that it will ever say.
        let cannot_end = matches!(h1.body, InBody::Length(left) if left > h1.ahead.len() as u64);
        let all_read = h1.ahead.is_empty() || cannot_end;
        let gone = down.io.peer_is_reset() || all_read && (down.io.tls.is_some() || down.io.peer_is_gone());
        if gone {
            self.client_left(key);
        }
    }

    pub(super) fn down_writable(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else {
            return;
        };
        down.stalled_since = 0;
        if matches!(down.proto, Proto::H2(_)) {
            return self.h2_writable(key);
        }
        if !down.io.flush() {
            return self.client_left(key);
        }
        let Proto::H1(h1) = &down.proto else { return };
        match h1.stage {
            Stage::Exchange | Stage::Tunnel => {
                let slot = h1.slot;
                self.client_takes(slot);
            }
            // The last words of a connection that is over have left.
            Stage::Linger if !down.io.shut && down.io.pending() == 0 => self.linger(key),
            Stage::Head | Stage::Discard | Stage::Linger => {}
        }
    }

    /// How the body of a head that was just read comes in.
    pub(super) fn in_body(framing: &Framing) -> InBody {
        match framing {
            Framing::None | Framing::Length(0) | Framing::UntilClose => InBody::Done,
            Framing::Length(n) => InBody::Length(*n),
            Framing::Chunked => InBody::Chunked(Box::default()),
        }
    }

    /// The body of an exchange may go on.
    pub(super) fn resume_body_of(&mut self, slot: u32) {
        let x = &self.exchanges[slot as usize];
        if x.stream == 0 {
            self.resume_down.push(x.down);
        } else {
            self.resume_body.push(slot);
        }
    }

    /// Whether the exchange takes bytes of its body now.
    pub(super) fn wants_body(&self, slot: u32) -> bool {
        let x = &self.exchanges[slot as usize];
        if x.body_ended {
            return false;
        }
        match x.phase {
            Phase::Deciding => x.inspecting,
            // What is read beyond what is kept could not go with another attempt. Whoever collects the answer has decided against one; it may need the rest.
            Phase::Judging if x.kept_all && !x.collecting => false,
            Phase::Forwarding | Phase::Judging | Phase::Answering => {
                x.kept_sent == x.kept.len() && self.upstream_takes(slot)
            }
            Phase::Free | Phase::Waiting | Phase::Tunnel | Phase::Over => false,
        }
    }
}

/// Whether there is a first line that does not have `HTTP/`.
fn names_no_version(bytes: &[u8]) -> bool {
    let start = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = &bytes[start..];
    memchr::memchr(b'\n', line).is_some_and(|end| memchr::memmem::find(&line[..end], b"HTTP/").is_none())
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};

    use super::super::options::{ListenPlan, Options};
    use super::*;

    #[test]
    fn what_was_read_ahead_leaves_no_room_behind_that_an_idle_connection_would_keep() {
        let plan = ListenPlan::plain(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut engine = Engine::new(Options::default(), Vec::new()).expect("an engine");
        let port = engine.listen(plan).expect("a port");
        let _client = TcpStream::connect(("127.0.0.1", port)).expect("a client");
        while engine.open_connections() == 0 {
            engine.poll();
        }
        let key = engine.downs.key_at(0).expect("a connection");
        let body = vec![b'x'; 100_000];
        let mut h1 = H1::new();
        h1.stage = Stage::Discard;
        h1.body = InBody::Length(body.len() as u64);
        h1.drop_left = u64::MAX;
        h1.ahead = body;
        engine.downs.get_mut(key).expect("its state").proto = Proto::H1(h1);
        engine.down_read(key);
        let h1 = engine.h1(key).expect("it waits for its next request");
        assert!(matches!(h1.stage, Stage::Head));
        assert_eq!((h1.ahead.len(), h1.ahead.capacity()), (0, 0));
    }

    #[test]
    fn what_names_no_version_is_known_by_its_first_line() {
        assert!(names_no_version(b"INVALID CONNECTION PREFACE\r\n\r\n"));
        assert!(names_no_version(b"\r\nSSH-2.0-x\r\nGET / HTTP/1.1\r\n"));
        assert!(!names_no_version(b"GET / HTTP/9.9\r\n"));
        assert!(!names_no_version(b"GET / HTTP/1.1 x\r\n"));
        // The line is not whole.
        assert!(!names_no_version(b"INVALID"));
        assert!(!names_no_version(b""));
    }
}

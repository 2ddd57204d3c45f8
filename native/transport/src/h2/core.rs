//! What both sides of a connection have in common.

use http::HeaderMap;

use super::duplex::{Duplex, Io};
use super::guard::Guard;
use super::limits::Limits;
use super::streams::Streams;
use super::{Closed, Event, LOST};

/// Times that h2 is driven in one call, at most: each time for what the time before has caused.
pub(super) const ROUNDS_MAX: usize = 4;

const GOAWAY: u8 = 0x7;

pub(super) struct Core {
    pub duplex: Duplex,
    pub guard: Guard,
    pub streams: Streams,
    output_max: usize,
    input_max: usize,
    /// Closing has been told.
    told: bool,
    closed: Option<Closed>,
}

impl Core {
    pub fn new(limits: &Limits, server: bool) -> (Core, Io) {
        let (duplex, io) = Duplex::new(limits.output_bytes_max);
        let core = Core {
            duplex,
            guard: Guard::new(limits, server),
            streams: Streams::new(limits.interim_max),
            output_max: limits.output_bytes_max,
            input_max: limits.input_bytes_max,
            told: false,
            closed: None,
        };
        (core, io)
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if self.closed.is_none() && self.guard.scan(bytes) {
            self.duplex.feed(bytes);
        }
    }

    /// Now and then: an idle connection needs no buffers.
    pub fn rest(&mut self) {
        if self.streams.open() == 0 {
            self.duplex.rest();
        }
    }

    pub fn wants_input(&self) -> bool {
        self.closed.is_none() && self.guard.fault().is_none() && self.duplex.unread() < self.input_max
    }

    pub fn sent(&mut self, n: usize) {
        self.duplex.sent(n);
        if self.streams.open() == 0 && self.duplex.output().is_empty() {
            self.duplex.trim();
        }
    }

    pub fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> usize {
        let room = self.output_max.saturating_sub(self.duplex.output().len());
        self.streams.data(stream, bytes, end, room, &mut self.guard)
    }

    pub fn trailers(&mut self, stream: u32, fields: HeaderMap) -> bool {
        self.streams.trailers(stream, fields, &mut self.guard)
    }

    pub fn release(&mut self, stream: u32, n: usize) {
        self.streams.release(stream, n, &mut self.guard);
    }

    /// Before h2 is driven: whether it still is to be.
    pub fn begin(&mut self) -> Result<(), Closed> {
        match (&self.closed, self.guard.fault()) {
            (Some(closed), _) => Err(closed.clone()),
            (None, Some((code, reason))) => Err(Closed {
                clean: false,
                code,
                reason: reason.into(),
            }),
            (None, None) => Ok(()),
        }
    }

    /// Looks at streams after h2 was driven.
    pub fn turn(&mut self, events: &mut Vec<Event>) {
        self.tell_closing(events);
        while let Some(stream) = self.guard.pseudo_trailers() {
            if self.guard.is_server() {
                self.streams.malformed(stream, events, &mut self.guard);
            } else {
                self.streams.ends_with_pseudo(stream);
            }
        }
        self.streams.turn(events, &mut self.guard, self.duplex.left());
    }

    fn tell_closing(&mut self, events: &mut Vec<Event>) {
        if self.guard.goaway() && !std::mem::replace(&mut self.told, true) {
            events.push(Event::Closing);
        }
    }

    /// Fetches output; tells streams that wait for it to leave.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        if self.duplex.collect() {
            self.streams.framed();
        }
        if self.streams.wait_for_output() && self.duplex.output().len() <= self.output_max / 2 {
            self.streams.output_left(events);
        }
    }

    /// The connection is over: tells every stream that is left. `ours`: the fault that we found, of which h2 knows nothing.
    pub fn close(&mut self, mut closed: Closed, ours: Option<u32>, events: &mut Vec<Event>) -> Closed {
        if let Some(known) = &self.closed {
            return known.clone();
        }
        if let Some(last_stream) = ours {
            self.go_away(last_stream, closed.code, &closed.reason);
        } else {
            self.duplex.collect();
        }
        self.tell_closing(events);
        let (code, remote) = if closed.code == 0 {
            (LOST, true)
        } else {
            (closed.code, closed.code == LOST)
        };
        closed.clean &= self
            .streams
            .close(events, &mut self.guard, code, remote, self.duplex.left())
            == 0;
        self.closed = Some(closed.clone());
        closed
    }

    /// Writes a GOAWAY of our own (RFC 9113 §6.8).
    fn go_away(&mut self, last_stream: u32, code: u32, reason: &str) {
        let length = 8 + reason.len() as u32;
        let mut frame = Vec::with_capacity(9 + length as usize);
        frame.extend_from_slice(&length.to_be_bytes()[1..]);
        frame.extend_from_slice(&[GOAWAY, 0, 0, 0, 0, 0]);
        frame.extend_from_slice(&last_stream.to_be_bytes());
        frame.extend_from_slice(&code.to_be_bytes());
        frame.extend_from_slice(reason.as_bytes());
        self.duplex.append(&frame);
    }
}

/// How a connection of h2 ended.
pub(super) fn closed(result: Result<(), ::h2::Error>) -> Closed {
    match result {
        Ok(()) => Closed {
            clean: true,
            code: 0,
            reason: String::new(),
        },
        Err(error) => Closed {
            clean: false,
            code: error.reason().map_or(LOST, u32::from),
            reason: error.to_string(),
        },
    }
}

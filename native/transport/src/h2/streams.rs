//! The streams of one connection in a table: which were woken, what was taken of their bodies, and the turn that tells events. A turn looks at the streams that
//! were woken.

use std::task::Context;

use ::h2::server::SendResponse;
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use http::HeaderMap;

use super::broken::Broken;
use super::guard::Guard;
use super::stream::{Requested, Sending, Stream};
use super::wake::{PlaceWaker, Woken};
use super::{Event, LOST};

/// Streams that are over but of whose bytes some were not taken; beyond, their window is given back at once.
const LINGERING_MAX: usize = 256;

/// Table of streams.
pub(super) struct Streams {
    places: Vec<Option<Stream>>,
    wakers: Vec<PlaceWaker>,
    free: Vec<u32>,
    /// (id, place), in order: ids only grow.
    index: Vec<(u32, u32)>,
    woken: Woken,
    /// The list that is walked; kept for its memory.
    walking: Vec<u32>,
    waiting_output: Vec<u32>,
    lingering: usize,
    /// Bytes taken since h2 was last driven.
    taken: usize,
    interim_max: u32,
}

impl Streams {
    pub fn new(interim_max: u32) -> Streams {
        Streams {
            places: Vec::new(),
            wakers: Vec::new(),
            free: Vec::new(),
            index: Vec::new(),
            woken: Woken::default(),
            walking: Vec::new(),
            waiting_output: Vec::new(),
            lingering: 0,
            taken: 0,
            interim_max,
        }
    }

    /// Streams that are not over.
    pub fn open(&self) -> usize {
        self.index.len() - self.lingering
    }

    fn insert(&mut self, stream: Stream) {
        let id = stream.id;
        let place = self.free.pop().unwrap_or_else(|| {
            let place = self.places.len() as u32;
            self.places.push(None);
            self.wakers.push(PlaceWaker::new(place, &self.woken));
            place
        });
        self.places[place as usize] = Some(stream);
        let at = self.index.partition_point(|(other, _)| *other < id);
        self.index.insert(at, (id, place));
        // The first look registers the wakers.
        self.wakers[place as usize].wake();
    }

    /// Server: a request was accepted.
    pub fn accepted(&mut self, id: u32, respond: SendResponse<Bytes>, body: RecvStream, ended: bool) {
        self.insert(Stream::accepted(id, respond, body, ended));
    }

    /// Client: a request was begun.
    pub fn requested(&mut self, id: u32, request: Requested, begins: u64) {
        self.insert(Stream::requested(id, request, begins));
    }

    fn place(&self, id: u32) -> Option<usize> {
        let at = self.index.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.index[at].1 as usize)
    }

    fn find(&mut self, id: u32) -> Option<(usize, &mut Stream)> {
        let place = self.place(id)?;
        self.places[place].as_mut().map(|stream| (place, stream))
    }

    /// Forgets it; handles that are dropped give their window back and, if the stream is not over, reset it.
    fn remove(&mut self, place: usize) {
        drop(self.take(place));
    }

    fn take(&mut self, place: usize) -> Option<Stream> {
        let stream = self.places[place].take()?;
        if stream.lingering {
            self.lingering -= 1;
        }
        if let Ok(at) = self.index.binary_search_by_key(&stream.id, |(id, _)| *id) {
            self.index.remove(at);
        }
        self.free.push(place as u32);
        Some(stream)
    }

    /// Forgets it if it is over both ways and all was taken.
    fn settle(&mut self, place: usize, guard: &mut Guard) {
        let lingering = self.lingering;
        let Some(stream) = &mut self.places[place] else { return };
        if !stream.is_over() {
            return;
        }
        if !stream.lingering {
            guard.completed();
            if stream.held > 0 && lingering < LINGERING_MAX {
                stream.lingering = true;
                self.lingering += 1;
                return;
            }
        } else if stream.held > 0 {
            return;
        }
        self.remove(place);
    }

    /// Server: sends the head of the answer.
    pub fn respond(&mut self, id: u32, status: u16, fields: HeaderMap, end: bool, guard: &mut Guard) -> bool {
        let Some((place, stream)) = self.find(id) else {
            return false;
        };
        if !stream.respond(status, fields, end) {
            return false;
        }
        // The wakers belong to the handle of the answer: look again.
        self.wakers[place].wake();
        self.settle(place, guard);
        true
    }

    /// Server: sends an interim answer.
    pub fn interim(&mut self, id: u32, status: u16, fields: HeaderMap) -> bool {
        self.find(id).is_some_and(|(_, stream)| stream.interim(status, fields))
    }

    /// Takes bytes of a body, `room` at most.
    pub fn data(&mut self, id: u32, bytes: &[u8], end: bool, room: usize, guard: &mut Guard) -> usize {
        let room = room.saturating_sub(self.taken);
        let Some((place, stream)) = self.find(id) else { return 0 };
        let Sending::Body(body) = &mut stream.sending else {
            return 0;
        };
        if stream.send_ended || (bytes.is_empty() && !end) {
            return 0;
        }
        let mut capacity = body.capacity();
        if capacity < bytes.len() && room > 0 {
            body.reserve_capacity(bytes.len());
            capacity = body.capacity();
        }
        let n = bytes.len().min(capacity).min(room);
        let last = end && n == bytes.len();
        if (n > 0 || last) && body.send_data(Bytes::copy_from_slice(&bytes[..n]), last).is_err() {
            // Reset meanwhile: the next turn tells.
            return 0;
        }
        stream.send_ended = last;
        if n < bytes.len() {
            if n == room {
                if !stream.wants_output {
                    stream.wants_output = true;
                    self.waiting_output.push(place as u32);
                }
            } else {
                stream.wants_capacity = true;
                // Registers the waker at the next look.
                self.wakers[place].wake();
            }
        }
        self.taken += n;
        guard.flowed(n);
        if last {
            self.settle(place, guard);
        }
        n
    }

    /// Ends a body with trailers.
    pub fn trailers(&mut self, id: u32, fields: HeaderMap, guard: &mut Guard) -> bool {
        let Some((place, stream)) = self.find(id) else {
            return false;
        };
        if !stream.trailers(fields) {
            return false;
        }
        self.settle(place, guard);
        true
    }

    /// Gives window back.
    pub fn release(&mut self, id: u32, n: usize, guard: &mut Guard) {
        let Some((place, stream)) = self.find(id) else { return };
        stream.release(n);
        if stream.held == 0 {
            self.settle(place, guard);
        }
    }

    /// Breaks a stream off, as [`Stream::reset`] does.
    pub fn reset(&mut self, id: u32, code: u32) {
        let Some((place, stream)) = self.find(id) else { return };
        stream.reset(Reason::from(code));
        self.remove(place);
    }

    /// Server: forgets a stream whose answer is complete while its request is not. The handle that is given keeps it from being reset.
    pub fn answered(&mut self, id: u32, guard: &mut Guard) -> Option<SendStream<Bytes>> {
        let (place, stream) = self.find(id)?;
        if !stream.send_ended {
            return None;
        }
        stream.release(stream.held);
        // A client that resets it now resets no more than was served.
        guard.completed();
        match self.take(place)?.sending {
            Sending::Body(handle) => Some(handle),
            Sending::Answer(_) => None,
        }
    }

    /// Looks at every stream that was woken.
    pub fn turn(&mut self, events: &mut Vec<Event>, guard: &mut Guard, left: u64) {
        let mut walking = std::mem::take(&mut self.walking);
        self.woken.take(&mut walking);
        for place in walking.drain(..) {
            self.wakers[place as usize].rearm();
            self.look(place as usize, events, guard, left);
        }
        self.walking = walking;
    }

    /// All that was taken has been framed.
    pub fn framed(&mut self) {
        self.taken = 0;
    }

    /// Tells those that wait for output.
    pub fn output_left(&mut self, events: &mut Vec<Event>) {
        for place in self.waiting_output.drain(..) {
            if let Some(stream) = &mut self.places[place as usize]
                && std::mem::take(&mut stream.wants_output)
            {
                events.push(Event::Writable { stream: stream.id });
            }
        }
    }

    /// True when some wait for output.
    pub fn wait_for_output(&self) -> bool {
        !self.waiting_output.is_empty()
    }

    /// The connection is over: tells what had arrived, then a reset of each stream that is left; how many were reset.
    pub fn close(&mut self, events: &mut Vec<Event>, guard: &mut Guard, code: u32, remote: bool, left: u64) -> usize {
        let first = events.len();
        for place in 0..self.places.len() {
            self.look(place, events, guard, left);
            if let Some(stream) = &self.places[place] {
                if !stream.lingering {
                    let unprocessed = stream.never_left(left);
                    events.push(Event::Reset {
                        stream: stream.id,
                        code,
                        remote,
                        unprocessed,
                    });
                }
                self.remove(place);
            }
        }
        events[first..]
            .iter()
            .filter(|event| matches!(event, Event::Reset { .. }))
            .count()
    }

    /// Client: the HEADERS that end this stream begin with a pseudo-header field.
    pub fn ends_with_pseudo(&mut self, id: u32) {
        if let Some((_, stream)) = self.find(id) {
            stream.pseudo_end = true;
        }
    }

    /// Resets a stream whose peer sent what is malformed.
    pub fn malformed(&mut self, id: u32, events: &mut Vec<Event>, guard: &mut Guard) {
        if self.place(id).is_some() {
            let code = Reason::PROTOCOL_ERROR.into();
            events.push(Event::Reset {
                stream: id,
                code,
                remote: false,
                unprocessed: false,
            });
            guard.reset("too many malformed messages");
            self.reset(id, code);
        }
    }

    fn look(&mut self, place: usize, events: &mut Vec<Event>, guard: &mut Guard, left: u64) {
        let Some(stream) = &mut self.places[place] else { return };
        let waker = &self.wakers[place].waker;
        let cx = &mut Context::from_waker(waker);
        let outcome = stream
            .receive(cx, events, self.interim_max)
            .and_then(|()| stream.send(cx, events));
        if let Err(broken) = outcome {
            let id = stream.id;
            match broken {
                Broken::Malformed => self.malformed(id, events, guard),
                Broken::Reset {
                    code,
                    remote,
                    unprocessed,
                } => {
                    let unprocessed = unprocessed || (code == LOST && stream.never_left(left));
                    events.push(Event::Reset {
                        stream: id,
                        code,
                        remote,
                        unprocessed,
                    });
                    self.remove(place);
                }
            }
            return;
        }
        self.settle(place, guard);
    }
}

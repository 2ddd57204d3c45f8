//! The streams of one connection: handles of h2, what was taken and what is wanted, and the turn that tells events. A turn looks at the streams that were woken.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::h2::client::ResponseFuture;
use ::h2::server::SendResponse;
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};

use super::broken::Broken;
use super::guard::Guard;
use super::wake::{PlaceWaker, Woken};
use super::{Event, LOST, check};

/// Streams that are over but of whose bytes some were not taken; beyond, their window is given back at once.
const LINGERING_MAX: usize = 256;

enum Sending {
    /// Server: no answer yet.
    Answer(SendResponse<Bytes>),
    /// A body may follow, or has ended.
    Body(SendStream<Bytes>),
}

/// What the peer has sent so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Client: no response yet.
    Head,
    Body,
    Trailers,
    Ended,
}

struct Stream {
    id: u32,
    sending: Sending,
    send_ended: bool,
    phase: Phase,
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// Bytes that were told and not released.
    held: usize,
    /// Writable is to be told: when h2 has capacity …
    wants_capacity: bool,
    /// … or when output has left.
    wants_output: bool,
    /// Client: where its head begins in all that was ever output, or later.
    begins: u64,
    interim: u32,
    /// Response without content (RFC 9110 §6.4.1).
    empty: bool,
    /// Response that says the length of content which only another answer would have: 304 (RFC 9113 §8.1.1). Those to HEAD h2 knows by itself.
    foreign_length: bool,
    /// Client: the HEADERS that ended it begin with a pseudo-header field. Those of trailers may not.
    pseudo_end: bool,
    /// Over both ways, kept for the bytes that are held.
    lingering: bool,
}

/// A request that was begun.
pub(super) struct Requested {
    pub response: ResponseFuture,
    pub body: SendStream<Bytes>,
    pub ended: bool,
    /// The response has no content.
    pub to_head: bool,
}

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
        self.insert(Stream {
            id,
            sending: Sending::Answer(respond),
            send_ended: false,
            phase: if ended { Phase::Ended } else { Phase::Body },
            response: None,
            body: Some(body),
            held: 0,
            wants_capacity: false,
            wants_output: false,
            begins: 0,
            interim: 0,
            empty: false,
            foreign_length: false,
            pseudo_end: false,
            lingering: false,
        });
    }

    /// Client: a request was begun.
    pub fn requested(&mut self, id: u32, request: Requested, begins: u64) {
        let Requested {
            response,
            body,
            ended,
            to_head,
        } = request;
        self.insert(Stream {
            id,
            sending: Sending::Body(body),
            send_ended: ended,
            phase: Phase::Head,
            response: Some(response),
            body: None,
            held: 0,
            wants_capacity: false,
            wants_output: false,
            begins,
            interim: 0,
            empty: to_head,
            foreign_length: false,
            pseudo_end: false,
            lingering: false,
        });
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
        if !stream.send_ended || stream.phase != Phase::Ended {
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
        let Sending::Answer(answer) = &mut stream.sending else {
            return false;
        };
        let Some(head) = response(status, fields) else {
            return false;
        };
        let Ok(body) = answer.send_response(head, end) else {
            return false;
        };
        stream.sending = Sending::Body(body);
        stream.send_ended = end;
        // The wakers belong to the handle of the answer: look again.
        self.wakers[place].wake();
        self.settle(place, guard);
        true
    }

    /// Server: sends an interim answer.
    pub fn interim(&mut self, id: u32, status: u16, fields: HeaderMap) -> bool {
        let Some((_, stream)) = self.find(id) else { return false };
        let Sending::Answer(answer) = &mut stream.sending else {
            return false;
        };
        if status == 101 {
            return false;
        }
        response(status, fields).is_some_and(|head| answer.send_informational(head).is_ok())
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
        let Sending::Body(body) = &mut stream.sending else {
            return false;
        };
        if stream.send_ended {
            return false;
        }
        let sent = if fields.is_empty() {
            body.send_data(Bytes::new(), true)
        } else {
            body.send_trailers(fields)
        };
        if sent.is_err() {
            return false;
        }
        stream.send_ended = true;
        self.settle(place, guard);
        true
    }

    /// Gives window back.
    pub fn release(&mut self, id: u32, n: usize, guard: &mut Guard) {
        let Some((place, stream)) = self.find(id) else { return };
        let n = n.min(stream.held);
        if let Some(body) = &mut stream.body {
            stream.held -= n;
            // Refused only beyond what is in flight, which `held` is not.
            let released = body.flow_control().release_capacity(n);
            debug_assert!(released.is_ok());
        }
        if stream.held == 0 {
            self.settle(place, guard);
        }
    }

    /// Breaks a stream off. After a complete answer NO_ERROR asks for no more of the request and lets the answer leave (RFC 9113 §8.1).
    pub fn reset(&mut self, id: u32, code: u32) {
        let Some((place, stream)) = self.find(id) else { return };
        let reason = Reason::from(code);
        match &mut stream.sending {
            Sending::Answer(answer) => answer.send_reset(reason),
            Sending::Body(_) if stream.send_ended && reason == Reason::NO_ERROR => {}
            Sending::Body(body) => body.send_reset(reason),
        }
        self.remove(place);
    }

    /// Server: forgets a stream whose answer is complete while its request is not. The handle that is given keeps it from being reset.
    pub fn answered(&mut self, id: u32, guard: &mut Guard) -> Option<SendStream<Bytes>> {
        let (place, stream) = self.find(id)?;
        if !stream.send_ended {
            return None;
        }
        let held = std::mem::take(&mut stream.held);
        if let Some(body) = &mut stream.body {
            let released = body.flow_control().release_capacity(held);
            debug_assert!(released.is_ok());
        }
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
                    let unprocessed = stream.phase == Phase::Head && stream.begins >= left;
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
                    let never_left = stream.phase == Phase::Head && code == LOST && stream.begins >= left;
                    let unprocessed = unprocessed || never_left;
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

impl Stream {
    /// Tells all that has arrived.
    fn receive(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>, interim_max: u32) -> Result<(), Broken> {
        let arrived = match self.phase {
            Phase::Head => self.receive_head(cx, events, interim_max)?,
            _ => true,
        };
        if arrived && self.phase != Phase::Ended {
            self.receive_body(cx, events)
        } else {
            Ok(())
        }
    }

    /// True when the head has been told.
    fn receive_head(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<Event>,
        interim_max: u32,
    ) -> Result<bool, Broken> {
        let id = self.id;
        let Some(response) = &mut self.response else {
            return Ok(false);
        };
        while let Poll::Ready(interim) = response.poll_informational(cx) {
            let Some(interim) = interim else { break };
            let parts = interim?.into_parts().0;
            self.interim += 1;
            if self.interim > interim_max || check::response(&parts).is_err() {
                return Err(Broken::Malformed);
            }
            events.push(Event::Informational { stream: id, parts });
        }
        let Poll::Ready(response) = Pin::new(response).poll(cx) else {
            return Ok(false);
        };
        let (parts, body) = response?.into_parts();
        if check::response(&parts).is_err() {
            return Err(Broken::Malformed);
        }
        self.foreign_length =
            !self.empty && parts.status == StatusCode::NOT_MODIFIED && parts.headers.contains_key(CONTENT_LENGTH);
        self.empty |= matches!(parts.status.as_u16(), 204 | 205 | 304);
        let ended = body.is_end_stream();
        events.push(Event::Response {
            stream: id,
            parts,
            ended,
        });
        self.phase = if ended { Phase::Ended } else { Phase::Body };
        self.response = None;
        self.body = Some(body);
        Ok(true)
    }

    fn receive_body(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) -> Result<(), Broken> {
        let id = self.id;
        let Some(body) = &mut self.body else { return Ok(()) };
        while self.phase == Phase::Body {
            match body.poll_data(cx) {
                // h2 misses the content, and has reset the stream; but all of the response is here.
                Poll::Ready(Some(Err(error))) if self.foreign_length && error.is_reset() && error.is_library() => {
                    events.push(Event::Data {
                        stream: id,
                        bytes: Bytes::new(),
                        ended: true,
                    });
                    self.phase = Phase::Ended;
                }
                Poll::Ready(Some(bytes)) => {
                    let bytes = bytes?;
                    if self.empty && !bytes.is_empty() {
                        return Err(Broken::Malformed);
                    }
                    self.held += bytes.len();
                    let ended = body.is_end_stream();
                    events.push(Event::Data {
                        stream: id,
                        bytes,
                        ended,
                    });
                    if ended {
                        self.phase = Phase::Ended;
                    }
                }
                Poll::Ready(None) => self.phase = Phase::Trailers,
                Poll::Pending => return Ok(()),
            }
        }
        if self.phase == Phase::Trailers
            && let Poll::Ready(fields) = body.poll_trailers(cx)
        {
            self.phase = Phase::Ended;
            events.push(match fields? {
                Some(fields) if self.pseudo_end || check::values(&fields).is_err() => return Err(Broken::Malformed),
                Some(fields) => Event::Trailers { stream: id, fields },
                None => Event::Data {
                    stream: id,
                    bytes: Bytes::new(),
                    ended: true,
                },
            });
        }
        Ok(())
    }

    /// Tells capacity that has come and, when nothing more is received that would tell it, a reset by the peer.
    fn send(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) -> Result<(), Broken> {
        if self.wants_capacity
            && let Sending::Body(body) = &mut self.sending
            && let Poll::Ready(capacity) = body.poll_capacity(cx)
        {
            self.wants_capacity = false;
            if let Some(Ok(_)) = capacity {
                events.push(Event::Writable { stream: self.id });
            }
        }
        if self.phase != Phase::Ended || self.send_ended {
            return Ok(());
        }
        let reset = match &mut self.sending {
            Sending::Answer(answer) => answer.poll_reset(cx),
            Sending::Body(body) => body.poll_reset(cx),
        };
        match reset {
            Poll::Ready(reason) => Err(Broken::Reset {
                code: reason?.into(),
                remote: true,
                unprocessed: false,
            }),
            Poll::Pending => Ok(()),
        }
    }
}

fn response(status: u16, fields: HeaderMap) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = fields;
    Some(response)
}

//! The side that answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ::h2::server::{Builder, Connection, Handshake, SendResponse};
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::{HeaderMap, Request};

use super::answered::Answered;
use super::core::{Core, ROUNDS_MAX, closed};
use super::duplex::Io;
use super::limits::Limits;
use super::wake::Flag;
use super::{Closed, Event, check};

enum State {
    /// The preface has not arrived.
    Greeting(Box<Handshake<Io, Bytes>>),
    Open(Box<Connection<Io, Bytes>>),
    Gone,
}

/// A connection whose peer sends requests. See the module for how it is driven.
pub struct Server {
    core: Core,
    state: State,
    woken: Arc<Flag>,
    waker: Waker,
    /// The last stream that was accepted.
    last_stream: u32,
    leaving: bool,
    answered: Answered,
}

impl Server {
    /// A connection whose first bytes are to come; SETTINGS are in the output after the first `poll`.
    pub fn new(limits: &Limits) -> Server {
        let (core, io) = Core::new(limits, true);
        let handshake = Builder::new()
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(limits.header_list_bytes_max)
            .initial_window_size(limits.window_bytes)
            .initial_connection_window_size(limits.connection_window_bytes)
            .max_send_buffer_size(limits.send_bytes_max)
            .data_frame_budget(limits.data_frame_budget())
            .max_local_error_reset_streams(Some(limits.stream_errors_max))
            .max_pending_accept_reset_streams(limits.resets_max as usize)
            .max_concurrent_reset_streams(limits.streams_max as usize)
            .enable_connect_protocol()
            .handshake(io);
        let (woken, waker) = Flag::new();
        Server {
            core,
            state: State::Greeting(Box::new(handshake)),
            woken,
            waker,
            last_stream: 0,
            leaving: false,
            answered: Answered::default(),
        }
    }

    /// Bytes that have arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.core.feed(bytes);
    }

    /// No more will arrive.
    pub fn feed_end(&mut self) {
        self.core.duplex.feed_end();
    }

    /// False while no more should be fed: input waits because the output does not leave.
    pub fn wants_input(&self) -> bool {
        self.core.wants_input()
    }

    /// Drives all that can go on and tells what happened; to be called after feeding, and after acting, before the output is fetched.
    ///
    /// # Errors
    /// When the connection is over: what is left of the output is to be sent, then it is to be closed. Every open stream has been told a reset.
    pub fn poll(&mut self, events: &mut Vec<Event>) -> Result<(), Closed> {
        let outcome = match self.core.begin() {
            Ok(()) => self.drive(events).map_err(|closed| (closed, None)),
            Err(closed) => Err((closed, Some(self.last_stream))),
        };
        match outcome {
            Ok(()) => {
                self.core.end(events);
                Ok(())
            }
            Err((closed, ours)) => {
                let closed = self.core.close(closed, ours, events);
                self.state = State::Gone;
                Err(closed)
            }
        }
    }

    fn drive(&mut self, events: &mut Vec<Event>) -> Result<(), Closed> {
        for _ in 0..ROUNDS_MAX {
            self.woken.lower();
            self.accept(events)?;
            self.core.turn(events);
            if !self.woken.lower() {
                break;
            }
        }
        Ok(())
    }

    fn accept(&mut self, events: &mut Vec<Event>) -> Result<(), Closed> {
        let cx = &mut Context::from_waker(&self.waker);
        if let State::Greeting(handshake) = &mut self.state {
            match Pin::new(&mut **handshake).poll(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(connection)) => self.state = State::Open(Box::new(connection)),
                Poll::Ready(Err(error)) => return Err(closed(Err(error))),
            }
            if self.leaving
                && let State::Open(connection) = &mut self.state
            {
                connection.graceful_shutdown();
            }
        }
        let State::Open(connection) = &mut self.state else {
            return Ok(());
        };
        loop {
            match connection.poll_accept(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => return Err(closed(Ok(()))),
                Poll::Ready(Some(Err(error))) => return Err(closed(Err(error))),
                Poll::Ready(Some(Ok((request, respond)))) => {
                    Self::begin(&mut self.core, &mut self.last_stream, request, respond, events);
                }
            }
        }
    }

    fn begin(
        core: &mut Core,
        last_stream: &mut u32,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        events: &mut Vec<Event>,
    ) {
        let stream = respond.stream_id().as_u32();
        *last_stream = stream.max(*last_stream);
        // Reset before anybody saw it: nobody need.
        if respond.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        let (mut parts, body) = request.into_parts();
        if check::request(&mut parts).is_err() {
            core.guard.reset("too many malformed requests");
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return;
        }
        let ended = body.is_end_stream();
        events.push(Event::Request { stream, parts, ended });
        core.streams.accepted(stream, respond, body, ended);
    }

    /// Bytes for the socket.
    pub fn output(&self) -> &[u8] {
        self.core.duplex.output()
    }

    /// The socket took `n` of them.
    pub fn sent(&mut self, n: usize) {
        self.core.sent(n);
    }

    /// Gives back memory that holds nothing; call it now and then.
    pub fn rest(&mut self) {
        self.core.rest();
    }

    /// The head of an answer; `end`: nothing follows. False when there is no such stream, it was answered already, or a field belongs to connections (RFC 9113 §8.2.2).
    pub fn respond(&mut self, stream: u32, status: u16, fields: HeaderMap, end: bool) -> bool {
        self.core
            .streams
            .respond(stream, status, fields, end, &mut self.core.guard)
    }

    /// An interim answer (1xx but 101). False as for `respond`.
    pub fn interim(&mut self, stream: u32, status: u16, fields: HeaderMap) -> bool {
        self.core.streams.interim(stream, status, fields)
    }

    /// Bytes of the answer's body, of which as many are taken as windows and output allow; `end` counts when all were. After fewer were taken,
    /// `Writable` tells when to offer the rest.
    pub fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> usize {
        self.core.data(stream, bytes, end)
    }

    /// Ends a body with trailers. False when there is no such body, or a field belongs to connections.
    pub fn trailers(&mut self, stream: u32, fields: HeaderMap) -> bool {
        self.core.trailers(stream, fields)
    }

    /// The application took `n` bytes of what `Data` told: the peer may send as many more.
    pub fn release(&mut self, stream: u32, n: usize) {
        self.core.release(stream, n);
    }

    /// After a complete answer: nothing more of the request is told. A client that has not ended it by `due`, on the clock of `dismiss`, is asked to send no more (RFC 9113
    /// §8.1); times of one connection only grow. Without a complete answer it is a reset.
    pub fn answered(&mut self, stream: u32, due: u64) {
        match self.core.streams.answered(stream, &mut self.core.guard) {
            Some(handle) => self.answered.add(due, handle),
            None => self.core.streams.reset(stream, Reason::NO_ERROR.into()),
        }
    }

    /// Asks those for no more whose time has come; true when there is something to frame.
    pub fn dismiss(&mut self, now: u64) -> bool {
        self.answered.dismiss(now)
    }

    /// Breaks a stream off with a code of RFC 9113 §7. After a complete answer code 0 lets it leave and asks for no more of the request at once.
    pub fn reset(&mut self, stream: u32, code: u32) {
        self.core.streams.reset(stream, code);
    }

    /// Says that no more requests are taken; those that are open, or on their way, are served (RFC 9113 §6.8). `poll` ends cleanly after the last.
    pub fn go_away(&mut self) {
        self.leaving = true;
        if let State::Open(connection) = &mut self.state {
            connection.graceful_shutdown();
        }
    }

    /// Streams that are not over.
    pub fn open_streams(&self) -> usize {
        self.core.streams.open()
    }
}

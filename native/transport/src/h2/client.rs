//! The side that asks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ::h2::client::{Builder, Connection, SendRequest};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, request};

use super::core::{Core, ROUNDS_MAX, closed};
use super::duplex::Io;
use super::limits::Limits;
use super::stream::Requested;
use super::wake::Flag;
use super::{Closed, Event};

/// Streams that are opened before the peer has said how many it takes (RFC 9113 §6.5.2 recommends no fewer).
const STREAMS_BEFORE_SETTINGS: usize = 100;

/// A connection to which requests are sent. See the module for how it is driven.
pub struct Client {
    core: Core,
    connection: Option<Box<Connection<Io, Bytes>>>,
    /// None once no more streams are to be opened.
    opener: Option<SendRequest<Bytes>>,
    woken: Arc<Flag>,
    waker: Waker,
    streams_max: usize,
}

impl Client {
    /// A connection whose first bytes, preface and SETTINGS, are in the output after the first `poll`.
    pub fn new(limits: &Limits) -> Client {
        let (core, io) = Core::new(limits, false);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .max_concurrent_streams(0)
            .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
            .max_header_list_size(limits.header_list_bytes_max)
            .initial_window_size(limits.window_bytes)
            .initial_connection_window_size(limits.connection_window_bytes)
            .max_send_buffer_size(limits.send_bytes_max)
            .data_frame_budget(limits.data_frame_budget())
            // What was on its way to streams that were let go counts as errors of streams too, however many exchanges ago that was: a bound over the connection's
            // life would end it under all that share it.
            .max_local_error_reset_streams(None)
            .max_concurrent_reset_streams(limits.streams_max as usize);
        let (woken, waker) = Flag::new();
        // Writes to memory that is empty: done at once.
        let mut handshake = Box::pin(builder.handshake::<_, Bytes>(io));
        let (opener, connection) = match handshake.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(Ok((opener, connection))) => (Some(opener), Some(Box::new(connection))),
            Poll::Ready(Err(_)) | Poll::Pending => (None, None),
        };
        Client {
            core,
            connection,
            opener,
            woken,
            waker,
            streams_max: limits.streams_max as usize,
        }
    }

    /// Bytes that have arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.core.feed(bytes);
        if self.core.guard.goaway() {
            self.opener = None;
        }
    }

    /// No more will arrive.
    pub fn feed_end(&mut self) {
        self.core.duplex.feed_end();
        self.opener = None;
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
            Err(closed) => Err((closed, Some(0))),
        };
        match outcome {
            Ok(()) => {
                self.core.end(events);
                Ok(())
            }
            Err((closed, ours)) => {
                let closed = self.core.close(closed, ours, events);
                self.connection = None;
                self.opener = None;
                Err(closed)
            }
        }
    }

    fn drive(&mut self, events: &mut Vec<Event>) -> Result<(), Closed> {
        for _ in 0..ROUNDS_MAX {
            self.woken.lower();
            let Some(connection) = &mut self.connection else {
                return Err(closed(Ok(())));
            };
            if let Poll::Ready(result) = Pin::new(&mut **connection).poll(&mut Context::from_waker(&self.waker)) {
                return Err(closed(result));
            }
            self.core.turn(events);
            if !self.woken.lower() {
                break;
            }
        }
        Ok(())
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

    /// Begins a request with an absolute URI; `end`: nothing follows. An extended CONNECT (RFC 8441) has `Protocol` among its extensions. None when no
    /// stream can be opened now, or a field belongs to connections (RFC 9113 §8.2.2).
    pub fn request(&mut self, parts: request::Parts, end: bool) -> Option<u32> {
        if !self.ready() {
            return None;
        }
        let opener = self.opener.as_mut()?;
        if parts.extensions.get::<super::Protocol>().is_some() && !opener.is_extended_connect_protocol_enabled() {
            return None;
        }
        let begins = self.core.duplex.fetched();
        let to_head = parts.method == Method::HEAD;
        let (response, body) = opener.send_request(Request::from_parts(parts, ()), end).ok()?;
        let stream = body.stream_id().as_u32();
        self.core.guard.requested();
        self.core.streams.requested(
            stream,
            Requested {
                response,
                body,
                ended: end,
                to_head,
            },
            begins,
        );
        Some(stream)
    }

    /// True while a stream may be opened. Those that were let go count with h2 until their resets are framed.
    pub fn ready(&mut self) -> bool {
        let open = self.core.streams.open();
        let Some(opener) = &mut self.opener else { return false };
        open < opener.current_max_send_streams().min(self.streams_max)
            && matches!(
                opener.poll_ready(&mut Context::from_waker(&self.waker)),
                Poll::Ready(Ok(()))
            )
    }

    /// Streams that may be open at once, as the peer allows and we do.
    pub fn streams(&self) -> usize {
        self.opener
            .as_ref()
            .map_or(0, |opener| opener.current_max_send_streams().min(self.streams_max))
    }

    /// True once the peer has said that it takes extended CONNECT (RFC 8441 §3).
    pub fn extended_connect(&self) -> bool {
        self.opener
            .as_ref()
            .is_some_and(SendRequest::is_extended_connect_protocol_enabled)
    }

    /// Bytes of the request's body, of which as many are taken as windows and output allow; `end` counts when all were. After fewer were taken,
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

    /// Breaks a stream off with a code of RFC 9113 §7.
    pub fn reset(&mut self, stream: u32, code: u32) {
        self.core.streams.reset(stream, code);
    }

    /// Opens no more streams; `poll` ends cleanly, with a GOAWAY in the output, after the last open one.
    pub fn go_away(&mut self) {
        self.opener = None;
    }

    /// Streams that are not over.
    pub fn open_streams(&self) -> usize {
        self.core.streams.open()
    }
}

//! One stream of a connection: its handles of h2, how far the peer's message is, and what has arrived told as events.

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
use super::{Event, check};

/// The handle by which bytes are sent.
pub(super) enum Sending {
    /// Server: no answer yet.
    Answer(SendResponse<Bytes>),
    /// A body may follow, or has ended.
    Body(SendStream<Bytes>),
}

/// What the peer has sent so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Client: no response yet.
    Head,
    Body,
    Trailers,
    Ended,
}

/// A stream: its handles, what the peer has sent, and what is wanted of h2.
pub(super) struct Stream {
    pub id: u32,
    pub sending: Sending,
    pub send_ended: bool,
    pub phase: Phase,
    response: Option<ResponseFuture>,
    pub body: Option<RecvStream>,
    /// Bytes that were told and not released.
    pub held: usize,
    /// Writable is to be told: when h2 has capacity …
    pub wants_capacity: bool,
    /// … or when output has left.
    pub wants_output: bool,
    /// Client: where its head begins in all that was ever output, or later.
    pub begins: u64,
    interim: u32,
    /// Response without content (RFC 9110 §6.4.1).
    empty: bool,
    /// Response that says the length of content which only another answer would have: 304 (RFC 9113 §8.1.1). Those to HEAD h2 knows by itself.
    foreign_length: bool,
    /// Client: the HEADERS that ended it begin with a pseudo-header field. Those of trailers may not.
    pub pseudo_end: bool,
    /// Over both ways, kept for the bytes that are held.
    pub lingering: bool,
}

/// A request that was begun.
pub(super) struct Requested {
    pub response: ResponseFuture,
    pub body: SendStream<Bytes>,
    pub ended: bool,
    /// The response has no content.
    pub to_head: bool,
}

impl Stream {
    /// Server: a request was accepted.
    pub fn accepted(id: u32, respond: SendResponse<Bytes>, body: RecvStream, ended: bool) -> Stream {
        Stream {
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
        }
    }

    /// Client: a request was begun, whose head begins at `begins` of all output.
    pub fn requested(id: u32, request: Requested, begins: u64) -> Stream {
        Stream {
            id,
            sending: Sending::Body(request.body),
            send_ended: request.ended,
            phase: Phase::Head,
            response: Some(request.response),
            body: None,
            held: 0,
            wants_capacity: false,
            wants_output: false,
            begins,
            interim: 0,
            empty: request.to_head,
            foreign_length: false,
            pseudo_end: false,
            lingering: false,
        }
    }

    /// Over both ways.
    pub fn is_over(&self) -> bool {
        self.send_ended && self.phase == Phase::Ended
    }

    /// Client: nothing of it can have reached a peer that has got `left` bytes of all output.
    pub fn never_left(&self, left: u64) -> bool {
        self.phase == Phase::Head && self.begins >= left
    }

    /// Server: sends the head of the answer.
    pub fn respond(&mut self, status: u16, fields: HeaderMap, end: bool) -> bool {
        let Sending::Answer(answer) = &mut self.sending else {
            return false;
        };
        let Some(head) = response(status, fields) else {
            return false;
        };
        let Ok(body) = answer.send_response(head, end) else {
            return false;
        };
        self.sending = Sending::Body(body);
        self.send_ended = end;
        true
    }

    /// Server: sends an interim answer.
    pub fn interim(&mut self, status: u16, fields: HeaderMap) -> bool {
        let Sending::Answer(answer) = &mut self.sending else {
            return false;
        };
        if status == 101 {
            return false;
        }
        response(status, fields).is_some_and(|head| answer.send_informational(head).is_ok())
    }

    /// Ends a body with trailers.
    pub fn trailers(&mut self, fields: HeaderMap) -> bool {
        let Sending::Body(body) = &mut self.sending else {
            return false;
        };
        if self.send_ended {
            return false;
        }
        let sent = if fields.is_empty() {
            body.send_data(Bytes::new(), true)
        } else {
            body.send_trailers(fields)
        };
        self.send_ended = sent.is_ok();
        self.send_ended
    }

    /// Gives window back: of `n` bytes, or as many as are held.
    pub fn release(&mut self, n: usize) {
        let n = n.min(self.held);
        if let Some(body) = &mut self.body {
            self.held -= n;
            // Refused only beyond what is in flight, which `held` is not.
            let released = body.flow_control().release_capacity(n);
            debug_assert!(released.is_ok());
        }
    }

    /// Breaks it off. After a complete answer NO_ERROR asks for no more of the request and lets the answer leave (RFC 9113 §8.1).
    pub fn reset(&mut self, reason: Reason) {
        match &mut self.sending {
            Sending::Answer(answer) => answer.send_reset(reason),
            Sending::Body(_) if self.send_ended && reason == Reason::NO_ERROR => {}
            Sending::Body(body) => body.send_reset(reason),
        }
    }

    /// Tells all that has arrived.
    pub fn receive(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>, interim_max: u32) -> Result<(), Broken> {
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
    pub fn send(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) -> Result<(), Broken> {
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

//! HTTP/2 (RFC 9113) by the h2 crate, without sockets: [`Server`] and [`Client`] take bytes and tell [`Event`]s.
//!
//! One turn: `feed` what has arrived (while `wants_input`), `poll` for events, act on them (`respond`, `data`, `release` …), `poll` again, which frames what
//! was acted and may tell more, send `output` and say how much was `sent`. A turn costs by the streams that were woken, not by those that are open.
//!
//! # What h2 sees to
//! Framing and its errors; HPACK; the states of streams; both windows, and that peers keep to them; pseudo-header fields: known, once, before the others, complete;
//! names in lower case and of token characters, values without controls; connection-specific fields and TE (RFC 9113 §8.2.2); content-length against DATA, also
//! where trailers end a body; the count of streams (REFUSED_STREAM), the size of heads (431, or a reset; four times as much ends the connection), CONTINUATION frames,
//! DATA frames that are empty or tiny, resets before a request was told, errors of a client's streams over the connection's life (MadeYouReset). A malformed head that
//! can be decoded resets its stream with PROTOCOL_ERROR; one that cannot ends the connection, as HPACK's state is lost.
//!
//! # What is added here
//! - Requests: an authority, in `:authority` or Host, of a host's characters and without userinfo; both agree (RFC 9113 §8.3.1) and one is kept; `:scheme` http or
//!   https; `:path` of visible ASCII that begins with `/`, or is `*` for OPTIONS; CONNECT names a port; content-length at most once and of 1 to 15 digits; no white
//!   space around values; no pseudo-header fields in trailers. Else PROTOCOL_ERROR for the stream, and no event.
//! - Responses: no 101, no content where there is none (HEAD, 204, 205, 304), a bound on interim ones, lengths, values and trailers as above. A 304 may say a length and end
//!   with an empty frame, which h2 takes for missing content.
//! - Floods (the `guard`): rapid reset, PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown and empty frames, header blocks in many parts or without end. Budgets are
//!   given back by bodies, completed exchanges and time; beyond them ENHANCE_YOUR_CALM.
//! - Lengths of frames that have but one, with FRAME_SIZE_ERROR; at most two changes of the header table's size before a block.
//! - Bounds on output (nothing is framed or read beyond) and on what is taken of bodies.
//!
//! # What is not seen
//! A fragment in `:path` is dropped by the type that holds it: what is told, and what anybody behind sees, is the target before `#`. Of visible ASCII that type
//! refuses `<`, `>` and `` ` `` in paths, `"`, `<` and `>` in queries, which clients encode. A peer whose window stays shut is a matter of deadlines: the caller's.

mod answered;
mod broken;
mod check;
mod client;
mod core;
mod duplex;
mod guard;
mod limits;
mod server;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod wake;

pub use ::h2::ext::Protocol;
pub use client::Client;
pub use limits::{FED_BYTES_MAX, Limits};
pub use server::Server;

use bytes::Bytes;
use http::HeaderMap;

/// The code of a reset whose reason is the end of the connection without one.
pub const LOST: u32 = u32::MAX;

/// What has happened to a stream, or the connection.
#[derive(Debug)]
pub enum Event {
    /// Server: a request has begun; checked, `host` dropped where `:authority` says it. Extended CONNECT has [`Protocol`] among its extensions.
    Request {
        /// Number of the stream.
        stream: u32,
        /// Its head.
        parts: http::request::Parts,
        /// Nothing follows.
        ended: bool,
    },
    /// Client: the response has begun.
    Response {
        /// Number of the stream.
        stream: u32,
        /// Its head.
        parts: http::response::Parts,
        /// Nothing follows.
        ended: bool,
    },
    /// Client: an interim response (1xx).
    Informational {
        /// Number of the stream.
        stream: u32,
        /// Its head.
        parts: http::response::Parts,
    },
    /// Bytes of a body; `release` gives their window back. They share memory with what arrived beside them: copy what is kept.
    Data {
        /// Number of the stream.
        stream: u32,
        /// May be empty when `ended`.
        bytes: Bytes,
        /// Nothing follows.
        ended: bool,
    },
    /// The trailers: nothing follows.
    Trailers {
        /// Number of the stream.
        stream: u32,
        /// Its trailers.
        fields: HeaderMap,
    },
    /// `data` took fewer bytes than it was offered and would take more now.
    Writable {
        /// Number of the stream.
        stream: u32,
    },
    /// Broken off; the stream is forgotten.
    Reset {
        /// Number of the stream.
        stream: u32,
        /// Code of RFC 9113 §7, or [`LOST`].
        code: u32,
        /// By the peer, or the loss of the connection; else what the peer sent was in error.
        remote: bool,
        /// Client: the peer never read the request (REFUSED_STREAM, beyond the last stream of a GOAWAY, or not one byte of it has left).
        unprocessed: bool,
    },
    /// The peer leaves (GOAWAY): no new streams.
    Closing,
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Nothing was lost.
    pub clean: bool,
    /// Code of RFC 9113 §7, or [`LOST`].
    pub code: u32,
    /// For logs; empty when clean.
    pub reason: String,
}

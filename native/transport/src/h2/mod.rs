//! HTTP/2 (RFC 9113) by the h2 crate, without sockets: [`Server`] and [`Client`] take bytes and tell [`Event`]s.
//!
//! One turn: `feed` what has arrived, `poll` for events, act on them (`respond`, `data`, `release` …), `poll` again, which frames what was acted, send
//! `output` and say how much was `sent`.

mod check;
mod client;
mod core;
mod duplex;
mod guard;
mod limits;
mod server;
mod streams;
#[cfg(test)]
mod tests;
mod wake;

pub use ::h2::ext::Protocol;
pub use client::Client;
pub use limits::Limits;
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

//! HTTP/1.1 on the wire (RFC 9112), read strictly: heads of requests and responses, and the chunked coding. Nothing here knows of sockets or time; what was
//! read is told as places in the caller's bytes, so that nothing is copied and, once the tables have grown, nothing is allocated.
//!
//! What has two readings is refused, never repaired: two parties that read the same bytes differently are what request smuggling lives on (RFC 9112 §11.2).
//! A flaw in the syntax is told by the first byte that makes it certain, whatever may still come: no malformed head waits for an end. A flaw in what a whole
//! head says (two lengths, no Host) is told at its end. So the result does not depend on how the bytes were split on their way.

mod chunked;
mod connection;
mod fields;
mod host;
mod request;
mod response;
mod scan;
mod target;
mod websocket;

pub(crate) use chunked::is_forbidden_trailer;
pub use chunked::{
    CHUNK_DIGITS_MAX, CHUNK_SIZE_MAX, Chunked, Decoded, EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX, TRAILERS_MAX,
    chunk_prefix,
};
pub use connection::{NOMINATED_MAX, nominated};
pub(crate) use fields::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
pub use fields::{Field, NAME_BYTES_MAX, known_id};
pub use host::HOST_BYTES_MAX;
pub use request::{METHOD_BYTES_MAX, METHOD_OTHER, METHODS, RequestHead, parse_request};
pub use response::{RESPONSE_FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX, ResponseHead, parse_response};
pub use target::TARGET_BYTES_MAX;
pub use websocket::accept_of;

use crate::layout::Fault;

/// A part of the bytes that a parser was given: where it begins and how long it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub at: u32,
    /// Bytes.
    pub len: u32,
}

impl Span {
    /// From `from` to before `to`; both at most 4 GiB, which the bounds on heads see to.
    pub(crate) fn between(from: usize, to: usize) -> Span {
        Span {
            at: from as u32,
            len: (to - from) as u32,
        }
    }

    /// The part itself; empty when it does not lie in `bytes`.
    #[inline]
    pub fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let at = self.at as usize;
        bytes.get(at..at + self.len as usize).unwrap_or_default()
    }

    /// True when it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Offset of the first byte after it.
    pub fn end(&self) -> usize {
        self.at as usize + self.len as usize
    }
}

/// How a body's end is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many bytes; 0 when the message said so.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// All until the connection closes; responses only.
    UntilClose,
}

/// What came of reading a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Not whole yet; nothing is wrong so far.
    More,
    /// Whole: bytes of it, the empty line included, and the one that may stand before it.
    Done(usize),
    /// It cannot become a message that is served. The head holds what was readable.
    Broken(Fault),
}

/// How far an incomplete head has been checked, so that a head that arrives byte by byte costs a multiple of its length, not its square. Of one head only:
/// `Progress::default()` for the next one. The head that is read into need not be the same from call to call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where the first line begins that is not whole.
    line: u32,
    /// Everything before this place was found good: within a target or a value.
    checked: u32,
    /// Field lines that are whole.
    fields: u16,
    stage: Stage,
}

/// What `Progress::line` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing has been read.
    #[default]
    Fresh,
    /// The request line or status line.
    First,
    /// A field line, or the empty one.
    Fields,
}

#[cfg(test)]
mod tests;

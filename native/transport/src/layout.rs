//! The memory that the engine shares with the decisions: one block of bytes for each request that is open. Integers are
//! 32 bits, native-endian; offsets count from the start of the block unless their name says otherwise. The other side
//! is `src/data/transport/native/layout.ts`; a test compares the two.

use crate::http1::{RESPONSE_FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX};

/// Slots of one chunk: memory is mapped and shown to JavaScript chunk by chunk.
pub const CHUNK_SLOTS: usize = 64;

/// Where the table of header fields begins: two words for each. First: offset of the value from HEAD_AT (16 bits), its length (16
/// bits above). Second: offset of the name from HEAD_AT (16 bits), its length (8 bits above), known id (5 bits above), then one bit: ends at this hop.
pub const FIELDS_AT: usize = 1024;
/// Bit of a field's second word: the field ends at this hop.
pub const FIELD_HOP: i32 = 1 << 29;
/// Header fields of a request; more are `head_too_large`.
pub const FIELDS_MAX: usize = 128;
/// Where decisions write: target, authority, edits, request id; as long as they are short. Their offsets count from here.
pub const EDITS_AT: usize = 2048;
/// Where the bytes of the head begin.
pub const HEAD_AT: usize = 4096;
/// Where the head of the upstream's answer lies when decisions have asked to see it: words (`answer`), a table of fields like FIELDS_AT's with offsets
/// from ANSWER_HEAD_AT, and the bytes.
pub const ANSWER_AT: usize = 108 * 1024;
/// Bytes for what decisions write that is longer: a quarter for the edits of each direction, the rest for a target that escaping has made longer.
pub const LONG_EDITS_BYTES: usize = 64 * 1024;
/// Where these begin; the answer follows.
pub const LONG_EDITS_AT: usize = ANSWER_AT - LONG_EDITS_BYTES;
/// Bytes of the longest head that is read; longer ones are `head_too_large`.
pub const HEAD_BYTES_MAX: usize = LONG_EDITS_AT - HEAD_AT;
/// Where the answer's table of fields begins.
pub const ANSWER_FIELDS_AT: usize = ANSWER_AT + 256;
/// Where its bytes begin: as many as a response head may have.
pub const ANSWER_HEAD_AT: usize = ANSWER_FIELDS_AT + 2048;
/// Bytes of one slot. Pages that a request never touches cost nothing, and an ordinary one touches the first two: record, fields and short edits lie in one, the
/// begin of the head in the other.
pub const SLOT_BYTES: usize = 68 * 1024 + ANSWER_AT;

const _: () = assert!(ANSWER_FIELDS_AT + 8 * RESPONSE_FIELDS_MAX <= ANSWER_HEAD_AT);
const _: () = assert!(ANSWER_HEAD_AT + RESPONSE_HEAD_BYTES_MAX <= SLOT_BYTES);

/// Indices of words in a slot's record.
pub mod word {
    /// Grows with every use of the slot.
    pub const GENERATION: usize = 0;
    /// Index into the methods of `exchange.ts`; 9 = another one, see METHOD_AT.
    pub const METHOD: usize = 1;
    /// See `flag`.
    pub const FLAGS: usize = 2;
    /// See `Fault`; 0 = none.
    pub const FAULT: usize = 3;
    /// 0 none, 1 length, 2 chunked (or a stream of HTTP/2 without a length).
    pub const BODY_KIND: usize = 4;
    /// Declared length, low and high 32 bits.
    pub const BODY_LENGTH: usize = 5;
    /// Offset from HEAD_AT and length, as of all pairs named `…_AT`.
    pub const METHOD_AT: usize = 8;
    /// Path as received.
    pub const PATH_AT: usize = 10;
    /// Query without `?`.
    pub const QUERY_AT: usize = 12;
    /// Authority: Host, or that of an absolute-form target, or `:authority`.
    pub const HOST_AT: usize = 14;
    /// Count of header fields.
    pub const FIELD_COUNT: usize = 16;
    /// Bytes of all names and values.
    pub const FIELD_BYTES: usize = 17;
    /// Number that `listen` was given.
    pub const LISTENER: usize = 18;
    /// Port of the peer.
    pub const PEER_PORT: usize = 19;
    /// Port that accepted.
    pub const LOCAL_PORT: usize = 20;
    /// Bytes of the peer's address: 4 or 16.
    pub const PEER_BYTES: usize = 21;
    /// Four words: the peer's address in network order.
    pub const PEER_ADDRESS: usize = 22;
    /// Number of the connection's facts (server name, client certificate, JA4), -1 = none; asked for by a call.
    pub const CONNECTION: usize = 26;
    /// Bit n: the known field n occurs more than once.
    pub const REPEATED: usize = 27;
    /// 32 words: index of the first field with known id n, or -1.
    pub const KNOWN: usize = 32;

    /// What was decided; see `Verdict`.
    pub const VERDICT: usize = 64;
    /// Number of the endpoint, or of the refusal's row, or the status of an answer.
    pub const CHOICE: usize = 65;
    /// Offset from EDITS_AT and length: target of the upstream request, which may lie in the head as it was received; content type of an answer or a page; request id of a refusal.
    pub const TARGET_AT: usize = 66;
    /// Host of the upstream request; likewise.
    pub const AUTHORITY_AT: usize = 68;
    /// Edits of the upstream request: for each a byte of `edit`, name length (1 byte), value length (2 bytes, little-endian), name, value.
    pub const REQUEST_EDITS_AT: usize = 70;
    /// Edits of the answer, likewise.
    pub const ANSWER_EDITS_AT: usize = 72;
    /// Until the connection stands, ms.
    pub const CONNECT_MS: usize = 74;
    /// Until the response head is here, ms.
    pub const HEAD_MS: usize = 75;
    /// Longest silence in the response body, ms; 0 = none.
    pub const IDLE_MS: usize = 76;
    /// Largest request body, low and high 32 bits.
    pub const BODY_MAX: usize = 77;
    /// Bit 0: the head of the answer is shown before it goes on; bit 1: no trailers follow the body of the request.
    pub const ASKS: usize = 79;
    /// From here until the answer is over, ms; 0 = none.
    pub const TOTAL_MS: usize = 80;
    /// Without a head so long after this verdict `event::HEDGE` is told, ms; 0 = never.
    pub const HEDGE_MS: usize = 81;
    /// Number of the plan by which the answer may be compressed (`Engine::set_compression`); 0 = none.
    pub const COMPRESS: usize = 88;
    /// Words of a record.
    pub const COUNT: usize = 96;
}

/// Indices of words from ANSWER_AT on.
pub mod answer {
    /// Status.
    pub const STATUS: usize = 0;
    /// Count of header fields.
    pub const FIELD_COUNT: usize = 1;
    /// Bytes of all names and values.
    pub const FIELD_BYTES: usize = 2;
    /// Bit n: the known field n occurs more than once.
    pub const REPEATED: usize = 3;
    /// 0 none, 1 length, 2 unknown until it ends.
    pub const BODY_KIND: usize = 4;
    /// Declared length, low and high 32 bits.
    pub const BODY_LENGTH: usize = 5;
    /// 0 HTTP/1.1, 1 HTTP/1.0, 2 HTTP/2.
    pub const VERSION: usize = 7;
    /// 32 words: index of the first field with known id n, or -1.
    pub const KNOWN: usize = 8;
}

/// Bits of `word::FLAGS`.
pub mod flag {
    /// Came through TLS.
    pub const SECURE: i32 = 1;
    /// HTTP/1.0.
    pub const HTTP10: i32 = 2;
    /// HTTP/2.
    pub const HTTP2: i32 = 4;
    /// A WebSocket handshake (RFC 6455, or RFC 8441 over HTTP/2).
    pub const WEBSOCKET: i32 = 8;
    /// gRPC by its content type.
    pub const GRPC: i32 = 16;
    /// The whole body is here already.
    pub const BODY_HERE: i32 = 32;
}

/// Kinds of edits.
pub mod edit {
    /// Was replaced by a later one.
    pub const VOID: u8 = 0;
    /// Replaces all fields of the name.
    pub const SET: u8 = 1;
    /// Adds a field.
    pub const ADD: u8 = 2;
    /// Removes all fields of the name.
    pub const REMOVE: u8 = 3;
    /// Adds a field unless one of the name is there; of answers only.
    pub const ABSENT: u8 = 4;
    /// Adds to the list that the fields of the name hold (RFC 9110 §5.3), in one field; of answers only.
    pub const APPEND: u8 = 5;
}

/// What decisions say in `word::VERDICT`.
pub mod verdict {
    /// Nothing yet.
    pub const NONE: i32 = 0;
    /// To the endpoint CHOICE.
    pub const FORWARD: i32 = 1;
    /// The refusal CHOICE.
    pub const REFUSE: i32 = 2;
    /// An answer with status CHOICE whose body was handed over by a call.
    pub const ANSWER: i32 = 3;
    /// The upstream's answer, which was shown, goes on with the edits of answers.
    pub const PASS: i32 = 4;
    /// The refusal CHOICE in other words: their content type stands where the request id would, the body was handed over by a call.
    pub const PAGE: i32 = 5;
    /// A second attempt beside the one that is under way, to the endpoint CHOICE; only after `event::HEDGE`. Of the other words only those of target, Host, edits of
    /// the request, CONNECT_MS and HEAD_MS count.
    pub const HEDGE: i32 = 6;
}

/// What is wrong with a message, as `word::FAULT` and `event::REFUSED` tell it. The order is that of `FAULTS` in layout.ts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Fault {
    /// Not HTTP, or not well-formed.
    BadRequest = 1,
    /// The length of the body is ambiguous, or its coding broken.
    BadFraming = 2,
    /// Host is missing, repeated or malformed.
    BadHost = 3,
    /// The target is malformed.
    BadTarget = 4,
    /// A field is malformed.
    BadHeader = 5,
    /// The request took too long to arrive.
    RequestTimeout = 6,
    /// Beyond `word::BODY_MAX`.
    BodyTooLarge = 7,
    /// Target too long.
    TargetTooLong = 8,
    /// An expectation other than 100-continue.
    ExpectationFailed = 9,
    /// Head too large or too many fields.
    HeadTooLarge = 10,
    /// A major version that is not 1.
    VersionNotSupported = 11,
    /// No memory for it at present.
    Overloaded = 12,
    /// The transport leaves.
    Draining = 13,
    /// A transfer coding or method that is not implemented (RFC 9112 §6.1).
    NotImplemented = 14,
}

/// Words of one event.
pub const EVENT_WORDS: usize = 8;
/// Events that are told in one call.
pub const EVENTS_MAX: usize = 1024;

/// Kinds of events: word 0; word 1 is the slot, word 2 its generation.
pub mod event {
    /// A head has arrived.
    pub const BEGIN: i32 = 1;
    /// The body that was asked for is here, or cut at the limit.
    pub const BODY: i32 = 2;
    /// An attempt failed: word 3 the reason (`FailReason`); bit 0 of word 4: it can safely be sent again; bit 1: all of it is here, should it be sent again; bit 2:
    /// another attempt of the same request goes on, so that nothing is to be decided; bit 3: it was the hedge that failed. Word 5, with bit 2: the status, if the attempt
    /// was answered with one that is passed over for the other attempt's, else 0; without it: 1 when more is known of why (`Engine::failure`).
    pub const FAILED: i32 = 3;
    /// The response head: word 3 the status; word 4 is 1 when it is shown and waits for a verdict; word 5 is 1 when all of the request is here, should it be sent again;
    /// word 6: of two attempts (`verdict::HEDGE`) the first (1) or the hedge (2) has brought it, and the other is cancelled; 0: there was one.
    pub const HEAD: i32 = 4;
    /// The request cannot go on: word 3 is a `Fault`.
    pub const REFUSED: i32 = 5;
    /// Over: word 3 status, words 4–5 bytes in, 6–7 bytes out.
    pub const FINISHED: i32 = 6;
    /// Broken off: as FINISHED; bit 16 of word 3: the upstream's fault.
    pub const ABORTED: i32 = 7;
    /// A chunk of slots was mapped: word 1 is its number. JavaScript asks for its memory.
    pub const CHUNK: i32 = 8;
    /// The answer's body that was asked for is here, cut at the limit, or finds no room.
    pub const ANSWER_BODY: i32 = 9;
    /// There is no response head after HEDGE_MS: a second attempt may be made (`verdict::HEDGE`).
    pub const HEDGE: i32 = 10;
}

/// Why an attempt failed; the order is that of `FailReason` in transport.ts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum FailReason {
    /// Not connected.
    Connect = 0,
    /// Closed before the response head.
    Reset = 1,
    /// Malformed response.
    Invalid = 2,
    /// No response head in time.
    Timeout = 3,
    /// Pool and queue are full.
    Busy = 4,
}

/// Lower-case names of the known fields; a field's known id is its place here plus one, 0 = unknown.
pub const KNOWN_NAMES: [&str; 31] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "content-type",
    "content-encoding",
    "authorization",
    "cookie",
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "expect",
    "upgrade",
    "te",
    "trailer",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "forwarded",
    "x-request-id",
    "traceparent",
    "tracestate",
    "origin",
    "referer",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "if-none-match",
    "cache-control",
];

//! What the engine keeps of connections and exchanges. Behaviour is in the other files.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::filter::Filter;
use super::hedge::Hedge;
use super::io::Io;
use super::slab::Key;
use crate::compress::Plan;
use crate::http1::{Chunked, Framing, Progress};
use crate::lent::Body;

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Free,
    /// Decisions have it: they forward, refuse or answer it.
    Deciding,
    /// It waits for an upstream connection.
    Waiting,
    /// It has a connection; the final response head is not here.
    Forwarding,
    /// Decisions look at the answer, of which nothing has gone out: they let it pass, or put another one in its place.
    Judging,
    /// An answer is on its way.
    Answering,
    /// Bytes pass as they are.
    Tunnel,
    /// Told as finished or aborted; the slot is free once that was heard.
    Over,
}

/// What happens when an exchange's deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    /// Stages take too long.
    Decision,
    /// The body that a stage waits for.
    Body,
    /// A connection, or a place among those that wait for one.
    Connection,
    /// The response head.
    Head,
    /// The next bytes of the response.
    Answer,
    /// The body of the answer that a stage waits for.
    AnswerBody,
}

/// How the answer's body is framed towards an HTTP/1.1 client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    None,
    Length(u64),
    Chunked,
    /// Ends with the connection.
    Close,
}

/// What is known of what follows a part of the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing is: it goes out now.
    Unknown,
    /// More, or the end, is said in the same turn.
    More,
    /// Nothing follows, no trailers either; the end is said next.
    Nothing,
}

pub struct Exchange {
    pub phase: Phase,
    pub generation: i32,
    pub down: Key,
    /// Stream of an HTTP/2 connection; 0 = HTTP/1.
    pub stream: u32,
    pub up: Option<Key>,
    /// Stream of an upstream HTTP/2 connection.
    pub up_stream: u32,
    pub endpoint: u32,
    pub method: u8,
    pub http10: bool,
    pub websocket: bool,
    pub grpc: bool,

    // The request's body.
    pub has_body: bool,
    pub declared: Option<u64>,
    /// Everything has arrived.
    pub body_ended: bool,
    pub received: u64,
    pub body_max: u64,
    /// Bytes that were received and are kept: for a stage, for another attempt, or because the upstream did not take them.
    pub kept: Body,
    /// `kept` begins with the body's first byte.
    pub kept_all: bool,
    /// Bytes of `kept` that went upstream.
    pub kept_sent: usize,
    pub inspect_max: usize,
    /// Bytes that count among the lane's collected ones.
    pub collected: usize,
    /// A stage waits for the body.
    pub inspecting: bool,
    /// Trailer lines of the request.
    pub trailers: Vec<u8>,
    /// Body bytes of an HTTP/2 client that nobody has taken: bounded by the stream's window.
    pub inbox: Vec<u8>,
    pub inbox_ended: bool,
    /// 100 Continue is still due to the client.
    pub expects: bool,

    // The attempt.
    /// Bytes of the head in the slot.
    pub head_bytes: usize,
    /// Head of the upstream request, as it goes out.
    pub head_out: Vec<u8>,
    pub upstream_chunked: bool,
    /// Upstream has the whole request.
    pub request_ended: bool,
    /// Bytes of it went out.
    pub written: bool,
    /// What the last attempt failed of, beyond the reason of its event, for whoever asks why; empty: no more is known.
    pub failure: Box<str>,
    /// It went out on a connection that had served before, and the upstream has said nothing yet.
    pub on_reused: bool,
    /// Was sent again once because a reused connection closed under it.
    pub sent_again: bool,
    pub connect_ms: u64,
    pub head_ms: u64,
    pub idle_ms: u64,
    pub hedge: Hedge,
    /// Which of two attempts has brought the answer, as `event::HEAD` tells it.
    pub raced: i32,

    // The answer while decisions look at it.
    /// They want to see its head.
    pub asks: bool,
    /// A stage waits for its body.
    pub collecting: bool,
    pub collect_max: usize,
    /// When collecting has taken too long, whatever still comes; engine time, ms.
    pub collect_due: u64,
    /// Body bytes that are held back.
    pub held: Body,
    /// Of these have gone on.
    pub held_from: usize,
    /// How the answer's body is framed by the upstream.
    pub held_framing: Framing,
    /// Bytes of its head, in the slot.
    pub held_head: usize,
    /// The upstream has sent all of it.
    pub held_whole: bool,

    // The answer.
    pub status: u16,
    pub head_sent: bool,
    pub bytes_out: u64,
    pub answer: AnswerBody,
    pub filter: Option<Box<dyn Filter>>,
    /// The filter may hold back bytes that it took.
    pub filter_holds: bool,
    /// When it last gave all that it had; engine time, ms.
    pub flushed_at: u64,
    /// By which the answer may be compressed.
    pub compress: Option<Arc<Plan>>,
    pub answer_ended: bool,
    /// Bytes for an HTTP/2 client that its windows do not take yet.
    pub outbox: Vec<u8>,
    /// Bytes of an answer of our own that follow them, from where they lie.
    pub own_rest: Bytes,
    /// When a client of HTTP/2 is given up whose window takes too few of them; engine time, ms. What it took since that was said.
    pub write_due: u64,
    pub write_taken: u64,
    /// The client's side of a tunnel has ended.
    pub client_ended: bool,
    /// Trailer lines of the answer.
    pub answer_trailers: Vec<u8>,
    /// Bytes for an HTTP/2 upstream that its windows do not take yet.
    pub uplink: Vec<u8>,
    /// Bytes of the answer whose window an HTTP/2 upstream has not got back.
    pub unreleased: usize,
    /// Body of an answer of our own.
    pub own_body: Bytes,

    pub due: Due,
    /// Decisions were asked for a refusal because they took too long.
    pub overdue: bool,
    /// Engine time, ms.
    pub deadline: u64,
    /// When all attempts together have taken too long, or the client of a gRPC call stops waiting for it; engine time, ms.
    pub call_deadline: u64,
    /// The client's part of that.
    pub client_deadline: u64,
    /// Body bytes at the last judgement of their rate, and when that is next.
    pub rate_bytes: u64,
    pub rate_at: u64,
}

impl Exchange {
    pub fn new(nobody: Key) -> Self {
        Self {
            phase: Phase::Free,
            generation: 0,
            down: nobody,
            stream: 0,
            up: None,
            up_stream: 0,
            endpoint: 0,
            method: 0,
            http10: false,
            websocket: false,
            grpc: false,
            has_body: false,
            declared: None,
            body_ended: true,
            received: 0,
            body_max: u64::MAX,
            kept: Body::default(),
            kept_all: true,
            kept_sent: 0,
            inspect_max: 0,
            collected: 0,
            inspecting: false,
            trailers: Vec::new(),
            inbox: Vec::new(),
            inbox_ended: false,
            expects: false,
            head_bytes: 0,
            head_out: Vec::new(),
            upstream_chunked: false,
            request_ended: false,
            written: false,
            failure: Box::default(),
            on_reused: false,
            sent_again: false,
            connect_ms: 0,
            head_ms: 0,
            idle_ms: 0,
            hedge: Hedge::None,
            raced: 0,
            asks: false,
            collecting: false,
            collect_max: 0,
            collect_due: u64::MAX,
            held: Body::default(),
            held_from: 0,
            held_framing: Framing::None,
            held_head: 0,
            held_whole: false,
            status: 0,
            head_sent: false,
            bytes_out: 0,
            answer: AnswerBody::None,
            filter: None,
            filter_holds: false,
            flushed_at: 0,
            compress: None,
            answer_ended: false,
            outbox: Vec::new(),
            own_rest: Bytes::new(),
            write_due: u64::MAX,
            write_taken: 0,
            client_ended: false,
            answer_trailers: Vec::new(),
            uplink: Vec::new(),
            unreleased: 0,
            own_body: Bytes::new(),
            due: Due::Nothing,
            overdue: false,
            deadline: u64::MAX,
            call_deadline: u64::MAX,
            client_deadline: u64::MAX,
            rate_bytes: 0,
            rate_at: u64::MAX,
        }
    }

    /// Makes it new for a request; memory of small vectors is kept.
    pub fn begin(&mut self, down: Key, stream: u32) {
        let generation = self.generation.wrapping_add(1) & i32::MAX;
        let mut kept = std::mem::take(&mut self.kept);
        let mut head_out = std::mem::take(&mut self.head_out);
        kept.clear();
        head_out.clear();
        *self = Self::new(down);
        self.kept = kept;
        self.head_out = head_out;
        self.phase = Phase::Deciding;
        self.generation = generation;
        self.stream = stream;
    }

    /// Lets go of what was kept of its body. A little memory stays for the next one.
    pub fn clear_kept(&mut self) {
        self.kept.clear();
        if self.kept.capacity() > 4096 {
            self.kept = Body::default();
        }
    }

    /// Lets go of what it held.
    pub fn clear(&mut self) {
        self.clear_kept();
        if self.head_out.capacity() > 8192 {
            self.head_out = Vec::new();
        }
        self.own_body = Bytes::new();
        self.own_rest = Bytes::new();
        self.held = Body::default();
        self.filter = None;
        self.compress = None;
        self.outbox = Vec::new();
        self.trailers = Vec::new();
        self.answer_trailers = Vec::new();
        self.inbox = Vec::new();
        self.uplink = Vec::new();
        self.phase = Phase::Free;
        self.due = Due::Nothing;
    }

    /// RFC 9110 §9.2.2, of the methods that have a code: GET HEAD PUT DELETE OPTIONS TRACE.
    pub fn idempotent(&self) -> bool {
        matches!(self.method, 0 | 1 | 3 | 5 | 6 | 8)
    }

    pub fn is_head(&self) -> bool {
        self.method == 1
    }

    /// The request can be sent once more: no byte of its body is lost.
    pub fn complete_copy(&self) -> bool {
        self.kept_all
    }
}

/// What follows on an HTTP/1 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A head.
    Head,
    /// An exchange runs; its body may be arriving.
    Exchange,
    Tunnel,
    /// The answer is out; the rest of the body is read and dropped.
    Discard,
    /// We have said our last; what the client still sends is dropped until it closes.
    Linger,
}

/// Rest of a message's body on the wire.
pub enum InBody {
    Done,
    Length(u64),
    Chunked(Box<Chunked>),
}

/// The HTTP/1 state of a downstream connection.
pub struct H1 {
    pub stage: Stage,
    pub slot: u32,
    /// Bytes that were read and not taken yet.
    pub ahead: Vec<u8>,
    pub progress: Progress,
    /// Bytes of the next head are here, but not all.
    pub within_head: bool,
    pub body: InBody,
    pub keep_alive: bool,
    /// The client has said that it asks for nothing more.
    pub is_last: bool,
    pub requests: u32,
    /// Bytes that may still be dropped in `Discard` and `Linger`.
    pub drop_left: u64,
    /// In `Linger`: its client speaks while it reads, as those of HTTP/2 do.
    pub speaks: bool,
    /// Bytes on their way at the last look that found them fewer, in `Linger`.
    pub unacknowledged: usize,
}

impl H1 {
    pub fn new() -> Self {
        Self {
            stage: Stage::Head,
            slot: 0,
            ahead: Vec::new(),
            progress: Progress::default(),
            within_head: false,
            body: InBody::Done,
            keep_alive: true,
            is_last: false,
            requests: 0,
            drop_left: 0,
            speaks: false,
            unacknowledged: usize::MAX,
        }
    }
}

pub enum Proto {
    /// A PROXY header or the TLS handshake comes first.
    Opening {
        proxy: bool,
        ahead: Vec<u8>,
    },
    H1(H1),
    H2(Box<super::h2_down::H2>),
}

/// A downstream connection.
pub struct Down {
    pub io: Io,
    /// Place in the engine's list of listeners.
    pub listener: usize,
    /// What the connection counts under for bounds per address; none before a balancer has named it.
    pub counted: Option<u128>,
    pub peer: SocketAddr,
    pub local_port: u16,
    pub proto: Proto,
    /// Engine time, ms.
    pub deadline: u64,
    /// Bytes that waited at the last look, for clients that take nothing.
    pub stalled_since: u64,
}

/// How an upstream connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpStage {
    Connecting,
    Handshake,
    Idle,
    /// The response head is awaited.
    Head,
    Body,
    Tunnel,
    /// HTTP/2: many exchanges.
    Shared,
}

/// Rest of a response's body.
pub enum OutBody {
    Done,
    Length(u64),
    Chunked(Box<Chunked>),
    UntilClose,
}

/// An upstream connection.
pub struct Up {
    pub io: Io,
    pub endpoint: u32,
    pub stage: UpStage,
    pub slot: u32,
    pub ahead: Vec<u8>,
    pub progress: Progress,
    pub body: OutBody,
    /// Fields that the answer's Connection has nominated, by commas: its trailers lose them as well.
    pub nominated: Vec<u8>,
    pub keep_alive: bool,
    /// Interim answers to the present request.
    pub interim: u32,
    /// Exchanges that it has served.
    pub served: u32,
    pub deadline: u64,
    /// How long it may be idle, ms.
    pub idle_ms: u64,
    pub h2: Option<Box<super::h2_up::H2Up>>,
}

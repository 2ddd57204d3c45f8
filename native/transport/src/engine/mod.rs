//! The engine: sockets, connections, exchanges and upstream pools of one lane. It never blocks: `poll` does what can be done now, `epoll_fd` becomes readable
//! when there is more. Decisions are made by whoever drives it: it tells events, and takes verdicts from the slots' records ([`crate::layout`]).
//!
//! | file | is about |
//! |---|---|
//! | `listeners.rs` | listening sockets |
//! | `accept.rs` | connections up to their first request |
//! | `down.rs` | reading HTTP/1 clients |
//! | `h2_down.rs` | HTTP/2 clients |
//! | `request.rs` | a head becomes a slot's record; bodies that stages ask for |
//! | `forward.rs` | verdicts; the request on its way upstream |
//! | `pool.rs` | endpoints, their connections, and who waits for one |
//! | `up.rs` | reading HTTP/1 upstreams |
//! | `h2_up.rs` | HTTP/2 upstreams |
//! | `answer.rs` | response heads and bodies on their way to the client; refusals; the end of exchanges |
//! | `filter.rs` | what changes or copies an answer's bytes on their way |
//! | `compress.rs` | the filter that compresses them |
//! | `judge.rs` | answers that decisions look at before they go on |
//! | `kept.rs` | bodies of stored answers, each here once |
//! | `time.rs` | deadlines |
//! | `turn.rs` | what is ready at descriptors, upstreams first |
//! | `hedge.rs` | a second attempt beside one that is slow |
//! | `shed.rs` | requests that are turned away unread under overload |
//! | `leaving.rs` | how the engine ends |
//! | `wait.rs` | how long what is ready waits to be read |

mod accept;
mod answer;
mod compress;
mod down;
mod fields;
mod filter;
mod forward;
mod h2_down;
mod h2_up;
mod hedge;
mod io;
mod judge;
mod kept;
mod known;
mod leaving;
mod lines;
mod listeners;
mod net;
pub mod options;
mod own;
mod pool;
mod request;
mod shed;
mod slab;
mod slots;
mod state;
mod time;
mod turn;
mod up;
mod wait;

use std::collections::{HashMap, VecDeque};
use std::io as stdio;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::event::epoll;

use self::accept::Listener;
use self::compress::Coders;
pub use self::compress::{Compressed, PLANS_MAX};
use self::filter::FILTER_BYTES_PER_TURN;
pub use self::filter::Filter;
use self::hedge::Hedges;
pub use self::kept::KEPT_MAX;
use self::kept::Kept;
use self::known::KnownFields;
use self::options::{Options, RefusalTemplate};
use self::pool::Endpoint;
use self::shed::Shed;
use self::slab::{Key, Slab};
pub use self::slots::Pages;
use self::slots::Slots;
use self::state::{Down, Exchange, Phase, Up};
use self::wait::Waits;
use crate::compress::Plan;
use crate::h2;
use crate::http1::{RequestHead, ResponseHead};
use crate::layout::{CHUNK_SLOTS, EVENT_WORDS, EVENTS_MAX, event, verdict, word};
use crate::tls::Facts;

/// Kinds of descriptors, in what epoll keeps.
const LISTENER: u8 = 1;
const DOWN: u8 = 2;
const UP: u8 = 3;
/// The place in line of `Waits`.
const WAITS: u8 = 4;
/// The clock of hedges.
const HEDGES: u8 = 5;

/// Events taken from epoll at once.
const BATCH: usize = 256;
/// Bytes read at once: with 64 KiB the last bytes of a common large answer would cost a call to read and one to send.
const SCRATCH_BYTES: usize = h2::FED_BYTES_MAX;
/// Chunks read of one connection before others get their turn.
const READS_PER_TURN: usize = 4;
/// Connections that are looked at again in one round of work, before the loop is given back.
const RESUMES_PER_TURN: usize = 4096;

const EVERYTHING: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::OUT)
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);

/// One lane's transport.
pub struct Engine {
    options: Options,
    refusals: Vec<RefusalTemplate>,
    /// Listeners and clients, upstreams, and both of these.
    epoll: OwnedFd,
    epoll_up: OwnedFd,
    epoll_both: OwnedFd,
    waits: Waits,
    shed: Shed,
    hedges: Hedges,
    /// Of upstreams, and of clients and listeners.
    ready: Vec<epoll::Event>,
    beginning: Vec<epoll::Event>,
    started: Instant,
    /// Engine time, ms; looked up once a turn.
    now: u64,
    /// `Date` of our own answers, made once a second.
    date: Vec<u8>,
    date_at: u64,
    slots: Slots,
    exchanges: Vec<Exchange>,
    free: Vec<u32>,
    /// Slots that are free once their last event was heard: with the number of that event, in order.
    ending: VecDeque<(u64, u32)>,
    open: usize,
    /// Rows of the list.
    told: usize,
    /// Of these, the ones that `poll` has shown. What is told while they are heard is not among them.
    shown: usize,
    /// Events ever made, and ever heard.
    made: u64,
    heard: u64,
    /// Events that found the list full.
    untold: VecDeque<[i32; EVENT_WORDS]>,
    listeners: Vec<Listener>,
    downs: Slab<Down>,
    per_address: HashMap<u128, u32>,
    ups: Slab<Up>,
    endpoints: Vec<Endpoint>,
    /// Connections that may go on.
    resume_down: Vec<Key>,
    resume_up: Vec<Key>,
    /// Clients with bytes that were queued to go out together.
    flush_down: Vec<Key>,
    /// HTTP/2 connections that have something to frame: clients', and upstreams'.
    touched: Vec<Key>,
    touched_up: Vec<Key>,
    /// What one of them has told; kept for its memory.
    h2_events: Vec<h2::Event>,
    known_fields: KnownFields,
    /// Exchanges of HTTP/2 clients whose body may go on.
    resume_body: Vec<u32>,
    nonce: u64,
    scratch: Vec<u8>,
    out: Vec<u8>,
    request_head: RequestHead,
    response_head: ResponseHead,
    /// Head of an answer that was held and goes on.
    held_text: Vec<u8>,
    /// What a filter gave.
    filter_out: Vec<u8>,
    /// Bytes that filters may still take in this turn.
    filter_left: usize,
    /// Exchanges that the turn left no bytes for; the next one begins with them.
    filter_later: Vec<u32>,
    /// Exchanges whose filter may hold bytes back.
    unflushed: Vec<u32>,
    /// Plans of compression by number, less one.
    compressions: Vec<Option<Arc<Plan>>>,
    coders: Arc<Mutex<Coders>>,
    kept: Kept,
    collected: usize,
    draining: bool,
    closed: bool,
}

impl Engine {
    /// An engine without listeners.
    ///
    /// # Errors
    /// When no epoll descriptor is to be had.
    pub fn new(options: Options, refusals: Vec<RefusalTemplate>) -> stdio::Result<Self> {
        let [epoll, epoll_up, epoll_both] = turn::epolls()?;
        Ok(Self {
            options,
            refusals,
            waits: Waits::new(&epoll, WAITS)?,
            shed: Shed::new(),
            hedges: Hedges::new(&epoll_up, HEDGES)?,
            epoll,
            epoll_up,
            epoll_both,
            ready: Vec::with_capacity(BATCH),
            beginning: Vec::with_capacity(turn::BEGINNING),
            started: Instant::now(),
            now: 1,
            date: Vec::new(),
            date_at: 0,
            slots: Slots::new()?,
            exchanges: Vec::new(),
            free: Vec::new(),
            ending: VecDeque::new(),
            open: 0,
            told: 0,
            shown: 0,
            made: 0,
            heard: 0,
            untold: VecDeque::new(),
            listeners: Vec::new(),
            downs: Slab::default(),
            per_address: HashMap::new(),
            ups: Slab::default(),
            endpoints: Vec::new(),
            resume_down: Vec::new(),
            resume_up: Vec::new(),
            flush_down: Vec::new(),
            touched: Vec::new(),
            touched_up: Vec::new(),
            h2_events: Vec::new(),
            known_fields: KnownFields::default(),
            resume_body: Vec::new(),
            nonce: 0,
            scratch: vec![0; SCRATCH_BYTES],
            out: Vec::with_capacity(SCRATCH_BYTES),
            request_head: RequestHead::default(),
            response_head: ResponseHead::default(),
            held_text: Vec::new(),
            filter_out: Vec::new(),
            filter_left: FILTER_BYTES_PER_TURN,
            filter_later: Vec::new(),
            unflushed: Vec::new(),
            compressions: Vec::new(),
            coders: Arc::default(),
            kept: Kept::default(),
            collected: 0,
            draining: false,
            closed: false,
        })
    }

    /// The descriptor that is readable when `poll` has something to do.
    #[must_use]
    pub fn epoll_fd(&self) -> RawFd {
        self.epoll_both.as_raw_fd()
    }

    /// What is ready is done. True: there is more, call again after the events were told.
    pub fn poll(&mut self) -> bool {
        if self.closed {
            self.refill();
            self.shown = self.told;
            return !self.untold.is_empty();
        }
        self.look_at_clock();
        self.waits.stand(Instant::now(), wait::ran);
        self.refill();
        self.filter_anew();
        // What upstreams have answered goes on before more is begun, so that under load requests wait where they have cost nothing yet.
        let mut more = self.look_at(true);
        self.accept_more();
        more |= self.look_at(false);
        self.go_on();
        self.flush_filters(false);
        self.tell_hedges();
        self.shown = self.told;
        more || !self.untold.is_empty() || self.can_go_on()
    }

    fn can_go_on(&self) -> bool {
        !(self.filter_later.is_empty()
            && self.resume_body.is_empty()
            && self.resume_down.is_empty()
            && self.resume_up.is_empty()
            && self.touched.is_empty()
            && self.touched_up.is_empty())
    }

    /// Deadlines; call it every 100 ms or so.
    pub fn tick(&mut self) {
        self.look_at_clock();
        self.check_deadlines();
        self.wake_listeners();
        self.flush_filters(true);
        self.go_on();
    }

    /// Events that were not told yet are `count` rows of EVENT_WORDS words in this memory.
    #[must_use]
    pub fn events(&self) -> (Arc<Pages>, usize) {
        (Arc::clone(self.slots.events()), self.told)
    }

    /// How many events wait to be told.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.told
    }

    /// Whether `poll` has something to do that the descriptor does not tell of, or events wait to be told.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.told > 0 || !self.untold.is_empty() || self.can_go_on()
    }

    /// Whoever hears events has failed: of the first `count` of them, requests without a verdict are to be refused with `row`. Returns their slots, for
    /// `apply` after `told`.
    pub fn refuse_undecided(&mut self, count: usize, row: i32) -> Vec<u32> {
        let mut found = Vec::new();
        for place in 0..count.min(self.told) {
            let [kind, slot, generation, ..] = self.slots.read_event(place);
            let Ok(slot) = u32::try_from(slot) else { continue };
            let Some(x) = self.exchanges.get(slot as usize) else {
                continue;
            };
            let decides = match kind {
                event::BEGIN | event::BODY | event::FAILED | event::REFUSED => {
                    x.phase == Phase::Deciding && !x.inspecting
                }
                event::HEAD | event::ANSWER_BODY => x.phase == Phase::Judging && !x.collecting,
                _ => false,
            };
            if decides && x.generation == generation && self.slots.word(slot, word::VERDICT) == verdict::NONE {
                self.slots.set_word(slot, word::VERDICT, verdict::REFUSE);
                self.slots.set_word(slot, word::CHOICE, row);
                for at in [word::TARGET_AT, word::ANSWER_EDITS_AT] {
                    self.slots.set_word(slot, at, 0);
                    self.slots.set_word(slot, at + 1, 0);
                }
                found.push(slot);
            }
        }
        found
    }

    /// The events that the last `poll` has shown were heard: slots that ended with them may be used again. To be called before the verdicts that hearing
    /// them brought are applied, for applying tells events anew. What was told since that `poll` (addresses that were set, say) stays.
    pub fn told(&mut self) {
        let heard = std::mem::take(&mut self.shown).min(self.told);
        for (to, from) in (heard..self.told).enumerate() {
            let row = self.slots.read_event(from);
            self.slots.write_event(to, &row);
        }
        self.told -= heard;
        self.heard += heard as u64;
        while let Some(&(event, slot)) = self.ending.front() {
            if event >= self.heard {
                break;
            }
            self.ending.pop_front();
            let x = &self.exchanges[slot as usize];
            self.slots.trim(slot, x.head_bytes.max(x.held_head));
            self.exchanges[slot as usize].clear();
            self.free.push(slot);
        }
        self.refill();
    }

    /// Memory of a chunk of slots.
    #[must_use]
    pub fn chunk(&self, number: usize) -> Option<Arc<Pages>> {
        self.slots.chunk(number)
    }

    /// What the TLS handshake of a slot's connection told, and the protocol agreed upon (ALPN; empty when none was).
    #[must_use]
    pub fn facts(&self, slot: u32) -> Option<(Facts, Vec<u8>)> {
        let exchange = self.exchanges.get(slot as usize)?;
        let down = self.downs.get(exchange.down)?;
        let session = down.io.tls.as_ref()?;
        Some((session.facts(), session.alpn().unwrap_or_default().to_vec()))
    }

    /// Exchanges that are open now.
    #[must_use]
    pub fn open_exchanges(&self) -> usize {
        self.open
    }

    /// Downstream connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.downs.len()
    }

    /// Connections whose way became free within what was just done.
    fn go_on(&mut self) {
        self.flush();
        for _ in 0..RESUMES_PER_TURN {
            if let Some(slot) = self.resume_body.pop() {
                self.pump_body(slot);
            } else if let Some(key) = self.resume_up.pop() {
                self.up_read(key);
            } else if let Some(key) = self.resume_down.pop() {
                self.down_read(key);
            } else if let Some(key) = self.touched.pop() {
                self.h2_turn(key);
            } else if let Some(key) = self.touched_up.pop() {
                self.h2_up_turn(key);
            } else {
                return;
            }
            self.flush();
        }
    }

    /// Sends what was queued to go out with more, when no more came.
    fn flush(&mut self) {
        while let Some(key) = self.flush_down.pop() {
            if self.downs.get_mut(key).is_some_and(|down| !down.io.flush()) {
                self.client_left(key);
            }
        }
    }

    fn tell(&mut self, kind: i32, slot: u32, rest: [i32; 5]) {
        let generation = self.exchanges.get(slot as usize).map_or(0, |x| x.generation);
        self.tell_row([
            kind,
            slot as i32,
            generation,
            rest[0],
            rest[1],
            rest[2],
            rest[3],
            rest[4],
        ]);
    }

    fn tell_row(&mut self, row: [i32; EVENT_WORDS]) {
        self.made += 1;
        if self.told < EVENTS_MAX && self.untold.is_empty() {
            self.slots.write_event(self.told, &row);
            self.told += 1;
        } else {
            // Bounded by what exchanges can still tell: a handful each.
            self.untold.push_back(row);
        }
    }

    fn refill(&mut self) {
        while self.told < EVENTS_MAX {
            let Some(row) = self.untold.pop_front() else { return };
            self.slots.write_event(self.told, &row);
            self.told += 1;
        }
    }

    /// A free slot; none when so many exchanges are open as there may be.
    fn take_slot(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            if self.exchanges.len() + CHUNK_SLOTS > self.options.exchanges_max.next_multiple_of(CHUNK_SLOTS) {
                return None;
            }
            let chunk = self.slots.grow().ok()?;
            let nobody = Key::unpack(u64::from(u32::MAX)).1;
            let from = self.exchanges.len() as u32;
            for slot in (from..from + CHUNK_SLOTS as u32).rev() {
                self.free.push(slot);
            }
            self.exchanges.extend((0..CHUNK_SLOTS).map(|_| Exchange::new(nobody)));
            self.tell_row([event::CHUNK, chunk as i32, 0, 0, 0, 0, 0, 0]);
        }
        self.free.pop()
    }
}

//! Hedging: a second attempt of a request beside the first one, when that is slow to answer. The hedge runs in a slot of its own, which is no exchange: nobody hears of it, and
//! all of the way upstream serves it as it serves any other. Whichever brings a response head first has it; the other is let go. Then, or when one of them fails, the
//! exchange has one attempt again, in its own slot.

use std::io as stdio;
use std::os::fd::OwnedFd;

use rustix::event::epoll;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create};

use super::forward::write_request_head;
use super::slab::Key;
use super::state::Phase;
use super::{EVENTS_MAX, Engine};
use crate::layout::{FailReason, event, word};

/// Of the slots this part is left to requests: hedges do not take the last ones.
const SLOTS_LEFT: usize = 4;
/// After so long a request whose body was not all here is looked at again, ms.
const ARRIVES_MS: u64 = 10;
/// Answers that are passed over while another attempt is under way (RFC 9110 §15.6): Envoy's `gateway-error`.
const GATEWAY_ERRORS: std::ops::RangeInclusive<u16> = 502..=504;
/// Who has brought the head, as `event::HEAD` tells it.
const BY_FIRST: i32 = 1;
const BY_HEDGE: i32 = 2;
/// Bits of `event::FAILED`.
const OTHER_GOES_ON: i32 = 4;
const WAS_HEDGE: i32 = 8;

/// What an exchange has to do with hedging: one look at it is all that the others pay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hedge {
    /// Nothing.
    #[default]
    None,
    /// One may be made if the head does not come; its place in the list of those.
    Awaited { place: u32 },
    /// One runs, in this slot.
    Runs { slot: u32 },
    /// This slot is no exchange, but the hedge of the one in that slot.
    Of { slot: u32 },
}

/// Who waits for the time of a hedge, and the clock that tells of it: those of deadlines, every 100 ms, would come too late.
pub(super) struct Hedges {
    timer: OwnedFd,
    /// When (engine time, ms), and the slot. Never more than there are exchanges.
    awaited: Vec<(u64, u32)>,
    /// When the timer rings; engine time, ms.
    rings_at: u64,
    rang: bool,
    /// Hedges that are under way.
    running: usize,
}

impl Hedges {
    /// Puts its timer among the descriptors of `epoll`.
    pub(super) fn new(epoll: &OwnedFd, kind: u8) -> stdio::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let data = epoll::EventData::new_u64(Key::unpack(0).1.pack(kind));
        // Edge-triggered: nobody has to read it.
        epoll::add(epoll, &timer, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Self {
            timer,
            awaited: Vec::new(),
            rings_at: u64::MAX,
            rang: false,
            running: 0,
        })
    }

    /// The timer has rung.
    pub(super) fn rang(&mut self) {
        self.rang = true;
    }

    /// Rings at `at`, or a little later.
    fn ring(&mut self, at: u64, now: u64) {
        let ms = at.saturating_sub(now).max(1);
        let set = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: (ms / 1_000) as i64,
                tv_nsec: ((ms % 1_000) * 1_000_000) as i64,
            },
        };
        // It refuses no time below a thousand million nanoseconds; were it to, hedges would not be made, and nothing else would change.
        let rings = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &set).is_ok();
        self.rings_at = if rings { at } else { u64::MAX };
    }
}

impl Engine {
    /// Unless the head comes within this time, decisions are told.
    pub(super) fn await_hedge(&mut self, slot: u32, ms: u64) {
        let x = &mut self.exchanges[slot as usize];
        // What of it goes on in pieces cannot go twice; and a stage that is asked for its 100 has promised it to one.
        if x.hedge != Hedge::None || x.websocket || x.grpc || x.expects {
            return;
        }
        let due = self.now + ms;
        x.hedge = Hedge::Awaited {
            place: self.hedges.awaited.len() as u32,
        };
        self.hedges.awaited.push((due, slot));
        if due < self.hedges.rings_at {
            self.hedges.ring(due, self.now);
        }
    }

    /// Tells of those whose time has come, at the end of a round, so that decisions are made about what is so.
    pub(super) fn tell_hedges(&mut self) {
        if !self.hedges.rang {
            return;
        }
        self.hedges.rang = false;
        let mut next = u64::MAX;
        let mut place = 0;
        while let Some(&(due, slot)) = self.hedges.awaited.get(place) {
            if due > self.now {
                next = next.min(due);
                place += 1;
            } else if self.told >= EVENTS_MAX || !self.untold.is_empty() {
                next = self.now;
                break;
            } else if self.still_arrives(slot) {
                let again = self.now + ARRIVES_MS;
                self.hedges.awaited[place].0 = again;
                next = next.min(again);
                place += 1;
            } else {
                self.not_awaited(slot, place);
                if self.hedgeable(slot) {
                    self.tell(event::HEDGE, slot, [0; 5]);
                }
            }
        }
        self.hedges.rings_at = u64::MAX;
        if next < u64::MAX {
            self.hedges.ring(next, self.now);
        }
    }

    fn not_awaited(&mut self, slot: u32, place: usize) {
        self.exchanges[slot as usize].hedge = Hedge::None;
        self.hedges.awaited.swap_remove(place);
        if let Some(&(_, moved)) = self.hedges.awaited.get(place) {
            self.exchanges[moved as usize].hedge = Hedge::Awaited { place: place as u32 };
        }
    }

    /// Its body is not all here yet, and may still be short enough to go twice.
    fn still_arrives(&self, slot: u32) -> bool {
        let x = &self.exchanges[slot as usize];
        !x.body_ended && x.kept_all && x.kept.len() <= self.options.replay_bytes_max
    }

    /// One attempt is under way, and a second one can be made of what is kept.
    fn hedgeable(&self, slot: u32) -> bool {
        let x = &self.exchanges[slot as usize];
        matches!(x.phase, Phase::Waiting | Phase::Forwarding)
            && x.hedge == Hedge::None
            && x.body_ended
            && x.kept_all
            && x.kept.len() <= self.options.replay_bytes_max
    }

    /// The second attempt that decisions have asked for.
    pub(super) fn hedge(&mut self, slot: u32) {
        if !self.hedgeable(slot) {
            // Its only attempt has come to something meanwhile, as was told.
            return;
        }
        let choice = self.slots.word(slot, word::CHOICE);
        let x = &self.exchanges[slot as usize];
        let known = usize::try_from(choice).is_ok_and(|e| self.endpoints.get(e).is_some_and(|e| e.plan.is_some()));
        let elsewhere = choice != x.endpoint as i32;
        let most = self.options.exchanges_max - self.options.exchanges_max / SLOTS_LEFT;
        let place = if known && elsewhere && self.sayable(slot) && self.open + self.hedges.running < most {
            self.take_slot()
        } else {
            None
        };
        let Some(its) = place else {
            let row = [FailReason::Busy as i32, OTHER_GOES_ON | WAS_HEDGE, 0, 0, 0];
            return self.tell(event::FAILED, slot, row);
        };
        self.hedges.running += 1;
        let nobody = Key::unpack(u64::from(u32::MAX)).1;
        let ms = |at| u64::try_from(self.slots.word(slot, at)).unwrap_or(0);
        let (connect_ms, head_ms) = (ms(word::CONNECT_MS), ms(word::HEAD_MS));
        let mut head = std::mem::take(&mut self.exchanges[its as usize].head_out);
        head.clear();
        let x = &self.exchanges[slot as usize];
        let whole = write_request_head(&self.slots, slot, x, &mut head);
        let chunked = x.has_body && x.declared.is_none() && !whole;
        let (method, has_body, declared, received) = (x.method, x.has_body, x.declared, x.received);
        let (kept, trailers) = (x.kept.to_vec(), x.trailers.clone());
        let y = &mut self.exchanges[its as usize];
        y.begin(nobody, 0);
        y.hedge = Hedge::Of { slot };
        y.method = method;
        y.has_body = has_body;
        y.declared = declared;
        y.received = received;
        y.kept = kept.into();
        y.trailers = trailers;
        y.head_out = head;
        y.upstream_chunked = chunked;
        y.endpoint = choice as u32;
        y.connect_ms = connect_ms;
        y.head_ms = head_ms;
        self.exchanges[slot as usize].hedge = Hedge::Runs { slot: its };
        self.wait_for_connection(its);
    }

    /// A final head is here: the exchange that gets it; none, when this attempt's answer is passed over for that of the other.
    pub(super) fn race(&mut self, slot: u32, status: u16) -> Option<u32> {
        let hedge = self.exchanges[slot as usize].hedge;
        if hedge == Hedge::None {
            return Some(slot);
        }
        if GATEWAY_ERRORS.contains(&status) && self.lost(slot, FailReason::Invalid, status) {
            return None;
        }
        let (first, by) = match hedge {
            Hedge::Of { slot: first } => {
                self.let_go_of_attempt(first);
                self.promote(first, slot);
                (first, BY_HEDGE)
            }
            Hedge::Runs { .. } => (slot, BY_FIRST),
            Hedge::None | Hedge::Awaited { .. } => (slot, 0),
        };
        self.hedge_is_off(first);
        self.exchanges[first as usize].raced = by;
        Some(first)
    }

    /// One of two attempts has failed, or was answered with `status`, and the other goes on. False: there is no other.
    pub(super) fn lost(&mut self, slot: u32, reason: FailReason, status: u16) -> bool {
        let (first, which) = match self.exchanges[slot as usize].hedge {
            Hedge::Of { slot: first } => {
                self.hedge_is_off(first);
                (first, WAS_HEDGE)
            }
            Hedge::Runs { slot: its } => {
                self.let_go_of_attempt(slot);
                if self.exchanges[slot as usize].hedge != (Hedge::Runs { slot: its }) {
                    return false;
                }
                self.promote(slot, its);
                (slot, 0)
            }
            Hedge::None | Hedge::Awaited { .. } => return false,
        };
        let row = [reason as i32, OTHER_GOES_ON | which, i32::from(status), 0, 0];
        self.tell(event::FAILED, first, row);
        true
    }

    /// No hedge is waited for any more, and one that runs is let go.
    pub(super) fn hedge_is_off(&mut self, slot: u32) {
        match self.exchanges[slot as usize].hedge {
            Hedge::Awaited { place } => self.not_awaited(slot, place as usize),
            Hedge::Runs { slot: its } => {
                self.exchanges[slot as usize].hedge = Hedge::None;
                self.exchanges[its as usize].hedge = Hedge::None;
                self.let_go_of_attempt(its);
                self.free_hedge(its);
            }
            Hedge::None | Hedge::Of { .. } => {}
        }
    }

    /// The hedge becomes the exchange's attempt; that which it had is let go already.
    fn promote(&mut self, first: u32, its: u32) {
        let y = &mut self.exchanges[its as usize];
        y.hedge = Hedge::None;
        let (phase, up, stream, endpoint) = (y.phase, y.up.take(), y.up_stream, y.endpoint);
        let (due, deadline, connect_ms, head_ms) = (y.due, y.deadline, y.connect_ms, y.head_ms);
        let (chunked, ended, written, kept_sent) = (y.upstream_chunked, y.request_ended, y.written, y.kept_sent);
        let (on_reused, sent_again) = (y.on_reused, y.sent_again);
        let (head_out, uplink) = (std::mem::take(&mut y.head_out), std::mem::take(&mut y.uplink));
        y.up_stream = 0;
        let x = &mut self.exchanges[first as usize];
        x.hedge = Hedge::None;
        (x.phase, x.up, x.up_stream, x.endpoint) = (phase, up, stream, endpoint);
        (x.due, x.deadline, x.connect_ms, x.head_ms) = (due, deadline, connect_ms, head_ms);
        (x.upstream_chunked, x.request_ended, x.written, x.kept_sent) = (chunked, ended, written, kept_sent);
        (x.on_reused, x.sent_again) = (on_reused, sent_again);
        (x.head_out, x.uplink) = (head_out, uplink);
        for waiting in &mut self.endpoints[endpoint as usize].waiting {
            if *waiting == its {
                *waiting = first;
            }
        }
        if let Some(up) = up.and_then(|key| self.ups.get_mut(key)) {
            match up.h2.as_deref_mut() {
                Some(h2) => {
                    h2.streams.insert(stream, first);
                }
                None => up.slot = first,
            }
        }
        self.free_hedge(its);
    }

    fn free_hedge(&mut self, its: u32) {
        self.exchanges[its as usize].clear();
        self.free.push(its);
        self.hedges.running -= 1;
    }
}

//! The table of buckets. Read the invariants here before changing an ordering:
//!
//! 1. While a bucket has one key its time never falls below what the key began with; when the key is replaced it becomes CLAIMED and then begins
//!    later than any time at which it could be evicted. So an equal time means that the bucket has not changed hands, and a compare-exchange on the
//!    time alone is safe. (A clock set back by hours could break this in theory; it would cost one token.)
//! 2. A key is written only between CLAIMED and the release store of the new time, by the thread that holds the set's lock.
//! 3. So a reader that loads the time (acquire), then the key, and then exchanges that very time has changed this key's bucket and no other.

use crate::gcra::{Outcome, Rate, Step, step};
use crate::{BUCKETS_MAX, BUCKETS_MIN, ENTER_TRIES_MAX, EVICT_AFTER_NS, HORIZON_NS, Key, WAYS};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

/// Time of a bucket whose key is just being replaced.
const CLAIMED: u64 = u64::MAX;
/// Spins before the thread yields while it waits for a set's lock.
const SPINS_BEFORE_YIELD: u32 = 64;
/// When a request may come again that was refused because a lock could not be had.
const CONTENDED_RETRY_NS: u64 = 1_000_000;

/// Keys and times of one set: four cache lines, the keys in the first two.
#[repr(align(128))]
struct Set {
    keys: [AtomicU64; WAYS],
    times: [AtomicU64; WAYS],
}

impl Set {
    fn new() -> Self {
        let zeros = || [const { AtomicU64::new(0) }; WAYS];
        Self {
            keys: zeros(),
            times: zeros(),
        }
    }
}

/// Sets that get their memory together, with the first key that enters one of them: 16 KiB.
const BLOCK_SETS: usize = 64;

/// The buckets of all limits.
pub struct Table {
    blocks: Box<[OnceLock<Box<[Set]>>]>,
    /// Number of sets, a power of two.
    sets: usize,
    locks: Box<[AtomicBool]>,
    /// One for each pair of set and limit, by hash; as many as sets.
    overflow: Box<[AtomicU64]>,
    used: AtomicU64,
    evictions: AtomicU64,
    overflows: AtomicU64,
    contended: AtomicU64,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Size of the table.
    pub buckets: u64,
    /// Buckets that hold a key, also one whose time has passed.
    pub used: u64,
    /// Buckets whose time is still to come.
    pub live: u64,
    /// Keys replaced because their time had passed.
    pub evictions: u64,
    /// Checks that went to an overflow bucket: the table is too small for the clients that it sees.
    pub overflows: u64,
    /// Requests refused because the lock of a set could not be had.
    pub contended: u64,
}

/// What came of entering a key.
enum Entered<'a> {
    /// It has a bucket with this time.
    Bucket(&'a AtomicU64, u64),
    /// It has none; the overflow bucket decided.
    Overflow(Outcome),
}

impl Table {
    /// A table of at least `buckets`, rounded up to a power of two, within BUCKETS_MIN and BUCKETS_MAX.
    #[must_use]
    pub fn new(buckets: usize) -> Self {
        let sets = buckets.clamp(BUCKETS_MIN, BUCKETS_MAX).next_power_of_two() / WAYS;
        Self {
            blocks: (0..sets.div_ceil(BLOCK_SETS)).map(|_| OnceLock::new()).collect(),
            sets,
            locks: (0..sets).map(|_| AtomicBool::new(false)).collect(),
            overflow: (0..sets).map(|_| AtomicU64::new(0)).collect(),
            used: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            overflows: AtomicU64::new(0),
            contended: AtomicU64::new(0),
        }
    }

    /// What `take` would answer now; nothing is consumed.
    #[must_use]
    pub fn peek(&self, key: Key, rate: Rate, cost: u32, now: u64) -> Outcome {
        let now = bounded(now);
        let arrival = match self.find(key) {
            Some((_, arrival)) => arrival,
            None => self.overflow_of(key).load(Acquire),
        };
        step(arrival, rate, cost, now).outcome
    }

    /// Admits a request and counts it, or refuses it and counts nothing.
    pub fn take(&self, key: Key, rate: Rate, cost: u32, now: u64) -> Outcome {
        let now = bounded(now);
        if let Some((time, arrival)) = self.find(key)
            && let Some(outcome) = self.take_at(key, time, arrival, rate, cost, now)
        {
            return outcome;
        }
        // A request that a fresh bucket would not admit either leaves no trace in the table.
        let begin = self.overflow_of(key).load(Acquire);
        let fresh = step(begin, rate, cost, now).outcome;
        if !fresh.allowed {
            self.overflows.fetch_add(u64::from(begin > now), Relaxed);
            return fresh;
        }
        for _ in 0..WAYS {
            match self.enter(key, rate, cost, now) {
                Some(Entered::Bucket(time, arrival)) => {
                    if let Some(outcome) = self.take_at(key, time, arrival, rate, cost, now) {
                        return outcome;
                    }
                }
                Some(Entered::Overflow(outcome)) => return outcome,
                None => break,
            }
        }
        self.contended.fetch_add(1, Relaxed);
        Outcome {
            allowed: false,
            remaining: 0,
            retry_after_ns: CONTENDED_RETRY_NS,
            reset_ns: 0,
        }
    }

    /// Gives back what a `take` just consumed, because something else refused the request. What was taken from an overflow bucket is not given
    /// back: whether it was, cannot be told any more.
    pub fn give_back(&self, key: Key, rate: Rate, cost: u32) {
        // Each lost exchange is another thread's progress.
        while let Some((time, seen)) = self.find(key) {
            let less = seen.saturating_sub(rate.cost_ns(cost)).max(1);
            if time.compare_exchange(seen, less, AcqRel, Acquire).is_ok() {
                return;
            }
        }
    }

    /// Figures. `live` reads all times of the table: a few milliseconds for a million buckets, so for a scrape and not for a request.
    #[must_use]
    pub fn stats(&self, now: u64) -> Stats {
        let is_live = |time: &&AtomicU64| {
            let time = time.load(Relaxed);
            time > now && time != CLAIMED
        };
        Stats {
            buckets: (self.sets * WAYS) as u64,
            used: self.used.load(Relaxed),
            live: self
                .blocks
                .iter()
                .filter_map(OnceLock::get)
                .flatten()
                .map(|set| set.times.iter().filter(is_live).count() as u64)
                .sum(),
            evictions: self.evictions.load(Relaxed),
            overflows: self.overflows.load(Relaxed),
            contended: self.contended.load(Relaxed),
        }
    }

    fn set_at(&self, key: Key) -> usize {
        key.hash as usize & (self.sets - 1)
    }

    fn overflow_of(&self, key: Key) -> &AtomicU64 {
        let mixed = (self.set_at(key) as u64 ^ u64::from(key.limit) << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        &self.overflow[mixed as usize & (self.overflow.len() - 1)]
    }

    /// The key's bucket and a time of it that was loaded before the key was seen there.
    fn find(&self, key: Key) -> Option<(&AtomicU64, u64)> {
        let at = self.set_at(key);
        let set = &self.blocks[at / BLOCK_SETS].get()?[at % BLOCK_SETS];
        let way = set.keys.iter().position(|k| k.load(Relaxed) == key.hash)?;
        let arrival = set.times[way].load(Acquire);
        let still = arrival != CLAIMED && set.keys[way].load(Acquire) == key.hash;
        still.then_some((&set.times[way], arrival))
    }

    /// Takes from a bucket; `None` when it is the key's no more.
    fn take_at(&self, key: Key, time: &AtomicU64, seen: u64, rate: Rate, cost: u32, now: u64) -> Option<Outcome> {
        let mut arrival = seen;
        loop {
            let Step { outcome, store } = step(arrival, rate, cost, now);
            let Some(next) = store else { return Some(outcome) };
            if time.compare_exchange(arrival, next, AcqRel, Acquire).is_ok() {
                return Some(outcome);
            }
            // Somebody was faster; each such loss is another thread's progress. The key must be seen again after the new time.
            let (again, newer) = self.find(key)?;
            if !std::ptr::eq(again, time) {
                return None;
            }
            arrival = newer;
        }
    }

    /// Takes from an overflow bucket. Under the set's lock, so that a key that enters afterwards inherits this.
    fn take_overflow(&self, key: Key, rate: Rate, cost: u32, now: u64) -> Outcome {
        let time = self.overflow_of(key);
        let mut arrival = time.load(Acquire);
        loop {
            let Step { outcome, store } = step(arrival, rate, cost, now);
            // A shared time is never cut back: it may be another limit's, and rightly far ahead.
            let Some(next) = store.filter(|_| outcome.allowed) else {
                return outcome;
            };
            match time.compare_exchange_weak(arrival, next, AcqRel, Acquire) {
                Ok(_) => return outcome,
                Err(newer) => arrival = newer,
            }
        }
    }

    /// Gives a key that had none a bucket, or takes from the overflow bucket when all of its set are live. `None` when the set's lock
    /// cannot be had.
    fn enter(&self, key: Key, rate: Rate, cost: u32, now: u64) -> Option<Entered<'_>> {
        let at = self.set_at(key);
        let _lock = Locked::new(&self.locks[at])?;
        // Another thread may have entered the same key just before.
        if let Some((time, arrival)) = self.find(key) {
            return Some(Entered::Bucket(time, arrival));
        }
        let block = self.blocks[at / BLOCK_SETS].get_or_init(|| (0..BLOCK_SETS).map(|_| Set::new()).collect());
        let set = &block[at % BLOCK_SETS];
        for (slot, time) in set.keys.iter().zip(&set.times) {
            let arrival = time.load(Acquire);
            let empty = arrival == 0;
            if !empty && arrival + EVICT_AFTER_NS > now {
                continue;
            }
            if time.compare_exchange(arrival, CLAIMED, AcqRel, Acquire).is_err() {
                continue;
            }
            let begin = self.overflow_of(key).load(Acquire).max(now);
            slot.store(key.hash, Release);
            time.store(begin, Release);
            (if empty { &self.used } else { &self.evictions }).fetch_add(1, Relaxed);
            return Some(Entered::Bucket(time, begin));
        }
        self.overflows.fetch_add(1, Relaxed);
        Some(Entered::Overflow(self.take_overflow(key, rate, cost, now)))
    }
}

/// Zero means an empty bucket, and sums must not overflow.
fn bounded(now: u64) -> u64 {
    now.clamp(1, HORIZON_NS)
}

/// The lock of one set, held while this lives.
struct Locked<'a>(&'a AtomicBool);

impl<'a> Locked<'a> {
    fn new(flag: &'a AtomicBool) -> Option<Self> {
        for tries in 0..ENTER_TRIES_MAX {
            if flag.compare_exchange_weak(false, true, Acquire, Relaxed).is_ok() {
                return Some(Self(flag));
            }
            if tries < SPINS_BEFORE_YIELD {
                std::hint::spin_loop()
            } else {
                std::thread::yield_now()
            }
        }
        None
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_never_given_back_refuses_instead_of_hanging() {
        let table = Table::new(1);
        table.locks[0].store(true, Release);
        let outcome = table.take(Key::of(1), Rate::new(1, 10), 1, 1_000);
        assert_eq!((outcome.allowed, outcome.retry_after_ns), (false, CONTENDED_RETRY_NS));
        assert_eq!(table.stats(1_000).contended, 1);
        table.locks[0].store(false, Release);
        assert!(table.take(Key::of(1), Rate::new(1, 10), 1, 1_000).allowed);
    }

    #[test]
    fn sizes_are_rounded_up_and_bounded() {
        for (asked, got) in [(0, 16), (16, 16), (17, 32), (1_000, 1_024)] {
            assert_eq!(Table::new(asked).stats(0).buckets, got);
        }
    }
}

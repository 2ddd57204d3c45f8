//! Binding of cnx-tables: one table of limits in the process, and for each thread a batch that is filled and taken without allocating.

use crate::text::with_utf8;
use cnx_tables::{Ask, BATCH_MAX, BUCKETS_DEFAULT, Key, Outcome, Rate, Table};
use napi::bindgen_prelude::{Float64Array, Result};
use napi::{Error, JsString};
use napi_derive::napi;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Numbers that one limit takes in the block: what JavaScript writes, then what `take` writes.
const COLUMNS: usize = 10;
const LIMIT: usize = 0;
const EMISSION_NS: usize = 1;
const BURST: usize = 2;
const ENFORCE: usize = 3;
const ALLOWED: usize = 4;
const REMAINING: usize = 5;
const RETRY_MS: usize = 6;
const RESET_MS: usize = 7;
const KEY_LOW: usize = 8;
const KEY_HIGH: usize = 9;
const NS_PER_MS: f64 = 1e6;

static TABLE: OnceLock<Table> = OnceLock::new();

fn table() -> &'static Table {
    TABLE.get_or_init(|| Table::new(BUCKETS_DEFAULT))
}

/// Epoch or monotonic milliseconds as nanoseconds; the cast saturates, and what is no number becomes 0.
fn ns(ms: f64) -> u64 {
    (ms * NS_PER_MS) as u64
}

/// See src/native/limits.ts, as all of this binding.
#[napi]
pub fn limits_init(buckets: u32) -> f64 {
    TABLE.get_or_init(|| Table::new(buckets as usize)).stats(0).buckets as f64
}

#[napi(object)]
pub struct LimitsStats {
    pub buckets: f64,
    pub used: f64,
    pub live: f64,
    pub evictions: f64,
    pub overflows: f64,
    pub contended: f64,
}

#[napi]
pub fn limits_stats(now_ms: f64) -> LimitsStats {
    let stats = table().stats(ns(now_ms));
    LimitsStats {
        buckets: stats.buckets as f64,
        used: stats.used as f64,
        live: stats.live as f64,
        evictions: stats.evictions as f64,
        overflows: stats.overflows as f64,
        contended: stats.contended as f64,
    }
}

/// What one thread is about to take. Numbers go both ways in one block that JavaScript reads and writes in place, so a request costs one call for each
/// part of a key and one to take.
struct Batch {
    keys: [Option<Key>; BATCH_MAX],
    /// Bits of doubles. Shared with the view, so neither outlives the other.
    block: Arc<[AtomicU64; BATCH_MAX * COLUMNS]>,
}

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::new(Batch {
        keys: [None; BATCH_MAX],
        block: Arc::new([const { AtomicU64::new(0) }; BATCH_MAX * COLUMNS]),
    });
}

impl Batch {
    fn number(&self, row: usize, column: usize) -> f64 {
        f64::from_bits(self.block[row * COLUMNS + column].load(Relaxed))
    }

    fn write(&self, row: usize, column: usize, number: f64) {
        self.block[row * COLUMNS + column].store(number.to_bits(), Relaxed);
    }

    /// The key that was begun for a row, or a new one.
    fn begun(&self, row: usize) -> Key {
        self.keys[row].unwrap_or_else(|| Key::of(self.number(row, LIMIT) as u32))
    }

    /// The key of a row: the one that was made of its parts, which is told, else the one that JavaScript remembers.
    fn key(&self, row: usize) -> Key {
        if let Some(made) = self.keys[row] {
            self.write(row, KEY_LOW, f64::from(made.hash() as u32));
            self.write(row, KEY_HIGH, f64::from((made.hash() >> 32) as u32));
            return made;
        }
        let limit = self.number(row, LIMIT) as u32;
        let (low, high) = (self.number(row, KEY_LOW) as u32, self.number(row, KEY_HIGH) as u32);
        match u64::from(high) << 32 | u64::from(low) {
            0 => Key::of(limit),
            hash => Key::known(limit, hash),
        }
    }

    fn take(&mut self, count: usize, now_ms: f64) -> bool {
        let mut asks = [Ask {
            key: Key::of(0),
            rate: Rate::new(1, 1),
            cost: 1,
            enforce: false,
        }; BATCH_MAX];
        let mut outcomes = [Outcome::default(); BATCH_MAX];
        for (row, ask) in asks[..count].iter_mut().enumerate() {
            ask.key = self.key(row);
            ask.rate = Rate::new(self.number(row, EMISSION_NS) as u64, self.number(row, BURST) as u32);
            ask.enforce = self.number(row, ENFORCE) != 0.0;
        }
        self.keys[..count].fill(None);
        let allowed = table().take_all(&asks[..count], ns(now_ms), &mut outcomes[..count]);
        for (row, outcome) in outcomes[..count].iter().enumerate() {
            let retry_ms = match outcome.retry_after_ns {
                u64::MAX => f64::INFINITY,
                ns => ns as f64 / NS_PER_MS,
            };
            self.write(row, ALLOWED, f64::from(u8::from(outcome.allowed)));
            self.write(row, REMAINING, f64::from(outcome.remaining));
            self.write(row, RETRY_MS, retry_ms);
            self.write(row, RESET_MS, outcome.reset_ns as f64 / NS_PER_MS);
        }
        allowed
    }
}

fn row_of(row: u32) -> Result<usize> {
    let row = row as usize;
    if row < BATCH_MAX {
        Ok(row)
    } else {
        Err(Error::from_reason(format!(
            "at most {BATCH_MAX} limits can be taken at once"
        )))
    }
}

#[napi]
pub fn limits_block() -> Float64Array {
    let held = BATCH.with_borrow(|batch| Arc::clone(&batch.block));
    let data = held.as_ptr().cast_mut().cast::<f64>();
    // SAFETY: the block has this many 8-byte words and lives as long as `held`, which the finaliser drops; here it is used only through atomics.
    unsafe { Float64Array::with_external_data(data, BATCH_MAX * COLUMNS, move |_, _| drop(held)) }
}

#[napi]
pub fn limits_text(row: u32, part: JsString) -> Result<()> {
    let row = row_of(row)?;
    with_utf8(&part, |bytes| {
        BATCH.with_borrow_mut(|batch| batch.keys[row] = Some(batch.begun(row).with(bytes)));
    })
}

#[napi]
pub fn limits_address(row: u32, address: JsString) -> Result<()> {
    let row = row_of(row)?;
    with_utf8(&address, |bytes| {
        BATCH.with_borrow_mut(|batch| batch.keys[row] = Some(with_address(batch.begun(row), bytes)));
    })
}

#[napi]
pub fn limits_take(count: u32, now_ms: f64) -> bool {
    let count = (count as usize).min(BATCH_MAX);
    BATCH.with_borrow_mut(|batch| batch.take(count, now_ms))
}

/// An address as it is counted: IPv4 whole (also when mapped into IPv6), IPv6 by its /64, since a client owns at least that much.
/// What is no address counts as its text.
fn with_address(key: Key, text: &[u8]) -> Key {
    let parsed = std::str::from_utf8(text).ok().and_then(|t| t.parse::<IpAddr>().ok());
    match parsed.map(|a| a.to_canonical()) {
        Some(IpAddr::V4(v4)) => key.with(&v4.octets()),
        Some(IpAddr::V6(v6)) => key.with(&v6.octets()[..8]),
        None => key.with(text),
    }
}

//! Many threads on one table: what they are admitted together is what one thread would be.

use cnx_tables::{Ask, Key, Outcome, Rate, Table};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;
const THREADS: u64 = 8;

/// Runs `work(thread)` in all threads at once.
fn together(work: impl Fn(u64) + Sync) {
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for i in 0..THREADS {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(i);
            });
        }
    });
}

#[test]
fn at_one_moment_exactly_the_burst_is_admitted() {
    let table = Table::new(1 << 10);
    let rate = Rate::new(1_000 * MS, 500);
    let admitted = AtomicU64::new(0);
    together(|_| {
        for _ in 0..1_000 {
            admitted.fetch_add(
                u64::from(table.take(Key::of(1).with(b"k"), rate, 1, START).allowed),
                Relaxed,
            );
        }
    });
    assert_eq!(admitted.load(Relaxed), 500);
}

/// Every round has a fresh key that all threads enter at the same time: it must get one bucket, not two.
#[test]
fn a_key_that_many_threads_enter_at_once_gets_one_bucket() {
    let table = Table::new(1 << 10);
    let rate = Rate::new(1_000 * MS, 3);
    let rounds = 300u64;
    let admitted: Vec<AtomicU64> = (0..rounds).map(|_| AtomicU64::new(0)).collect();
    let barrier = Barrier::new(THREADS as usize);
    together(|_| {
        for round in 0..rounds {
            barrier.wait();
            for _ in 0..4 {
                let outcome = table.take(Key::of(1).with(&round.to_le_bytes()), rate, 1, START);
                admitted[round as usize].fetch_add(u64::from(outcome.allowed), Relaxed);
            }
        }
    });
    assert!(admitted.iter().all(|a| a.load(Relaxed) == 3));
    assert_eq!(table.stats(START).used, rounds);
}

/// One set, more keys than places, a clock that moves and differs between threads by less than the eviction delay: keys are evicted and
/// entered all the time, and still none gets more than burst + elapsed / interval.
#[test]
fn no_key_gets_more_than_its_limit_while_places_change_hands() {
    let table = Table::new(16);
    let (emission, burst, keys) = (20 * MS, 2u32, 40u64);
    let rate = Rate::new(emission, burst);
    let admitted: Vec<AtomicU64> = (0..keys).map(|_| AtomicU64::new(0)).collect();
    let clock = AtomicU64::new(START);
    let lag_max = 5 * MS;
    together(|thread| {
        for i in 0..20_000u64 {
            let now = clock.fetch_add(MS / 8, Relaxed) - (thread * 37 + i) % 5 * MS;
            // Twelve keys at a time, five of them others every 400 ms.
            let key = ((now + lag_max - START) / (400 * MS) * 5 + (i * 7 + thread) % 12) % keys;
            let allowed = table.take(Key::of(1).with(&key.to_le_bytes()), rate, 1, now).allowed;
            admitted[key as usize].fetch_add(u64::from(allowed), Relaxed);
        }
    });
    let elapsed = clock.load(Relaxed) - START + lag_max;
    let most = u64::from(burst) + elapsed / emission + 1;
    for (key, count) in admitted.iter().enumerate() {
        assert!(
            count.load(Relaxed) <= most,
            "key {key}: {} of {most}",
            count.load(Relaxed)
        );
    }
    let stats = table.stats(START);
    assert!(stats.evictions > 100 && stats.contended == 0, "{stats:?}");
}

#[test]
fn all_or_nothing_never_admits_more_than_the_smallest_limit_and_loses_nothing() {
    let table = Table::new(1 << 10);
    let ask = |limit: u32, burst| Ask {
        key: Key::of(limit),
        rate: Rate::new(3_600_000 * MS, burst),
        cost: 1,
        enforce: true,
    };
    let asks = [ask(1, 1_000), ask(2, 300), ask(3, 2_000)];
    let admitted = AtomicU64::new(0);
    together(|_| {
        let mut outcomes = [Outcome::default(); 3];
        for _ in 0..500 {
            admitted.fetch_add(u64::from(table.take_all(&asks, START, &mut outcomes)), Relaxed);
        }
    });
    let count = admitted.load(Relaxed);
    assert_eq!(count, 300);
    // What was refused consumed nothing.
    assert_eq!(table.peek(asks[0].key, asks[0].rate, 0, START).remaining, 700);
    assert_eq!(table.peek(asks[2].key, asks[2].rate, 0, START).remaining, 1_700);
}

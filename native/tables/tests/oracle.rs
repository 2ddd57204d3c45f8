//! The table against an exact oracle with a map, and against the definition of a limit when places are scarce.

use cnx_tables::{Ask, EVICT_AFTER_NS, Key, Outcome, Rate, Table};
use proptest::prelude::*;
use std::collections::HashMap;

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;

/// GCRA for one key, written from the definition.
fn oracle(arrivals: &mut HashMap<u64, u64>, key: u64, emission: u64, burst: u64, cost: u64, now: u64) -> (bool, u64) {
    let base = arrivals.get(&key).copied().unwrap_or(0).max(now);
    let next = base + cost * emission;
    let allowed = next - now <= burst * emission;
    if allowed {
        arrivals.insert(key, next);
    }
    let after = if allowed { next } else { base };
    (allowed, (burst * emission - (after - now)) / emission)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_room_every_answer_is_that_of_the_definition(
        steps in prop::collection::vec((0u64..40, 0u64..30, 1u32..4, 0u64..400), 1..400),
    ) {
        let table = Table::new(1 << 14);
        let mut arrivals = HashMap::new();
        let mut now = START;
        for (key, wait, cost, pause) in steps {
            now += wait * MS + if pause == 0 { 2_000 * MS } else { 0 };
            let (emission, burst) = (50 * MS, 4);
            let rate = Rate::new(emission, burst);
            let bucket = Key::of(7).with(&key.to_le_bytes());
            let expected = oracle(&mut arrivals, key, emission, u64::from(burst), u64::from(cost), now);
            let peeked = table.peek(bucket, rate, cost, now);
            let got = table.take(bucket, rate, cost, now);
            prop_assert_eq!(peeked, got);
            prop_assert_eq!((got.allowed, u64::from(got.remaining)), expected);
            if !got.allowed {
                prop_assert!(!table.peek(bucket, rate, cost, now + got.retry_after_ns - 1).allowed);
                prop_assert!(table.peek(bucket, rate, cost, now + got.retry_after_ns).allowed);
            }
        }
        prop_assert_eq!(table.stats(now).overflows, 0);
    }

    /// One set of 16 buckets, 60 keys of two limits: whatever is evicted or overflows, no key gets more than its limit in any window.
    #[test]
    fn no_key_gets_more_than_its_limit_however_scarce_the_places(
        steps in prop::collection::vec((0u64..60, 0u64..25), 50..1200),
    ) {
        let table = Table::new(16);
        let mut now = START;
        let mut admitted: HashMap<u64, Vec<u64>> = HashMap::new();
        let limit_of = |key: u64| if key.is_multiple_of(2) { (100 * MS, 3u32) } else { (700 * MS, 2u32) };
        for (key, wait) in steps {
            now += wait * MS;
            let (emission, burst) = limit_of(key);
            let bucket = Key::of((key % 2) as u32).with(&key.to_le_bytes());
            if table.take(bucket, Rate::new(emission, burst), 1, now).allowed {
                admitted.entry(key).or_default().push(now);
            }
        }
        for (key, times) in admitted {
            let (emission, burst) = limit_of(key);
            for from in 0..times.len() {
                for to in from..times.len() {
                    let most = u64::from(burst) + (times[to] - times[from]) / emission;
                    prop_assert!((to - from + 1) as u64 <= most, "key {} got {} of {}", key, to - from + 1, most);
                }
            }
        }
    }

    #[test]
    fn what_one_limit_refuses_consumes_nothing_of_the_others(
        steps in prop::collection::vec((0u64..3, 0u64..3, 0u64..40), 1..200),
    ) {
        let table = Table::new(1 << 10);
        let mut arrivals = HashMap::new();
        let mut now = START;
        for (client, tenant, wait) in steps {
            now += wait * MS;
            let rows = [(client, 1u32, 100 * MS, 3u32), (100 + tenant, 2, 60 * MS, 5), (200, 3, 30 * MS, 8)];
            let asks = rows.map(|(key, limit, emission, burst)| Ask {
                key: Key::of(limit).with(&key.to_le_bytes()),
                rate: Rate::new(emission, burst),
                cost: 1,
                enforce: true,
            });
            let mut outcomes = [Outcome::default(); 3];
            let allowed = table.take_all(&asks, now, &mut outcomes);
            let mut would = arrivals.clone();
            let each = rows.map(|(key, _, emission, burst)| oracle(&mut would, key, emission, u64::from(burst), 1, now).0);
            prop_assert_eq!(allowed, each.iter().all(|a| *a));
            prop_assert_eq!(outcomes.map(|o| o.allowed), each);
            if allowed {
                arrivals = would;
            }
        }
    }
}

#[test]
fn flooding_evicts_nobody_whose_time_has_not_passed() {
    let table = Table::new(16);
    let rate = Rate::new(60_000 * MS, 2);
    let victim = Key::of(1).with(b"victim");
    assert!(table.take(victim, rate, 1, START).allowed);
    assert!(table.take(victim, rate, 1, START).allowed);
    let flood = Rate::new(MS, 1);
    for i in 0u64..10_000 {
        table.take(Key::of(2).with(&i.to_le_bytes()), flood, 1, START + i * MS);
    }
    assert!(!table.take(victim, rate, 1, START + 10_000 * MS).allowed);
    let stats = table.stats(START + 10_000 * MS);
    assert!(stats.evictions > 0 && stats.overflows > 0, "{stats:?}");
    assert_eq!((stats.buckets, stats.used), (16, 16));
}

#[test]
fn keys_without_a_place_share_the_allowance_of_one_key_and_carry_it_into_their_place() {
    let table = Table::new(16);
    let rate = Rate::new(10_000 * MS, 3);
    for i in 0u64..16 {
        assert!(table.take(Key::of(1).with(&i.to_le_bytes()), rate, 1, START).allowed);
    }
    let late = |i: u64| Key::of(1).with(&(100 + i).to_le_bytes());
    let admitted = (0..10).filter(|i| table.take(late(*i), rate, 1, START).allowed).count();
    assert_eq!(admitted, 3);
    // All places are free again, but the overflow bucket is not: who enters begins with its time.
    let now = START + 10_000 * MS + EVICT_AFTER_NS;
    assert_eq!(table.take(late(0), rate, 1, now).remaining, 0);
    assert!(!table.take(late(0), rate, 1, now).allowed);
    assert!(table.take(late(1), rate, 1, now + 20_000 * MS).allowed);
}

#[test]
fn a_limit_that_is_not_enforced_counts_and_refuses_nothing() {
    let table = Table::new(16);
    let ask = |limit, enforce| Ask {
        key: Key::of(limit),
        rate: Rate::new(1_000 * MS, 1),
        cost: 1,
        enforce,
    };
    let mut outcomes = [Outcome::default(); 2];
    let asks = [ask(1, true), ask(2, false)];
    assert!(table.take_all(&asks, START, &mut outcomes));
    assert!(!table.take_all(&asks, START, &mut outcomes));
    assert!(table.take_all(&[ask(3, true), ask(2, false)], START, &mut outcomes));
    assert!(outcomes[0].allowed && !outcomes[1].allowed);
    assert!(table.take_all(&asks[1..], START, &mut outcomes[..1]));
}

//! The arithmetic of one bucket, without any table.

use crate::HORIZON_NS;

/// What a limit grants: one request each `emission_ns`, and up to `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    emission_ns: u64,
    burst: u64,
}

impl Rate {
    /// A rate within the bounds of the arithmetic: an emission of at least 1 ns, a burst of at least 1, and both together below HORIZON_NS
    /// (the burst is cut to it).
    #[must_use]
    pub fn new(emission_ns: u64, burst: u32) -> Self {
        let emission_ns = emission_ns.clamp(1, HORIZON_NS);
        Self {
            emission_ns,
            burst: u64::from(burst).clamp(1, HORIZON_NS / emission_ns),
        }
    }

    /// How far the arrival time may be ahead of now.
    pub(crate) fn reach_ns(self) -> u64 {
        self.emission_ns * self.burst
    }

    pub(crate) fn cost_ns(self, cost: u32) -> u64 {
        self.emission_ns.saturating_mul(u64::from(cost)).min(HORIZON_NS)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It may go on.
    pub allowed: bool,
    /// Requests of cost 1 that would be admitted right after this one.
    pub remaining: u32,
    /// When refused: ns until the same request would be admitted if no other came; `u64::MAX` when its cost is above the burst.
    pub retry_after_ns: u64,
    /// Ns until the bucket is as good as new.
    pub reset_ns: u64,
}

/// A decision over a bucket: what to answer and the arrival time to store, if any.
pub(crate) struct Step {
    pub outcome: Outcome,
    /// Arrival time after this request; `None`: leave it.
    pub store: Option<u64>,
}

/// Decides about a request of `cost` at `now` for a bucket whose time is `arrival`.
pub(crate) fn step(arrival: u64, rate: Rate, cost: u32, now: u64) -> Step {
    let limit = now + rate.reach_ns();
    // Further ahead than this limit can have put it: the clock was set back, or the limit became smaller under the same identity.
    let lost = arrival > limit + crate::EVICT_AFTER_NS;
    let base = if lost { limit } else { arrival.max(now) };
    let next = base + rate.cost_ns(cost);
    let allowed = next <= limit;
    let after = if allowed { next } else { base };
    let remaining = limit.saturating_sub(after) / rate.emission_ns;
    Step {
        outcome: Outcome {
            allowed,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            retry_after_ns: match (allowed, rate.cost_ns(cost) > rate.reach_ns()) {
                (true, _) => 0,
                (false, true) => u64::MAX,
                (false, false) => next - limit,
            },
            reset_ns: after - now,
        },
        store: if allowed {
            Some(next)
        } else if lost {
            Some(base)
        } else {
            None
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_burst_then_one_each_interval() {
        let rate = Rate::new(100 * MS, 3);
        let (mut arrival, now) = (0, 1_000 * MS);
        for left in [2, 1, 0] {
            let step = step(arrival, rate, 1, now);
            assert_eq!((step.outcome.allowed, step.outcome.remaining), (true, left));
            arrival = step.store.unwrap();
        }
        let refused = step(arrival, rate, 1, now + 30 * MS);
        assert_eq!(
            refused.outcome,
            Outcome {
                allowed: false,
                remaining: 0,
                retry_after_ns: 70 * MS,
                reset_ns: 270 * MS
            }
        );
        assert_eq!(refused.store, None);
        assert!(step(arrival, rate, 1, now + 100 * MS).outcome.allowed);
    }

    #[test]
    fn a_cost_above_the_burst_is_never_admitted() {
        let outcome = step(0, Rate::new(MS, 5), 6, 10).outcome;
        assert_eq!(
            (outcome.allowed, outcome.retry_after_ns, outcome.remaining),
            (false, u64::MAX, 5)
        );
    }

    #[test]
    fn a_clock_set_back_or_a_smaller_limit_waits_one_reach_at_most() {
        let rate = Rate::new(100 * MS, 2);
        let hour = 3_600_000 * MS;
        let cut = step(hour, rate, 1, 1_000 * MS);
        assert!(!cut.outcome.allowed);
        assert_eq!(cut.store, Some(1_200 * MS));
        assert!(step(cut.store.unwrap(), rate, 1, 1_100 * MS).outcome.allowed);
    }

    #[test]
    fn the_largest_rates_do_not_overflow() {
        for (emission, burst, cost) in [
            (u64::MAX, u32::MAX, u32::MAX),
            (1, u32::MAX, u32::MAX),
            (HORIZON_NS, 1, 1),
            (0, 0, 0),
        ] {
            let step = step(0, Rate::new(emission, burst), cost, 1 << 61);
            assert!(step.outcome.reset_ns <= HORIZON_NS);
        }
    }
}

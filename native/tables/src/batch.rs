//! Several limits for one request, all or nothing.

use crate::{Key, Outcome, Rate, Table};

/// Most limits of one request.
pub const BATCH_MAX: usize = 16;

/// One limit of a request.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Whose bucket.
    pub key: Key,
    /// What is granted.
    pub rate: Rate,
    /// What the request costs; 1 unless something says otherwise.
    pub cost: u32,
    /// False: counted, and refuses nothing.
    pub enforce: bool,
}

impl Table {
    /// Takes from all limits or from none, and answers the outcome of each; true when the request may go on. First all are looked at, so a request that
    /// one limit refuses consumes nothing. Only when another thread exhausts a limit between looking and taking is something taken
    /// and given back at once: other requests may be refused in that moment, none is admitted too much. (What an overflow bucket gave is
    /// not given back.) Limits that are not enforced are counted only for requests that go on.
    ///
    /// At most [`BATCH_MAX`] asks are looked at; `outcomes` must be as long as `asks`.
    pub fn take_all(&self, asks: &[Ask], now: u64, outcomes: &mut [Outcome]) -> bool {
        if let ([ask], [outcome]) = (asks, &mut *outcomes) {
            *outcome = self.take(ask.key, ask.rate, ask.cost, now);
            return outcome.allowed || !ask.enforce;
        }
        let mut allowed = true;
        for (ask, outcome) in asks.iter().zip(&mut *outcomes).take(BATCH_MAX) {
            *outcome = self.peek(ask.key, ask.rate, ask.cost, now);
            allowed &= outcome.allowed || !ask.enforce;
        }
        if !allowed {
            return false;
        }
        for i in (0..asks.len().min(outcomes.len()).min(BATCH_MAX)).filter(|&i| asks[i].enforce) {
            outcomes[i] = self.take(asks[i].key, asks[i].rate, asks[i].cost, now);
            if !outcomes[i].allowed {
                for taken in asks[..i].iter().filter(|a| a.enforce) {
                    self.give_back(taken.key, taken.rate, taken.cost);
                }
                return false;
            }
        }
        for (ask, outcome) in asks
            .iter()
            .zip(outcomes)
            .take(BATCH_MAX)
            .filter(|(ask, _)| !ask.enforce)
        {
            *outcome = self.take(ask.key, ask.rate, ask.cost, now);
        }
        true
    }
}

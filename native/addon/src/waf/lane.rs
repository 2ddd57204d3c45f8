//! What one thread holds of the engine: profiles it has asked, memory to run rule sets, and memory that it shares with its JavaScript.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use cnx_waf::engine::{Outcome, Transaction, Verdict};
use cnx_waf::profile::Profile;
use cnx_waf::wire::{Malformed, Request, Response, pack_outcome};

use super::memory::{HeadMemory, Shared};
use super::sets::{EPOCH, registry};

/// What one thread holds.
#[derive(Default)]
pub struct Lane {
    epoch: u64,
    /// Few, the newest last.
    profiles: Vec<(u32, u32, Arc<Profile>)>,
    pub request: Option<Arc<Shared>>,
    pub verdict: Option<Arc<Shared>>,
    pub kept: Option<Arc<Shared>>,
    pub heads: Vec<HeadMemory>,
    /// Scratch memory for each rule set, by its serial number: expressions keep their caches warm.
    pub transactions: Vec<(u64, Box<Transaction>)>,
    /// Likewise for answers: what is known of the values of requests stays warm.
    answers: Vec<(u64, Box<Transaction>)>,
}

thread_local! {
    pub static LANE: RefCell<Lane> = RefCell::default();
}

impl Lane {
    /// A profile of a rule set; those of released ones are forgotten.
    pub fn profile(&mut self, program: u32, handle: u32) -> Option<Arc<Profile>> {
        let epoch = EPOCH.load(Ordering::Acquire);
        if self.epoch != epoch {
            self.epoch = epoch;
            let registry = registry().read().unwrap_or_else(PoisonError::into_inner);
            self.profiles.retain(|(h, ..)| registry.profiles.contains_key(h));
            let live: Vec<u64> = registry.programs.values().map(|c| c.program.serial).collect();
            self.transactions.retain(|(serial, _)| live.contains(serial));
            self.answers.retain(|(serial, _)| live.contains(serial));
        }
        if let Some((_, owner, profile)) = self.profiles.iter().rev().find(|(h, ..)| *h == handle) {
            return (*owner == program).then(|| Arc::clone(profile));
        }
        let registry = registry().read().unwrap_or_else(PoisonError::into_inner);
        let (owner, profile) = registry.profiles.get(&handle)?;
        self.profiles.push((handle, *owner, Arc::clone(profile)));
        (*owner == program).then(|| Arc::clone(profile))
    }

    /// Writes down what the answer of the request that was inspected last needs; -1 when it cannot.
    pub fn keep(&mut self, program: u32, handle: u32, out: &mut [u8]) -> i32 {
        let Some(profile) = self.profile(program, handle) else {
            return -1;
        };
        let serial = profile.program.serial;
        let found = self.transactions.iter_mut().find(|(s, _)| *s == serial);
        let kept = found.and_then(|(_, transaction)| transaction.keep(&profile, out));
        kept.and_then(|n| i32::try_from(n).ok()).unwrap_or(-1)
    }

    /// Inspects a packed answer.
    pub fn respond(
        &mut self,
        program: u32,
        handle: u32,
        kept: &[u8],
        response: Result<Response<'_>, Malformed>,
        out: &mut [u8],
    ) -> Verdict {
        let (Some(profile), Ok(response)) = (self.profile(program, handle), response) else {
            return failed(out);
        };
        run(&mut self.answers, profile.program.serial, out, |transaction| {
            transaction.respond(&profile, kept, &response)
        })
    }

    /// Inspects a packed request.
    pub fn inspect(
        &mut self,
        program: u32,
        handle: u32,
        request: Result<Request<'_>, Malformed>,
        out: &mut [u8],
    ) -> Verdict {
        let (Some(profile), Ok(request)) = (self.profile(program, handle), request) else {
            return failed(out);
        };
        run(&mut self.transactions, profile.program.serial, out, |transaction| {
            transaction.inspect(&profile, &request)
        })
    }
}

/// The scratch memory of a rule set.
pub fn transaction_of(list: &mut Vec<(u64, Box<Transaction>)>, serial: u64) -> &mut Transaction {
    let at = match list.iter().position(|(s, _)| *s == serial) {
        Some(at) => at,
        None => {
            list.push((serial, Box::default()));
            list.len() - 1
        }
    };
    &mut list[at].1
}

/// Runs a transaction and packs its verdict. What a panic left behind is thrown away.
fn run(
    list: &mut Vec<(u64, Box<Transaction>)>,
    serial: u64,
    out: &mut [u8],
    inspect: impl FnOnce(&mut Transaction) -> Outcome,
) -> Verdict {
    let transaction = transaction_of(list, serial);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let outcome = inspect(transaction);
        pack_outcome(&outcome, transaction, out);
        outcome.verdict
    }));
    outcome.unwrap_or_else(|_| {
        list.retain(|(s, _)| *s != serial);
        failed(out)
    })
}

/// The verdict of what could not be inspected.
pub fn failed(out: &mut [u8]) -> Verdict {
    let outcome = Outcome {
        verdict: Verdict::Error,
        ..Outcome::default()
    };
    pack_outcome(&outcome, &Transaction::default(), out);
    Verdict::Error
}

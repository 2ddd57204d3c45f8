//! The state of one transaction, kept by a thread and used again for the next one.

use std::sync::Arc;

use super::Limit;
use super::report::{Report, Reports};
use super::values::{ValueId, Values};
use crate::operator::{Groups, RegexCaches};
use crate::profile::Profile;
use crate::program::bits::Bits;
use crate::program::{PHASES, Program, TargetRemoval};
use crate::seclang::setting::{BodyProcessor, EngineMode};
use crate::seclang::variable::{VARIABLE_COUNT, Var};
use crate::wire::Request;

/// What the engine says about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// No rule that reports matched.
    #[default]
    Pass = 0,
    /// Rules matched and nothing was refused.
    DetectMatch = 1,
    /// A rule refuses the request.
    Block = 2,
    /// A bound was passed before all rules ran; what that means is the caller's policy.
    BudgetExceeded = 3,
    /// The engine failed or was given something that is no request.
    Error = 4,
}

/// The verdict and its numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// A rule would have refused, had the mode been to block.
    pub would_block: bool,
    /// Rules that matched and report.
    pub matches: u32,
    /// The inbound anomaly score.
    pub score: i32,
    /// The rule that refused or would have.
    pub blocking_rule: u32,
    /// Work done.
    pub work: u64,
    /// Which bound was passed.
    pub limit: Limit,
    /// 0 none, 1 deny, 2 drop, 3 redirect.
    pub action: u8,
}

/// A value with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub key: ValueId,
    pub value: ValueId,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SlotValue {
    #[default]
    Unset,
    Int(i64),
    Value(ValueId),
}

/// Where a key of a matched value stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Key {
    #[default]
    None,
    Value(ValueId),
    Slot(u32),
}

/// One matched or candidate value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub var: Var,
    pub key: Key,
    pub value: ValueId,
}

/// What `ctl` and disruptive actions changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Controls {
    pub mode: EngineMode,
    pub body_access: bool,
    pub body_bytes_max: u64,
    pub processor: Option<BodyProcessor>,
    pub force_body: bool,
    /// Phases from this one on (0-based) are skipped until the last.
    pub allowed: Allowed,
}

/// What `allow` skips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    Nothing,
    RequestPhases,
    All,
}

/// Memory of one thread for transactions.
pub struct Transaction {
    pub(crate) values: Values,
    pub(crate) entries: [Vec<Entry>; VARIABLE_COUNT],
    pub(crate) used: [bool; VARIABLE_COUNT],
    pub(crate) slots: Vec<SlotValue>,
    pub(crate) named: Vec<(Var, ValueId, SlotValue)>,
    pub(crate) pinned: Vec<u32>,
    pub(crate) removed: [Bits; PHASES],
    pub(crate) target_removals: Vec<Arc<TargetRemoval>>,
    pub(crate) matched: Vec<Candidate>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) visits: Bits,
    pub(crate) groups: Groups,
    pub(crate) text: Vec<u8>,
    pub(crate) decoded: [Vec<u8>; 2],
    pub(crate) name: Vec<u8>,
    pub(crate) reports: Reports,
    pub(crate) controls: Controls,
    pub(crate) outcome: Outcome,
    pub(crate) caches: RegexCaches,
    pub(crate) cache_serial: u64,
    pub(crate) highest_severity: u8,
    pub(crate) rule_running: (u8, u32),
}

impl Default for Transaction {
    fn default() -> Self {
        Self {
            values: Values::default(),
            entries: std::array::from_fn(|_| Vec::new()),
            used: [true; VARIABLE_COUNT],
            slots: Vec::new(),
            named: Vec::new(),
            pinned: Vec::new(),
            removed: Default::default(),
            target_removals: Vec::new(),
            matched: Vec::new(),
            candidates: Vec::new(),
            visits: Bits::default(),
            groups: Groups::default(),
            text: Vec::new(),
            decoded: Default::default(),
            name: Vec::new(),
            reports: Reports::default(),
            controls: Controls {
                mode: EngineMode::DetectionOnly,
                body_access: true,
                body_bytes_max: 0,
                processor: None,
                force_body: false,
                allowed: Allowed::Nothing,
            },
            outcome: Outcome::default(),
            caches: RegexCaches::default(),
            cache_serial: 0,
            highest_severity: 255,
            rule_running: (0, 0),
        }
    }
}

impl Transaction {
    /// Inspects a request: phases 1 and 2.
    pub fn inspect(&mut self, profile: &Profile, request: &Request<'_>) -> Outcome {
        self.begin(profile);
        if self.controls.mode == EngineMode::Off {
            return self.outcome;
        }
        let program = &*profile.program;
        self.fill_head(program, request);
        if self.phase(profile, 0) {
            self.fill_body(program, request);
            self.phase(profile, 1);
        }
        self.finish(program)
    }

    /// What rules reported, in order, up to a bound; [`Outcome::matches`] counts all.
    pub fn reports(&self) -> impl Iterator<Item = Report<'_>> {
        self.reports.iter()
    }

    /// Forgets what is known of values that were seen before. Nothing needs it but measurements: verdicts do not depend on it.
    pub fn forget(&mut self) {
        self.values.forget();
    }

    /// Bytes of scratch memory in use.
    pub fn memory_bytes(&self) -> usize {
        self.values.memory_bytes() + self.caches.memory_bytes()
    }

    fn begin(&mut self, profile: &Profile) {
        let program: &Program = &profile.program;
        if self.cache_serial != program.serial {
            self.caches.clear();
            self.cache_serial = program.serial;
            self.values.reset(program.chains.len());
        }
        self.values.begin(program.chains.len());
        self.used = program.used;
        for list in &mut self.entries {
            list.clear();
        }
        self.slots.clear();
        self.slots.resize(program.slots.len(), SlotValue::Unset);
        self.named.clear();
        self.pinned.clear();
        for (slot, n) in &profile.pinned {
            self.pinned.push(*slot);
            self.slots[*slot as usize] = SlotValue::Int(*n);
        }
        for (to, from) in self.removed.iter_mut().zip(&profile.removed) {
            to.0.clear();
            to.0.extend_from_slice(&from.0);
        }
        self.target_removals.clear();
        self.target_removals.extend(profile.target_removals.iter().cloned());
        self.matched.clear();
        self.reports.clear();
        self.outcome = Outcome::default();
        self.highest_severity = 255;
        self.controls = Controls {
            mode: profile.mode,
            body_access: program.settings.request_body_access,
            body_bytes_max: program.settings.request_body_bytes_max,
            processor: None,
            force_body: false,
            allowed: Allowed::Nothing,
        };
    }

    fn finish(&mut self, program: &Program) -> Outcome {
        for slot in &program.score_slots {
            let n = match self.slots[*slot as usize] {
                SlotValue::Unset => continue,
                SlotValue::Int(n) => n,
                SlotValue::Value(id) => crate::bytes::to_int(self.values.get(id)),
            };
            self.outcome.score = i32::try_from(n).unwrap_or(i32::MAX);
            break;
        }
        if self.values.exhausted && self.outcome.limit == Limit::None {
            self.outcome.limit = Limit::Memory;
        }
        let limited = self.outcome.limit != Limit::None;
        self.outcome.verdict = match self.outcome.verdict {
            Verdict::Block => Verdict::Block,
            _ if limited => Verdict::BudgetExceeded,
            _ if self.outcome.matches > 0 || self.outcome.would_block => Verdict::DetectMatch,
            v => v,
        };
        self.outcome
    }

    /// Adds a value to a variable that some rule uses.
    pub(crate) fn add(&mut self, var: Var, key: &[u8], value: &[u8]) {
        if !self.used[var as usize] {
            return;
        }
        let entry = Entry {
            key: self.values.intern(key),
            value: self.values.intern(value),
        };
        self.entries[var as usize].push(entry);
    }

    /// Gives a variable that some rule uses its only value.
    pub(crate) fn put(&mut self, var: Var, value: &[u8]) {
        if !self.used[var as usize] {
            return;
        }
        let entry = Entry {
            key: 0,
            value: self.values.intern(value),
        };
        let list = &mut self.entries[var as usize];
        list.clear();
        list.push(entry);
    }

    /// Gives a variable a number.
    pub(crate) fn put_int(&mut self, var: Var, n: i64) {
        if !self.used[var as usize] {
            return;
        }
        let entry = Entry {
            key: 0,
            value: self.values.intern_int(n),
        };
        let list = &mut self.entries[var as usize];
        list.clear();
        list.push(entry);
    }

    /// Notes that a bound was passed; the first one stays.
    pub(crate) fn exceed(&mut self, limit: Limit) {
        if self.outcome.limit == Limit::None {
            self.outcome.limit = limit;
        }
    }
}

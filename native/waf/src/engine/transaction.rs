//! The state of one transaction, kept by a thread and used again for the next one.

use std::sync::Arc;

use super::Limit;
use super::persist::Clock;
use super::reach::Reach;
use super::report::{Report, Reports};
use super::trace::Trace;
use super::values::{ValueId, Values};
use crate::operator::{Groups, RegexCaches};
use crate::profile::{Pin, Profile};
use crate::program::answer::LAST_PHASE;
use crate::program::bits::Bits;
use crate::program::{PHASES, Program, TargetRemoval};
use crate::seclang::setting::{BodyProcessor, EngineMode};
use crate::seclang::variable::{VARIABLE_COUNT, Var};
use crate::wire::{Request, Response};

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
    /// What is wanted of the answer, see [`Transaction::keep`].
    pub answer: Wanted,
}

/// What rules want to see of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Wanted {
    /// Nothing: the transaction has ended.
    #[default]
    Nothing = 0,
    /// Status and header fields.
    Head = 1,
    /// The body too, when its media type is among those to be inspected.
    Body = 2,
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
    pub response_body_access: bool,
    pub response_body_bytes_max: u64,
    pub response_processor: Option<BodyProcessor>,
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
    pub(crate) reach: Reach,
    pub(crate) groups: Groups,
    pub(crate) text: Vec<u8>,
    pub(crate) decoded: [Vec<u8>; 2],
    pub(crate) json: crate::body::json::Room,
    pub(crate) name: Vec<u8>,
    pub(crate) reports: Reports,
    pub(crate) controls: Controls,
    pub(crate) outcome: Outcome,
    pub(crate) caches: RegexCaches,
    pub(crate) cache_serial: u64,
    /// Work beyond which an expression ends at once; the loop over rules does the rest.
    pub(crate) work_max: u64,
    pub(crate) highest_severity: u8,
    pub(crate) rule_running: (u8, u32),
    pub(crate) trace: Option<Box<Trace>>,
    /// Persistent collections that are open, with their keys.
    pub(crate) opened: Vec<(Var, Vec<u8>)>,
    pub(crate) clock: Option<Clock>,
    /// Bytes of the uploaded files.
    pub(crate) files_bytes: u64,
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
            reach: Reach::default(),
            groups: Groups::default(),
            text: Vec::new(),
            decoded: Default::default(),
            json: Default::default(),
            name: Vec::new(),
            reports: Reports::default(),
            controls: Controls {
                mode: EngineMode::DetectionOnly,
                body_access: true,
                body_bytes_max: 0,
                processor: None,
                force_body: false,
                response_body_access: false,
                response_body_bytes_max: 0,
                response_processor: None,
                allowed: Allowed::Nothing,
            },
            outcome: Outcome::default(),
            caches: RegexCaches::default(),
            cache_serial: 0,
            work_max: 0,
            highest_severity: 255,
            rule_running: (0, 0),
            trace: None,
            opened: Vec::new(),
            clock: None,
            files_bytes: 0,
        }
    }
}

impl Transaction {
    /// Inspects a request: phases 1 and 2. When the profile says that no answer will be handed in, or a rule refuses the request, phase 5
    /// follows at once if something matched or its rules write persistent collections; else [`Transaction::keep`] must be called next.
    pub fn inspect(&mut self, profile: &Profile, request: &Request<'_>) -> Outcome {
        self.begin(profile);
        if self.controls.mode == EngineMode::Off {
            return self.outcome;
        }
        let program = &*profile.program;
        self.request_phases(profile, request);
        self.outcome.answer = self.wanted(profile);
        if self.outcome.answer == Wanted::Nothing
            && (self.outcome.matches > 0 || self.outcome.blocking_rule != 0 || program.answer.persists)
        {
            self.phase(profile, LAST_PHASE);
        }
        self.finish(program, &program.score_slots)
    }

    /// Inspects a request and its answer at once, all phases: for tools and tests. Without an answer phases 3 and 4 are left out.
    pub fn inspect_whole(
        &mut self,
        profile: &Profile,
        request: &Request<'_>,
        response: Option<&Response<'_>>,
    ) -> Outcome {
        self.begin(profile);
        if self.controls.mode == EngineMode::Off {
            return self.outcome;
        }
        let program = &*profile.program;
        let mut goes_on = self.request_phases(profile, request);
        let score = self.score(&program.score_slots);
        if let Some(response) = response
            && goes_on
        {
            goes_on = self.answer_phases(profile, response);
        }
        if goes_on || self.outcome.verdict == Verdict::Block {
            self.phase(profile, LAST_PHASE);
        }
        let mut outcome = self.finish(program, &[]);
        outcome.score = score;
        outcome
    }

    /// Inspects an answer: phases 3 to 5 with what [`Transaction::keep`] kept of its request. The score is that of the answer.
    pub fn respond(&mut self, profile: &Profile, kept: &[u8], response: &Response<'_>) -> Outcome {
        self.begin(profile);
        let program = &*profile.program;
        if self.restore(profile, kept).is_err() {
            self.outcome.verdict = Verdict::Error;
            return self.outcome;
        }
        if self.controls.mode == EngineMode::Off {
            return self.outcome;
        }
        if self.answer_phases(profile, response) || self.outcome.verdict == Verdict::Block {
            self.phase(profile, LAST_PHASE);
        }
        self.finish(program, &program.outbound_score_slots)
    }

    /// Phases 1 and 2. False when the transaction ends with them.
    fn request_phases(&mut self, profile: &Profile, request: &Request<'_>) -> bool {
        let program = &*profile.program;
        self.fill_head(program, request);
        self.phase(profile, 0) && {
            self.fill_body(program, request);
            self.phase(profile, 1)
        }
    }

    /// Phases 3 and 4: the latter runs for answers whose body was not read as well, since rules that add scores up stand there.
    fn answer_phases(&mut self, profile: &Profile, response: &Response<'_>) -> bool {
        let program = &*profile.program;
        self.fill_answer_head(program, response);
        self.phase(profile, 2) && {
            self.fill_answer_body(program, response);
            self.phase(profile, 3)
        }
    }

    /// What rules want to see of the answer, as far as the caller will hand it in.
    fn wanted(&self, profile: &Profile) -> Wanted {
        let answer = &profile.program.answer;
        let ended = self.outcome.verdict == Verdict::Block
            || self.outcome.limit != Limit::None
            || self.controls.mode == EngineMode::Off;
        if ended || !profile.answers || !(answer.rules || answer.last) {
            Wanted::Nothing
        } else if answer.body && self.controls.response_body_access && self.controls.allowed != Allowed::All {
            Wanted::Body
        } else {
            Wanted::Head
        }
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
            self.reach.forget();
            self.cache_serial = program.serial;
            self.values.unicode.clone_from(&program.unicode_map);
            self.values.reset(program.chains.len());
        }
        self.values.begin(program.chains.len());
        self.used = program.used;
        self.work_max = profile.work_max;
        for list in &mut self.entries {
            list.clear();
        }
        self.slots.clear();
        self.slots.resize(program.slots.len(), SlotValue::Unset);
        self.named.clear();
        self.opened.clear();
        self.files_bytes = 0;
        self.clock = program.reads_clock.then(Clock::read);
        self.pinned.clear();
        for (slot, pin) in &profile.pinned {
            self.pinned.push(*slot);
            self.slots[*slot as usize] = match pin {
                Pin::Int(n) => SlotValue::Int(*n),
                Pin::Text(text) => SlotValue::Value(self.values.intern(text)),
            };
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
            response_body_access: program.settings.response_body_access,
            response_body_bytes_max: program.settings.response_body_bytes_max,
            response_processor: None,
            allowed: Allowed::Nothing,
        };
    }

    /// The number in the first of some slots that is set.
    fn score(&self, slots: &[u32]) -> i32 {
        let score = slots.iter().find_map(|slot| self.slot_int(*slot));
        i32::try_from(score.unwrap_or(0)).unwrap_or(i32::MAX)
    }

    fn finish(&mut self, program: &Program, score_slots: &[u32]) -> Outcome {
        debug_assert_eq!(self.cache_serial, program.serial);
        self.outcome.score = self.score(score_slots);
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

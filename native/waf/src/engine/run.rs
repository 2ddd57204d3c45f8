//! The loop over the rules of a phase.

use super::Limit;
use super::reach::Quiets;
use super::transaction::{Allowed, Candidate, Entry, Transaction, Verdict};
use super::values::{ValueId, Values};
use crate::bytes::to_int;
use crate::operator::{GIVEN_UP, Groups, Probe, RegexCaches};
use crate::profile::Profile;
use crate::program::answer::LAST_PHASE;
use crate::program::bits;
use crate::program::prefilter::{Class, Prefilter};
use crate::program::{Gate, GateOf, Phase, Program, Rule, Step, Test, group_of};
use crate::seclang::action::Disruptive;
use crate::seclang::setting::EngineMode;

/// Work of a visit of a rule beside what its operator looks at.
const VISIT_WORK: u64 = 4;
/// Ids of values that stand in keys of facts have so many bits.
const KNOWN_ID_BITS: u32 = 20;
/// Most values that MATCHED_VARS keeps.
const MATCHED_MAX: usize = 4096;

impl Transaction {
    /// Runs one phase (0 to 4). False when the transaction ends with it.
    pub(crate) fn phase(&mut self, profile: &Profile, phase: usize) -> bool {
        let program = &*profile.program;
        if self.controls.mode == EngineMode::Off || self.outcome.limit != Limit::None {
            return false;
        }
        let skipped = match self.controls.allowed {
            Allowed::Nothing => false,
            Allowed::RequestPhases => phase < 2,
            Allowed::All => phase < 4,
        };
        if skipped {
            return true;
        }
        self.values.use_group(group_of(phase));
        self.search_first(program, phase, profile.work_max);
        let rules = &program.phases[phase].rules;
        let mut at = 0;
        loop {
            if self.outcome.work > profile.work_max {
                self.exceed(Limit::Work);
                return false;
            }
            let next = self.visits.next(at, &self.removed[phase]);
            if let Some(from) = self.reach.missing(at, next) {
                self.search_rest(program, phase, from, profile.work_max);
                continue;
            }
            let Some(index) = next else { break };
            at = index + 1;
            let rule = &rules[index];
            self.outcome.work += VISIT_WORK;
            if let Some(gate) = rule
                .steps
                .first()
                .and_then(|s| s.test.as_ref())
                .and_then(|t| t.gate.as_ref())
                && !self.opens(gate)
            {
                continue;
            }
            if !self.rule(program, phase, index, rule) {
                continue;
            }
            if self.outcome.work > profile.work_max {
                self.exceed(Limit::Work);
                return false;
            }
            if self.controls.mode == EngineMode::Off {
                return false;
            }
            if let Some(jump) = rule.jump {
                at = jump as usize;
            }
            match self.disrupt(phase, rule) {
                Flow::GoOn => {}
                Flow::EndPhase => return true,
                Flow::EndTransaction => return false,
            }
        }
        true
    }

    /// False when the comparison of a rule cannot hold.
    #[inline]
    pub(super) fn opens(&self, gate: &Gate) -> bool {
        let number = match &gate.of {
            GateOf::Slot { slot, count } => match self.slot_int(*slot) {
                set if *count => i64::from(set.is_some()),
                Some(n) => n,
                None => return false,
            },
            // Removed targets are counted by the rule itself.
            _ if !self.target_removals.is_empty() => return true,
            GateOf::Count(var, None) => self.entries[*var as usize].len() as i64,
            GateOf::Count(var, Some(key)) => {
                let named = |e: &&Entry| self.values.get(e.key).eq_ignore_ascii_case(key);
                self.entries[*var as usize].iter().filter(named).count() as i64
            }
            GateOf::Value(var) => match self.entries[*var as usize][..] {
                [] => return false,
                [e] => to_int(self.values.get(e.value)),
                _ => return true,
            },
        };
        (gate.compare)(number, gate.constant) != gate.negated
    }

    /// Adds the wanted rules that one of their values calls for to those worth a visit. Ends early when that alone takes too much work;
    /// then no more rules run.
    pub(super) fn find_visits(&mut self, program: &Program, phase: usize, work_max: u64) {
        let set = self.reach.number(phase).unwrap_or_else(|| {
            self.reach.forget();
            self.values.forget_words();
            self.reach.number(phase).unwrap_or_default()
        });
        let Self {
            values,
            entries,
            visits,
            outcome,
            caches,
            groups,
            reach,
            ..
        } = self;
        let place = PhaseOf {
            program,
            phase: &program.phases[phase],
            prefilter: &program.prefilters[group_of(phase)],
            wanted: &reach.wanted.0,
            set,
        };
        let words = visits.0.len();
        for (var, classes) in &place.phase.classes {
            if !classes.iter().any(|c| bits::meet(&c.rules.0, place.wanted)) {
                continue;
            }
            for entry in &entries[*var as usize] {
                if outcome.work > work_max {
                    return;
                }
                let mut scratch = Scratch {
                    quiets: &mut reach.quiets,
                    caches,
                    groups,
                    work: &mut outcome.work,
                };
                if (entry.key | entry.value) >> KNOWN_ID_BITS != 0 {
                    let mut own = vec![0; words];
                    find_rules(&place, classes, *entry, values, &mut scratch, &mut own);
                    visits.add_words(&own);
                    continue;
                }
                let key = (set as u64) << 48
                    | (*var as u64) << 40
                    | u64::from(entry.key) << KNOWN_ID_BITS
                    | u64::from(entry.value);
                let known = values.words_of(key, words, |values, own| {
                    find_rules(&place, classes, *entry, values, &mut scratch, own);
                });
                visits.add_words(values.words(known, words));
            }
        }
    }

    /// Runs a rule with its chain. True when all of it matched.
    fn rule(&mut self, program: &Program, phase: usize, index: usize, rule: &Rule) -> bool {
        self.matched.clear();
        self.rule_running = (phase as u8, index as u32);
        if let Some(expression) = &rule.expression
            && !self.holds(expression)
        {
            return false;
        }
        let single = rule.steps.len() == 1;
        for (i, step) in rule.steps.iter().enumerate() {
            let bit = (i == 0 && rule.prefiltered).then_some((index, rule.search_chain));
            let Some(test) = &step.test else {
                self.act(program, step);
                continue;
            };
            if !self.step(program, phase, step, test, bit, (single && rule.log).then_some(rule)) {
                return false;
            }
        }
        if rule.severity < self.highest_severity {
            self.highest_severity = rule.severity;
        }
        if rule.log {
            self.outcome.matches += 1;
            if !single || rule.steps[0].test.is_none() {
                self.report(program, phase, rule);
            }
        } else {
            self.note(program, phase, rule);
        }
        true
    }

    /// Runs one condition on all its values. Each value that matches acts at once.
    fn step(
        &mut self,
        program: &Program,
        phase: usize,
        step: &Step,
        test: &Test,
        rule_bit: Option<(usize, u16)>,
        report: Option<&Rule>,
    ) -> bool {
        let bit = rule_bit.map(|(bit, _)| bit);
        let search_chain = rule_bit.map_or(0, |(_, chain)| chain);
        let mut list = std::mem::take(&mut self.candidates);
        list.clear();
        self.collect(program, phase, test, &mut list);
        let mut any = false;
        for candidate in &list {
            // What is left unseen is told: the phase ends with the limit.
            if self.outcome.work > self.work_max {
                break;
            }
            if test.multi_match {
                let mut value = candidate.value;
                any |= self.value(
                    program,
                    phase,
                    step,
                    test,
                    bit,
                    report,
                    Candidate { value, ..*candidate },
                );
                for t in &program.chains[usize::from(test.chain)].steps {
                    let next = self.values.apply(value, *t, &mut self.outcome.work);
                    if next != value {
                        value = next;
                        any |= self.value(
                            program,
                            phase,
                            step,
                            test,
                            bit,
                            report,
                            Candidate { value, ..*candidate },
                        );
                    }
                }
            } else {
                // Most values of a rule that is visited for one of them are done here.
                if bit.is_some() {
                    let steps = (search_chain, &program.chains[usize::from(search_chain)]);
                    let seen = self.values.transform(candidate.value, steps, &mut self.outcome.work);
                    if !self.hit(program, phase, seen, bit) {
                        continue;
                    }
                }
                let value = self.values.transform(
                    candidate.value,
                    (test.chain, &program.chains[usize::from(test.chain)]),
                    &mut self.outcome.work,
                );
                any |= self.value(
                    program,
                    phase,
                    step,
                    test,
                    bit,
                    report,
                    Candidate { value, ..*candidate },
                );
            }
        }
        self.candidates = list;
        any
    }

    /// False when the prefilter knows that a rule cannot match a value.
    #[inline]
    fn hit(&mut self, program: &Program, phase: usize, value: ValueId, bit: Option<usize>) -> bool {
        let Some(bit) = bit else { return true };
        let prefilter = &program.prefilters[group_of(phase)];
        let hits = self.values.hits(value, prefilter, &mut self.outcome.work);
        let bit = program.phases[phase].first_word * 64 + bit;
        hits.get(bit / 64).is_some_and(|w| w >> (bit % 64) & 1 == 1)
    }

    #[allow(clippy::too_many_arguments, reason = "one call site each, and all of it is needed")]
    fn value(
        &mut self,
        program: &Program,
        phase: usize,
        step: &Step,
        test: &Test,
        bit: Option<usize>,
        report: Option<&Rule>,
        c: Candidate,
    ) -> bool {
        if !self.hit(program, phase, c.value, bit) {
            return false;
        }
        let mut argument = std::mem::take(&mut self.text);
        argument.clear();
        if let Some(text) = &test.argument {
            self.expand(program, text, &mut argument);
        }
        self.groups.clear();
        let names = test.operator.names();
        let possible = test.needs.are_nothing() || {
            let present = *self.values.present(c.value);
            test.needs.allow(self.values.get(c.value), &present)
        };
        let mut probe = Probe {
            value: self.values.get(c.value),
            argument: &argument,
            capture: (step.capture || !names.is_empty()) && !test.negated,
            groups: &mut self.groups,
            caches: &mut self.caches,
            work: &mut self.outcome.work,
        };
        let hit = (possible && test.operator.matches(&mut probe)) != test.negated;
        self.text = argument;
        if !hit {
            return false;
        }
        if self.matched.len() < MATCHED_MAX {
            self.matched.push(c);
        } else if let Some(last) = self.matched.last_mut() {
            *last = c;
        }
        if !names.is_empty() {
            self.name_groups(names, &c);
        }
        if step.capture && !test.negated {
            self.capture(&c);
        }
        self.act(program, step);
        if let Some(rule) = report {
            self.report(program, phase, rule);
        }
        true
    }

    fn disrupt(&mut self, phase: usize, rule: &Rule) -> Flow {
        if phase == LAST_PHASE {
            // Everything is over: there is nothing left to refuse or to skip.
            return Flow::GoOn;
        }
        let action = match rule.disruptive {
            Disruptive::Pass | Disruptive::Block => return Flow::GoOn,
            Disruptive::Allow => {
                self.controls.allowed = Allowed::All;
                return Flow::EndPhase;
            }
            Disruptive::AllowRequest => {
                self.controls.allowed = Allowed::RequestPhases;
                return Flow::EndPhase;
            }
            Disruptive::AllowPhase => return Flow::EndPhase,
            Disruptive::Deny => 1,
            Disruptive::Drop => 2,
            Disruptive::Redirect => 3,
        };
        if self.outcome.blocking_rule == 0 {
            self.outcome.blocking_rule = rule.id;
            self.outcome.action = action;
        }
        if let Some(trace) = &mut self.trace {
            trace.interruption(phase, rule.id, action);
        }
        if self.controls.mode == EngineMode::On {
            self.outcome.verdict = Verdict::Block;
            return Flow::EndTransaction;
        }
        self.outcome.would_block = true;
        Flow::GoOn
    }
}

/// A phase of a program and what searches for it.
struct PhaseOf<'a> {
    program: &'a Program,
    phase: &'a Phase,
    prefilter: &'a Prefilter,
    /// Rules that the search is for, and their number.
    wanted: &'a [u64],
    set: usize,
}

/// What operators need beside a value.
struct Scratch<'a> {
    quiets: &'a mut Quiets,
    caches: &'a mut RegexCaches,
    groups: &'a mut Groups,
    work: &'a mut u64,
}

/// The rules that one value of a variable calls for: their literals occur in it, and where that can be known beforehand, their first
/// condition matches it. All of it follows from the rules and the bytes of key and value.
fn find_rules(
    of: &PhaseOf<'_>,
    classes: &[Class],
    entry: Entry,
    values: &mut Values,
    scratch: &mut Scratch<'_>,
    visits: &mut [u64],
) {
    let PhaseOf {
        program,
        phase,
        prefilter,
        wanted,
        set,
    } = *of;
    let first = phase.first_word;
    // Found once for all classes.
    let mut own = None;
    for class in classes {
        if let Some(key) = &class.key
            && !values.get(entry.key).eq_ignore_ascii_case(key)
        {
            continue;
        }
        if !bits::meet(&class.rules.0, wanted) {
            continue;
        }
        bits::add(visits, &class.unfiltered.0);
        if class.chains.is_empty() {
            continue;
        }
        let row = match own {
            Some(row) => row,
            None => *own.insert(values.hits_row(entry.value, prefilter, scratch.work)),
        };
        let quiet = scratch.quiets.of(set, class, wanted, values.active(entry.value));
        let (quiet, changing) = scratch.quiets.rules_and_chains(quiet, class);
        bits::add_shared(visits, &values.hits_of(row, prefilter)[first..], quiet);
        for chain in bits::numbers(changing).map(|n| &class.chains[n]) {
            if bits::are_within(&chain.rules.0, wanted, visits) {
                continue;
            }
            let steps = (chain.chain, &program.chains[usize::from(chain.chain)]);
            let value = values.transform(entry.value, steps, scratch.work);
            let row = values.hits_row(value, prefilter, scratch.work);
            bits::add_shared(visits, &values.hits_of(row, prefilter)[first..], &chain.rules.0);
        }
    }
    for (at, ((word, constant), wanted)) in visits.iter_mut().zip(&phase.constant.0).zip(wanted).enumerate() {
        *word &= wanted;
        let mut left = *word & constant;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            left ^= bit;
            let rule = &phase.rules[at * 64 + bit.trailing_zeros() as usize];
            if !matches_first(program, rule, entry.value, values, scratch) {
                *word ^= bit;
            }
        }
    }
}

/// Whether the first condition of a rule matches a value, as [`Transaction::step`] would find.
fn matches_first(program: &Program, rule: &Rule, value: ValueId, values: &mut Values, s: &mut Scratch<'_>) -> bool {
    let Some(test) = rule.steps.first().and_then(|step| step.test.as_ref()) else {
        return true;
    };
    let chain = (test.chain, &program.chains[usize::from(test.chain)]);
    let value = values.transform(value, chain, s.work);
    if !test.needs.are_nothing() {
        let present = *values.present(value);
        if !test.needs.allow(values.get(value), &present) {
            return test.negated;
        }
    }
    let mut probe = Probe {
        value: values.get(value),
        argument: b"",
        capture: false,
        groups: s.groups,
        caches: s.caches,
        work: s.work,
    };
    let before = *probe.work;
    let hit = test.operator.matches(&mut probe);
    if *probe.work >= GIVEN_UP {
        // What was given up is not known: the rule is visited, and gives up there.
        *probe.work = before;
        return true;
    }
    hit != test.negated
}

/// What comes after a match.
enum Flow {
    GoOn,
    EndPhase,
    EndTransaction,
}

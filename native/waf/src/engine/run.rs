//! The loop over the rules of a phase.

use super::Limit;
use super::transaction::{Allowed, Candidate, Entry, Transaction, Verdict};
use super::values::ValueId;
use crate::bytes::to_int;
use crate::operator::Probe;
use crate::profile::Profile;
use crate::program::answer::LAST_PHASE;
use crate::program::{Gate, GateOf, Program, Rule, Step, Test, group_of};
use crate::seclang::action::Disruptive;
use crate::seclang::setting::EngineMode;

/// Work of a visit of a rule beside what its operator looks at.
const VISIT_WORK: u64 = 4;
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

/// What comes after a match.
enum Flow {
    GoOn,
    EndPhase,
    EndTransaction,
}

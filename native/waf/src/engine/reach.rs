//! Which rules of a phase are worth a search: not those that a comparison with a slot is going to skip, as paranoia levels are.
//!
//! That is a guess made before the rules run. The loop over the rules watches itself: when it comes to rules that no search was made for,
//! the search is made up for, so that verdicts never depend on the guess.

use super::facts::{Facts, Words};
use super::transaction::Transaction;
use crate::program::bits::{self, Bits};
use crate::program::prefilter::Class;
use crate::program::{Phase, Program};
use crate::transform::TRANSFORMS;

/// Most sets of searched rules whose findings are kept apart; when there are more, all are forgotten.
pub(super) const KNOWN_MAX: usize = 32;

/// What was searched for in the running phase.
#[derive(Default)]
pub(crate) struct Reach {
    /// Rules of the running phase that no search was made for: from one to before another, in order.
    unsearched: Vec<(usize, usize)>,
    /// How many of these the loop has left behind.
    passed: usize,
    /// Rules that the next search is made for.
    pub wanted: Bits,
    /// What chains change nothing.
    pub quiets: Quiets,
    /// Searched rules by the number under which findings are kept, with their phase.
    known: Vec<(usize, Bits)>,
}

impl Reach {
    /// Another program runs from now on.
    pub fn forget(&mut self) {
        self.known.clear();
        self.quiets.facts.clear();
    }

    fn begin(&mut self) {
        self.unsearched.clear();
        self.passed = 0;
    }

    /// The number of the wanted rules; `None` when there is no room for another one.
    pub fn number(&mut self, phase: usize) -> Option<usize> {
        let known = self
            .known
            .iter()
            .position(|(p, set)| *p == phase && *set == self.wanted);
        if known.is_none() && self.known.len() < KNOWN_MAX {
            self.known.push((phase, self.wanted.clone()));
            return Some(self.known.len() - 1);
        }
        known
    }

    /// From where on a search is missing for rules that the loop comes to next, when it stands at `at` and visits `next`.
    #[inline]
    pub fn missing(&mut self, at: usize, next: Option<usize>) -> Option<usize> {
        while self.unsearched.get(self.passed).is_some_and(|(_, to)| *to <= at) {
            self.passed += 1;
        }
        let (from, _) = *self.unsearched.get(self.passed)?;
        (at >= from || next.is_none_or(|n| n >= from)).then_some(from.max(at))
    }
}

/// For each kind of value (by the transformations that could change it) and each class of targets: which of the wanted rules see the value as
/// it is, and through which chains the others see it. Values are many and their kinds few, so this outlives what is known of values.
pub(crate) struct Quiets {
    facts: Facts,
    room: Vec<u64>,
}

/// Places for kinds.
const QUIETS: usize = 2048;
/// Words that all of them may take.
const QUIET_WORDS_MAX: usize = 16 * 1024;
/// Bits of a transformation's number in a key, and of a class's.
const STEP_BITS: usize = 48;
const CLASS_BITS: usize = 10;

impl Default for Quiets {
    fn default() -> Self {
        Self {
            facts: Facts::new(QUIETS, QUIET_WORDS_MAX),
            room: Vec::new(),
        }
    }
}

impl Quiets {
    /// Finds out about a kind of value. `set` is the number of the wanted rules.
    #[inline]
    pub fn of(&mut self, set: usize, class: &Class, wanted: &[u64], active: u64) -> Words {
        const { assert!(TRANSFORMS.len() <= STEP_BITS && KNOWN_MAX <= 1 << (64 - STEP_BITS - CLASS_BITS)) };
        let active = active & class.steps;
        // Where there are more classes than keys have numbers for, the others are found out anew each time.
        let key = match class.number >> CLASS_BITS {
            0 => (set as u64) << (STEP_BITS + CLASS_BITS) | (class.number as u64) << STEP_BITS | active,
            _ => return self.find_out(u64::MAX, class, wanted, active),
        };
        match self.facts.get(key) {
            Some(at) => at,
            None => self.find_out(key, class, wanted, active),
        }
    }

    #[cold]
    fn find_out(&mut self, key: u64, class: &Class, wanted: &[u64], active: u64) -> Words {
        self.room.clear();
        self.room.resize(wanted.len() + class.chains.len().div_ceil(64), 0);
        let (rules, chains) = self.room.split_at_mut(wanted.len());
        for (n, chain) in class.chains.iter().enumerate() {
            if chain.steps & active == 0 {
                bits::add_shared(rules, &chain.rules.0, wanted);
            } else if bits::meet(&chain.rules.0, wanted) {
                chains[n / 64] |= 1 << (n % 64);
            }
        }
        if self.facts.full {
            self.facts.clear();
        }
        self.facts.note(key, &self.room)
    }

    /// Rules that see the value as it is, and the other chains; as words.
    #[inline]
    pub fn rules_and_chains(&self, at: Words, class: &Class) -> (&[u64], &[u64]) {
        let rules = class.rules.0.len();
        self.facts
            .words(at, rules + class.chains.len().div_ceil(64))
            .split_at(rules)
    }
}

impl Transaction {
    /// The first search of a phase: for the rules up to the last one that sets what gates compare. When there are none, for all.
    pub(super) fn search_first(&mut self, program: &Program, phase: usize, work_max: u64) {
        let rules = &program.phases[phase];
        self.visits.0.clear();
        self.visits.0.extend_from_slice(&rules.always.0);
        self.reach.begin();
        if rules.settled == 0 {
            self.search_rest(program, phase, 0, work_max);
            return;
        }
        let to = rules.settled.min(rules.rules.len());
        self.reach.unsearched.push((to, rules.rules.len()));
        if rules.searched_before_settled {
            self.want(rules, 0, to);
            self.find_visits(program, phase, work_max);
        }
    }

    /// The search for the rules behind `from` that gates leave in reach; when they are not enough, for all rules behind `from`.
    pub(super) fn search_rest(&mut self, program: &Program, phase: usize, from: usize, work_max: u64) {
        let rules = &program.phases[phase];
        // The second time something behind a gate is reached after all.
        let again = from > rules.settled;
        self.reach.begin();
        self.want(rules, from, rules.rules.len());
        let mut behind = from;
        for (index, to) in rules.gates.iter().map(|(index, to)| (*index as usize, *to as usize)) {
            if again || index < behind || self.removed[phase].has(index) || !self.gate_opens(rules, index) {
                continue;
            }
            self.reach.unsearched.push((index + 1, to));
            self.reach.wanted.remove(index + 1, to);
            behind = to;
        }
        self.find_visits(program, phase, work_max);
    }

    fn gate_opens(&self, rules: &Phase, index: usize) -> bool {
        let step = rules.rules[index].steps.first();
        let gate = step.and_then(|s| s.test.as_ref()).and_then(|t| t.gate.as_ref());
        gate.is_some_and(|g| self.opens(g))
    }

    /// Wants the rules from one to before another.
    fn want(&mut self, rules: &Phase, from: usize, to: usize) {
        let wanted = &mut self.reach.wanted.0;
        wanted.clear();
        wanted.resize(rules.always.0.len(), u64::MAX);
        self.reach.wanted.remove(0, from);
        self.reach.wanted.remove(to, rules.always.0.len() * 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_is_told_where_a_search_is_missing() {
        let reach = || Reach {
            unsearched: vec![(5, 9), (20, 30)],
            ..Reach::default()
        };
        // Still before the gate at 4, on it, and jumped from it.
        assert_eq!(reach().missing(2, Some(4)), None);
        assert_eq!(reach().missing(4, Some(4)), None);
        assert_eq!(reach().missing(9, Some(19)), None);
        // The gate did not jump, is not visited, or something else jumped behind it.
        assert_eq!(reach().missing(5, Some(12)), Some(5));
        assert_eq!(reach().missing(3, Some(12)), Some(5));
        assert_eq!(reach().missing(7, None), Some(7));
        assert_eq!(reach().missing(9, None), Some(20));
        assert_eq!(reach().missing(30, None), None);
    }
}

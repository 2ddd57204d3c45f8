//! The search of a phase: which rules the values call for, before any of them runs.

use super::reach::Quiets;
use super::transaction::{Entry, Transaction};
use super::values::{ValueId, Values};
use crate::operator::{GIVEN_UP, Groups, Probe, RegexCaches};
use crate::program::bits;
use crate::program::prefilter::{Class, Prefilter};
use crate::program::{Phase, Program, Rule, group_of};

/// Ids of values that stand in keys of facts have so many bits.
const KNOWN_ID_BITS: u32 = 20;

impl Transaction {
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

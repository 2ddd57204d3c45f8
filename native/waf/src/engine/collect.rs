//! The values that a condition looks at: targets, exclusions, removals, counts.

use super::transaction::{Candidate, Key, SlotValue, Transaction};
use super::values::ValueId;
use crate::program::{Program, Selector, Target, Test};
use crate::seclang::variable::{Life, Shape, VARIABLES};

/// Work of looking a key up by expression, beside its bytes.
const SELECT_WORK: u64 = 32;

impl Transaction {
    /// The values that a condition looks at, in the order of its targets.
    pub(super) fn collect(&mut self, program: &Program, phase: usize, test: &Test, list: &mut Vec<Candidate>) {
        for target in &test.targets {
            let from = list.len();
            self.collect_target(program, target, list);
            for x in &test.exclusions {
                if x.var == target.var {
                    self.leave_out(program, x, list, from);
                }
            }
            for i in 0..self.target_removals.len() {
                let removal = std::sync::Arc::clone(&self.target_removals[i]);
                let (running_phase, index) = self.rule_running;
                debug_assert_eq!(usize::from(running_phase), phase);
                if removal.target.var == target.var && removal.rules[phase].has(index as usize) {
                    self.leave_out(program, &removal.target, list, from);
                }
            }
            if target.count {
                let value = self.values.intern_int((list.len() - from) as i64);
                list.truncate(from);
                let key = match &target.selector {
                    Selector::Key(k) => Key::Value(self.values.intern(k)),
                    Selector::Slot(slot) => Key::Slot(*slot),
                    Selector::All | Selector::Pattern(_) => Key::None,
                };
                list.push(Candidate {
                    var: target.var,
                    key,
                    value,
                });
            }
        }
    }

    fn collect_target(&mut self, program: &Program, target: &Target, list: &mut Vec<Candidate>) {
        let var = target.var;
        let def = &VARIABLES[var as usize];
        if def.shape == Shape::Store {
            return self.collect_store(program, target, list);
        }
        let computed = matches!(def.life, Life::Rule | Life::Clock);
        if computed && !var.is_written_by_rules() {
            self.running_entries(program, var);
        }
        let entries = std::mem::take(&mut self.entries[var as usize]);
        for e in &entries {
            if self.selects(&target.selector, e.key) {
                let key = if def.shape == Shape::One {
                    Key::None
                } else {
                    Key::Value(e.key)
                };
                list.push(Candidate {
                    var,
                    key,
                    value: e.value,
                });
            }
        }
        self.entries[var as usize] = entries;
    }

    fn collect_store(&mut self, program: &Program, target: &Target, list: &mut Vec<Candidate>) {
        let var = target.var;
        if let Selector::Slot(slot) = target.selector {
            if let Some(value) = self.slot_value(slot) {
                list.push(Candidate {
                    var,
                    key: Key::Slot(slot),
                    value,
                });
            }
            return;
        }
        let mut add = |transaction: &mut Self, slot: u32| {
            if let Some(value) = transaction.slot_value(slot) {
                list.push(Candidate {
                    var,
                    key: Key::Slot(slot),
                    value,
                });
            }
        };
        match target.selector {
            Selector::Pattern(_) => target.slots.iter().for_each(|slot| add(self, *slot)),
            _ => (0..self.slots.len() as u32)
                .filter(|slot| program.slots.name(*slot).0 == var)
                .for_each(|slot| add(self, slot)),
        }
        for i in 0..self.named.len() {
            let (store, key, value) = self.named[i];
            if store == var && self.selects(&target.selector, key) {
                let value = match value {
                    SlotValue::Unset => continue,
                    SlotValue::Int(n) => self.values.intern_int(n),
                    SlotValue::Value(id) => id,
                };
                list.push(Candidate {
                    var,
                    key: Key::Value(key),
                    value,
                });
            }
        }
    }

    fn selects(&mut self, selector: &Selector, key: ValueId) -> bool {
        match selector {
            Selector::All => true,
            Selector::Key(k) => self.values.get(key).eq_ignore_ascii_case(k),
            Selector::Slot(_) => false,
            Selector::Pattern(p) => {
                let text = self.values.get(key);
                self.outcome.work += SELECT_WORK + text.len() as u64;
                p.is_match(text, &mut self.caches)
            }
        }
    }

    /// Removes the values that an exclusion means from the end of the list.
    fn leave_out(&mut self, program: &Program, x: &Target, list: &mut Vec<Candidate>, from: usize) {
        let mut kept = from;
        for i in from..list.len() {
            let c = list[i];
            let out = match (&x.selector, c.key) {
                (Selector::All, _) => true,
                (Selector::Slot(a), Key::Slot(b)) => *a == b,
                (selector, Key::Value(key)) => self.selects(selector, key),
                (Selector::Pattern(p), Key::Slot(slot)) => p.is_match(program.slots.name(slot).1, &mut self.caches),
                _ => false,
            };
            if !out {
                list[kept] = c;
                kept += 1;
            }
        }
        list.truncate(kept);
    }
}

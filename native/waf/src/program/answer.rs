//! What the phases after the request need of it: found when rules are compiled, so that little is kept while an answer is awaited.

use super::bits::Bits;
use super::slots::Slots;
use super::{
    Destination, Gate, GateOf, PHASES, Persist, Phase, Piece, Rule, Selector, Set, Step, Target, TargetRemoval, Text,
};
use crate::operator::GROUPS_MAX;
use crate::seclang::variable::{Life, Shape, VARIABLE_COUNT, Var};

/// The first phase (0-based) that sees the answer.
pub const ANSWER_PHASE: usize = 2;
/// The phase (0-based) that ends every transaction.
pub const LAST_PHASE: usize = 4;

/// What phases 3 to 5 read, and whether they exist.
#[derive(Debug, Default)]
pub struct Answer {
    /// Some rule runs in phase 3 or 4.
    pub rules: bool,
    /// Some rule runs in phase 5.
    pub last: bool,
    /// Some rule of phases 3 to 5 looks into the answer's body.
    pub body: bool,
    /// Variables of the request that rules of these phases read.
    pub variables: Vec<Var>,
    /// Slots that rules of these phases read.
    pub slots: Bits,
    /// Some rule of phase 5 writes a persistent collection.
    pub persists: bool,
    /// Variables whose names were made when rules ran are read too.
    pub named: bool,
}

impl Answer {
    pub(super) fn of(phases: &[Phase; PHASES], slots: &Slots, score_slots: &[u32]) -> Self {
        let mut found = Found {
            variables: [false; VARIABLE_COUNT],
            slots: Bits::new(slots.len()),
            names: slots,
            named: false,
            captured: false,
        };
        for slot in score_slots {
            found.slots.add(*slot as usize);
        }
        for phase in &phases[ANSWER_PHASE..] {
            for rule in &phase.rules {
                found.rule(rule);
            }
        }
        let has = |v: Var| found.variables[v as usize];
        let body = [
            Var::ResponseBody,
            Var::ResponseArgs,
            Var::ResponseContentLength,
            Var::OutboundDataError,
        ];
        Self {
            rules: phases[ANSWER_PHASE..LAST_PHASE].iter().any(|p| !p.rules.is_empty()),
            last: !phases[LAST_PHASE].rules.is_empty(),
            persists: phases[LAST_PHASE].rules.iter().flat_map(|r| &r.steps).any(|s| {
                let store = |to: &Destination| match to {
                    Destination::Slot(slot) => slots.name(*slot).0,
                    Destination::Named(store, _) => *store,
                };
                !s.persists.is_empty() || s.sets.iter().any(|(to, _)| store(to) != Var::Tx)
            }),
            body: body.into_iter().any(has),
            variables: crate::seclang::variable::VARIABLES
                .iter()
                .filter(|d| has(d.var) && (matches!(d.life, Life::Head | Life::Body) || d.var.is_written_by_rules()))
                .map(|d| d.var)
                .collect(),
            slots: found.slots,
            named: found.named,
        }
    }
}

struct Found<'a> {
    variables: [bool; VARIABLE_COUNT],
    slots: Bits,
    names: &'a Slots,
    named: bool,
    /// The running rule has written TX.0 to TX.9 itself.
    captured: bool,
}

impl Found<'_> {
    fn rule(&mut self, rule: &Rule) {
        self.captured = false;
        for var in rule.expression.iter().flat_map(|e| &e.variables) {
            self.variables[*var as usize] = true;
        }
        for step in &rule.steps {
            self.step(step);
        }
        self.text(&rule.message);
        self.text(&rule.log_data);
    }

    fn step(&mut self, step: &Step) {
        if let Some(test) = &step.test {
            for t in test.targets.iter().chain(&test.exclusions) {
                self.target(t);
            }
            if let Some(text) = &test.argument {
                self.text(text);
            }
            if let Some(Gate {
                of: GateOf::Slot { slot, .. },
                ..
            }) = &test.gate
            {
                self.slot(*slot);
            }
        }
        self.captured |= step.capture;
        for action in &step.persists {
            match action {
                Persist::Open(_, key, _) => self.text(key),
                Persist::Expire(_, name, seconds) => {
                    self.text(name);
                    self.text(seconds);
                }
                Persist::Deprecate(_, name, ..) => self.text(name),
            }
        }
        for (to, what) in &step.sets {
            match (to, what) {
                (Destination::Slot(slot), Set::Add(_) | Set::AddText(..)) => self.slot(*slot),
                (Destination::Slot(_), _) => {}
                // Any variable of the store may be the one that is changed.
                (Destination::Named(store, name), _) => {
                    self.text(name);
                    self.store(*store);
                }
            }
            if let Set::Text(text) | Set::AddText(text, _) = what {
                self.text(text);
            }
        }
    }

    fn target(&mut self, t: &Target) {
        self.variables[t.var as usize] = true;
        match &t.selector {
            Selector::Slot(slot) => self.slot(*slot),
            Selector::All | Selector::Pattern(_) if t.var.def().shape == Shape::Store => self.store(t.var),
            _ => {}
        }
    }

    fn text(&mut self, text: &Text) {
        for piece in &text.0 {
            match piece {
                Piece::Text(_) => {}
                Piece::Slot(slot) => self.slot(*slot),
                Piece::Value(var, _) => self.variables[*var as usize] = true,
            }
        }
    }

    fn slot(&mut self, slot: u32) {
        if !(self.captured && (slot as usize) < GROUPS_MAX) {
            self.slots.add(slot as usize);
        }
    }

    fn store(&mut self, store: Var) {
        self.named = true;
        for slot in 0..self.names.len() {
            if self.names.name(slot as u32).0 == store {
                self.slots.add(slot);
            }
        }
    }
}

/// True when a removal concerns phases that see the answer.
pub(crate) fn concerns_answer(removal: &TargetRemoval) -> bool {
    removal.rules[ANSWER_PHASE..].iter().any(|bits| !bits.is_empty())
}

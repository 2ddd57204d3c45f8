//! What a match does: `setvar`, `capture`, `ctl`, reports.

use super::report::{Shown, is_secret};
use super::transaction::{Candidate, Entry, Key, SlotValue, Transaction};
use crate::bytes::to_int;
use crate::program::{Control, Destination, Persist, Piece, Program, Rule, Set, Step};
use crate::seclang::ctl::Ctl;
use crate::seclang::setting::EngineMode;
use crate::seclang::variable::Var;

/// Most variables with names that are known only when rules run.
const NAMED_MAX: usize = 4096;
/// Most removed targets of one transaction.
const TARGET_REMOVALS_MAX: usize = 4096;

/// Texts of a match.
pub(super) struct Told {
    pub message: Vec<u8>,
    pub variable: Vec<u8>,
}

impl Transaction {
    /// What happens once for each value that matched a step.
    pub(crate) fn act(&mut self, program: &Program, step: &Step) {
        let opens = |p: &&Persist| matches!(p, Persist::Open(..));
        for action in step.persists.iter().filter(opens) {
            self.persist(program, action);
        }
        for (to, what) in &step.sets {
            self.set(program, to, what);
        }
        for c in &step.controls {
            self.control(c);
        }
        for action in step.persists.iter().filter(|p| !opens(p)) {
            self.persist(program, action);
        }
    }

    /// Writes the groups of the last match to TX.0 to TX.9.
    pub(crate) fn capture(&mut self, matched: &Candidate) {
        let groups = std::mem::take(&mut self.groups);
        if let Some(text) = groups.said() {
            self.slots[0] = SlotValue::Value(self.values.intern(text));
        }
        for (i, range) in groups.all().iter().enumerate() {
            let id = self.values.intern_part(matched.value, range.clone());
            self.slots[i] = SlotValue::Value(id);
        }
        self.groups = groups;
    }

    /// Writes groups behind the first to ARGS_PATH, under their names.
    pub(crate) fn name_groups(&mut self, names: &[String], matched: &Candidate) {
        let groups = std::mem::take(&mut self.groups);
        for (name, range) in names.iter().zip(groups.all().iter().skip(1)) {
            let entry = Entry {
                key: self.values.intern(name.as_bytes()),
                value: self.values.intern_part(matched.value, range.clone()),
            };
            let list = &mut self.entries[Var::ArgsPath as usize];
            list.retain(|e| e.key != entry.key);
            list.push(entry);
        }
        self.groups = groups;
    }

    fn set(&mut self, program: &Program, to: &Destination, what: &Set) {
        let current = match to {
            Destination::Slot(slot) if self.pinned.contains(slot) => return,
            Destination::Slot(slot) => self.slots[*slot as usize],
            Destination::Named(store, name) => {
                let mut text = std::mem::take(&mut self.text);
                text.clear();
                self.expand(program, name, &mut text);
                text.make_ascii_lowercase();
                let next = match program.slots.find(*store, &text) {
                    Some(slot) => Destination::Slot(slot),
                    None => {
                        // Names that are made by rules are few, unless a client wants them to be many.
                        self.outcome.work += self.named.len() as u64 / 2;
                        let id = self.values.intern(&text);
                        // Only an open collection needs the name: without one nothing is allocated.
                        let name = if self.opened.is_empty() {
                            Vec::new()
                        } else {
                            text.clone()
                        };
                        self.text = text;
                        let held = self.named.iter().find(|(s, k, _)| s == store && *k == id).map(|n| n.2);
                        let held = held.unwrap_or_default();
                        let value = self.changed(program, held, what);
                        let value = self.shared(program, *store, &name, (held, value), what);
                        self.put_named(*store, id, value);
                        return;
                    }
                };
                self.text = text;
                return self.set(program, &next, what);
            }
        };
        let value = self.changed(program, current, what);
        if let Destination::Slot(slot) = to {
            let (store, name) = program.slots.name(*slot);
            self.slots[*slot as usize] = self.shared(program, store, name, (current, value), what);
        }
    }

    /// What a written value is then: others may have written the same variable of an open persistent collection.
    fn shared(
        &mut self,
        program: &Program,
        store: Var,
        name: &[u8],
        change: (SlotValue, SlotValue),
        what: &Set,
    ) -> SlotValue {
        if self.opened.iter().any(|(s, _)| *s == store) {
            self.share(
                program,
                store,
                name,
                change,
                matches!(what, Set::Add(_) | Set::AddText(..)),
            )
        } else {
            change.1
        }
    }

    pub(super) fn put_named(&mut self, store: Var, key: u32, value: SlotValue) {
        if let Some(at) = self.named.iter().position(|(s, k, _)| *s == store && *k == key) {
            if value == SlotValue::Unset {
                self.named.remove(at);
            } else {
                self.named[at].2 = value;
            }
        } else if value != SlotValue::Unset && self.named.len() < NAMED_MAX {
            self.named.push((store, key, value));
        }
    }

    fn changed(&mut self, program: &Program, current: SlotValue, what: &Set) -> SlotValue {
        match what {
            Set::Unset => SlotValue::Unset,
            Set::Number(n) => SlotValue::Int(*n),
            Set::Add(n) => SlotValue::Int(self.number(current).saturating_add(*n)),
            Set::Text(text) | Set::AddText(text, _) => {
                let mut out = std::mem::take(&mut self.text);
                out.clear();
                self.expand(program, text, &mut out);
                let value = match what {
                    Set::AddText(_, sign) => {
                        SlotValue::Int(self.number(current).saturating_add(to_int(&out).saturating_mul(*sign)))
                    }
                    _ => SlotValue::Value(self.values.intern(&out)),
                };
                self.text = out;
                value
            }
        }
    }

    fn number(&self, value: SlotValue) -> i64 {
        match value {
            SlotValue::Unset => 0,
            SlotValue::Int(n) => n,
            SlotValue::Value(id) => to_int(self.values.get(id)),
        }
    }

    fn control(&mut self, c: &Control) {
        match c {
            Control::Remove(rules) => {
                for (to, from) in self.removed.iter_mut().zip(rules.iter()) {
                    to.union(from);
                }
            }
            Control::RemoveTarget(removal) => {
                if self.target_removals.len() < TARGET_REMOVALS_MAX {
                    self.target_removals.push(std::sync::Arc::clone(removal));
                }
            }
            Control::Engine(ctl) => match ctl {
                // A rule cannot make a route that only detects refuse.
                Ctl::Engine(EngineMode::On) => {}
                Ctl::Engine(mode) => self.controls.mode = *mode,
                Ctl::RequestBodyAccess(on) => self.controls.body_access = *on,
                Ctl::RequestBodyLimit(n) => self.controls.body_bytes_max = *n,
                Ctl::RequestBodyProcessor(p) => {
                    self.controls.processor = Some(*p);
                    self.put(Var::ReqbodyProcessor, p.name().as_bytes());
                }
                Ctl::ForceRequestBody(on) => self.controls.force_body = *on,
                Ctl::ResponseBodyAccess(on) => self.controls.response_body_access = *on,
                Ctl::ResponseBodyLimit(n) => self.controls.response_body_bytes_max = *n,
                Ctl::ResponseBodyProcessor(p) => self.controls.response_processor = Some(*p),
                Ctl::Nothing | Ctl::Remove(_) | Ctl::RemoveTarget(..) => {}
            },
        }
    }

    /// The message of a rule, filled in, and the full name of what it matched last.
    pub(super) fn told_texts(&mut self, program: &Program, rule: &Rule) -> Told {
        let mut message = Vec::new();
        self.expand(program, &rule.message, &mut message);
        let mut variable = Vec::new();
        if let Some(m) = &self.matched.last().copied() {
            self.push_name(program, m, &mut variable);
        }
        Told { message, variable }
    }

    /// Leaves a report of a match.
    pub(crate) fn report(&mut self, program: &Program, phase: usize, rule: &Rule) {
        self.note(program, phase, rule);
        if self.reports.is_full() {
            return;
        }
        let mut message = std::mem::take(&mut self.text);
        message.clear();
        self.expand(program, &rule.message, &mut message);
        let mut name = std::mem::take(&mut self.name);
        name.clear();
        let last = self.matched.last().copied();
        if let Some(m) = &last {
            self.push_name(program, m, &mut name);
        }
        let value = match &last {
            None => Shown::Plain(b""),
            Some(m) => {
                let key = match m.key {
                    Key::Value(id) => self.values.get(id),
                    _ => b"",
                };
                let bytes = self.values.get(m.value);
                let hidden = |(var, name): &(Var, Vec<u8>)| *var == m.var && key.eq_ignore_ascii_case(name);
                if is_secret(m.var, key) || program.hidden.iter().any(hidden) || rule.steps.iter().any(|s| s.hides) {
                    if rule.message.0.iter().any(|p| !matches!(p, Piece::Text(_))) {
                        mask(&mut message, bytes);
                    }
                    Shown::Masked(bytes.len())
                } else {
                    Shown::Plain(bytes)
                }
            }
        };
        let phase = u8::try_from(phase + 1).unwrap_or(0);
        self.reports.push(rule.id, rule.severity, phase, &message, &name, value);
        self.text = message;
        self.name = name;
    }
}

/// Replaces a value that must not be shown in a message that macros have put it into. Short ones could stand there by chance.
fn mask(message: &mut Vec<u8>, value: &[u8]) {
    if value.len() < 4 {
        return;
    }
    while let Some(at) = memchr::memmem::find(message, value) {
        message.splice(at..at + value.len(), *b"<masked>");
        if b"<masked>".windows(value.len()).any(|w| w == value) {
            return;
        }
    }
}

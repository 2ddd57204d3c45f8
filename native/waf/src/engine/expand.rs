//! Filling macros in, and reading variables that change while rules run.

use super::transaction::{Candidate, Entry, Key, SlotValue, Transaction};
use super::values::ValueId;
use crate::program::{Piece, Program, Text};
use crate::seclang::action_arguments::SEVERITIES;
use crate::seclang::variable::{Life, Var};

/// Most bytes of a filled-in text.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

impl Transaction {
    /// Appends a text to `out`, up to [`TEXT_BYTES_MAX`].
    pub(crate) fn expand(&mut self, program: &Program, text: &Text, out: &mut Vec<u8>) {
        for piece in &text.0 {
            match piece {
                Piece::Text(t) => out.extend_from_slice(t),
                Piece::Slot(slot) => match self.slots[*slot as usize] {
                    SlotValue::Unset => {}
                    SlotValue::Int(n) => crate::bytes::push_int(out, n),
                    SlotValue::Value(id) => out.extend_from_slice(self.values.get(id)),
                },
                Piece::Value(var, key) => self.expand_value(program, *var, key, out),
            }
            if out.len() > TEXT_BYTES_MAX {
                out.truncate(TEXT_BYTES_MAX);
                return;
            }
        }
    }

    fn expand_value(&mut self, program: &Program, var: Var, key: &[u8], out: &mut Vec<u8>) {
        match var {
            Var::MatchedVar => {
                if let Some(m) = self.matched.last() {
                    out.extend_from_slice(self.values.get(m.value));
                }
            }
            Var::MatchedVarName => {
                if let Some(m) = self.matched.last() {
                    self.push_name(program, m, out);
                }
            }
            Var::MatchedVars => {
                if let Some(m) = self.matched.first() {
                    out.extend_from_slice(self.values.get(m.value));
                }
            }
            Var::Rule => self.push_rule(program, key, out),
            Var::HighestSeverity => crate::bytes::push_int(out, i64::from(self.highest_severity)),
            _ if var.def().life == Life::Clock => {
                if let Some(e) = self.clock_entry(var) {
                    out.extend_from_slice(self.values.get(e.value));
                }
            }
            _ => {
                let list = &self.entries[var as usize];
                let found = if key.is_empty() {
                    list.first()
                } else {
                    list.iter().find(|e| self.values.get(e.key).eq_ignore_ascii_case(key))
                };
                if let Some(e) = found {
                    out.extend_from_slice(self.values.get(e.value));
                }
            }
        }
    }

    fn push_rule(&self, program: &Program, key: &[u8], out: &mut Vec<u8>) {
        let (phase, index) = self.rule_running;
        let Some(rule) = program.phases[usize::from(phase)].rules.get(index as usize) else {
            return;
        };
        match key {
            b"id" => crate::bytes::push_int(out, i64::from(rule.id)),
            b"msg" => out.extend_from_slice(rule.message_text.as_bytes()),
            b"severity" => out.extend_from_slice(
                SEVERITIES
                    .get(usize::from(rule.severity))
                    .copied()
                    .unwrap_or("")
                    .as_bytes(),
            ),
            _ => {}
        }
    }

    /// Appends the full name of a matched value, as in `ARGS:q`.
    pub(crate) fn push_name(&self, program: &Program, m: &Candidate, out: &mut Vec<u8>) {
        out.extend_from_slice(m.var.name().as_bytes());
        let key = match m.key {
            Key::None => return,
            Key::Value(id) => self.values.get(id),
            Key::Slot(slot) => program.slots.name(slot).1,
        };
        out.push(b':');
        out.extend_from_slice(key);
    }

    /// The bytes of a slot as a value.
    pub(crate) fn slot_value(&mut self, slot: u32) -> Option<ValueId> {
        match self.slots[slot as usize] {
            SlotValue::Unset => None,
            SlotValue::Int(n) => Some(self.values.intern_int(n)),
            SlotValue::Value(id) => Some(id),
        }
    }

    /// The number of a slot; 0 when unset.
    pub(crate) fn slot_int(&self, slot: u32) -> Option<i64> {
        match self.slots[slot as usize] {
            SlotValue::Unset => None,
            SlotValue::Int(n) => Some(n),
            SlotValue::Value(id) => Some(crate::bytes::to_int(self.values.get(id))),
        }
    }

    /// Values that are computed when a rule asks for them.
    pub(crate) fn running_entries(&mut self, program: &Program, var: Var) {
        let mut list = std::mem::take(&mut self.entries[var as usize]);
        list.clear();
        match var {
            Var::MatchedVar => {
                if let Some(m) = self.matched.last() {
                    list.push(Entry { key: 0, value: m.value });
                }
            }
            Var::MatchedVarName => {
                if let Some(m) = self.matched.last().copied() {
                    let value = self.intern_name(program, &m);
                    list.push(Entry { key: 0, value });
                }
            }
            Var::MatchedVars | Var::MatchedVarsNames => {
                for i in 0..self.matched.len() {
                    let m = self.matched[i];
                    let key = self.intern_name(program, &m);
                    list.push(Entry {
                        key,
                        value: if var == Var::MatchedVars { m.value } else { key },
                    });
                }
            }
            Var::HighestSeverity => {
                let value = self.values.intern_int(i64::from(self.highest_severity));
                list.push(Entry { key: 0, value });
            }
            Var::Rule => {
                for key in [&b"id"[..], b"msg", b"severity"] {
                    let mut text = std::mem::take(&mut self.name);
                    text.clear();
                    self.push_rule(program, key, &mut text);
                    list.push(Entry {
                        key: self.values.intern(key),
                        value: self.values.intern(&text),
                    });
                    self.name = text;
                }
            }
            _ => list.extend(self.clock_entry(var)),
        }
        self.entries[var as usize] = list;
    }

    pub(crate) fn intern_name(&mut self, program: &Program, m: &Candidate) -> ValueId {
        let mut text = std::mem::take(&mut self.name);
        text.clear();
        self.push_name(program, m, &mut text);
        let id = self.values.intern(&text);
        self.name = text;
        id
    }
}

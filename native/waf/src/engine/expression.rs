//! Running an expression over the values of a transaction. What is missing is no error: a comparison with it is false.

use std::net::IpAddr;

use super::transaction::{Candidate, Entry, Key, Transaction};
use super::values::ValueId;
use crate::bytes::{push_int, to_int};
use crate::expression::function::CONCAT_PARTS_MAX;
use crate::expression::node::{Checked, Kind, Node, Source, Test, Value};
use crate::expression::set;
use crate::seclang::variable::{Shape, Var};
use crate::transform::TransformId;

/// The element that `any` and `all` look at, with its variable.
type Current = Option<(Var, Entry)>;

/// Most values that are kept as the reasons of an answer.
const REASONS_MAX: usize = 16;
/// Work of one comparison beside the bytes it looks at.
const COMPARE_WORK: u64 = 4;
/// Most bytes that `concat` makes.
const CONCAT_BYTES_MAX: usize = 1024 * 1024;

impl Transaction {
    /// Whether an expression is true. The first value that made it so is left in `matched`, for the report.
    pub(crate) fn holds(&mut self, expression: &Checked) -> bool {
        let holds = self.node(&expression.root, None, true) && self.outcome.work <= self.work_max;
        self.matched.truncate(usize::from(holds));
        holds
    }

    /// The answer of a condition. Values that made it `wanted` are left behind `matched`.
    fn node(&mut self, node: &Node, current: Current, wanted: bool) -> bool {
        let mark = self.matched.len();
        let holds = match node {
            Node::And(list) => list.iter().all(|n| self.node(n, current, wanted)),
            Node::Or(list) => list.iter().any(|n| self.node(n, current, wanted)),
            Node::Xor(list) => {
                let mut odd = false;
                for n in list {
                    odd ^= self.node(n, current, true);
                }
                odd
            }
            Node::Not(inner) => !self.node(inner, current, !wanted),
            Node::Each(source, inner, all) => self.each(source, inner, *all, wanted),
            Node::Has(source) => self.entry(source, 0).is_some(),
            Node::Compare(value, test) => self.compare(value, test, current),
        };
        if holds != wanted {
            self.matched.truncate(mark);
        } else if let Node::Compare(value, _) = node {
            self.reason(value.source(), current);
        } else if let Node::Has(source) = node
            && let Some(entry) = self.entry(source, 0)
        {
            self.keep_reason((source.var, entry));
        }
        holds
    }

    fn each(&mut self, source: &Source, inner: &Node, all: bool, wanted: bool) -> bool {
        let mut any = false;
        let mut index = 0;
        while let Some(entry) = self.next_entry(source, &mut index) {
            any = true;
            let holds = self.node(inner, Some((source.var, entry)), wanted);
            if holds != all {
                return holds;
            }
        }
        all && any
    }

    /// The next entry of a source from an index on, which is moved behind it.
    fn next_entry(&mut self, source: &Source, index: &mut usize) -> Option<Entry> {
        if self.outcome.work > self.work_max {
            return None;
        }
        let list = &self.entries[source.var as usize];
        while let Some(entry) = list.get(*index) {
            *index += 1;
            let here = match &source.key {
                None => true,
                Some(key) if source.folds => self.values.get(entry.key).eq_ignore_ascii_case(key),
                Some(key) => self.values.get(entry.key) == key.as_slice(),
            };
            if here {
                self.outcome.work += 1;
                return Some(*entry);
            }
        }
        None
    }

    fn entry(&mut self, source: &Source, n: u32) -> Option<Entry> {
        let mut index = 0;
        for _ in 0..n {
            self.next_entry(source, &mut index)?;
        }
        self.next_entry(source, &mut index)
    }

    /// Keeps the value that a comparison is about as a reason of the answer.
    fn reason(&mut self, value: Option<&Value>, current: Current) {
        let found = match value {
            Some(Value::Load(source, n, _)) => self.entry(source, *n).map(|e| (source.var, e)),
            Some(Value::Current) => current,
            _ => None,
        };
        if let Some(found) = found {
            self.keep_reason(found);
        }
    }

    fn keep_reason(&mut self, (var, entry): (Var, Entry)) {
        if self.matched.len() >= REASONS_MAX {
            return;
        }
        let key = if var.def().shape == Shape::One {
            Key::None
        } else {
            Key::Value(entry.key)
        };
        self.matched.push(Candidate {
            var,
            key,
            value: entry.value,
        });
    }

    fn compare(&mut self, value: &Value, test: &Test, current: Current) -> bool {
        // One expression alone may ask each of very many values.
        if self.outcome.work > self.work_max {
            return false;
        }
        self.outcome.work += COMPARE_WORK;
        match test {
            Test::Truth => self.flag(value, current) == Some(true),
            Test::Int(order, n) => self.int(value, current).is_some_and(|v| order.holds(v.cmp(n))),
            Test::Number(set) => self.int(value, current).is_some_and(|v| set.has(v)),
            Test::Address(set, none) => self.address(value, current).is_some_and(|v| set.has(v) != *none),
            _ => match self.bytes(value, current) {
                Some(id) => self.text(id, test),
                None => false,
            },
        }
    }

    fn text(&mut self, id: ValueId, test: &Test) -> bool {
        let value = self.values.get(id);
        match test {
            Test::Bytes(order, text) => order.holds(value.cmp(text)),
            Test::StartsWith(text) => value.starts_with(text),
            Test::EndsWith(text) => value.ends_with(text),
            Test::Text(set) => set.has(value),
            Test::Contains(finder) => {
                self.outcome.work += value.len() as u64;
                finder.find(value).is_some()
            }
            Test::Matches(expression, _) => {
                self.outcome.work += value.len() as u64;
                expression.is_match(value, &mut self.caches)
            }
            Test::Truth | Test::Int(..) | Test::Number(_) | Test::Address(..) => false,
        }
    }

    fn bytes(&mut self, value: &Value, current: Current) -> Option<ValueId> {
        match value {
            Value::Load(source, n, or_empty) => match self.entry(source, *n) {
                Some(entry) => Some(entry.value),
                None => or_empty.then_some(0),
            },
            Value::Current => current.map(|(_, entry)| entry.value),
            Value::Text(text) => Some(self.values.intern(text)),
            Value::Transform(inner, step) => {
                let id = self.bytes(inner, current)?;
                Some(self.values.apply(id, *step, &mut self.outcome.work))
            }
            Value::Repeat(inner, step, rounds) => {
                let id = self.bytes(inner, current)?;
                Some(self.repeated(id, *step, *rounds))
            }
            Value::Substring(inner, from, to) => {
                let id = self.bytes(inner, current)?;
                let len = self.values.get(id).len();
                let (from, to) = (offset(*from, len), to.map_or(len, |to| offset(to, len)));
                Some(self.values.intern_part(id, from..to.max(from)))
            }
            Value::Remove(inner, set) => {
                let id = self.bytes(inner, current)?;
                let mut out = self.taken();
                out.extend(self.values.get(id).iter().filter(|b| !set.has(**b)));
                Some(self.made(out))
            }
            Value::Concat(list) => {
                let mut ids = [0; CONCAT_PARTS_MAX];
                for (id, part) in ids.iter_mut().zip(list) {
                    *id = self.bytes(part, current)?;
                }
                let mut out = self.taken();
                for id in ids.iter().take(list.len()) {
                    let part = self.values.get(*id);
                    out.extend_from_slice(&part[..part.len().min(CONCAT_BYTES_MAX.saturating_sub(out.len()))]);
                }
                Some(self.made(out))
            }
            Value::Print(inner, kind) => self.printed(inner, *kind, current),
            Value::Number(_)
            | Value::Length(_)
            | Value::Count(_)
            | Value::Address(_)
            | Value::Network(..)
            | Value::Flag(_) => None,
        }
    }

    fn repeated(&mut self, mut id: ValueId, step: TransformId, rounds: u8) -> ValueId {
        for _ in 0..rounds {
            let next = self.values.apply(id, step, &mut self.outcome.work);
            if next == id {
                break;
            }
            id = next;
        }
        id
    }

    fn printed(&mut self, inner: &Value, kind: Kind, current: Current) -> Option<ValueId> {
        use std::io::Write;
        let mut out = self.taken();
        let known = match kind {
            Kind::Int => self.int(inner, current).map(|n| push_int(&mut out, n)),
            Kind::Bool => self
                .flag(inner, current)
                .map(|b| out.extend_from_slice(if b { b"true" } else { b"false" })),
            // Writing to memory does not fail.
            Kind::Ip => self.address(inner, current).and_then(|ip| write!(out, "{ip}").ok()),
            Kind::Bytes => None,
        };
        let id = self.made(out);
        known.map(|()| id)
    }

    /// The transaction's buffer, empty.
    fn taken(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.text);
        out.clear();
        out
    }

    /// Interns what was written to the buffer and puts it back.
    fn made(&mut self, out: Vec<u8>) -> ValueId {
        self.outcome.work += out.len() as u64;
        let id = self.values.intern(&out);
        self.text = out;
        id
    }

    fn int(&mut self, value: &Value, current: Current) -> Option<i64> {
        match value {
            Value::Number(inner) => {
                let id = self.bytes(inner, current)?;
                Some(to_int(self.values.get(id)))
            }
            Value::Length(inner) => {
                let id = self.bytes(inner, current)?;
                i64::try_from(self.values.get(id).len()).ok()
            }
            Value::Count(source) => {
                let (mut n, mut index) = (0, 0);
                while self.next_entry(source, &mut index).is_some() {
                    n += 1;
                }
                Some(n)
            }
            _ => None,
        }
    }

    fn flag(&mut self, value: &Value, current: Current) -> Option<bool> {
        match value {
            Value::Flag(inner) => {
                let id = self.bytes(inner, current)?;
                Some(to_int(self.values.get(id)) != 0)
            }
            _ => None,
        }
    }

    fn address(&mut self, value: &Value, current: Current) -> Option<IpAddr> {
        match value {
            Value::Address(inner) => {
                let id = self.bytes(inner, current)?;
                let text = std::str::from_utf8(self.values.get(id)).ok()?;
                text.trim().parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
            }
            Value::Network(inner, v4, v6) => {
                let ip = self.address(inner, current)?;
                Some(set::network(ip, if ip.is_ipv4() { *v4 } else { *v6 }))
            }
            _ => None,
        }
    }
}

/// An offset within so many bytes; negative ones count from the end.
fn offset(n: i64, len: usize) -> usize {
    match usize::try_from(n) {
        Ok(n) => n.min(len),
        Err(_) => len.saturating_sub(usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX)),
    }
}

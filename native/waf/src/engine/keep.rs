//! What a transaction leaves between its request and its answer. Its memory is used again for the next request meanwhile, so everything
//! that phases 3 to 5 could ask for is written down as bytes: the variables that their rules read, what rules switched and left out.
//!
//! Little-endian: `u8` version, `u64` serial of the program, `u8` mode, `u8` what is skipped, `u8` highest severity, `u8` answer's body
//! is read, `u8` its processor, `u64` its limit; then for each of phases 3 to 5 `u32` number of words and the rules left out; `u32`
//! number of removed targets and theirs; `u32` number of slots, for each `u32` slot and its value; `u32` number of named variables,
//! for each `u8` variable, `u32` length and name, value; `u32` number of open persistent collections, for each `u8` variable, `u32` length
//! and key; then for each request variable that is kept `u32` number of values, for each
//! two texts with `u32` lengths. A value is `u8` 1 and `i64`, or `u8` 2, `u32` length and bytes.

use super::transaction::{Allowed, Entry, SlotValue, Transaction, Wanted};
use crate::profile::Profile;
use crate::program::answer::{ANSWER_PHASE, concerns_answer};
use crate::seclang::setting::{BodyProcessor, EngineMode};
use crate::seclang::variable::VARIABLES;

/// Bytes that hold what any transaction leaves that may leave something. One that would need more is not kept.
pub const KEPT_BYTES_MAX: usize = 256 * 1024;
const VERSION: u8 = 1;
const MODES: [EngineMode; 3] = [EngineMode::On, EngineMode::Off, EngineMode::DetectionOnly];
const ALLOWED: [Allowed; 3] = [Allowed::Nothing, Allowed::RequestPhases, Allowed::All];
const PROCESSORS: [Option<BodyProcessor>; 6] = [
    None,
    Some(BodyProcessor::Urlencoded),
    Some(BodyProcessor::Multipart),
    Some(BodyProcessor::Json),
    Some(BodyProcessor::Xml),
    Some(BodyProcessor::Raw),
];

/// The bytes are not what [`Transaction::keep`] wrote for this program.
pub(super) struct NotKept;

impl Transaction {
    /// After [`Transaction::inspect`]: writes what [`Transaction::respond`] needs, possibly in another thread, and returns its bytes; 0
    /// when no answer is awaited, `None` when `out` or [`KEPT_BYTES_MAX`] is too small for it.
    pub fn keep(&mut self, profile: &Profile, out: &mut [u8]) -> Option<usize> {
        if self.outcome.answer == Wanted::Nothing {
            return Some(0);
        }
        let program = &*profile.program;
        let room = out.len().min(KEPT_BYTES_MAX);
        let mut w = Writer {
            out: &mut out[..room],
            at: 0,
            full: false,
        };
        w.u8(VERSION);
        w.put(&program.serial.to_le_bytes());
        let place = |found: Option<usize>| found.unwrap_or(0) as u8;
        w.u8(place(MODES.iter().position(|m| *m == self.controls.mode)));
        w.u8(place(ALLOWED.iter().position(|a| *a == self.controls.allowed)));
        w.u8(self.highest_severity);
        w.u8(u8::from(self.controls.response_body_access));
        let processor = self.controls.response_processor;
        w.u8(place(PROCESSORS.iter().position(|p| *p == processor)));
        w.put(&self.controls.response_body_bytes_max.to_le_bytes());
        for (own, given) in self.removed.iter().zip(&profile.removed).skip(ANSWER_PHASE) {
            let words: &[u64] = if own == given { &[] } else { &own.0 };
            w.u32(words.len());
            for word in words {
                w.put(&word.to_le_bytes());
            }
        }
        let removals = || self.target_removals.iter().filter(|r| concerns_answer(r));
        let numbers = || removals().filter_map(|r| r.number);
        w.u32(numbers().count());
        for number in numbers() {
            w.u32(number as usize);
        }
        let is_set = |slot: &usize| self.slots.get(*slot).is_some_and(|v| *v != SlotValue::Unset);
        let slots = || program.answer.slots.iter().filter(is_set);
        w.u32(slots().count());
        for slot in slots() {
            w.u32(slot);
            w.value(self, self.slots[slot]);
        }
        let named = if program.answer.named { &self.named[..] } else { &[] };
        w.u32(named.len());
        for (var, key, value) in named {
            w.u8(*var as u8);
            w.text(self.values.get(*key));
            w.value(self, *value);
        }
        w.u32(self.opened.len());
        for (store, key) in &self.opened {
            w.u8(*store as u8);
            w.text(key);
        }
        for var in &program.answer.variables {
            let entries = &self.entries[*var as usize];
            w.u32(entries.len());
            for e in entries {
                w.text(self.values.get(e.key));
                w.text(self.values.get(e.value));
                if w.full {
                    return None;
                }
            }
        }
        (!w.full).then_some(w.at)
    }

    /// Takes what was kept into a transaction that has begun.
    pub(super) fn restore(&mut self, profile: &Profile, kept: &[u8]) -> Result<(), NotKept> {
        let program = &*profile.program;
        let mut r = Reader(kept);
        if r.u8()? != VERSION || r.u64()? != program.serial {
            return Err(NotKept);
        }
        self.controls.mode = *MODES.get(usize::from(r.u8()?)).ok_or(NotKept)?;
        self.controls.allowed = *ALLOWED.get(usize::from(r.u8()?)).ok_or(NotKept)?;
        self.highest_severity = r.u8()?;
        self.controls.response_body_access = r.u8()? != 0;
        self.controls.response_processor = *PROCESSORS.get(usize::from(r.u8()?)).ok_or(NotKept)?;
        self.controls.response_body_bytes_max = r.u64()?;
        for own in self.removed.iter_mut().skip(ANSWER_PHASE) {
            let words = r.u32()?;
            if words > own.0.len() {
                return Err(NotKept);
            }
            for word in own.0.iter_mut().take(words) {
                *word = r.u64()?;
            }
        }
        for _ in 0..r.u32()? {
            let removal = program.target_removals.get(r.u32()?).ok_or(NotKept)?;
            self.target_removals.push(std::sync::Arc::clone(removal));
        }
        for _ in 0..r.u32()? {
            let slot = r.u32()?;
            let value = self.kept_value(&mut r)?;
            *self.slots.get_mut(slot).ok_or(NotKept)? = value;
        }
        for _ in 0..r.u32()? {
            let var = VARIABLES.get(usize::from(r.u8()?)).ok_or(NotKept)?.var;
            let key = self.values.intern(r.text()?);
            let value = self.kept_value(&mut r)?;
            self.named.push((var, key, value));
        }
        for _ in 0..r.u32()? {
            let store = VARIABLES.get(usize::from(r.u8()?)).ok_or(NotKept)?.var;
            let key = r.text()?.to_vec();
            // What other transactions have written meanwhile counts.
            self.open_collection(program, store, key);
        }
        for var in &program.answer.variables {
            for _ in 0..r.u32()? {
                let entry = Entry {
                    key: self.values.intern(r.text()?),
                    value: self.values.intern(r.text()?),
                };
                self.entries[*var as usize].push(entry);
            }
        }
        if r.0.is_empty() { Ok(()) } else { Err(NotKept) }
    }

    fn kept_value(&mut self, r: &mut Reader<'_>) -> Result<SlotValue, NotKept> {
        match r.u8()? {
            1 => Ok(SlotValue::Int(r.u64()?.cast_signed())),
            2 => Ok(SlotValue::Value(self.values.intern(r.text()?))),
            _ => Err(NotKept),
        }
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    full: bool,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.at..self.at + bytes.len()) {
            Some(to) if !self.full => {
                to.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            _ => self.full = true,
        }
    }

    fn u8(&mut self, n: u8) {
        self.put(&[n]);
    }

    fn u32(&mut self, n: usize) {
        self.put(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn text(&mut self, bytes: &[u8]) {
        self.u32(bytes.len());
        self.put(bytes);
    }

    fn value(&mut self, of: &Transaction, value: SlotValue) {
        match value {
            SlotValue::Unset => self.put(&[1, 0, 0, 0, 0, 0, 0, 0, 0]),
            SlotValue::Int(n) => {
                self.u8(1);
                self.put(&n.to_le_bytes());
            }
            SlotValue::Value(id) => {
                self.u8(2);
                self.text(of.values.get(id));
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], NotKept> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(NotKept)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotKept> {
        self.take(N)?.first_chunk().copied().ok_or(NotKept)
    }

    fn u8(&mut self) -> Result<u8, NotKept> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<usize, NotKept> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn u64(&mut self) -> Result<u64, NotKept> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'a [u8], NotKept> {
        let n = self.u32()?;
        self.take(n)
    }
}

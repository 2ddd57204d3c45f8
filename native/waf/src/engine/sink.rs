//! Takes what body parsers find into the variables of a transaction.

use super::Limit;
use super::transaction::{Entry, Transaction};
use crate::body::Sink;
use crate::seclang::variable::Var;

/// Where body parsers put what they find.
pub(super) struct ArgSink<'t> {
    pub tx: &'t mut Transaction,
    pub var: Var,
    pub names: Var,
    pub left: usize,
    pub bytes: i64,
    pub exceeded: Option<Limit>,
    /// The text ended where the parser wanted more.
    pub cut: bool,
}

impl Sink for ArgSink<'_> {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        if self.left == 0 {
            self.exceeded = Some(Limit::Arguments);
            return false;
        }
        self.left -= 1;
        self.bytes = self.bytes.saturating_add_unsigned((name.len() + value.len()) as u64);
        let tx = &mut *self.tx;
        let entry = Entry {
            key: tx.values.intern(name),
            value: tx.values.intern(value),
        };
        let named = Entry {
            key: entry.key,
            value: entry.key,
        };
        tx.entries[Var::Args as usize].push(entry);
        tx.entries[self.var as usize].push(entry);
        tx.entries[Var::ArgsNames as usize].push(named);
        tx.entries[self.names as usize].push(named);
        true
    }

    fn item(&mut self, var: Var, key: &[u8], value: &[u8]) {
        self.tx.add(var, key, value);
    }

    fn flag(&mut self, var: Var) {
        self.tx.put_int(var, 1);
    }

    fn number(&mut self, var: Var, n: i64) {
        if var == Var::FilesCombinedSize {
            self.tx.files_bytes = u64::try_from(n).unwrap_or(0);
        }
        self.tx.put_int(var, n);
    }

    fn exceed(&mut self, limit: Limit) {
        self.exceeded = Some(limit);
    }

    fn cut(&mut self) {
        self.cut = true;
    }
}

/// Where parsers of an answer's body put what they find.
pub(super) struct AnswerSink<'t> {
    pub tx: &'t mut Transaction,
    pub left: usize,
    pub exceeded: Option<Limit>,
}

impl Sink for AnswerSink<'_> {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        if self.left == 0 {
            self.exceeded = Some(Limit::Arguments);
            return false;
        }
        self.left -= 1;
        self.tx.add(Var::ResponseArgs, name, value);
        true
    }

    fn item(&mut self, var: Var, key: &[u8], value: &[u8]) {
        if var == Var::Xml {
            self.tx.add(Var::ResponseXml, key, value);
        }
    }

    fn flag(&mut self, _: Var) {}

    fn number(&mut self, _: Var, _: i64) {}

    fn exceed(&mut self, limit: Limit) {
        self.exceeded = Some(limit);
    }
}

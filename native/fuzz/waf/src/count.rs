//! A sink that counts what a parser finds.

use cnx_waf::body::Sink;
use cnx_waf::engine::Limit;
use cnx_waf::seclang::variable::Var;

/// Most arguments that it takes.
const ARGUMENTS_MAX: usize = 1000;

#[derive(Default)]
pub struct Count {
    arguments: usize,
    bytes: usize,
}

impl Count {
    /// What was found is at most so many times as long as what was read, names of nested things aside.
    pub fn check(&self, read: usize, times: usize) {
        assert!(self.arguments <= ARGUMENTS_MAX);
        assert!(self.bytes <= times * read + 4096, "{} of {read}", self.bytes);
    }
}

impl Sink for Count {
    fn argument(&mut self, _: &[u8], value: &[u8]) -> bool {
        if self.arguments == ARGUMENTS_MAX {
            return false;
        }
        self.arguments += 1;
        self.bytes += value.len();
        true
    }
    fn item(&mut self, _: Var, _: &[u8], value: &[u8]) {
        self.bytes += value.len();
    }
    fn flag(&mut self, _: Var) {}
    fn number(&mut self, _: Var, _: i64) {}
    fn exceed(&mut self, _: Limit) {}
}

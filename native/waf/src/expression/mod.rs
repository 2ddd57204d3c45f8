//! WAF expressions: conditions on a request for people who do not speak SecLang, such as
//! `http.request.path starts_with "/admin" and not ip.src in $office`.
//!
//! [`parser`] reads the text, [`check`] gives every part its type and makes the tree that runs ([`node`]), [`require`] finds the
//! literals by which the prefilter knows it, [`rule`] puts it among the rules of SecLang. Names and semantics follow Cloudflare's
//! Rules language; `docs/waf-expressions.md` is written from the tables by [`docs`].

pub mod ast;
pub mod check;
mod cursor;
pub mod docs;
pub mod field;
pub mod function;
pub mod node;
pub mod parser;
mod place;
pub mod require;
pub mod rule;
pub mod set;

use crate::seclang::diagnostic::Problem;

/// Most bytes of an expression.
pub const EXPRESSION_BYTES_MAX: usize = 16 * 1024;
/// Deepest nesting of parentheses, `not` and functions.
pub const NEST_MAX: usize = 32;
/// Most comparisons and arguments of one expression.
pub const TERMS_MAX: usize = 1024;
/// Most entries of a set in braces.
pub const SET_ENTRIES_MAX: usize = 2048;
/// Most entries of a list.
pub const LIST_ENTRIES_MAX: usize = 100_000;
/// Most lists of a rule set.
pub const LISTS_MAX: usize = 256;
/// Most expressions of a rule set, those of routes included.
pub const RULES_MAX: usize = 10_000;

/// An error in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Offset of the byte where it is.
    pub at: ast::At,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub mend: String,
}

impl Fault {
    pub(crate) fn new(at: ast::At, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            mend: mend.into(),
        }
    }

    /// The same with line (when there are several) and column in words. Both count from 1, columns in characters.
    pub fn in_text(self, text: &str) -> Problem {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let place = if text.trim_end().contains('\n') {
            format!("line {line}, column {column}")
        } else {
            format!("column {column}")
        };
        Problem::new(format!("{place}: {}", self.message), self.mend)
    }
}

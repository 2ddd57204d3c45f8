//! Expressions as PCRE writes them. `regex-syntax` reads some of them differently or not at all: braces that are no
//! quantifier, brackets in classes, bytes beyond ASCII, `\h`, `\Z` and the like; and no automaton can do look-around, atomic groups, possessive
//! quantifiers and back-references. Where it reads them alike it takes more than twice as long to.
//!
//! [`parse`] makes a tree, [`hir`] an expression for automata of it. What no automaton can do is left out
//! there, so that this expression matches at least wherever the real one does: it is asked first, in linear time,
//! and gives the literals of the prefilter. Only where it matches the tree runs, on a [`matcher`] that is bounded by steps.

mod class;
mod hir;
pub mod matcher;
mod parse;
mod program;

pub use hir::hir;
pub use parse::parse;
pub use program::Program;

use crate::bytes::ByteSet;

/// How a repetition chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greed {
    /// As many as possible first.
    Greedy,
    /// As few as possible first.
    Lazy,
    /// As many as possible, and no other way.
    Possessive,
}

/// A condition on a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `\A`, and `^` unless lines count.
    Start,
    /// `\z`, and `$` unless lines count.
    End,
    /// `\Z`: the end, or before a line feed at the end.
    EndOrLastLine,
    /// `^` where lines count.
    LineStart,
    /// `$` where lines count.
    LineEnd,
    /// `\b`.
    Word,
    /// `\B`.
    NotWord,
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Nothing.
    Empty,
    /// One byte of a set.
    Byte(ByteSet),
    /// A condition.
    Place(Place),
    /// A group with its number, if it captures.
    Group(Box<Node>, Option<u32>),
    /// One after the other.
    Concat(Vec<Node>),
    /// The first that leads to a match.
    Alternatives(Vec<Node>),
    /// So many times.
    Repeat {
        /// What is repeated.
        node: Box<Node>,
        /// Fewest times.
        min: u32,
        /// Most times.
        max: Option<u32>,
        /// Which first.
        greed: Greed,
    },
    /// Look-around.
    Look {
        /// What must or must not be there.
        node: Box<Node>,
        /// Ahead, else behind.
        ahead: bool,
        /// Must not be there.
        negative: bool,
    },
    /// `(?>…)`: the first way only.
    Atomic(Box<Node>),
    /// What a group matched, and whether case counts.
    Back(u32, bool),
}

/// A parsed expression.
#[derive(Debug)]
pub struct Tree {
    /// The whole.
    pub node: Node,
    /// Groups that capture, without the whole.
    pub groups: u32,
    /// It holds something that no automaton can do.
    pub special: bool,
    /// It holds a back-reference.
    pub back_references: bool,
}

#[cfg(test)]
mod tests;

//! Expressions as PCRE writes them, for what `regex-syntax` reads differently or not at all: braces that are no
//! quantifier, brackets in classes, bytes beyond ASCII, `\h`, `\Z` and the like; and for what no automaton can do:
//! look-around, atomic groups, possessive quantifiers and back-references.
//!
//! [`parse`] makes a tree, [`print`] writes it in the dialect of `regex-syntax`. What no automaton can do is left out
//! there, so that the printed expression matches at least wherever the real one does: it is asked first, in linear time,
//! and gives the literals of the prefilter. Only where it matches the tree runs, on a [`matcher`] that is bounded by steps.

mod class;
pub mod matcher;
mod parse;
mod print;
mod program;

pub use parse::parse;
pub use print::print;
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

/// True when `regex-syntax` would read an expression that it accepts otherwise than PCRE does.
pub fn reads_differently(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    let mut in_class = false;
    let mut i = 0;
    while i < bytes.len() {
        let next = bytes.get(i + 1).copied();
        match bytes[i] {
            b if !b.is_ascii() => return true,
            b'\\' => {
                if matches!(next, Some(b'<' | b'>' | b'v' | b'V' | b'u' | b'U' | b'p' | b'P'))
                    || (matches!(next, Some(b'b' | b'B')) && bytes.get(i + 2) == Some(&b'{'))
                {
                    return true;
                }
                i += 1;
            }
            b'[' if !in_class => {
                in_class = true;
                // A bracket at the begin of a class belongs to it.
                if next == Some(b'^') {
                    i += 1;
                }
                if bytes.get(i + 1) == Some(&b']') {
                    i += 1;
                }
            }
            b'[' => return true,
            b']' => in_class = false,
            b @ (b'&' | b'-' | b'~') if in_class && next == Some(b) => return true,
            b'(' if !in_class && next == Some(b'?') => {
                let flags = bytes[i + 2..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphabetic() || **b == b'-');
                if flags.into_iter().any(|b| matches!(b, b'u' | b'R' | b'x' | b'J' | b'X')) {
                    return true;
                }
            }
            _ => {}
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests;

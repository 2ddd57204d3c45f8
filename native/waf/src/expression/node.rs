//! A checked expression as it runs: a tree over interned values.

use std::sync::Arc;

use memchr::memmem::Finder;

use super::set::{Addresses, Numbers, Texts};
use crate::operator;
use crate::seclang::variable::Var;
use crate::transform::TransformId;

/// What a single value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A number of 64 bits with a sign.
    Int,
    /// A string of bytes.
    Bytes,
    /// An address.
    Ip,
}

/// The values of a variable that an expression looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The variable.
    pub var: Var,
    /// Only values with this key.
    pub key: Option<Vec<u8>>,
    /// The key ignores case.
    pub folds: bool,
}

/// How a value comes about. Where it is missing, so is what is made of it.
pub enum Value {
    /// The n-th value of a source; with `true` the empty string when there is none.
    Load(Source, u32, bool),
    /// The element that `any` and `all` look at.
    Current,
    /// A string that stands in the expression.
    Text(Vec<u8>),
    /// A transformation.
    Transform(Box<Value>, TransformId),
    /// A transformation until nothing changes, at most so many times.
    Repeat(Box<Value>, TransformId, u8),
    /// From one byte up to before another; negative offsets count from the end.
    Substring(Box<Value>, i64, Option<i64>),
    /// Without these bytes.
    Remove(Box<Value>, crate::bytes::ByteSet),
    /// One behind the other.
    Concat(Vec<Value>),
    /// A value of another kind as text.
    Print(Box<Value>, Kind),
    /// The number that stands in a string.
    Number(Box<Value>),
    /// How many bytes a string has.
    Length(Box<Value>),
    /// How many values a source has.
    Count(Source),
    /// The address that stands in a string.
    Address(Box<Value>),
    /// The network of an address with so many bits for IPv4 and IPv6.
    Network(Box<Value>, u8, u8),
    /// Whether the number that stands in a string is not 0.
    Flag(Box<Value>),
}

/// An order that holds or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// Less.
    Less,
    /// Less or equal.
    LessEqual,
    /// Greater.
    Greater,
    /// Greater or equal.
    GreaterEqual,
}

impl Order {
    /// True when it holds between two values.
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
        }
    }
}

/// What is asked of a value.
pub enum Test {
    /// Order of strings.
    Bytes(Order, Vec<u8>),
    /// The string occurs.
    Contains(Box<Finder<'static>>),
    /// The begin.
    StartsWith(Vec<u8>),
    /// The end.
    EndsWith(Vec<u8>),
    /// A regular expression, with what each match of it holds.
    Matches(Box<operator::Expression>, operator::Requirement),
    /// One of these strings.
    Text(Arc<Texts>),
    /// Order of numbers.
    Int(Order, i64),
    /// One of these numbers.
    Number(Arc<Numbers>),
    /// One of these addresses; with `true` none of them.
    Address(Arc<Addresses>, bool),
    /// True by itself.
    Truth,
}

/// A checked expression.
pub struct Checked {
    /// What it says.
    pub root: Node,
    /// Variables that it looks at.
    pub variables: Vec<Var>,
    /// What a request must hold for it to be true.
    pub need: Option<super::require::Need>,
    /// It runs only where a profile names it.
    pub local: bool,
}

/// A condition.
pub enum Node {
    /// All hold.
    And(Vec<Node>),
    /// One holds.
    Or(Vec<Node>),
    /// An odd number holds.
    Xor(Vec<Node>),
    /// It does not hold.
    Not(Box<Node>),
    /// A value is asked.
    Compare(Value, Test),
    /// A value of the source is such that a condition on [`Value::Current`] holds; with `true` there is one and all are.
    Each(Source, Box<Node>, bool),
    /// The source has a value with this key, or any when the source has a key.
    Has(Source),
}

impl Value {
    /// The values that it is made of, if they are one.
    pub fn source(&self) -> Option<&Value> {
        match self {
            Self::Load(..) | Self::Current => Some(self),
            Self::Text(_) | Self::Count(_) => None,
            Self::Transform(v, _)
            | Self::Repeat(v, ..)
            | Self::Substring(v, ..)
            | Self::Remove(v, _)
            | Self::Print(v, _)
            | Self::Number(v)
            | Self::Length(v)
            | Self::Address(v)
            | Self::Network(v, ..)
            | Self::Flag(v) => v.source(),
            Self::Concat(list) => list.iter().find_map(Self::source),
        }
    }

    /// Puts a value in the place of [`Value::Current`].
    pub fn replace_current(&mut self, by: &dyn Fn() -> Value) {
        match self {
            Self::Current => *self = by(),
            Self::Load(..) | Self::Text(_) | Self::Count(_) => {}
            Self::Transform(v, _)
            | Self::Repeat(v, ..)
            | Self::Substring(v, ..)
            | Self::Remove(v, _)
            | Self::Print(v, _)
            | Self::Number(v)
            | Self::Length(v)
            | Self::Address(v)
            | Self::Network(v, ..)
            | Self::Flag(v) => v.replace_current(by),
            Self::Concat(list) => list.iter_mut().for_each(|v| v.replace_current(by)),
        }
    }
}

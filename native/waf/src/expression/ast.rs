//! An expression as written, and how it is written again: what is printed is read as the same expression.

use std::fmt;
use std::net::IpAddr;

/// Offset of a byte in the text of the expression.
pub type At = usize;

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All of them hold.
    And(Vec<Condition>),
    /// One of them holds.
    Or(Vec<Condition>),
    /// An odd number of them holds.
    Xor(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// A value compared.
    Compare(Box<Comparison>),
    /// A value that is true or false by itself.
    Truth(Value),
}

/// A value compared with what stands behind an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The value.
    pub value: Value,
    /// The operator.
    pub operator: Operator,
    /// Where the operator stands.
    pub at: At,
    /// What it is compared with.
    pub with: With,
}

/// A value, with the place where it begins.
#[derive(Clone, Debug)]
pub struct Value {
    /// Where it begins.
    pub at: At,
    /// What it is.
    pub kind: ValueKind,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Value {}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A field, by its dotted name.
    Field(String),
    /// `value["key"]`.
    Key(Box<Value>, Vec<u8>),
    /// `value[0]`.
    Index(Box<Value>, u32),
    /// `value[*]`.
    Each(Box<Value>),
    /// A function with its arguments.
    Call(String, Vec<Condition>),
    /// A string, number or address as an argument.
    Literal(Literal),
}

/// What values are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With {
    /// One literal.
    One(Placed),
    /// `{…}`.
    Set(Vec<Entry>),
    /// `$name`.
    List(At, String),
}

/// A literal with its place.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Where it begins.
    pub at: At,
    /// The literal.
    pub literal: Literal,
}

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        self.literal == other.literal
    }
}

impl Eq for Placed {}

/// One entry of a set: a literal, or a range with both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The only one, or the first one.
    pub from: Placed,
    /// The last one of a range.
    pub to: Option<Placed>,
}

/// A literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// `"…"`, `r"…"`.
    Text(Vec<u8>),
    /// A number.
    Int(i64),
    /// An address.
    Ip(IpAddr),
    /// A network: address and bits.
    Network(IpAddr, u8),
}

macro_rules! operators {
    ($($variant:ident $word:literal $symbol:literal $summary:literal;)*) => {
        /// An operator between a value and what it is compared with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operator { $(#[doc = $summary] $variant,)* }

        /// Operators with their words, signs (empty when there is none) and meaning.
        pub const OPERATORS: &[(Operator, &str, &str, &str)] = &[
            $((Operator::$variant, $word, $symbol, $summary),)*
        ];
    };
}

operators! {
    Equal "eq" "==" "is the same";
    NotEqual "ne" "!=" "is there and is not the same";
    LessEqual "le" "<=" "is less or the same; strings by their bytes";
    GreaterEqual "ge" ">=" "is greater or the same";
    Less "lt" "<" "is less";
    Greater "gt" ">" "is greater";
    Contains "contains" "" "holds the string";
    StartsWith "starts_with" "" "begins with the string";
    EndsWith "ends_with" "" "ends with the string";
    Matches "matches" "~" "the regular expression matches somewhere in it, in linear time: no look-around, no back-references";
    Wildcard "wildcard" "" "is wholly like the pattern, in which `*` stands for any bytes (`\\\\*` in a string for an asterisk); case ignored";
    StrictWildcard "strict wildcard" "" "the same with case";
    In "in" "" "is one of a set in braces or of a list";
}

impl Operator {
    /// The word.
    pub fn word(self) -> &'static str {
        OPERATORS.iter().find(|o| o.0 == self).map_or("", |o| o.1)
    }
}

impl Condition {
    /// Loose to tight: or, xor, and, not; what needs no parentheses is tightest.
    fn tightness(&self) -> u8 {
        match self {
            Self::Or(_) => 0,
            Self::Xor(_) => 1,
            Self::And(_) => 2,
            Self::Not(_) => 3,
            Self::Compare(_) | Self::Truth(_) => 4,
        }
    }

    fn nested(&self, f: &mut fmt::Formatter<'_>, above: u8) -> fmt::Result {
        // A list in a list of its own kind was written with parentheses.
        if self.tightness() <= above && self.tightness() < 3 {
            write!(f, "({self})")
        } else {
            write!(f, "{self}")
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (list, word) = match self {
            Self::Or(list) => (list, " or "),
            Self::Xor(list) => (list, " xor "),
            Self::And(list) => (list, " and "),
            Self::Not(inner) => {
                f.write_str("not ")?;
                return inner.nested(f, 3);
            }
            Self::Compare(c) => return write!(f, "{} {} {}", c.value, c.operator.word(), c.with),
            Self::Truth(value) => return write!(f, "{value}"),
        };
        for (i, c) in list.iter().enumerate() {
            if i > 0 {
                f.write_str(word)?;
            }
            c.nested(f, self.tightness())?;
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ValueKind::Field(name) => f.write_str(name),
            ValueKind::Key(of, key) => {
                write!(f, "{of}[")?;
                write_text(f, key)?;
                f.write_str("]")
            }
            ValueKind::Index(of, n) => write!(f, "{of}[{n}]"),
            ValueKind::Each(of) => write!(f, "{of}[*]"),
            ValueKind::Call(name, arguments) => {
                write!(f, "{name}(")?;
                for (i, a) in arguments.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{a}")?;
                }
                f.write_str(")")
            }
            ValueKind::Literal(l) => write!(f, "{l}"),
        }
    }
}

impl fmt::Display for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(p) => write!(f, "{}", p.literal),
            Self::List(_, name) => write!(f, "${name}"),
            Self::Set(list) => {
                f.write_str("{")?;
                for (i, e) in list.iter().enumerate() {
                    if i > 0 {
                        f.write_str(" ")?;
                    }
                    write!(f, "{}", e.from.literal)?;
                    if let Some(to) = &e.to {
                        write!(f, "..{}", to.literal)?;
                    }
                }
                f.write_str("}")
            }
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(t) => write_text(f, t),
            Self::Int(n) => write!(f, "{n}"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Network(ip, bits) => write!(f, "{ip}/{bits}"),
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    for &b in text {
        match b {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            0x20..0x7f => write!(f, "{}", char::from(b))?,
            _ => write!(f, "\\x{b:02x}")?,
        }
    }
    f.write_str("\"")
}

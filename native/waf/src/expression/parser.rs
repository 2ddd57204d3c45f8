//! From the text of an expression to its tree. Binding, tight to loose: not, and, xor, or.

use super::ast::{Comparison, Condition, Entry, Literal, OPERATORS, Operator, Placed, Value, ValueKind, With};
use super::cursor::{Cursor, literal};
use super::{EXPRESSION_BYTES_MAX, Fault, NEST_MAX, SET_ENTRIES_MAX, TERMS_MAX};
use crate::seclang::diagnostic::did_you_mean;

/// Words that are no names of fields or functions.
const RESERVED: &[&str] = &[
    "and", "or", "xor", "not", "in", "eq", "ne", "lt", "le", "gt", "ge", "contains", "matches", "wildcard", "strict",
];
const LITERALS: &str = "a string is written \"…\", a number 42, an address 192.0.2.1, a network 10.0.0.0/8";

/// Reads an expression.
pub fn parse(text: &str) -> Result<Condition, Fault> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(Fault::new(
            0,
            format!("an expression of more than {EXPRESSION_BYTES_MAX} bytes"),
            "split it into several rules, or put values into a list",
        ));
    }
    let mut parser = Parser {
        cursor: Cursor::new(text),
        depth: 0,
        terms: 0,
    };
    if parser.cursor.rest().is_empty() {
        return Err(Fault::new(
            0,
            "an empty expression",
            "write a condition, such as http.request.path eq \"/\"",
        ));
    }
    let condition = parser.or()?;
    if !parser.cursor.rest().is_empty() {
        let found = parser.cursor.found();
        let mend = if found == ")" {
            "remove it, or open a ( before".to_owned()
        } else {
            did_you_mean(
                &found,
                ["and", "or", "xor"].into_iter().chain(OPERATORS.iter().map(|o| o.1)),
                "join conditions with and, or, xor",
            )
        };
        return Err(Fault::new(
            parser.cursor.at,
            format!("{found} is not expected here"),
            mend,
        ));
    }
    Ok(condition)
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
    terms: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Result<Condition, Fault> {
        self.joined(&["or"], "||", Self::xor, Condition::Or)
    }

    fn xor(&mut self) -> Result<Condition, Fault> {
        self.joined(&["xor"], "^^", Self::and, Condition::Xor)
    }

    fn and(&mut self) -> Result<Condition, Fault> {
        self.joined(&["and"], "&&", Self::not, Condition::And)
    }

    fn joined(
        &mut self,
        words: &[&str],
        sign: &str,
        tighter: fn(&mut Self) -> Result<Condition, Fault>,
        make: fn(Vec<Condition>) -> Condition,
    ) -> Result<Condition, Fault> {
        let first = tighter(self)?;
        let mut list = vec![first];
        while words.iter().any(|w| self.cursor.word(w)) || self.cursor.sign(sign) {
            list.push(tighter(self)?);
        }
        Ok(match list.pop() {
            Some(one) if list.is_empty() => one,
            Some(last) => {
                list.push(last);
                make(list)
            }
            None => make(list),
        })
    }

    fn not(&mut self) -> Result<Condition, Fault> {
        let at = self.cursor.at;
        let negated = self.cursor.word("not") || (!self.cursor.rest().starts_with("!=") && self.cursor.sign("!"));
        if negated {
            return self.deeper(at, |p| Ok(Condition::Not(Box::new(p.not()?))));
        }
        if self.cursor.sign("(") {
            let inner = self.deeper(at, Self::or)?;
            self.close(")")?;
            return Ok(inner);
        }
        self.term()
    }

    fn deeper<T>(&mut self, at: usize, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth += 1;
        if self.depth > NEST_MAX {
            return Err(Fault::new(
                at,
                format!("nested more than {NEST_MAX} deep"),
                "write it flatter, or as several rules",
            ));
        }
        let out = inner(self);
        self.depth -= 1;
        out
    }

    fn close(&mut self, sign: &str) -> Result<(), Fault> {
        if self.cursor.sign(sign) {
            return Ok(());
        }
        let found = self.cursor.found();
        Err(Fault::new(
            self.cursor.at,
            format!("{found} is not expected here"),
            format!("close with {sign}"),
        ))
    }

    /// A value, alone or compared.
    fn term(&mut self) -> Result<Condition, Fault> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(Fault::new(
                self.cursor.at,
                format!("more than {TERMS_MAX} comparisons and arguments"),
                "use in {…} or a list, or split it into several rules",
            ));
        }
        let value = self.value()?;
        let Some((operator, at)) = self.operator()? else {
            return Ok(Condition::Truth(value));
        };
        let with = if operator == Operator::In {
            self.set()?
        } else {
            With::One(self.literal()?)
        };
        Ok(Condition::Compare(Box::new(Comparison {
            value,
            operator,
            at,
            with,
        })))
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let name = self.cursor.name();
        let begin = self.cursor.at;
        let is_literal = self.cursor.is_string()
            || self
                .cursor
                .rest()
                .starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == ':');
        if is_literal {
            let literal = self.literal()?;
            return Ok(Value {
                at: literal.at,
                kind: ValueKind::Literal(literal.literal),
            });
        }
        if name.is_empty() || RESERVED.contains(&name) {
            let found = self.cursor.found();
            return Err(Fault::new(
                self.cursor.at,
                format!("{found} is not expected here"),
                "write a field such as http.request.path, or a function such as lower(…)",
            ));
        }
        self.cursor.at += name.len();
        let kind = if self.cursor.sign("(") {
            ValueKind::Call(name.to_owned(), self.deeper(begin, Self::arguments)?)
        } else {
            ValueKind::Field(name.to_owned())
        };
        let mut value = Value { at: begin, kind };
        // As deep as conditions, since what follows walks both in the same way.
        for _ in 0..NEST_MAX {
            if !self.cursor.sign("[") {
                return Ok(value);
            }
            let of = Box::new(value);
            let kind = self.selector(of)?;
            self.close("]")?;
            value = Value { at: begin, kind };
        }
        Err(Fault::new(
            begin,
            "that many […]",
            "write at most one key and one index",
        ))
    }

    fn selector(&mut self, of: Box<Value>) -> Result<ValueKind, Fault> {
        if self.cursor.sign("*") {
            return Ok(ValueKind::Each(of));
        }
        if self.cursor.is_string() {
            return Ok(ValueKind::Key(of, self.cursor.string()?));
        }
        let at = self.cursor.at;
        match self.cursor.atom().parse::<u32>() {
            Ok(n) => Ok(ValueKind::Index(of, n)),
            Err(_) => Err(Fault::new(
                at,
                "that is no key and no index",
                "write [\"key\"], [0] or [*]",
            )),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Condition>, Fault> {
        let mut list = Vec::new();
        if self.cursor.sign(")") {
            return Ok(list);
        }
        loop {
            list.push(self.or()?);
            if self.cursor.sign(",") {
                continue;
            }
            self.close(")")?;
            return Ok(list);
        }
    }

    fn operator(&mut self) -> Result<Option<(Operator, usize)>, Fault> {
        let name = self.cursor.name();
        let at = self.cursor.at;
        if name.is_empty() {
            let mut signs = OPERATORS.iter().filter(|o| !o.2.is_empty());
            return match signs.find(|o| self.cursor.sign(o.2)) {
                Some(o) => Ok(Some((o.0, at))),
                None if self.cursor.rest().starts_with('=') => {
                    Err(Fault::new(at, "= is no operator", "write eq or =="))
                }
                None => Ok(None),
            };
        }
        if matches!(name, "and" | "or" | "xor") {
            return Ok(None);
        }
        if self.cursor.word("strict") {
            if self.cursor.word("wildcard") {
                return Ok(Some((Operator::StrictWildcard, at)));
            }
            return Err(Fault::new(at, "strict stands alone", "write strict wildcard"));
        }
        if let Some(o) = OPERATORS.iter().find(|o| o.1 == name) {
            self.cursor.at += name.len();
            return Ok(Some((o.0, at)));
        }
        if name == "not" {
            return Err(Fault::new(
                at,
                "not stands before a whole comparison",
                "write not field in {…}, with not before the field",
            ));
        }
        Err(Fault::new(
            at,
            format!("no operator is called {name}"),
            did_you_mean(
                name,
                OPERATORS.iter().map(|o| o.1).chain(["and", "or", "xor"]),
                "write eq, contains, starts_with, matches, in, …",
            ),
        ))
    }

    fn literal(&mut self) -> Result<Placed, Fault> {
        self.cursor.rest();
        let at = self.cursor.at;
        if self.cursor.is_string() {
            let text = self.cursor.string()?;
            return Ok(Placed {
                at,
                literal: Literal::Text(text),
            });
        }
        let found = self.cursor.found();
        let atom = self.cursor.atom();
        match literal(atom).filter(|_| !atom.is_empty()) {
            Some(literal) => Ok(Placed { at, literal }),
            None => Err(not_literal(at, if atom.is_empty() { &found } else { atom })),
        }
    }

    fn set(&mut self) -> Result<With, Fault> {
        self.cursor.rest();
        let at = self.cursor.at;
        if self.cursor.sign("$") {
            let name = self.cursor.name();
            if name.is_empty() || self.cursor.at != at + 1 {
                return Err(Fault::new(
                    at,
                    "$ without a name",
                    "write the name of a list, such as $office",
                ));
            }
            self.cursor.at += name.len();
            return Ok(With::List(at, name.to_owned()));
        }
        if !self.cursor.sign("{") {
            let found = self.cursor.found();
            return Err(Fault::new(
                at,
                format!("{found} is not expected here"),
                "after in comes a set such as {1 2 5..9} or the name of a list such as $office",
            ));
        }
        let mut list = Vec::new();
        while !self.cursor.sign("}") {
            if list.len() >= SET_ENTRIES_MAX {
                return Err(Fault::new(
                    at,
                    format!("a set of more than {SET_ENTRIES_MAX} entries"),
                    "use a list",
                ));
            }
            list.push(self.entry()?);
        }
        if list.is_empty() {
            return Err(Fault::new(
                at,
                "an empty set",
                "write what it holds, separated by spaces",
            ));
        }
        Ok(With::Set(list))
    }

    fn entry(&mut self) -> Result<Entry, Fault> {
        self.cursor.rest();
        let at = self.cursor.at;
        if self.cursor.is_string() {
            return Ok(Entry {
                from: self.literal()?,
                to: None,
            });
        }
        let found = self.cursor.found();
        let atom = self.cursor.atom();
        if atom.is_empty() {
            let mend = if found.starts_with(',') {
                "separate the entries of a set by spaces"
            } else {
                "close the set with }"
            };
            return Err(Fault::new(at, format!("{found} is not expected here"), mend));
        }
        let place = |at, text: &str| {
            let literal = literal(text).filter(|_| !text.is_empty());
            literal
                .map(|literal| Placed { at, literal })
                .ok_or_else(|| not_literal(at, text))
        };
        match atom.split_once("..") {
            None => Ok(Entry {
                from: place(at, atom)?,
                to: None,
            }),
            Some((from, to)) => Ok(Entry {
                from: place(at, from)?,
                to: Some(place(at + from.len() + 2, to)?),
            }),
        }
    }
}

fn not_literal(at: usize, found: &str) -> Fault {
    if found.chars().all(|c| c.is_ascii_digit() || c == '-') {
        return Fault::new(at, format!("{found} is no number of 64 bits"), LITERALS);
    }
    Fault::new(
        at,
        format!("{found} is no string, number, address or network"),
        LITERALS,
    )
}

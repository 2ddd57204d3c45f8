//! Types: every part of an expression gets one, and what does not fit is an error that says what would.

use std::collections::HashMap;
use std::sync::Arc;

use memchr::memmem::Finder;

use super::ast::{At, Comparison, Condition, Entry, Literal, Operator, Placed, Value as Written, ValueKind, With};
use super::field::{self, FIELDS, FieldKind};
use super::function::{self, Made};
use super::node::{Kind, Node, Order, Source, Test, Value};
use super::set::{Addresses, List, Numbers, Texts, range_of};
use super::{Fault, require};
use crate::operator::Expression;
use crate::program::literals;
use crate::seclang::diagnostic::{did_you_mean, nearest};
use crate::seclang::variable::{Life, VARIABLE_COUNT, Var};
use crate::transform;

/// A value with its type.
pub struct Typed {
    /// The value; of arrays that of one element.
    pub value: Value,
    /// What it is, or what its elements are.
    pub kind: Kind,
    /// One or many.
    pub shape: Shape,
}

/// One value or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One.
    One,
    /// Many, from the values of a source.
    Array(Source),
    /// Each of many: `[*]` was written.
    Each(Source),
    /// Many by key.
    Map(Source),
}

/// A condition and, when it has an answer for each of many values, their source.
pub type Answer = (Node, Option<Source>);

/// What checking needs and leaves behind.
pub struct Checker<'a> {
    /// The lists by name.
    pub lists: &'a HashMap<String, List>,
    /// Where scratch memory of regular expressions is counted.
    pub expressions: &'a mut u32,
    /// Variables that any rule looks at.
    pub used: &'a mut [bool; VARIABLE_COUNT],
    /// Those that this expression looks at.
    pub variables: Vec<Var>,
    /// Bytes of compiled parts.
    pub memory: usize,
    /// The phase (1 to 5) from which on all that is looked at is there.
    pub phase: u8,
}

/// How a type is called in messages.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "Bool",
        Kind::Int => "Int",
        Kind::Bytes => "Bytes",
        Kind::Ip => "Ip",
    }
}

impl Typed {
    /// The type, as messages say it.
    pub fn name(&self) -> String {
        let kind = kind_name(self.kind);
        match self.shape {
            Shape::One => kind.to_owned(),
            Shape::Array(_) => format!("Array<{kind}>"),
            Shape::Each(_) => format!("{kind} of each element"),
            Shape::Map(_) => format!("Map<Array<{kind}>>"),
        }
    }
}

impl Checker<'_> {
    /// Checks a whole expression.
    pub fn whole(&mut self, condition: &Condition) -> Result<Node, Fault> {
        match self.condition(condition)? {
            (node, None) => Ok(node),
            (_, Some(_)) => Err(Fault::new(
                place_of(condition),
                format!("{condition} has an answer for each element"),
                format!("write any({condition}) or all({condition})"),
            )),
        }
    }

    /// Checks a condition.
    pub fn condition(&mut self, condition: &Condition) -> Result<Answer, Fault> {
        match condition {
            Condition::And(list) => self.list(list, Node::And),
            Condition::Or(list) => self.list(list, Node::Or),
            Condition::Xor(list) => self.list(list, Node::Xor),
            Condition::Not(inner) => {
                let (node, source) = self.condition(inner)?;
                Ok((Node::Not(Box::new(node)), source))
            }
            Condition::Compare(c) => self.compare(c),
            Condition::Truth(value) => self.truth(value),
        }
    }

    fn list(&mut self, list: &[Condition], make: fn(Vec<Node>) -> Node) -> Result<Answer, Fault> {
        let mut nodes = Vec::with_capacity(list.len());
        let mut source = None;
        for c in list {
            let (node, of) = self.condition(c)?;
            source = same_source(source, of, place_of(c))?;
            nodes.push(node);
        }
        Ok((make(nodes), source))
    }

    fn truth(&mut self, value: &Written) -> Result<Answer, Fault> {
        if let ValueKind::Call(name, arguments) = &value.kind
            && let Made::Condition(answer) = self.call(value.at, name, arguments)?
        {
            return Ok(answer);
        }
        let typed = self.value(value)?;
        if typed.kind != Kind::Bool {
            let mend = match &typed.shape {
                Shape::One if typed.kind == Kind::Bytes => format!("compare it: {value} eq \"…\""),
                Shape::One if typed.kind == Kind::Ip => format!("compare it: {value} in {{10.0.0.0/8}}"),
                Shape::One => format!("compare it: {value} gt 0"),
                _ => format!("ask its elements: {}", asked(value, &typed.shape, "eq \"…\"")),
            };
            return Err(Fault::new(
                value.at,
                format!("{value} is {} and no condition", typed.name()),
                mend,
            ));
        }
        match typed.shape {
            Shape::One => Ok((Node::Compare(typed.value, Test::Truth), None)),
            Shape::Each(source) => Ok((Node::Compare(typed.value, Test::Truth), Some(source))),
            Shape::Array(_) | Shape::Map(_) => Err(Fault::new(
                value.at,
                format!("{value} is {} and no condition", typed.name()),
                format!("write any({value}[*])"),
            )),
        }
    }

    fn compare(&mut self, c: &Comparison) -> Result<Answer, Fault> {
        if matches!(c.value.kind, ValueKind::Literal(_)) {
            return Err(Fault::new(
                c.value.at,
                format!("{} stands on the left side", c.value),
                "write the field on the left and what it is compared with on the right",
            ));
        }
        let typed = self.value(&c.value)?;
        let source = match &typed.shape {
            Shape::One => None,
            Shape::Each(source) => Some(source.clone()),
            Shape::Array(_) | Shape::Map(_) => {
                let what = format!("{} {}", c.operator.word(), c.with);
                return Err(Fault::new(
                    c.value.at,
                    format!("{} is {}, not one value", c.value, typed.name()),
                    format!("write {}", asked(&c.value, &typed.shape, &what)),
                ));
            }
        };
        let (test, negated) = self.test(c, &typed)?;
        let node = Node::Compare(typed.value, test);
        Ok((if negated { Node::Not(Box::new(node)) } else { node }, source))
    }

    /// What a comparison asks. With `true` the answer is turned round.
    fn test(&mut self, c: &Comparison, typed: &Typed) -> Result<(Test, bool), Fault> {
        let order = match c.operator {
            Operator::Equal => Some(Order::Equal),
            Operator::NotEqual => Some(Order::NotEqual),
            Operator::Less => Some(Order::Less),
            Operator::LessEqual => Some(Order::LessEqual),
            Operator::Greater => Some(Order::Greater),
            Operator::GreaterEqual => Some(Order::GreaterEqual),
            _ => None,
        };
        let unfit = |mend: String| {
            Err(Fault::new(
                c.at,
                format!(
                    "{} is {}, which {} does not fit",
                    c.value,
                    typed.name(),
                    c.operator.word()
                ),
                mend,
            ))
        };
        let test = match (typed.kind, order, &c.with) {
            (Kind::Bool, _, _) => return unfit(format!("write {0} or not {0}", c.value)),
            (Kind::Bytes, Some(order), With::One(p)) => Test::Bytes(order, text_of(c, p)?),
            (Kind::Int, Some(order), With::One(p)) => match p.literal {
                Literal::Int(n) => Test::Int(order, n),
                _ => return Err(mistyped(c, p, "write a number such as 42, without quotes")),
            },
            (Kind::Ip, Some(order @ (Order::Equal | Order::NotEqual)), With::One(p)) => match p.literal {
                Literal::Ip(ip) => Test::Address(Arc::new(Addresses::new(&[(ip, ip)])), order == Order::NotEqual),
                Literal::Network(..) => {
                    return Err(mistyped(c, p, &format!("write {} in {{{}}}", c.value, p.literal)));
                }
                _ => return Err(mistyped(c, p, "write an address such as 192.0.2.1, without quotes")),
            },
            (Kind::Ip, Some(_), _) => return unfit(format!("write {} in {{192.0.2.1..192.0.2.9}}", c.value)),
            (_, None, With::Set(list)) => self.set(c, typed.kind, list)?,
            (_, None, With::List(at, name)) => self.named(c, typed.kind, *at, name)?,
            (Kind::Bytes, None, With::One(p)) => self.text_test(c, p)?,
            (Kind::Int, ..) => return unfit(format!("write {} gt 42, or {0} in {{1..42}}", c.value)),
            (Kind::Ip, ..) => return unfit(format!("write {} in {{10.0.0.0/8}}", c.value)),
            // The parser gives sets and lists to `in` alone.
            (Kind::Bytes, Some(_), With::Set(_) | With::List(..)) => return unfit("write in".to_owned()),
        };
        Ok((test, false))
    }

    fn text_test(&mut self, c: &Comparison, p: &Placed) -> Result<Test, Fault> {
        let text = text_of(c, p)?;
        if text.is_empty() && c.operator != Operator::Wildcard && c.operator != Operator::StrictWildcard {
            return Err(Fault::new(
                p.at,
                format!("{} an empty string is always true", c.operator.word()),
                "write what it holds, or eq \"\" for empty",
            ));
        }
        match c.operator {
            Operator::Contains => Ok(Test::Contains(Box::new(Finder::new(&text).into_owned()))),
            Operator::StartsWith => Ok(Test::StartsWith(text)),
            Operator::EndsWith => Ok(Test::EndsWith(text)),
            Operator::Wildcard => self.expression(p.at, &wildcard(p.at, &text)?, true),
            Operator::StrictWildcard => self.expression(p.at, &wildcard(p.at, &text)?, false),
            _ => match String::from_utf8(text) {
                Ok(pattern) => self.expression(p.at, &pattern, false),
                Err(_) => Err(Fault::new(
                    p.at,
                    "the regular expression is not UTF-8",
                    "write other bytes as \\\\xHH",
                )),
            },
        }
    }

    fn expression(&mut self, at: At, pattern: &str, folds: bool) -> Result<Test, Fault> {
        let (compiled, hir) = Expression::linear(pattern, folds, false, self.expressions)
            .map_err(|p| Fault::new(at, p.message, p.mend))?;
        self.memory += compiled.memory_bytes();
        Ok(Test::Matches(Box::new(compiled), literals::requirement(&hir)))
    }

    fn set(&mut self, c: &Comparison, kind: Kind, list: &[Entry]) -> Result<Test, Fault> {
        let single = |e: &Entry| match &e.to {
            None => Ok(()),
            Some(_) => Err(mistyped(c, &e.from, "ranges are of numbers or addresses")),
        };
        match kind {
            Kind::Bytes => {
                let mut out = Vec::with_capacity(list.len());
                for e in list {
                    single(e)?;
                    out.push(text_of(c, &e.from)?);
                }
                Ok(Test::Text(Arc::new(Texts::new(out))))
            }
            Kind::Int => {
                let mut out = Vec::with_capacity(list.len());
                for e in list {
                    let to = e.to.as_ref().unwrap_or(&e.from);
                    match (&e.from.literal, &to.literal) {
                        (Literal::Int(a), Literal::Int(b)) if a <= b => out.push((*a, *b)),
                        (Literal::Int(_), Literal::Int(_)) => return Err(backwards(e)),
                        _ => return Err(mistyped(c, &e.from, "write numbers, separated by spaces: {1 2 5..9}")),
                    }
                }
                Ok(Test::Number(Arc::new(Numbers::new(out))))
            }
            Kind::Ip => {
                let mut out = Vec::with_capacity(list.len());
                for e in list {
                    match (&e.from.literal, e.to.as_ref().map(|t| &t.literal)) {
                        (Literal::Ip(a), None) => out.push((*a, *a)),
                        (Literal::Network(ip, bits), None) => out.push(range_of(*ip, *bits)),
                        (Literal::Ip(a), Some(Literal::Ip(b))) if a.is_ipv4() == b.is_ipv4() && a <= b => {
                            out.push((*a, *b));
                        }
                        (Literal::Ip(_), Some(Literal::Ip(_))) => return Err(backwards(e)),
                        _ => {
                            let mend = "write addresses and networks without quotes: {192.0.2.1 10.0.0.0/8}";
                            return Err(mistyped(c, &e.from, mend));
                        }
                    }
                }
                Ok(Test::Address(Arc::new(Addresses::new(&out)), false))
            }
            Kind::Bool => Err(mistyped(c, &list[0].from, "write the field alone")),
        }
    }

    fn named(&mut self, c: &Comparison, kind: Kind, at: At, name: &str) -> Result<Test, Fault> {
        let Some(list) = self.lists.get(name) else {
            let known = self.lists.keys().map(String::as_str);
            let mend = match nearest(name, known) {
                Some(n) => format!("did you mean ${n}?"),
                None => format!("add {name} to lists in waf.yaml"),
            };
            return Err(Fault::new(at, format!("no list is called ${name}"), mend));
        };
        match (kind, list) {
            (Kind::Bytes, List::Texts(t, _) | List::Addresses(_, t)) => Ok(Test::Text(Arc::clone(t))),
            (Kind::Int, List::Numbers(n)) => Ok(Test::Number(Arc::clone(n))),
            (Kind::Ip, List::Addresses(a, _)) => Ok(Test::Address(Arc::clone(a), false)),
            (Kind::Ip, List::Texts(_, first)) => Err(Fault::new(
                at,
                format!("${name} is a list of strings: {first:?} is no address and no network"),
                "correct the entry, or compare a string with the list",
            )),
            _ => Err(Fault::new(
                at,
                format!(
                    "{} is {} and ${name} a list of {}",
                    c.value,
                    kind_name(kind),
                    kind_name(list.kind())
                ),
                "compare with a list of the same type",
            )),
        }
    }

    /// Checks a value.
    pub fn value(&mut self, value: &Written) -> Result<Typed, Fault> {
        match &value.kind {
            ValueKind::Field(name) => self.field(value.at, name),
            ValueKind::Call(name, arguments) => match self.call(value.at, name, arguments)? {
                Made::Value(typed) => Ok(typed),
                Made::Condition(_) => Err(Fault::new(
                    value.at,
                    format!("{value} is a condition and no value"),
                    format!("write it alone: {value}"),
                )),
            },
            ValueKind::Literal(l) => Err(Fault::new(
                value.at,
                format!("{l} is known beforehand"),
                "write a field, or compare one with it: http.host eq \"example.com\"",
            )),
            ValueKind::Key(of, key) => {
                let typed = self.value(of)?;
                let Shape::Map(source) = typed.shape else {
                    return Err(Fault::new(
                        value.at,
                        format!("{of} is {} and has no keys", typed.name()),
                        format!("write {of} alone"),
                    ));
                };
                let key = if source.folds {
                    key.to_ascii_lowercase()
                } else {
                    key.clone()
                };
                let source = Source {
                    key: Some(key),
                    ..source
                };
                Ok(Typed {
                    shape: Shape::Array(source),
                    ..typed
                })
            }
            ValueKind::Index(of, n) => {
                let mut typed = self.array(of, &format!("[{n}]"))?;
                if let Shape::Array(source) = &typed.shape {
                    let load = || Value::Load(source.clone(), *n, false);
                    typed.value.replace_current(&load);
                }
                Ok(Typed {
                    shape: Shape::One,
                    ..typed
                })
            }
            ValueKind::Each(of) => {
                let typed = self.array(of, "[*]")?;
                let Shape::Array(source) = typed.shape else {
                    return Ok(typed);
                };
                Ok(Typed {
                    shape: Shape::Each(source),
                    ..typed
                })
            }
        }
    }

    fn array(&mut self, of: &Written, selector: &str) -> Result<Typed, Fault> {
        let typed = self.value(of)?;
        match typed.shape {
            Shape::Array(_) => Ok(typed),
            Shape::Map(_) => Err(Fault::new(
                of.at,
                format!("{of} is {} and needs a key", typed.name()),
                format!("write {of}[\"key\"]{selector} or {of}.values{selector}"),
            )),
            Shape::One | Shape::Each(_) => Err(Fault::new(
                of.at,
                format!("{of} is {} and has no elements", typed.name()),
                format!("write {of} without {selector}"),
            )),
        }
    }

    fn field(&mut self, at: At, name: &str) -> Result<Typed, Fault> {
        let Some(def) = field::by_name(name) else {
            if let Some((_, mend)) = field::ELSEWHERE.iter().find(|(n, _)| *n == name) {
                return Err(Fault::new(at, format!("there is no field {name}"), *mend));
            }
            let names = FIELDS.iter().flat_map(|f| std::iter::once(&f.name).chain(f.aliases));
            return Err(Fault::new(
                at,
                format!("no field is called {name}"),
                did_you_mean(name, names.copied(), "see the fields in docs/waf-expressions.md"),
            ));
        };
        self.look_at(def.var);
        let folds = matches!(def.var, Var::RequestHeaders | Var::ResponseHeaders);
        let key = (!def.key.is_empty()).then(|| def.key.as_bytes().to_vec());
        let source = Source {
            var: def.var,
            key,
            folds,
        };
        let (mut value, kind, shape) = match def.kind {
            FieldKind::One(kind) => (Value::Load(source, 0, kind == Kind::Bytes), kind, Shape::One),
            FieldKind::Array => (Value::Current, Kind::Bytes, Shape::Array(source)),
            FieldKind::Map => (Value::Current, Kind::Bytes, Shape::Map(source)),
        };
        for step in def.steps {
            if let Ok(id) = transform::by_name(step) {
                value = Value::Transform(Box::new(value), id);
            }
        }
        let value = match kind {
            Kind::Bytes => value,
            Kind::Int => Value::Number(Box::new(value)),
            Kind::Ip => Value::Address(Box::new(value)),
            Kind::Bool => Value::Flag(Box::new(value)),
        };
        Ok(Typed { value, kind, shape })
    }

    fn look_at(&mut self, var: Var) {
        self.used[var as usize] = true;
        if !self.variables.contains(&var) {
            self.variables.push(var);
        }
        self.phase = self.phase.max(phase_of(var));
    }

    fn call(&mut self, at: At, name: &str, arguments: &[Condition]) -> Result<Made, Fault> {
        let Some(def) = function::by_name(name) else {
            if let Some((_, mend)) = function::ELSEWHERE.iter().find(|(n, _)| *n == name) {
                return Err(Fault::new(at, format!("there is no function {name}"), *mend));
            }
            return Err(Fault::new(
                at,
                format!("no function is called {name}"),
                did_you_mean(
                    name,
                    function::FUNCTIONS.iter().map(|f| f.name),
                    "see the functions in docs/waf-expressions.md",
                ),
            ));
        };
        let (least, most) = def.count;
        if arguments.len() < least || arguments.len() > most {
            return Err(Fault::new(
                at,
                format!("{name} has {} arguments", arguments.len()),
                format!("write {}", def.signature),
            ));
        }
        (def.make)(self, at, arguments)
    }
}

/// The phase (1 to 5) from which on a field's variable has its values.
pub fn phase_of(var: Var) -> u8 {
    match var.def().life {
        Life::Head | Life::Rule | Life::Clock | Life::Never => 1,
        Life::Body => 2,
        Life::Response => 3,
    }
}

/// One source for two parts of a condition.
pub fn same_source(a: Option<Source>, b: Option<Source>, at: At) -> Result<Option<Source>, Fault> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => Err(Fault::new(
            at,
            "elements of two arrays are mixed",
            "ask each array by an any(…) or all(…) of its own",
        )),
        (a, b) => Ok(a.or(b)),
    }
}

/// How the elements of an array or map are asked.
fn asked(value: &Written, shape: &Shape, what: &str) -> String {
    match shape {
        Shape::Map(_) => format!("any({value}[\"key\"][*] {what})"),
        Shape::Each(_) => format!("any({value} {what})"),
        _ => format!("any({value}[*] {what}) or {value}[0] {what}"),
    }
}

fn text_of(c: &Comparison, p: &Placed) -> Result<Vec<u8>, Fault> {
    match &p.literal {
        Literal::Text(t) => Ok(t.clone()),
        other => Err(mistyped(c, p, &format!("write it in quotes: \"{other}\""))),
    }
}

fn mistyped(c: &Comparison, p: &Placed, mend: &str) -> Fault {
    Fault::new(p.at, format!("{} does not fit {}", p.literal, c.value), mend)
}

fn backwards(e: &Entry) -> Fault {
    let to = e.to.as_ref().map(|t| t.literal.to_string()).unwrap_or_default();
    Fault::new(
        e.from.at,
        format!("the range {}..{to} ends before it begins", e.from.literal),
        "write the smaller end first, both of one family",
    )
}

/// Where a condition begins.
pub fn place_of(condition: &Condition) -> At {
    match condition {
        Condition::And(list) | Condition::Or(list) | Condition::Xor(list) => list.first().map_or(0, place_of),
        Condition::Not(inner) => place_of(inner),
        Condition::Compare(c) => c.value.at,
        Condition::Truth(v) => v.at,
    }
}

/// The regular expression of a wildcard pattern.
fn wildcard(at: At, pattern: &[u8]) -> Result<String, Fault> {
    let mut out = String::from(r"\A");
    let mut rest = pattern.iter();
    let mut after_star = false;
    while let Some(&b) = rest.next() {
        let literal = match b {
            b'*' if after_star => return Err(Fault::new(at, "two * side by side", "write one *")),
            b'*' => {
                out.push_str(".*");
                after_star = true;
                continue;
            }
            b'\\' => match rest.next() {
                Some(b @ (b'*' | b'\\')) => *b,
                _ => {
                    let mend = "write \\\\* for an asterisk and \\\\\\\\ for a backslash, or a raw string";
                    return Err(Fault::new(at, "a backslash before neither * nor \\", mend));
                }
            },
            b => b,
        };
        after_star = false;
        out.push_str(&format!("\\x{literal:02x}"));
    }
    out.push_str(r"\z");
    Ok(out)
}

/// What the prefilter may require of a checked expression.
pub fn requirement(node: &Node) -> Option<require::Need> {
    require::need(node, None)
}

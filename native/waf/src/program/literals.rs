//! What every match of a regular expression must contain, computed from its HIR.
//!
//! The answer is a set of lower-case literals of which at least one occurs in any match, ASCII case ignored. Being sound
//! is all that matters for correctness; being selective is what matters for speed.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::bytes::ByteSet;
use crate::operator::Requirement;

/// Most literals of a set that is the exact language of a part.
const EXACT_MAX: usize = 96;
/// Longest literal of such a set; longer ones are cut, which makes the set inexact.
const EXACT_BYTES_MAX: usize = 24;
/// Most rounds of a counted repetition that are written out.
const EXACT_ROUNDS_MAX: u32 = 32;
/// Most literals of a requirement.
const REQUIRED_MAX: usize = 4096;
/// Most bytes of a class that is spelled out.
const CLASS_MAX: usize = 40;
/// A set that is expected to hit ordinary text more often than this says nothing.
const COST_MAX: f64 = 1.2;

/// A literal in place: rules hold tens of thousands, and memory of its own for each is most of what it took to find them.
/// Ordered like its bytes: what is behind them is zero, and of two that differ in nothing else the shorter is less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Literal {
    bytes: [u8; EXACT_BYTES_MAX],
    len: u8,
}

impl Literal {
    const EMPTY: Self = Self {
        bytes: [0; EXACT_BYTES_MAX],
        len: 0,
    };

    /// The bytes in lower case; those that do not fit are cut off.
    fn of(bytes: &[u8]) -> Self {
        let mut out = Self::EMPTY;
        for (to, b) in out.bytes.iter_mut().zip(bytes) {
            *to = b.to_ascii_lowercase();
            out.len += 1;
        }
        out
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Both, one after the other, if they fit.
    fn joined(mut self, next: &Self) -> Option<Self> {
        let (from, len) = (usize::from(self.len), usize::from(next.len));
        self.bytes.get_mut(from..from + len)?.copy_from_slice(next.as_bytes());
        self.len += next.len;
        Some(self)
    }
}

/// Some literals. Most sets are of one, which needs no memory of its own.
#[derive(Clone)]
enum Set {
    One(Literal),
    Many(Vec<Literal>),
}

impl Set {
    const EMPTY_LITERAL: Self = Self::One(Literal::EMPTY);

    fn into_vec(self) -> Vec<Literal> {
        match self {
            Self::One(l) => vec![l],
            Self::Many(list) => list,
        }
    }
}

impl std::ops::Deref for Set {
    type Target = [Literal];

    fn deref(&self) -> &[Literal] {
        match self {
            Self::One(l) => std::slice::from_ref(l),
            Self::Many(list) => list,
        }
    }
}

/// What is known of a part.
struct Part {
    /// The part matches exactly these strings (case folded), if they are few. May hold the empty string.
    exact: Option<Set>,
    /// Each match of the part holds one of these.
    required: Option<Set>,
}

/// The requirement of an expression.
pub fn requirement(hir: &Hir) -> Requirement {
    let part = visit(hir, 0);
    let best = better(part.exact.filter(usable), part.required);
    match best {
        Some(set) if usable(&set) && cost(&set) < COST_MAX => {
            Requirement::OneOf(set.iter().map(|l| l.as_bytes().to_vec()).collect())
        }
        _ => Requirement::Unknown,
    }
}

fn usable(set: &Set) -> bool {
    !set.is_empty() && set.len() <= REQUIRED_MAX && set.iter().all(|l| !l.is_empty())
}

/// How often a set is expected to hit ordinary text; smaller is better.
fn cost(set: &Set) -> f64 {
    set.iter().map(|l| rarity(l.as_bytes())).sum()
}

/// The same of literals that are not from an expression.
pub(crate) fn cost_of(literals: &[Vec<u8>]) -> f64 {
    literals.iter().map(|l| rarity(l)).sum()
}

fn rarity(literal: &[u8]) -> f64 {
    literal.iter().take(6).map(|b| frequency(*b)).product()
}

/// A guess at how frequent a byte is in the values of requests.
pub(super) fn frequency(b: u8) -> f64 {
    match b {
        b'e' | b'a' | b'i' | b'o' | b's' | b't' | b'n' | b'r' => 0.08,
        b'a'..=b'z' => 0.04,
        b'0'..=b'9' => 0.04,
        b' ' | b'/' | b'.' | b'-' | b'_' | b'=' => 0.06,
        b',' | b':' | b';' | b'(' | b')' | b'"' | b'\'' | b'&' | b'+' | b'%' => 0.02,
        _ => 0.008,
    }
}

fn better(a: Option<Set>, b: Option<Set>) -> Option<Set> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if cost(&a) <= cost(&b) { a } else { b }),
        (a, b) => a.or(b),
    }
}

fn visit(hir: &Hir, depth: usize) -> Part {
    // The parser bounds nesting; this bound keeps the stack safe whatever the parser's is.
    if depth > 400 {
        return Part {
            exact: None,
            required: None,
        };
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Part {
            exact: Some(Set::EMPTY_LITERAL),
            required: None,
        },
        HirKind::Literal(l) => {
            let set = Some(Set::One(Literal::of(&l.0)));
            if l.0.len() <= EXACT_BYTES_MAX {
                Part {
                    exact: set,
                    required: None,
                }
            } else {
                Part {
                    exact: None,
                    required: set,
                }
            }
        }
        HirKind::Class(class) => Part {
            exact: class_bytes(class),
            required: None,
        },
        HirKind::Capture(c) => visit(&c.sub, depth + 1),
        HirKind::Repetition(r) => repetition(visit(&r.sub, depth + 1), r.min, r.max),
        HirKind::Concat(parts) => concat(parts, depth),
        HirKind::Alternation(parts) => alternation(parts, depth),
    }
}

fn class_bytes(class: &Class) -> Option<Set> {
    let mut bytes = ByteSet::EMPTY;
    let mut list = [0u8; CLASS_MAX];
    let mut len = 0;
    let mut add = |from: u32, to: u32| {
        for b in from..=to {
            let folded = u8::try_from(b).ok()?.to_ascii_lowercase();
            if !bytes.has(folded) {
                bytes.add(folded);
                *list.get_mut(len)? = folded;
                len += 1;
            }
        }
        Some(())
    };
    match class {
        Class::Bytes(c) => {
            for r in c.ranges() {
                add(u32::from(r.start()), u32::from(r.end()))?;
            }
        }
        Class::Unicode(c) => {
            // Only ASCII code points are single bytes.
            for r in c.ranges() {
                if u32::from(r.end()) > 0x7f {
                    return None;
                }
                add(u32::from(r.start()), u32::from(r.end()))?;
            }
        }
    }
    Some(match list[..len] {
        [b] => Set::One(Literal::of(&[b])),
        _ => Set::Many(list[..len].iter().map(|b| Literal::of(&[*b])).collect()),
    })
}

fn repetition(sub: Part, min: u32, max: Option<u32>) -> Part {
    if min == 0 {
        let exact = match (sub.exact, max) {
            (Some(set), Some(1)) if set.len() < EXACT_MAX => {
                let mut set = set.into_vec();
                push_unique(&mut set, Literal::EMPTY);
                Some(Set::Many(set))
            }
            _ => None,
        };
        return Part { exact, required: None };
    }
    if (min, max) == (1, Some(1)) {
        return sub;
    }
    let mut required = better(sub.exact.clone().filter(usable), sub.required);
    let mut exact = None;
    if let Some(set) = &sub.exact {
        let mut product = Set::EMPTY_LITERAL;
        let mut whole = true;
        for round in 0..min {
            // A part that may be empty never gets longer: stop instead of counting up to the repetition's bound.
            if round > EXACT_ROUNDS_MAX {
                whole = false;
                break;
            }
            match cross(&product, set) {
                Some(next) => product = next,
                None => {
                    whole = false;
                    break;
                }
            }
        }
        if whole && max == Some(min) {
            exact = Some(product);
        } else {
            required = better(required, Some(product).filter(usable));
        }
    }
    Part { exact, required }
}

fn concat(parts: &[Hir], depth: usize) -> Part {
    let mut required: Option<Set> = None;
    let mut run: Set = Set::EMPTY_LITERAL;
    let mut whole = true;
    for hir in parts {
        let part = visit(hir, depth + 1);
        required = better(required, part.required);
        let Some(set) = part.exact else {
            whole = false;
            required = better(
                required,
                Some(std::mem::replace(&mut run, Set::EMPTY_LITERAL)).filter(usable),
            );
            continue;
        };
        match cross(&run, &set) {
            Some(next) => run = next,
            None => {
                whole = false;
                required = better(required, Some(std::mem::replace(&mut run, set)).filter(usable));
            }
        }
    }
    if whole {
        Part {
            exact: Some(run),
            required,
        }
    } else {
        Part {
            exact: None,
            required: better(required, Some(run).filter(usable)),
        }
    }
}

fn alternation(parts: &[Hir], depth: usize) -> Part {
    let mut exact: Option<Vec<Literal>> = Some(Vec::new());
    let mut required: Option<Vec<Literal>> = Some(Vec::new());
    for hir in parts {
        let part = visit(hir, depth + 1);
        exact = match (exact, &part.exact) {
            (Some(mut all), Some(set)) => {
                for l in set.iter() {
                    push_unique(&mut all, *l);
                }
                (all.len() <= EXACT_MAX).then_some(all)
            }
            _ => None,
        };
        let own = better(part.exact.filter(usable), part.required.filter(usable));
        required = match (required, own) {
            (Some(mut all), Some(set)) if all.len() + set.len() <= REQUIRED_MAX => {
                all.extend_from_slice(&set);
                Some(all)
            }
            _ => None,
        };
    }
    let required = required.map(|mut all| {
        all.sort_unstable();
        all.dedup();
        Set::Many(all)
    });
    Part {
        exact: exact.map(Set::Many),
        required: required.filter(usable),
    }
}

/// All concatenations, if they stay few and short.
fn cross(a: &Set, b: &Set) -> Option<Set> {
    if let (Set::One(x), Set::One(y)) = (a, b) {
        return x.joined(y).map(Set::One);
    }
    if a.len() * b.len() > EXACT_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(a.len() * b.len());
    for x in a.iter() {
        for y in b.iter() {
            push_unique(&mut out, x.joined(y)?);
        }
    }
    Some(Set::Many(out))
}

fn push_unique(set: &mut Vec<Literal>, literal: Literal) {
    if !set.contains(&literal) {
        set.push(literal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_automata::util::syntax;

    fn of(pattern: &str) -> Option<Vec<String>> {
        let config = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .dot_matches_new_line(true);
        match requirement(&syntax::parse_with(pattern, &config).unwrap()) {
            Requirement::Unknown => None,
            Requirement::OneOf(set) => {
                let mut list: Vec<String> = set.iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect();
                list.sort();
                Some(list)
            }
        }
    }

    #[test]
    fn required_literals_are_found() {
        let table: &[(&str, Option<&[&str]>)] = &[
            ("(?i)union.*select", Some(&["select"])),
            ("<script[^>]*>", Some(&["<script"])),
            (
                "(?:etc|proc)/(?:passwd|self)",
                Some(&["etc/passwd", "etc/self", "proc/passwd", "proc/self"]),
            ),
            (r"\b(?:or|and)\s+\d+=\d+", Some(&["and", "or"])),
            ("a?b?", None),
            ("x*", None),
            ("^$", None),
            (r"[a-z]+\w", None),
            ("(?:ab){2}", Some(&["abab"])),
            ("(?:foo|[a-z]+)bar", Some(&["bar"])),
            ("(?:foo|)x", Some(&["foox", "x"])),
            ("(?:ab)+", Some(&["ab"])),
            (r"(?:\b){900}a", Some(&["a"])),
            ("(?:a?){900}b", Some(&["b"])),
        ];
        for (pattern, want) in table {
            let got = of(pattern);
            let want = want.map(|w| w.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
            assert_eq!(got, want, "{pattern}");
        }
    }
}

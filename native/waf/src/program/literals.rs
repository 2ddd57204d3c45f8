//! What every match of a regular expression must contain, computed from its HIR.
//!
//! The answer is a set of lower-case literals of which at least one occurs in any match, ASCII case ignored. Being sound
//! is all that matters for correctness; being selective is what matters for speed.

use regex_syntax::hir::{Class, Hir, HirKind};

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

type Set = Vec<Vec<u8>>;

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
        Some(set) if usable(&set) && cost(&set) < COST_MAX => Requirement::OneOf(set),
        _ => Requirement::Unknown,
    }
}

fn usable(set: &Set) -> bool {
    !set.is_empty() && set.len() <= REQUIRED_MAX && set.iter().all(|l| !l.is_empty())
}

/// How often a set is expected to hit ordinary text; smaller is better.
pub(crate) fn cost(set: &Set) -> f64 {
    set.iter()
        .map(|l| l.iter().take(6).map(|b| frequency(*b)).product::<f64>())
        .sum()
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
            exact: Some(vec![Vec::new()]),
            required: None,
        },
        HirKind::Literal(l) => {
            let folded = l.0.to_ascii_lowercase();
            if folded.len() <= EXACT_BYTES_MAX {
                Part {
                    exact: Some(vec![folded]),
                    required: None,
                }
            } else {
                Part {
                    exact: None,
                    required: Some(vec![folded[..EXACT_BYTES_MAX].to_vec()]),
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
    let mut bytes: Vec<u8> = Vec::new();
    let mut add = |from: u32, to: u32| {
        for b in from..=to {
            let folded = u8::try_from(b).ok()?.to_ascii_lowercase();
            if !bytes.contains(&folded) {
                bytes.push(folded);
            }
            if bytes.len() > CLASS_MAX {
                return None;
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
    Some(bytes.into_iter().map(|b| vec![b]).collect())
}

fn repetition(sub: Part, min: u32, max: Option<u32>) -> Part {
    if min == 0 {
        let exact = match (sub.exact, max) {
            (Some(mut set), Some(1)) if set.len() < EXACT_MAX => {
                push_unique(&mut set, Vec::new());
                Some(set)
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
        let mut product = vec![Vec::new()];
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
    let mut run: Set = vec![Vec::new()];
    let mut whole = true;
    for hir in parts {
        let part = visit(hir, depth + 1);
        required = better(required, part.required);
        let Some(set) = part.exact else {
            whole = false;
            required = better(
                required,
                Some(std::mem::replace(&mut run, vec![Vec::new()])).filter(usable),
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
    let mut exact: Option<Set> = Some(Vec::new());
    let mut required: Option<Set> = Some(Vec::new());
    for hir in parts {
        let part = visit(hir, depth + 1);
        if let (Some(all), Some(set)) = (&mut exact, &part.exact) {
            for l in set {
                push_unique(all, l.clone());
            }
        }
        if part.exact.is_none() || exact.as_ref().is_some_and(|s| s.len() > EXACT_MAX) {
            exact = None;
        }
        let own = better(part.exact.filter(usable), part.required.filter(usable));
        required = match (required, own) {
            (Some(mut all), Some(set)) if all.len() + set.len() <= REQUIRED_MAX => {
                all.extend(set);
                Some(all)
            }
            _ => None,
        };
    }
    let required = required.filter(usable).map(|mut all| {
        all.sort_unstable();
        all.dedup();
        all
    });
    Part { exact, required }
}

/// All concatenations, if they stay few and short.
fn cross(a: &Set, b: &Set) -> Option<Set> {
    if a.len() * b.len() > EXACT_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(a.len() * b.len());
    for x in a {
        for y in b {
            if x.len() + y.len() > EXACT_BYTES_MAX {
                return None;
            }
            let mut joined = x.clone();
            joined.extend_from_slice(y);
            push_unique(&mut out, joined);
        }
    }
    Some(out)
}

fn push_unique(set: &mut Set, literal: Vec<u8>) {
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

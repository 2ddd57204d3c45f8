//! What a value must have for an expression to match it, seen from its bytes alone: how many, which at the begin, and one of each of some
//! sets. All of it is known of a value before any expression looks at it, and costs some instructions where a search costs hundreds.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::literals::frequency;
use crate::bytes::ByteSet;

/// Most sets that are kept; the rarest are.
const SETS_MAX: usize = 4;
/// A set that ordinary text meets this often says too little.
const WEIGHT_MAX: f64 = 0.5;
/// Deepest part that is looked at: the stack stays small whatever the parser allows.
const DEPTH_MAX: usize = 400;

/// What every match of an expression needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Fewest bytes of a value.
    bytes_min: usize,
    /// The value begins with one of these.
    first: Option<ByteSet>,
    /// The value has a byte of each of these.
    sets: Vec<ByteSet>,
}

impl Needs {
    /// What an expression needs.
    pub fn of(hir: &Hir) -> Self {
        let bytes_min = hir.properties().minimum_len().unwrap_or(0);
        let anchored = hir.properties().look_set_prefix().contains(Look::Start);
        Self {
            bytes_min,
            first: if anchored && bytes_min > 0 {
                first(hir, 0).0
            } else {
                None
            },
            sets: sets(hir, 0).all().iter().map(|(_, set)| *set).collect(),
        }
    }

    /// True when any value could match.
    #[inline]
    pub fn are_nothing(&self) -> bool {
        self.bytes_min == 0 && self.first.is_none() && self.sets.is_empty()
    }

    /// False when a value cannot match. `present` are the bytes that occur in it.
    #[inline]
    pub fn allow(&self, value: &[u8], present: &ByteSet) -> bool {
        if value.len() < self.bytes_min || !self.sets.iter().all(|s| s.meets(present)) {
            return false;
        }
        match (&self.first, value.first()) {
            (Some(set), Some(b)) => set.has(*b),
            // Where a begin is asked for, no empty value is allowed.
            (first, _) => first.is_none(),
        }
    }
}

fn class_set(class: &Class) -> Option<ByteSet> {
    let mut out = ByteSet::EMPTY;
    match class {
        Class::Bytes(c) => {
            for r in c.ranges() {
                out = out.or(ByteSet::range(r.start(), r.end()));
            }
        }
        Class::Unicode(c) => {
            for r in c.ranges() {
                // Only ASCII code points are single bytes.
                let (from, to) = (u8::try_from(r.start()).ok()?, u8::try_from(r.end()).ok()?);
                if !to.is_ascii() {
                    return None;
                }
                out = out.or(ByteSet::range(from, to));
            }
        }
    }
    Some(out)
}

/// Sets of which a value must have a byte each, the rarest first.
struct Rarest {
    list: [(f64, ByteSet); SETS_MAX],
    len: usize,
}

impl Rarest {
    const NONE: Self = Self {
        list: [(0.0, ByteSet::EMPTY); SETS_MAX],
        len: 0,
    };

    fn all(&self) -> &[(f64, ByteSet)] {
        &self.list[..self.len]
    }

    /// Adds a set, if it is rarer than what is there. Whatever meets a part of a set meets the set, so that the part alone is kept.
    fn add(&mut self, weight: f64, set: ByteSet) {
        let last = self.all().get(SETS_MAX - 1).map_or(WEIGHT_MAX, |k| k.0);
        if weight >= last || self.all().iter().any(|(_, k)| k.or(set) == set) {
            return;
        }
        let mut kept = Self::NONE;
        for (w, k) in self.all().iter().filter(|(_, k)| k.or(set) != *k) {
            kept.list[kept.len] = (*w, *k);
            kept.len += 1;
        }
        let at = kept.all().partition_point(|(w, _)| *w <= weight);
        kept.len = (kept.len + 1).min(SETS_MAX);
        kept.list[at..kept.len].rotate_right(1);
        kept.list[at] = (weight, set);
        *self = kept;
    }
}

/// Sets of which each match of a part has a byte each.
fn sets(hir: &Hir, depth: usize) -> Rarest {
    let mut out = Rarest::NONE;
    if depth > DEPTH_MAX {
        return out;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(l) => {
            for b in &l.0 {
                out.add(frequency(b.to_ascii_lowercase()), ByteSet::of(&[*b]));
            }
        }
        HirKind::Class(class) => {
            if let Some(set) = class_set(class) {
                out.add(weight(&set), set);
            }
        }
        HirKind::Capture(c) => return sets(&c.sub, depth + 1),
        HirKind::Repetition(r) if r.min == 0 => {}
        HirKind::Repetition(r) => return sets(&r.sub, depth + 1),
        HirKind::Concat(parts) => {
            for part in parts {
                for (weight, set) in sets(part, depth + 1).all() {
                    out.add(*weight, *set);
                }
            }
        }
        HirKind::Alternation(parts) => {
            // One set of each branch makes one of all: the rarest together, then the next.
            let mut together = [ByteSet::EMPTY; SETS_MAX];
            let mut len = SETS_MAX;
            for part in parts {
                let branch = sets(part, depth + 1);
                len = len.min(branch.len);
                if len == 0 {
                    return out;
                }
                for (to, (_, set)) in together[..len].iter_mut().zip(branch.all()) {
                    *to = to.or(*set);
                }
            }
            for set in &together[..len] {
                out.add(weight(set), *set);
            }
        }
    }
    out
}

/// How often ordinary text is expected to meet a set; smaller is better.
fn weight(set: &ByteSet) -> f64 {
    let mut sum = 0.0;
    for (at, word) in (0u8..).zip(set.0) {
        let mut left = word;
        // No more is asked of what is too frequent.
        while left != 0 && sum < WEIGHT_MAX {
            let b = at * 64 + left.trailing_zeros() as u8;
            sum += frequency(b.to_ascii_lowercase());
            left &= left - 1;
        }
    }
    sum
}

/// The bytes with which a match of a part can begin, `None` when that is not known; and whether the part may be empty.
fn first(hir: &Hir, depth: usize) -> (Option<ByteSet>, bool) {
    let empty = hir.properties().minimum_len().unwrap_or(0) == 0;
    if depth > DEPTH_MAX {
        return (None, empty);
    }
    let both = |a: Option<ByteSet>, b: Option<ByteSet>| a.zip(b).map(|(a, b)| a.or(b));
    let set = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(ByteSet::EMPTY),
        HirKind::Literal(l) => Some(ByteSet::of(&l.0[..l.0.len().min(1)])),
        HirKind::Class(class) => class_set(class),
        HirKind::Capture(c) => first(&c.sub, depth + 1).0,
        HirKind::Repetition(r) => first(&r.sub, depth + 1).0,
        HirKind::Alternation(parts) => {
            let branches = parts.iter().map(|p| first(p, depth + 1).0);
            branches.fold(Some(ByteSet::EMPTY), both)
        }
        HirKind::Concat(parts) => {
            let mut all = Some(ByteSet::EMPTY);
            for part in parts {
                let (set, may_be_empty) = first(part, depth + 1);
                all = both(all, set);
                if !may_be_empty {
                    break;
                }
            }
            all
        }
    };
    (set, empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_automata::util::syntax;

    fn of(pattern: &str) -> Needs {
        let config = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .dot_matches_new_line(true);
        Needs::of(&syntax::parse_with(pattern, &config).unwrap())
    }

    fn allows(pattern: &str, value: &str) -> bool {
        of(pattern).allow(value.as_bytes(), &ByteSet::present_in(value.as_bytes()))
    }

    #[test]
    fn what_cannot_match_is_told_by_its_bytes() {
        for (pattern, value, allowed) in [
            (r"select.*\(", "select (", true),
            (r"select.*\(", "select all", false),
            (r"select.*\(", "(sel", false),
            (r"(?:union|select)\s*[(']", "union '", true),
            (r"(?:union|select)\s*[(']", "union select", false),
            (r"(?i)Q", "q", true),
            (r"^[^a-z]", "abc", false),
            (r"^[^a-z]", "1bc", true),
            (r"^\s*<", " <", true),
            (r"^\s*<", "x<", false),
            (r"^a?$", "", true),
            (r"^(?:a|)b", "ab", true),
            (r"(?:^a|b)x", "cbx", true),
            (r"a{3}", "aa", false),
            (r"x*", "", true),
        ] {
            assert_eq!(allows(pattern, value), allowed, "{pattern} on {value:?}");
        }
    }

    #[test]
    fn sets_within_others_and_frequent_ones_are_left_out() {
        assert_eq!(of("=[=<]").sets, [ByteSet::of(b"=")]);
        assert_eq!(of(r"[a-z]+").sets, []);
    }
}

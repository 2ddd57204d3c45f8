//! `rx`: regular expressions in linear time (regex-automata), with the scratch memory of each thread kept apart.

use regex_automata::meta::{Cache, Config, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::Hir;

use super::{Operator, Probe, Recipe, Requirement};
use crate::program::literals;
use crate::seclang::diagnostic::Problem;

/// Bytes that the lazy automaton of one expression may take in one thread.
const HYBRID_CACHE_BYTES: usize = 192 * 1024;
/// Bytes that one compiled expression may take.
const NFA_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest expression, in bytes.
const PATTERN_BYTES_MAX: usize = 128 * 1024;
/// Deepest nesting of an expression.
const NEST_MAX: u32 = 250;
/// Work of one search beside the bytes it looks at.
const SEARCH_WORK: u64 = 32;

/// Scratch memory of one thread for the expressions of one program.
#[derive(Default)]
pub struct RegexCaches {
    caches: Vec<Option<(Cache, Captures)>>,
}

impl RegexCaches {
    fn at(&mut self, index: u32, regex: &Regex) -> &mut (Cache, Captures) {
        let index = index as usize;
        if self.caches.len() <= index {
            self.caches.resize_with(index + 1, || None);
        }
        self.caches[index].get_or_insert_with(|| (regex.create_cache(), regex.create_captures()))
    }

    /// Bytes in use.
    pub fn memory_bytes(&self) -> usize {
        self.caches.iter().flatten().map(|(c, _)| c.memory_usage()).sum()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.caches.clear();
    }
}

/// A compiled expression with its place in [`RegexCaches`].
pub struct Expression {
    regex: Regex,
    index: u32,
    groups: bool,
}

impl Expression {
    /// Compiles an expression in the dialect of rules: bytes, `.` matches line feeds, `$` only the end.
    pub fn new(
        pattern: &str,
        case_insensitive: bool,
        multi_line: bool,
        expressions: &mut u32,
    ) -> Result<(Self, Hir), Problem> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(Problem::new(
                format!("an expression of more than {PATTERN_BYTES_MAX} bytes"),
                "split the rule",
            ));
        }
        let pattern = to_bytes_dialect(pattern);
        let config = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .dot_matches_new_line(true)
            .multi_line(multi_line)
            .case_insensitive(case_insensitive)
            .nest_limit(NEST_MAX);
        let hir = syntax::parse_with(&pattern, &config).map_err(|e| {
            let detail = e.to_string();
            let last = detail
                .lines()
                .last()
                .unwrap_or("")
                .trim_start_matches("error: ")
                .to_owned();
            Problem::new(
                format!("the expression is wrong: {last}"),
                "look-around and back-references do not exist here, since matching is linear; rewrite it without them",
            )
        })?;
        let regex = Regex::builder()
            .configure(
                Config::new()
                    .utf8_empty(false)
                    .match_kind(MatchKind::LeftmostFirst)
                    .hybrid_cache_capacity(HYBRID_CACHE_BYTES)
                    .nfa_size_limit(Some(NFA_BYTES_MAX)),
            )
            .build_from_hir(&hir)
            .map_err(|e| {
                Problem::new(
                    format!("the expression cannot be compiled: {e}"),
                    "use smaller counted repetitions",
                )
            })?;
        let index = *expressions;
        *expressions += 1;
        let groups = regex.group_info().group_len(regex_automata::PatternID::ZERO) > 1;
        Ok((Self { regex, index, groups }, hir))
    }

    /// True when it matches somewhere.
    pub fn is_match(&self, value: &[u8], caches: &mut RegexCaches) -> bool {
        let (cache, _) = caches.at(self.index, &self.regex);
        self.regex
            .search_half_with(cache, &Input::new(value).earliest(true))
            .is_some()
    }

    /// Bytes of the compiled expression.
    pub fn memory_bytes(&self) -> usize {
        self.regex.memory_usage()
    }
}

struct Rx {
    expression: Expression,
    requirement: Requirement,
}

impl Operator for Rx {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64 + SEARCH_WORK;
        if !self.expression.is_match(probe.value, probe.caches) {
            return false;
        }
        if probe.capture {
            *probe.work += probe.value.len() as u64;
            let (cache, captures) = probe.caches.at(self.expression.index, &self.expression.regex);
            let input = Input::new(probe.value);
            if self.expression.groups {
                self.expression.regex.search_captures_with(cache, &input, captures);
                for group in 0..captures.group_len() {
                    // A group that took no part is empty, at the begin of the match.
                    let span = captures
                        .get_group(group)
                        .or(captures.get_group(0).map(|s| (s.start..s.start).into()));
                    probe.groups.push(span.map_or(0..0, |s| s.start..s.end));
                }
            } else if let Some(m) = self.expression.regex.search_with(cache, &input) {
                probe.groups.push(m.range());
            }
        }
        true
    }

    fn requirement(&self) -> Requirement {
        self.requirement.clone()
    }

    fn memory_bytes(&self) -> usize {
        self.expression.memory_bytes()
    }
}

pub fn make(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    let (expression, hir) = Expression::new(r.argument, false, r.multi_line, r.expressions)?;
    Ok(Box::new(Rx {
        expression,
        requirement: literals::requirement(&hir),
    }))
}

/// `\x{hh}` means a byte in PCRE without UTF mode and a code point in regex-syntax: written as `\xhh` it is a byte in
/// both. Everything else is the same in both dialects.
fn to_bytes_dialect(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(digits) = rest
            .strip_prefix("\\x{")
            .and_then(|r| r.split_once('}'))
            .map(|(d, _)| d)
            && (1..=2).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_hexdigit())
        {
            out.push_str(&format!("\\x{digits:0>2}"));
            rest = &rest[digits.len() + 4..];
            continue;
        }
        let two = rest.char_indices().nth(2).map_or(rest.len(), |(i, _)| i);
        out.push_str(&rest[..two]);
        rest = &rest[two..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braced_bytes_are_rewritten_and_nothing_else() {
        assert_eq!(to_bytes_dialect(r"a\x{5c}\\x{41}\x{263a}\d"), r"a\x5c\\x{41}\x{263a}\d");
    }
}

//! `rx`, `rxGlobal`: regular expressions in linear time (regex-automata), with the scratch memory of each thread kept
//! apart. What no automaton can do runs behind one, within a number of steps: see [`pcre`].

use std::ops::Range;

use regex_automata::meta::{Cache, Config, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::Hir;

use super::pcre::matcher::{Scratch, TooManySteps, search};
use super::{GIVEN_UP, Groups, Operator, Probe, Recipe, Requirement, pcre};
use crate::program::literals;
use crate::program::needs::Needs;
use crate::seclang::diagnostic::Problem;

/// Bytes that the lazy automaton of one expression may take in one thread.
const HYBRID_CACHE_BYTES: usize = 192 * 1024;
/// Bytes that one compiled expression may take.
const NFA_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest expression, in bytes.
const PATTERN_BYTES_MAX: usize = 128 * 1024;
/// Work of one search beside the bytes it looks at.
const SEARCH_WORK: u64 = 32;

/// Scratch memory of all expressions of one thread: more is given back, and grows anew with what is used. Between two looks at it little
/// more can come about, so that no thread ever holds 32 MiB.
const CACHES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes searched between two looks at the scratch memory; a search counts as half a KiB at least.
const CACHES_LOOK_BYTES: usize = 64 * 1024;

/// Most expressions with macros whose filled-in forms one thread keeps.
const RUNNING_MAX: usize = 32;
/// Longest filled-in expression, in bytes.
const RUNNING_BYTES_MAX: usize = 8 * 1024;
/// Work of compiling a filled-in expression, for each of its bytes.
const RUNNING_WORK: u64 = 256;

/// Scratch memory of one thread for the expressions of one program.
#[derive(Default)]
pub struct RegexCaches {
    caches: Vec<Option<Room>>,
    /// Bytes searched since the last look at the memory.
    searched: usize,
    /// Filled-in expressions, the last used at the end; `None` for what is no expression.
    running: Vec<FilledIn>,
    scratch: Scratch,
}

/// A filled-in expression and what was made of it.
type FilledIn = (Vec<u8>, Option<(Compiled, Room)>);

/// Scratch memory of one expression.
struct Room {
    cache: Cache,
    captures: Captures,
}

impl RegexCaches {
    /// The room of an expression that is about to search so many bytes.
    fn at(&mut self, index: u32, regex: &Regex, bytes: usize) -> (&mut Room, &mut Scratch) {
        self.searched += bytes + 512;
        if self.searched > CACHES_LOOK_BYTES {
            self.give_back(CACHES_BYTES_MAX);
        }
        let index = index as usize;
        if self.caches.len() <= index {
            self.caches.resize_with(index + 1, || None);
        }
        let room = self.caches[index].get_or_insert_with(|| Room::new(regex));
        (room, &mut self.scratch)
    }

    /// Gives all rooms back when they take more than `max` bytes.
    fn give_back(&mut self, max: usize) {
        self.searched = 0;
        if self.memory_bytes() > max {
            self.clear();
        }
    }

    /// Bytes in use.
    pub fn memory_bytes(&self) -> usize {
        let fixed = self.caches.iter().flatten().map(|r| r.cache.memory_usage());
        let running = self
            .running
            .iter()
            .filter_map(|(text, e)| Some((text.len(), e.as_ref()?)));
        fixed.sum::<usize>()
            + running
                .map(|(n, (c, room))| n + c.memory_bytes() + room.cache.memory_usage())
                .sum::<usize>()
            + self.scratch.memory_bytes()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.caches.clear();
        self.running.clear();
    }
}

impl Room {
    fn new(regex: &Regex) -> Self {
        Self {
            cache: regex.create_cache(),
            captures: regex.create_captures(),
        }
    }
}

/// The automaton of an expression.
fn automaton(hir: &Hir) -> Result<Regex, Problem> {
    let config = Config::new()
        .utf8_empty(false)
        .match_kind(MatchKind::LeftmostFirst)
        .hybrid_cache_capacity(HYBRID_CACHE_BYTES)
        // The prefilter has found literals before any search runs: to extract them here again takes an eighth of what loading rules takes, and
        // no request was faster by it.
        .auto_prefilter(false)
        .nfa_size_limit(Some(NFA_BYTES_MAX));
    Regex::builder().configure(config).build_from_hir(hir).map_err(|e| {
        Problem::new(
            format!("the expression cannot be compiled: {e}"),
            "use smaller counted repetitions",
        )
    })
}

/// A compiled expression: an automaton, and behind it a program where the automaton matches too much.
struct Compiled {
    regex: Regex,
    tree: Option<Box<pcre::Program>>,
    groups: bool,
}

impl Compiled {
    fn new(pattern: &str, case_insensitive: bool, multi_line: bool) -> Result<(Self, Hir), Problem> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(Problem::new(
                format!("an expression of more than {PATTERN_BYTES_MAX} bytes"),
                "split the rule",
            ));
        }
        let tree = pcre::parse(pattern, case_insensitive, multi_line)?;
        let hir = pcre::hir(&tree);
        let regex = automaton(&hir)?;
        let tree = tree
            .special
            .then(|| pcre::Program::new(&tree).map(Box::new))
            .transpose()?;
        let groups = regex.group_info().group_len(regex_automata::PatternID::ZERO) > 1;
        Ok((Self { regex, tree, groups }, hir))
    }

    fn memory_bytes(&self) -> usize {
        self.regex.memory_usage() + self.tree.as_ref().map_or(0, |t| t.memory_bytes())
    }

    fn is_match(&self, value: &[u8], (room, scratch): (&mut Room, &mut Scratch), work: &mut u64) -> bool {
        let input = Input::new(value);
        let Some(tree) = &self.tree else {
            let half = self.regex.search_half_with(&mut room.cache, &input.earliest(true));
            return half.is_some();
        };
        let Some(m) = self.regex.search_with(&mut room.cache, &input) else {
            return false;
        };
        match search(tree, value, m.start(), scratch, work) {
            Ok(found) => found,
            Err(TooManySteps) => {
                *work = (*work).max(GIVEN_UP);
                false
            }
        }
    }

    /// The groups of the match that [`Compiled::is_match`] has just found.
    fn capture(&self, value: &[u8], (room, scratch): (&mut Room, &mut Scratch), groups: &mut Groups) {
        if self.tree.is_some() {
            let start = scratch.groups().next().flatten().map_or(0, |g| g.start);
            for group in scratch.groups() {
                groups.push(group.unwrap_or(start..start));
            }
        } else {
            self.capture_from(value, 0, room, groups);
        }
    }

    /// The groups of the first match from a position on, and where it lies.
    fn capture_from(&self, value: &[u8], from: usize, room: &mut Room, groups: &mut Groups) -> Option<Range<usize>> {
        let input = Input::new(value).range(from..);
        if !self.groups {
            let m = self.regex.search_with(&mut room.cache, &input)?;
            groups.push(m.range());
            return Some(m.range());
        }
        self.regex
            .search_captures_with(&mut room.cache, &input, &mut room.captures);
        let whole = room.captures.get_group(0)?;
        for group in 0..room.captures.group_len() {
            // A group that took no part is empty, at the begin of the match.
            let span = room.captures.get_group(group);
            groups.push(span.map_or(whole.start..whole.start, |s| s.start..s.end));
        }
        Some(whole.start..whole.end)
    }
}

/// A compiled expression with its place in [`RegexCaches`].
pub struct Expression {
    compiled: Compiled,
    index: u32,
}

impl Expression {
    /// Compiles an expression in the dialect of rules: bytes, `.` matches line feeds, `$` only the end.
    pub fn new(
        pattern: &str,
        case_insensitive: bool,
        multi_line: bool,
        expressions: &mut u32,
    ) -> Result<(Self, Hir), Problem> {
        let (compiled, hir) = Compiled::new(pattern, case_insensitive, multi_line)?;
        let index = *expressions;
        *expressions += 1;
        Ok((Self { compiled, index }, hir))
    }

    /// The same, and an error for what needs more than an automaton: look-around, back-references and the like.
    pub fn linear(
        pattern: &str,
        case_insensitive: bool,
        multi_line: bool,
        expressions: &mut u32,
    ) -> Result<(Self, Hir), Problem> {
        let (made, hir) = Self::new(pattern, case_insensitive, multi_line, expressions)?;
        if made.compiled.tree.is_some() {
            return Err(Problem::new(
                "the expression is wrong: look-around, back-references and possessive quantifiers do not exist here",
                "matching is linear; rewrite it without them",
            ));
        }
        Ok((made, hir))
    }

    /// The automaton alone of an expression that needs more: it matches wherever the expression does.
    pub fn at_least(tree: &pcre::Tree) -> Result<Self, Problem> {
        let compiled = Compiled {
            regex: automaton(&pcre::hir(tree))?,
            tree: None,
            groups: false,
        };
        Ok(Self { compiled, index: 0 })
    }

    /// True when it matches somewhere.
    pub fn is_match(&self, value: &[u8], caches: &mut RegexCaches) -> bool {
        self.compiled
            .is_match(value, caches.at(self.index, &self.compiled.regex, value.len()), &mut 0)
    }

    /// Bytes of the compiled expression.
    pub fn memory_bytes(&self) -> usize {
        self.compiled.memory_bytes()
    }

    /// Where the first match at or behind a position lies.
    pub(super) fn find_from(
        &self,
        value: &[u8],
        from: usize,
        caches: &mut RegexCaches,
        work: &mut u64,
    ) -> Option<Range<usize>> {
        let (room, scratch) = caches.at(self.index, &self.compiled.regex, value.len());
        let input = Input::new(value).range(from..);
        let m = self.compiled.regex.search_with(&mut room.cache, &input)?;
        let Some(tree) = &self.compiled.tree else {
            return Some(m.range());
        };
        match search(tree, value, m.start(), scratch, work) {
            Ok(true) => scratch.groups().next().flatten(),
            Ok(false) => None,
            Err(TooManySteps) => {
                *work = (*work).max(GIVEN_UP);
                None
            }
        }
    }

    /// True when it matches somewhere; the groups go where the probe wants them.
    pub(super) fn find_groups(&self, probe: &mut Probe<'_>) -> bool {
        let (room, scratch) = probe.caches.at(self.index, &self.compiled.regex, probe.value.len());
        let hit = self
            .compiled
            .is_match(probe.value, (&mut *room, &mut *scratch), probe.work);
        if hit && probe.capture {
            self.compiled.capture(probe.value, (room, scratch), probe.groups);
        }
        hit
    }
}

struct Rx {
    expression: Expression,
    requirement: Requirement,
    needs: Needs,
    /// Groups of all matches one after the other, not only of the first.
    global: bool,
}

impl Operator for Rx {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64 + SEARCH_WORK;
        let compiled = &self.expression.compiled;
        let room = probe
            .caches
            .at(self.expression.index, &compiled.regex, probe.value.len());
        if !compiled.is_match(probe.value, (&mut *room.0, &mut *room.1), probe.work) {
            return false;
        }
        if !probe.capture {
            return true;
        }
        *probe.work += probe.value.len() as u64;
        if !self.global || compiled.tree.is_some() {
            compiled.capture(probe.value, room, probe.groups);
            return true;
        }
        let mut from = 0;
        while from <= probe.value.len() && !probe.groups.is_full() {
            let Some(m) = compiled.capture_from(probe.value, from, room.0, probe.groups) else {
                break;
            };
            from = if m.is_empty() { m.end + 1 } else { m.end };
        }
        true
    }

    fn requirement(&self) -> Requirement {
        self.requirement.clone()
    }

    fn needs(&self) -> Needs {
        self.needs.clone()
    }

    fn memory_bytes(&self) -> usize {
        self.expression.memory_bytes()
    }
}

/// An expression that holds macros: compiled when a rule runs, and kept while it is used.
struct Running {
    multi_line: bool,
}

impl Operator for Running {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64 + SEARCH_WORK;
        let RegexCaches { running, scratch, .. } = probe.caches;
        let known = running.iter().position(|(text, _)| text == probe.argument);
        match known {
            Some(at) => running[at..].rotate_left(1),
            None => {
                *probe.work += probe.argument.len() as u64 * RUNNING_WORK;
                let made = filled_in(probe.argument).and_then(|p| Compiled::new(&p, false, self.multi_line).ok());
                if running.len() >= RUNNING_MAX {
                    running.remove(0);
                }
                let made = made.map(|(compiled, _)| {
                    let room = Room::new(&compiled.regex);
                    (compiled, room)
                });
                running.push((probe.argument.to_vec(), made));
            }
        }
        // What is no expression matches nothing, as in ModSecurity.
        let Some((_, Some((compiled, room)))) = running.last_mut() else {
            return false;
        };
        let hit = compiled.is_match(probe.value, (&mut *room, &mut *scratch), probe.work);
        if hit && probe.capture {
            compiled.capture(probe.value, (room, scratch), probe.groups);
        }
        hit
    }
}

/// A filled-in expression as text: bytes beyond ASCII are escaped, which means the same.
fn filled_in(text: &[u8]) -> Option<String> {
    if text.len() > RUNNING_BYTES_MAX {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    for b in text {
        match b.is_ascii() {
            true => out.push(char::from(*b)),
            false => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    Some(out)
}

fn make_rx(r: &mut Recipe<'_>, global: bool) -> Result<Box<dyn Operator>, Problem> {
    if r.has_macros {
        return Ok(Box::new(Running {
            multi_line: r.multi_line,
        }));
    }
    let (expression, hir) = Expression::new(r.argument, false, r.multi_line, r.expressions)?;
    Ok(Box::new(Rx {
        expression,
        requirement: literals::requirement(&hir),
        needs: Needs::of(&hir),
        global,
    }))
}

pub fn make(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    make_rx(r, false)
}

pub fn make_global(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    make_rx(r, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_given_back_when_they_take_too_much_and_matches_stay_the_same() {
        let mut expressions = 0;
        let (e, _) = Expression::new("(a|b)*c[^d]{20}e", false, false, &mut expressions).unwrap();
        let mut caches = RegexCaches::default();
        let value = b"abababc01234567890123456789e";
        assert!(e.is_match(value, &mut caches));
        let held = caches.memory_bytes();
        assert!(held > 0);
        caches.give_back(held);
        assert_eq!(caches.memory_bytes(), held);
        caches.give_back(held - 1);
        assert!(caches.memory_bytes() < held && caches.searched == 0);
        for _ in 0..1000 {
            assert!(e.is_match(value, &mut caches) == e.is_match(value, &mut RegexCaches::default()));
            assert!(caches.searched <= CACHES_LOOK_BYTES + 1024);
        }
    }
}

//! Many phrases looked for at once in linear time (Aho and Corasick 1975), ASCII case ignored.
//!
//! A trie with links to fall back by, all states in the order of their depth. It is made in one walk over the sorted phrases, without memory of
//! its own for any state: rule sets bring thousands of phrases, and most of them are never looked for, since a search over all rules finds first
//! which could match.

use std::ops::Range;

/// A state of the automaton: what was read ends with the first bytes of a phrase.
#[derive(Clone, Copy, Default)]
struct State {
    /// Where its children begin, which stand one behind the other in the order of their bytes.
    children: u32,
    /// The state of the longest proper end of what was read, to fall back to.
    fall: u32,
    /// Bytes on the way here.
    depth: u16,
    /// Bytes of the longest phrase that ends here; 0: none does.
    ends: u16,
    /// The byte that leads here from its parent.
    byte: u8,
    /// How many children there are; no phrase has upper-case letters, so that they are fewer than bytes.
    count: u8,
}

/// The automaton.
pub struct Phrases {
    states: Vec<State>,
    /// The first step, which nearly all are: the state behind each byte, 0 where no phrase begins with it.
    first: [u32; 256],
}

impl Phrases {
    /// Compiles phrases; they must be sorted, in lower case and not empty. `None` when one is longer than 65,535 bytes, or there are more states than
    /// numbers.
    pub fn new(phrases: &[Vec<u8>]) -> Option<Self> {
        let mut states = vec![State::default()];
        // For each state the phrases that begin with it.
        let mut ranges = vec![(0, phrases.len())];
        let mut at = 0;
        while let Some((mut from, end)) = ranges.get(at).copied() {
            let depth = states[at].depth as usize;
            let children = u32::try_from(states.len()).ok()?;
            states[at].children = children;
            // What goes on behind a phrase is never found: the phrase is, before it.
            while states[at].ends == 0 && from < end {
                let byte = phrases[from][depth];
                let same = phrases[from..end].iter().take_while(|p| p[depth] == byte);
                let to = from + same.count();
                // The shortest of those with the same beginning stands first.
                let complete = phrases[from].len() == depth + 1;
                let below = u16::try_from(depth + 1).ok()?;
                states.push(State {
                    byte,
                    depth: below,
                    ends: if complete { below } else { 0 },
                    ..State::default()
                });
                ranges.push((from, to));
                states[at].count += 1;
                from = to;
            }
            at += 1;
        }
        let mut out = Self {
            states,
            first: [0; 256],
        };
        for child in out.children(0) {
            let byte = out.states[child].byte;
            let number = u32::try_from(child).ok()?;
            out.first[usize::from(byte)] = number;
            out.first[usize::from(byte.to_ascii_uppercase())] = number;
        }
        out.link();
        out.states.shrink_to_fit();
        Some(out)
    }

    /// The links to fall back by: by growing depth, so that each needs only what is there.
    fn link(&mut self) {
        for parent in 1..self.states.len() {
            for child in self.children(parent) {
                let fall = self.step(self.states[parent].fall, self.states[child].byte);
                let ends = self.states[fall as usize].ends;
                let state = &mut self.states[child];
                state.fall = fall;
                if state.ends == 0 {
                    state.ends = ends;
                }
            }
        }
    }

    fn children(&self, state: usize) -> Range<usize> {
        let State { children, count, .. } = self.states[state];
        children as usize..children as usize + usize::from(count)
    }

    /// The state behind a byte in lower case.
    #[inline]
    fn step(&self, mut state: u32, byte: u8) -> u32 {
        while state != 0 {
            let children = self.children(state as usize);
            let at = self.states[children.clone()].partition_point(|s| s.byte < byte);
            if at < children.len() && self.states[children.start + at].byte == byte {
                return (children.start + at) as u32;
            }
            state = self.states[state as usize].fall;
        }
        self.first[usize::from(byte)]
    }

    /// True when one of the phrases occurs.
    pub fn occur_in(&self, value: &[u8]) -> bool {
        let mut state = 0;
        value.iter().any(|b| {
            state = self.step(state, b.to_ascii_lowercase());
            self.states[state as usize].ends != 0
        })
    }

    /// Where the first phrase lies: the one that begins first, and of those that begin there the shortest.
    pub fn find(&self, value: &[u8]) -> Option<Range<usize>> {
        let mut state = 0;
        let mut best: Option<Range<usize>> = None;
        for (to, b) in (1..).zip(value) {
            state = self.step(state, b.to_ascii_lowercase());
            let State { depth, ends, .. } = self.states[state as usize];
            // What is being read could be a phrase that begins before the one that was found.
            if let Some(found) = &best
                && to - depth as usize >= found.start
            {
                break;
            }
            let from = to - ends as usize;
            if ends != 0 && best.as_ref().is_none_or(|found| from < found.start) {
                best = Some(from..to);
            }
        }
        best
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.states.capacity() * size_of::<State>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aho_corasick::{AhoCorasick, MatchKind};
    use proptest::prelude::*;

    fn phrases(list: &[String]) -> Vec<Vec<u8>> {
        let mut out: Vec<Vec<u8>> = list.iter().map(|p| p.clone().into_bytes()).collect();
        out.sort();
        out.dedup();
        out
    }

    proptest! {
        #[test]
        fn the_same_is_found_as_by_another_automaton(
            list in proptest::collection::vec("[ab]{1,6}|[abc.]{1,4}", 1..14),
            value in "[abABc.x]{0,60}",
        ) {
            let sorted = phrases(&list);
            let other = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::LeftmostFirst)
                .build(&sorted)
                .unwrap();
            let automaton = Phrases::new(&sorted).unwrap();
            prop_assert_eq!(automaton.find(value.as_bytes()), other.find(&value).map(|m| m.range()));
            prop_assert_eq!(automaton.occur_in(value.as_bytes()), other.is_match(&value));
        }
    }

    #[test]
    fn the_phrase_that_begins_first_is_found_and_of_those_the_shortest() {
        let sorted = phrases(&["abcd", "bc", "abcde", "x", "xy"].map(str::to_owned));
        let automaton = Phrases::new(&sorted).unwrap();
        assert_eq!(automaton.find(b"zABCDE"), Some(1..5));
        assert_eq!(automaton.find(b"abce"), Some(1..3));
        assert_eq!(automaton.find(b"-xy"), Some(1..2));
        assert_eq!(automaton.find(b"ab"), None);
    }

    #[test]
    fn bytes_beyond_ascii_are_as_they_are() {
        let automaton = Phrases::new(&[vec![0xe9, b'a']]).unwrap();
        assert!(automaton.occur_in(b"\xe9A") && !automaton.occur_in(b"\xc9a"));
    }
}

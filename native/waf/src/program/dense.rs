//! The automaton of a small prefilter (Aho and Corasick 1975) as a table: one step for each byte, and long values in four
//! parts at once, since each step waits for the one before it.

use std::collections::VecDeque;

use super::prefilter::LITERAL_BYTES_MAX;

/// Bytes that a part repeats of the one before it: a literal may lie across both.
const OVERLAP: usize = LITERAL_BYTES_MAX - 1;
/// Shorter values are walked in one part.
const PARTS_BYTES_MIN: usize = 64;
/// Marks a step to a state in which a literal ends.
const ENDS: u32 = 1 << 31;

/// The automaton.
pub struct Dense {
    /// Class of each byte; letters have one for both cases, bytes of no literal share 0.
    classes: [u8; 256],
    /// For each state a row: the state behind each class, by the begin of its row, then the row of `rules`.
    steps: Vec<u32>,
    /// Columns of a row without the last.
    width: usize,
    /// Sets of rules, `words` words each.
    rules: Vec<u64>,
    words: usize,
}

impl Dense {
    /// Compiles literals (lower case, at most [`LITERAL_BYTES_MAX`] bytes) with their rules.
    pub fn new<'a>(literals: impl Iterator<Item = (&'a [u8], &'a [u32])>, words: usize) -> Self {
        let literals: Vec<_> = literals.collect();
        let mut classes = [0u8; 256];
        let mut width = 1usize;
        for b in literals.iter().flat_map(|(l, _)| l.iter()) {
            if classes[usize::from(*b)] == 0 {
                // At most 230 bytes are not an upper-case letter.
                let class = u8::try_from(width).unwrap_or(u8::MAX);
                classes[usize::from(*b)] = class;
                classes[usize::from(b.to_ascii_uppercase())] = class;
                width += 1;
            }
        }
        // The trie: 0 stands for no child, since nothing leads back to the root.
        let mut next: Vec<Vec<u32>> = vec![vec![0; width]];
        let mut found: Vec<Vec<u64>> = vec![vec![0; words]];
        for (literal, rules) in &literals {
            let mut state = 0usize;
            for b in *literal {
                let class = usize::from(classes[usize::from(*b)]);
                if next[state][class] == 0 {
                    next[state][class] = u32::try_from(next.len()).unwrap_or(0);
                    next.push(vec![0; width]);
                    found.push(vec![0; words]);
                }
                state = next[state][class] as usize;
            }
            for rule in *rules {
                found[state][*rule as usize / 64] |= 1 << (rule % 64);
            }
        }
        // By growing depth, so that the state to fall back to is complete before it is needed. The order of rows is the
        // same: those used most lie together.
        let mut order = Vec::with_capacity(next.len());
        let mut fall = vec![0usize; next.len()];
        let mut queue = VecDeque::from([0usize]);
        while let Some(state) = queue.pop_front() {
            order.push(state);
            let behind = match state {
                0 => vec![0; width],
                _ => next[fall[state]].clone(),
            };
            for (class, back) in behind.into_iter().enumerate() {
                match next[state][class] {
                    0 => next[state][class] = back,
                    child => {
                        let child = child as usize;
                        fall[child] = back as usize;
                        let (from, to) = (found[back as usize].clone(), &mut found[child]);
                        to.iter_mut().zip(from).for_each(|(t, f)| *t |= f);
                        queue.push_back(child);
                    }
                }
            }
        }
        let mut row = vec![0u32; next.len()];
        for (at, state) in order.iter().enumerate() {
            let ends = if found[*state].iter().any(|w| *w != 0) { ENDS } else { 0 };
            row[*state] = u32::try_from(at * (width + 1)).unwrap_or(0) | ends;
        }
        let mut out = Self {
            classes,
            steps: Vec::with_capacity(next.len() * (width + 1)),
            width,
            rules: Vec::new(),
            words,
        };
        for state in order {
            out.steps.extend(next[state].iter().map(|to| row[*to as usize]));
            out.steps.push(u32::try_from(out.rules.len()).unwrap_or(0));
            if row[state] & ENDS != 0 {
                out.rules.extend_from_slice(&found[state]);
            }
        }
        out
    }

    /// Adds the rules of all literals that occur in a value.
    pub fn scan(&self, value: &[u8], hits: &mut [u64]) {
        let part = value.len() / 4;
        if value.len() < PARTS_BYTES_MIN {
            self.walk(0, value, hits);
            return;
        }
        let at = |n: usize| &value[n * part - OVERLAP..];
        let (a, b, c, d) = (value, at(1), at(2), at(3));
        let mut states = [0u32; 4];
        let together = a[..part].iter().zip(&b[..part]).zip(&c[..part]).zip(&d[..part]);
        for (((a, b), c), d) in together {
            let to = [
                self.step(states[0], *a),
                self.step(states[1], *b),
                self.step(states[2], *c),
                self.step(states[3], *d),
            ];
            states = to;
            if (to[0] | to[1] | to[2] | to[3]) & ENDS != 0 {
                for state in &mut states {
                    if *state & ENDS != 0 {
                        *state = self.found(*state, hits);
                    }
                }
            }
        }
        // The first part is complete; the next two lack what they repeated, the last also what is left over.
        self.walk(states[1], &b[part..part + OVERLAP], hits);
        self.walk(states[2], &c[part..part + OVERLAP], hits);
        self.walk(states[3], &d[part..], hits);
    }

    #[inline]
    fn walk(&self, mut state: u32, text: &[u8], hits: &mut [u64]) {
        for b in text {
            state = self.step(state, *b);
            if state & ENDS != 0 {
                state = self.found(state, hits);
            }
        }
    }

    #[inline(always)]
    fn step(&self, state: u32, b: u8) -> u32 {
        self.steps[state as usize + usize::from(self.classes[usize::from(b)])]
    }

    /// Takes the rules of a state; the state without its mark.
    #[inline]
    fn found(&self, state: u32, hits: &mut [u64]) -> u32 {
        let state = state & !ENDS;
        let from = self.steps[state as usize + self.width] as usize;
        for (h, r) in hits.iter_mut().zip(&self.rules[from..from + self.words]) {
            *h |= r;
        }
        state
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.steps.len() * 4 + self.rules.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn literals_are_found_wherever_they_lie(
            literals in proptest::collection::vec("[abc.]{2,8}", 1..12),
            value in "[abcABCx.]{0,90}|[abx]{90,300}",
            cut in 0usize..300,
        ) {
            let rules: Vec<[u32; 1]> = (0..literals.len() as u32).map(|r| [r * 7]).collect();
            let dense = Dense::new(literals.iter().map(|l| l.as_bytes()).zip(rules.iter().map(|r| &r[..])), 2);
            // A literal at any place of a long value, across parts as well.
            let mut value = value.into_bytes();
            let at = cut.min(value.len());
            value.splice(at..at, literals[0].bytes());
            let mut hits = [0u64; 2];
            dense.scan(&value, &mut hits);
            let lower = value.to_ascii_lowercase();
            for (i, l) in literals.iter().enumerate() {
                let wanted = memchr::memmem::find(&lower, l.as_bytes()).is_some();
                let rule = i * 7;
                prop_assert_eq!(hits[rule / 64] >> (rule % 64) & 1 == 1, wanted, "{} in {:?}", l, value);
            }
        }
    }

    #[test]
    fn no_literal_and_no_rule_is_an_automaton_too() {
        let mut hits = [0u64; 1];
        Dense::new(std::iter::empty(), 1).scan(&[b'a'; 100], &mut hits);
        assert_eq!(hits, [0]);
    }
}

//! The automaton of a prefilter (Aho and Corasick 1975) as a table: one step for each byte, and long values in four
//! parts at once, since each step waits for the one before it.

use super::prefilter::LITERAL_BYTES_MAX;

/// Bytes that a part repeats of the one before it: a literal may lie across both.
const OVERLAP: usize = LITERAL_BYTES_MAX - 1;
/// Shorter values are walked in one part.
const PARTS_BYTES_MIN: usize = 64;
/// Marks a step to a state in which a literal ends.
const ENDS: u32 = 1 << 31;
/// In the last column of a row: no literal ends here.
const NO_RULES: u32 = u32::MAX;

/// The automaton.
pub struct Dense {
    /// Class of each byte; letters have one for both cases, bytes of no literal share 0.
    classes: [u8; 256],
    /// For each state a row: the state behind each class, by the begin of its row, then where its rules stand in `rules`.
    steps: Vec<u32>,
    /// Columns of a row without the last.
    width: usize,
    /// Sets of rules, `words` words each; states with the same rules may share one.
    rules: Vec<u64>,
    words: usize,
}

impl Dense {
    /// Compiles literals (lower case, at most [`LITERAL_BYTES_MAX`] bytes) with their rules; `None` when the table would take
    /// more than `bytes_max`.
    pub fn new<'a>(
        literals: impl Iterator<Item = (&'a [u8], &'a [u32])>,
        words: usize,
        bytes_max: usize,
    ) -> Option<Self> {
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
        let mut out = Self {
            classes,
            // The root, whose row stands for no child as well, since nothing leads back to it.
            steps: vec![0; width + 1],
            width,
            rules: Vec::new(),
            words,
        };
        out.steps[width] = NO_RULES;
        out.grow(&literals, bytes_max)?;
        out.complete();
        Some(out)
    }

    /// The trie, one depth after the other, so that rows stand by growing depth: those used most lie together.
    fn grow(&mut self, literals: &[(&[u8], &[u32])], bytes_max: usize) -> Option<()> {
        let stride = self.width + 1;
        let mut states = vec![0usize; literals.len()];
        for depth in 0..LITERAL_BYTES_MAX {
            for ((literal, rules), state) in literals.iter().zip(&mut states) {
                let Some(b) = literal.get(depth) else { continue };
                let place = *state + usize::from(self.classes[usize::from(*b)]);
                if self.steps[place] == 0 {
                    if (self.steps.len() + stride) * 4 + self.rules.len() * 8 > bytes_max {
                        return None;
                    }
                    self.steps[place] = u32::try_from(self.steps.len()).ok()?;
                    self.steps.resize(self.steps.len() + stride, 0);
                    *self.steps.last_mut()? = NO_RULES;
                }
                *state = self.steps[place] as usize;
                if literal.len() == depth + 1 {
                    let set = self.own_set(*state + self.width);
                    for rule in *rules {
                        self.rules[set + *rule as usize / 64] |= 1 << (rule % 64);
                    }
                }
            }
        }
        Some(())
    }

    /// The set of rules whose place stands at `at`, made when there is none.
    fn own_set(&mut self, at: usize) -> usize {
        if self.steps[at] == NO_RULES {
            self.steps[at] = u32::try_from(self.rules.len()).unwrap_or(0);
            self.rules.resize(self.rules.len() + self.words, 0);
        }
        self.steps[at] as usize
    }

    /// Fills the steps that lead to no child: they go where the longest end of what was read leads. By growing depth, so that the state to
    /// fall back to is complete before it is needed.
    fn complete(&mut self) {
        let stride = self.width + 1;
        let mut fall = vec![0u32; self.steps.len() / stride];
        for state in (0..self.steps.len()).step_by(stride) {
            let back = (fall[state / stride] & !ENDS) as usize;
            for class in 0..self.width {
                let behind = if state == 0 { 0 } else { self.steps[back + class] };
                let child = self.steps[state + class];
                if child == 0 {
                    self.steps[state + class] = behind;
                    continue;
                }
                fall[child as usize / stride] = behind;
                let (from, to) = ((behind & !ENDS) as usize + self.width, child as usize + self.width);
                match (self.steps[from], self.steps[to]) {
                    (NO_RULES, NO_RULES) => continue,
                    (NO_RULES, _) => {}
                    // The same rules are one set.
                    (same, NO_RULES) => self.steps[to] = same,
                    (theirs, own) => {
                        for word in 0..self.words {
                            self.rules[own as usize + word] |= self.rules[theirs as usize + word];
                        }
                    }
                }
                self.steps[state + class] = child | ENDS;
            }
        }
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
            let dense = Dense::new(literals.iter().map(|l| l.as_bytes()).zip(rules.iter().map(|r| &r[..])), 2, 1 << 20).unwrap();
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
    fn a_table_beyond_its_bound_is_not_made() {
        let of = |max| Dense::new([(&b"abcdefgh"[..], &[0u32][..])].into_iter(), 1, max);
        let bytes = of(1 << 20).unwrap().memory_bytes();
        assert!(of(bytes).is_some() && of(bytes - 16).is_none());
    }

    #[test]
    fn no_literal_and_no_rule_is_an_automaton_too() {
        let mut hits = [0u64; 1];
        Dense::new(std::iter::empty(), 1, 1 << 20)
            .unwrap()
            .scan(&[b'a'; 100], &mut hits);
        assert_eq!(hits, [0]);
    }
}

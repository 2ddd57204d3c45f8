//! One search over a value finds the rules of a phase that could match it.
//!
//! The required literals of all rules stand in one automaton; literals of one byte are looked up in the value's set of
//! bytes instead. Which transformed values a rule sees is written down by variable, selector and chain, so that a phase
//! begins with the set of rules worth a visit.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, MatchKind, automaton::OverlappingState};

use super::bits::Bits;
use super::dense::Dense;
use crate::bytes::ByteSet;
use crate::seclang::variable::Var;

/// Literals are cut to this length: enough to be rare, short enough for a small automaton.
pub(super) const LITERAL_BYTES_MAX: usize = 8;
/// Most bytes of the automaton as a table: a step in it takes a tenth of what one takes otherwise, and ordinary text keeps to few rows. That of
/// the Core Rule Set takes half of it.
const DENSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The rules that look at one chain of a class.
pub struct ChainUse {
    /// Index into the program's chains.
    pub chain: u16,
    /// Its transformations, as bits.
    pub steps: u64,
    /// The rules.
    pub rules: Bits,
}

/// The rules that look at one selector of a variable.
pub struct Class {
    /// Lower-case key; `None`: all keys.
    pub key: Option<Vec<u8>>,
    /// By chain.
    pub chains: Vec<ChainUse>,
    /// Transformations of all chains, as bits.
    pub steps: u64,
    /// All rules.
    pub rules: Bits,
    /// Counts the classes of a phase.
    pub number: usize,
    /// Rules that require no literal, so that every value is one of theirs.
    pub unfiltered: Bits,
}

/// The classes of one phase, by variable.
pub type Classes = Vec<(Var, Vec<Class>)>;

/// The class of a selector. `size` is the number of rules of the phase.
fn class_of<'a>(classes: &'a mut Classes, size: usize, (var, key): (Var, Option<&[u8]>)) -> &'a mut Class {
    let number = classes.iter().map(|(_, list)| list.len()).sum();
    let at = classes.iter().position(|(v, _)| *v == var).unwrap_or_else(|| {
        classes.push((var, Vec::new()));
        classes.len() - 1
    });
    let list = &mut classes[at].1;
    let at = list.iter().position(|c| c.key.as_deref() == key).unwrap_or_else(|| {
        list.push(Class {
            key: key.map(<[u8]>::to_vec),
            chains: Vec::new(),
            steps: 0,
            rules: Bits::new(size),
            number,
            unfiltered: Bits::new(size),
        });
        list.len() - 1
    });
    &mut list[at]
}

/// Notes that a rule looks at values whatever they hold.
pub fn note_unfiltered(classes: &mut Classes, size: usize, rule: usize, of: (Var, Option<&[u8]>)) {
    let class = class_of(classes, size, of);
    class.unfiltered.add(rule);
    class.rules.add(rule);
}

/// Notes that a rule sees values of a variable through a chain.
pub fn note(classes: &mut Classes, size: usize, rule: usize, of: (Var, Option<&[u8]>), (chain, steps): (u16, u64)) {
    let class = class_of(classes, size, of);
    class.rules.add(rule);
    class.steps |= steps;
    let at = class.chains.iter().position(|u| u.chain == chain).unwrap_or_else(|| {
        class.chains.push(ChainUse {
            chain,
            steps,
            rules: Bits::new(size),
        });
        class.chains.len() - 1
    });
    class.chains[at].rules.add(rule);
}

/// The prefilter of phases that see the same values.
#[derive(Default)]
pub struct Prefilter {
    dense: Option<Dense>,
    automaton: Option<AhoCorasick>,
    /// Rules of each literal: ranges of `rules`.
    spans: Vec<(u32, u32)>,
    rules: Vec<u32>,
    singles: ByteSet,
    /// For each byte of `singles` the index of its rules.
    single_index: Vec<u16>,
    single_rules: Vec<Bits>,
    /// Words of a set of rules of all its phases.
    pub words: usize,
}

/// Collects what the rules require.
#[derive(Default)]
pub struct Builder {
    words: usize,
    /// Literals, cut and filled up with zeros, with their lengths and rules.
    literals: Vec<([u8; LITERAL_BYTES_MAX], u8, u32)>,
}

impl Builder {
    /// Adds a phase with this many rules; the word at which its sets begin.
    pub fn phase(&mut self, rules: usize) -> usize {
        let first = self.words;
        self.words += rules.div_ceil(64);
        first
    }

    /// A match of the rule (counted from the first word on) holds one of these.
    pub fn require(&mut self, rule: usize, literals: &[Vec<u8>]) {
        for l in literals {
            let mut cut = [0; LITERAL_BYTES_MAX];
            let mut len = 0;
            for (to, b) in cut.iter_mut().zip(l) {
                *to = *b;
                len += 1;
            }
            self.literals.push((cut, len, u32::try_from(rule).unwrap_or(u32::MAX)));
        }
    }

    /// Compiles the automaton.
    pub fn build(mut self) -> Result<Prefilter, String> {
        self.literals.sort_unstable();
        self.literals.dedup();
        let size = self.words * 64;
        let mut out = Prefilter {
            words: self.words,
            ..Prefilter::default()
        };
        let mut patterns: Vec<&[u8]> = Vec::new();
        for (cut, len, rule) in &self.literals {
            let literal = &cut[..usize::from(*len)];
            if let [b] = *literal {
                for byte in [b, b.to_ascii_uppercase()] {
                    if !out.singles.has(byte) {
                        out.singles.add(byte);
                        out.single_index.resize(256, 0);
                        out.single_index[usize::from(byte)] = u16::try_from(out.single_rules.len()).unwrap_or(0);
                        out.single_rules.push(Bits::new(size));
                    }
                    out.single_rules[usize::from(out.single_index[usize::from(byte)])].add(*rule as usize);
                }
                continue;
            }
            if patterns.last().copied() != Some(literal) {
                patterns.push(literal);
                let at = u32::try_from(out.rules.len()).unwrap_or(u32::MAX);
                out.spans.push((at, at));
            }
            out.rules.push(*rule);
            if let Some(s) = out.spans.last_mut() {
                s.1 += 1;
            }
        }
        let span = |(from, to): &(u32, u32)| &out.rules[*from as usize..*to as usize];
        let with_rules = patterns.iter().copied().zip(out.spans.iter().map(span));
        out.dense = Dense::new(with_rules, self.words, DENSE_BYTES_MAX);
        if out.dense.is_some() {
            (out.spans, out.rules) = (Vec::new(), Vec::new());
        } else {
            let built = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(&patterns)
                .map_err(|e| e.to_string())?;
            out.automaton = Some(built);
        }
        Ok(out)
    }
}

impl Prefilter {
    /// Adds the rules that could match a value to `hits`, which has [`Prefilter::words`] words.
    pub fn scan(&self, value: &[u8], present: &ByteSet, hits: &mut [u64]) {
        for (i, (p, s)) in present.0.iter().zip(&self.singles.0).enumerate() {
            let mut both = p & s;
            while both != 0 {
                let byte = i * 64 + both.trailing_zeros() as usize;
                both &= both - 1;
                let rules = &self.single_rules[usize::from(self.single_index[byte])];
                for (h, r) in hits.iter_mut().zip(&rules.0) {
                    *h |= r;
                }
            }
        }
        if value.len() < 2 {
            return;
        }
        if let Some(dense) = &self.dense {
            return dense.scan(value, hits);
        }
        let Some(automaton) = &self.automaton else { return };
        let mut state = OverlappingState::start();
        let input = aho_corasick::Input::new(value).anchored(Anchored::No);
        loop {
            automaton.find_overlapping(input.clone(), &mut state);
            let Some(m) = state.get_match() else { return };
            let (from, to) = self.spans[m.pattern().as_usize()];
            for rule in &self.rules[from as usize..to as usize] {
                let rule = *rule as usize;
                if let Some(w) = hits.get_mut(rule / 64) {
                    *w |= 1 << (rule % 64);
                }
            }
        }
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.automaton.as_ref().map_or(0, AhoCorasick::memory_usage)
            + self.dense.as_ref().map_or(0, Dense::memory_bytes)
            + self.rules.len() * 4
            + self.spans.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_by_their_literals() {
        let mut b = Builder::default();
        assert_eq!((b.phase(70), b.phase(3)), (0, 2));
        b.require(0, &[b"select".to_vec(), b"union".to_vec()]);
        b.require(65, &[b"'".to_vec(), b"x".to_vec()]);
        b.require(66, &[b"selector_that_is_long".to_vec()]);
        let p = b.build().unwrap();
        let hits = |text: &[u8]| {
            let mut words = vec![0; p.words];
            p.scan(text, &ByteSet::present_in(text), &mut words);
            Bits(words).iter().collect::<Vec<_>>()
        };
        assert_eq!(hits(b"a SELECT b"), [0]);
        assert_eq!(hits(b"X"), [65]);
        assert_eq!(hits(b"it's selector_of"), [0, 65, 66]);
        assert_eq!(hits(b"nothing"), [] as [usize; 0]);
    }
}

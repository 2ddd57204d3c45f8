//! One search over a value finds the rules of a phase that could match it.
//!
//! The required literals of all rules stand in one automaton; literals of one byte are looked up in the value's set of
//! bytes instead. Which transformed values a rule sees is written down by variable, selector and chain, so that a phase
//! begins with the set of rules worth a visit.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, MatchKind, automaton::OverlappingState};

use super::bits::Bits;
use crate::bytes::ByteSet;
use crate::seclang::variable::{VARIABLE_COUNT, Var};

/// Literals are cut to this length: enough to be rare, short enough for a small automaton.
const LITERAL_BYTES_MAX: usize = 8;
/// Below this sum of literal bytes the automaton is a dense table.
const DENSE_BYTES_MAX: usize = 6_000;

/// The rules that look at one chain of a class.
pub struct ChainUse {
    /// Index into the program's chains.
    pub chain: u16,
    /// Its trigger; `None`: it changes any value.
    pub trigger: Option<ByteSet>,
    /// The rules.
    pub rules: Bits,
}

/// The rules that look at one selector of a variable.
pub struct Class {
    /// Lower-case key; `None`: all keys.
    pub key: Option<Vec<u8>>,
    /// By chain.
    pub chains: Vec<ChainUse>,
    /// Bytes that any chain with triggers reacts to.
    pub trigger: ByteSet,
    /// Rules of all chains with triggers.
    pub quiet_rules: Bits,
}

/// The prefilter of one phase.
#[derive(Default)]
pub struct Prefilter {
    automaton: Option<AhoCorasick>,
    /// Rules of each literal: ranges of `rules`.
    spans: Vec<(u32, u32)>,
    rules: Vec<u32>,
    singles: ByteSet,
    single_rules: Vec<(u8, Bits)>,
    /// Words of a set of rules.
    pub words: usize,
    /// Classes by variable.
    pub classes: Vec<(Var, Vec<Class>)>,
}

/// Collects what the rules require.
pub struct Builder {
    rule_count: usize,
    literals: Vec<(Vec<u8>, u32)>,
    classes: Vec<Vec<Class>>,
}

impl Builder {
    /// For a phase with this many rules.
    pub fn new(rule_count: usize) -> Self {
        Self {
            rule_count,
            literals: Vec::new(),
            classes: (0..VARIABLE_COUNT).map(|_| Vec::new()).collect(),
        }
    }

    /// A match of the rule holds one of these.
    pub fn require(&mut self, rule: usize, literals: &[Vec<u8>]) {
        for l in literals {
            let cut = &l[..l.len().min(LITERAL_BYTES_MAX)];
            self.literals
                .push((cut.to_vec(), u32::try_from(rule).unwrap_or(u32::MAX)));
        }
    }

    /// The rule sees values of a variable through a chain.
    pub fn sees(&mut self, rule: usize, var: Var, key: Option<&[u8]>, chain: u16, trigger: Option<ByteSet>) {
        let size = self.rule_count;
        let classes = &mut self.classes[var as usize];
        let at = classes.iter().position(|c| c.key.as_deref() == key).unwrap_or_else(|| {
            classes.push(Class {
                key: key.map(<[u8]>::to_vec),
                chains: Vec::new(),
                trigger: ByteSet::EMPTY,
                quiet_rules: Bits::new(size),
            });
            classes.len() - 1
        });
        let class = &mut classes[at];
        if let Some(t) = trigger {
            class.trigger = class.trigger.or(t);
            class.quiet_rules.add(rule);
        }
        let at = class.chains.iter().position(|u| u.chain == chain).unwrap_or_else(|| {
            class.chains.push(ChainUse {
                chain,
                trigger,
                rules: Bits::new(size),
            });
            class.chains.len() - 1
        });
        class.chains[at].rules.add(rule);
    }

    /// Compiles the automaton.
    pub fn build(mut self) -> Result<Prefilter, String> {
        self.literals.sort();
        self.literals.dedup();
        let mut out = Prefilter {
            words: self.rule_count.div_ceil(64),
            ..Prefilter::default()
        };
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        for (literal, rule) in self.literals {
            if let [b] = literal[..] {
                out.singles.add(b);
                out.singles.add(b.to_ascii_uppercase());
                for byte in [b, b.to_ascii_uppercase()] {
                    if !out.single_rules.iter().any(|(x, _)| *x == byte) {
                        out.single_rules.push((byte, Bits::new(self.rule_count)));
                    }
                    if let Some((_, rules)) = out.single_rules.iter_mut().find(|(x, _)| *x == byte) {
                        rules.add(rule as usize);
                    }
                }
                continue;
            }
            if patterns.last() != Some(&literal) {
                patterns.push(literal);
                let at = u32::try_from(out.rules.len()).unwrap_or(u32::MAX);
                out.spans.push((at, at));
            }
            out.rules.push(rule);
            if let Some(s) = out.spans.last_mut() {
                s.1 += 1;
            }
        }
        if !patterns.is_empty() {
            let dense = patterns.iter().map(Vec::len).sum::<usize>() <= DENSE_BYTES_MAX;
            let kind = if dense {
                AhoCorasickKind::DFA
            } else {
                AhoCorasickKind::ContiguousNFA
            };
            let built = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .kind(Some(kind))
                .build(&patterns)
                .map_err(|e| e.to_string())?;
            out.automaton = Some(built);
        }
        out.classes = self
            .classes
            .into_iter()
            .enumerate()
            .filter(|(_, c)| !c.is_empty())
            .map(|(v, c)| (crate::seclang::variable::VARIABLES[v].var, c))
            .collect();
        Ok(out)
    }
}

impl Prefilter {
    /// Adds the rules that could match a value to `hits`, which has [`Prefilter::words`] words.
    pub fn scan(&self, value: &[u8], present: &ByteSet, hits: &mut [u64]) {
        if present.meets(&self.singles) {
            for (byte, rules) in &self.single_rules {
                if present.has(*byte) {
                    for (h, r) in hits.iter_mut().zip(&rules.0) {
                        *h |= r;
                    }
                }
            }
        }
        let Some(automaton) = &self.automaton else { return };
        if value.len() < 2 {
            return;
        }
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
        self.automaton.as_ref().map_or(0, AhoCorasick::memory_usage) + self.rules.len() * 4 + self.spans.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_by_their_literals() {
        let mut b = Builder::new(70);
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

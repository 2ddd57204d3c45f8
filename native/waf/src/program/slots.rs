//! Names of the variables that rules set, numbered when rules are compiled.

use std::collections::HashMap;

use crate::operator::{Expression, RegexCaches};
use crate::seclang::variable::Var;

/// The names. TX.0 to TX.9 have the numbers 0 to 9.
#[derive(Debug)]
pub struct Slots {
    names: Vec<(Var, Vec<u8>)>,
    /// By name alone, so that a look-up need not own one; few stores know the same name.
    index: HashMap<Vec<u8>, Vec<(Var, u32)>>,
}

impl Default for Slots {
    fn default() -> Self {
        let mut slots = Self {
            names: Vec::new(),
            index: HashMap::new(),
        };
        for digit in b'0'..=b'9' {
            slots.number(Var::Tx, &[digit]);
        }
        slots
    }
}

impl Slots {
    /// The number of a name, new if need be. Names ignore case.
    pub fn number(&mut self, store: Var, name: &[u8]) -> u32 {
        let name = name.to_ascii_lowercase();
        if let Some(n) = self.find(store, &name) {
            return n;
        }
        let n = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.index.entry(name.clone()).or_default().push((store, n));
        self.names.push((store, name));
        n
    }

    /// The number of a lower-case name, if rules know it.
    pub fn find(&self, store: Var, name: &[u8]) -> Option<u32> {
        let known = self.index.get(name)?.iter().find(|(of, _)| *of == store);
        known.map(|(_, n)| *n)
    }

    /// The numbers of the names of a store that an expression matches.
    pub fn matching(&self, store: Var, pattern: &Expression, caches: &mut RegexCaches) -> Vec<u32> {
        let all = (0u32..).zip(&self.names);
        all.filter(|(_, (of, name))| *of == store && pattern.is_match(name, caches))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// Store and name of a number.
    pub fn name(&self, slot: u32) -> (Var, &[u8]) {
        match self.names.get(slot as usize) {
            Some((v, n)) => (*v, n),
            None => (Var::Tx, b""),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never true: the groups are always there.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

//! What is known by keys of 64 bits: words in one list, found by open addressing. Nothing is cleared one by one: entries of other
//! generations are free.

/// Where words stand; until facts are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words(u32);

#[derive(Clone, Copy, Default)]
struct Fact {
    key: u64,
    /// Facts of other generations are free places.
    generation: u32,
    words: u32,
}

/// The facts.
pub struct Facts {
    /// Half of the places are used at most.
    table: Vec<Fact>,
    /// Never 0.
    generation: u32,
    count: usize,
    words: Vec<u64>,
    words_max: usize,
    /// Nothing more is noted until all is forgotten.
    pub full: bool,
}

impl Facts {
    /// Room for half as many facts as `places` (a power of two), with this many words together before no more are noted.
    pub fn new(places: usize, words_max: usize) -> Self {
        Self {
            table: vec![Fact::default(); places.next_power_of_two()],
            generation: 1,
            count: 0,
            words: Vec::new(),
            words_max,
            full: false,
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.table.fill(Fact::default());
            self.generation = 1;
        }
        self.count = 0;
        self.words.clear();
        self.full = false;
    }

    /// The words of a key.
    #[inline]
    pub fn get(&self, key: u64) -> Option<Words> {
        self.find(key).ok()
    }

    /// The words behind a place.
    #[inline]
    pub fn words(&self, at: Words, words: usize) -> &[u64] {
        &self.words[at.0 as usize..at.0 as usize + words]
    }

    /// Adds words and notes them for a key, unless there is no room: then they stay until all is forgotten, and nobody finds them.
    pub fn note(&mut self, key: u64, words: &[u64]) -> Words {
        let at = Words(self.words.len() as u32);
        self.words.extend_from_slice(words);
        if self.count >= self.table.len() / 2 || self.words.len() > self.words_max {
            self.full = true;
        } else if let Err(place) = self.find(key) {
            self.table[place] = Fact {
                key,
                generation: self.generation,
                words: at.0,
            };
            self.count += 1;
        }
        at
    }

    /// The words of a key, or the place where it belongs. Ends, since half of the places are free.
    #[inline]
    fn find(&self, key: u64) -> Result<Words, usize> {
        let mask = self.table.len() - 1;
        let mut at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & mask;
        loop {
            let fact = &self.table[at];
            if fact.generation != self.generation {
                return Err(at);
            }
            if fact.key == key {
                return Ok(Words(fact.words));
            }
            at = (at + 1) & mask;
        }
    }

    /// Bytes of memory in use.
    pub fn memory_bytes(&self) -> usize {
        self.table.capacity() * size_of::<Fact>() + self.words.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_their_keys_until_they_are_forgotten() {
        let mut f = Facts::new(8, 100);
        let at = f.note(7, &[1, 2]);
        assert_eq!((f.get(7), f.words(at, 2)), (Some(at), &[1, 2][..]));
        assert_eq!(f.get(8), None);
        for key in 10..20 {
            let at = f.note(key, &[key]);
            assert_eq!(f.words(at, 1), [key], "what is not noted can be read all the same");
        }
        assert!(f.full && f.get(12).is_some() && f.get(19).is_none());
        f.clear();
        assert!(!f.full && f.get(7).is_none());
    }
}

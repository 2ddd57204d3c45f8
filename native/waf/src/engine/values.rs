//! Interned values: equal bytes have one id, so each distinct byte string is transformed by each function once and searched
//! once for each group of phases. What was found out about a value depends on its bytes and the program alone, so it is kept from
//! one transaction to the next until there is too much of it: most fields of most requests were seen before.

use std::sync::Arc;

use super::facts::{Facts, Words};
use crate::bytes::ByteSet;
use crate::program::prefilter::Prefilter;
use crate::program::{Chain, GROUPS};
use crate::transform::{TRANSFORMS, TRIGGERS, TransformId, URL_DECODE_UNI, UnicodeMap};

/// Id of a value. 0 is the empty value.
pub type ValueId = u32;

/// Bytes that all values of one transaction may take together.
pub const ARENA_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of values, and of what is known of them, beyond which all is forgotten before the next transaction. Small enough to
/// stay in a processor's cache beside everything else.
const KNOWN_BYTES_MAX: usize = 128 * 1024;
/// Values, likewise; at least as many as the head of one ordinary request has.
const KNOWN_VALUES_MAX: usize = TABLE_KEEP / 2;
/// Bytes of memory that are kept for the next transaction.
const KEEP_BYTES: usize = 4 * 1024 * 1024;
/// Entries of the table that are kept for the next transaction; a larger one grows again when it is needed.
const TABLE_KEEP: usize = 2048;
/// Places for facts.
const FACTS: usize = 4096;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Meta {
    at: u32,
    len: u32,
    hash: u32,
    /// Row of the transformation memo, or `NONE`.
    memo: u32,
    /// Rows of the hits for each group of phases, or `NONE`.
    hits: [u32; GROUPS],
    /// A value that differs only in the case of letters, or `NONE`: the prefilter ignores case, so it has the same hits.
    twin: u32,
    /// `present` and `active` are worked out.
    known: bool,
    present: ByteSet,
    /// Transformations that could change the value, as bits; one that turned out not to is left out.
    active: u64,
}

/// The values.
pub struct Values {
    arena: Vec<u8>,
    metas: Vec<Meta>,
    /// Open addressing: the generation in the upper half, the index of a meta in the lower. Entries of other generations
    /// are free, so that nothing is cleared between transactions.
    table: Vec<u64>,
    /// Never 0.
    generation: u32,
    /// For each value that needs one a row: the results of each transformation, then of each chain.
    memo: Vec<u32>,
    memo_width: usize,
    hits: Vec<u64>,
    /// Group of phases that runs.
    group: usize,
    /// What was found out about values as words, by keys.
    facts: Facts,
    room: Vec<u64>,
    scratch: Vec<u8>,
    /// How `urlDecodeUni` reads `%u`, if rules say. When it changes, all must be forgotten.
    pub unicode: Option<Arc<UnicodeMap>>,
    seed: u64,
    /// The arena is full: values are cut from now on.
    pub exhausted: bool,
}

impl Default for Values {
    fn default() -> Self {
        use std::hash::{BuildHasher, Hasher};
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let mut out = Self {
            arena: Vec::new(),
            metas: Vec::new(),
            table: vec![0; TABLE_KEEP],
            generation: 0,
            memo: Vec::new(),
            memo_width: 0,
            hits: Vec::new(),
            group: 0,
            facts: Facts::new(FACTS, KNOWN_BYTES_MAX / 8),
            room: Vec::new(),
            scratch: Vec::new(),
            unicode: None,
            seed,
            exhausted: false,
        };
        out.reset(0);
        out
    }
}

impl Values {
    /// Before each transaction: forgets all values when they have become too many.
    pub fn begin(&mut self, chains: usize) {
        // Where no room was left, results were cut: they must not be believed again.
        if self.exhausted
            || self.metas.len() > KNOWN_VALUES_MAX
            || self.arena.len() > KNOWN_BYTES_MAX
            || self.memo.len() * 4 > KNOWN_BYTES_MAX
            || self.hits.len() * 8 > KNOWN_BYTES_MAX
            || self.facts.full
        {
            self.reset(chains);
        }
    }

    /// The next transaction begins without knowledge.
    pub fn forget(&mut self) {
        self.facts.full = true;
    }

    /// Forgets all values; memory is kept within a bound. `chains` is how many chains the program has.
    pub fn reset(&mut self, chains: usize) {
        self.memo_width = TRANSFORMS.len() + chains;
        self.arena.clear();
        self.metas.clear();
        self.memo.clear();
        self.hits.clear();
        self.facts.clear();
        self.exhausted = false;
        if self.arena.capacity() > KEEP_BYTES
            || self.metas.capacity() * 64 > KEEP_BYTES
            || self.memo.capacity() * 4 > KEEP_BYTES
        {
            self.arena = Vec::new();
            self.metas = Vec::new();
            self.memo = Vec::new();
            self.hits = Vec::new();
            self.scratch = Vec::new();
            self.table = vec![0; TABLE_KEEP];
        }
        self.table.truncate(TABLE_KEEP);
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.table.fill(0);
            self.generation = 1;
        }
        self.intern(b"");
    }

    /// The bytes of a value.
    #[inline]
    pub fn get(&self, id: ValueId) -> &[u8] {
        let m = &self.metas[id as usize];
        &self.arena[m.at as usize..(m.at + m.len) as usize]
    }

    /// The bytes that occur in a value, worked out when first asked for: keys never are.
    #[inline]
    pub fn present(&mut self, id: ValueId) -> &ByteSet {
        self.look_at(id);
        &self.metas[id as usize].present
    }

    /// The transformations that could change a value, as bits.
    #[inline]
    pub fn active(&mut self, id: ValueId) -> u64 {
        self.look_at(id);
        self.metas[id as usize].active
    }

    #[inline]
    fn look_at(&mut self, id: ValueId) {
        if !self.metas[id as usize].known {
            self.look_closely(id);
        }
    }

    #[cold]
    fn look_closely(&mut self, id: ValueId) {
        let m = &mut self.metas[id as usize];
        m.known = true;
        m.present = ByteSet::present_in(&self.arena[m.at as usize..(m.at + m.len) as usize]);
        m.active = TRIGGERS.of(&m.present);
    }

    /// The id of some bytes. When the arena is full, the id of the empty value.
    pub fn intern(&mut self, bytes: &[u8]) -> ValueId {
        let hash = hash(bytes, self.seed);
        let free = match self.find(hash, bytes) {
            Ok(id) => return id,
            Err(free) => free,
        };
        if self.arena.len() + bytes.len() > ARENA_BYTES_MAX {
            self.exhausted = true;
            return 0;
        }
        let at = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.push(at, bytes.len(), hash, free)
    }

    /// The id of a number in decimal.
    pub fn intern_int(&mut self, n: i64) -> ValueId {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        crate::bytes::push_int(&mut scratch, n);
        let id = self.intern(&scratch);
        self.scratch = scratch;
        id
    }

    /// The id of a part of a value.
    pub fn intern_part(&mut self, id: ValueId, range: std::ops::Range<usize>) -> ValueId {
        let m = self.metas[id as usize];
        if range.end > m.len as usize || range.start > range.end {
            return 0;
        }
        if range.len() == m.len as usize {
            return id;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(&self.get(id)[range]);
        let part = self.intern(&scratch);
        self.scratch = scratch;
        part
    }

    /// The value with these bytes, or the entry of the table where it belongs.
    #[inline]
    fn find(&self, hash: u32, bytes: &[u8]) -> Result<ValueId, usize> {
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let entry = self.table[at];
            if (entry >> 32) as u32 != self.generation {
                return Err(at);
            }
            let m = &self.metas[entry as u32 as usize];
            if m.hash == hash && &self.arena[m.at as usize..(m.at + m.len) as usize] == bytes {
                return Ok(entry as u32);
            }
            at = (at + 1) & mask;
        }
    }

    fn push(&mut self, at: usize, len: usize, hash: u32, free: usize) -> ValueId {
        let id = self.metas.len() as u32;
        self.metas.push(Meta {
            at: at as u32,
            len: len as u32,
            hash,
            memo: NONE,
            hits: [NONE; GROUPS],
            twin: NONE,
            known: false,
            present: ByteSet::EMPTY,
            active: 0,
        });
        let generation = u64::from(self.generation) << 32;
        if self.metas.len() * 2 > self.table.len() {
            let size = self.table.len() * 2;
            self.table.clear();
            self.table.resize(size, 0);
            for (i, m) in self.metas.iter().enumerate() {
                place(&mut self.table, m.hash, generation | i as u64);
            }
        } else {
            self.table[free] = generation | u64::from(id);
        }
        id
    }

    /// Applies a chain, which has a number below what [`Values::reset`] was told. `work` grows by the bytes transformed.
    #[inline]
    pub fn transform(&mut self, id: ValueId, (number, chain): (u16, &Chain), work: &mut u64) -> ValueId {
        if chain.set & self.active(id) == 0 {
            return id;
        }
        let slot = self.memo_row(id) + TRANSFORMS.len() + usize::from(number);
        let known = self.memo[slot];
        if known != NONE {
            return known;
        }
        let mut result = id;
        for step in &chain.steps {
            if self.active(result) >> step & 1 != 0 {
                result = self.apply(result, *step, work);
            }
        }
        self.memo[slot] = result;
        result
    }

    /// Applies one transformation.
    pub fn apply(&mut self, id: ValueId, step: TransformId, work: &mut u64) -> ValueId {
        if self.active(id) >> step & 1 == 0 {
            return id;
        }
        let def = &TRANSFORMS[usize::from(step)];
        let row = self.memo_row(id);
        let known = self.memo[row + usize::from(step)];
        if known != NONE {
            return known;
        }
        let input = self.get(id);
        *work += 16 + input.len() as u64;
        if (def.keeps)(input) {
            self.metas[id as usize].active &= !(1 << step);
            return id;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let input = self.get(id);
        match &self.unicode {
            Some(map) if step == URL_DECODE_UNI => map.decode(input, &mut scratch),
            _ => (def.apply)(input, &mut scratch),
        }
        let result = self.intern(&scratch);
        self.scratch = scratch;
        self.memo[row + usize::from(step)] = result;
        if result == id {
            self.metas[id as usize].active &= !(1 << step);
        }
        if def.folds_case && result > id {
            self.metas[result as usize].twin = id;
        }
        result
    }

    fn memo_row(&mut self, id: ValueId) -> usize {
        let m = &mut self.metas[id as usize];
        if m.memo == NONE {
            m.memo = self.memo.len() as u32;
            self.memo.resize(self.memo.len() + self.memo_width, NONE);
        }
        m.memo as usize
    }

    /// Says which group of phases runs: each has a prefilter of its own, and hits of its own.
    pub fn use_group(&mut self, group: usize) {
        self.group = group.min(GROUPS - 1);
    }

    /// The rules of the running phase that could match a value. All phases of a group share one prefilter and one search.
    #[inline]
    pub fn hits(&mut self, id: ValueId, prefilter: &Prefilter, work: &mut u64) -> &[u64] {
        let row = self.hits_row(id, prefilter, work);
        self.hits_of(row, prefilter)
    }

    /// Where the hits of a value stand until they are forgotten; see [`Values::hits_of`].
    #[inline]
    pub fn hits_row(&mut self, id: ValueId, prefilter: &Prefilter, work: &mut u64) -> u32 {
        match self.metas[id as usize].hits[self.group] {
            NONE => self.search(id, prefilter, work),
            row => row,
        }
    }

    /// The hits at a row.
    #[inline]
    pub fn hits_of(&self, row: u32, prefilter: &Prefilter) -> &[u64] {
        &self.hits[row as usize..row as usize + prefilter.words]
    }

    /// Searches a value, or the twin that stands for it.
    #[cold]
    fn search(&mut self, id: ValueId, prefilter: &Prefilter, work: &mut u64) -> u32 {
        // A twin is always older, so this ends.
        let mut of = id;
        let group = self.group;
        while self.metas[of as usize].hits[group] == NONE && self.metas[of as usize].twin != NONE {
            of = self.metas[of as usize].twin;
        }
        self.present(of);
        let words = prefilter.words;
        let m = &mut self.metas[of as usize];
        if m.hits[group] == NONE {
            let row = self.hits.len();
            m.hits[group] = row as u32;
            self.hits.resize(row + words, 0);
            let value = &self.arena[m.at as usize..(m.at + m.len) as usize];
            *work += 8 + value.len() as u64;
            prefilter.scan(value, &m.present, &mut self.hits[row..]);
        }
        let row = m.hits[group];
        self.metas[id as usize].hits[group] = row;
        row
    }

    /// Forgets all words that are known for keys.
    pub fn forget_words(&mut self) {
        self.facts.clear();
    }

    /// The words that are known for a key, once made by `make`: it gets them cleared and with the values themselves. Keys
    /// are made of ids of values and of numbers of the program, below 2^63.
    #[inline]
    pub fn words_of(&mut self, key: u64, words: usize, make: impl FnOnce(&mut Self, &mut [u64])) -> Words {
        if let Some(at) = self.facts.get(key) {
            return at;
        }
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        room.resize(words, 0);
        make(self, &mut room);
        let at = self.facts.note(key, &room);
        self.room = room;
        at
    }

    /// The words behind a place that `words_of` gave.
    #[inline]
    pub fn words(&self, at: Words, words: usize) -> &[u64] {
        self.facts.words(at, words)
    }

    /// Bytes of memory in use.
    pub fn memory_bytes(&self) -> usize {
        self.arena.capacity()
            + self.metas.capacity() * size_of::<Meta>()
            + self.memo.capacity() * 4
            + self.hits.capacity() * 8
            + self.table.capacity() * 8
            + self.facts.memory_bytes()
    }
}

fn place(table: &mut [u64], hash: u32, entry: u64) {
    let mask = table.len() - 1;
    let mut at = hash as usize & mask;
    while table[at] != 0 {
        at = (at + 1) & mask;
    }
    table[at] = entry;
}

/// A keyed hash: clients choose the values, so they must not be able to choose collisions.
fn hash(bytes: &[u8], seed: u64) -> u32 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |a: u64, b: u64| {
        let p = u128::from(a) * u128::from(b);
        (p as u64) ^ (p >> 64) as u64
    };
    let n = bytes.len();
    let mut h = seed ^ (n as u64).wrapping_mul(K);
    if n < 8 {
        let mut tail = 0u64;
        for &b in bytes {
            tail = tail << 8 | u64::from(b);
        }
        h = mix(h ^ tail, K ^ seed.rotate_left(41));
        return (h ^ (h >> 32)) as u32;
    }
    let mut rest = bytes;
    while let Some((c, more)) = rest.split_first_chunk::<8>() {
        h = mix(h ^ u64::from_le_bytes(*c), K ^ seed.rotate_left(23));
        rest = more;
    }
    // The last eight bytes once more stand for the rest.
    if let Some(c) = bytes.last_chunk::<8>() {
        h = mix(h ^ u64::from_le_bytes(*c), K ^ seed.rotate_left(41));
    }
    (h ^ (h >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::by_name;

    #[test]
    fn equal_bytes_have_one_id_however_they_came_about() {
        let mut v = Values::default();
        let (mut work, a, b) = (0, v.intern(b"%41bc"), v.intern(b"Abc"));
        let decode = by_name("urlDecodeUni").unwrap();
        assert_eq!(v.apply(a, decode, &mut work), b);
        let after = work;
        assert_eq!(v.apply(a, decode, &mut work), b);
        assert_eq!(v.apply(b, decode, &mut work), b);
        assert_eq!(work, after, "a known result and an identity cost nothing");
        assert_eq!(v.intern(b""), 0);
        for i in 0..5000 {
            v.intern_int(i);
        }
        assert_eq!(v.intern(b"Abc"), b);
        assert_eq!(v.intern_part(a, 3..5), v.intern(b"bc"));
    }
}

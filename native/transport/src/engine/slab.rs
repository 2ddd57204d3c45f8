//! Things by number, where a number that is used again never means the old thing.

/// Names an entry of a [`Slab`]; stale ones find nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub index: u32,
    generation: u32,
}

/// Generations have this many bits, so that a key and a kind fit into the 64 bits that epoll keeps.
const GENERATION_BITS: u32 = 28;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

impl Key {
    /// As a number, with 4 bits for the caller.
    pub fn pack(self, kind: u8) -> u64 {
        (u64::from(kind) << 60) | (u64::from(self.generation) << 32) | u64::from(self.index)
    }

    /// Reads what `pack` made.
    pub fn unpack(packed: u64) -> (u8, Self) {
        let key = Self {
            index: packed as u32,
            generation: (packed >> 32) as u32 & GENERATION_MASK,
        };
        ((packed >> 60) as u8, key)
    }
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry {
                generation: 0,
                value: None,
            });
            self.entries.len() as u32 - 1
        });
        let entry = &mut self.entries[index as usize];
        entry.value = Some(value);
        Key {
            index,
            generation: entry.generation,
        }
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) & GENERATION_MASK;
        self.free.push(key.index);
        self.len -= 1;
        Some(value)
    }

    pub fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        entry.value.as_ref()
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        entry.value.as_mut()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Places in use and free ones; `key_at` tells which.
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    pub fn key_at(&self, place: usize) -> Option<Key> {
        let entry = self.entries.get(place)?;
        entry.value.as_ref()?;
        Some(Key {
            index: place as u32,
            generation: entry.generation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_what_was_removed_finds_nothing() {
        let mut slab = Slab::default();
        let old = slab.insert('a');
        assert_eq!(slab.remove(old), Some('a'));
        let new = slab.insert('b');
        assert_eq!(old.index, new.index);
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get(new), Some(&'b'));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn keys_survive_packing() {
        let mut slab = Slab::default();
        let first = slab.insert(1);
        slab.remove(first);
        let key = slab.insert(2);
        assert_eq!(Key::unpack(key.pack(9)), (9, key));
    }
}

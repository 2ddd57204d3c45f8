//! Words and fingerprints, in tables with one probe or two for a look-up. They are read once for a process, and take
//! 180 KB of it.

use std::sync::LazyLock;

use super::token::{Kind, TEXT_BYTES_MAX};

/// Slots of the table of words: four times as many as words.
const WORD_SLOTS: usize = 4096;
/// Slots of the table of fingerprints: twice as many as fingerprints.
const PRINT_SLOTS: usize = 16384;

static WORDS: LazyLock<Words> = LazyLock::new(|| Words::read(include_str!("../../data/words.txt")));
static PRINTS: LazyLock<Prints> = LazyLock::new(|| Prints::read(include_str!("../../data/fingerprints.txt")));

/// The kind of a word, ASCII case ignored; `None` when nobody knows it.
pub(super) fn kind_of(word: &[u8]) -> Option<Kind> {
    Some(WORDS.find(word)?.kind)
}

/// The kind of a phrase, ASCII case ignored, and the phrase as the table has it.
pub(super) fn phrase(text: &[u8]) -> Option<(Kind, &'static [u8])> {
    let found = WORDS.find(text)?;
    Some((found.kind, found.text))
}

/// Whether a fingerprint is one of an attack.
pub(super) fn is_known(fingerprint: &[u8]) -> bool {
    pack(fingerprint).is_some_and(|p| PRINTS.has(p))
}

struct Word {
    text: &'static [u8],
    kind: Kind,
}

struct Words {
    list: Vec<Word>,
    /// Open addressing: index in `list` and one, 0 where nothing stands.
    slots: Vec<u16>,
    longest: usize,
}

impl Words {
    /// Reads lines of a kind's letter and a word.
    fn read(text: &'static str) -> Self {
        let words = text.lines().filter_map(|line| {
            let (letter, word) = line.split_once(' ')?;
            let kind = Kind::of_letter(*letter.as_bytes().first()?)?;
            Some(Word {
                text: word.as_bytes(),
                kind,
            })
        });
        let mut out = Self {
            list: words.collect(),
            slots: vec![0; WORD_SLOTS],
            longest: 0,
        };
        for (index, word) in out.list.iter().enumerate() {
            out.longest = out.longest.max(word.text.len());
            let mut at = word_hash(word.text);
            while out.slots[at] != 0 {
                at = (at + 1) % WORD_SLOTS;
            }
            out.slots[at] = index as u16 + 1;
        }
        out
    }

    fn find(&self, word: &[u8]) -> Option<&Word> {
        if word.len() > self.longest || word.is_empty() {
            return None;
        }
        let mut buffer = [0; TEXT_BYTES_MAX];
        let upper = buffer.get_mut(..word.len())?;
        for (to, from) in upper.iter_mut().zip(word) {
            *to = from.to_ascii_uppercase();
        }
        let mut at = word_hash(upper);
        loop {
            let entry = &self.list[usize::from(self.slots[at].checked_sub(1)?)];
            if entry.text == upper {
                return Some(entry);
            }
            at = (at + 1) % WORD_SLOTS;
        }
    }
}

/// FNV-1a, folded.
fn word_hash(upper: &[u8]) -> usize {
    let mut hash = 0x811c_9dc5_u32;
    for b in upper {
        hash = (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193);
    }
    (hash ^ (hash >> 15)) as usize % WORD_SLOTS
}

struct Prints {
    /// Open addressing: packed fingerprints, 0 where nothing stands.
    slots: Vec<u64>,
}

impl Prints {
    fn read(text: &'static str) -> Self {
        let mut slots = vec![0; PRINT_SLOTS];
        for packed in text.split_ascii_whitespace().filter_map(|p| pack(p.as_bytes())) {
            let mut at = print_hash(packed);
            while slots[at] != 0 {
                at = (at + 1) % PRINT_SLOTS;
            }
            slots[at] = packed;
        }
        Self { slots }
    }

    fn has(&self, packed: u64) -> bool {
        let mut at = print_hash(packed);
        loop {
            match self.slots[at] {
                0 => return false,
                found if found == packed => return true,
                _ => at = (at + 1) % PRINT_SLOTS,
            }
        }
    }
}

/// The letters of a fingerprint in upper case, as one number; `None` when it has none or too many.
fn pack(fingerprint: &[u8]) -> Option<u64> {
    if fingerprint.is_empty() || fingerprint.len() > 8 {
        return None;
    }
    let letters = fingerprint.iter();
    Some(letters.fold(0, |n, b| n << 8 | u64::from(b.to_ascii_uppercase())))
}

fn print_hash(packed: u64) -> usize {
    (packed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % PRINT_SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_data_is_found_and_nothing_else() {
        assert_eq!(WORDS.list.len(), 985);
        for w in &WORDS.list {
            assert_eq!(kind_of(w.text), Some(w.kind));
            assert_eq!(kind_of(&w.text.to_ascii_lowercase()), Some(w.kind));
            assert!(w.text.len() <= TEXT_BYTES_MAX);
        }
        assert_eq!(kind_of(b"select"), Some(Kind::Expression));
        assert_eq!(kind_of(b"union all"), Some(Kind::Union));
        assert_eq!(kind_of(b"selec"), None);
        assert_eq!(kind_of(b"select\0"), None);
        assert_eq!(kind_of(b""), None);
        assert_eq!(kind_of(&[b'A'; 40]), None);
        assert_eq!(PRINTS.slots.iter().filter(|p| **p != 0).count(), 8367);
        assert!(is_known(b"s&1c") && is_known(b"1Uk") == is_known(b"1UK"));
        assert!(is_known(b"X") && !is_known(b"n") && !is_known(b"") && !is_known(b"sssssssss"));
    }
}

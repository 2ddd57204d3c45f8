//! Bodies of stored answers: each is here once, however many requests it answers, and an answer on its way holds it by itself.

use std::collections::HashMap;

use bytes::Bytes;

use super::Engine;
use super::state::Phase;

/// Bodies that are kept at once. What they hold is bounded by who keeps them.
pub const KEPT_MAX: usize = 1 << 22;

/// Numbers that they are asked for by. One is not given again before all others were, so that a number that was let go of names nothing, and never another body.
#[derive(Default)]
pub(super) struct Kept {
    bodies: HashMap<u32, Bytes>,
    last: u32,
}

impl Kept {
    /// Its number; 0 when there are too many.
    fn keep(&mut self, bytes: &[u8]) -> u32 {
        if self.bodies.len() >= KEPT_MAX {
            return 0;
        }
        loop {
            self.last = self.last.wrapping_add(1).max(1);
            if let std::collections::hash_map::Entry::Vacant(place) = self.bodies.entry(self.last) {
                place.insert(Bytes::copy_from_slice(bytes));
                return self.last;
            }
        }
    }
}

impl Engine {
    /// Keeps a body for answers to come: its number, 0 when there are too many.
    pub fn keep(&mut self, bytes: &[u8]) -> u32 {
        self.kept.keep(bytes)
    }

    /// Keeps what was collected of an answer that is shown (`answer_body`). As `keep`; 0 as well when none is shown any more.
    pub fn keep_answer(&mut self, slot: u32) -> u32 {
        let shown = self.exchanges.get(slot as usize);
        let Some(x) = shown.filter(|x| x.phase == Phase::Judging) else {
            return 0;
        };
        self.kept.keep(&x.held[..x.held.len().min(x.collect_max)])
    }

    /// Lets go of a body. Answers on their way have theirs.
    pub fn let_go(&mut self, number: u32) {
        self.kept.bodies.remove(&number);
    }

    /// As `set_answer`, with these bytes of a body that is kept. False when there is none of the number, or it has no such bytes.
    pub fn set_kept(&mut self, slot: u32, number: u32, from: usize, to: usize) -> bool {
        let (Some(x), Some(body)) = (self.exchanges.get_mut(slot as usize), self.kept.bodies.get(&number)) else {
            return false;
        };
        let there = from <= to && to <= body.len();
        if there {
            x.own_body = body.slice(from..to);
        }
        there
    }

    /// Bytes of a body that is kept; 0 when there is none of the number.
    #[must_use]
    pub fn kept_bytes(&self, number: u32) -> usize {
        self.kept.bodies.get(&number).map_or(0, Bytes::len)
    }

    /// Bodies that are kept, and their bytes.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        (self.kept.bodies.len(), self.kept.bodies.values().map(Bytes::len).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::Kept;

    #[test]
    fn a_number_that_was_let_go_of_is_not_given_again() {
        let mut kept = Kept::default();
        let first = kept.keep(b"one");
        kept.bodies.remove(&first);
        assert_ne!(kept.keep(b"two"), first);
    }

    #[test]
    fn numbers_that_are_in_use_are_left_out_when_all_were_given() {
        let mut kept = Kept::default();
        let first = kept.keep(b"one");
        kept.last = u32::MAX;
        let next = kept.keep(b"two");
        assert!(next != 0 && next != first);
        assert_eq!(kept.bodies[&first].as_ref(), b"one");
    }
}

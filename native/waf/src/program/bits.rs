//! A fixed set of small numbers.

/// A set of numbers below a size that is given at the begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(pub Vec<u64>);

impl Bits {
    /// An empty set for numbers below `size`.
    pub fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)])
    }

    /// Adds a number; one that is too large is ignored.
    pub fn add(&mut self, n: usize) {
        if let Some(w) = self.0.get_mut(n / 64) {
            *w |= 1 << (n % 64);
        }
    }

    /// True when the number is in the set.
    #[inline]
    pub fn has(&self, n: usize) -> bool {
        self.0.get(n / 64).is_some_and(|w| w >> (n % 64) & 1 == 1)
    }

    /// Adds all numbers of another set of the same size.
    #[inline]
    pub fn union(&mut self, other: &Bits) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
    }

    /// Adds all numbers of a set of the same size, given as words.
    #[inline]
    pub fn add_words(&mut self, words: &[u64]) {
        add(&mut self.0, words);
    }

    /// True when no number is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }

    /// The smallest number that is at least `from` and not in `without`.
    #[inline]
    pub fn next(&self, from: usize, without: &Bits) -> Option<usize> {
        let mut i = from / 64;
        let mut keep = u64::MAX << (from % 64);
        while let Some(w) = self.0.get(i) {
            let left = w & !without.0.get(i).copied().unwrap_or(0) & keep;
            if left != 0 {
                return Some(i * 64 + left.trailing_zeros() as usize);
            }
            keep = u64::MAX;
            i += 1;
        }
        None
    }

    /// The numbers in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(i, w)| (0..64).filter(move |b| w >> b & 1 == 1).map(move |b| i * 64 + b))
    }
}

/// Adds to a set all numbers of another one; both as words.
#[inline]
pub fn add(to: &mut [u64], words: &[u64]) {
    for (t, w) in to.iter_mut().zip(words) {
        *t |= w;
    }
}

/// Adds to a set the numbers that two other sets share; all as words.
#[inline]
pub fn add_shared(to: &mut [u64], a: &[u64], b: &[u64]) {
    for ((t, a), b) in to.iter_mut().zip(a).zip(b) {
        *t |= a & b;
    }
}

/// True when every number of a set is in the other one too; both as words.
#[inline]
pub fn is_within(set: &[u64], other: &[u64]) -> bool {
    set.iter().zip(other).all(|(a, b)| a & !b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_order() {
        let mut a = Bits::new(130);
        let mut b = Bits::new(130);
        for n in [0, 63, 64, 129] {
            a.add(n);
        }
        b.add(64);
        a.add(1000);
        assert_eq!(a.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert_eq!(a.next(1, &b), Some(63));
        assert_eq!(a.next(64, &b), Some(129));
        assert_eq!(a.next(130, &b), None);
        assert!(a.has(129) && !a.has(128));
    }
}

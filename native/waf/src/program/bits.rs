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

    /// Adds the numbers that two other sets share.
    #[inline]
    pub fn add_shared(&mut self, a: &[u64], b: &Bits) {
        for ((t, a), b) in self.0.iter_mut().zip(a).zip(&b.0) {
            *t |= a & b;
        }
    }

    /// True when every number is in the other set too.
    #[inline]
    pub fn is_within(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
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

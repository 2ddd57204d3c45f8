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

    /// Removes the numbers from one to before another.
    pub fn remove(&mut self, from: usize, to: usize) {
        let below = |n: usize| if n >= 64 { u64::MAX } else { (1 << n) - 1 };
        let mut at = from;
        while at < to
            && let Some(w) = self.0.get_mut(at / 64)
        {
            let first = at / 64 * 64;
            *w &= !(below(to - first) & !below(at - first));
            at = first + 64;
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

/// True when every number that two sets share is in a third one too; all as words.
#[inline]
pub fn are_within(a: &[u64], b: &[u64], other: &[u64]) -> bool {
    a.iter().zip(b).zip(other).all(|((a, b), o)| a & b & !o == 0)
}

/// The numbers of a set that is given as words.
#[inline]
pub fn numbers(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(i, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| i * 64 + left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            bit
        })
    })
}

/// True when two sets share a number; both as words.
#[inline]
pub fn meet(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).any(|(a, b)| a & b != 0)
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
        let mut c = a.clone();
        c.remove(1, 64);
        assert_eq!(c.iter().collect::<Vec<_>>(), [0, 64, 129]);
        c.remove(64, 65);
        c.remove(100, 1000);
        assert_eq!(c.iter().collect::<Vec<_>>(), [0]);
        a.remove(7, 3);
        a.remove(0, 130);
        assert!(a.is_empty());
    }
}

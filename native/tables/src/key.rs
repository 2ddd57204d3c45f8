//! Keys: which bucket a request counts in.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// A bucket's identity: a limit, and what the limit counts apart, hashed with a secret of this process so that no client can choose keys
/// that fall together. 64 bits: among a million live keys two are the same with a probability of 3 × 10⁻⁸.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub(crate) limit: u32,
    pub(crate) hash: u64,
}

impl Key {
    /// Begins a key of a limit.
    #[must_use]
    pub fn of(limit: u32) -> Self {
        Self { limit, hash: 0 }.with(&limit.to_le_bytes())
    }

    /// The key of a limit whose hash was told by [`Key::hash`] before.
    #[must_use]
    pub fn known(limit: u32, hash: u64) -> Self {
        Self {
            limit,
            hash: hash.max(1),
        }
    }

    /// Its hash, never 0: what a caller remembers of a key. It means nothing outside of this process.
    #[must_use]
    pub fn hash(self) -> u64 {
        self.hash
    }

    /// The key with a further part. Parts cannot run into each other: `("a", "bc")` and `("ab", "c")` are different keys.
    #[must_use]
    pub fn with(self, part: &[u8]) -> Self {
        static SECRET: OnceLock<RandomState> = OnceLock::new();
        let mut hasher = SECRET.get_or_init(RandomState::new).build_hasher();
        hasher.write_u64(self.hash);
        hasher.write(part);
        // 0 marks an empty bucket.
        Self {
            limit: self.limit,
            hash: hasher.finish().max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_limits_are_told_apart() {
        let keys = [
            Key::of(1),
            Key::of(2),
            Key::of(1).with(b""),
            Key::of(1).with(b"abc"),
            Key::of(1).with(b"ab").with(b"c"),
            Key::of(1).with(b"a").with(b"bc"),
            Key::of(2).with(b"abc"),
        ];
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[i + 1..] {
                assert_ne!(a.hash, b.hash);
            }
        }
        assert_eq!(Key::of(1).with(b"abc"), Key::of(1).with(b"abc"));
    }
}

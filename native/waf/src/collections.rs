//! Persistent collections (`initcol`, `setsid`, `setuid`, `setrsc`): one table for the process, in memory, shared by all threads
//! behind striped locks. Everything is bounded; what was used longest ago makes room. A restart forgets everything.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::bytes::to_int;
use crate::seclang::variable::Var;

/// Locks.
const STRIPES: usize = 64;
/// Most bytes of one stripe, so 64 MiB in all.
const STRIPE_BYTES_MAX: usize = 1 << 20;
/// Most variables of one collection.
pub const VARIABLES_MAX: usize = 64;
/// Longest key of a collection; the rest of a longer one becomes a hash.
const KEY_BYTES_MAX: usize = 256;
/// Longest name of a variable; longer ones are not kept.
const NAME_BYTES_MAX: usize = 128;
/// Longest value; the rest of a longer one is not kept.
const VALUE_BYTES_MAX: usize = 1024;
/// Bytes that a collection or a variable takes beside its texts, roughly.
const OVERHEAD: usize = 96;

/// The collections of this process.
pub static COLLECTIONS: LazyLock<Collections> = LazyLock::new(Collections::default);

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A number.
    Int(i64),
    /// Bytes.
    Text(Box<[u8]>),
}

impl Stored {
    fn number(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            Self::Text(text) => to_int(text),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Int(_) => 0,
            Self::Text(text) => text.len(),
        }
    }
}

struct Variable {
    name: Box<[u8]>,
    value: Stored,
    /// Seconds of the clock.
    written_s: u64,
    expires_s: u64,
    /// `expirevar` said when it expires.
    told: bool,
}

#[derive(Default)]
struct Collection {
    variables: Vec<Variable>,
    used: u64,
}

impl Collection {
    fn bytes(&self) -> usize {
        self.variables
            .iter()
            .map(|v| OVERHEAD + v.name.len() + v.value.bytes())
            .sum()
    }
}

#[derive(Default)]
struct Stripe {
    map: HashMap<Box<[u8]>, Collection>,
    bytes: usize,
    ticks: u64,
}

/// Which variable of which collection is meant.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// IP, GLOBAL, SESSION, USER or RESOURCE.
    pub store: Var,
    /// The application (`SecWebAppId`): collections of different ones are apart.
    pub application: &'a [u8],
    /// The key that the collection was opened with.
    pub key: &'a [u8],
    /// The variable, lower case.
    pub name: &'a [u8],
}

/// A table of collections.
pub struct Collections {
    stripes: Vec<Mutex<Stripe>>,
    hasher: RandomState,
}

impl Default for Collections {
    fn default() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Collections {
    /// Calls `each` with the name and value of every variable of a collection that has not expired.
    pub fn load(&self, place: &Place<'_>, now_s: u64, mut each: impl FnMut(&[u8], &Stored)) {
        let (mut stripe, key) = self.stripe(place);
        stripe.ticks += 1;
        let tick = stripe.ticks;
        let Some(collection) = stripe.map.get_mut(&key) else {
            return;
        };
        collection.used = tick;
        for v in collection.variables.iter().filter(|v| v.expires_s > now_s) {
            each(&v.name, &v.value);
        }
    }

    /// Sets a variable.
    pub fn set(&self, place: &Place<'_>, value: Stored, now_s: u64, timeout_s: u32) {
        let value = match value {
            Stored::Text(text) if text.len() > VALUE_BYTES_MAX => Stored::Text(text[..VALUE_BYTES_MAX].into()),
            v => v,
        };
        self.write(place, now_s, timeout_s, |_| Some(value));
    }

    /// Adds to a variable; what it is then. Threads that add at once lose nothing.
    pub fn add(&self, place: &Place<'_>, n: i64, now_s: u64, timeout_s: u32) -> i64 {
        let mut sum = n;
        self.write(place, now_s, timeout_s, |old| {
            sum = old.map_or(0, Stored::number).saturating_add(n);
            Some(Stored::Int(sum))
        });
        sum
    }

    /// Removes a variable.
    pub fn remove(&self, place: &Place<'_>, now_s: u64) {
        self.write(place, now_s, 0, |_| None);
    }

    /// A variable expires so many seconds from now.
    pub fn expire(&self, place: &Place<'_>, seconds: u64, now_s: u64) {
        self.change(place, |v| {
            v.expires_s = now_s.saturating_add(seconds);
            v.told = true;
        });
    }

    /// Takes `amount` from a number for every `period_s` that have passed since it was written, not below 0; what it is then.
    pub fn deprecate(&self, place: &Place<'_>, amount: i64, period_s: u64, now_s: u64) -> Option<i64> {
        let mut left = None;
        self.change(place, |v| {
            let periods = now_s.saturating_sub(v.written_s) / period_s.max(1);
            let less = amount.saturating_mul(i64::try_from(periods).unwrap_or(i64::MAX));
            let n = v.value.number().saturating_sub(less).max(0);
            if periods > 0 {
                v.value = Stored::Int(n);
                v.written_s = now_s;
            }
            left = Some(n);
        });
        left
    }

    fn stripe(&self, place: &Place<'_>) -> (MutexGuard<'_, Stripe>, Box<[u8]>) {
        let mut key = vec![place.store as u8];
        key.extend_from_slice(place.application);
        key.push(0);
        let (head, rest) = place.key.split_at(place.key.len().min(KEY_BYTES_MAX));
        key.extend_from_slice(head);
        if !rest.is_empty() {
            key.extend_from_slice(&self.hasher.hash_one(place.key).to_le_bytes());
        }
        let stripe = usize::try_from(self.hasher.hash_one(&key) % STRIPES as u64).unwrap_or(0);
        let guard = self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        (guard, key.into_boxed_slice())
    }

    fn change(&self, place: &Place<'_>, change: impl FnOnce(&mut Variable)) {
        let (mut stripe, key) = self.stripe(place);
        let Some(collection) = stripe.map.get_mut(&key) else {
            return;
        };
        if let Some(v) = collection.variables.iter_mut().find(|v| *v.name == *place.name) {
            change(v);
        }
    }

    fn write(
        &self,
        place: &Place<'_>,
        now_s: u64,
        timeout_s: u32,
        value: impl FnOnce(Option<&Stored>) -> Option<Stored>,
    ) {
        let (mut guard, key) = self.stripe(place);
        let stripe = &mut *guard;
        stripe.ticks += 1;
        let key_bytes = key.len() + OVERHEAD;
        let mut collection = stripe.map.remove(&key).unwrap_or_default();
        stripe.bytes = stripe.bytes.saturating_sub(if collection.used > 0 {
            key_bytes + collection.bytes()
        } else {
            0
        });
        collection.used = stripe.ticks;
        collection.variables.retain(|v| v.expires_s > now_s);
        let at = collection.variables.iter().position(|v| *v.name == *place.name);
        let new = value(at.map(|i| &collection.variables[i].value));
        let expires_s = now_s.saturating_add(u64::from(timeout_s));
        match (at, new) {
            (Some(i), None) => drop(collection.variables.swap_remove(i)),
            (None, None) => {}
            (Some(i), Some(value)) => {
                let v = &mut collection.variables[i];
                v.value = value;
                v.written_s = now_s;
                // What was told when to expire does so.
                if !v.told {
                    v.expires_s = expires_s;
                }
            }
            (None, Some(value)) => {
                if collection.variables.len() < VARIABLES_MAX && place.name.len() <= NAME_BYTES_MAX {
                    collection.variables.push(Variable {
                        name: place.name.into(),
                        value,
                        written_s: now_s,
                        expires_s,
                        told: false,
                    });
                }
            }
        }
        if !collection.variables.is_empty() {
            stripe.bytes += key_bytes + collection.bytes();
            stripe.map.insert(key, collection);
        }
        if stripe.bytes > STRIPE_BYTES_MAX {
            stripe.make_room(now_s);
        }
    }

    /// Bytes in use, roughly.
    pub fn memory_bytes(&self) -> usize {
        let lock = |s: &Mutex<Stripe>| s.lock().unwrap_or_else(PoisonError::into_inner).bytes;
        self.stripes.iter().map(lock).sum()
    }
}

impl Stripe {
    /// Removes what has expired, then what was used longest ago, until a quarter is free.
    fn make_room(&mut self, now_s: u64) {
        self.map.retain(|_, c| c.variables.iter().any(|v| v.expires_s > now_s));
        let mut ages: Vec<u64> = self.map.values().map(|c| c.used).collect();
        ages.sort_unstable();
        self.bytes = self.map.iter().map(|(k, c)| k.len() + OVERHEAD + c.bytes()).sum();
        while self.bytes > STRIPE_BYTES_MAX / 4 * 3 && !ages.is_empty() {
            let until = ages.drain(..ages.len().div_ceil(8)).next_back().unwrap_or(u64::MAX);
            self.map.retain(|_, c| c.used > until);
            self.bytes = self.map.iter().map(|(k, c)| k.len() + OVERHEAD + c.bytes()).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<'a>(key: &'a [u8], name: &'a [u8]) -> Place<'a> {
        Place {
            store: Var::Ip,
            application: b"app",
            key,
            name,
        }
    }

    fn all(c: &Collections, key: &[u8], now_s: u64) -> Vec<(String, Stored)> {
        let mut out = Vec::new();
        c.load(&place(key, b""), now_s, |n, v| {
            out.push((String::from_utf8_lossy(n).into(), v.clone()))
        });
        out
    }

    #[test]
    fn values_are_kept_counted_and_forgotten() {
        let c = Collections::default();
        assert_eq!(c.add(&place(b"a", b"n"), 2, 100, 60), 2);
        assert_eq!(c.add(&place(b"a", b"n"), 3, 100, 60), 5);
        c.set(&place(b"a", b"t"), Stored::Text(b"x".as_slice().into()), 100, 60);
        assert_eq!(all(&c, b"a", 159).len(), 2);
        assert_eq!(all(&c, b"b", 100), []);
        c.expire(&place(b"a", b"n"), 10, 100);
        assert_eq!(all(&c, b"a", 110), [("t".into(), Stored::Text(b"x".as_slice().into()))]);
        assert_eq!(
            c.add(&place(b"a", b"n"), 1, 110, 60),
            1,
            "an expired number begins anew"
        );
        c.remove(&place(b"a", b"n"), 110);
        c.remove(&place(b"a", b"t"), 110);
        assert_eq!((all(&c, b"a", 110), c.memory_bytes()), (vec![], 0));
        let other = Place {
            application: b"other",
            ..place(b"a", b"n")
        };
        c.add(&other, 1, 110, 60);
        assert_eq!(all(&c, b"a", 110), []);
    }

    #[test]
    fn writing_does_not_make_live_longer_what_was_told_to_expire() {
        let c = Collections::default();
        c.add(&place(b"a", b"n"), 1, 100, 3600);
        c.expire(&place(b"a", b"n"), 60, 100);
        c.add(&place(b"a", b"n"), 1, 150, 3600);
        assert_eq!(all(&c, b"a", 159), [("n".into(), Stored::Int(2))]);
        assert_eq!(all(&c, b"a", 160), []);
    }

    #[test]
    fn numbers_shrink_with_time() {
        let c = Collections::default();
        c.add(&place(b"a", b"n"), 100, 0, 3600);
        assert_eq!(c.deprecate(&place(b"a", b"n"), 60, 300, 299), Some(100));
        assert_eq!(c.deprecate(&place(b"a", b"n"), 60, 300, 300), Some(40));
        assert_eq!(c.deprecate(&place(b"a", b"n"), 60, 300, 599), Some(40));
        assert_eq!(c.deprecate(&place(b"a", b"n"), 60, 300, 900), Some(0));
        assert_eq!(c.deprecate(&place(b"a", b"none"), 60, 300, 900), None);
    }

    #[test]
    fn memory_is_bounded_and_the_last_used_stay() {
        let c = Collections::default();
        for i in 0..400_000u32 {
            let key = i.to_le_bytes();
            c.set(&place(&key, b"v"), Stored::Text([7; 300].as_slice().into()), 1, 60);
        }
        assert!(c.memory_bytes() <= STRIPES * STRIPE_BYTES_MAX);
        assert_eq!(all(&c, &399_999u32.to_le_bytes(), 1).len(), 1);
        assert_eq!(all(&c, &0u32.to_le_bytes(), 1), []);
        let long = [b'k'; 5000];
        for i in 0..200 {
            c.set(
                &place(&long, format!("v{i}").as_bytes()),
                Stored::Text([7; 5000].as_slice().into()),
                1,
                60,
            );
        }
        assert_eq!(all(&c, &long, 1).len(), VARIABLES_MAX);
    }

    #[test]
    fn threads_that_add_at_once_lose_nothing() {
        let c = Collections::default();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..1000).for_each(|_| _ = c.add(&place(b"a", b"n"), 1, 1, 60)));
            }
        });
        assert_eq!(all(&c, b"a", 1), [("n".into(), Stored::Int(4000))]);
    }
}

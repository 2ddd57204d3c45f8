//! Tables that all threads of the process share. Here: the buckets of rate limits.
//!
//! A limit is GCRA (the generic cell rate algorithm, ITU-T I.371): a bucket is one number, the theoretical arrival time, and a request is
//! admitted when that time is not more than `burst` emission intervals ahead of now. Nothing is refilled by a timer, and a bucket
//! whose time has passed says no more than an absent one. That is what makes a table of fixed size possible:
//!
//! * **No key can be reset by flooding.** A bucket may be evicted only when its time has passed by [`EVICT_AFTER_NS`].
//! * **A full neighbourhood fails conservative.** A key lives in one set of [`WAYS`] buckets, chosen by a keyed hash. If all of them are live,
//!   the keys of the same limit that find no place in this set share one overflow bucket with the allowance of one key. When a place becomes
//!   free, a key that enters begins at the overflow bucket's time. So no key ever gets more than its limit; keys without a place
//!   may get less, and each such check is counted.
//! * **Exact across threads.** Taking is a compare-exchange on the bucket's time. Entering a key is serialised per set by a lock held for a few dozen
//!   nanoseconds, so that no key can have two buckets.
//!
//! "Exact" is meant relative to the `now` that callers give. Threads whose clocks lag by less than EVICT_AFTER_NS see what one thread would.
//! A clock that steps back cannot lock a key out: a time further ahead than the limit can have put it is cut to the limit (not so in an overflow
//! bucket, which another limit with a longer reach may share by hash).

mod batch;
mod gcra;
mod key;
mod table;

pub use batch::{Ask, BATCH_MAX};
pub use gcra::{Outcome, Rate};
pub use key::Key;
pub use table::{Stats, Table};

/// Buckets in one set: the bound of every probe.
pub const WAYS: usize = 16;
/// Fewest buckets of a table.
pub const BUCKETS_MIN: usize = WAYS;
/// Most buckets of a table (16 bytes each, and about half a byte for locks and overflow).
pub const BUCKETS_MAX: usize = 1 << 26;
/// Buckets unless said otherwise: 17 MiB when clients have used all of it; memory comes in blocks as keys enter.
pub const BUCKETS_DEFAULT: usize = 1 << 20;
/// How long after its time a bucket stays, ns: more than the clocks of two threads are apart.
pub const EVICT_AFTER_NS: u64 = 250_000_000;
/// Longest time that a limit can reach ahead, ns (about 73 years): keeps sums far from overflow.
pub const HORIZON_NS: u64 = 1 << 61;
/// How often entering a set is tried before the request is refused (another thread holds the lock and does not run).
pub const ENTER_TRIES_MAX: u32 = 100_000;

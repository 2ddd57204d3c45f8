//! Compression of answers (RFC 9110 §8.4, §12.5.3), without sockets: which algorithm a client takes, what is worth it, and the encoders.

mod accept;
mod coder;

pub use accept::chosen;
pub use coder::{Broken, Coder, KEPT_MAX, Kept, Step, WINDOW_BITS_MAX, bytes_of};

/// A content coding that is made here. Its number is that of the plan and of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Algorithm {
    /// `gzip` (RFC 1952).
    Gzip = 0,
    /// `br` (RFC 7932).
    Brotli = 1,
    /// `zstd` (RFC 8878).
    Zstd = 2,
}

/// All of them, by number.
pub const ALGORITHMS: [Algorithm; 3] = [Algorithm::Gzip, Algorithm::Brotli, Algorithm::Zstd];

impl Algorithm {
    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALGORITHMS.into_iter().find(|one| one.name() == name)
    }

    /// As Content-Encoding names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// How hard each algorithm tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// 1 to 9.
    pub gzip: u8,
    /// Quality, 1 to 6.
    pub brotli: u8,
    /// 1 to 6.
    pub zstd: u8,
}

/// What a route says of compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In order of preference among what a client takes equally gladly.
    pub algorithms: Vec<Algorithm>,
    /// Media types in lower case: `text/html`, `text/*`, `*+json`.
    pub types: Vec<String>,
    /// Shorter bodies stay as they are, when their length is known.
    pub bytes_min: u64,
    /// How hard each tries.
    pub levels: Levels,
}

/// Never compressed, whatever a plan says: streams whose parts are meant to be seen as they come, and calls that have a compression of their own.
const NEVER: [&str; 3] = ["text/event-stream", "multipart/", "application/grpc"];

impl Plan {
    /// Whether bodies of this Content-Type are compressed.
    #[must_use]
    pub fn takes(&self, content_type: &[u8]) -> bool {
        let media = media_type(content_type);
        let is = |pattern: &str, from: usize| {
            media
                .get(from..)
                .is_some_and(|part| part.eq_ignore_ascii_case(pattern.as_bytes()))
        };
        let begins = |start: &str| {
            media
                .get(..start.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(start.as_bytes()))
        };
        !media.is_empty()
            && !NEVER.iter().any(|never| begins(never))
            && self.types.iter().any(|pattern| {
                if let Some(start) = pattern.strip_suffix('*') {
                    begins(start)
                } else if let Some(end) = pattern.strip_prefix('*') {
                    media.len() >= end.len() && is(end, media.len() - end.len())
                } else {
                    is(pattern, 0)
                }
            })
    }
}

/// Type and subtype, without parameters.
fn media_type(content_type: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
    content_type[..end].trim_ascii()
}

//! Why a stream cannot go on.

use ::h2::Reason;

use super::LOST;

/// A message that no peer may send, or a reset: its code, whether the peer said it, and whether the stream was never read.
pub(super) enum Broken {
    Malformed,
    Reset { code: u32, remote: bool, unprocessed: bool },
}

impl From<::h2::Error> for Broken {
    fn from(error: ::h2::Error) -> Broken {
        let remote = error.is_remote() || error.is_io();
        // Streams beyond the last one that a GOAWAY names, and refused ones, were never read (RFC 9113 §6.8, §8.7).
        let unprocessed = error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
        Broken::Reset {
            code: error.reason().map_or(LOST, u32::from),
            remote,
            unprocessed,
        }
    }
}

//! Streams of a server that were answered before their request was whole. A server may ask for the rest not to be sent, by a reset without error (RFC 9113 §8.1), and
//! clients must show the answer nevertheless. Some do not when the reset comes while they send (curl 7.88 says "Stream error in the HTTP/2 framing layer"), so
//! that it waits until they had time to read.

use std::collections::VecDeque;

use ::h2::SendStream;
use bytes::Bytes;

/// Of one connection; beyond, the one that waits longest is reset at once.
const WAITING_MAX: usize = 32;

/// In the order of their deadlines. A handle that goes resets its stream with NO_ERROR, unless the client has ended or reset it meanwhile. What still arrives is dropped by
/// h2, for nobody reads it: the connection's window is given back, the stream's is not.
#[derive(Default)]
pub(super) struct Answered(VecDeque<(u64, SendStream<Bytes>)>);

impl Answered {
    /// `due` is on the caller's clock and never less than one before.
    pub fn add(&mut self, due: u64, handle: SendStream<Bytes>) {
        if self.0.len() >= WAITING_MAX {
            self.0.pop_front();
        }
        self.0.push_back((due, handle));
    }

    /// Lets those go whose time has come; true when there were any.
    pub fn dismiss(&mut self, now: u64) -> bool {
        let late = self.0.iter().take_while(|(due, _)| *due <= now).count();
        self.0.drain(..late);
        late > 0
    }
}

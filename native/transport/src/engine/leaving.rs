//! How the engine leaves: it accepts no more, asks clients to go, and knows who of them still lacks something.

use super::Engine;
use super::hedge::Hedge;
use super::slab::Slab;
use super::state::{Down, Phase, Proto, Stage};

impl Engine {
    /// Clients that a close now could take something from: what was said to them is still here or on its way, or they have not said that they have it. Once `drain` was called
    /// and no exchange is open, each of them leaves by itself or by a deadline.
    #[must_use]
    pub fn leaving(&self) -> usize {
        let owed = |down: &Down| match &down.proto {
            // What only the system has left goes with it where the process is all that its network was made for: in a container.
            Proto::H1(h1) => match h1.stage {
                Stage::Discard | Stage::Linger => true,
                Stage::Head | Stage::Exchange | Stage::Tunnel => down.io.pending() > 0 || down.io.unacknowledged() > 0,
            },
            Proto::H2(_) => true,
            Proto::Opening { .. } => false,
        };
        let keys = (0..self.downs.places()).filter_map(|place| self.downs.key_at(place));
        keys.filter_map(|key| self.downs.get(key))
            .filter(|down| owed(down))
            .count()
    }

    /// Stops accepting and asks clients to leave with the next answer that they get. Connections without a request stay as they are: a request that is on its way
    /// just now would be lost with them.
    pub fn drain(&mut self) {
        self.draining = true;
        self.stop_listening();
        // GOAWAY loses none: it says which requests are still served.
        for place in 0..self.downs.places() {
            let Some(key) = self.downs.key_at(place) else { continue };
            self.h2_leave(key);
        }
        self.go_on();
    }

    /// Closes everything. Open exchanges end as aborted; their events can still be told.
    pub fn close(&mut self) {
        self.stop_listening();
        for slot in 0..self.exchanges.len() as u32 {
            let x = &self.exchanges[slot as usize];
            // A hedge goes with the exchange that it belongs to.
            if !matches!(x.phase, Phase::Free | Phase::Over) && !matches!(x.hedge, Hedge::Of { .. }) {
                self.abort(slot, false);
            }
        }
        self.downs = Slab::default();
        self.ups = Slab::default();
        self.resume_down.clear();
        self.resume_up.clear();
        self.filter_later.clear();
        self.unflushed.clear();
        self.closed = true;
    }
}

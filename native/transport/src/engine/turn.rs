//! What is ready at descriptors. There are two lists of the kernel: what upstreams have answered goes on before more is begun, so that under load requests wait where they
//! have cost nothing yet, and few are under way at once.

use std::io as stdio;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll;

use super::slab::Key;
use super::{BATCH, DOWN, EVENTS_MAX, Engine, HEDGES, LISTENER, UP, WAITS, wait};

/// Clients and listeners that are looked at in one round, fewer than upstreams: what is begun must not outrun what is finished, or requests would wait for
/// connections upstream, after they have cost what they cost, and the line would look short.
pub(super) const BEGINNING: usize = 64;

/// Those of listeners and clients, of upstreams, and the one that is readable when one of these is.
pub(super) fn epolls() -> stdio::Result<[OwnedFd; 3]> {
    let make = || epoll::create(epoll::CreateFlags::CLOEXEC);
    let (down, up, both) = (make()?, make()?, make()?);
    for one in [&down, &up] {
        epoll::add(&both, one, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    }
    Ok([down, up, both])
}

impl Engine {
    /// Does what is ready at upstreams, or at clients and listeners. True: there may be more.
    pub(super) fn look_at(&mut self, upstreams: bool) -> bool {
        if !self.room() {
            return true;
        }
        let mut ready = std::mem::take(if upstreams {
            &mut self.ready
        } else {
            &mut self.beginning
        });
        ready.clear();
        let waited = epoll::wait(
            if upstreams { &self.epoll_up } else { &self.epoll },
            rustix::buffer::spare_capacity(&mut ready),
            Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }),
        );
        let more = waited.is_ok() && ready.len() == if upstreams { BATCH } else { BEGINNING };
        if waited.is_ok() {
            for one in &ready {
                self.happened(one.data.u64(), one.flags);
            }
        }
        if upstreams {
            self.ready = ready;
        } else {
            self.beginning = ready;
        }
        more
    }

    /// Room for what one batch may tell.
    fn room(&self) -> bool {
        self.untold.is_empty() && self.told + 2 * BATCH <= EVENTS_MAX
    }

    fn happened(&mut self, data: u64, flags: epoll::EventFlags) {
        let (kind, key) = Key::unpack(data);
        let hup = flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        let readable = hup || flags.intersects(epoll::EventFlags::IN);
        let writable = flags.intersects(epoll::EventFlags::OUT | epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        match kind {
            LISTENER => {
                self.accept(key.index as usize);
            }
            DOWN => {
                let Some(down) = self.downs.get_mut(key) else { return };
                down.io.readable |= readable;
                down.io.hung_up |= hup;
                if writable && !down.io.writable {
                    down.io.writable = true;
                    self.down_writable(key);
                }
                if readable {
                    self.down_read(key);
                }
                if hup {
                    self.down_hung_up(key);
                }
            }
            UP => {
                let Some(up) = self.ups.get_mut(key) else { return };
                up.io.readable |= readable;
                up.io.hung_up |= hup;
                if writable && !up.io.writable {
                    up.io.writable = true;
                    self.up_writable(key);
                }
                if readable {
                    self.up_read(key);
                }
            }
            WAITS => self.waits.reached(Instant::now(), wait::ran),
            HEDGES => self.hedges.rang(),
            _ => {}
        }
    }
}

//! How long what is ready waits to be read: a descriptor of our own is made ready and stands in line among the others, since epoll tells of them in the order in which they became ready.
//! So the wait of the kernel's list and of the turns before is measured without asking anything of connections.

use std::io as stdio;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, epoll, eventfd};

use super::Engine;
use super::slab::Key;

/// Time between two samples, at least.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);
/// Nobody has asked for so long: no more samples.
const WANTED_FOR: Duration = Duration::from_secs(1);
/// A sample that is under way for so long says already that the wait is not shorter.
const LATE: Duration = Duration::from_millis(100);

/// The place in line, and what it has shown.
pub(super) struct Waits {
    fd: OwnedFd,
    wanted_at: Option<Instant>,
    /// Since when it stands in line, if it does.
    stands_since: Option<Instant>,
    stood_at: Option<Instant>,
    /// Least wait since it was last asked for.
    least: Option<Duration>,
}

impl Waits {
    /// Puts its descriptor among those of `epoll`, under `data`.
    pub(super) fn new(epoll: &OwnedFd, kind: u8) -> stdio::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let data = epoll::EventData::new_u64(Key::unpack(0).1.pack(kind));
        // Edge-triggered: each write makes it ready once more, and nobody has to read it.
        epoll::add(epoll, &fd, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Self {
            fd,
            wanted_at: None,
            stands_since: None,
            stood_at: None,
            least: None,
        })
    }

    /// Stands in line again when somebody wants to know.
    pub(super) fn stand(&mut self, now: Instant) {
        let wanted = self.wanted_at.is_some_and(|at| now.duration_since(at) < WANTED_FOR);
        let rested = self.stood_at.is_none_or(|at| now.duration_since(at) >= SAMPLE_EVERY);
        if wanted && rested && self.stands_since.is_none() && rustix::io::write(&self.fd, &1_u64.to_ne_bytes()).is_ok()
        {
            self.stands_since = Some(now);
            self.stood_at = Some(now);
        }
    }

    /// Its turn has come.
    pub(super) fn reached(&mut self, now: Instant) {
        if let Some(since) = self.stands_since.take() {
            let wait = now.duration_since(since);
            self.least = Some(self.least.map_or(wait, |least| least.min(wait)));
        }
    }

    /// The least wait since the last call; none when nothing is known yet.
    pub(super) fn take(&mut self, now: Instant) -> Option<Duration> {
        self.wanted_at = Some(now);
        self.stand(now);
        let standing = self.stands_since.map(|since| now.duration_since(since));
        self.least.take().or(standing.filter(|&wait| wait >= LATE))
    }
}

impl Engine {
    /// The least time since the last call that something ready waited to be read; none when nothing is known yet. Measured while somebody asks once a second or
    /// more often.
    pub fn waited(&mut self) -> Option<Duration> {
        self.waits.take(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_in_line_only_while_somebody_asks() -> stdio::Result<()> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut waits = Waits::new(&epoll, 4)?;
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        waits.stand(at(0));
        assert_eq!(waits.stands_since, None, "nobody has asked");
        assert_eq!(waits.take(at(10)), None);
        assert_eq!(waits.take(at(60)), None, "it may come at once");
        assert_eq!(
            waits.take(at(130)),
            Some(Duration::from_millis(120)),
            "at least that long"
        );
        waits.reached(at(160));
        waits.stand(at(170));
        waits.reached(at(175));
        assert_eq!(waits.take(at(180)), Some(Duration::from_millis(5)), "the least of two");
        waits.stand(at(185));
        assert_eq!(waits.stands_since, None, "not again so soon");
        waits.stand(at(1_500));
        assert_eq!(waits.stands_since, None, "nobody asks any more");
        Ok(())
    }

    #[test]
    fn each_time_that_it_stands_is_told_once() -> stdio::Result<()> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut waits = Waits::new(&epoll, 4)?;
        let began = Instant::now();
        let mut told = 0;
        for round in 0..5 {
            let now = began + SAMPLE_EVERY * round;
            waits.take(now);
            let mut ready = Vec::with_capacity(8);
            let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            for _ in 0..2 {
                epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut ready), Some(&zero))?;
            }
            told += ready.len();
            waits.reached(now);
        }
        assert_eq!(told, 5);
        Ok(())
    }
}

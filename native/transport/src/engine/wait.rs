//! How long what is ready waits to be read: a descriptor of our own is made ready and stands in line among the others, since epoll tells of them in the order in which they became ready.
//! So the wait of the kernel's list and of the turns before is measured without asking anything of connections.
//!
//! It says what the line is, not how late the thread is. Time in which the thread did not run is no work that stood before it, and work that was for no requests (handshakes, bodies, something else
//! in the loop) is none that fewer requests would lessen.

use std::io as stdio;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::time::{ClockId, clock_gettime};

use super::Engine;
use super::slab::Key;

/// Time between two samples, at least.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);
/// Nobody has asked for so long: no more samples, and what is known is too old.
const WANTED_FOR: Duration = Duration::from_secs(1);
/// A sample that is under way for so long says already that the wait is not shorter.
const LATE: Duration = Duration::from_millis(100);
/// Fewer requests than so many that were begun while it stood in line are no queue of requests.
const QUEUE_MIN: u64 = 8;
/// A thread that gets less than one part in so many of a core is judged by the time that it had, times so many.
const RAN_TIMES: u32 = 2;

/// Since when it stands in line.
#[derive(Clone, Copy)]
struct Place {
    since: Instant,
    /// What the thread had run by then.
    ran: Duration,
    /// Requests begun by then.
    begun: u64,
}

/// The place in line, and what it has shown.
pub(super) struct Waits {
    fd: OwnedFd,
    wanted_at: Option<Instant>,
    stands: Option<Place>,
    stood_at: Option<Instant>,
    /// Requests ever begun.
    begun: u64,
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
            stands: None,
            stood_at: None,
            begun: 0,
            least: None,
        })
    }

    /// A request is begun.
    pub(super) fn passed(&mut self) {
        self.begun += 1;
    }

    /// Stands in line again when somebody wants to know. `ran`: what the thread has run.
    pub(super) fn stand(&mut self, now: Instant, ran: impl FnOnce() -> Duration) {
        let wanted = self.wanted_at.is_some_and(|at| now.duration_since(at) < WANTED_FOR);
        let rested = self.stood_at.is_none_or(|at| now.duration_since(at) >= SAMPLE_EVERY);
        if wanted && rested && self.stands.is_none() && rustix::io::write(&self.fd, &1_u64.to_ne_bytes()).is_ok() {
            self.stands = Some(Place {
                since: now,
                ran: ran(),
                begun: self.begun,
            });
            self.stood_at = Some(now);
        }
    }

    /// Its turn has come.
    pub(super) fn reached(&mut self, now: Instant, ran: impl FnOnce() -> Duration) {
        if let Some(place) = self.stands.take() {
            let wait = self.line_before(place, now, ran);
            self.least = Some(self.least.map_or(wait, |least| least.min(wait)));
        }
    }

    /// The least wait since the last call; none when nothing is known yet.
    pub(super) fn take(&mut self, now: Instant, ran: impl Fn() -> Duration) -> Option<Duration> {
        let asked = self.wanted_at.replace(now);
        if asked.is_none_or(|at| now.duration_since(at) >= WANTED_FOR) {
            self.least = None;
        }
        self.stand(now, &ran);
        let standing = self.stands.filter(|place| now.duration_since(place.since) >= LATE);
        let late = || standing.map(|place| self.line_before(place, now, &ran));
        let late = if self.least.is_none() { late() } else { None };
        self.least.take().or(late.filter(|&wait| wait >= LATE))
    }

    /// How long the line of requests is that stood before it.
    fn line_before(&self, place: Place, now: Instant, ran: impl FnOnce() -> Duration) -> Duration {
        if self.begun - place.begun < QUEUE_MIN {
            return Duration::ZERO;
        }
        let worked = ran().saturating_sub(place.ran);
        now.duration_since(place.since).min(RAN_TIMES * worked)
    }
}

/// What the calling thread has run: its time on a core.
pub(super) fn ran() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

impl Engine {
    /// The least time since the last call that a request that is ready waited to be read; none when nothing is known yet, zero when there is no queue of requests.
    /// Measured while somebody asks once a second or more often.
    pub fn waited(&mut self) -> Option<Duration> {
        self.waits.take(Instant::now(), ran)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line whose thread has a core of its own, from now on.
    struct Line {
        waits: Waits,
        began: Instant,
        /// Part of a core that the thread gets.
        core: f64,
    }

    impl Line {
        fn new(core: f64) -> stdio::Result<Self> {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            Ok(Self {
                waits: Waits::new(&epoll, 4)?,
                began: Instant::now(),
                core,
            })
        }

        fn at(&self, ms: u64) -> Instant {
            self.began + Duration::from_millis(ms)
        }

        fn ran(&self, ms: u64) -> Duration {
            Duration::from_millis(ms).mul_f64(self.core)
        }

        fn stand(&mut self, ms: u64) {
            let (at, ran) = (self.at(ms), self.ran(ms));
            self.waits.stand(at, || ran);
        }

        fn take(&mut self, ms: u64) -> Option<u128> {
            let (at, ran) = (self.at(ms), self.ran(ms));
            self.waits.take(at, || ran).map(|wait| wait.as_millis())
        }

        /// Its turn has come, so many requests having been before it.
        fn reached(&mut self, ms: u64, requests: u64) {
            let (at, ran) = (self.at(ms), self.ran(ms));
            self.pass(requests);
            self.waits.reached(at, || ran);
        }

        fn pass(&mut self, requests: u64) {
            for _ in 0..requests {
                self.waits.passed();
            }
        }
    }

    #[test]
    fn it_stands_in_line_only_while_somebody_asks() -> stdio::Result<()> {
        let mut line = Line::new(1.0)?;
        line.stand(0);
        assert!(line.waits.stands.is_none(), "nobody has asked");
        assert_eq!(line.take(10), None);
        line.pass(QUEUE_MIN);
        assert_eq!(line.take(60), None, "it may come at once");
        assert_eq!(line.take(130), Some(120), "at least that long");
        line.reached(160, 0);
        line.stand(170);
        line.reached(175, QUEUE_MIN);
        assert_eq!(line.take(180), Some(5), "the least of two");
        line.stand(185);
        assert!(line.waits.stands.is_none(), "not again so soon");
        line.stand(1_500);
        assert!(line.waits.stands.is_none(), "nobody asks any more");
        Ok(())
    }

    #[test]
    fn what_was_known_when_nobody_asked_is_forgotten() -> stdio::Result<()> {
        let mut line = Line::new(1.0)?;
        assert_eq!(line.take(0), None);
        line.reached(400, 100);
        assert_eq!(line.take(5_000), None);
        Ok(())
    }

    #[test]
    fn a_wait_behind_few_requests_is_no_queue() -> stdio::Result<()> {
        let mut line = Line::new(1.0)?;
        line.take(0);
        line.reached(500, QUEUE_MIN - 1);
        assert_eq!(line.take(510), Some(0), "something else kept the thread");
        line.pass(QUEUE_MIN - 1);
        assert_eq!(line.take(700), None, "nor is it one while it stands");
        line.reached(710, 1);
        assert_eq!(line.take(720), Some(200));
        Ok(())
    }

    #[test]
    fn a_thread_without_its_core_has_no_longer_line_for_that() -> stdio::Result<()> {
        for (core, wait) in [(1.0, 400), (0.6, 400), (0.25, 200), (0.05, 40), (0.0, 0)] {
            let mut line = Line::new(core)?;
            line.take(0);
            line.reached(400, 100);
            assert_eq!(line.take(410), Some(wait), "{core} of a core");
        }
        Ok(())
    }

    #[test]
    fn the_clock_of_the_thread_goes_on_while_it_works_and_not_while_it_sleeps() {
        let from = ran();
        std::thread::sleep(Duration::from_millis(200));
        assert!(ran() - from < Duration::from_millis(100));
        while ran() - from < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn each_time_that_it_stands_is_told_once() -> stdio::Result<()> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut waits = Waits::new(&epoll, 4)?;
        let began = Instant::now();
        let mut told = 0;
        for round in 0..5 {
            let now = began + SAMPLE_EVERY * round;
            waits.take(now, ran);
            let mut ready = Vec::with_capacity(8);
            let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            for _ in 0..2 {
                epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut ready), Some(&zero))?;
            }
            told += ready.len();
            waits.reached(now, ran);
        }
        assert_eq!(told, 5);
        Ok(())
    }
}

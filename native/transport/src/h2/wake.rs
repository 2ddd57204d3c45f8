//! Wakers that note which stream has something to do, so that a turn looks at those alone. One is made for each place in the table of streams and serves
//! all streams that ever stand there; a wake that comes late only costs a look.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Places that were woken, each at most once.
#[derive(Clone, Default)]
pub(super) struct Woken(Arc<Mutex<Vec<u32>>>);

struct Place {
    number: u32,
    noted: AtomicBool,
    woken: Woken,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.noted.swap(true, Ordering::Relaxed) {
            self.woken
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(self.number);
        }
    }
}

/// The waker of a place.
pub(super) struct PlaceWaker {
    place: Arc<Place>,
    pub waker: Waker,
}

impl PlaceWaker {
    pub fn new(number: u32, woken: &Woken) -> PlaceWaker {
        let place = Arc::new(Place {
            number,
            noted: AtomicBool::new(false),
            woken: woken.clone(),
        });
        PlaceWaker {
            waker: Waker::from(place.clone()),
            place,
        }
    }

    /// From now on it can be noted again.
    pub fn rearm(&self) {
        self.place.noted.store(false, Ordering::Relaxed);
    }

    /// Notes the place.
    pub fn wake(&self) {
        self.place.wake_by_ref();
    }
}

impl Woken {
    /// Exchanges the list for `empty`.
    pub fn take(&self, empty: &mut Vec<u32>) {
        std::mem::swap(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), empty);
    }
}

/// Whether the connection was woken.
pub(super) struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    pub fn new() -> (Arc<Flag>, Waker) {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        (flag.clone(), Waker::from(flag))
    }

    /// Lowers it; true when it was up.
    pub fn lower(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

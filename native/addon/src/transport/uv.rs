//! The few calls of libuv that hang a descriptor into the loop of a thread. Node's binary exports them; handles are allocated by the size that libuv
//! tells, so that no layout of its structs is relied on.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::rc::Rc;

/// Numbers of `uv_handle_type` and `uv_poll_event`; part of libuv's stable interface.
const POLL: c_int = 8;
const TIMER: c_int = 13;
const READABLE: c_int = 1;

type Handle = NonNull<c_void>;

unsafe extern "C" {
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_handle_set_data(handle: *mut c_void, data: *mut c_void);
    fn uv_handle_get_data(handle: *const c_void) -> *mut c_void;
    fn uv_close(handle: *mut c_void, done: extern "C" fn(*mut c_void));
    fn uv_ref(handle: *mut c_void);
    fn uv_unref(handle: *mut c_void);
    fn uv_poll_init(uv: *mut c_void, handle: *mut c_void, fd: c_int) -> c_int;
    fn uv_poll_start(handle: *mut c_void, events: c_int, call: extern "C" fn(*mut c_void, c_int, c_int)) -> c_int;
    fn uv_timer_init(uv: *mut c_void, handle: *mut c_void) -> c_int;
    fn uv_timer_start(handle: *mut c_void, call: extern "C" fn(*mut c_void), after_ms: u64, every_ms: u64) -> c_int;
}

/// What a loop drives. Its methods must not unwind.
pub trait Driven: 'static {
    /// The descriptor is readable, or `Watch::soon` was asked for.
    fn ready(&self);
    /// The period has passed.
    fn tick(&self);
    /// After `Watch::close`: nothing of libuv is left.
    fn closed(&self);
}

/// A descriptor and two timers in a loop.
pub struct Watch {
    poll: Handle,
    ticker: Handle,
    soon: Handle,
    closing: Cell<bool>,
}

/// What the three handles point to; gone with the last of them.
struct Shared<D> {
    driven: Rc<D>,
    handles: Cell<u8>,
}

impl Watch {
    /// Watches `fd`, which must stay open until `closed` is called, and ticks. Neither keeps the loop alive by itself: see `hold`.
    ///
    /// # Errors
    /// The name of the call that libuv refused.
    ///
    /// # Safety
    /// `uv` is the loop of this thread, alive until `closed` was called.
    pub unsafe fn start<D: Driven>(
        uv: *mut c_void,
        fd: RawFd,
        tick_ms: u64,
        driven: Rc<D>,
    ) -> Result<Self, &'static str> {
        let poll = allocate(POLL);
        // SAFETY: the handle has the size of its kind, the loop is that of this thread.
        if unsafe { uv_poll_init(uv, poll.as_ptr(), fd) } != 0 {
            free(poll, POLL);
            return Err("uv_poll_init");
        }
        let (ticker, soon) = (allocate(TIMER), allocate(TIMER));
        let shared = Box::into_raw(Box::new(Shared {
            driven,
            handles: Cell::new(3),
        }));
        // SAFETY: as above; initialising a timer never fails. `shared` lives until the last handle is closed, as the callbacks expect.
        unsafe {
            uv_timer_init(uv, ticker.as_ptr());
            uv_timer_init(uv, soon.as_ptr());
            for handle in [poll, ticker, soon] {
                uv_handle_set_data(handle.as_ptr(), shared.cast());
                uv_unref(handle.as_ptr());
            }
        }
        let watch = Self {
            poll,
            ticker,
            soon,
            closing: Cell::new(false),
        };
        // SAFETY: both handles are initialised; the callbacks are those for D.
        let started = unsafe {
            uv_poll_start(poll.as_ptr(), READABLE, on_ready::<D>) == 0
                && uv_timer_start(ticker.as_ptr(), on_tick::<D>, tick_ms, tick_ms) == 0
        };
        if !started {
            watch.close::<D>();
            return Err("uv_poll_start");
        }
        Ok(watch)
    }

    /// Calls `ready` in the next turn of the loop even if the descriptor has nothing.
    pub fn soon<D: Driven>(&self) {
        if !self.closing.get() {
            // SAFETY: initialised and not closed; starting a timer again only sets it anew.
            unsafe { uv_timer_start(self.soon.as_ptr(), on_soon::<D>, 0, 0) };
        }
    }

    /// Keeps the loop alive, or no longer.
    pub fn hold(&self, on: bool) {
        if !self.closing.get() {
            // SAFETY: initialised and not closed.
            unsafe {
                if on {
                    uv_ref(self.poll.as_ptr());
                } else {
                    uv_unref(self.poll.as_ptr());
                }
            }
        }
    }

    /// Takes everything out of the loop; `Driven::closed` is called when it is done.
    pub fn close<D: Driven>(&self) {
        if self.closing.replace(true) {
            return;
        }
        // SAFETY: each is initialised and closed once.
        unsafe {
            uv_close(self.poll.as_ptr(), on_poll_closed::<D>);
            uv_close(self.ticker.as_ptr(), on_timer_closed::<D>);
            uv_close(self.soon.as_ptr(), on_timer_closed::<D>);
        }
    }
}

fn layout_of(kind: c_int) -> Layout {
    // SAFETY: asks for a number.
    let bytes = unsafe { uv_handle_size(kind) };
    Layout::from_size_align(bytes.max(1), align_of::<u128>()).unwrap_or_else(|_| unreachable!("a handle is small"))
}

fn allocate(kind: c_int) -> Handle {
    let layout = layout_of(kind);
    // SAFETY: the size is not zero.
    let at = unsafe { alloc_zeroed(layout) };
    NonNull::new(at.cast()).unwrap_or_else(|| handle_alloc_error(layout))
}

fn free(handle: Handle, kind: c_int) {
    // SAFETY: allocated with the same layout; libuv is through with it.
    unsafe { dealloc(handle.as_ptr().cast(), layout_of(kind)) };
}

/// The object behind a handle, kept for the length of a callback: it may close the handles.
fn driven_by<D: Driven>(handle: *mut c_void) -> Option<Rc<D>> {
    // SAFETY: libuv hands over a handle of ours; its data is a `Shared<D>` until its last handle is closed, which happens in no callback but theirs.
    let shared = unsafe { uv_handle_get_data(handle).cast::<Shared<D>>().as_ref() };
    shared.map(|shared| Rc::clone(&shared.driven))
}

extern "C" fn on_ready<D: Driven>(handle: *mut c_void, _status: c_int, _events: c_int) {
    if let Some(driven) = driven_by::<D>(handle) {
        driven.ready();
    }
}

extern "C" fn on_soon<D: Driven>(handle: *mut c_void) {
    if let Some(driven) = driven_by::<D>(handle) {
        driven.ready();
    }
}

extern "C" fn on_tick<D: Driven>(handle: *mut c_void) {
    if let Some(driven) = driven_by::<D>(handle) {
        driven.tick();
    }
}

extern "C" fn on_poll_closed<D: Driven>(handle: *mut c_void) {
    handle_closed::<D>(handle, POLL);
}

extern "C" fn on_timer_closed<D: Driven>(handle: *mut c_void) {
    handle_closed::<D>(handle, TIMER);
}

fn handle_closed<D: Driven>(handle: *mut c_void, kind: c_int) {
    // SAFETY: as in `driven_by`.
    let data = unsafe { uv_handle_get_data(handle) }.cast::<Shared<D>>();
    if let Some(handle) = NonNull::new(handle) {
        free(handle, kind);
    }
    // SAFETY: alive, since this handle was not counted down yet.
    let left = unsafe { data.as_ref() }.map_or(0, |shared| {
        shared.handles.set(shared.handles.get() - 1);
        shared.handles.get()
    });
    if left == 0 && !ptr::eq(data, ptr::null()) {
        // SAFETY: made by Box::into_raw in `start`; this was the last handle.
        let shared = unsafe { Box::from_raw(data) };
        shared.driven.closed();
    }
}

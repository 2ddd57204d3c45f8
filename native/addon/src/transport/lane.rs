//! The engine of one thread and its turns: the engine does what is ready, JavaScript is called once with all events, its verdicts are applied.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cnx_transport::engine::Engine;

use super::node::{Callback, Called, EndHook, Ends, Scope, Thrown};
use super::plans;
use super::uv::{Driven, Watch};

/// Times that one turn looks for more before the loop is given back.
const ROUNDS_PER_TURN: usize = 4;
/// After so long it looks for no more: timers of the lane have their turn, too.
const TURN_MAX: Duration = Duration::from_millis(10);
/// Ticks between two looks at the age of the tickets' keys.
const TICKS_PER_ROTATION: u32 = 600;

/// What the handles of the loop and JavaScript's object share.
pub(super) struct Lane {
    /// None once everything is closed. Never borrowed while JavaScript runs.
    engine: RefCell<Option<Engine>>,
    /// First word: how many slots follow that were decided. JavaScript writes it.
    pub verdicts: Arc<[AtomicI32]>,
    on_turn: Callback,
    /// Row of the refusal for what JavaScript left undecided when it threw.
    internal_row: i32,
    /// Of the engine's descriptor; none before the lane is in the loop and after it has left.
    pub watch: RefCell<Option<Watch>>,
    /// Keeps the thread from ending before the watch is closed.
    pub hook: RefCell<Option<EndHook>>,
    /// Within a turn: what JavaScript causes is looked at when it ends.
    pub turning: Cell<bool>,
    /// Events that JavaScript was called with and that were not struck off yet.
    pub heard: Cell<usize>,
    /// JavaScript is not called any more.
    pub mute: Cell<bool>,
    released: Cell<bool>,
    ticks: Cell<u32>,
}

impl Lane {
    /// Not in the loop yet. `listed`: words of the list of verdicts.
    pub fn new(engine: Engine, listed: usize, on_turn: Callback, internal_row: i32) -> Lane {
        Lane {
            engine: RefCell::new(Some(engine)),
            verdicts: (0..listed).map(|_| AtomicI32::new(0)).collect(),
            on_turn,
            internal_row,
            watch: RefCell::default(),
            hook: RefCell::default(),
            turning: Cell::new(false),
            heard: Cell::new(0),
            mute: Cell::new(false),
            released: Cell::new(false),
            ticks: Cell::new(0),
        }
    }

    /// Works on the engine, unless everything is closed.
    pub fn with<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
        self.engine.borrow_mut().as_mut().map(work)
    }

    /// One turn, with a panic as the engine's end and not the process's.
    pub fn guarded(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            self.turning.set(false);
            self.mute.set(true);
            // What a panic left behind may panic again: then its sockets are closed when it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| self.with(Engine::close)));
            self.leave_loop();
            self.on_turn
                .report_text("the transport of this lane panicked: what it said stands on stderr");
        }
    }

    fn turn(&self) {
        if self.turning.replace(true) {
            return;
        }
        let began = Instant::now();
        let mut thrown = None;
        let mut scope = None;
        for _ in 0..ROUNDS_PER_TURN {
            let Some((more, count)) = self.with(|engine| (engine.poll(), engine.event_count())) else {
                break;
            };
            if count == 0 {
                if more {
                    continue;
                }
                break;
            }
            if self.mute.get() {
                self.with(Engine::told);
                continue;
            }
            if scope.is_none() {
                scope = self.on_turn.scope();
            }
            let Some(scope) = &scope else {
                self.mute.set(true);
                break;
            };
            if let Some(one) = self.tell(scope, count) {
                thrown.get_or_insert(one);
            }
            if began.elapsed() >= TURN_MAX || !self.with(|engine| engine.has_work()).unwrap_or(false) {
                break;
            }
        }
        self.turning.set(false);
        self.look_again();
        // Last, for whoever hears of it may close everything.
        if let (Some(scope), Some(thrown)) = (&scope, &thrown) {
            self.on_turn.report(scope, thrown);
        }
    }

    /// Calls JavaScript with so many events and applies what it decided. What it threw, if it did.
    fn tell(&self, scope: &Scope, count: usize) -> Option<Thrown> {
        self.heard.set(count);
        let called = self.on_turn.call(scope, count as u32);
        self.heard.set(0);
        let internal_row = self.internal_row;
        let undecided = match called {
            Called::Returned => Vec::new(),
            _ => self
                .with(|engine| engine.refuse_undecided(count, internal_row))
                .unwrap_or_default(),
        };
        self.with(Engine::told);
        self.apply();
        self.with(|engine| {
            for slot in undecided {
                engine.apply(slot);
            }
        });
        match called {
            Called::Returned => None,
            Called::Threw(thrown) => Some(thrown),
            Called::Ended => {
                self.mute.set(true);
                None
            }
        }
    }

    /// Applies the verdicts that are listed.
    pub fn apply(&self) {
        let listed = usize::try_from(self.verdicts[0].swap(0, Relaxed)).unwrap_or(0);
        self.with(|engine| {
            for place in self.verdicts.iter().skip(1).take(listed) {
                if let Ok(slot) = u32::try_from(place.load(Relaxed)) {
                    engine.apply(slot);
                }
            }
        });
    }

    /// What was caused outside `poll` is looked at in the next turn of the loop; the descriptor does not tell of it.
    pub fn look_again(&self) {
        if self.with(|engine| engine.has_work()).unwrap_or(false)
            && let Some(watch) = &*self.watch.borrow()
        {
            watch.soon::<Self>();
        }
    }

    /// The rest follows when the loop has let go of it (`closed`).
    pub fn leave_loop(&self) {
        if let Some(watch) = &*self.watch.borrow() {
            watch.close::<Self>();
        }
    }

    fn release(&self) {
        if !self.released.replace(true) {
            self.on_turn.release();
        }
    }
}

impl Driven for Lane {
    fn ready(&self) {
        self.guarded(|| self.turn());
    }

    fn tick(&self) {
        self.guarded(|| {
            // A lane that was held up has not seen yet what came in time: no deadline is judged before that.
            self.turn();
            self.with(Engine::tick);
            self.turn();
        });
        self.ticks.set(self.ticks.get().wrapping_add(1));
        if self.ticks.get().is_multiple_of(TICKS_PER_ROTATION) {
            plans::rotate_tickets();
        }
    }

    fn closed(&self) {
        self.mute.set(true);
        drop(self.engine.borrow_mut().take());
        self.release();
        self.watch.borrow_mut().take();
        // The thread may end now.
        drop(self.hook.borrow_mut().take());
    }
}

impl Ends for Lane {
    fn thread_ends(&self) {
        self.mute.set(true);
        self.release();
        self.guarded(|| {
            self.with(Engine::close);
        });
        self.leave_loop();
    }
}

//! Compiled tables of the process by number; each thread opens a table once and asks it without any lock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::LocalKey;

use napi::Error;
use napi::bindgen_prelude::Result;

/// Most tables of a kind that are registered at once: a snapshot has at most one, and few snapshots are alive together.
const TABLES_MAX: usize = 64;

/// The tables of one kind.
pub struct Registry<T> {
    /// What one and many are, for errors.
    kind: [&'static str; 2],
    tables: Mutex<Tables<T>>,
}

struct Tables<T> {
    next: u32,
    by_handle: BTreeMap<u32, Arc<T>>,
}

/// Tables that a thread has asked, the newest last. A plain function with a handle rather than a class: unwrapping an object costs about
/// 300 ns a call, three times the call itself (measured).
pub type Open<T> = RefCell<Vec<(u32, Arc<T>)>>;

impl<T> Registry<T> {
    /// An empty one.
    pub const fn new(kind: [&'static str; 2]) -> Self {
        Self {
            kind,
            tables: Mutex::new(Tables {
                next: 1,
                by_handle: BTreeMap::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables<T>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a table in; its handle, never 0.
    pub fn add(&self, table: T) -> Result<u32> {
        let mut tables = self.lock();
        if tables.by_handle.len() >= TABLES_MAX {
            return Err(Error::from_reason(format!(
                "{TABLES_MAX} {} are registered; drop those of old snapshots",
                self.kind[1]
            )));
        }
        let handle = tables.next;
        tables.next = handle.wrapping_add(1).max(1);
        tables.by_handle.insert(handle, Arc::new(table));
        Ok(handle)
    }

    /// Takes a table out; false when there is none. Threads that have opened it keep it until they open another.
    pub fn remove(&self, handle: u32) -> bool {
        self.lock().by_handle.remove(&handle).is_some()
    }

    /// Runs `ask` on a table, opening it in this thread first if need be.
    pub fn ask<R>(&self, open: &'static LocalKey<Open<T>>, handle: u32, ask: impl FnOnce(&T) -> R) -> Result<R> {
        open.with_borrow_mut(|open| {
            if let Some((_, table)) = open.iter().rev().find(|(h, _)| *h == handle) {
                return Ok(ask(table));
            }
            let tables = self.lock();
            let Some(table) = tables.by_handle.get(&handle).map(Arc::clone) else {
                return Err(Error::from_reason(format!(
                    "no {} has the handle {handle}",
                    self.kind[0]
                )));
            };
            // Those that were dropped meanwhile go when a new one comes: a lane asks only the table of its newest revision.
            open.retain(|(h, _)| tables.by_handle.contains_key(h));
            drop(tables);
            let answer = ask(&table);
            open.push((handle, table));
            Ok(answer)
        })
    }
}

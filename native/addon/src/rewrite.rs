//! Binding of the rewritings of cnx-router: tables in a process-wide registry, as those of routes; see src/native/rewrite.ts.

use crate::text::with_utf8;
use cnx_router::{PathRewrite, REWRITES_MAX, Rewritten};
use napi::bindgen_prelude::{Either, Null, Result};
use napi::{Error, JsString};
use napi_derive::napi;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most tables that are registered at once: a snapshot has at most one, and few snapshots are alive together.
const TABLES_MAX: usize = 64;

type Table = Arc<[PathRewrite]>;

struct Registry {
    next: u32,
    tables: BTreeMap<u32, Table>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    next: 1,
    tables: BTreeMap::new(),
});

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See src/native/rewrite.ts, as all of this binding.
#[napi(object)]
pub struct RewriteRule {
    pub regex: String,
    pub replacement: String,
}

#[napi(object)]
pub struct RewriteProblem {
    pub rule: u32,
    pub message: String,
}

#[napi(object)]
pub struct RewritesCompiled {
    pub handle: u32,
    pub problems: Vec<RewriteProblem>,
}

#[napi(catch_unwind)]
pub fn rewrites_compile(rules: Vec<RewriteRule>) -> Result<RewritesCompiled> {
    let mut problems = Vec::new();
    let mut table = Vec::with_capacity(rules.len().min(REWRITES_MAX));
    for (rule, given) in (0_u32..).zip(&rules) {
        if rule as usize >= REWRITES_MAX {
            let message = format!("at most {REWRITES_MAX} expressions rewrite paths");
            problems.push(RewriteProblem { rule, message });
            break;
        }
        match PathRewrite::new(&given.regex, &given.replacement) {
            Ok(rewrite) => table.push(rewrite),
            Err(message) => problems.push(RewriteProblem { rule, message }),
        }
    }
    if !problems.is_empty() || table.is_empty() {
        return Ok(RewritesCompiled { handle: 0, problems });
    }
    let mut registry = registry();
    if registry.tables.len() >= TABLES_MAX {
        return Err(Error::from_reason(format!(
            "{TABLES_MAX} tables of rewritings are registered; drop those of old snapshots"
        )));
    }
    let handle = registry.next;
    registry.next = handle.wrapping_add(1).max(1);
    registry.tables.insert(handle, table.into());
    Ok(RewritesCompiled { handle, problems })
}

#[napi]
pub fn rewrites_drop(handle: u32) -> bool {
    registry().tables.remove(&handle).is_some()
}

thread_local! {
    /// Tables that this thread has asked, as in router.rs.
    static OPEN: RefCell<Vec<(u32, Table)>> = const { RefCell::new(Vec::new()) };
}

fn table(handle: u32) -> Result<Table> {
    OPEN.with_borrow_mut(|open| {
        if let Some((_, table)) = open.iter().rev().find(|(h, _)| *h == handle) {
            return Ok(Arc::clone(table));
        }
        let registry = registry();
        let Some(table) = registry.tables.get(&handle).map(Arc::clone) else {
            return Err(Error::from_reason(format!(
                "no table of rewritings has the handle {handle}"
            )));
        };
        open.retain(|(h, _)| registry.tables.contains_key(h));
        open.push((handle, Arc::clone(&table)));
        Ok(table)
    })
}

#[napi]
pub fn rewrite_path(handle: u32, rule: u32, path: JsString) -> Result<Either<String, Null>> {
    let table = table(handle)?;
    let Some(rewrite) = table.get(rule as usize) else {
        return Err(Error::from_reason(format!("the table has no rewriting {rule}")));
    };
    with_utf8(&path, |path| match rewrite.apply(path) {
        Rewritten::Unchanged => Either::B(Null),
        // A path that no caller takes.
        Rewritten::TooLong => Either::A(String::new()),
        Rewritten::Path(path) => Either::A(String::from_utf8(path).unwrap_or_default()),
    })
}

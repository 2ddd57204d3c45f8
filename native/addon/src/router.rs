//! Binding of cnx-router: a process-wide registry of compiled tables; each thread opens a table once and asks it without any lock.

use crate::text::with_utf8;
use cnx_router::{PathSpec, RouteSpec, Router};
use napi::bindgen_prelude::{Result, Uint32Array};
use napi::{Error, JsString};
use napi_derive::napi;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most tables that are registered at once: a snapshot has one, and few snapshots are alive together.
const ROUTERS_MAX: usize = 64;

struct Registry {
    next: u32,
    tables: BTreeMap<u32, Arc<Router>>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    next: 1,
    tables: BTreeMap::new(),
});

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See src/native/router.ts, as all of this binding.
#[napi(object)]
pub struct RouterRoute {
    pub id: String,
    pub hosts: Vec<String>,
    pub kind: String,
    pub path: String,
    pub methods: u32,
    pub header_predicates: bool,
    pub priority: i32,
}

#[napi(object)]
pub struct RouterProblem {
    pub route: u32,
    pub message: String,
}

#[napi(object)]
pub struct RouterCompiled {
    pub handle: u32,
    pub problems: Vec<RouterProblem>,
}

#[napi(catch_unwind)]
pub fn router_compile(routes: Vec<RouterRoute>) -> Result<RouterCompiled> {
    let specs = routes.iter().map(spec).collect::<Result<Vec<_>>>()?;
    let table = match Router::compile(&specs) {
        Ok(table) => table,
        Err(problems) => {
            let problems = problems
                .into_iter()
                .map(|p| RouterProblem {
                    route: u32::try_from(p.route).unwrap_or(u32::MAX),
                    message: p.message,
                })
                .collect();
            return Ok(RouterCompiled { handle: 0, problems });
        }
    };
    let mut registry = registry();
    if registry.tables.len() >= ROUTERS_MAX {
        return Err(Error::from_reason(format!(
            "{ROUTERS_MAX} route tables are registered; drop those of old snapshots"
        )));
    }
    let handle = registry.next;
    registry.next = handle.wrapping_add(1).max(1);
    registry.tables.insert(handle, Arc::new(table));
    Ok(RouterCompiled {
        handle,
        problems: Vec::new(),
    })
}

fn spec(route: &RouterRoute) -> Result<RouteSpec<'_>> {
    let text = route.path.as_str();
    let path = match route.kind.as_str() {
        "exact" => PathSpec::Exact(text),
        "prefix" => PathSpec::Prefix(text),
        "template" => PathSpec::Template(text),
        "regex" => PathSpec::Regex(text),
        other => {
            return Err(Error::from_reason(format!(
                "route `{}`: `{other}` is no kind of path",
                route.id
            )));
        }
    };
    Ok(RouteSpec {
        id: &route.id,
        hosts: route.hosts.iter().map(String::as_str).collect(),
        path,
        methods: u16::try_from(route.methods).unwrap_or(0),
        has_header_predicates: route.header_predicates,
        priority: route.priority,
    })
}

#[napi]
pub fn router_drop(handle: u32) -> bool {
    registry().tables.remove(&handle).is_some()
}

thread_local! {
    /// Tables that this thread has asked, the newest last. A plain function with a handle rather than a class: unwrapping an object
    /// costs about 300 ns a call, three times the call itself (measured).
    static OPEN: RefCell<Vec<(u32, Arc<Router>)>> = const { RefCell::new(Vec::new()) };
}

/// Runs `ask` on a table, opening it in this thread first if need be.
fn with_table<T>(handle: u32, ask: impl FnOnce(&Router) -> T) -> Result<T> {
    OPEN.with_borrow_mut(|open| {
        if let Some((_, table)) = open.iter().rev().find(|(h, _)| *h == handle) {
            return Ok(ask(table));
        }
        let registry = registry();
        let Some(table) = registry.tables.get(&handle) else {
            return Err(Error::from_reason(format!("no route table has the handle {handle}")));
        };
        // Those that were dropped meanwhile go when a new one comes: a lane asks only the table of its newest revision.
        open.retain(|(h, _)| registry.tables.contains_key(h));
        let answer = ask(table);
        open.push((handle, Arc::clone(table)));
        Ok(answer)
    })
}

#[napi]
pub fn router_find(handle: u32, host: JsString, path: JsString, method_bit: u32, cursor: u32) -> Result<u32> {
    let find = |table: &Router, host: &[u8], path: &[u8]| table.find(host, path, method_bit as u16, cursor);
    with_table(handle, |table| {
        with_utf8(&host, |host| with_utf8(&path, |path| find(table, host, path)))
    })??
}

#[napi]
pub fn router_allowed(handle: u32, host: JsString, path: JsString) -> Result<u32> {
    with_table(handle, |table| {
        with_utf8(&host, |host| {
            with_utf8(&path, |path| u32::from(table.allowed(host, path)))
        })
    })??
}

#[napi]
pub fn router_routes(handle: u32) -> Result<Uint32Array> {
    with_table(handle, |table| table.routes().to_vec().into())
}

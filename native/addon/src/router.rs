//! Binding of cnx-router: compiled tables of routes, registered once for the process.

use crate::registry::{Open, Registry};
use crate::text::with_utf8;
use cnx_router::{PathSpec, RouteSpec, Router};
use napi::bindgen_prelude::{Result, Uint32Array};
use napi::{Error, JsString};
use napi_derive::napi;
use std::cell::RefCell;

static ROUTERS: Registry<Router> = Registry::new(["route table", "route tables"]);

thread_local! {
    static OPEN: Open<Router> = const { RefCell::new(Vec::new()) };
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
    let handle = ROUTERS.add(table)?;
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
    ROUTERS.remove(handle)
}

#[napi]
pub fn router_find(handle: u32, host: JsString, path: JsString, method_bit: u32, cursor: u32) -> Result<u32> {
    let find = |table: &Router, host: &[u8], path: &[u8]| table.find(host, path, method_bit as u16, cursor);
    ROUTERS.ask(&OPEN, handle, |table| {
        with_utf8(&host, |host| with_utf8(&path, |path| find(table, host, path)))
    })??
}

#[napi]
pub fn router_allowed(handle: u32, host: JsString, path: JsString) -> Result<u32> {
    ROUTERS.ask(&OPEN, handle, |table| {
        with_utf8(&host, |host| {
            with_utf8(&path, |path| u32::from(table.allowed(host, path)))
        })
    })??
}

#[napi]
pub fn router_routes(handle: u32) -> Result<Uint32Array> {
    ROUTERS.ask(&OPEN, handle, |table| table.routes().to_vec().into())
}

//! Binding of the rewritings of cnx-router: tables in a process-wide registry, as those of routes; see src/native/rewrite.ts.

use crate::registry::{Open, Registry};
use crate::text::with_utf8;
use cnx_router::{PathRewrite, REWRITES_MAX, Rewritten};
use napi::bindgen_prelude::{Either, Null, Result};
use napi::{Error, JsString};
use napi_derive::napi;
use std::cell::RefCell;

static REWRITES: Registry<Vec<PathRewrite>> = Registry::new(["table of rewritings", "tables of rewritings"]);

thread_local! {
    static OPEN: Open<Vec<PathRewrite>> = const { RefCell::new(Vec::new()) };
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
    let handle = REWRITES.add(table)?;
    Ok(RewritesCompiled { handle, problems })
}

#[napi]
pub fn rewrites_drop(handle: u32) -> bool {
    REWRITES.remove(handle)
}

#[napi]
pub fn rewrite_path(handle: u32, rule: u32, path: JsString) -> Result<Either<String, Null>> {
    REWRITES.ask(&OPEN, handle, |table| {
        let Some(rewrite) = table.get(rule as usize) else {
            return Err(Error::from_reason(format!("the table has no rewriting {rule}")));
        };
        with_utf8(&path, |path| match rewrite.apply(path) {
            Rewritten::Unchanged => Either::B(Null),
            // A path that no caller takes.
            Rewritten::TooLong => Either::A(String::new()),
            Rewritten::Path(path) => Either::A(String::from_utf8(path).unwrap_or_default()),
        })
    })?
}

//! The addon that Node loads: hands the pure crates of this workspace to JavaScript.
//! Everything process-wide lives in statics here, so every thread must load the same file.

mod limits;
mod registry;
mod rewrite;
mod router;
mod text;
mod transport;
mod waf;

use napi_derive::napi;

/// Of what a request over HTTP/2 takes, header tables of 1.6 KB above all, glibc keeps nothing at hand for the thread that gave it back (docs/decisions/dependencies.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The version of the addon, so that JavaScript can refuse one that was built from other sources.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

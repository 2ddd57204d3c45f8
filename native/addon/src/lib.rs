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

/// The version of the addon, so that JavaScript can refuse one that was built from other sources.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

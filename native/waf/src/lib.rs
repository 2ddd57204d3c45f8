//! The WAF engine: SecLang rule files compiled to one program for each phase and matched in linear time.
//!
//! The path of a request: [`wire`] unpacks it, [`engine`] fills the variables ([`body`] reads bodies) and runs the
//! phases, and the verdict is packed again. [`seclang`] parses rule files, [`program`] compiles them,
//! [`operator`] and [`transform`] are the tables of what rules can say. [`expression`] is a second language for rules in the same program. [`profile`] is what a route may change.
//!
//! Everything is bounded: see the constants named `…_MAX` and [`profile::Profile::work_max`]. Nothing here knows Node.

pub mod body;
pub mod bytes;
pub mod collections;
pub mod docs;
pub mod engine;
pub mod expression;
pub mod operator;
pub mod profile;
pub mod program;
pub mod seclang;
pub mod transform;
pub mod wire;

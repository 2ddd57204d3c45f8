//! Binding of cnx-waf: a process-wide registry of compiled rule sets and profiles, and per-thread memory to run them.
//! See `src/native/waf.ts` for what JavaScript sees.

mod in_memory;
mod inspect;
mod lane;
mod lent;
mod memory;
mod options;
mod sets;

//! Chooses the route of a request: host, then path, then header predicates, then methods; the most specific first.
//!
//! A table is compiled once and never changes. Compiling puts every (route, host pattern) pair into one total order, the
//! *candidate order*, and numbers the pairs by it; such a pair is an *entry*. [`Router::find`] answers the first entry at or
//! after a cursor, so a caller that evaluates header predicates itself asks again from the next one.
//!
//! Candidate order:
//! 1. host: exact, then wildcards (`*.example.com`, one or more labels) longest first, then any;
//! 2. path: the first segment in which two patterns differ decides: static before parameter before the end of the pattern, an
//!    end that matches only itself before `{rest...}` before a prefix. So exact paths come first and longer prefixes before
//!    shorter ones. Regular expressions come after all of these, in the order of their declaration;
//! 3. higher priority, then with header predicates before without, then fewer methods before more, then declaration.
//!
//! A request for which a specific entry does not hold (method or predicate) falls through to less specific ones; only when no
//! entry holds does the answer tell "no such path" from "not with this method".
//!
//! Cost: one hash look-up for the host, one a path segment; regular expressions are complete DFAs, so one table step a byte and never an
//! allocation. `find` allocates nothing and cannot panic on any input.

mod hosts;
mod path;
mod regex;
mod rewrite;
mod router;
mod tree;

pub use path::PathSpec;
pub use rewrite::{PathRewrite, Rewritten};
pub use router::{Problem, RouteSpec, Router};

/// Most routes in one table.
pub const ROUTES_MAX: usize = 100_000;
/// Most host patterns of one route.
pub const ROUTE_HOSTS_MAX: usize = 64;
/// Most entries (route × host pattern) in one table.
pub const ENTRIES_MAX: usize = 400_000;
/// Longest path pattern, bytes.
pub const PATTERN_BYTES_MAX: usize = 2_048;
/// Most segments of a path pattern. Bounds the depth of the search.
pub const SEGMENTS_MAX: usize = 64;
/// Longest host pattern, bytes (RFC 1035 §2.3.4).
pub const HOST_BYTES_MAX: usize = 255;
/// Most routes that match by regular expression.
pub const REGEX_ROUTES_MAX: usize = 1_000;
/// Longest regular expression, bytes.
pub const REGEX_BYTES_MAX: usize = 1_024;
/// Largest automaton of one regular expression, bytes.
pub const REGEX_DFA_BYTES_MAX: usize = 512 * 1024;
/// Largest sum of all automata of one table, bytes.
pub const REGEX_DFA_BYTES_TOTAL_MAX: usize = 64 * 1024 * 1024;
/// Longest expression or replacement of a rewriting, bytes.
pub const REWRITE_BYTES_MAX: usize = 1_024;
/// Largest automaton of one rewriting, and the most memory that its search keeps in a thread, bytes.
pub const REWRITE_NFA_BYTES_MAX: usize = 1024 * 1024;
/// Longest path that a rewriting makes, bytes.
pub const REWRITE_RESULT_BYTES_MAX: usize = 8 * 1024;
/// Most matches that one rewriting replaces in a path; a path with more is refused.
pub const REWRITE_MATCHES_MAX: usize = 256;
/// Most rewritings in one table.
pub const REWRITES_MAX: usize = 10_000;
/// Most problems that one compilation reports.
pub const PROBLEMS_MAX: usize = 100;

/// Answer of [`Router::find`]: nothing (more) matches.
pub const NOT_FOUND: u32 = 0xFFFF_FFFF;
/// Answer of [`Router::find`]: host and path match, but none of their entries takes this method.
pub const METHOD_NOT_ALLOWED: u32 = 0xFFFF_FFFE;

/// Bits of a method mask: GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE from bit 0, then one for every other token.
pub const METHOD_BITS: u16 = 0x03FF;

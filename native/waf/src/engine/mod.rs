//! One transaction: its values, its variables, and the loop over the rules of a phase.

mod act;
mod collect;
mod expand;
mod expression;
mod facts;
mod keep;
mod persist;
mod reach;
mod report;
mod request;
mod response;
mod run;
mod search;
mod sink;
mod trace;
mod transaction;
mod values;

pub use keep::KEPT_BYTES_MAX;
pub use report::Report;
pub use transaction::{Outcome, Transaction, Verdict, Wanted};

/// Which bound of a request was passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Limit {
    /// None.
    #[default]
    None = 0,
    /// The work of the profile.
    Work = 1,
    /// `SecArgumentsLimit`.
    Arguments = 2,
    /// `SecRequestBodyLimit` with Reject.
    Body = 3,
    /// Memory of one transaction.
    Memory = 4,
    /// `SecUploadFileLimit`.
    Files = 5,
    /// `SecResponseBodyLimit` with Reject.
    ResponseBody = 6,
}

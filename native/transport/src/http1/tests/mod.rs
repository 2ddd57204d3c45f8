//! What must hold of the parsers as a whole.

mod chunked;
mod properties;
mod requests;
mod responses;

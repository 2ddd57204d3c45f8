//! Operators that need what a gateway does not have, for rules that do not ask for it: without an address database
//! `geoLookup` finds nothing, and neither does `rbl` at Project Honey Pot without a key; so it is in ModSecurity. What would
//! give them these (`SecGeoLookupDB`, `SecHttpBlKey`) is refused.

use super::{Operator, Probe, Recipe};
use crate::seclang::diagnostic::Problem;

/// The one list that answers nobody without a key.
const KEYED_LIST: &str = "dnsbl.httpbl.org";

struct Nothing;

impl Operator for Nothing {
    fn matches(&self, _: &mut Probe<'_>) -> bool {
        false
    }
}

pub fn geo_lookup(_: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    Ok(Box::new(Nothing))
}

pub fn rbl(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    if r.argument.trim().eq_ignore_ascii_case(KEYED_LIST) {
        return Ok(Box::new(Nothing));
    }
    Err(Problem::new(
        format!("@rbl {} would ask the network while a request waits", r.argument),
        "put the addresses into a file of the bundle and use @ipMatchFromFile",
    ))
}

//! XML bodies: no panic, nothing expands.
#![no_main]

#[path = "common/count.rs"]
mod count;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut found = count::Count::default();
    let _ = cnx_waf::body::xml::parse(bytes, &mut found);
    found.check(bytes.len(), 1);
});

//! JSON bodies: no panic, and values no longer than what was read (half of a surrogate pair becomes three bytes).
#![no_main]

#[path = "common/count.rs"]
mod count;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut found = count::Count::default();
    let read = cnx_waf::body::json::parse(bytes, 64, &mut Default::default(), &mut found);
    found.check(bytes.len(), 1);
    assert!(read.is_err() || std::str::from_utf8(bytes).is_ok() || bytes.is_empty());
});

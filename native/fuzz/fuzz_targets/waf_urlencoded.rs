//! URL-encoded bodies: no panic, and nothing longer than what was read.
#![no_main]

#[path = "common/count.rs"]
mod count;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut found = count::Count::default();
    cnx_waf::body::urlencoded::parse(bytes, b'&', &mut Default::default(), &mut found);
    found.check(bytes.len(), 1);
});

//! Multipart bodies, the first line being the media type: no panic, parts no longer than what was read.
#![no_main]

#[path = "common/count.rs"]
mod count;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|b| *b == b'\n').unwrap_or(0);
    let (first, body) = bytes.split_at(at);
    let kind = [&b"multipart/form-data; boundary="[..], first].concat();
    let mut found = count::Count::default();
    let _ = cnx_waf::body::multipart::parse(body, &kind, 100, &mut found);
    // Names stand in several variables; folded lines are joined with a space.
    found.check(bytes.len(), 70);
});

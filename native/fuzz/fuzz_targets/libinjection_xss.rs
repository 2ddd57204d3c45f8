//! A value: the HTML reader stops, reads each byte at most five times, and finds nothing without a byte that is needed.
#![no_main]

use cnx_libinjection::xss;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let answer = xss::detect(value);
    assert!(answer.bytes_read <= 5 * value.len() as u64);
    assert!(!answer.found || value.iter().copied().any(xss::is_needed));
});

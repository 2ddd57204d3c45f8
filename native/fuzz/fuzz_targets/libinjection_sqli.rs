//! A value: the SQL reader stops, reads each byte at most five times, and finds nothing without a byte that is needed.
#![no_main]

use cnx_libinjection::sqli;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let answer = sqli::detect(value);
    assert!(answer.bytes_read <= 5 * value.len() as u64);
    if let Some(fingerprint) = answer.fingerprint {
        assert!((1..=5).contains(&fingerprint.as_bytes().len()));
        assert!(value.iter().copied().any(sqli::is_needed));
    }
});

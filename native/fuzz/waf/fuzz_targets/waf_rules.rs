//! [`cnx_fuzz_waf`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cnx_fuzz_waf::waf_rules(bytes));

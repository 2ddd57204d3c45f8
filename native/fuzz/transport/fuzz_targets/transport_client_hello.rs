//! [`cnx_fuzz_transport`] says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cnx_fuzz_transport::transport_client_hello(bytes));

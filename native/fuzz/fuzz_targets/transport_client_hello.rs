//! The first bytes of a TLS connection: the ClientHello reader and the fingerprint of what it read.
#![no_main]

use cnx_transport::tls::client_hello::{Hello, read};
use cnx_transport::tls::ja4;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    if let Hello::Done(hello) = &whole {
        assert_eq!(ja4::ja4(hello).len(), 36);
        assert!(ja4::ja4_raw(hello).starts_with('t'));
    }
    // What was told of a beginning stays true when more comes.
    for cut in [bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        let part = read(&bytes[..cut]);
        assert!(part == Hello::More || part == whole);
    }
    let _ = cnx_transport::tls::x509::read(bytes);
    let _ = cnx_transport::tls::x509::ocsp_status(bytes);
});

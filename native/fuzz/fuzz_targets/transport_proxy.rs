//! Headers of the PROXY protocol: no panic, and what more bytes bring never contradicts what was said.
#![no_main]

use cnx_transport::proxy::{HEADER_BYTES_MAX, Proxy, read_proxy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = read_proxy(bytes);
    if let Proxy::Header {
        consumed, authority, ..
    } = whole
    {
        assert!(consumed <= bytes.len() && consumed <= HEADER_BYTES_MAX);
        assert!(authority.is_none_or(|span| span.end() <= consumed));
    }
    for end in 0..bytes.len().min(300) {
        let before = read_proxy(&bytes[..end]);
        assert!(before == Proxy::More || before == whole);
    }
});

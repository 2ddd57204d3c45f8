//! What stands around heads: chunked bodies, the PROXY protocol, and the begin of TLS.

use cnx_transport::http1::Chunked;
use cnx_transport::layout::Fault;
use cnx_transport::proxy::{HEADER_BYTES_MAX, Proxy, read_proxy};
use cnx_transport::tls::client_hello::{Hello, read};
use cnx_transport::tls::ja4;

/// What came of it, the body, the trailers.
type Decoding = (Result<(usize, bool), Fault>, Vec<u8>, Vec<u8>);

fn decode(bytes: &[u8], step: usize) -> Decoding {
    let mut decoder = Chunked::default();
    let mut body = Vec::new();
    let mut at = 0;
    let mut result = Ok((0, false));
    while at < bytes.len() {
        let end = at.saturating_add(step).min(bytes.len());
        match decoder.decode(&bytes[at..end], &mut |piece| body.extend_from_slice(piece)) {
            Ok(decoded) => {
                at += decoded.consumed;
                result = Ok((at, decoded.done));
                if decoded.done {
                    break;
                }
                assert_eq!(at, end);
            }
            Err(fault) => {
                result = Err(fault);
                break;
            }
        }
    }
    (result, body, decoder.trailers().to_vec())
}

/// Chunked bodies, whole and in pieces: the same content, trailers and end; what comes out is never more than what went in.
pub fn transport_chunked(bytes: &[u8]) {
    let Some((step, rest)) = bytes.split_first() else {
        return;
    };
    let whole = decode(rest, usize::MAX);
    assert_eq!(whole, decode(rest, 1 + usize::from(*step)));
    let (_, body, trailers) = whole;
    assert!(body.len() <= rest.len());
    // Each kept line has at most one space and a line end more than it came with.
    assert!(trailers.len() <= 2 * rest.len());
    assert!(trailers.is_empty() || trailers.ends_with(b"\r\n"));
}

/// Headers of the PROXY protocol: no panic, and what more bytes bring never contradicts what was said.
pub fn transport_proxy(bytes: &[u8]) {
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
}

/// The first bytes of a TLS connection, and certificates: no panic; what was told of a beginning stays true.
pub fn transport_client_hello(bytes: &[u8]) {
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
}

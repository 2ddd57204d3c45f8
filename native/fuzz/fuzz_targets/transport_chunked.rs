//! Chunked bodies, whole and in pieces: the same content, trailers and end; what comes out is never more than what went in.
#![no_main]

use cnx_transport::http1::Chunked;
use cnx_transport::layout::Fault;
use libfuzzer_sys::fuzz_target;

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

fuzz_target!(|bytes: &[u8]| {
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
});

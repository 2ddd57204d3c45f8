//! Over arbitrary and nearly well-formed bytes: no panic, no dependence on how bytes were split, what is written can be read.

use proptest::prelude::*;

use crate::http1::*;

/// Pieces of messages, so that random rows of them come close to being one.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"GET",
        b"POST",
        b"OPTIONS",
        b"CONNECT",
        b"PRI",
        b" ",
        b" ",
        b"/",
        b"/a?b",
        b"*",
        b"http://a.test/x",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b" HTTP/1.1\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\t",
        b":",
        b": ",
        b"Host: a.test\r\n",
        b"Host: b\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close, x\r\n",
        b"Connection: upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"X: y\r\n",
        b"Expect: 100-continue\r\n",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 204\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n",
        b"5;a=b\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test\r\n",
        b"\xff",
        b"\0",
        b"5",
        b";a",
        b"=\"b\"",
    ];
    prop_oneof![
        12 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
        1 => "[a-zA-Z0-9-]{0,12}".prop_map(String::into_bytes),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => proptest::collection::vec(piece(), 0..24).prop_map(|parts| parts.concat()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

/// Places to split at, as fractions.
fn splits() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    proptest::collection::vec(any::<prop::sample::Index>(), 0..8)
}

fn ends(splits: &[prop::sample::Index], len: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = splits.iter().map(|split| split.index(len + 1)).collect();
    ends.sort_unstable();
    ends.push(len);
    ends
}

/// Reads what arrives in pieces that end at `ends`. Other heads are read into between, since one may serve many connections.
fn in_pieces<H: Clone + Default>(
    bytes: &[u8],
    ends: &[usize],
    mut read: impl FnMut(&mut [u8], &mut Progress, &mut H) -> Parsed,
) -> (Parsed, H) {
    let mut buffer = bytes.to_vec();
    let mut progress = Progress::default();
    let mut last = (Parsed::More, H::default());
    for end in ends {
        let mut head = H::default();
        let parsed = read(&mut buffer[..*end], &mut progress, &mut head);
        last = (parsed, head);
        if parsed != Parsed::More {
            break;
        }
    }
    last
}

fn decode(bytes: &[u8], ends: &[usize]) -> (Result<Decoded, crate::layout::Fault>, Vec<u8>, Vec<u8>) {
    let mut decoder = Chunked::default();
    let mut body = Vec::new();
    let mut from = 0;
    for end in ends {
        match decoder.decode(&bytes[from..*end], &mut |piece| body.extend_from_slice(piece)) {
            Ok(Decoded { consumed, done }) => {
                from += consumed;
                assert!(done || from == *end);
                if done {
                    return (Ok(Decoded { consumed: from, done }), body, decoder.trailers().to_vec());
                }
            }
            Err(fault) => return (Err(fault), body, decoder.trailers().to_vec()),
        }
    }
    (
        Ok(Decoded {
            consumed: from,
            done: false,
        }),
        body,
        decoder.trailers().to_vec(),
    )
}

/// What must hold of any head, whatever the bytes were.
fn check_spans(bytes: &[u8], spans: impl Iterator<Item = Span>) {
    for span in spans {
        assert!(span.end() <= bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_reads_the_same_however_it_was_split(bytes in stream(), splits in splits()) {
        let one = in_pieces::<RequestHead>(&bytes, &[bytes.len()], parse_request);
        let many = in_pieces::<RequestHead>(&bytes, &ends(&splits, bytes.len()), parse_request);
        let bytewise: Vec<usize> = (0..=bytes.len()).collect();
        let single = in_pieces::<RequestHead>(&bytes, &bytewise, parse_request);
        prop_assert_eq!(one.0, many.0);
        prop_assert_eq!(one.0, single.0);
        if matches!(one.0, Parsed::Done(_)) {
            prop_assert_eq!(&one.1, &many.1);
            prop_assert_eq!(&one.1, &single.1);
        }
        let (parsed, head) = one;
        check_spans(&bytes, [head.method_at, head.path, head.query, head.host].into_iter());
        check_spans(&bytes, head.fields.iter().flat_map(|f| [f.name, f.value]));
        if let Parsed::Done(end) = parsed {
            prop_assert!(end <= bytes.len());
            prop_assert!(bytes[..end].ends_with(b"\r\n\r\n"));
            prop_assert!(!head.host.is_empty() && !head.path.is_empty() && !head.method_at.is_empty());
            prop_assert!(head.framing != Framing::UntilClose);
        }
    }

    #[test]
    fn a_response_reads_the_same_however_it_was_split(bytes in stream(), splits in splits(), to_head in any::<bool>()) {
        let bytes = [b"HTTP/1.1 200 OK\r\n".as_slice(), &bytes].concat();
        let read = |bytes: &mut [u8], progress: &mut Progress, head: &mut ResponseHead| parse_response(bytes, progress, head, to_head);
        let one = in_pieces(&bytes, &[bytes.len()], read);
        let many = in_pieces(&bytes, &ends(&splits, bytes.len()), read);
        let bytewise: Vec<usize> = (0..=bytes.len()).collect();
        prop_assert_eq!(one.0, many.0);
        prop_assert_eq!(one.0, in_pieces(&bytes, &bytewise, read).0);
        if matches!(one.0, Parsed::Done(_)) {
            prop_assert_eq!(&one.1, &many.1);
        }
        check_spans(&bytes, one.1.fields.iter().flat_map(|f| [f.name, f.value]).chain([one.1.reason]));
    }

    #[test]
    fn a_chunked_body_reads_the_same_however_it_was_split(bytes in stream(), splits in splits()) {
        let one = decode(&bytes, &[bytes.len()]);
        let bytewise: Vec<usize> = (0..=bytes.len()).collect();
        prop_assert_eq!(&one, &decode(&bytes, &ends(&splits, bytes.len())));
        prop_assert_eq!(&one, &decode(&bytes, &bytewise));
    }

    #[test]
    fn what_is_written_in_chunks_is_read_back(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
        splits in splits(),
        after in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut wire = Vec::new();
        for piece in &pieces {
            let mut prefix = [0; 10];
            let n = chunk_prefix(piece.len(), &mut prefix);
            wire.extend_from_slice(&prefix[..n]);
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let end = wire.len();
        wire.extend_from_slice(&after);
        let (result, body, trailers) = decode(&wire, &ends(&splits, wire.len()));
        prop_assert_eq!(result, Ok(Decoded { consumed: end, done: true }));
        prop_assert_eq!(body, pieces.concat());
        prop_assert!(trailers.is_empty());
    }
}

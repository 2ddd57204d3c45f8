//! Heads of requests, whole and byte by byte in pieces that the first byte chooses: the same result, and places within the bytes.
#![no_main]

use cnx_transport::http1::{Framing, Parsed, Progress, RequestHead, parse_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((step, rest)) = bytes.split_first() else {
        return;
    };
    let mut whole = RequestHead::default();
    let mut lowered = rest.to_vec();
    let parsed = parse_request(&mut lowered, &mut Progress::default(), &mut whole);
    assert!(rest.eq_ignore_ascii_case(&lowered));

    let mut pieces = rest.to_vec();
    let mut progress = Progress::default();
    let (mut end, mut last, mut head) = (0, Parsed::More, RequestHead::default());
    while end < rest.len() && last == Parsed::More {
        end = (end + 1 + usize::from(*step)).min(rest.len());
        last = parse_request(&mut pieces[..end], &mut progress, &mut head);
    }
    assert_eq!(parsed, last);

    let spans = [whole.method_at, whole.path, whole.query, whole.host];
    for span in spans
        .into_iter()
        .chain(whole.fields.iter().flat_map(|field| [field.name, field.value]))
    {
        assert!(span.end() <= rest.len());
    }
    if let Parsed::Done(end) = parsed {
        assert_eq!(whole, head);
        assert!(rest[..end].ends_with(b"\r\n\r\n"));
        assert!(!whole.host.is_empty() && !whole.path.is_empty() && whole.framing != Framing::UntilClose);
        assert!(!rest[..end].contains(&0));
    }
});

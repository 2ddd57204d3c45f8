//! Heads of requests and of responses.

use cnx_transport::http1::{Framing, Parsed, Progress, RequestHead, ResponseHead, parse_request, parse_response};

/// Heads of requests, whole and in pieces that the first byte chooses: the same result, and places within the bytes.
pub fn transport_request(bytes: &[u8]) {
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
}

/// The same of responses.
pub fn transport_response(bytes: &[u8]) {
    let Some((step, rest)) = bytes.split_first() else {
        return;
    };
    let to_head = step & 1 == 1;
    let mut whole = ResponseHead::default();
    let parsed = parse_response(&mut rest.to_vec(), &mut Progress::default(), &mut whole, to_head);

    let mut pieces = rest.to_vec();
    let mut progress = Progress::default();
    let (mut end, mut last, mut head) = (0, Parsed::More, ResponseHead::default());
    while end < rest.len() && last == Parsed::More {
        end = (end + 1 + usize::from(*step >> 1)).min(rest.len());
        last = parse_response(&mut pieces[..end], &mut progress, &mut head, to_head);
    }
    assert_eq!(parsed, last);

    for span in whole
        .fields
        .iter()
        .flat_map(|field| [field.name, field.value])
        .chain([whole.reason])
    {
        assert!(span.end() <= rest.len());
    }
    if matches!(parsed, Parsed::Done(_)) {
        assert_eq!(whole, head);
        assert!((100..600).contains(&whole.status));
        assert!(!to_head || whole.framing == Framing::None);
        assert!(!(whole.keep_alive && whole.framing == Framing::UntilClose));
    }
}

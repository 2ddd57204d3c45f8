//! Heads of responses, whole and in pieces: the same result, and places within the bytes.
#![no_main]

use cnx_transport::http1::{Framing, Parsed, Progress, ResponseHead, parse_response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
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
});

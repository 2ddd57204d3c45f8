use proptest::prelude::*;

use super::*;

/// A handshake message in records of `step` bytes.
fn records(message: &[u8], step: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in message.chunks(step) {
        bytes.extend_from_slice(&[22, 3, 1]);
        bytes.extend_from_slice(&(piece.len() as u16).to_be_bytes());
        bytes.extend_from_slice(piece);
    }
    bytes
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn message_of(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend_from_slice(&[0, 6, 0x0a, 0x0a, 0x13, 0x01, 0xc0, 0x2b, 1, 0]);
    body.extend_from_slice(&sized(&extensions.concat()));
    let length = (body.len() as u32).to_be_bytes();
    [&[1, length[1], length[2], length[3]], body.as_slice()].concat()
}

fn sample() -> Vec<u8> {
    message_of(&[
        extension(0x1a1a, b""),
        extension(0, &sized(b"\x00\x00\x0bExample.COM")),
        extension(16, &sized(b"\x02h2\x08http/1.1")),
        extension(13, &sized(&[4, 3, 8, 4])),
        extension(43, &[4, 3, 4, 3, 3]),
        extension(51, &[9; 1300]),
    ])
}

fn expected() -> ClientHello {
    ClientHello {
        legacy_version: 0x0303,
        versions: vec![0x0304, 0x0303],
        ciphers: vec![0x0a0a, 0x1301, 0xc02b],
        extensions: vec![0x1a1a, 0, 16, 13, 43, 51],
        signature_algorithms: vec![0x0403, 0x0804],
        alpn_first: b"h2".to_vec(),
        server_name: Some("example.com".to_owned()),
    }
}

#[test]
fn a_hello_is_read_in_one_record_and_in_several() {
    for step in [5000, 500, 100] {
        let bytes = records(&sample(), step);
        assert_eq!(read(&bytes), Hello::Done(Box::new(expected())), "records of {step}");
        for at in 0..bytes.len() {
            assert_eq!(read(&bytes[..at]), Hello::More, "cut at {at} of records of {step}");
        }
    }
    assert!(matches!(read(&records(&sample(), 50)), Hello::Broken(_)));
}

#[test]
fn what_follows_the_hello_is_not_looked_at() {
    let bytes = [records(&sample(), 5000), vec![0xff; 10]].concat();
    assert_eq!(read(&bytes), Hello::Done(Box::new(expected())));
}

#[test]
fn what_no_client_sends_is_told_at_its_first_byte() {
    for (bytes, expected) in [
        (&b"G"[..], Hello::NotTls),
        (b"\x80", Hello::NotTls),
        (b"\x15\x03\x01\x00\x02", Hello::NotTls),
        (b"\x16\x02", Hello::Broken("a record of no TLS version")),
        (
            b"\x16\x03\x01\x00\x00",
            Hello::Broken("a handshake record of no sensible length"),
        ),
        (
            b"\x16\x03\x01\x50\x00",
            Hello::Broken("a handshake record of no sensible length"),
        ),
        (
            b"\x16\x03\x01\x00\x05\x02",
            Hello::Broken("the first message is not a ClientHello"),
        ),
        (
            b"\x16\x03\x01\x00\x05\x01\x00\x50\x00",
            Hello::Broken("a ClientHello beyond 16 KiB"),
        ),
        (
            b"\x16\x03\x01\x00\x01\x01\x15",
            Hello::Broken("a ClientHello interrupted by another record"),
        ),
        (b"", Hello::More),
        (b"\x16", Hello::More),
    ] {
        assert_eq!(read(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn lengths_that_do_not_fit_are_broken() {
    let broken = Hello::Broken("the ClientHello's lengths do not fit");
    for bad in [
        extension(0, &sized(b"\x00\x00\x0cexample.com")),
        extension(0, &[sized(b"\x00\x00\x0bexample.com"), vec![0]].concat()),
        extension(13, &sized(&[4, 3, 8])),
        extension(43, &[3, 3, 4, 3]),
        extension(16, &sized(b"\x05h2")),
        vec![0, 13, 0, 9, 1],
    ] {
        assert_eq!(
            read(&records(&message_of(std::slice::from_ref(&bad)), 5000)),
            broken,
            "{bad:?}"
        );
    }
    let mut long = sample();
    long.push(0);
    long[3] = long[3].wrapping_add(1);
    assert_eq!(read(&records(&long, 5000)), broken);
}

#[test]
fn a_name_that_is_an_address_or_no_name_is_none() {
    for name in ["127.0.0.1", "a b", "", "-a.example"] {
        let list = [&[0][..], &sized(name.as_bytes())].concat();
        let bytes = records(&message_of(&[extension(0, &sized(&list))]), 5000);
        match read(&bytes) {
            Hello::Done(hello) => assert_eq!(hello.server_name, None, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_changed_hello_is_read_without_harm(at in 0usize..1500, flip in 1u8.., step in 80usize..3000, cut in 0usize..2000) {
        let mut bytes = records(&sample(), step);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let whole = read(&bytes);
        let part = read(&bytes[..cut.min(bytes.len())]);
        // More bytes never take back what was told.
        prop_assert!(part == Hello::More || part == whole);
    }

    #[test]
    fn extensions_of_any_bytes_are_read_without_harm(kinds in proptest::collection::vec((prop::sample::select(vec![0u16, 13, 16, 43, 51]), proptest::collection::vec(any::<u8>(), 0..20)), 0..10)) {
        let all: Vec<Vec<u8>> = kinds.iter().map(|(kind, value)| extension(*kind, value)).collect();
        if let Hello::Done(hello) = read(&records(&message_of(&all), 4000)) {
            prop_assert_eq!(super::super::ja4::ja4(&hello).len(), 36);
        }
    }
}

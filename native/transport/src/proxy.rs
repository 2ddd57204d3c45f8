//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): what a trusted load balancer says of the connection before its first byte. It is to be
//! read only from peers that are trusted with it: whoever may send it chooses the address that everything else believes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::http1::Span;

/// Longest line of version 1 with its line end, bytes; by the specification.
pub const LINE_BYTES_MAX: usize = 107;
/// Longest header of version 2, bytes: far more than balancers send, so that what a peer makes us keep is small.
pub const HEADER_BYTES_MAX: usize = 4 * 1024;
/// Longest authority that is told, bytes; a host name is at most 255.
pub const AUTHORITY_BYTES_MAX: usize = 255;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const PREFIX: [u8; 6] = *b"PROXY ";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

/// What stands at the begin of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// Not whole yet.
    More,
    /// A header.
    Header {
        /// Bytes of it; what the client sent follows.
        consumed: usize,
        /// Who dialled the balancer. None: the balancer speaks for itself (LOCAL, a health check) or does not know (UNKNOWN, other families): the peer's own
        /// address holds.
        source: Option<SocketAddr>,
        /// Where it dialled.
        destination: Option<SocketAddr>,
        /// Host name that the client asked for, as the balancer saw it (PP2_TYPE_AUTHORITY); printable ASCII, its place in the bytes given.
        authority: Option<Span>,
    },
    /// It begins as a header and is none. Nothing after it can be trusted.
    Broken,
    /// No header.
    Absent,
}

/// Reads the header that may stand at the begin of `bytes`, which begin at the first byte of the connection.
pub fn read_proxy(bytes: &[u8]) -> Proxy {
    if bytes.starts_with(&SIGNATURE) {
        return version2(bytes).unwrap_or(Proxy::Broken);
    }
    if bytes.starts_with(&PREFIX) {
        return version1(bytes).unwrap_or(Proxy::Broken);
    }
    if SIGNATURE.starts_with(bytes) || PREFIX.starts_with(bytes) {
        Proxy::More
    } else {
        Proxy::Absent
    }
}

/// `PROXY TCP4 source destination port port CRLF`. None: broken.
fn version1(bytes: &[u8]) -> Option<Proxy> {
    let Some(end) = memchr::memchr(b'\n', &bytes[..bytes.len().min(LINE_BYTES_MAX)]) else {
        // A line that is still arriving may hold nothing but visible ASCII and spaces, and one CR at its end.
        let (last, before) = bytes.split_last()?;
        let plain = |byte: &u8| matches!(byte, b' '..=b'~');
        let fits = bytes.len() < LINE_BYTES_MAX && before.iter().all(plain) && (plain(last) || *last == b'\r');
        return fits.then_some(Proxy::More);
    };
    let line = bytes[PREFIX.len()..end].strip_suffix(b"\r")?;
    let consumed = end + 1;
    let text = std::str::from_utf8(line)
        .ok()
        .filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')))?;
    let mut words = text.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // What follows is to be ignored.
        return Some(Proxy::Header {
            consumed,
            source: None,
            destination: None,
            authority: None,
        });
    }
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse().ok().map(IpAddr::V4),
            "TCP6" => word.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, destination) = (address()?, address()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    Some(Proxy::Header {
        consumed,
        source: Some(SocketAddr::new(source, source_port)),
        destination: Some(SocketAddr::new(destination, destination_port)),
        authority: None,
    })
}

/// Decimal, without sign and leading zeros.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if plain { word.parse().ok() } else { None }
}

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Types of what may follow the addresses.
const TYPE_AUTHORITY: u8 = 0x02;
const TYPE_CRC32C: u8 = 0x03;

/// None: broken.
fn version2(bytes: &[u8]) -> Option<Proxy> {
    // Certain as soon as it is there, before the rest has arrived.
    let Some(command) = bytes.get(12) else {
        return Some(Proxy::More);
    };
    if !matches!(*command, LOCAL | PROXY) {
        return None;
    }
    let Some(fixed) = bytes.get(..FIXED_BYTES) else {
        return Some(Proxy::More);
    };
    let family = fixed[13];
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let consumed = FIXED_BYTES + length;
    // Address family and protocol are both 0 to 3, resp. 0 to 2.
    if consumed > HEADER_BYTES_MAX || family >> 4 > 3 || family & 15 > 2 {
        return None;
    }
    let Some(header) = bytes.get(..consumed) else {
        return Some(Proxy::More);
    };
    if *command == LOCAL {
        // Addresses are to be discarded; the length still holds.
        return Some(Proxy::Header {
            consumed,
            source: None,
            destination: None,
            authority: None,
        });
    }
    let rest = &header[FIXED_BYTES..];
    // Streams only: datagrams do not come over a connection, and UNIX sockets have no address that means anything here.
    let (addresses_len, source, destination) = match family {
        0x11 => {
            let (source, rest) = rest.split_first_chunk::<4>()?;
            let (destination, rest) = rest.split_first_chunk::<4>()?;
            let (source_port, destination_port) = ports(rest)?;
            (
                12,
                Some(SocketAddr::new(Ipv4Addr::from(*source).into(), source_port)),
                Some(SocketAddr::new(Ipv4Addr::from(*destination).into(), destination_port)),
            )
        }
        0x21 => {
            let (source, rest) = rest.split_first_chunk::<16>()?;
            let (destination, rest) = rest.split_first_chunk::<16>()?;
            let (source_port, destination_port) = ports(rest)?;
            (
                36,
                Some(SocketAddr::new(Ipv6Addr::from(*source).into(), source_port)),
                Some(SocketAddr::new(Ipv6Addr::from(*destination).into(), destination_port)),
            )
        }
        0x12 => (12, None, None),
        0x22 => (36, None, None),
        0x31 | 0x32 => (216, None, None),
        // Unspecified: what follows is to be ignored.
        _ => {
            return Some(Proxy::Header {
                consumed,
                source: None,
                destination: None,
                authority: None,
            });
        }
    };
    let authority = extras(header, FIXED_BYTES + addresses_len)?;
    Some(Proxy::Header {
        consumed,
        source,
        destination,
        authority,
    })
}

fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let ports = bytes.first_chunk::<4>()?;
    Some((
        u16::from_be_bytes([ports[0], ports[1]]),
        u16::from_be_bytes([ports[2], ports[3]]),
    ))
}

/// Reads the type-length-value vectors from `at` on: checks their shape and the checksum, finds the authority. None: broken.
fn extras(header: &[u8], mut at: usize) -> Option<Option<Span>> {
    let mut authority = None;
    let mut checked = false;
    if at > header.len() {
        return None;
    }
    while at < header.len() {
        let (kind, length) = match header[at..] {
            [kind, high, low, ..] => (kind, usize::from(u16::from_be_bytes([high, low]))),
            _ => return None,
        };
        let from = at + 3;
        let value = header.get(from..from + length)?;
        match kind {
            TYPE_AUTHORITY => {
                // Twice, or something else than a name: it is not guessed which is meant.
                if authority.is_some() || length > AUTHORITY_BYTES_MAX || !value.iter().all(u8::is_ascii_graphic) {
                    return None;
                }
                authority = Some(Span {
                    at: from as u32,
                    len: length as u32,
                });
            }
            TYPE_CRC32C => {
                let sum: [u8; 4] = value.try_into().ok()?;
                if checked || u32::from_be_bytes(sum) != crc32c(header, from) {
                    return None;
                }
                checked = true;
            }
            _ => {}
        }
        at = from + length;
    }
    Some(authority.filter(|span| !span.is_empty()))
}

/// CRC-32C of the header, the four bytes of the sum itself taken as zero. Bit by bit: it runs once a connection, over at most 4 KiB.
fn crc32c(header: &[u8], sum_at: usize) -> u32 {
    let mut crc = u32::MAX;
    for (n, byte) in header.iter().enumerate() {
        let byte = if (sum_at..sum_at + 4).contains(&n) { 0 } else { *byte };
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(source: &str, destination: &str, consumed: usize) -> Proxy {
        let address = |text: &str| Some(text.parse().expect("an address"));
        Proxy::Header {
            consumed,
            source: address(source),
            destination: address(destination),
            authority: None,
        }
    }

    fn nobody(consumed: usize) -> Proxy {
        Proxy::Header {
            consumed,
            source: None,
            destination: None,
            authority: None,
        }
    }

    #[test]
    fn lines_of_version_1_are_read() {
        for (line, wanted) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.2 65535 0\r\n",
                ("192.0.2.1:65535", "198.51.100.2:0"),
            ),
            ("PROXY TCP6 2001:db8::1 ::1 1 443\r\n", ("[2001:db8::1]:1", "[::1]:443")),
        ] {
            let whole = format!("{line}GET / HTTP/1.1\r\n");
            assert_eq!(read_proxy(whole.as_bytes()), header(wanted.0, wanted.1, line.len()));
        }
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 what ever 1 2\r\n"] {
            assert_eq!(read_proxy(line.as_bytes()), nobody(line.len()));
        }
    }

    #[test]
    fn lines_that_are_none_are_broken_and_other_bytes_are_no_header() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.1 1 2\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY \r\n",
            "PROXY TCP4\0",
            "PROXY TCP4 \r1",
        ] {
            assert_eq!(read_proxy(line.as_bytes()), Proxy::Broken, "{line:?}");
        }
        assert_eq!(
            read_proxy(format!("PROXY UNKNOWN {}", "x".repeat(LINE_BYTES_MAX)).as_bytes()),
            Proxy::Broken
        );
        for other in [
            "GET / HTTP/1.1\r\n",
            "PROXIED",
            "proxy TCP4",
            "\r\nGET /",
            "\x16\x03\x01",
            "\r\n\r\n\0\r\nQUIX",
        ] {
            assert_eq!(read_proxy(other.as_bytes()), Proxy::Absent, "{other:?}");
        }
    }

    fn version2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        [&SIGNATURE, [command, family].as_slice(), &length, payload].concat()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb];

    #[test]
    fn headers_of_version_2_are_read() {
        assert_eq!(
            read_proxy(&version2(PROXY, 0x11, &IPV4)),
            header("192.0.2.1:4660", "198.51.100.2:443", 28)
        );
        let ipv6 = [
            &Ipv6Addr::LOCALHOST.octets()[..],
            &Ipv6Addr::LOCALHOST.octets(),
            &[0, 1, 0, 2],
        ]
        .concat();
        assert_eq!(
            read_proxy(&version2(PROXY, 0x21, &ipv6)),
            header("[::1]:1", "[::1]:2", 52)
        );
        assert_eq!(read_proxy(&version2(LOCAL, 0, &[])), nobody(16));
        assert_eq!(read_proxy(&version2(LOCAL, 0x11, &IPV4)), nobody(28));
        assert_eq!(read_proxy(&version2(PROXY, 0x31, &[0; 216])), nobody(232));
        assert_eq!(read_proxy(&version2(PROXY, 0, b"anything")), nobody(24));
        let named = [IPV4.as_slice(), b"\x04\0\x01x", b"\x02\0\x06a.test"].concat();
        let bytes = version2(PROXY, 0x11, &named);
        let Proxy::Header {
            authority: Some(span), ..
        } = read_proxy(&bytes)
        else {
            panic!("an authority")
        };
        assert_eq!(span.of(&bytes), b"a.test");
    }

    #[test]
    fn the_checksum_holds_or_the_header_is_broken() {
        assert_eq!(crc32c(b"123456789\0\0\0\0", 20), crc32c(b"123456789\0\0\0\0", 9));
        assert_eq!(crc32c(b"123456789", 20), 0xe306_9283);
        let mut bytes = version2(PROXY, 0x11, &[IPV4.as_slice(), b"\x03\0\x04\0\0\0\0"].concat());
        assert_eq!(read_proxy(&bytes), Proxy::Broken);
        let sum_at = bytes.len() - 4;
        let sum = crc32c(&bytes, sum_at);
        bytes[sum_at..].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(read_proxy(&bytes), header("192.0.2.1:4660", "198.51.100.2:443", 35));
        bytes[17] ^= 1;
        assert_eq!(read_proxy(&bytes), Proxy::Broken);
    }

    #[test]
    fn headers_of_version_2_that_are_none_are_broken() {
        let with = |extras: &[u8]| version2(PROXY, 0x11, &[IPV4.as_slice(), extras].concat());
        for bytes in [
            version2(0x11, 0x11, &IPV4),
            version2(0x22, 0x11, &IPV4),
            version2(PROXY, 0x41, &IPV4),
            version2(PROXY, 0x13, &IPV4),
            version2(PROXY, 0x11, &IPV4[..11]),
            version2(PROXY, 0x21, &IPV4),
            with(b"\x04"),
            with(b"\x04\0\x02x"),
            with(b"\x02\0\x03a b"),
            with(b"\x02\0\x01a\x02\0\x01b"),
            with(b"\x03\0\x01a"),
            version2(PROXY, 0x11, &[0; HEADER_BYTES_MAX]),
        ] {
            assert_eq!(read_proxy(&bytes), Proxy::Broken, "{bytes:?}");
        }
        assert_eq!(read_proxy(&version2(0x11, 0, &[])[..13]), Proxy::Broken);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

        #[test]
        fn more_bytes_never_contradict_what_was_said(
            begin in proptest::sample::select(vec![b"PROXY TCP4 ".to_vec(), b"PROXY UNKNOWN".to_vec(), SIGNATURE.to_vec(), version2(PROXY, 0x11, &IPV4), Vec::new()]),
            rest in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' '), Just(0x21), Just(0x11), Just(0)], 0..60),
        ) {
            let bytes = [begin, rest].concat();
            let whole = read_proxy(&bytes);
            for end in 0..bytes.len() {
                let before = read_proxy(&bytes[..end]);
                prop_assert!(before == Proxy::More || before == whole, "{:?} then {:?}", before, whole);
            }
        }
    }
}

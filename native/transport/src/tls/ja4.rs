//! The JA4 fingerprint of a TLS client, by FoxIO's published description: `t13d1516h2_8daaf6152771_e5627efa2ab1`.

use aws_lc_rs::digest::{SHA256, digest};

use super::client_hello::{ClientHello, grease};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn list(values: &[u16], into: &mut String) {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            into.push(',');
        }
        into.push_str(&hex(&value.to_be_bytes()));
    }
}

/// The first twelve digits of the SHA-256 of `text`; twelve zeros for nothing.
fn short_hash(text: &str) -> String {
    if text.is_empty() {
        "0".repeat(12)
    } else {
        hex(&digest(&SHA256, text.as_bytes()).as_ref()[..6])
    }
}

fn version(hello: &ClientHello) -> &'static str {
    let offered = hello.versions.iter().copied().filter(|version| !grease(*version)).max();
    match offered.unwrap_or(hello.legacy_version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// The first and last character of the first protocol; of its hexadecimal form when either is not a letter or digit; "00" without one.
fn alpn(hello: &ClientHello) -> [char; 2] {
    match hello.alpn_first.as_slice() {
        [] => ['0', '0'],
        name @ [first, ..] => {
            let last = name[name.len() - 1];
            if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
                [char::from(*first), char::from(last)]
            } else {
                [hex(&[*first]).as_bytes()[0], hex(&[last]).as_bytes()[1]].map(char::from)
            }
        }
    }
}

/// The three parts before hashing: the readable one, the ciphers, and the extensions with the signature algorithms.
fn parts(hello: &ClientHello) -> [String; 3] {
    let mut ciphers: Vec<u16> = hello
        .ciphers
        .iter()
        .copied()
        .filter(|cipher| !grease(*cipher))
        .collect();
    ciphers.sort_unstable();
    let all: Vec<u16> = hello
        .extensions
        .iter()
        .copied()
        .filter(|extension| !grease(*extension))
        .collect();
    // The server's name and the protocol are in the readable part: the same client at another place keeps its fingerprint.
    let mut extensions: Vec<u16> = all
        .iter()
        .copied()
        .filter(|extension| *extension != 0 && *extension != 16)
        .collect();
    extensions.sort_unstable();
    let signatures: Vec<u16> = hello
        .signature_algorithms
        .iter()
        .copied()
        .filter(|scheme| !grease(*scheme))
        .collect();

    let [first, last] = alpn(hello);
    let named = if all.contains(&0) { 'd' } else { 'i' };
    let readable = format!(
        "t{}{named}{:02}{:02}{first}{last}",
        version(hello),
        ciphers.len().min(99),
        all.len().min(99)
    );
    let mut cipher_text = String::with_capacity(5 * ciphers.len());
    list(&ciphers, &mut cipher_text);
    let mut extension_text = String::with_capacity(5 * (extensions.len() + signatures.len()) + 1);
    list(&extensions, &mut extension_text);
    if !signatures.is_empty() {
        extension_text.push('_');
        list(&signatures, &mut extension_text);
    }
    [readable, cipher_text, extension_text]
}

/// The fingerprint, 36 characters.
pub fn ja4(hello: &ClientHello) -> String {
    let [readable, ciphers, extensions] = parts(hello);
    format!("{readable}_{}_{}", short_hash(&ciphers), short_hash(&extensions))
}

/// The fingerprint before hashing (JA4_r), for people who look for the difference between two.
pub fn ja4_raw(hello: &ClientHello) -> String {
    parts(hello).join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_of(text: &str) -> Vec<u16> {
        text.split(',')
            .map(|value| u16::from_str_radix(value, 16).expect("hexadecimal"))
            .collect()
    }

    fn browser() -> ClientHello {
        ClientHello {
            legacy_version: 0x0303,
            versions: vec![0xdada, 0x0304, 0x0303],
            // In the order of the wire, with GREASE.
            ciphers: list_of("0a0a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"),
            extensions: list_of(
                "2a2a,001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,fafa,0015",
            ),
            signature_algorithms: list_of("0403,0804,0401,0503,0805,0501,0806,0601"),
            alpn_first: b"h2".to_vec(),
            server_name: Some("example.com".to_owned()),
        }
    }

    /// The example of the description (its JA4 and its JA4_r).
    #[test]
    fn the_published_example_has_its_published_fingerprint() {
        assert_eq!(ja4(&browser()), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(
            ja4_raw(&browser()),
            "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_0403,0804,0401,0503,0805,0501,0806,0601"
        );
    }

    /// A later Chromium, with ECH and the new ALPS number: a fingerprint seen widely.
    #[test]
    fn a_later_browser_has_its_published_fingerprint() {
        let mut hello = browser();
        hello.extensions = list_of("002d,0033,0010,fe0d,0017,44cd,0000,000b,000a,002b,ff01,0023,0012,0005,000d,001b");
        assert_eq!(ja4(&hello), "t13d1516h2_8daaf6152771_d8a2da3f94cd");
    }

    #[test]
    fn protocols_are_told_by_their_ends() {
        let mut hello = browser();
        for (protocol, expected) in [
            (&b"http/1.1"[..], "h1"),
            (b"", "00"),
            (b"h", "hh"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"0\xab", "3b"),
            (b"01\xab\xcd", "3d"),
            (b"\x20", "20"),
        ] {
            hello.alpn_first = protocol.to_vec();
            assert_eq!(&ja4(&hello)[8..10], expected, "{protocol:?}");
        }
    }

    #[test]
    fn nothing_offered_is_zeros() {
        let empty = ClientHello {
            legacy_version: 0x0301,
            ..ClientHello::default()
        };
        assert_eq!(ja4(&empty), "t10i000000_000000000000_000000000000");
        let many = ClientHello {
            legacy_version: 0x0303,
            ciphers: (1..=120).collect(),
            ..ClientHello::default()
        };
        assert!(ja4(&many).starts_with("t12i990000_"));
    }

    #[test]
    fn without_signature_algorithms_there_is_no_underscore() {
        let hello = ClientHello {
            legacy_version: 0x0303,
            extensions: vec![0x0017, 0x000b],
            ..ClientHello::default()
        };
        assert_eq!(ja4_raw(&hello), "t12i000200__000b,0017");
    }
}

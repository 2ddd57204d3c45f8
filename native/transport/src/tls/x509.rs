//! What is read out of a certificate besides what verification needs: subject, names, validity (RFC 5280). Hostile bytes are `None`, never a panic:
//! a client's certificate is read after it was verified, but nothing here depends on that.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Names kept of one certificate; further ones are left out.
pub const SANS_MAX: usize = 128;
/// Relative names read of one subject; one with more has no text.
const SUBJECT_PARTS_MAX: usize = 32;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;

/// One subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum San {
    /// A DNS name, perhaps a wildcard, in lower case.
    Dns(String),
    /// An address.
    Ip(std::net::IpAddr),
    /// A mail address.
    Email(String),
    /// A URI, such as a SPIFFE identity.
    Uri(String),
}

impl std::fmt::Display for San {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            San::Dns(name) => write!(f, "DNS:{name}"),
            San::Ip(address) => write!(f, "IP:{address}"),
            San::Email(address) => write!(f, "email:{address}"),
            San::Uri(uri) => write!(f, "URI:{uri}"),
        }
    }
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject as RFC 4514 text, last part first: `CN=alice,O=Example`.
    pub subject: String,
    /// Alternative names that are DNS names, addresses, mail addresses or URIs.
    pub sans: Vec<San>,
    /// Begin of validity, in seconds since 1970.
    pub not_before_s: i64,
    /// End of validity, in seconds since 1970.
    pub not_after_s: i64,
}

/// A reader over DER elements. Only definite lengths of up to four bytes, as DER certificates have.
struct Der<'a>(&'a [u8]);

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
}

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 || rest.len() < count {
                return None;
            }
            let (bytes, after) = rest.split_at(count);
            rest = after;
            bytes
                .iter()
                .fold(0usize, |length, byte| length << 8 | usize::from(*byte))
        };
        if length > rest.len() {
            return None;
        }
        let (content, after) = rest.split_at(length);
        self.0 = after;
        Some(Element { tag, content })
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|element| element.tag == tag)
            .map(|element| element.content)
    }

    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }
}

/// Reads a certificate in DER.
pub fn read(der: &[u8]) -> Option<Certificate> {
    let certificate = Der(der).expect(SEQUENCE)?;
    let mut tbs = Der(Der(certificate).expect(SEQUENCE)?);
    if tbs.peek() == Some(0xa0) {
        tbs.next()?;
    }
    tbs.expect(0x02)?;
    tbs.expect(SEQUENCE)?;
    tbs.expect(SEQUENCE)?;
    let mut validity = Der(tbs.expect(SEQUENCE)?);
    let not_before_s = time(&validity.next()?)?;
    let not_after_s = time(&validity.next()?)?;
    let subject = subject(tbs.expect(SEQUENCE)?)?;
    tbs.expect(SEQUENCE)?;
    let mut sans = Vec::new();
    while let Some(element) = tbs.next() {
        if element.tag == 0xa3 {
            sans = extensions(element.content)?;
        }
    }
    Some(Certificate {
        subject,
        sans,
        not_before_s,
        not_after_s,
    })
}

/// The status of an OCSP response in DER (0 is "successful"); `None` when it is none or more follows it.
pub fn ocsp_status(der: &[u8]) -> Option<u8> {
    let mut all = Der(der);
    let mut response = Der(all.expect(SEQUENCE)?);
    match response.expect(0x0a)? {
        [status] if all.0.is_empty() => Some(*status),
        _ => None,
    }
}

fn extensions(bytes: &[u8]) -> Option<Vec<San>> {
    let mut all = Der(Der(bytes).expect(SEQUENCE)?);
    while !all.0.is_empty() {
        let mut extension = Der(all.expect(SEQUENCE)?);
        let oid = extension.expect(OID)?;
        if extension.peek() == Some(0x01) {
            extension.next()?;
        }
        let value = extension.expect(OCTET_STRING)?;
        // 2.5.29.17, subjectAltName.
        if oid == [0x55, 0x1d, 0x11] {
            return alternative_names(value);
        }
    }
    Some(Vec::new())
}

fn alternative_names(bytes: &[u8]) -> Option<Vec<San>> {
    let mut names = Der(Der(bytes).expect(SEQUENCE)?);
    let mut sans = Vec::new();
    while !names.0.is_empty() && sans.len() < SANS_MAX {
        let Element { tag, content } = names.next()?;
        // IA5String: other bytes would be somebody else's name once they are text.
        let text = || {
            content
                .iter()
                .all(|byte| (0x20..0x7f).contains(byte))
                .then(|| String::from_utf8_lossy(content).into_owned())
        };
        let san = match tag {
            0x81 => text().map(San::Email),
            0x82 => text().map(|name| San::Dns(name.to_ascii_lowercase())),
            0x86 => text().map(San::Uri),
            0x87 => match *content {
                [a, b, c, d] => Some(San::Ip(Ipv4Addr::new(a, b, c, d).into())),
                _ => <[u8; 16]>::try_from(content)
                    .ok()
                    .map(|bytes| San::Ip(Ipv6Addr::from(bytes).into())),
            },
            _ => None,
        };
        sans.extend(san);
    }
    Some(sans)
}

/// A name as RFC 4514 text.
fn subject(bytes: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut relative = Der(bytes);
    while !relative.0.is_empty() {
        if parts.len() == SUBJECT_PARTS_MAX {
            return None;
        }
        let mut set = Der(relative.expect(SET)?);
        let mut text = String::new();
        while !set.0.is_empty() {
            let mut pair = Der(set.expect(SEQUENCE)?);
            let oid = pair.expect(OID)?;
            let value = pair.next()?;
            if !text.is_empty() {
                text.push('+');
            }
            attribute(oid, &value, &mut text)?;
        }
        parts.push(text);
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute(oid: &[u8], value: &Element<'_>, text: &mut String) -> Option<()> {
    let known = match oid {
        [0x55, 0x04, 0x03] => "CN",
        [0x55, 0x04, 0x05] => "serialNumber",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x09] => "STREET",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => "emailAddress",
        _ => "",
    };
    if known.is_empty() {
        dotted(oid, text)?
    } else {
        text.push_str(known)
    }
    text.push('=');
    match string(value).filter(|_| !known.is_empty()) {
        Some(value) => escape(&value, text),
        None => {
            // RFC 4514 §2.4: what has no text is its DER in hexadecimal. The header of short values is all that is needed here.
            text.push('#');
            let header = [
                value.tag,
                u8::try_from(value.content.len()).ok().filter(|length| *length < 0x80)?,
            ];
            for byte in header.iter().chain(value.content) {
                text.push_str(&format!("{byte:02x}"));
            }
        }
    }
    Some(())
}

fn string(value: &Element<'_>) -> Option<String> {
    match value.tag {
        // UTF8String, NumericString, PrintableString, IA5String, VisibleString.
        0x0c | 0x12 | 0x13 | 0x16 | 0x1a => std::str::from_utf8(value.content).ok().map(str::to_owned),
        // TeletexString, in practice Latin 1.
        0x14 => Some(value.content.iter().map(|byte| char::from(*byte)).collect()),
        // BMPString.
        0x1e if value.content.len().is_multiple_of(2) => {
            let units = value
                .content
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<String, _>>().ok()
        }
        _ => None,
    }
}

/// RFC 4514 §2.4, and controls in hexadecimal so that the text can stand in a header and a log line.
fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => text.extend(['\\', character]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            character if character.is_control() => {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    text.push_str(&format!("\\{byte:02X}"));
                }
            }
            character => text.push(character),
        }
    }
}

fn dotted(oid: &[u8], text: &mut String) -> Option<()> {
    let mut value = 0u64;
    let mut first = true;
    for byte in oid {
        value = value.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if first {
                let top = (value / 40).min(2);
                text.push_str(&format!("{top}.{}", value - top * 40));
                first = false;
            } else {
                text.push_str(&format!(".{value}"));
            }
            value = 0;
        }
    }
    Some(())
}

/// UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 restricts them: seconds, and Z.
fn time(element: &Element<'_>) -> Option<i64> {
    let digits = element.content.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, to: usize| {
        digits[from..to]
            .iter()
            .fold(0i64, |n, digit| n * 10 + i64::from(digit - b'0'))
    };
    let (year, at) = match (element.tag, digits.len()) {
        (0x17, 12) => (if number(0, 2) < 50 { 2000 } else { 1900 } + number(0, 2), 2),
        (0x18, 14) => (number(0, 4), 4),
        _ => return None,
    };
    let part = |n: usize| number(at + 2 * n, at + 2 * n + 2);
    let (month, day) = (part(0), part(1));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 of the proleptic Gregorian calendar, with years that begin in March.
    let y = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + of_year - 719_468;
    Some(days * 86_400 + part(2) * 3600 + part(3) * 60 + part(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_seconds_since_1970() {
        let at = |tag, content: &[u8]| time(&Element { tag, content });
        assert_eq!(at(0x17, b"700101000000Z"), Some(0));
        assert_eq!(at(0x17, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(at(0x18, b"20000229120000Z"), Some(951_825_600));
        assert_eq!(at(0x18, b"20261121071200Z"), Some(1_795_245_120));
        assert_eq!(at(0x18, b"20261321071200Z"), None);
        assert_eq!(at(0x18, b"202611210712Z"), None);
        assert_eq!(at(0x17, b"700101000000+0000"), None);
    }

    #[test]
    fn subjects_are_rfc_4514_text() {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "Smith, Sons + \"Co\"");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, " alice\u{e9} ");
        params
            .distinguished_name
            .push(rcgen::DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99]), "x");
        params.subject_alt_names = vec![
            rcgen::SanType::DnsName("Alice.Example".try_into().expect("a name")),
            rcgen::SanType::URI("spiffe://example/alice".try_into().expect("a name")),
            rcgen::SanType::IpAddress("2001:db8::1".parse().expect("an address")),
            rcgen::SanType::Rfc822Name("a@example".try_into().expect("a name")),
        ];
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let read = read(certificate.der()).expect("a certificate that can be read");
        assert_eq!(
            read.subject,
            "1.3.6.1.4.1.99=#0c0178,CN=\\ alice\u{e9}\\ ,O=Smith\\, Sons \\+ \\\"Co\\\""
        );
        let sans: Vec<String> = read.sans.iter().map(San::to_string).collect();
        assert_eq!(
            sans,
            [
                "DNS:alice.example",
                "URI:spiffe://example/alice",
                "IP:2001:db8::1",
                "email:a@example"
            ]
        );
    }

    #[test]
    fn a_certificate_cut_or_changed_anywhere_does_no_harm() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("parameters");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        for at in 0..der.len() {
            assert_eq!(read(&der[..at]), None);
            for flip in [1, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[at] ^= flip;
                let _ = read(&changed);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = subject(&bytes);
            let _ = alternative_names(&bytes);
        }
    }
}

//! The opening handshake of a WebSocket (RFC 6455 §4.2.1), as far as the head shows it.

use aws_lc_rs::digest;

use super::fields::{Field, UPGRADE, id};
use super::scan::{is_token, listed};

const KEY: u8 = id("sec-websocket-key");
const VERSION: u8 = id("sec-websocket-version");
const PROTOCOL: u8 = id("sec-websocket-protocol");
/// Subprotocols that a client may offer.
const PROTOCOLS_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// Another request, whatever else it may want to upgrade to.
    No,
    Yes,
    /// A handshake by its key and version, whose subprotocols are malformed.
    BadProtocols,
}

/// Whether the fields of a GET whose Connection lists `upgrade` are a handshake.
pub(super) fn read_handshake(bytes: &[u8], fields: &[Field]) -> Handshake {
    let (mut upgrades, mut keys, mut versions) = (false, 0, 0);
    let mut protocols: usize = 0;
    for field in fields {
        let value = field.value.of(bytes);
        match field.known {
            UPGRADE => upgrades |= listed(value).any(|name| name.eq_ignore_ascii_case(b"websocket")),
            KEY if is_key(value) => keys += 1,
            // Of two keys, one of them malformed, another reader may take the other.
            KEY => keys += 2,
            VERSION if value == b"13" => versions += 1,
            VERSION => versions += 2,
            PROTOCOL => protocols += 1,
            _ => {}
        }
    }
    if !upgrades || keys != 1 || versions != 1 {
        return Handshake::No;
    }
    if protocols == 0 || are_protocols(bytes, fields) {
        Handshake::Yes
    } else {
        Handshake::BadProtocols
    }
}

/// What a server that speaks the protocol says to a key (RFC 6455 §4.2.2): 20 bytes in base64.
pub fn accept_of(key: &[u8]) -> [u8; 28] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut text = [b'='; 28];
    for (four, three) in text.chunks_exact_mut(4).zip(hash.finish().as_ref().chunks(3)) {
        let bits = three
            .iter()
            .enumerate()
            .fold(0u32, |bits, (n, byte)| bits | u32::from(*byte) << (16 - 8 * n));
        for (n, digit) in four.iter_mut().take(three.len() + 1).enumerate() {
            *digit = DIGITS[(bits >> (18 - 6 * n)) as usize & 63];
        }
    }
    text
}

/// 16 bytes in base64: 22 characters, of whose last only two bits count, and two of padding.
fn is_key(value: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match value {
        [text @ .., b'=', b'='] => {
            text.len() == 22 && text.iter().all(is_base64) && matches!(text[21], b'A' | b'Q' | b'g' | b'w')
        }
        _ => false,
    }
}

/// Tokens, each once (RFC 6455 §4.1).
fn are_protocols(bytes: &[u8], fields: &[Field]) -> bool {
    let of = || {
        fields
            .iter()
            .filter(|field| field.known == PROTOCOL)
            .map(|field| field.value.of(bytes))
    };
    let mut count = 0;
    for value in of() {
        for part in value.split(|b| *b == b',') {
            let name = part.trim_ascii();
            count += 1;
            if name.is_empty() || !name.iter().all(|b| is_token(*b)) || count > PROTOCOLS_MAX {
                return false;
            }
        }
    }
    let names = || of().flat_map(listed);
    names()
        .enumerate()
        .all(|(n, name)| names().skip(n + 1).all(|other| other != name))
}

#[cfg(test)]
mod tests {
    use super::accept_of;

    #[test]
    fn a_key_is_accepted_as_the_rfc_shows() {
        assert_eq!(&accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

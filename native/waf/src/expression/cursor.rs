//! Reading the text of an expression piece by piece: white space, words, signs, strings and atoms.

use std::net::IpAddr;

use super::Fault;
use super::ast::{At, Literal};

/// Most `#` around a raw string.
const HASHES_MAX: usize = 32;

/// A place in the text.
pub struct Cursor<'a> {
    text: &'a str,
    /// Offset of the next byte.
    pub at: At,
}

/// True for bytes of names.
fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is left, white space skipped.
    pub fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    /// True when a sign stands here; it is taken.
    pub fn sign(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// The name that stands here, with its dots, without taking it; empty when there is none.
    pub fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        if !bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
            return "";
        }
        let mut end = 0;
        while bytes.get(end).is_some_and(|b| is_name(*b))
            || (bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(|b| is_name(*b)))
        {
            end += 1;
        }
        &rest[..end]
    }

    /// True when this word stands here; it is taken.
    pub fn word(&mut self, word: &str) -> bool {
        let found = self.name() == word;
        if found {
            self.at += word.len();
        }
        found
    }

    /// A few characters of what stands here, for messages.
    pub fn found(&mut self) -> String {
        let name = self.name();
        if !name.is_empty() {
            return name.to_owned();
        }
        let rest = self.rest();
        if rest.is_empty() {
            return "the end of the expression".to_owned();
        }
        let end = rest
            .char_indices()
            .find(|(i, c)| *i > 0 && (c.is_whitespace() || "()[]{},\"".contains(*c)))
            .map_or(rest.len(), |(i, _)| i);
        rest[..end].chars().take(40).collect()
    }

    /// True when a string begins here.
    pub fn is_string(&mut self) -> bool {
        let rest = self.rest();
        rest.starts_with('"')
            || rest
                .strip_prefix('r')
                .is_some_and(|r| r.trim_start_matches('#').starts_with('"'))
    }

    /// The string that begins here.
    pub fn string(&mut self) -> Result<Vec<u8>, Fault> {
        let begin = self.at;
        let rest = self.rest();
        if let Some(raw) = rest.strip_prefix('r') {
            let body = raw.trim_start_matches('#');
            let hashes = raw.len() - body.len();
            if hashes > HASHES_MAX {
                return Err(Fault::new(
                    self.at,
                    "a raw string with that many #",
                    "write r\"…\" or r#\"…\"#",
                ));
            }
            let close = format!("\"{}", "#".repeat(hashes));
            let body = &body[1..];
            let Some(end) = body.find(&close) else {
                return Err(Fault::new(
                    self.at,
                    "a raw string that is never closed",
                    format!("close it with {close}"),
                ));
            };
            self.at += 1 + hashes + 1 + end + close.len();
            return Ok(body.as_bytes()[..end].to_vec());
        }
        let mut out = Vec::new();
        let bytes = rest.as_bytes();
        let mut i = 1;
        loop {
            match bytes.get(i) {
                None => {
                    return Err(Fault::new(
                        begin.max(self.at),
                        "a string that is never closed",
                        "close it with \"",
                    ));
                }
                Some(b'"') => break,
                Some(b'\\') => {
                    let (byte, taken) = escape(&bytes[i + 1..]).ok_or_else(|| {
                        let next: String = rest[i + 1..].chars().take(1).collect();
                        Fault::new(
                            self.at + i,
                            format!("\\{next} is no escape"),
                            "write \\\\ for a backslash, \\\" or \\xHH, or a raw string: r\"…\"",
                        )
                    })?;
                    out.push(byte);
                    i += 1 + taken;
                }
                Some(b) => {
                    out.push(*b);
                    i += 1;
                }
            }
        }
        self.at += i + 1;
        Ok(out)
    }

    /// The run of characters that numbers, addresses and ranges are made of; it is taken.
    pub fn atom(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .bytes()
            .position(|b| !(is_name(b) || b".:/-".contains(&b)))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }
}

/// The byte that an escape means, and how many bytes it takes after its backslash.
fn escape(after: &[u8]) -> Option<(u8, usize)> {
    match after.first()? {
        b'"' => Some((b'"', 1)),
        b'\\' => Some((b'\\', 1)),
        b'n' => Some((b'\n', 1)),
        b'r' => Some((b'\r', 1)),
        b't' => Some((b'\t', 1)),
        b'x' => Some((crate::bytes::hex_pair(after, 1)?, 3)),
        _ => None,
    }
}

/// A number, address or network.
pub fn literal(atom: &str) -> Option<Literal> {
    let digits = atom.strip_prefix('-').unwrap_or(atom);
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return atom.parse().ok().map(Literal::Int);
    }
    if let Some(hex) = atom.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16)
            .ok()
            .filter(|_| !hex.starts_with(['-', '+']))
            .map(Literal::Int);
    }
    let Some((address, bits)) = atom.split_once('/') else {
        return atom.parse().ok().map(Literal::Ip);
    };
    let ip: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok().filter(|_| bits.bytes().all(|b| b.is_ascii_digit()))?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some(Literal::Network(ip, bits))
}

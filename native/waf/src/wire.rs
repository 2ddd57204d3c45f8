//! The packed form of a request and of a verdict, little-endian and without padding; [`response`] has that of an answer.
//!
//! Request: `u8` version (1), `u8` flags (1: the body is only the begin), `u16` port of the client; then texts, each with
//! its length before it: `u16` method, `u32` target as received, `u16` protocol, `u16` client address, `u16` request id;
//! then `u16` number of header fields, for each `u16` name and `u32` value; then `u32` body. With flag 4 (TLS facts) texts follow,
//! each with `u16` length: version, cipher, server name, JA4, subject and fingerprint of the client's certificate; then `u16`
//! number of its alternative names, each with `u16` length. Flag 2: the request came through TLS.
//!
//! Verdict: `u8` verdict, `u8` flags, `u16` matches that follow, `u32` matches in all, `i32` anomaly score, `u32` id of the
//! rule that blocked or would have, `u64` work, `u32` bytes written, `u8` limit, `u8` disruptive action, `u8` what of the answer
//! is wanted (0 nothing, 1 its head, 2 its body too), `u8` 0; then for each match: `u32` id, `u8` severity, `u8` phase, `u16` 0, and three texts with `u16` lengths: message, variable, value.

mod response;

pub use response::{RESPONSE_BODY_NOT_READ, RESPONSE_BODY_TRUNCATED, Response, pack_response};

use crate::engine::{Outcome, Transaction};

/// Version of the packed request.
pub const VERSION: u8 = 1;
/// Flag of a request: the body is only its begin.
pub const BODY_TRUNCATED: u8 = 1;
/// Flag of a request: it came through TLS.
pub const SECURE: u8 = 2;
/// Flag of a request: what the handshake told follows the body.
pub const TLS_FACTS: u8 = 4;
/// Bytes of a packed verdict before its matches.
pub const VERDICT_HEAD_BYTES: usize = 32;
/// Most header fields of a packed request.
pub const HEADERS_MAX: usize = 1000;

/// A request as the engine reads it. Everything borrows from the packed bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The body is only its begin.
    pub body_truncated: bool,
    /// Port of the client.
    pub client_port: u16,
    /// Method.
    pub method: &'a [u8],
    /// Request target as received, with its query.
    pub target: &'a [u8],
    /// `HTTP/1.1` and the like.
    pub protocol: &'a [u8],
    /// Address of the client as text.
    pub client: &'a [u8],
    /// The request id.
    pub id: &'a [u8],
    /// Header fields; iterate with [`Request::headers`].
    headers: Fields<'a>,
    header_count: usize,
    /// The body.
    pub body: &'a [u8],
    /// It came through TLS.
    pub secure: bool,
    /// What the handshake told; all empty when it is not known.
    pub tls: Tls<'a>,
}

/// What a TLS handshake told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tls<'a> {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'a [u8],
    /// IANA name of the cipher suite.
    pub cipher: &'a [u8],
    /// Server name that the client asked for.
    pub server_name: &'a [u8],
    /// JA4 fingerprint of the ClientHello.
    pub ja4: &'a [u8],
    /// Subject of the client's certificate.
    pub client_subject: &'a [u8],
    /// Its SHA-256, hexadecimal.
    pub client_fingerprint: &'a [u8],
    /// Its alternative names, packed; iterate with [`Tls::client_names`].
    names: &'a [u8],
}

impl<'a> Tls<'a> {
    fn unpack(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut out = Self {
            version: r.short()?,
            cipher: r.short()?,
            server_name: r.short()?,
            ja4: r.short()?,
            client_subject: r.short()?,
            client_fingerprint: r.short()?,
            names: &[],
        };
        let count = r.u16()?;
        let from = r.0;
        for _ in 0..count {
            r.short()?;
        }
        out.names = &from[..from.len() - r.0.len()];
        Ok(out)
    }

    /// The alternative names of the client's certificate.
    pub fn client_names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = Reader(self.names);
        std::iter::from_fn(move || rest.short().ok())
    }
}

/// Where header fields lie.
#[derive(Clone, Copy, Debug)]
enum Fields<'a> {
    Packed(&'a [u8]),
    Table(FieldTable<'a>),
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self::Packed(&[])
    }
}

/// Header fields as they lie in the memory of who read them: two words for each, first offset and length (16 bits each) of the value, then offset
/// (16 bits) and length (8 bits) of the name.
#[derive(Clone, Copy, Debug)]
pub struct FieldTable<'a> {
    /// The words, in pairs, native-endian.
    pub words: &'a [[u8; 8]],
    /// What offsets count in.
    pub bytes: &'a [u8],
}

impl<'a> FieldTable<'a> {
    /// Name and value of a field. What lies outside of the bytes is empty.
    fn field(&self, index: usize) -> Option<(&'a [u8], &'a [u8])> {
        let [a, b, c, d, e, f, g, h] = *self.words.get(index)?;
        let value = u32::from_ne_bytes([a, b, c, d]);
        let name = u32::from_ne_bytes([e, f, g, h]);
        let part = |at: u32, length: u32| {
            let at = (at & 0xffff) as usize;
            self.bytes.get(at..at + length as usize).unwrap_or(&[])
        };
        Some((part(name, name >> 16 & 0xff), part(value, value >> 16)))
    }
}

/// The packed bytes are not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        if n > self.0.len() {
            return Err(Malformed);
        }
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        let b = self.take(2)?;
        Ok(u16::from_le_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn short(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.u16()?;
        self.take(usize::from(n))
    }

    fn long(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.u32()?;
        self.take(n as usize)
    }

    /// Header fields with their number before them.
    fn fields(&mut self) -> Result<(Fields<'a>, usize), Malformed> {
        let count = usize::from(self.u16()?);
        if count > HEADERS_MAX {
            return Err(Malformed);
        }
        let from = self.0;
        for _ in 0..count {
            self.short()?;
            self.long()?;
        }
        Ok((Fields::Packed(&from[..from.len() - self.0.len()]), count))
    }
}

impl<'a> Fields<'a> {
    fn iter(self, count: usize) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut fields = self;
        (0..count).map_while(move |index| match &mut fields {
            Fields::Packed(rest) => {
                let mut r = Reader(rest);
                let field = (r.short().ok()?, r.long().ok()?);
                *rest = r.0;
                Some(field)
            }
            Fields::Table(table) => table.field(index),
        })
    }
}

impl<'a> Request<'a> {
    /// Unpacks a request. Nothing is copied.
    pub fn unpack(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        if r.u8()? != VERSION {
            return Err(Malformed);
        }
        let flags = r.u8()?;
        let client_port = r.u16()?;
        let (method, target, protocol, client, id) = (r.short()?, r.long()?, r.short()?, r.short()?, r.short()?);
        let (headers, header_count) = r.fields()?;
        let body = r.long()?;
        let tls = match flags & TLS_FACTS {
            0 => Tls::default(),
            _ => Tls::unpack(&mut r)?,
        };
        if !r.0.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            body_truncated: flags & BODY_TRUNCATED != 0,
            client_port,
            method,
            target,
            protocol,
            client,
            id,
            headers,
            header_count,
            body,
            secure: flags & SECURE != 0,
            tls,
        })
    }

    /// The same request with header fields that lie elsewhere.
    pub fn with_fields(self, table: FieldTable<'a>) -> Result<Self, Malformed> {
        if table.words.len() > HEADERS_MAX {
            return Err(Malformed);
        }
        Ok(Self {
            header_count: table.words.len(),
            headers: Fields::Table(table),
            ..self
        })
    }

    /// The same request with a body that lies elsewhere; it must have been packed without one.
    pub fn with_body(self, body: &'a [u8]) -> Result<Self, Malformed> {
        if !self.body.is_empty() {
            return Err(Malformed);
        }
        Ok(Self { body, ..self })
    }

    /// Name and value of each header field.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.headers.iter(self.header_count)
    }

    /// Number of header fields.
    pub fn header_count(&self) -> usize {
        self.header_count
    }
}

/// Packs a request: for tests, benches and tools. Texts that are too long for their length field are cut.
pub fn pack_request(
    method: &[u8],
    target: &[u8],
    protocol: &[u8],
    client: &[u8],
    headers: &[(&[u8], &[u8])],
    body: &[u8],
) -> Vec<u8> {
    let mut out = vec![VERSION, 0, 0, 0];
    push_short(&mut out, method);
    push_long(&mut out, target);
    push_short(&mut out, protocol);
    push_short(&mut out, client);
    push_short(&mut out, b"id");
    out.extend_from_slice(&(headers.len().min(HEADERS_MAX) as u16).to_le_bytes());
    for (name, value) in headers.iter().take(HEADERS_MAX) {
        push_short(&mut out, name);
        push_long(&mut out, value);
    }
    push_long(&mut out, body);
    out
}

fn push_short(out: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text);
}

fn push_long(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

/// Adds TLS facts to a packed request: version, cipher, server name, JA4, subject, fingerprint, and the alternative names.
pub fn pack_tls(packed: &mut Vec<u8>, facts: [&[u8]; 6], names: &[&[u8]]) {
    if let Some(flags) = packed.get_mut(1) {
        *flags |= SECURE | TLS_FACTS;
    }
    let names = &names[..names.len().min(usize::from(u16::MAX))];
    for fact in facts {
        push_short(packed, fact);
    }
    packed.extend_from_slice(&(names.len() as u16).to_le_bytes());
    for name in names {
        push_short(packed, name);
    }
}

/// Packs a verdict into `out` and returns the bytes written; matches that do not fit are left out. Needs
/// [`VERDICT_HEAD_BYTES`]; with less room nothing is written.
pub fn pack_outcome(outcome: &Outcome, transaction: &Transaction, out: &mut [u8]) -> usize {
    if out.len() < VERDICT_HEAD_BYTES {
        return 0;
    }
    let mut at = VERDICT_HEAD_BYTES;
    let mut stored = 0u16;
    for m in transaction.reports() {
        let size = 14 + m.message.len() + m.variable.len() + m.value.len();
        let Some(to) = out.get_mut(at..at + size) else { break };
        to[0..4].copy_from_slice(&m.rule.to_le_bytes());
        to[4] = m.severity;
        to[5] = m.phase;
        to[6..8].fill(0);
        let mut p = 8;
        for text in [m.message, m.variable, m.value] {
            to[p..p + 2].copy_from_slice(&(text.len() as u16).to_le_bytes());
            to[p + 2..p + 2 + text.len()].copy_from_slice(text);
            p += 2 + text.len();
        }
        at += size;
        stored += 1;
    }
    out[0] = outcome.verdict as u8;
    out[1] = u8::from(outcome.would_block) | u8::from(u32::from(stored) < outcome.matches) << 1;
    out[2..4].copy_from_slice(&stored.to_le_bytes());
    out[4..8].copy_from_slice(&outcome.matches.to_le_bytes());
    out[8..12].copy_from_slice(&outcome.score.to_le_bytes());
    out[12..16].copy_from_slice(&outcome.blocking_rule.to_le_bytes());
    out[16..24].copy_from_slice(&outcome.work.to_le_bytes());
    out[24..28].copy_from_slice(&(at as u32).to_le_bytes());
    out[28] = outcome.limit as u8;
    out[29] = outcome.action;
    out[30] = outcome.answer as u8;
    out[31] = 0;
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_in_a_table_are_those_of_a_packed_request() {
        let fields: [(&[u8], &[u8]); 3] = [(b"host", b"a.example"), (b"x", b""), (b"user-agent", b"curl")];
        let packed = pack_request(b"GET", b"/", b"HTTP/1.1", b"192.0.2.1", &fields, b"body");
        let packed = Request::unpack(&packed).unwrap();
        let mut bytes = vec![0; 7];
        let mut words = Vec::new();
        for (name, value) in fields {
            let at = bytes.len() as u32;
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(value);
            let known = 9 << 24;
            let pair = [
                (at + name.len() as u32) | ((value.len() as u32) << 16),
                at | ((name.len() as u32) << 16) | known,
            ];
            let [a, b] = pair.map(u32::to_ne_bytes);
            words.push([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]);
        }
        let table = FieldTable {
            words: &words,
            bytes: &bytes,
        };
        let bare = pack_request(b"GET", b"/", b"HTTP/1.1", b"192.0.2.1", &[], b"body");
        let request = Request::unpack(&bare).unwrap().with_fields(table).unwrap();
        assert!(request.headers().eq(packed.headers()));
        assert_eq!(request.header_count(), 3);
        let cut = FieldTable {
            words: &words,
            bytes: &bytes[..9],
        };
        let request = request.with_fields(cut).unwrap();
        assert_eq!(request.headers().map(|(n, v)| n.len() + v.len()).sum::<usize>(), 0);
        let many = vec![[0; 8]; HEADERS_MAX + 1];
        let many = FieldTable {
            words: &many,
            bytes: &bytes,
        };
        assert!(request.with_fields(many).is_err());
    }
}

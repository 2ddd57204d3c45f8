//! The packed form of an answer, little-endian and without padding.
//!
//! `u8` version (1), `u8` flags (1: the body is only its begin, 2: the body was not read), `u16` status; then `u16` length and text of
//! the protocol; then `u16` number of header fields, for each `u16` name and `u32` value; then `u32` body.

use super::{Fields, HEADERS_MAX, Malformed, Reader, VERSION};

/// Flag of an answer: the body is only its begin.
pub const RESPONSE_BODY_TRUNCATED: u8 = 1;
/// Flag of an answer: the body was not read, because its kind is not inspected; it is nowhere near empty for that.
pub const RESPONSE_BODY_NOT_READ: u8 = 2;

/// An answer as the engine reads it. Everything borrows from the packed bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// Status.
    pub status: u16,
    /// `HTTP/1.1` and the like.
    pub protocol: &'a [u8],
    headers: Fields<'a>,
    header_count: usize,
    /// The body.
    pub body: &'a [u8],
    /// The body is only its begin.
    pub body_truncated: bool,
    /// The body was not read.
    pub body_not_read: bool,
}

impl<'a> Response<'a> {
    /// Unpacks an answer. Nothing is copied.
    pub fn unpack(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        if r.u8()? != VERSION {
            return Err(Malformed);
        }
        let flags = r.u8()?;
        let status = r.u16()?;
        let protocol = r.short()?;
        let (headers, header_count) = r.fields()?;
        let body = r.long()?;
        if !r.0.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            status,
            protocol,
            headers,
            header_count,
            body,
            body_truncated: flags & RESPONSE_BODY_TRUNCATED != 0,
            body_not_read: flags & RESPONSE_BODY_NOT_READ != 0,
        })
    }

    /// The same answer with a body that lies elsewhere; it must have been packed without one.
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
}

/// Packs an answer: for tests, benches and tools. Texts that are too long for their length field are cut.
pub fn pack_response(status: u16, protocol: &[u8], headers: &[(&[u8], &[u8])], body: &[u8], flags: u8) -> Vec<u8> {
    let mut out = vec![VERSION, flags];
    out.extend_from_slice(&status.to_le_bytes());
    super::push_short(&mut out, protocol);
    out.extend_from_slice(&(headers.len().min(HEADERS_MAX) as u16).to_le_bytes());
    for (name, value) in headers.iter().take(HEADERS_MAX) {
        super::push_short(&mut out, name);
        super::push_long(&mut out, value);
    }
    super::push_long(&mut out, body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_packed_is_unpacked_and_anything_else_is_malformed_or_read_within_its_bytes(
            status in 0u16..1000, flags in 0u8..4, body in proptest::collection::vec(0u8..255, 0..40),
            cut in 0usize..80, noise in proptest::collection::vec(0u8..255, 0..60)
        ) {
            let packed = pack_response(status, b"HTTP/1.1", &[(b"a", b"1"), (b"b", b"")], &body, flags);
            let r = Response::unpack(&packed).unwrap();
            proptest::prop_assert_eq!((r.status, r.body, r.headers().count()), (status, &body[..], 2));
            proptest::prop_assert_eq!(u8::from(r.body_truncated) | u8::from(r.body_not_read) << 1, flags);
            if cut < packed.len() {
                proptest::prop_assert!(Response::unpack(&packed[..cut]).is_err());
            }
            if let Ok(r) = Response::unpack(&noise) {
                let _ = r.headers().count();
            }
        }
    }
}

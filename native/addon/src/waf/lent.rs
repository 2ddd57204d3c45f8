//! Bodies that the transport collected and lent, as those of requests and answers that were packed without one.

use std::sync::Arc;

use cnx_transport::lent::{self, Lent};
use cnx_waf::wire::{Malformed, Request, Response};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

/// What a call names as the body: nothing, or the first bytes of one that was lent.
pub enum LentBody {
    Packed,
    Found(Arc<Lent>, usize),
    /// Its exchange is over, or it is shorter than was said: nothing may be inspected in its place.
    Gone,
}

impl LentBody {
    /// The body of a number, and how many of its bytes count; 0: the body was packed.
    pub fn find(number: f64, bytes: u32) -> Self {
        if number == 0.0 {
            return Self::Packed;
        }
        match lent::find(number as u64) {
            Some(found) if bytes as usize <= found.len() => Self::Found(found, bytes as usize),
            _ => Self::Gone,
        }
    }

    /// The body that a call names in words, or none.
    pub fn named(lent: Option<WafLentBody>) -> Self {
        lent.map_or(Self::Packed, |lent| Self::find(lent.number, lent.bytes))
    }

    /// The request with this body.
    pub fn put_into<'a>(&'a self, request: Request<'a>) -> Result<Request<'a>, Malformed> {
        match self {
            Self::Packed => Ok(request),
            Self::Found(found, bytes) => request.with_body(&found[..*bytes]),
            Self::Gone => Err(Malformed),
        }
    }

    /// The answer with this body.
    pub fn put_into_answer<'a>(&'a self, response: Response<'a>) -> Result<Response<'a>, Malformed> {
        match self {
            Self::Packed => Ok(response),
            Self::Found(found, bytes) => response.with_body(&found[..*bytes]),
            Self::Gone => Err(Malformed),
        }
    }
}

/// The first bytes of a body that was lent.
#[napi(object)]
pub struct WafLentBody {
    pub number: f64,
    pub bytes: u32,
}

/// A copy of a body that was lent; null when it is gone. For who must make something else of it.
#[napi]
pub fn waf_lent_body(lent: WafLentBody) -> Option<Buffer> {
    match LentBody::named(Some(lent)) {
        LentBody::Found(found, bytes) => Some(found[..bytes].to_vec().into()),
        LentBody::Packed | LentBody::Gone => None,
    }
}

/// Bodies that are lent in this process now, and their bytes.
#[napi(object)]
pub struct WafLent {
    pub bodies: u32,
    pub bytes: f64,
}

#[napi]
pub fn waf_lent() -> WafLent {
    let (bodies, bytes) = lent::count();
    WafLent {
        bodies: u32::try_from(bodies).unwrap_or(u32::MAX),
        bytes: bytes as f64,
    }
}

//! Inspections over bytes that each call names, one or many at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cnx_waf::engine::{Verdict, Wanted};
use cnx_waf::wire::{Request, Response, VERDICT_HEAD_BYTES};
use napi::bindgen_prelude::{Error, Result, Uint8ArraySlice};
use napi_derive::napi;

use super::lane::{LANE, failed, transaction_of};
use super::lent::{LentBody, WafLentBody};

/// Most requests of one batch.
const BATCH_MAX: usize = 4096;
/// Bytes that a verdict of a batch may take.
const BATCH_VERDICT_BYTES: usize = 4096;

#[napi]
pub fn waf_inspect(
    handle: u32,
    profile: u32,
    request: &[u8],
    length: u32,
    mut out: Uint8ArraySlice<'_>,
    lent: Option<WafLentBody>,
) -> u32 {
    if out.len() < VERDICT_HEAD_BYTES || overlap(request, &out) {
        return Verdict::Error as u32;
    }
    // SAFETY: JavaScript runs nothing while this call lasts, and no other view of these bytes is alive here.
    let out = unsafe { out.as_mut() };
    let Some(request) = request.get(..length as usize) else {
        return failed(out) as u32;
    };
    let body = LentBody::named(lent);
    let request = Request::unpack(request).and_then(|request| body.put_into(request));
    LANE.with(|lane| match lane.try_borrow_mut() {
        Ok(mut lane) => lane.inspect(handle, profile, request, out) as u32,
        Err(_) => failed(out) as u32,
    })
}

#[napi]
pub fn waf_keep(handle: u32, profile: u32, mut out: Uint8ArraySlice<'_>) -> i32 {
    // SAFETY: as in `waf_inspect`.
    let out = unsafe { out.as_mut() };
    LANE.with(|lane| match lane.try_borrow_mut() {
        Ok(mut lane) => lane.keep(handle, profile, out),
        Err(_) => -1,
    })
}

#[napi]
pub fn waf_inspect_response(
    handle: u32,
    profile: u32,
    kept: &[u8],
    response: &[u8],
    length: u32,
    mut out: Uint8ArraySlice<'_>,
    lent: Option<WafLentBody>,
) -> u32 {
    if out.len() < VERDICT_HEAD_BYTES || overlap(response, &out) || overlap(kept, &out) {
        return Verdict::Error as u32;
    }
    // SAFETY: as in `waf_inspect`.
    let out = unsafe { out.as_mut() };
    let Some(response) = response.get(..length as usize) else {
        return failed(out) as u32;
    };
    let body = LentBody::named(lent);
    let response = Response::unpack(response).and_then(|response| body.put_into_answer(response));
    LANE.with(|lane| match lane.try_borrow_mut() {
        Ok(mut lane) => lane.respond(handle, profile, kept, response, out) as u32,
        Err(_) => failed(out) as u32,
    })
}

#[napi]
pub fn waf_trace(handle: u32, profile: u32, request: &[u8], response: Option<&[u8]>) -> Result<String> {
    let malformed = |_| Error::from_reason("the packed request or answer is malformed");
    let request = Request::unpack(request).map_err(malformed)?;
    let response = response.map(Response::unpack).transpose().map_err(malformed)?;
    LANE.with(|lane| {
        let mut lane = lane
            .try_borrow_mut()
            .map_err(|_| Error::from_reason("the engine is busy"))?;
        let profile = lane
            .profile(handle, profile)
            .ok_or_else(|| Error::from_reason("the rule set was released"))?;
        let serial = profile.program.serial;
        let transaction = transaction_of(&mut lane.transactions, serial);
        catch_unwind(AssertUnwindSafe(|| {
            transaction.trace(&profile, &request, response.as_ref())
        }))
        .map_err(|_| {
            lane.transactions.retain(|(s, _)| *s != serial);
            Error::from_reason("the engine failed")
        })
    })
}

#[napi]
pub fn waf_inspect_batch(handle: u32, profile: u32, requests: &[u8], length: u32, mut out: Uint8ArraySlice<'_>) -> i32 {
    let Some(mut rest) = requests.get(..length as usize) else {
        return -1;
    };
    if overlap(requests, &out) {
        return -1;
    }
    // SAFETY: as in `waf_inspect`.
    let out = unsafe { out.as_mut() };
    let Some(count) = take_u32(&mut rest).filter(|n| *n as usize <= BATCH_MAX) else {
        return -1;
    };
    let Some(head) = out.get_mut(..4) else { return -1 };
    head.copy_from_slice(&count.to_le_bytes());
    let mut at = 4;
    let mut room = [0u8; BATCH_VERDICT_BYTES];
    let mut kept_room = [0u8; BATCH_VERDICT_BYTES];
    for _ in 0..count {
        let Some(size) = take_u32(&mut rest) else { return -1 };
        let Some(request) = rest.get(..size as usize) else {
            return -1;
        };
        rest = &rest[size as usize..];
        let kept = LANE.with(|lane| match lane.try_borrow_mut() {
            Ok(mut lane) => {
                lane.inspect(handle, profile, Request::unpack(request), &mut room);
                if room[30] == Wanted::Nothing as u8 {
                    0
                } else {
                    // What cannot be kept is missing behind a verdict that asks for the answer.
                    usize::try_from(lane.keep(handle, profile, &mut kept_room)).unwrap_or(0)
                }
            }
            Err(_) => {
                failed(&mut room);
                0
            }
        });
        let used = u32::from_le_bytes([room[24], room[25], room[26], room[27]]) as usize;
        let Some(to) = out.get_mut(at..at + 4 + used + kept) else {
            return -1;
        };
        to[..4].copy_from_slice(&((used + kept) as u32).to_le_bytes());
        to[4..4 + used].copy_from_slice(&room[..used]);
        to[4 + used..].copy_from_slice(&kept_room[..kept]);
        at += 4 + used + kept;
    }
    i32::try_from(at).unwrap_or(-1)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*head))
}

/// True when both views look at the same memory, which a caller could do by mistake.
fn overlap(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (a.as_ptr_range(), b.as_ptr_range());
    a.start < b.end && b.start < a.end
}

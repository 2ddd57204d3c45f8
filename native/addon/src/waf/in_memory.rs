//! Inspections over memory that a thread shares with its JavaScript, so that a call names no bytes.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use cnx_waf::engine::Verdict;
use cnx_waf::wire::{Malformed, Request, Response, VERDICT_HEAD_BYTES};
use napi::bindgen_prelude::{Error, Result, Uint8Array};
use napi_derive::napi;

use super::lane::{LANE, Lane, failed};
use super::lent::LentBody;
use super::memory::{HeadMemory, Shared};

/// Most bytes of a memory that a thread shares with its JavaScript.
const MEMORY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most memories of heads of one thread.
const HEAD_MEMORIES_MAX: usize = 4096;
#[napi]
pub fn waf_kept_memory(bytes: u32) -> Result<Uint8Array> {
    memory(bytes, |lane| &mut lane.kept)
}

#[napi]
pub fn waf_request_memory(bytes: u32) -> Result<Uint8Array> {
    memory(bytes, |lane| &mut lane.request)
}

#[napi]
pub fn waf_verdict_memory(bytes: u32) -> Result<Uint8Array> {
    memory(bytes, |lane| &mut lane.verdict)
}

fn memory(bytes: u32, place: impl FnOnce(&mut Lane) -> &mut Option<Arc<Shared>>) -> Result<Uint8Array> {
    if bytes as usize > MEMORY_BYTES_MAX {
        return Err(Error::from_reason(format!("more than {MEMORY_BYTES_MAX} bytes")));
    }
    let shared = Shared::new(bytes as usize);
    let view = shared.view();
    LANE.with_borrow_mut(|lane| *place(lane) = Some(shared));
    Ok(view)
}

#[napi]
pub fn waf_inspect_memory(handle: u32, profile: u32, length: u32) -> u32 {
    in_memory(length, |lane, request, out| {
        lane.inspect(handle, profile, Request::unpack(request), out)
    })
}

/// Runs `inspect` on this thread's two memories.
fn in_memory(length: u32, inspect: impl FnOnce(&mut Lane, &[u8], &mut [u8]) -> Verdict) -> u32 {
    LANE.with(|lane| {
        let Ok(mut lane) = lane.try_borrow_mut() else {
            return Verdict::Error as u32;
        };
        let (Some(request), Some(verdict)) = (lane.request.clone(), lane.verdict.clone()) else {
            return Verdict::Error as u32;
        };
        if length as usize > request.0.len() || verdict.0.len() < VERDICT_HEAD_BYTES {
            return Verdict::Error as u32;
        }
        // SAFETY: two allocations of this thread, alive in these clones; its JavaScript runs nothing while this call lasts.
        let (request, out) = unsafe {
            (
                std::slice::from_raw_parts(request.0.as_ptr().cast::<u8>(), length as usize),
                std::slice::from_raw_parts_mut(verdict.0.as_ptr().cast_mut().cast::<u8>(), verdict.0.len()),
            )
        };
        inspect(&mut lane, request, out) as u32
    })
}

#[napi]
pub fn waf_head_memory(memory: Uint8Array, stride: u32, count_at: u32, fields_at: u32, head_at: u32) -> i32 {
    let [stride, count_at, fields_at, head_at] = [stride, count_at, fields_at, head_at].map(|n| n as usize);
    LANE.with_borrow_mut(|lane| {
        let number = lane.heads.len();
        if number >= HEAD_MEMORIES_MAX || stride == 0 || count_at >= stride || fields_at > head_at || head_at > stride {
            return -1;
        }
        lane.heads.push(HeadMemory {
            memory: ManuallyDrop::new(memory),
            stride,
            count_at,
            fields_at,
            head_at,
        });
        i32::try_from(number).unwrap_or(-1)
    })
}

#[napi]
pub fn waf_inspect_head(
    handle: u32,
    profile: u32,
    length: u32,
    memory: u32,
    place: u32,
    lent: f64,
    lent_bytes: u32,
) -> u32 {
    in_memory(length, |lane, request, out| {
        let heads = std::mem::take(&mut lane.heads);
        let found = heads.get(memory as usize).and_then(|h| h.fields(place as usize));
        let body = LentBody::find(lent, lent_bytes);
        let request = Request::unpack(request)
            .and_then(|request| request.with_fields(found.ok_or(Malformed)?))
            .and_then(|request| body.put_into(request));
        let verdict = lane.inspect(handle, profile, request, out);
        lane.heads = heads;
        verdict
    })
}

#[napi]
pub fn waf_keep_memory(handle: u32, profile: u32) -> i32 {
    LANE.with(|lane| {
        let Ok(mut lane) = lane.try_borrow_mut() else { return -1 };
        let Some(kept) = lane.kept.clone() else { return -1 };
        // SAFETY: an allocation of this thread, alive in this clone; its JavaScript runs nothing while this call lasts.
        let out = unsafe { std::slice::from_raw_parts_mut(kept.0.as_ptr().cast_mut().cast::<u8>(), kept.0.len()) };
        lane.keep(handle, profile, out)
    })
}

#[napi]
pub fn waf_inspect_response_memory(
    handle: u32,
    profile: u32,
    kept_length: u32,
    length: u32,
    lent: f64,
    lent_bytes: u32,
) -> u32 {
    in_memory(length, |lane, response, out| {
        let Some(kept) = lane.kept.clone().filter(|k| kept_length as usize <= k.0.len()) else {
            return failed(out);
        };
        // SAFETY: as in `in_memory`; the third allocation of this thread.
        let kept = unsafe { std::slice::from_raw_parts(kept.0.as_ptr().cast::<u8>(), kept_length as usize) };
        let body = LentBody::find(lent, lent_bytes);
        let response = Response::unpack(response).and_then(|response| body.put_into_answer(response));
        lane.respond(handle, profile, kept, response, out)
    })
}

//! Strings of JavaScript as bytes, without allocating for the usual lengths.

use napi::bindgen_prelude::{JsValue, Result};
use napi::{Error, JsString, Status, sys};
use std::mem::MaybeUninit;
use std::ptr;

/// Strings up to this many bytes (less one character) are read on the stack.
const STACK_BYTES: usize = 1024;
/// Most bytes of one character and the terminating zero.
const SLACK_BYTES: usize = 5;

/// Calls `read` with the UTF-8 bytes of a string; lone surrogates are U+FFFD.
pub(crate) fn with_utf8<T>(text: &JsString, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
    let (env, value) = (text.value().env, text.value().value);
    let copy = |to: *mut u8, bytes: usize| -> Result<usize> {
        let mut written = 0;
        // SAFETY: env and value are those of the running call; `to` is null or has room for `bytes`, which Node-API never exceeds.
        let status = unsafe { sys::napi_get_value_string_utf8(env, value, to.cast(), bytes, &raw mut written) };
        match status {
            sys::Status::napi_ok => Ok(written),
            _ => Err(Error::new(Status::StringExpected, "a string is expected")),
        }
    };
    let mut stack = [MaybeUninit::<u8>::uninit(); STACK_BYTES];
    let written = copy(stack.as_mut_ptr().cast(), STACK_BYTES)?;
    if written + SLACK_BYTES <= STACK_BYTES {
        // SAFETY: the first `written` bytes were just initialised by Node-API.
        return Ok(read(unsafe {
            std::slice::from_raw_parts(stack.as_ptr().cast(), written)
        }));
    }
    let mut heap = vec![0; copy(ptr::null_mut(), 0)? + 1];
    let written = copy(heap.as_mut_ptr(), heap.len())?;
    Ok(read(&heap[..written]))
}

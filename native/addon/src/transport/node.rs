//! What the transport asks of Node-API beyond what napi-rs wraps: calls from outside JavaScript, exceptions that nobody catches, and the end of a thread.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{Function, JsValue, Result};
use napi::{Env, Error, sys};

/// How a call of JavaScript ended.
pub enum Called {
    Returned,
    /// It threw; what it threw is reported by `Thrown::report`, not before everything else is in order.
    Threw(Thrown),
    /// The thread is ending: JavaScript does not run any more.
    Ended,
}

/// Something that was thrown, within the scope of the call.
pub struct Thrown(sys::napi_value);

/// A function of JavaScript that is called from the loop.
pub struct Callback {
    env: sys::napi_env,
    function: sys::napi_ref,
}

/// Values made within it are let go of at its end.
pub struct Scope {
    env: sys::napi_env,
    scope: sys::napi_handle_scope,
}

impl Scope {
    fn open(env: sys::napi_env) -> Option<Self> {
        let mut scope = ptr::null_mut();
        // SAFETY: the environment of this thread.
        let status = unsafe { sys::napi_open_handle_scope(env, &raw mut scope) };
        (status == sys::Status::napi_ok).then_some(Self { env, scope })
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: opened in `open`; scopes are dropped in the reverse order of their making.
        unsafe { sys::napi_close_handle_scope(self.env, self.scope) };
    }
}

impl Callback {
    /// Keeps a function for the calls to come.
    pub fn new(env: &Env, function: &Function<'_, u32, ()>) -> Result<Self> {
        let env = env.raw();
        let mut reference = ptr::null_mut();
        // SAFETY: a value of the running call.
        let status = unsafe { sys::napi_create_reference(env, function.value().value, 1, &raw mut reference) };
        match status {
            sys::Status::napi_ok => Ok(Self {
                env,
                function: reference,
            }),
            _ => Err(Error::from_reason("the function cannot be kept")),
        }
    }

    /// A scope for `call` and what follows it; none when the thread is ending.
    pub fn scope(&self) -> Option<Scope> {
        Scope::open(self.env)
    }

    /// Calls it with a number. Microtasks run before it returns, since no JavaScript is below it.
    pub fn call(&self, _scope: &Scope, argument: u32) -> Called {
        let (mut global, mut function, mut number, mut result) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: the environment of this thread, within an open scope; the async context is none, which the call allows.
        let status = unsafe {
            let prepared = sys::napi_get_global(self.env, &raw mut global) == sys::Status::napi_ok
                && sys::napi_get_reference_value(self.env, self.function, &raw mut function) == sys::Status::napi_ok
                && sys::napi_create_uint32(self.env, argument, &raw mut number) == sys::Status::napi_ok;
            if !prepared {
                return Called::Ended;
            }
            sys::napi_make_callback(
                self.env,
                ptr::null_mut(),
                global,
                function,
                1,
                &raw const number,
                &raw mut result,
            )
        };
        match status {
            sys::Status::napi_ok => Called::Returned,
            sys::Status::napi_pending_exception => self.take_exception(),
            _ => Called::Ended,
        }
    }

    fn take_exception(&self) -> Called {
        let mut thrown = ptr::null_mut();
        // SAFETY: as in `call`.
        let status = unsafe { sys::napi_get_and_clear_last_exception(self.env, &raw mut thrown) };
        if status != sys::Status::napi_ok || thrown.is_null() {
            return Called::Ended;
        }
        Called::Threw(Thrown(thrown))
    }

    /// Hands something thrown to the thread's `uncaughtException`.
    pub fn report(&self, _scope: &Scope, thrown: &Thrown) {
        // SAFETY: a value of the open scope. It fails only when the thread is ending, and then nobody listens.
        unsafe { sys::napi_fatal_exception(self.env, thrown.0) };
    }

    /// Hands an error of our own to the thread's `uncaughtException`.
    pub fn report_text(&self, text: &str) {
        let Some(scope) = self.scope() else { return };
        let (mut message, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as in `call`; the text is given with its length.
        let made = unsafe {
            sys::napi_create_string_utf8(self.env, text.as_ptr().cast(), text.len() as isize, &raw mut message)
                == sys::Status::napi_ok
                && sys::napi_create_error(self.env, ptr::null_mut(), message, &raw mut error) == sys::Status::napi_ok
        };
        if made {
            self.report(&scope, &Thrown(error));
        }
    }

    /// Lets go of the function. To be called once, while the environment is alive.
    pub fn release(&self) {
        // SAFETY: made in `new`, deleted once.
        unsafe { sys::napi_delete_reference(self.env, self.function) };
    }
}

/// The loop of the running thread.
pub fn event_loop(env: &Env) -> Result<*mut c_void> {
    let mut found = ptr::null_mut();
    // SAFETY: the environment of the running call.
    let status = unsafe { sys::napi_get_uv_event_loop(env.raw(), &raw mut found) };
    if status != sys::Status::napi_ok || found.is_null() {
        return Err(Error::from_reason("this thread has no event loop"));
    }
    Ok(found.cast())
}

/// Something that has to be closed before a thread ends.
pub trait Ends: 'static {
    /// The thread ends, be it by `terminate`, `exit` or because nothing is left to do. Whoever closes asynchronously drops the hook when it is done.
    fn thread_ends(&self);
}

/// Keeps a thread from ending until it is dropped, once the thread wants to.
pub struct EndHook {
    handle: sys::napi_async_cleanup_hook_handle,
    data: *mut c_void,
    drop_data: fn(*mut c_void),
}

impl EndHook {
    /// Calls `ends.thread_ends()` when the thread is about to end.
    pub fn add<E: Ends>(env: &Env, ends: Rc<E>) -> Result<Self> {
        let data = Rc::into_raw(ends).cast_mut().cast::<c_void>();
        let mut handle = ptr::null_mut();
        // SAFETY: `data` stays until the hook is removed, in `drop`.
        let status = unsafe { sys::napi_add_async_cleanup_hook(env.raw(), Some(on_end::<E>), data, &raw mut handle) };
        let hook = Self {
            handle,
            data,
            drop_data: drop_rc::<E>,
        };
        if status == sys::Status::napi_ok {
            Ok(hook)
        } else {
            Err(Error::from_reason("the end of this thread cannot be waited for"))
        }
    }
}

impl Drop for EndHook {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: added in `add`, removed once; allowed before, within and after the hook's call.
            unsafe { sys::napi_remove_async_cleanup_hook(self.handle) };
        }
        (self.drop_data)(self.data);
    }
}

fn drop_rc<E>(data: *mut c_void) {
    // SAFETY: from Rc::into_raw in `add`, given back once.
    drop(unsafe { Rc::from_raw(data.cast::<E>()) });
}

unsafe extern "C" fn on_end<E: Ends>(_handle: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the hook is not removed yet, so its data is alive; kept for the length of the call, which may remove it.
    let ends = unsafe {
        Rc::increment_strong_count(data.cast::<E>());
        Rc::from_raw(data.cast::<E>())
    };
    ends.thread_ends();
}

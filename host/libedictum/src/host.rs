//! What a process has one of, and what needs no guard.

use std::time::Duration;

use edictum_host::driver::{Served, Service};
use serde::Deserialize;

use crate::answer::{Answer, Given, Problem, Status};
use crate::boundary::{answering, enter};
use crate::operation::{Caller, Done, Pending, Progress, perform};
use crate::text::Text;

/// Version of this interface. One library serves programs that were made for its version; what is added keeps the version,
/// what is changed raises it.
pub const ABI_VERSION: u32 = 1;

/// Runs the engine: its instances, its threads, the clock. A process needs one. May be used by any number of threads at the
/// same time. Guards keep it alive: it may be freed before them.
pub struct Host {
    pub(crate) host: edictum_host::Host,
    pub(crate) service: Service,
}

/// The `EDICTUM_ABI_VERSION` of this library. A program refuses another one than that of the header it was made with.
#[unsafe(no_mangle)]
pub extern "C" fn edictum_abi_version() -> u32 {
    ABI_VERSION
}

/// The version of this library, as `1.2.3`. Lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn edictum_version() -> Text {
    Text::of(env!("CARGO_PKG_VERSION"))
}

/// What a host may use.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    deciders: Option<usize>,
    memory_bytes: Option<usize>,
    step_deadline_ms: Option<u64>,
    callback_deadline_ms: Option<u64>,
}

/// Starts a host. `options`: none, or a JSON object with any of `deciders` (calls decided at the same time; default: the
/// number of cores), `memory_bytes` (of each; default 256 MiB), `step_deadline_ms` (inside the engine; default 10,000),
/// `callback_deadline_ms` (for each answer of the program; default 30,000). The first start on a machine compiles the engine,
/// a second or two; later ones take milliseconds. `host` is set when it is `OK`. In a process that forks, start it after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_host_new(options: Text, host: *mut *mut Host, answer: *mut Answer) -> Status {
    let work = || {
        // SAFETY: the caller promises a text for the time of the call.
        let options = unsafe { options.read("options") }?;
        let options: Options = options
            .map_or(Ok(Options::default()), serde_json::from_str)
            .map_err(|error| Problem::argument(format!("`options`: {error}")))?;
        if host.is_null() {
            return Err(Problem::argument("`host` is missing"));
        }
        let made = Box::new(start(&options)?);
        // SAFETY: not NULL, and the caller promises room for a pointer.
        unsafe { host.write(Box::into_raw(made)) };
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

fn start(options: &Options) -> Result<Host, Problem> {
    let mut builder = edictum_host::Host::builder();
    if let Some(deciders) = options.deciders {
        builder = builder.deciders(deciders.max(1));
    }
    if let Some(bytes) = options.memory_bytes {
        builder = builder.memory(bytes);
    }
    if let Some(ms) = options.step_deadline_ms {
        builder = builder.step_deadline(Duration::from_millis(ms));
    }
    if let Some(ms) = options.callback_deadline_ms {
        builder = builder.callback_deadline(Duration::from_millis(ms));
    }
    let host = builder.build()?;
    let service = Service::new(&host);
    Ok(Host { host, service })
}

/// Frees it, when no call with it is under way. It ends with the last guard of it. NULL is nothing to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_host_free(host: *mut Host) {
    enter((), || {
        if !host.is_null() {
            // SAFETY: made by `Box::into_raw`, and the caller promises to free it once.
            drop(unsafe { Box::from_raw(host) });
        }
    });
}

pub(crate) unsafe fn borrowed<'h>(host: *const Host) -> Result<&'h Host, Problem> {
    // SAFETY: the caller promises a host that is not freed during the call, or NULL.
    unsafe { host.as_ref() }.ok_or_else(|| Problem::argument("`host` is missing"))
}

/// An operation of the driver protocol that is about no guard, by its name: `hello`, `check`, `templates`. `fields`: a JSON
/// object, or none. `text`: the `result`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_host_request(
    host: *const Host,
    op: Text,
    fields: Text,
    done: Done,
    user_data: *mut std::ffi::c_void,
    pending: *mut *mut Pending,
    answer: *mut Answer,
) -> Status {
    // SAFETY: the caller promises a host and texts for the time of the call.
    let arguments = || unsafe { Ok((borrowed(host)?, op.need("op")?, fields.read("fields")?.unwrap_or("{}"))) };
    let (host, op, fields) = match arguments() {
        Ok(arguments) => arguments,
        // SAFETY: the caller promises room for an answer, or NULL.
        Err(problem) => return unsafe { answering(answer, || Err(problem)) },
    };
    let (service, op, fields) = (host.service.clone(), op.to_owned(), fields.to_owned());
    let steps = async move { served(service.perform(&op, &fields).await) };
    // SAFETY: the caller promises what `perform` needs: room for an answer and a pointer, or NULL.
    unsafe { perform(&host.host, steps, drop, Caller { done, user_data, pending }, answer) }
}

/// An operation of the driver as one of ours.
pub(crate) fn served(served: Result<Served, edictum_host::driver::Refusal>) -> Progress {
    match served {
        Ok(Served::Now(result)) => Progress::Ended(Ok(Given::Text(result))),
        Ok(Served::Later(later)) => {
            Progress::Waiting(Box::pin(async { later.await.map(Given::Text).map_err(Problem::from) }))
        }
        Err(refusal) => Progress::Ended(Err(refusal.into())),
    }
}

/// Which of these keys signed this text: Ed25519 over exactly its bytes. `signature`: base64 or hex; `keys`: an array of
/// public keys, 64 hex digits each (JSON). `text`: the key, `{"key": …}`. `UNAUTHORIZED`: none of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_host_verify(
    host: *const Host,
    text: Text,
    signature: Text,
    keys: Text,
    answer: *mut Answer,
) -> Status {
    let work = || {
        // SAFETY: the caller promises a host and texts for the time of the call.
        let (host, text, signature, keys) =
            unsafe { (borrowed(host)?, text.need("text")?, signature.need("signature")?, keys.need("keys")?) };
        let keys: Vec<String> =
            serde_json::from_str(keys).map_err(|_| Problem::argument("`keys` must be an array of strings"))?;
        let key = host.host.block_on(host.host.verify(text, signature, &keys))?;
        Ok(Given::Text(serde_json::json!({ "key": key }).to_string()))
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

/// Lets all guards of this host see this time (milliseconds since 1970) from now on, and waits until what is due then is
/// done: for tests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_host_set_time(host: *const Host, now_ms: u64, answer: *mut Answer) -> Status {
    let work = || {
        // SAFETY: the caller promises a host for the time of the call.
        let host = unsafe { borrowed(host) }?;
        host.host.block_on(host.service.set_time(now_ms));
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

//! Guards: how they come, what can be asked of them, how they go. What they do with calls is in [`crate::calls`].

use std::ffi::c_void;
use std::sync::Arc;

use edictum_host::driver::ServedGuard;

use crate::answer::{Answer, Given, Problem, Status};
use crate::boundary::{answering, enter};
use crate::host::{self, served};
use crate::operation::{Caller, Done, Pending, Progress, perform};
use crate::setup::Setup;
use crate::text::Text;

/// Judges tool calls. May be used by any number of threads at the same time, but not while it is freed.
pub struct Guard {
    pub(crate) served: Arc<ServedGuard>,
}

/// Opens a guard. `op` is `open` or `open_server`, `fields` the JSON object of that operation of the driver protocol
/// (docs/driver.md): `guard` (its name), `rulesets`, `options`, `store`, … Guards may have the same name. `setup` has what no
/// document can say, or is NULL; it is used up, whatever the result, and must not be freed.
///
/// `guard`: the guard, the caller's to free. `text`: the `result` of the operation. A guard that is opened after the caller
/// has cancelled is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_open(
    host: *const host::Host,
    op: Text,
    fields: Text,
    setup: *mut Setup,
    done: Done,
    user_data: *mut c_void,
    pending: *mut *mut Pending,
    answer: *mut Answer,
) -> Status {
    let setup = match setup.is_null() {
        true => Setup::default(),
        // SAFETY: made by `edictum_setup_new`, and the caller promises to give it away once.
        false => *unsafe { Box::from_raw(setup) },
    };
    // SAFETY: the caller promises a host and texts for the time of the call.
    let arguments = || unsafe { Ok((host::borrowed(host)?, op.need("op")?, fields.need("fields")?)) };
    let (host, op, fields) = match arguments() {
        Ok(arguments) => arguments,
        // SAFETY: the caller promises room for an answer, or NULL.
        Err(problem) => return unsafe { answering(answer, || Err(problem)) },
    };
    let (service, op, fields) = (host.service.clone(), op.to_owned(), fields.to_owned());
    let steps = async move {
        let event_bytes = setup.event_bytes;
        Progress::Ended(match service.open(&op, &fields, |builder| setup.apply(builder)).await {
            Ok(served) => {
                served.limit_events(event_bytes);
                let opened = served.opened.clone();
                Ok(Given::Opened { guard: Box::new(Guard { served: Arc::new(served) }), opened })
            }
            Err(refusal) => Err(refusal.into()),
        })
    };
    // SAFETY: the caller promises what `perform` needs: room for an answer and a pointer, or NULL.
    unsafe { perform(&host.host, steps, drop, Caller { done, user_data, pending }, answer) }
}

/// Frees the handle, when no call with it is under way. The guard itself lives until what is under way in it has ended; it is
/// not closed: open calls stay in its store. NULL is nothing to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_free(guard: *mut Guard) {
    enter((), || {
        if !guard.is_null() {
            // SAFETY: made by `Box::into_raw`, and the caller promises to free it once.
            drop(unsafe { Box::from_raw(guard) });
        }
    });
}

pub(crate) unsafe fn borrowed<'g>(guard: *const Guard) -> Result<&'g Guard, Problem> {
    // SAFETY: the caller promises a guard that is not freed during the call, or NULL.
    unsafe { guard.as_ref() }.ok_or_else(|| Problem::argument("`guard` is missing"))
}

/// An operation of the driver protocol about this guard, by its name: `reload`, `counters`, `workflow`, `events`, `health`,
/// `flush`, `close`, and those of calls, which have functions of their own. `fields`: its fields without `guard` (JSON
/// object), or none. `text`: the `result`. After `close` every operation is refused, and who waits is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_request(
    guard: *const Guard,
    op: Text,
    fields: Text,
    done: Done,
    user_data: *mut c_void,
    pending: *mut *mut Pending,
    answer: *mut Answer,
) -> Status {
    // SAFETY: the caller promises a guard and texts for the time of the call.
    let arguments = || unsafe { Ok((borrowed(guard)?, op.need("op")?, fields.read("fields")?.unwrap_or("{}"))) };
    let (guard, op, fields) = match arguments() {
        Ok(arguments) => arguments,
        // SAFETY: the caller promises room for an answer, or NULL.
        Err(problem) => return unsafe { answering(answer, || Err(problem)) },
    };
    let (serving, op, fields) = (Arc::clone(&guard.served), op.to_owned(), fields.to_owned());
    let steps = async move { served(serving.perform(&op, &fields).await) };
    // SAFETY: the caller promises what `perform` needs: room for an answer and a pointer, or NULL.
    unsafe { perform(guard.served.guard.host(), steps, drop, Caller { done, user_data, pending }, answer) }
}

/// Whose calls they are when neither the call nor a resolver says so: a JSON object, or none for nobody. For later calls.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_set_principal(
    guard: *const Guard,
    principal: Text,
    answer: *mut Answer,
) -> Status {
    let work = || {
        // SAFETY: the caller promises a guard and a text for the time of the call.
        let (guard, principal) = unsafe { (borrowed(guard)?, principal.read("principal")?) };
        guard.served.guard.set_principal(principal)?;
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

/// What the rules in force say of themselves. `text`: name, mode, rules, report, options, `needs` (JSON); `name`: the revision, SHA-256, hex, as `policy_version` in the decision log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_summary(guard: *const Guard, answer: *mut Answer) -> Status {
    let work = || {
        // SAFETY: the caller promises a guard for the time of the call.
        let guard = unsafe { borrowed(guard) }?;
        Ok(Given::Summary { summary: guard.served.guard.summary(), revision: guard.served.guard.policy_version() })
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

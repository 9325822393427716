//! A call from its dry run to its end. Calls, outputs and results are JSON texts; they go to the engine as they are.

use std::ffi::c_void;

use edictum_host::callback::{ApprovalOutcome, ApprovalVerdict};
use edictum_host::{Action, CallRequest, ToolOutcome};
use serde::Deserialize;

use crate::answer::{Answer, Given, Outcome, Problem, Status};
use crate::boundary::answering;
use crate::guard::{Guard, borrowed};
use crate::operation::{Caller, Done, Pending, Progress, perform};
use crate::text::Text;

/// One call to be judged.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    /// A JSON object: `tool`, `args`, and where known `principal`, `environment`, `metadata`.
    pub call: Text,
    /// None: the guard's own session.
    pub session_id: Text,
    /// None: a new one. Unique in the guard.
    pub call_id: Text,
    /// The session that started this one, or none.
    pub parent_session_id: Text,
}

/// A tool failed.
pub const TOOL_FAILED: i32 = 0;
/// A tool succeeded.
pub const TOOL_SUCCEEDED: i32 = 1;
/// The success check, or the heuristic, decides whether a tool succeeded.
pub const TOOL_UNKNOWN: i32 = -1;

/// What would happen to a call, and to `output` where there is one (JSON): a dry run that counts nothing. `text`: the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_evaluate(
    guard: *const Guard,
    call: Text,
    output: Text,
    done: Done,
    user_data: *mut c_void,
    pending: *mut *mut Pending,
    answer: *mut Answer,
) -> Status {
    // SAFETY: the caller promises a guard and texts for the time of the call.
    let arguments = || unsafe { Ok((borrowed(guard)?, call.need("call")?, output.read("output")?)) };
    let (guard, call, output) = match arguments() {
        Ok(arguments) => arguments,
        // SAFETY: the caller promises room for an answer, or NULL.
        Err(problem) => return unsafe { answering(answer, || Err(problem)) },
    };
    let judging = guard.served.guard.clone();
    let (call, output) = (call.to_owned(), output.map(str::to_owned));
    let steps = async move {
        let evaluated = judging.evaluate(&call, output.as_deref()).await;
        Progress::Ended(evaluated.map(Given::Text).map_err(Problem::from))
    };
    // SAFETY: the caller promises what `perform` needs: room for an answer and a pointer, or NULL.
    unsafe { perform(guard.served.guard.host(), steps, drop, Caller { done, user_data, pending }, answer) }
}

/// Counts the attempt and decides. An allowed call stays open until `edictum_guard_finish`, one that is asked about until
/// `edictum_guard_settle` or its deadline. Whatever goes wrong is a block; after an error nothing has been decided, and the
/// call must not run. A decision: `action`, `flags`, `call_id`, `reason`, `name`, `text` (details: `decision_source`,
/// `decision_name`, `rules_evaluated`, `workflow`), and with an ask `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_begin(
    guard: *const Guard,
    call: *const Call,
    done: Done,
    user_data: *mut c_void,
    pending: *mut *mut Pending,
    answer: *mut Answer,
) -> Status {
    // SAFETY: the caller promises a guard, a call and its texts for the time of this call.
    let arguments = || unsafe {
        let request = call.as_ref().ok_or_else(|| Problem::argument("`call` is missing"))?;
        Ok((
            borrowed(guard)?,
            request.call.need("call")?,
            request.session_id.read("session_id")?,
            request.call_id.read("call_id")?,
            request.parent_session_id.read("parent_session_id")?,
        ))
    };
    let (guard, call, session_id, call_id, parent_session_id) = match arguments() {
        Ok(arguments) => arguments,
        // SAFETY: the caller promises room for an answer, or NULL.
        Err(problem) => return unsafe { answering(answer, || Err(problem)) },
    };
    let (judging, host) = (guard.served.guard.clone(), guard.served.guard.host());
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let (call, session_id, call_id) = (call.to_owned(), owned(session_id), owned(call_id));
    let parent_session_id = owned(parent_session_id);
    let unwanted = {
        let (judging, runtime) = (judging.clone(), host.runtime().clone());
        move |outcome: Outcome| {
            if let Ok(Given::Decision(decision)) = outcome
                && decision.action == Action::Allow
            {
                let given_up = ToolOutcome::failure("given up before the tool ran");
                runtime.spawn(async move { judging.finish(&decision.call_id, given_up).await });
            }
        }
    };
    let steps = async move {
        let request = CallRequest {
            call: &call,
            session_id: session_id.as_deref(),
            call_id: call_id.as_deref(),
            parent_session_id: parent_session_id.as_deref(),
        };
        Progress::Ended(judging.begin(request).await.map(Given::Decision).map_err(Problem::from))
    };
    // SAFETY: the caller promises what `perform` needs: room for an answer and a pointer, or NULL.
    unsafe { perform(host, steps, unwanted, Caller { done, user_data, pending }, answer) }
}

/// An approval's outcome, as in the text form of the engine's interface.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    verdict: ApprovalWord,
    approval_id: Option<String>,
    approver: Option<String>,
    reason: Option<String>,
    decided_at: Option<String>,
    decided_via: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ApprovalWord {
    Approved,
    Rejected,
    TimedOut,
    Unreachable,
}

impl From<Approval> for ApprovalOutcome {
    fn from(approval: Approval) -> Self {
        let Approval { verdict, approval_id, approver, reason, decided_at, decided_via } = approval;
        let verdict = match verdict {
            ApprovalWord::Approved => ApprovalVerdict::Approved,
            ApprovalWord::Rejected => ApprovalVerdict::Rejected,
            ApprovalWord::TimedOut => ApprovalVerdict::TimedOut,
            ApprovalWord::Unreachable => ApprovalVerdict::Unreachable,
        };
        Self { verdict, approval_id, approver, reason, decided_at, decided_via }
    }
}

/// Goes on with a call that was asked about: it is judged again under the rules in force now. `outcome`: a JSON object with
/// `verdict` (`approved`, `rejected`, `timed_out`, `unreachable`) and where known `approver`, `reason`, `approval_id`,
/// `decided_at`, `decided_via`. A decision, as of `edictum_guard_begin`; a workflow may ask again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_settle(
    guard: *const Guard,
    call_id: Text,
    outcome: Text,
    done: Done,
    user_data: *mut c_void,
    pending: *mut *mut Pending,
    answer: *mut Answer,
) -> Status {
    // SAFETY: the caller promises a guard and texts for the time of the call.
    let arguments = || unsafe {
        let outcome: Approval = serde_json::from_str(outcome.need("outcome")?)
            .map_err(|error| Problem::argument(format!("`outcome`: {error}")))?;
        Ok((borrowed(guard)?, call_id.need("call_id")?, ApprovalOutcome::from(outcome)))
    };
    let (guard, call_id, outcome) = match arguments() {
        Ok(arguments) => arguments,
        // SAFETY: the caller promises room for an answer, or NULL.
        Err(problem) => return unsafe { answering(answer, || Err(problem)) },
    };
    let (judging, call_id) = (guard.served.guard.clone(), call_id.to_owned());
    let steps = async move {
        Progress::Ended(judging.settle(&call_id, outcome).await.map(Given::Decision).map_err(Problem::from))
    };
    // SAFETY: the caller promises what `perform` needs: room for an answer and a pointer, or NULL.
    unsafe { perform(guard.served.guard.host(), steps, drop, Caller { done, user_data, pending }, answer) }
}

/// Waits until a call that was asked about is settled, by whoever is first: somebody who calls `edictum_guard_settle`, a
/// server's queue, its deadline, or the guard's approver, who is asked when `approval` is given (`value` of the decision). A
/// decision, as of `edictum_guard_begin`. Who cancels stops to wait; the call goes on waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_wait(
    guard: *const Guard,
    call_id: Text,
    approval: Text,
    done: Done,
    user_data: *mut c_void,
    pending: *mut *mut Pending,
    answer: *mut Answer,
) -> Status {
    // SAFETY: the caller promises a guard and texts for the time of the call.
    let arguments = || unsafe { Ok((borrowed(guard)?, call_id.need("call_id")?, approval.read("approval")?)) };
    let (guard, call_id, approval) = match arguments() {
        Ok(arguments) => arguments,
        // SAFETY: the caller promises room for an answer, or NULL.
        Err(problem) => return unsafe { answering(answer, || Err(problem)) },
    };
    let (judging, call_id) = (guard.served.guard.clone(), call_id.to_owned());
    let approval = approval.map(str::to_owned);
    // Listened for from now on, not only from the first poll.
    let settled = judging.settled(&call_id);
    let steps = async move {
        Progress::Waiting(Box::pin(async move {
            let decision = match approval {
                Some(approval) => judging.approval(&call_id, approval).await,
                None => settled.await,
            };
            decision.map(Given::Decision).map_err(Problem::from)
        }))
    };
    // SAFETY: the caller promises what `perform` needs: room for an answer and a pointer, or NULL.
    unsafe { perform(guard.served.guard.host(), steps, drop, Caller { done, user_data, pending }, answer) }
}

/// Judges what a tool returned (`output`, JSON), by the rules in force now, and ends the call. `success`:
/// `EDICTUM_TOOL_…`. After an error the output must not be used. The end: `flags`, `warnings`, `text` (details: `redacted`,
/// `suppressed`, `policy_error`, `rules_evaluated`, `findings`), and `value` when the agent is to get something else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_guard_finish(
    guard: *const Guard,
    call_id: Text,
    output: Text,
    success: i32,
    done: Done,
    user_data: *mut c_void,
    pending: *mut *mut Pending,
    answer: *mut Answer,
) -> Status {
    // SAFETY: the caller promises a guard and texts for the time of the call.
    let arguments = || unsafe { Ok((borrowed(guard)?, call_id.need("call_id")?, output.need("output")?)) };
    let (guard, call_id, output) = match arguments() {
        Ok(arguments) => arguments,
        // SAFETY: the caller promises room for an answer, or NULL.
        Err(problem) => return unsafe { answering(answer, || Err(problem)) },
    };
    let success = match success {
        TOOL_FAILED => Some(false),
        TOOL_UNKNOWN => None,
        _ => Some(true),
    };
    let (judging, call_id) = (guard.served.guard.clone(), call_id.to_owned());
    let outcome = ToolOutcome { output: output.to_owned(), success };
    let steps = async move {
        Progress::Ended(judging.finish(&call_id, outcome).await.map(Given::Conclusion).map_err(Problem::from))
    };
    // SAFETY: the caller promises what `perform` needs: room for an answer and a pointer, or NULL.
    unsafe { perform(guard.served.guard.host(), steps, drop, Caller { done, user_data, pending }, answer) }
}

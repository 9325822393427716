//! What a guard needs and no document can say: functions of the program's, above all.

use std::ffi::c_void;
use std::sync::Arc;

use edictum_host::callback::{Answered, Callback, HookCall, Phase, Verdict};
use edictum_host::{Decision, EventSink, GuardBuilder, HookPlace};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::{Answer, Given, Problem, Status};
use crate::boundary::{answering, enter};
use crate::callback::{Asking, Notice, Question, Release, UserData};
use crate::calls::Approval;
use crate::text::Text;

/// A guard to be opened. Used by one thread at a time.
pub struct Setup {
    parts: Vec<Part>,
    /// Bytes of events that wait for `events`.
    pub(crate) event_bytes: usize,
}

type Part = Box<dyn FnOnce(GuardBuilder) -> GuardBuilder + Send>;

/// Bytes of events that a guard keeps for `events` when nothing else is said.
const EVENT_BYTES: usize = 4 << 20;

impl Default for Setup {
    fn default() -> Self {
        Self { parts: Vec::new(), event_bytes: EVENT_BYTES }
    }
}

impl Setup {
    pub(crate) fn apply(self, builder: GuardBuilder) -> GuardBuilder {
        self.parts.into_iter().fold(builder, |builder, part| part(builder))
    }
}

/// An empty setup, for `edictum_guard_open`.
#[unsafe(no_mangle)]
pub extern "C" fn edictum_setup_new() -> *mut Setup {
    enter(std::ptr::null_mut(), || Box::into_raw(Box::default()))
}

/// Frees one that was not used. NULL is nothing to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_free(setup: *mut Setup) {
    enter((), || {
        if !setup.is_null() {
            // SAFETY: made by `edictum_setup_new`, and the caller promises to free it once.
            drop(unsafe { Box::from_raw(setup) });
        }
    });
}

/// A part that needs a function. Its user data is released also when it is refused.
unsafe fn add(
    setup: *mut Setup,
    function: Question,
    user_data: UserData,
    answer: *mut Answer,
    part: impl FnOnce(Asking) -> Result<Part, Problem>,
) -> Status {
    let work = || {
        // SAFETY: the caller promises a setup that nobody else uses, or NULL.
        let setup = unsafe { setup.as_mut() }.ok_or_else(|| Problem::argument("`setup` is missing"))?;
        let function = function.ok_or_else(|| Problem::argument("the function is missing"))?;
        setup.parts.push(part(Asking { function, user_data: Arc::new(user_data) })?);
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

/// A custom operator of this name. Question: `{"name", "value", "operand"}`; answer: `true` or `false`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_operator(
    setup: *mut Setup,
    name: Text,
    function: Question,
    user_data: *mut c_void,
    release: Release,
    answer: *mut Answer,
) -> Status {
    let part = |asking: Asking| -> Result<Part, Problem> {
        // SAFETY: the caller promises a text for the time of the call.
        let name = unsafe { name.need("name") }?.to_owned();
        let operator = Callback::from_async(move |call: edictum_host::callback::OperatorCall| {
            let asking = asking.clone();
            async move {
                #[derive(Serialize)]
                struct Asked<'a> {
                    name: &'a str,
                    value: &'a RawValue,
                    operand: &'a RawValue,
                }
                let asked = Asked { name: &call.name, value: raw(&call.value)?, operand: raw(&call.operand)? };
                read(&asking.ask(json(&asked)?).await?)
            }
        });
        Ok(Box::new(|builder| builder.operator(name, operator)))
    };
    // SAFETY: as the caller's.
    unsafe { add(setup, function, UserData { pointer: user_data, release }, answer, part) }
}

/// A custom selector with this prefix. Question: `{"prefix", "call"}`; answer: the object that the prefix stands for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_selector(
    setup: *mut Setup,
    prefix: Text,
    function: Question,
    user_data: *mut c_void,
    release: Release,
    answer: *mut Answer,
) -> Status {
    let part = |asking: Asking| -> Result<Part, Problem> {
        // SAFETY: the caller promises a text for the time of the call.
        let prefix = unsafe { prefix.need("prefix") }?.to_owned();
        let selector = Callback::from_async(move |call: edictum_host::callback::SelectorCall| {
            let asking = asking.clone();
            async move {
                #[derive(Serialize)]
                struct Asked<'a> {
                    prefix: &'a str,
                    call: &'a RawValue,
                }
                let asked = Asked { prefix: &call.prefix, call: raw(&call.call)? };
                asking.ask(json(&asked)?).await
            }
        });
        Ok(Box::new(|builder| builder.selector(prefix, selector)))
    };
    // SAFETY: as the caller's.
    unsafe { add(setup, function, UserData { pointer: user_data, release }, answer, part) }
}

/// A hook, after those before it. `place`: `{"name", "tools" (glob; default *), "before", "after"}` (JSON). Question:
/// `{"name", "phase": "before" | "after", "call", "output"?}`; answer: `"pass"`, `"skip"` or `{"refuse": why}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_hook(
    setup: *mut Setup,
    place: Text,
    function: Question,
    user_data: *mut c_void,
    release: Release,
    answer: *mut Answer,
) -> Status {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Place {
        name: String,
        tools: Option<String>,
        #[serde(default)]
        before: bool,
        #[serde(default)]
        after: bool,
    }
    let part = |asking: Asking| -> Result<Part, Problem> {
        // SAFETY: the caller promises a text for the time of the call.
        let place: Place = serde_json::from_str(unsafe { place.need("place") }?)
            .map_err(|error| Problem::argument(format!("`place`: {error}")))?;
        let Place { name, tools, before, after } = place;
        let place = HookPlace { name, tools: tools.unwrap_or_else(|| "*".to_owned()), before, after };
        let hook = Callback::from_async(move |call: HookCall| {
            let asking = asking.clone();
            async move { said(&asking.ask(hook_question(&call)?).await?) }
        });
        Ok(Box::new(|builder| builder.hook(place, hook)))
    };
    // SAFETY: as the caller's.
    unsafe { add(setup, function, UserData { pointer: user_data, release }, answer, part) }
}

/// Says whether a tool succeeded, instead of the heuristic. Question: `{"name": "", "phase": "success_check", "call",
/// "output"}`; answer: `true` or `false`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_success_check(
    setup: *mut Setup,
    function: Question,
    user_data: *mut c_void,
    release: Release,
    answer: *mut Answer,
) -> Status {
    let part = |asking: Asking| -> Result<Part, Problem> {
        let check = Callback::from_async(move |call: HookCall| {
            let asking = asking.clone();
            async move { read(&asking.ask(hook_question(&call)?).await?) }
        });
        Ok(Box::new(|builder| builder.success_check(check)))
    };
    // SAFETY: as the caller's.
    unsafe { add(setup, function, UserData { pointer: user_data, release }, answer, part) }
}

/// Says whose call it is, instead of the principal that was set. Question: the call; answer: an object, or `null` for nobody.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_principal_resolver(
    setup: *mut Setup,
    function: Question,
    user_data: *mut c_void,
    release: Release,
    answer: *mut Answer,
) -> Status {
    let part = |asking: Asking| -> Result<Part, Problem> {
        let resolver = Callback::from_async(move |call: String| {
            let asking = asking.clone();
            async move {
                let principal = asking.ask(call).await?;
                Ok((principal.trim() != "null").then_some(principal))
            }
        });
        Ok(Box::new(|builder| builder.principal_resolver(resolver)))
    };
    // SAFETY: as the caller's.
    unsafe { add(setup, function, UserData { pointer: user_data, release }, answer, part) }
}

/// Asks a person, in `edictum_guard_wait`. Question: `{"call_id", "approval"}`; answer: as `outcome` of
/// `edictum_guard_settle`. It has until the deadline of the approval.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_approver(
    setup: *mut Setup,
    function: Question,
    user_data: *mut c_void,
    release: Release,
    answer: *mut Answer,
) -> Status {
    let part = |asking: Asking| -> Result<Part, Problem> {
        let approver = Callback::from_async(move |request: edictum_host::callback::ApprovalRequest| {
            let asking = asking.clone();
            async move {
                #[derive(Serialize)]
                struct Asked<'a> {
                    call_id: &'a str,
                    approval: &'a RawValue,
                }
                let asked = Asked { call_id: &request.call_id, approval: raw(&request.approval)? };
                Ok(read::<Approval>(&asking.ask(json(&asked)?).await?)?.into())
            }
        });
        Ok(Box::new(|builder| builder.approver(approver)))
    };
    // SAFETY: as the caller's.
    unsafe { add(setup, function, UserData { pointer: user_data, release }, answer, part) }
}

/// Takes events of the decision log (JSON each), in this order, on a thread that decides: it only puts them somewhere, and
/// says whether they are kept. With the option `decision_log_required` a call whose events are not kept is blocked.
pub type Sink = Option<unsafe extern "C" fn(user_data: *mut c_void, events: *const Text, count: usize) -> bool>;

struct Log {
    function: unsafe extern "C" fn(*mut c_void, *const Text, usize) -> bool,
    user_data: UserData,
}

impl EventSink for Log {
    fn emit(&self, events: &[String]) -> Result<(), String> {
        let events: Vec<Text> = events.iter().map(|event| Text::of(event)).collect();
        // SAFETY: the program's function with the program's pointer; the events outlive the call.
        let kept = unsafe { (self.function)(self.user_data.pointer, events.as_ptr(), events.len()) };
        if kept { Ok(()) } else { Err("the sink of the program did not keep them".to_owned()) }
    }
}

/// Where the decision log goes, instead of the buffer that `events` reads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_sink(
    setup: *mut Setup,
    function: Sink,
    user_data: *mut c_void,
    release: Release,
    answer: *mut Answer,
) -> Status {
    let user_data = UserData { pointer: user_data, release };
    let work = || {
        // SAFETY: the caller promises a setup that nobody else uses, or NULL.
        let setup = unsafe { setup.as_mut() }.ok_or_else(|| Problem::argument("`setup` is missing"))?;
        let function = function.ok_or_else(|| Problem::argument("the function is missing"))?;
        let log = Arc::new(Log { function, user_data });
        setup.parts.push(Box::new(|builder| builder.sink(log)));
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

/// Is told of every decision, also of one that a deadline has made: `{"call", "call_id", "action": "allow" | "block" | "ask",
/// "observed", "policy_error", "reason", "name", "detail"}`. The call is as it came, not redacted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_on_decision(
    setup: *mut Setup,
    function: Notice,
    user_data: *mut c_void,
    release: Release,
    answer: *mut Answer,
) -> Status {
    let user_data = UserData { pointer: user_data, release };
    let work = || {
        // SAFETY: the caller promises a setup that nobody else uses, or NULL.
        let setup = unsafe { setup.as_mut() }.ok_or_else(|| Problem::argument("`setup` is missing"))?;
        let function = function.ok_or_else(|| Problem::argument("the function is missing"))?;
        let listener = move |call: &str, decision: &Decision| {
            // The whole of it is moved in, so that it is released with the guard.
            let user_data = &user_data;
            if let Ok(notice) = notice(call, decision) {
                // SAFETY: the program's function with the program's pointer; the text outlives the call.
                unsafe { function(user_data.pointer, Text::of(&notice)) };
            }
        };
        setup.parts.push(Box::new(|builder| builder.on_decision(listener)));
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

/// Which agent it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_agent_id(setup: *mut Setup, agent_id: Text, answer: *mut Answer) -> Status {
    // SAFETY: as the caller's.
    unsafe { name(setup, agent_id, answer, GuardBuilder::agent_id) }
}

/// The session of calls that name none; else it is a new one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_session_id(setup: *mut Setup, session_id: Text, answer: *mut Answer) -> Status {
    // SAFETY: as the caller's.
    unsafe { name(setup, session_id, answer, GuardBuilder::session_id) }
}

unsafe fn name(
    setup: *mut Setup,
    name: Text,
    answer: *mut Answer,
    part: fn(GuardBuilder, String) -> GuardBuilder,
) -> Status {
    let work = || {
        // SAFETY: the caller promises a setup that nobody else uses, or NULL, and a text for the time of the call.
        let (setup, name) = unsafe { (setup.as_mut(), name.need("name")?.to_owned()) };
        let setup = setup.ok_or_else(|| Problem::argument("`setup` is missing"))?;
        setup.parts.push(Box::new(move |builder| part(builder, name)));
        Ok(Given::Nothing)
    };
    // SAFETY: the caller promises room for an answer, or NULL.
    unsafe { answering(answer, work) }
}

/// How many bytes of events the guard keeps for `events` (default 4 MiB); older ones give way to a record of the gap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_setup_event_bytes(setup: *mut Setup, bytes: usize) {
    // SAFETY: the caller promises a setup that nobody else uses, or NULL.
    if let Some(setup) = unsafe { setup.as_mut() } {
        setup.event_bytes = bytes;
    }
}

fn hook_question(call: &HookCall) -> Answered<String> {
    #[derive(Serialize)]
    struct Asked<'a> {
        name: &'a str,
        phase: &'static str,
        call: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<&'a RawValue>,
    }
    let phase = match call.phase {
        Phase::Before => "before",
        Phase::After => "after",
        Phase::SuccessCheck => "success_check",
    };
    let output = call.output.as_deref().map(raw).transpose()?;
    json(&Asked { name: &call.name, phase, call: raw(&call.call)?, output })
}

fn said(answer: &str) -> Answered<Verdict> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Said {
        Pass,
        Skip,
        Refuse(String),
    }
    Ok(match read(answer)? {
        Said::Pass => Verdict::Pass,
        Said::Skip => Verdict::Skip,
        Said::Refuse(reason) => Verdict::Refuse(reason),
    })
}

fn notice(call: &str, decision: &Decision) -> Answered<String> {
    #[derive(Serialize)]
    struct Told<'a> {
        call: &'a RawValue,
        call_id: &'a str,
        action: &'static str,
        observed: bool,
        policy_error: bool,
        reason: &'a str,
        name: &'a str,
        detail: &'a RawValue,
    }
    let action = match decision.action {
        edictum_host::Action::Allow => "allow",
        edictum_host::Action::Block => "block",
        edictum_host::Action::Ask => "ask",
    };
    json(&Told {
        call: raw(call)?,
        call_id: &decision.call_id,
        action,
        observed: decision.observed,
        policy_error: decision.policy_error,
        reason: &decision.reason,
        name: &decision.name,
        detail: raw(&decision.detail)?,
    })
}

/// A text that is JSON already, to go into another as it is.
fn raw(text: &str) -> Answered<&RawValue> {
    serde_json::from_str(text).map_err(|_| "the question is not JSON".to_owned())
}

fn json(question: &impl Serialize) -> Answered<String> {
    serde_json::to_string(question).map_err(|_| "the question cannot be written".to_owned())
}

/// The parser's words may quote the answer: they are left out.
fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Answered<T> {
    serde_json::from_str(answer).map_err(|_| "the answer is not what was asked for".to_owned())
}

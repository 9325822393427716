//! What comes back: a status, and in one piece of memory all texts of the result or of the error.

use std::ptr;

use edictum_host::driver::Refusal;
use edictum_host::{Action, Conclusion, Decision, Error};

use crate::boundary::enter;
use crate::guard::Guard;
use crate::text::Text;

/// How a function went. Anything but `OK` and `PENDING` is an error, and `text` of the answer says more.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// Under way: `done` will be called.
    Pending = 1,
    /// Documents, options or a command that the engine refuses; the code and all findings are in the text.
    Refused = 2,
    /// The caller's mistake.
    BadRequest = 3,
    /// No such open call, no such guard.
    NotFound = 4,
    /// Somebody else was faster, or the call is not in the state that this takes.
    Conflict = 5,
    /// A signature does not verify.
    Unauthorized = 6,
    /// This guard, or this host, cannot do it.
    Unsupported = 7,
    /// The guard has been closed.
    Closed = 8,
    /// The store failed, or a server cannot be reached.
    Unavailable = 9,
    /// A fault of this library.
    Internal = 10,
}

/// What happens to a call. Zero is the safe one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It must not run.
    Block = 0,
    /// It may run.
    Allow = 1,
    /// A person has to say so first.
    Ask = 2,
}

/// `flags` of a decision: allowed only because rules, or the guard, merely observe.
pub const FLAG_OBSERVED: u32 = 1;
/// `flags` of a decision: it comes from something broken, not from a rule.
pub const FLAG_POLICY_ERROR: u32 = 2;
/// `flags` of the end of a call: the tool succeeded.
pub const FLAG_SUCCESS: u32 = 4;
/// `flags` of the end of a call: every enforced postcondition held.
pub const FLAG_PASSED: u32 = 8;

/// An answer. Its texts live until `edictum_answer_free`; one that was handed to `done` lives for the time of that call. The
/// caller makes room for it and need not fill it.
///
/// An error: `text` is a JSON object with `code` (stable), `message`, and for documents `line`, `column`, `help`,
/// `diagnostics`. Which fields a result has is said at each function; the others are empty.
#[repr(C)]
pub struct Answer {
    /// How it went.
    pub status: Status,
    /// Of a decision.
    pub action: Verdict,
    /// `EDICTUM_FLAG_…`.
    pub flags: u32,
    /// JSON: the result; of a decision and of the end of a call its details.
    pub text: Text,
    /// Of a decision: the call.
    pub call_id: Text,
    /// Of a decision: what to tell the agent. Empty on a plain allow.
    pub reason: Text,
    /// Of a decision: rule id, limit, hook or stage. Empty on a plain allow. Of a summary: the revision.
    pub name: Text,
    /// JSON, or none. Of an ask: what to ask a person, redacted. Of the end of a call: what to hand to the agent instead of
    /// what the tool returned.
    pub value: Text,
    /// Of the end of a call: an array of strings for the agent (JSON).
    pub warnings: Text,
    /// Of `edictum_guard_open`: the guard, which is the caller's to free. `edictum_answer_free` does not touch it.
    pub guard: *mut Guard,
    /// The library's.
    pub memory: *mut Memory,
}

/// What the texts of an answer are in.
pub struct Memory(#[expect(dead_code, reason = "held for its texts")] Vec<String>);

/// What an operation gives.
pub(crate) enum Given {
    /// JSON.
    Text(String),
    Decision(Decision),
    Conclusion(Conclusion),
    Opened {
        guard: Box<Guard>,
        opened: String,
    },
    Summary {
        summary: String,
        revision: String,
    },
    Nothing,
}

/// Why it gives nothing.
#[derive(Debug)]
pub(crate) struct Problem {
    status: Status,
    document: Refusal,
}

pub(crate) type Outcome = Result<Given, Problem>;

impl Problem {
    pub fn argument(message: impl Into<String>) -> Self {
        Refusal::new("bad-request", message).into()
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Refusal::new("internal", message).into()
    }
}

impl From<Refusal> for Problem {
    fn from(document: Refusal) -> Self {
        let status = match document.code.as_str() {
            "bad-request" => Status::BadRequest,
            "not-found" => Status::NotFound,
            "conflict" => Status::Conflict,
            "unauthorized" => Status::Unauthorized,
            "unsupported" => Status::Unsupported,
            "closed" => Status::Closed,
            "unavailable" => Status::Unavailable,
            "internal" => Status::Internal,
            _ => Status::Refused,
        };
        Self { status, document }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Refusal::from(error).into()
    }
}

impl Answer {
    fn empty(status: Status) -> Self {
        Self {
            status,
            action: Verdict::Block,
            flags: 0,
            text: Text::NONE,
            call_id: Text::NONE,
            reason: Text::NONE,
            name: Text::NONE,
            value: Text::NONE,
            warnings: Text::NONE,
            guard: ptr::null_mut(),
            memory: ptr::null_mut(),
        }
    }

    /// That it is under way.
    pub(crate) fn pending() -> Self {
        Self::empty(Status::Pending)
    }

    pub(crate) fn new(outcome: Outcome) -> Self {
        match outcome {
            Ok(Given::Nothing) => Self::empty(Status::Ok),
            Ok(Given::Text(text)) => Self::with_text(Status::Ok, text),
            Ok(Given::Opened { guard, opened }) => {
                Self { guard: Box::into_raw(guard), ..Self::with_text(Status::Ok, opened) }
            }
            Ok(Given::Summary { summary, revision }) => Self {
                text: Text::of(&summary),
                name: Text::of(&revision),
                memory: memory(vec![summary, revision]),
                ..Self::empty(Status::Ok)
            },
            Ok(Given::Decision(decision)) => Self::decision(decision),
            Ok(Given::Conclusion(conclusion)) => Self::conclusion(conclusion),
            Err(problem) => Self::with_text(problem.status, problem.document.document()),
        }
    }

    fn with_text(status: Status, text: String) -> Self {
        Self { text: Text::of(&text), memory: memory(vec![text]), ..Self::empty(status) }
    }

    fn decision(decision: Decision) -> Self {
        let Decision { call_id, action, observed, policy_error, reason, name, detail, approval } = decision;
        let action = match action {
            Action::Allow => Verdict::Allow,
            Action::Block => Verdict::Block,
            Action::Ask => Verdict::Ask,
        };
        let flags = u32::from(observed) * FLAG_OBSERVED + u32::from(policy_error) * FLAG_POLICY_ERROR;
        Self {
            action,
            flags,
            text: Text::of(&detail),
            call_id: Text::of(&call_id),
            reason: Text::of(&reason),
            name: Text::of(&name),
            value: approval.as_deref().map_or(Text::NONE, Text::of),
            // Moving a string leaves its bytes where they are.
            memory: memory([detail, call_id, reason, name].into_iter().chain(approval).collect()),
            ..Self::empty(Status::Ok)
        }
    }

    fn conclusion(conclusion: Conclusion) -> Self {
        let Conclusion { success, passed, replacement, warnings, detail } = conclusion;
        let warnings = serde_json::Value::from(warnings).to_string();
        Self {
            flags: u32::from(success) * FLAG_SUCCESS + u32::from(passed) * FLAG_PASSED,
            text: Text::of(&detail),
            value: replacement.as_deref().map_or(Text::NONE, Text::of),
            warnings: Text::of(&warnings),
            memory: memory([detail, warnings].into_iter().chain(replacement).collect()),
            ..Self::empty(Status::Ok)
        }
    }

    /// Puts it where the caller wants it; without a place it is thrown away, and a guard with it.
    pub(crate) unsafe fn put(self, place: *mut Self) -> Status {
        let status = self.status;
        if place.is_null() {
            self.discard();
        } else {
            // SAFETY: not NULL, and the caller promises room for an answer. What is there is not read: it may be anything.
            unsafe { place.write(self) };
        }
        status
    }

    /// Nobody gets it.
    pub(crate) fn discard(mut self) {
        if !self.guard.is_null() {
            // SAFETY: made by `Box::into_raw` in `new`, and given to nobody.
            drop(unsafe { Box::from_raw(self.guard) });
        }
        self.free();
    }

    /// Frees its texts; a second time does nothing.
    pub(crate) fn free(&mut self) {
        if !self.memory.is_null() {
            // SAFETY: made by `memory`, and NULL once it is freed.
            drop(unsafe { Box::from_raw(self.memory) });
        }
        *self = Self { guard: self.guard, ..Self::empty(self.status) };
    }
}

fn memory(texts: Vec<String>) -> *mut Memory {
    Box::into_raw(Box::new(Memory(texts)))
}

/// Frees the texts of an answer; its status stays. NULL, and an answer that has been freed, are nothing to do. Not for an
/// answer in `done`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_answer_free(answer: *mut Answer) {
    enter((), || {
        // SAFETY: the caller promises an answer of this library, or NULL.
        if let Some(answer) = unsafe { answer.as_mut() } {
            answer.free();
        }
    });
}

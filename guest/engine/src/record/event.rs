//! Events of the decision log in wire form (wire.md §9.1): every member always there, `null` where there is nothing;
//! arguments, principal, reasons and messages redacted. The order of the events of a call is the pipeline's.

use crate::call::Subject;
use crate::inquiry::ApprovalOutcome;
use crate::json::Json;
use crate::json::write::{self, Object};
use crate::redaction::Redactor;

use super::time::iso8601;

/// Version of the record's layout.
pub const SCHEMA_VERSION: &str = "0.4.0";

/// What an event says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The call may run.
    Allowed,
    /// It must not.
    Blocked,
    /// It would not, if rules or guard did more than observe.
    WouldBlock,
    /// A person is asked.
    Asked,
    /// The person agreed.
    ApprovalGranted,
    /// The person, or nobody at all, did not.
    ApprovalBlocked,
    /// Nobody answered in time.
    ApprovalTimeout,
    /// The tool ran.
    Executed,
    /// The tool ran and failed, or its end is not known.
    Failed,
    /// A postcondition warned.
    PostconditionWarning,
}

impl Happened {
    /// The `action` of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "call_allowed",
            Self::Blocked => "call_blocked",
            Self::WouldBlock => "call_would_block",
            Self::Asked => "call_asked",
            Self::ApprovalGranted => "call_approval_granted",
            Self::ApprovalBlocked => "call_approval_blocked",
            Self::ApprovalTimeout => "call_approval_timeout",
            Self::Executed => "call_executed",
            Self::Failed => "call_failed",
            Self::PostconditionWarning => "postcondition_warning",
        }
    }
}

/// What is the same in all events of one step of a call.
#[derive(Debug)]
pub struct Log<'s> {
    /// The call; none when it could not be read.
    pub subject: Option<Subject<'s>>,
    /// The tool's name, also of a call that could not be read.
    pub tool: &'s str,
    /// The host's id of the call.
    pub call_id: &'s str,
    /// Its session.
    pub session_id: &'s str,
    /// SHA-256 hex of what judged it.
    pub policy_version: &'s str,
    /// The guard's mode.
    pub mode: &'s str,
    /// The guard's redaction policy.
    pub redactor: &'s Redactor,
    /// Milliseconds since 1970.
    pub now: u64,
    /// Leaves `event_id` out.
    pub bare: bool,
    /// Events that the call has had before.
    pub place: u32,
    /// The events of this step.
    pub events: Vec<Json>,
    /// Redacted arguments, once made.
    pub arguments: Option<String>,
}

/// What differs from event to event.
#[derive(Clone, Debug, Default)]
pub struct Entry<'e> {
    /// `decision_source`
    pub source: Option<&'e str>,
    /// `decision_name`
    pub name: Option<&'e str>,
    /// `reason`
    pub reason: Option<&'e str>,
    /// JSON list; none: empty.
    pub hooks: Option<&'e str>,
    /// JSON list; none: empty.
    pub rules: Option<&'e str>,
    /// Overrides the guard's mode, for rules that only observe.
    pub observing: bool,
    /// `policy_error`
    pub policy_error: bool,
    /// `tool_success` and `postconditions_passed`
    pub ran: Option<(bool, bool)>,
    /// `error`
    pub error: Option<&'e str>,
    /// `session_attempt_count`
    pub attempts: u64,
    /// `session_execution_count`
    pub executions: u64,
    /// JSON map.
    pub workflow: Option<&'e str>,
    /// Who decided, and how.
    pub approval: Option<&'e ApprovalOutcome>,
}

impl Log<'_> {
    /// Writes an event.
    pub fn write(&mut self, happened: Happened, entry: &Entry<'_>) {
        let arguments = self.take_arguments();
        let mut rules = entry.rules.unwrap_or("[]");
        let mut text = self.event(happened, entry, &arguments, rules);
        if text.len() > crate::redaction::MAX_EVENT_BYTES {
            text = self.event(happened, entry, TOO_LARGE, rules);
        }
        if text.len() > crate::redaction::MAX_EVENT_BYTES {
            rules = "[]";
            text = self.event(happened, entry, TOO_LARGE, rules);
        }
        self.arguments = Some(arguments);
        self.events.push(text);
    }

    /// The number of events the call has had after this step.
    #[must_use]
    pub fn next_place(&self) -> u32 {
        self.place + self.events.len() as u32
    }

    fn take_arguments(&mut self) -> String {
        self.arguments.take().unwrap_or_else(|| {
            let mut out = String::new();
            match self.subject {
                Some(subject) => self.redactor.value(&mut out, crate::json::Value::Map(subject.call.args)),
                None => out.push_str("{}"),
            }
            out
        })
    }

    fn event(&self, happened: Happened, entry: &Entry<'_>, arguments: &str, rules: &str) -> String {
        let truncated = arguments == TOO_LARGE;
        let call = self.subject.map(|subject| subject.call);
        let mut out = String::with_capacity(512 + arguments.len() + rules.len());
        let text = |text: &str| self.redactor.text(text).into_owned();
        Object::write(&mut out, |event| {
            event.string("schema_version", SCHEMA_VERSION);
            if !self.bare {
                event.string("event_id", &format!("{}-{}", self.call_id, self.next_place()));
            }
            event.string("call_id", self.call_id);
            event.string("agent_id", call.map_or("", |call| call.agent_id));
            event.string("tool_name", self.tool);
            event.raw("tool_args", arguments);
            event.string("side_effect", call.map_or("irreversible", |call| call.side_effect.as_str()));
            event.string("environment", self.subject.map_or("", |subject| subject.environment));
            match self.subject.and_then(|subject| subject.principal) {
                Some(principal) => self.redactor.principal(event.key("principal"), principal),
                None => event.raw("principal", "null"),
            }
            event.string("action", happened.as_str());
            event.optional_string("decision_source", entry.source);
            event.optional_string("decision_name", entry.name);
            event.optional_string("reason", entry.reason.map(text).as_deref());
            event.raw("hooks_evaluated", entry.hooks.unwrap_or("[]"));
            event.raw("rules_evaluated", rules);
            event.string("mode", if entry.observing { "observe" } else { self.mode });
            event.string("policy_version", self.policy_version);
            event.string("timestamp", &iso8601(self.now));
            event.string("run_id", self.session_id);
            event.number("call_index", call.map_or(0, |call| call.call_index));
            event.optional_string("parent_call_id", call.and_then(|call| call.parent_call_id));
            optional_bool(event, "tool_success", entry.ran.map(|(success, _)| success));
            optional_bool(event, "postconditions_passed", entry.ran.map(|(_, passed)| passed));
            event.number("duration_ms", 0);
            event.optional_string("error", entry.error.map(text).as_deref());
            event.raw("result_summary", "null");
            event.number("session_attempt_count", entry.attempts);
            event.number("session_execution_count", entry.executions);
            event.bool("policy_error", entry.policy_error);
            event.string("session_id", self.session_id);
            event.optional_string("parent_session_id", call.and_then(|call| call.parent_session_id));
            event.raw("workflow", entry.workflow.unwrap_or("null"));
            if let Some(approval) = entry.approval {
                event.object("approval", |out| {
                    out.optional_string("approval_id", approval.approval_id.as_deref());
                    out.optional_string("approver", approval.approver.as_deref());
                    out.optional_string("reason", approval.reason.as_deref().map(text).as_deref());
                    out.optional_string("decided_at", approval.decided_at.as_deref());
                    out.optional_string("decided_via", approval.decided_via.as_deref());
                });
            }
            if truncated {
                event.bool("_truncated", true);
            }
        });
        out
    }
}

/// Stands for arguments that would make an event too large (engine.md §10.5).
const TOO_LARGE: &str = r#"{"_redacted":"payload exceeded 32KB"}"#;

fn optional_bool(event: &mut Object<'_>, key: &str, flag: Option<bool>) {
    match flag {
        Some(flag) => event.bool(key, flag),
        None => event.raw(key, "null"),
    }
}

/// The list of strings that an answer carries as `warnings`.
#[must_use]
pub fn strings(texts: &[String]) -> Json {
    write::strings(texts)
}

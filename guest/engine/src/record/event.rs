//! Events of the decision log in wire form (wire.md §9.1): every member always there, `null` where there is nothing;
//! arguments, principal, reasons and messages redacted. The order of the events of a call is the pipeline's.

use crate::call::Subject;
use crate::inquiry::ApprovalOutcome;
use crate::json::Json;
use crate::json::write::Object;
use crate::redaction::Redactor;
use crate::redaction::event::cap_event;

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
    /// A session has gone on to the next stage of its workflow.
    WorkflowStageAdvanced,
    /// A session has left the last stage.
    WorkflowCompleted,
    /// Somebody has set a session back, or on.
    WorkflowStateUpdated,
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
            Self::WorkflowStageAdvanced => "workflow_stage_advanced",
            Self::WorkflowCompleted => "workflow_completed",
            Self::WorkflowStateUpdated => "workflow_state_updated",
        }
    }
}

/// What is the same in all events of one step of a call.
#[derive(Debug)]
pub struct Log<'s> {
    /// The call, as much of it as could be read.
    pub subject: Subject<'s>,
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
        let event = self.event(happened, entry, &arguments);
        self.arguments = Some(arguments);
        self.events.push(cap_event(event));
    }

    /// The number of events the call has had after this step.
    #[must_use]
    pub fn next_place(&self) -> u32 {
        self.place + self.events.len() as u32
    }

    fn take_arguments(&mut self) -> String {
        self.arguments.take().unwrap_or_else(|| {
            let mut out = String::new();
            self.redactor.value(&mut out, crate::json::Value::Map(self.subject.call.args));
            out
        })
    }

    fn event(&self, happened: Happened, entry: &Entry<'_>, arguments: &str) -> String {
        let rules = entry.rules.unwrap_or("[]");
        let call = self.subject.call;
        let mut out = String::with_capacity(512 + arguments.len() + rules.len());
        let text = |text: &str| self.redactor.text(text).into_owned();
        Object::write(&mut out, |event| {
            event.string("schema_version", SCHEMA_VERSION);
            if !self.bare {
                event.string("event_id", &format!("{}-{}", call.call_id, self.next_place()));
            }
            event.string("call_id", call.call_id);
            event.string("agent_id", call.agent_id);
            event.string("tool_name", call.tool);
            event.raw("tool_args", arguments);
            event.string("side_effect", call.side_effect.as_str());
            event.string("environment", self.subject.environment);
            match self.subject.principal {
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
            event.string("run_id", call.session_id);
            event.number("call_index", call.call_index);
            event.optional_string("parent_call_id", call.parent_call_id);
            optional_bool(event, "tool_success", entry.ran.map(|(success, _)| success));
            optional_bool(event, "postconditions_passed", entry.ran.map(|(_, passed)| passed));
            event.number("duration_ms", 0);
            event.optional_string("error", entry.error.map(text).as_deref());
            event.raw("result_summary", "null");
            event.number("session_attempt_count", entry.attempts);
            event.number("session_execution_count", entry.executions);
            event.bool("policy_error", entry.policy_error);
            event.string("session_id", call.session_id);
            event.optional_string("parent_session_id", call.parent_session_id);
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
        });
        out
    }
}

fn optional_bool(event: &mut Object<'_>, key: &str, flag: Option<bool>) {
    match flag {
        Some(flag) => event.bool(key, flag),
        None => event.raw(key, "null"),
    }
}

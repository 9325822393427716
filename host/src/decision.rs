//! What comes back from a step: the decision about a call, and its end.

use std::sync::Arc;

use crate::bindings::decide;
use crate::call::member;

pub use crate::bindings::decide::Action;

/// What happens to a call. Only [`Action::Allow`] lets it run.
#[derive(Clone, PartialEq)]
pub struct Decision {
    /// The call.
    pub call_id: String,
    /// What happens.
    pub action: Action,
    /// Allowed only because rules, or the guard, merely observe.
    pub observed: bool,
    /// It comes from something broken, not from a rule.
    pub policy_error: bool,
    /// What to tell the agent. Empty on a plain allow.
    pub reason: String,
    /// Rule id, limit, hook or stage. Empty on a plain allow.
    pub name: String,
    /// JSON: `decision_source`, `rules_evaluated`, `workflow`, …
    pub detail: String,
    /// With [`Action::Ask`]: what to ask a person, redacted (JSON).
    pub approval: Option<String>,
}

impl Decision {
    /// `call`: the text that it is about.
    pub(crate) fn new(call_id: &str, call: &Arc<String>, decision: decide::Decision) -> (Self, Kept) {
        let kept = Kept { call: Arc::clone(call), ticket: Arc::new(decision.ticket), events: decision.events };
        let decision = Self {
            call_id: call_id.to_owned(),
            action: decision.action,
            observed: decision.observed,
            policy_error: decision.policy_error,
            reason: decision.reason,
            name: decision.name,
            detail: decision.detail,
            approval: decision.approval,
        };
        (decision, kept)
    }

    /// What the host says by itself when no instance can be had, in every mode.
    pub(crate) fn fixed(call_id: &str, call: &Arc<String>) -> (Self, Kept) {
        let kept = Kept { call: Arc::clone(call), ticket: Arc::default(), events: Vec::new() };
        let decision = Self {
            call_id: call_id.to_owned(),
            action: Action::Block,
            observed: false,
            policy_error: true,
            reason: "The call could not be judged and was blocked.".to_owned(),
            name: "host_fault".to_owned(),
            detail: r#"{"decision_source":"host","decision_name":"host_fault","rules_evaluated":[]}"#.to_owned(),
            approval: None,
        };
        (decision, kept)
    }

    /// Whether the call may run now.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.action == Action::Allow
    }

    /// A member of [`Decision::detail`], as JSON.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&str> {
        member(&self.detail, name)
    }
}

/// Without the records: they may quote arguments.
impl std::fmt::Debug for Decision {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Decision")
            .field("call_id", &self.call_id)
            .field("action", &self.action)
            .field("observed", &self.observed)
            .field("policy_error", &self.policy_error)
            .field("reason", &self.reason)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What is kept of a decision and not shown.
pub(crate) struct Kept {
    /// The text that the ticket belongs to.
    pub call: Arc<String>,
    pub ticket: Arc<String>,
    pub events: Vec<String>,
}

/// What a tool returned.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolOutcome {
    /// As JSON.
    pub output: String,
    /// None: the success heuristic, or the success check, decides.
    pub success: Option<bool>,
}

impl ToolOutcome {
    /// What a tool returned, as JSON.
    #[must_use]
    pub fn new(output: impl Into<String>) -> Self {
        Self { output: output.into(), success: None }
    }

    /// A tool that failed with this message.
    #[must_use]
    pub fn failure(message: &str) -> Self {
        Self { output: crate::call::quoted(message), success: Some(false) }
    }
}

/// Without the output.
impl std::fmt::Debug for ToolOutcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ToolOutcome").field("success", &self.success).finish_non_exhaustive()
    }
}

/// The end of a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// Whether the tool succeeded.
    pub success: bool,
    /// Whether every enforced postcondition held.
    pub passed: bool,
    /// What to hand to the agent instead of what the tool returned (JSON).
    pub replacement: Option<String>,
    /// For the agent.
    pub warnings: Vec<String>,
    /// JSON: `redacted`, `suppressed`, `policy_error`, `rules_evaluated`, `findings`.
    pub detail: String,
}

impl Conclusion {
    pub(crate) fn new(conclusion: decide::Conclusion) -> (Self, Vec<String>) {
        let shown = Self {
            success: conclusion.success,
            passed: conclusion.passed,
            replacement: conclusion.replacement,
            warnings: conclusion.warnings,
            detail: conclusion.detail,
        };
        (shown, conclusion.events)
    }

    /// What the host says by itself when no instance can be had, in every mode.
    pub(crate) fn fixed() -> Self {
        let text = "[OUTPUT SUPPRESSED] The output could not be judged.";
        Self {
            success: false,
            passed: false,
            replacement: Some(crate::call::quoted(text)),
            warnings: vec!["The output could not be judged and was suppressed.".to_owned()],
            detail: concat!(
                r#"{"redacted":false,"suppressed":true,"policy_error":true,"#,
                r#""rules_evaluated":[],"findings":[]}"#
            )
            .to_owned(),
        }
    }

    /// A member of [`Conclusion::detail`], as JSON.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&str> {
        member(&self.detail, name)
    }
}

/// Without texts that quote the output.
impl std::fmt::Debug for Conclusion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Conclusion")
            .field("success", &self.success)
            .field("passed", &self.passed)
            .field("replaced", &self.replacement.is_some())
            .finish_non_exhaustive()
    }
}

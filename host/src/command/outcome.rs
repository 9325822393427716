//! Decisions and ends of calls as JSON, and the words for them: the same for every verb that guards.

use edictum_host::callback::{ApprovalOutcome, ApprovalVerdict};
use edictum_host::{Action, Conclusion, Decision};
use serde_json::{Map, Value, json};

use super::Trouble;

pub fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Block => "block",
        Action::Ask => "ask",
    }
}

/// A decision, with what a person is asked when it is an `ask`.
pub fn decided(decision: &Decision) -> Map<String, Value> {
    let detail = |name| decision.detail(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let approval = decision.approval.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let members = [
        ("call_id", decision.call_id.as_str().into()),
        ("action", word(decision.action).into()),
        ("reason", decision.reason.as_str().into()),
        ("decision_source", detail("decision_source").unwrap_or_default()),
        ("decision_name", detail("decision_name").unwrap_or_default()),
        ("observed", decision.observed.into()),
        ("policy_error", decision.policy_error.into()),
    ];
    let approval = approval.map(|approval| ("approval", approval));
    let error = detail("error_detail").map(|error| ("error_detail", error));
    members.into_iter().chain(approval).chain(error).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The end of a call.
pub fn finished(call_id: &str, conclusion: &Conclusion) -> Value {
    json!({
        "call_id": call_id,
        "success": conclusion.success,
        "postconditions_passed": conclusion.passed,
        "warnings": conclusion.warnings,
        "redacted": flag(conclusion, "redacted"),
        "suppressed": flag(conclusion, "suppressed"),
        "replacement": conclusion.replacement.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()),
    })
}

/// A boolean of a conclusion's detail.
pub fn flag(conclusion: &Conclusion, name: &str) -> bool {
    conclusion.detail(name) == Some("true")
}

/// What a person said, from the words of an input.
pub fn approval(
    outcome: Option<&str>,
    approver: Option<String>,
    reason: Option<String>,
) -> Result<ApprovalOutcome, Trouble> {
    let verdict = match outcome {
        Some("approved") => ApprovalVerdict::Approved,
        Some("rejected") => ApprovalVerdict::Rejected,
        Some("timed_out") => ApprovalVerdict::TimedOut,
        _ => return Err(Trouble::Usage("`outcome` must be one of approved, rejected, timed_out".to_owned())),
    };
    Ok(ApprovalOutcome { verdict, approval_id: None, approver, reason, decided_at: None, decided_via: None })
}

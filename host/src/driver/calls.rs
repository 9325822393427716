//! `evaluate`, `begin`, `approve`, `finish`: a call from its dry run to its end.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Reply;
use super::protocol::{Refusal, Request, json, present};
use super::session::{Open, Session};
use crate::bindings::decide::{Action, ApprovalOutcome, ApprovalVerdict};
use crate::call::CallRequest;
use crate::callback::nobody_says;
use crate::decision::{Decision, ToolOutcome};

pub(super) async fn evaluate(session: &Session, request: &Request) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Evaluate<'l> {
        guard: String,
        #[serde(borrow)]
        call: &'l RawValue,
        #[serde(borrow, default, deserialize_with = "present")]
        output: Option<&'l RawValue>,
    }

    let Evaluate { guard, call, output } = request.fields()?;
    let open = session.guard(&guard)?;
    Ok(open.guard.evaluate(call.get(), output.map(RawValue::get)).await?)
}

pub(super) async fn begin(session: &Session, request: &Request) -> Result<Reply, Refusal> {
    #[derive(Deserialize)]
    struct Begin<'l> {
        guard: String,
        #[serde(borrow)]
        call: &'l RawValue,
        session_id: String,
        call_id: Option<String>,
        parent_session_id: Option<String>,
        hold: Option<bool>,
    }

    let Begin { guard, call, session_id, call_id, parent_session_id, hold } = request.fields()?;
    let open = session.guard(&guard)?;
    let call = CallRequest {
        call: call.get(),
        session_id: Some(&session_id),
        call_id: call_id.as_deref(),
        parent_session_id: parent_session_id.as_deref(),
    };
    let decision = open.guard.begin(call).await?;
    if decision.action != Action::Block {
        open.call_begins(&decision.call_id, &session_id);
    } else {
        open.call_ends(&decision.call_id);
    }
    if decision.action == Action::Ask && hold == Some(true) {
        return Ok(wait(open, decision.call_id));
    }
    Ok(Reply::Now(decided(&decision)))
}

pub(super) async fn approve(session: &Session, request: &Request) -> Result<Reply, Refusal> {
    #[derive(Deserialize)]
    struct Approve {
        guard: String,
        call_id: String,
        outcome: Option<Outcome>,
        approver: Option<String>,
        reason: Option<String>,
    }
    #[derive(Clone, Copy, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Outcome {
        Approved,
        Rejected,
        TimedOut,
    }

    let Approve { guard, call_id, outcome, approver, reason } = request.fields()?;
    let open = session.guard(&guard)?;
    let Some(outcome) = outcome else { return Ok(wait(open, call_id)) };
    let verdict = match outcome {
        Outcome::Approved => ApprovalVerdict::Approved,
        Outcome::Rejected => ApprovalVerdict::Rejected,
        Outcome::TimedOut => ApprovalVerdict::TimedOut,
    };
    let outcome = ApprovalOutcome { approver, reason, ..nobody_says(verdict) };
    let decision = open.guard.settle(&call_id, outcome).await?;
    if decision.action == Action::Block {
        open.call_ends(&call_id);
    }
    Ok(Reply::Now(decided(&decision)))
}

/// Answers when the call is settled, by another request or by its deadline.
fn wait(open: Open, call_id: String) -> Reply {
    let settled = open.guard.settled(&call_id);
    Reply::Later(Box::pin(async move {
        let decision = settled.await?;
        if decision.action == Action::Block {
            open.call_ends(&call_id);
        }
        Ok(decided(&decision))
    }))
}

/// What is shown of a decision.
fn decided(decision: &Decision) -> String {
    #[derive(Default, Deserialize)]
    struct Detail<'d> {
        #[serde(borrow, default)]
        decision_source: Option<&'d RawValue>,
        #[serde(borrow, default)]
        decision_name: Option<&'d RawValue>,
        #[serde(borrow, default)]
        rules_evaluated: Option<&'d RawValue>,
        #[serde(borrow, default)]
        workflow: Option<&'d RawValue>,
        #[serde(borrow, default)]
        error_detail: Option<&'d RawValue>,
    }
    #[derive(Deserialize, Serialize)]
    struct Approval<'d> {
        #[serde(borrow)]
        message: &'d RawValue,
        #[serde(borrow)]
        timeout: &'d RawValue,
        #[serde(borrow)]
        timeout_action: &'d RawValue,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        stage_id: Option<&'d RawValue>,
    }
    #[derive(Serialize)]
    struct Decided<'d> {
        call_id: &'d str,
        action: &'static str,
        reason: &'d str,
        decision_source: Option<&'d RawValue>,
        decision_name: Option<&'d RawValue>,
        observed: bool,
        policy_error: bool,
        rules_evaluated: &'d RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        approval: Option<Approval<'d>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        workflow: Option<&'d RawValue>,
        /// For people, not for the agent.
        #[serde(skip_serializing_if = "Option::is_none")]
        error_detail: Option<&'d RawValue>,
    }

    let detail: Detail<'_> = serde_json::from_str(&decision.detail).unwrap_or_default();
    let action = match decision.action {
        Action::Allow => "allow",
        Action::Block => "block",
        Action::Ask => "ask",
    };
    json(&Decided {
        call_id: &decision.call_id,
        action,
        reason: &decision.reason,
        decision_source: detail.decision_source,
        decision_name: detail.decision_name,
        observed: decision.observed,
        policy_error: decision.policy_error,
        rules_evaluated: detail.rules_evaluated.unwrap_or(empty_list()),
        approval: decision.approval.as_deref().and_then(|approval| serde_json::from_str(approval).ok()),
        workflow: detail.workflow,
        error_detail: detail.error_detail,
    })
}

pub(super) async fn finish(session: &Session, request: &Request) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Finish<'l> {
        guard: String,
        call_id: String,
        #[serde(borrow, default, deserialize_with = "present")]
        result: Option<&'l RawValue>,
        success: Option<bool>,
    }
    #[derive(Default, Deserialize)]
    struct Detail<'d> {
        #[serde(default)]
        redacted: bool,
        #[serde(default)]
        suppressed: bool,
        #[serde(borrow, default)]
        rules_evaluated: Option<&'d RawValue>,
        #[serde(borrow, default)]
        findings: Option<&'d RawValue>,
    }
    #[derive(Serialize)]
    struct Finished<'d> {
        success: bool,
        postconditions_passed: bool,
        warnings: &'d [String],
        result: &'d RawValue,
        redacted: bool,
        suppressed: bool,
        rules_evaluated: &'d RawValue,
        findings: &'d RawValue,
    }

    let Finish { guard, call_id, result, success } = request.fields()?;
    let open = session.guard(&guard)?;
    let result = result.unwrap_or(RawValue::NULL);
    let conclusion = open.guard.finish(&call_id, ToolOutcome { output: result.get().to_owned(), success }).await?;
    open.call_ends(&call_id);
    let replacement = conclusion.replacement.as_deref().map(serde_json::from_str::<&RawValue>);
    let result = match replacement {
        None => result,
        Some(replacement) => replacement.unwrap_or(RawValue::NULL),
    };
    let detail: Detail<'_> = serde_json::from_str(&conclusion.detail).unwrap_or_default();
    Ok(json(&Finished {
        success: conclusion.success,
        postconditions_passed: conclusion.passed,
        warnings: &conclusion.warnings,
        result,
        redacted: detail.redacted,
        suppressed: detail.suppressed,
        rules_evaluated: detail.rules_evaluated.unwrap_or(empty_list()),
        findings: detail.findings.unwrap_or(empty_list()),
    }))
}

fn empty_list() -> &'static RawValue {
    serde_json::from_str("[]").unwrap_or(RawValue::NULL)
}

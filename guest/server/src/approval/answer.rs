//! What the server says about a request for approval (wire.md §8.2). Letter by letter: a status that is not known agrees to
//! nothing (T92).

use edictum_engine::inquiry::{ApprovalOutcome, ApprovalVerdict};

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::outcome::Reply;
use crate::path::is_name;

/// Longest text that is taken over, in code points.
const MAX_TEXT: usize = 1000;

/// Where a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nobody has decided.
    Pending,
    /// Somebody has, or the server's time is over.
    Ended(ApprovalOutcome),
    /// A word that is not known; shown.
    Unknown(String),
}

/// The id in the answer to a creation.
///
/// # Errors
/// None, or one that cannot be part of an address (T96).
pub fn id(reply: &Reply) -> Result<String, Error> {
    let id = reply.map()?.get("id").and_then(|id| id.as_str()).filter(|id| is_name(id));
    id.map(str::to_owned).ok_or_else(|| reply.wrong("an `id` of 1 to 128 letters, digits, `.`, `_` and `-`"))
}

/// The status of a request.
///
/// # Errors
/// There is none (T95).
pub fn status(endpoint: &Endpoint, id: &str, reply: &Reply) -> Result<Said, Error> {
    let map = reply.map()?;
    let status = map.get("status").and_then(|status| status.as_str()).ok_or_else(|| reply.wrong("a text `status`"))?;
    let verdict = match status {
        "pending" => return Ok(Said::Pending),
        "approved" => ApprovalVerdict::Approved,
        "rejected" | "denied" => ApprovalVerdict::Rejected,
        "timed_out" | "timeout" => ApprovalVerdict::TimedOut,
        other => return Ok(Said::Unknown(endpoint.shown(other, 40))),
    };
    let text = |member: &str| {
        let text = map.get(member)?.as_str().filter(|text| !text.is_empty())?;
        Some(endpoint.shown(text, MAX_TEXT))
    };
    Ok(Said::Ended(ApprovalOutcome {
        verdict,
        approval_id: Some(id.to_owned()),
        approver: text("decided_by"),
        reason: text("decision_reason").or_else(|| text("reason")),
        decided_at: text("decided_at"),
        decided_via: text("decided_via"),
    }))
}

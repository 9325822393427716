//! The comparable form of answers about workflows. Form only, as in [`crate::differential::compare`]: names of actions,
//! absent against null, points in time. Of what the other runs prove already (counters in events, redacted arguments)
//! nothing is kept.

use super::session::TIME;
use crate::differential::compare::{action_name, nothing_is_null, pick, records, refused};
use crate::differential::datum::Datum;

/// What we say of a command that is no program. The words of the system behind it are not compared.
pub const NOT_RUN: &str = " could not be run";

/// A guard is open.
#[must_use]
pub fn opened() -> Datum {
    Datum::map([("opened", true.into())])
}

/// A workflow's state.
#[must_use]
pub fn state(text: &str) -> Datum {
    Datum::map([("state", text.into())])
}

/// The comparable form of a response to a request.
#[must_use]
pub fn canonical(request: &Datum, response: &Datum) -> Datum {
    if !response.flag("ok") {
        return refused();
    }
    let result = response.get("result").cloned().unwrap_or_default();
    match request.text("op") {
        "open" => opened(),
        "begin" | "approve" => decision(&result),
        "finish" => pick(&result, &["success"]),
        "workflow" => state(&timeless_text(response.text("line"))),
        "events" => Datum::list(result.list_of("events").iter().map(event)),
        _ => result,
    }
}

fn decision(result: &Datum) -> Datum {
    let names = ["action", "reason", "decision_source", "decision_name", "observed", "policy_error", "workflow"];
    let mut answer = pick(result, &names);
    nothing_is_null(&mut answer, &["reason", "decision_source", "decision_name"]);
    answer.set("rules_evaluated", records(result));
    timeless(&mut answer);
    if let Some(approval) = result.some("approval") {
        let mut approval = pick(approval, &["message", "timeout", "timeout_action", "stage_id"]);
        nothing_is_null(&mut approval, &["message"]);
        answer.set("approval", approval);
    }
    answer
}

const EVENT: &[&str] = &[
    "action",
    "call_id",
    "session_id",
    "parent_session_id",
    "tool_name",
    "decision_source",
    "decision_name",
    "reason",
    "mode",
    "policy_error",
    "tool_success",
    "workflow",
];

/// An event that says nothing but this.
#[must_use]
pub fn empty_event(action: &str, session: &str, mode: &str) -> Datum {
    let mut event = pick(&Datum::Null, EVENT);
    event.set("action", action);
    event.set("session_id", session);
    event.set("mode", mode);
    event.set("policy_error", false);
    event.set("rules_evaluated", Vec::new());
    event
}

fn event(of: &Datum) -> Datum {
    let mut event = pick(of, EVENT);
    event.set("action", action_name(of.text("action")));
    event.set("policy_error", of.flag("policy_error"));
    event.set("rules_evaluated", records(of));
    nothing_is_null(&mut event, &["reason", "decision_source", "decision_name", "call_id", "tool_name"]);
    // No call belongs to it; ours gives it an id all the same.
    if of.text("action") == "workflow_state_updated" {
        event.set("call_id", Datum::Null);
    }
    timeless(&mut event);
    event
}

/// Without points in time and words of the system.
fn timeless(of: &mut Datum) {
    of.each_string(&mut |text| {
        if text.starts_with("Workflow evaluation error: ")
            && let Some(at) = text.find(NOT_RUN)
        {
            text.truncate(at + NOT_RUN.len());
        }
    });
    for status in ["last_blocked_action", "last_recorded_evidence"] {
        if let Some(status) = of.get_mut("workflow").and_then(|workflow| workflow.get_mut(status))
            && is_time(status.text("timestamp"))
        {
            status.set("timestamp", TIME);
        }
    }
}

/// `2026-01-02T03:04:05.000006Z`, the fraction only when there is one (engine.md §13.1).
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    shape == "0000-00-00T00:00:00Z" || shape == "0000-00-00T00:00:00.000000Z" || text == TIME
}

/// The state in the text of a response, to the byte but for points in time.
fn timeless_text(line: &str) -> String {
    let Some((_, rest)) = line.split_once("\"result\":") else { return String::new() };
    let text = rest.trim().strip_suffix('}').unwrap_or(rest).trim_end();
    let mut parts = text.split("\"timestamp\": \"");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let (time, rest) = part.split_once('"').unwrap_or((part, ""));
        let time = if is_time(time) { TIME } else { time };
        out.push_str(&format!("\"timestamp\": \"{time}\"{rest}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_compared_to_the_byte_but_for_its_times() {
        let request = Datum::map([("op", "workflow".into())]);
        let state = |time: &str, rest: &str| {
            let line = format!(r#"{{"id": 1, "ok": true, "result": {{"a": {{"timestamp": "{time}"}}{rest}}}}}"#);
            canonical(&request, &Datum::map([("ok", true.into()), ("line", line.into())]))
        };
        let one = state("2026-01-02T03:04:05Z", "");
        assert_eq!(one, state("2026-01-02T03:04:05.000006Z", ""));
        assert_eq!(one.text("state"), r#"{"a": {"timestamp": "T"}}"#);
        assert_ne!(one, state("2026-01-02T03:04:05+00:00", ""));
        assert_ne!(one, state("2026-01-02T03:04:05Z", " "));
    }
}

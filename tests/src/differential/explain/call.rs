//! Calls that the two see differently before any rule does: calls that are none, and classes of tools.

use super::facts::{CallFacts, DryRun, Facts};
use super::policy::Policy;
use crate::differential::case::Case;
use crate::differential::datum::Datum;

/// Why a call is none: name and text of the block.
type Reason = Option<(&'static str, String)>;

/// The reference raises, and neither counts nor logs; ours blocks.
fn blocked(case: &Case, policy: &Policy, facts: &mut Facts, reason: impl Fn(&Datum) -> Reason) {
    for (step, request) in case.steps.iter().enumerate() {
        let Some(call) = request.get("call") else { continue };
        let Some(reason) = reason(call) else { continue };
        match request.text("op") {
            "begin" => {
                let event = Some(event(case, policy, request, call, reason.0));
                facts.calls.insert(step, CallFacts { event, invalid: Some(reason), ..CallFacts::default() });
            }
            "evaluate" => {
                facts.dry_runs.insert(step, DryRun { invalid: Some(reason.1), ..DryRun::default() });
            }
            _ => {}
        }
    }
}

/// An event of a call that the reference never logged.
fn event(case: &Case, policy: &Policy, request: &Datum, call: &Datum, name: &str) -> Datum {
    let settings = &case.opening.settings;
    let principal = call.get("principal").or_else(|| settings.get("principal")).cloned().unwrap_or_default();
    let environment = call.some("environment").or_else(|| settings.some("environment")).cloned();
    let mut event = Datum::map([
        ("run_id", request.get("session_id").cloned().unwrap_or_default()),
        ("call_id", request.get("call_id").cloned().unwrap_or_default()),
        ("call_index", 0.into()),
        ("parent_call_id", Datum::Null),
        ("session_id", request.get("session_id").cloned().unwrap_or_default()),
        ("parent_session_id", Datum::Null),
        ("tool_name", call.get("tool").cloned().unwrap_or_default()),
        ("tool_args", call.get("args").cloned().unwrap_or_default()),
        ("side_effect", "irreversible".into()),
        ("environment", environment.unwrap_or_else(|| "production".into())),
        ("principal", principal),
        ("policy_version", super::revision(&case.opening).into()),
    ]);
    let nothing = [
        "action",
        "decision_source",
        "decision_name",
        "reason",
        "workflow",
        "tool_success",
        "postconditions_passed",
        "error",
    ];
    for name in nothing {
        event.set(name, Datum::Null);
    }
    if matches!(name, "call_too_deep" | "duplicate_key") {
        // Of a text that cannot be read only whose call it is is believed: that is the host's to say.
        event.set("tool_name", "");
        event.set("tool_args", Datum::map([]));
        event.set("principal", Datum::Null);
    }
    if name == "invalid_command" {
        // What is no command is none, and none changes nothing.
        event.set("side_effect", "read");
    }
    event.set("hooks_evaluated", Vec::new());
    event.set("rules_evaluated", Vec::new());
    event.set("session_attempt_count", 0);
    event.set("session_execution_count", 0);
    event.set("mode", policy.mode.as_str());
    event.set("policy_error", true);
    event
}

/// Names that no tool can have.
pub fn tool_names(case: &Case, policy: &Policy, facts: &mut Facts) {
    blocked(case, policy, facts, |call| {
        let name = call.text("tool");
        let reason = if name.is_empty() {
            "the tool name is empty"
        } else if name.chars().any(char::is_control) {
            "the tool name has a control character or a line separator"
        } else if name.contains(['/', '\\']) {
            "the tool name has a path separator"
        } else {
            return None;
        };
        Some(("invalid_tool_name", reason.to_owned()))
    });
}

/// A shell command that is no string.
pub fn commands(case: &Case, policy: &Policy, facts: &mut Facts) {
    blocked(case, policy, facts, |call| {
        let command = call.at(&["args", "command"])?;
        let bad = call.text("tool") == "Bash" && !matches!(command, Datum::String(_));
        bad.then(|| ("invalid_command", "the command is not a string".to_owned()))
    });
}

/// Texts that are JSON only for some readers.
pub fn texts(case: &Case, policy: &Policy, facts: &mut Facts) {
    fn depth(value: &Datum) -> usize {
        match value {
            Datum::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Datum::Map(entries) => 1 + entries.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
            _ => 0,
        }
    }
    fn twice(value: &Datum) -> bool {
        match value {
            Datum::List(items) => items.iter().any(twice),
            Datum::Map(entries) => {
                let again = |(index, (key, value)): (usize, &(String, Datum))| {
                    twice(value) || entries.iter().take(index).any(|(other, _)| other == key)
                };
                entries.iter().enumerate().any(again)
            }
            _ => false,
        }
    }
    blocked(case, policy, facts, |call| {
        if depth(call) > 100 {
            return Some(("call_too_deep", "the call is nested too deeply".to_owned()));
        }
        twice(call).then(|| ("duplicate_key", "the call has a map with the same key twice".to_owned()))
    });
}

/// Commands that the reference takes for reading.
pub fn classes(case: &Case, _: &Policy, facts: &mut Facts) {
    const CHANGING: &[&str] = &[
        "cat f & rm x",
        "find . -delete",
        "find . -exec rm {} +",
        "git branch -D main",
        "git tag -d v1",
        "git remote add o u",
        "date -s now",
        "tree -o f",
        "git log --output=x",
        "rg --pre x y",
        "cat <x",
    ];
    for (step, call) in &mut facts.calls {
        let seen = case.steps.get(*step).and_then(|request| request.get("call"));
        let Some(seen) = seen.filter(|seen| seen.text("tool") == "Bash") else { continue };
        let command = seen.at(&["args", "command"]).and_then(Datum::as_str).unwrap_or("");
        if let (true, Some(event)) = (CHANGING.contains(&command), &mut call.event) {
            event.set("side_effect", "irreversible");
        }
    }
}

/// Classes that only a proposed file declares.
pub fn proposed_classes(case: &Case, policy: &Policy, facts: &mut Facts) {
    for (step, call) in &mut facts.calls {
        let tool = case.steps.get(*step).and_then(|request| request.at(&["call", "tool"])).and_then(Datum::as_str);
        let Some(tool) = tool.filter(|tool| *tool != "Bash" && policy.proposed_tools.iter().any(|name| name == tool))
        else {
            continue;
        };
        let enforced = case.opening.documents.iter().enumerate().rev();
        let enforced = enforced.filter(|(index, document)| *index == 0 || !document.content.flag("observe_alongside"));
        let class = enforced.filter_map(|(_, document)| document.content.at(&["tools", tool, "side_effect"])).next();
        let class = case.opening.settings.at(&["tools", tool, "side_effect"]).or(class);
        if let Some(event) = &mut call.event {
            event.set("side_effect", class.cloned().unwrap_or_else(|| "irreversible".into()));
        }
    }
}

//! What a tool that succeeded leaves behind in its session (engine.md §13.6).

use super::state::{MAX_ITEMS, State, Status, safe, valid};
use crate::call::Call;
use crate::json::{Builder, Literal, Value};
use crate::redaction::Redactor;

/// The tool whose file is evidence.
const READ: &str = "Read";
/// The tool whose command is evidence.
const SHELL: &str = "Bash";

/// Records what a call did in a stage. False: its evidence is not valid, nothing was recorded, and the session does not
/// move on either.
#[must_use]
pub fn record(state: &mut State, stage: &str, call: &Call<'_>, result: Option<Value<'_>>, timestamp: &str) -> bool {
    let file = call.file_path.filter(|path| call.tool == READ && !path.is_empty());
    let command = (call.tool == SHELL && !call.bash_command.is_empty()).then_some(call.bash_command);
    if file.or(command).is_some_and(|text| !valid(text)) {
        return false;
    }
    let summary = summary(call);
    let same =
        state.last_recorded_evidence.as_ref().is_some_and(|last| last.tool == call.tool && last.summary == summary);
    if !same {
        state.last_recorded_evidence =
            Some(Status { tool: call.tool.to_owned(), summary, message: None, timestamp: timestamp.to_owned() });
    }
    if let Some(path) = file {
        let reads = &mut state.evidence.reads;
        if reads.len() < MAX_ITEMS && !reads.iter().any(|read| read == path) {
            reads.push(path.to_owned());
        }
        return true;
    }
    if let Some(command) = command {
        push(&mut state.evidence.stage_calls, stage, command.to_owned());
    }
    if let Some(result @ Value::Map(_)) = result {
        push(&mut state.evidence.mcp_results, call.tool, sanitised(result));
    }
    true
}

fn push<T>(lists: &mut Vec<(String, Vec<T>)>, key: &str, item: T) {
    match lists.iter_mut().find(|(name, _)| name == key) {
        Some((_, items)) if items.len() >= MAX_ITEMS => {}
        Some((_, items)) => items.push(item),
        None => lists.push((key.to_owned(), vec![item])),
    }
}

/// A result as it is kept: null and texts that are no evidence become empty.
#[must_use]
pub fn sanitised(result: Value<'_>) -> Literal {
    let mut builder = Builder::new();
    builder.map();
    if let Value::Map(map) = result {
        for (key, value) in map.iter() {
            builder.key(key);
            match value {
                Value::Null => builder.string(""),
                Value::String(text) => builder.string(safe(text, "")),
                other => builder.value(other),
            }
        }
    }
    builder.end();
    builder.finish()
}

/// A call in a few words: its command, else its file, else its tool.
#[must_use]
pub fn summary(call: &Call<'_>) -> String {
    let what = if call.bash_command.is_empty() { call.file_path.unwrap_or_default() } else { call.bash_command };
    if what.is_empty() {
        return call.tool.to_owned();
    }
    // Always the built-in policy, whatever the guard was given (engine.md §10).
    safe(&Redactor::shared().text(what), call.tool).to_owned()
}

//! Where a session stands in a workflow, and its persisted form: the JSON of the Python SDK, to the byte
//! (engine.md §13.1). The camelCase form that the TypeScript SDK writes is read too.

use crate::json::write::ascii_string as ascii;
use crate::json::{Literal, Map, Tape, Value};

use super::advance::Move;
use super::definition::Workflow;

/// Evidence has at most so many items of a kind.
pub const MAX_ITEMS: usize = 1000;

/// An item of evidence, or a status text, has at most so many code points.
pub const MAX_TEXT: usize = 4096;

/// The only status of an approval that counts.
pub const APPROVED: &str = "approved";

/// Where a session stands.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Whose it is.
    pub session_id: String,
    /// Empty: the workflow is completed.
    pub active_stage: String,
    /// In the order in which they were left.
    pub completed_stages: Vec<String>,
    /// Stages that a person has agreed to.
    pub approvals: Vec<String>,
    /// What tools have done.
    pub evidence: Evidence,
    /// Why the last call was blocked.
    pub blocked_reason: Option<String>,
    /// What a person is asked.
    pub pending_approval: Option<PendingApproval>,
    /// The last call that was blocked.
    pub last_blocked_action: Option<Status>,
    /// The last evidence.
    pub last_recorded_evidence: Option<Status>,
}

/// What tools have done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Paths read, each once.
    pub reads: Vec<String>,
    /// Commands, by stage, duplicates kept.
    pub stage_calls: Vec<(String, Vec<String>)>,
    /// Structured results, by tool; every literal is a map.
    pub mcp_results: Vec<(String, Vec<Literal>)>,
}

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingApproval {
    /// The stage.
    pub stage_id: String,
    /// The question.
    pub message: String,
}

/// A call in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its tool.
    pub tool: String,
    /// Redacted command or path, else the tool.
    pub summary: String,
    /// Why it was blocked; none for evidence.
    pub message: Option<String>,
    /// ISO 8601 with `Z`.
    pub timestamp: String,
}

/// Why a persisted state cannot be used. The call is blocked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Not JSON, or not an object.
    #[error("workflow: the persisted state cannot be read")]
    Unreadable,
    /// It names no active stage, which would allow everything.
    #[error("workflow: the persisted state has no active stage")]
    NoStage,
    /// It names a stage that the workflow does not have.
    #[error("workflow: the persisted active stage `{0}` does not exist")]
    UnknownStage(String),
}

impl State {
    /// The state of a session that has done nothing.
    #[must_use]
    pub fn initial(workflow: &Workflow, session: &str) -> Self {
        Self {
            session_id: session.to_owned(),
            active_stage: workflow.stages.first().map(|stage| stage.id.clone()).unwrap_or_default(),
            completed_stages: Vec::new(),
            approvals: Vec::new(),
            evidence: Evidence::default(),
            blocked_reason: None,
            pending_approval: None,
            last_blocked_action: None,
            last_recorded_evidence: None,
        }
    }

    /// Reads a persisted state. What is of no use in it is dropped; what would open a gate is an error.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn read(workflow: &Workflow, session: &str, text: &str) -> Result<Self, StateError> {
        let tape = Tape::read(text).map_err(|_| StateError::Unreadable)?;
        let map = tape.root().as_map().ok_or(StateError::Unreadable)?;
        let active = either(map, "active_stage", "activeStage").and_then(Value::as_str).ok_or(StateError::NoStage)?;
        if !active.is_empty() && workflow.index(active).is_none() {
            return Err(StateError::UnknownStage(active.to_owned()));
        }
        let completed = strings(either(map, "completed_stages", "completedStages"));
        let approvals = map.get("approvals").and_then(Value::as_map);
        Ok(Self {
            session_id: session.to_owned(),
            active_stage: active.to_owned(),
            completed_stages: completed.into_iter().filter(|id| workflow.index(id).is_some()).collect(),
            approvals: approvals
                .iter()
                .flat_map(|map| map.iter())
                .filter(|(_, status)| status.as_str() == Some(APPROVED))
                .map(|(stage, _)| stage.to_owned())
                .collect(),
            evidence: map.get("evidence").and_then(Value::as_map).map(Evidence::read).unwrap_or_default(),
            blocked_reason: either(map, "blocked_reason", "blockedReason").and_then(Value::as_str).map(str::to_owned),
            pending_approval: either(map, "pending_approval", "pendingApproval")
                .and_then(Value::as_map)
                .and_then(PendingApproval::read),
            last_blocked_action: either(map, "last_blocked_action", "lastBlockedAction")
                .and_then(Value::as_map)
                .and_then(|map| Status::read(map, true)),
            last_recorded_evidence: either(map, "last_recorded_evidence", "lastRecordedEvidence")
                .and_then(Value::as_map)
                .and_then(|map| Status::read(map, false)),
        })
    }

    /// Whether a stage has been left.
    #[must_use]
    pub fn completed(&self, stage: &str) -> bool {
        self.completed_stages.iter().any(|id| id == stage)
    }

    /// Whether a person has agreed to leave a stage.
    #[must_use]
    pub fn approved(&self, stage: &str) -> bool {
        self.approvals.iter().any(|id| id == stage)
    }

    /// Marks a stage as left, once.
    pub fn complete(&mut self, stage: &str) {
        if !self.completed(stage) {
            self.completed_stages.push(stage.to_owned());
        }
    }

    /// The persisted form: keys in the reference's order, a space after commas and colons, ASCII only.
    #[must_use]
    pub fn write(&self) -> String {
        let mut out = String::with_capacity(512);
        out.push_str("{\"session_id\": ");
        ascii(&mut out, &self.session_id);
        out.push_str(", \"active_stage\": ");
        ascii(&mut out, &self.active_stage);
        out.push_str(", \"completed_stages\": ");
        list(&mut out, &self.completed_stages);
        out.push_str(", \"approvals\": ");
        map(&mut out, &self.approvals, |out, stage| (ascii(out, stage), out.push_str(": \"approved\"")).1);
        out.push_str(", \"evidence\": ");
        self.evidence.write(&mut out);
        out.push_str(", \"blocked_reason\": ");
        match &self.blocked_reason {
            Some(reason) => ascii(&mut out, reason),
            None => out.push_str("null"),
        }
        out.push_str(", \"pending_approval\": ");
        PendingApproval::write(self.pending_approval.as_ref(), &mut out);
        out.push_str(", \"last_blocked_action\": ");
        Status::write(self.last_blocked_action.as_ref(), &mut out);
        out.push_str(", \"last_recorded_evidence\": ");
        Status::write(self.last_recorded_evidence.as_ref(), &mut out);
        out.push('}');
        out
    }

    /// What the decision log shows of it (engine.md §13.8); in an event about a stage that was left, also which.
    #[must_use]
    pub fn snapshot(&self, workflow: &Workflow, moved: Option<&Move>) -> String {
        let mut out = String::with_capacity(256);
        crate::json::write::Object::write(&mut out, |snapshot| {
            snapshot.string("name", &workflow.name);
            snapshot.string("active_stage", &self.active_stage);
            snapshot.raw("completed_stages", &crate::json::write::strings(&self.completed_stages));
            snapshot.optional_string("blocked_reason", self.blocked_reason.as_deref());
            let mut pending = String::new();
            PendingApproval::write(self.pending_approval.as_ref(), &mut pending);
            snapshot.raw("pending_approval", &pending);
            if !workflow.version.is_empty() {
                snapshot.string("version", &workflow.version);
            }
            for (key, status) in [
                ("last_blocked_action", &self.last_blocked_action),
                ("last_recorded_evidence", &self.last_recorded_evidence),
            ] {
                if status.is_some() {
                    let mut text = String::new();
                    Status::write(status.as_ref(), &mut text);
                    snapshot.raw(key, &text);
                }
            }
            if let Some(moved) = moved {
                snapshot.string("workflow_name", &workflow.name);
                snapshot.string("stage_id", &moved.from);
                if let Some(to) = &moved.to {
                    snapshot.string("to_stage_id", to);
                }
            }
        });
        out
    }
}

fn either<'v>(map: Map<'v>, snake: &str, camel: &str) -> Option<Value<'v>> {
    map.get(snake).or_else(|| map.get(camel))
}

fn strings(value: Option<Value<'_>>) -> Vec<String> {
    let list = value.and_then(Value::as_list);
    list.iter().flat_map(|list| list.iter()).filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Evidence {
    fn read(map: Map<'_>) -> Self {
        let calls = either(map, "stage_calls", "stageCalls").and_then(Value::as_map);
        let results = either(map, "mcp_results", "mcpResults").and_then(Value::as_map);
        Self {
            reads: strings(map.get("reads")),
            stage_calls: calls
                .iter()
                .flat_map(|map| map.iter())
                .map(|(stage, commands)| (stage.to_owned(), strings(Some(commands))))
                .collect(),
            mcp_results: results
                .iter()
                .flat_map(|map| map.iter())
                .filter_map(|(tool, results)| {
                    let results = results.as_list()?.iter();
                    Some((tool.to_owned(), results.map(super::evidence::sanitised).collect()))
                })
                .collect(),
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str("{\"reads\": ");
        list(out, &self.reads);
        out.push_str(", \"stage_calls\": ");
        map(out, &self.stage_calls, |out, (stage, commands)| {
            ascii(out, stage);
            out.push_str(": ");
            list(out, commands);
        });
        out.push_str(", \"mcp_results\": ");
        map(out, &self.mcp_results, |out, (tool, results)| {
            ascii(out, tool);
            out.push_str(": [");
            for (place, result) in results.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                spaced(out, result.root());
            }
            out.push(']');
        });
        out.push('}');
    }

    /// Commands recorded in a stage.
    #[must_use]
    pub fn commands(&self, stage: &str) -> &[String] {
        self.stage_calls.iter().find(|(id, _)| id == stage).map_or(&[], |(_, commands)| commands.as_slice())
    }

    /// Results recorded of a tool.
    #[must_use]
    pub fn results(&self, tool: &str) -> &[Literal] {
        self.mcp_results.iter().find(|(name, _)| name == tool).map_or(&[], |(_, results)| results.as_slice())
    }
}

/// A value with a space after commas and colons, ASCII only.
fn spaced(out: &mut String, value: Value<'_>) {
    match value {
        Value::String(text) => ascii(out, text),
        Value::List(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                spaced(out, item);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (place, ((key, item), (_, raw))) in entries.iter().zip(entries.raw_entries()).enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                ascii(out, key);
                out.push_str(": ");
                if matches!(item, Value::Number(_)) { out.push_str(raw) } else { spaced(out, item) }
            }
            out.push('}');
        }
        other => crate::json::write::value(out, other),
    }
}

fn list(out: &mut String, items: &[String]) {
    out.push('[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        ascii(out, item);
    }
    out.push(']');
}

fn map<T>(out: &mut String, entries: &[T], mut entry: impl FnMut(&mut String, &T)) {
    out.push('{');
    for (place, item) in entries.iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        entry(out, item);
    }
    out.push('}');
}

impl PendingApproval {
    /// A question, its texts made safe.
    #[must_use]
    pub fn new(stage: &str, message: &str) -> Self {
        Self { stage_id: safe(stage, "").to_owned(), message: safe(message, "").to_owned() }
    }

    fn read(map: Map<'_>) -> Option<Self> {
        let required = map.get("required").and_then(Value::as_bool) == Some(true);
        let text = |value: Option<Value<'_>>| value.and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
        required.then(|| Self::new(&text(either(map, "stage_id", "stageId")), &text(map.get("message"))))
    }

    fn write(pending: Option<&Self>, out: &mut String) {
        let Some(pending) = pending else { return out.push_str("{\"required\": false}") };
        out.push_str("{\"required\": true, \"stage_id\": ");
        ascii(out, &pending.stage_id);
        out.push_str(", \"message\": ");
        ascii(out, &pending.message);
        out.push('}');
    }
}

impl Status {
    fn read(map: Map<'_>, with_message: bool) -> Option<Self> {
        let text = |key| map.get(key).and_then(Value::as_str).map(|text| safe(text, "").to_owned());
        let filled = |key| text(key).filter(|text: &String| !text.is_empty());
        Some(Self {
            tool: filled("tool")?,
            summary: filled("summary")?,
            message: if with_message { Some(text("message").unwrap_or_default()) } else { None },
            timestamp: filled("timestamp")?,
        })
    }

    fn write(status: Option<&Self>, out: &mut String) {
        let Some(status) = status else { return out.push_str("null") };
        out.push_str("{\"tool\": ");
        ascii(out, &status.tool);
        out.push_str(", \"summary\": ");
        ascii(out, &status.summary);
        if let Some(message) = &status.message {
            out.push_str(", \"message\": ");
            ascii(out, message);
        }
        out.push_str(", \"timestamp\": ");
        ascii(out, &status.timestamp);
        out.push('}');
    }
}

/// Whether a text may be evidence: not too long, no control characters.
#[must_use]
pub fn valid(text: &str) -> bool {
    text.chars().nth(MAX_TEXT).is_none() && !text.contains(|character| matches!(character, '\0'..='\x1f' | '\x7f'))
}

/// The text, or `fallback` when it may not be evidence.
#[must_use]
pub fn safe<'t>(text: &'t str, fallback: &'t str) -> &'t str {
    if valid(text) { text } else { fallback }
}

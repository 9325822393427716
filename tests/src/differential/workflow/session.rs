//! Where a session stands, as the model keeps it, and how the reference writes it down (engine.md §13.1). Times are left
//! out: every timestamp is `T`.

use std::fmt::Write as _;

use super::definition::Definition;
use super::guard::Semantics;
use super::walk::{Call, Trouble};
use crate::differential::datum::Datum;

/// What stands for every point in time.
pub const TIME: &str = "T";

/// Items of evidence of a kind (engine.md §13.6).
pub const MAX_ITEMS: usize = 1000;

/// Code points of a text of evidence.
pub const MAX_TEXT: usize = 4096;

/// A session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The active stage; empty: completed.
    pub active: String,
    /// In the order in which they were left.
    pub completed: Vec<String>,
    /// By stage.
    pub approvals: Vec<(String, String)>,
    /// Paths.
    pub reads: Vec<String>,
    /// Commands by stage.
    pub commands: Vec<(String, Vec<String>)>,
    /// Results by tool.
    pub results: Vec<(String, Vec<Datum>)>,
    /// Why the last call was blocked.
    pub blocked: Option<String>,
    /// Stage and message of an approval.
    pub pending: Option<(String, String)>,
    /// Tool, summary, message.
    pub last_blocked: Option<[String; 3]>,
    /// Tool, summary.
    pub last_evidence: Option<[String; 2]>,
}

/// Whether a text may be evidence.
#[must_use]
pub fn valid(text: &str) -> bool {
    text.chars().count() <= MAX_TEXT && !text.chars().any(|char| char < ' ' || char == '\u{7f}')
}

/// The text, or nothing when it may not be evidence.
#[must_use]
pub fn safe(text: &str) -> &str {
    if valid(text) { text } else { "" }
}

impl Session {
    /// A session that has done nothing.
    #[must_use]
    pub fn new(definition: &Definition, id: &str) -> Self {
        let active = definition.stages.first().map(|stage| stage.id.clone()).unwrap_or_default();
        Self { id: id.to_owned(), active, ..Self::default() }
    }

    /// Reads a stored state.
    ///
    /// # Errors
    /// Its active stage does not exist; for us also when there is none.
    pub fn read(definition: &Definition, id: &str, stored: &Datum, semantics: Semantics) -> Result<Self, Trouble> {
        let active = match stored.get("active_stage") {
            Some(Datum::String(active)) => active.as_str(),
            _ if semantics.needs_active_stage => return Err(Trouble::NoStage(String::new())),
            _ => "",
        };
        if !active.is_empty() && definition.index(active).is_none() {
            return Err(Trouble::NoStage(active.to_owned()));
        }
        let strings = |value: Option<&Datum>| -> Vec<String> {
            let items = value.map_or(&[][..], Datum::items).iter();
            items.filter_map(Datum::as_str).map(str::to_owned).collect()
        };
        let known = |id: &String| !semantics.keeps_only_known || definition.index(id).is_some();
        let granted = |status: &str| !semantics.keeps_only_known || status == "approved";
        let text = |of: &Datum, name: &str| of.text(name).to_owned();
        let evidence = stored.some("evidence").cloned().unwrap_or_default();
        let lists = |name: &str| evidence.some(name).cloned().unwrap_or_default();
        let approvals = stored.some("approvals").map_or(&[][..], Datum::entries).iter();
        let approvals = approvals.filter_map(|(id, status)| Some((id.clone(), status.as_str()?.to_owned())));
        let pending = stored.some("pending_approval").filter(|pending| pending.flag("required"));
        let blocked = stored.some("last_blocked_action");
        let recorded = stored.some("last_recorded_evidence");
        Ok(Self {
            id: id.to_owned(),
            active: active.to_owned(),
            completed: strings(stored.get("completed_stages")).into_iter().filter(known).collect(),
            approvals: approvals.filter(|(_, status)| granted(status)).collect(),
            reads: strings(evidence.get("reads")),
            commands: lists("stage_calls")
                .entries()
                .iter()
                .map(|(stage, commands)| (stage.clone(), strings(Some(commands))))
                .collect(),
            results: lists("mcp_results")
                .entries()
                .iter()
                .map(|(tool, results)| (tool.clone(), results.items().iter().map(sanitised).collect()))
                .collect(),
            blocked: stored.some("blocked_reason").and_then(Datum::as_str).map(str::to_owned),
            pending: pending.map(|pending| (text(pending, "stage_id"), text(pending, "message"))),
            last_blocked: blocked.map(|it| [text(it, "tool"), text(it, "summary"), text(it, "message")]),
            last_evidence: recorded.map(|it| [text(it, "tool"), text(it, "summary")]),
        })
    }

    /// Whether a stage was left.
    #[must_use]
    pub fn has_completed(&self, stage: &str) -> bool {
        self.completed.iter().any(|id| id == stage)
    }

    /// Marks a stage as left.
    pub fn complete(&mut self, stage: &str) {
        if !self.has_completed(stage) {
            self.completed.push(stage.to_owned());
        }
    }

    /// What is known of a stage's approval; empty: nothing.
    #[must_use]
    pub fn approval(&self, stage: &str) -> &str {
        self.approvals.iter().find(|(id, _)| id == stage).map_or("", |(_, status)| status)
    }

    /// Commands recorded in a stage.
    #[must_use]
    pub fn commands_in(&self, stage: &str) -> &[String] {
        self.commands.iter().find(|(id, _)| id == stage).map_or(&[], |(_, commands)| commands)
    }

    /// Results recorded of a tool.
    #[must_use]
    pub fn results_of(&self, tool: &str) -> &[Datum] {
        self.results.iter().find(|(name, _)| name == tool).map_or(&[], |(_, results)| results)
    }

    /// A person agrees. False: there is no such stage.
    pub fn approve(&mut self, definition: &Definition, stage: &str) -> bool {
        if definition.index(stage).is_none() {
            return false;
        }
        match self.approvals.iter_mut().find(|(id, _)| id == stage) {
            Some((_, status)) => "approved".clone_into(status),
            None => self.approvals.push((stage.to_owned(), "approved".to_owned())),
        }
        self.clear();
        true
    }

    /// Back to a stage (engine.md §13.7). False: there is none.
    pub fn reset(&mut self, definition: &Definition, stage: &str) -> bool {
        let Some(at) = definition.index(stage) else { return false };
        self.moved(definition, at);
        let gone = definition.stages.get(at..).unwrap_or_default();
        let is_gone = |id: &str| gone.iter().any(|stage| stage.id == id);
        self.approvals.retain(|(id, _)| !is_gone(id));
        self.commands.retain(|(id, _)| !is_gone(id));
        if at == 0 {
            self.reads.clear();
            self.results.clear();
        } else {
            let matches = |tool: &str| gone.iter().any(|stage| stage.tools.iter().any(|(_, glob)| glob.is_match(tool)));
            self.results.retain(|(tool, _)| !matches(tool));
        }
        self.clear();
        true
    }

    /// To a stage (engine.md §13.7). False: there is none.
    pub fn set_stage(&mut self, definition: &Definition, stage: &str) -> bool {
        let Some(at) = definition.index(stage) else { return false };
        self.moved(definition, at);
        self.clear();
        self.last_blocked = None;
        let message = definition.stages.get(at).and_then(|stage| stage.approval.as_ref());
        if let Some(message) = message.filter(|_| self.approval(stage) != "approved") {
            self.pending = Some((stage.to_owned(), safe(message).to_owned()));
        }
        true
    }

    fn moved(&mut self, definition: &Definition, at: usize) {
        self.active = definition.stages.get(at).map(|stage| stage.id.clone()).unwrap_or_default();
        self.completed = definition.stages.iter().take(at).map(|stage| stage.id.clone()).collect();
    }

    fn clear(&mut self) {
        self.blocked = None;
        self.pending = None;
    }

    /// What a successful call leaves behind (engine.md §13.6). False: it may not be evidence, and nothing is recorded.
    pub fn record(&mut self, stage: &str, call: &Call, result: Option<&Datum>) -> bool {
        let is_read = call.tool == "Read" && !call.file.is_empty();
        let evidence = if is_read { &call.file } else { &call.command };
        if !valid(evidence) {
            return false;
        }
        self.last_evidence = Some([call.tool.clone(), call.summary()]);
        if is_read {
            if !self.reads.contains(&call.file) && self.reads.len() < MAX_ITEMS {
                self.reads.push(call.file.clone());
            }
            return true;
        }
        if !call.command.is_empty() {
            push(&mut self.commands, stage, call.command.clone());
        }
        if let Some(result @ Datum::Map(_)) = result {
            push(&mut self.results, &call.tool, sanitised(result));
        }
        true
    }

    /// What the audit shows of it (engine.md §13.8).
    #[must_use]
    pub fn snapshot(&self, definition: &Definition) -> Datum {
        let mut shown = Datum::map([
            ("name", definition.name.as_str().into()),
            ("active_stage", self.active.as_str().into()),
            ("completed_stages", texts(&self.completed)),
            ("blocked_reason", self.blocked.as_deref().map_or(Datum::Null, Datum::from)),
            ("pending_approval", self.pending_datum()),
        ]);
        if !definition.version.is_empty() {
            shown.set("version", definition.version.as_str());
        }
        if let Some(blocked) = self.blocked_datum() {
            shown.set("last_blocked_action", blocked);
        }
        if let Some(recorded) = self.recorded_datum() {
            shown.set("last_recorded_evidence", recorded);
        }
        shown
    }

    fn pending_datum(&self) -> Datum {
        match &self.pending {
            None => Datum::map([("required", false.into())]),
            Some((stage, message)) => Datum::map([
                ("required", true.into()),
                ("stage_id", stage.as_str().into()),
                ("message", message.as_str().into()),
            ]),
        }
    }

    fn blocked_datum(&self) -> Option<Datum> {
        let [tool, summary, message] = self.last_blocked.as_ref()?;
        Some(Datum::map([
            ("tool", tool.as_str().into()),
            ("summary", summary.as_str().into()),
            ("message", message.as_str().into()),
            ("timestamp", TIME.into()),
        ]))
    }

    fn recorded_datum(&self) -> Option<Datum> {
        let [tool, summary] = self.last_evidence.as_ref()?;
        Some(Datum::map([
            ("tool", tool.as_str().into()),
            ("summary", summary.as_str().into()),
            ("timestamp", TIME.into()),
        ]))
    }

    /// The persisted text, to the byte.
    #[must_use]
    pub fn text(&self) -> String {
        let approvals = self.approvals.iter().map(|(stage, status)| (stage.as_str(), status.as_str().into()));
        let commands = self.commands.iter().map(|(stage, commands)| (stage.as_str(), texts(commands)));
        let results = self.results.iter().map(|(tool, results)| (tool.as_str(), results.clone().into()));
        let evidence = Datum::map([
            ("reads", texts(&self.reads)),
            ("stage_calls", Datum::map(commands)),
            ("mcp_results", Datum::map(results)),
        ]);
        let state = Datum::map([
            ("session_id", self.id.as_str().into()),
            ("active_stage", self.active.as_str().into()),
            ("completed_stages", texts(&self.completed)),
            ("approvals", Datum::map(approvals)),
            ("evidence", evidence),
            ("blocked_reason", self.blocked.as_deref().map_or(Datum::Null, Datum::from)),
            ("pending_approval", self.pending_datum()),
            ("last_blocked_action", self.blocked_datum().unwrap_or_default()),
            ("last_recorded_evidence", self.recorded_datum().unwrap_or_default()),
        ]);
        let mut text = String::new();
        dumps(&mut text, &state);
        text
    }
}

fn push<T>(lists: &mut Vec<(String, Vec<T>)>, key: &str, item: T) {
    match lists.iter_mut().find(|(name, _)| name == key) {
        Some((_, items)) if items.len() >= MAX_ITEMS => {}
        Some((_, items)) => items.push(item),
        None => lists.push((key.to_owned(), vec![item])),
    }
}

/// A result as it is kept (engine.md §13.6).
fn sanitised(result: &Datum) -> Datum {
    let entries = result.entries().iter().map(|(key, value)| {
        let value = match value {
            Datum::Null => Datum::from(""),
            Datum::String(text) => safe(text).into(),
            other => other.clone(),
        };
        (key.clone(), value)
    });
    Datum::Map(entries.collect())
}

fn texts(of: &[String]) -> Datum {
    Datum::list(of.iter().map(|text| text.as_str().into()))
}

/// `json.dumps` of Python: a space after commas and colons, ASCII only.
pub fn dumps(out: &mut String, value: &Datum) {
    match value {
        Datum::String(text) => quoted(out, text),
        Datum::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                dumps(out, item);
            }
            out.push(']');
        }
        Datum::Map(entries) => {
            out.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                quoted(out, key);
                out.push_str(": ");
                dumps(out, item);
            }
            out.push('}');
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(char),
            char => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_written_as_python_writes_it() {
        let session = Session {
            id: "s".to_owned(),
            active: "a".to_owned(),
            reads: vec!["é\u{7f}😀\t\"".to_owned()],
            results: vec![("t".to_owned(), vec![Datum::map([("k", Datum::from(1))])])],
            last_evidence: Some(["Read".to_owned(), "x".to_owned()]),
            ..Session::default()
        };
        let expected = concat!(
            r#"{"session_id": "s", "active_stage": "a", "completed_stages": [], "approvals": {}, "#,
            r#""evidence": {"reads": ["\u00e9\u007f\ud83d\ude00\t\""], "stage_calls": {}, "mcp_results": {"t": [{"k": 1}]}}, "#,
            r#""blocked_reason": null, "pending_approval": {"required": false}, "last_blocked_action": null, "#,
            r#""last_recorded_evidence": {"tool": "Read", "summary": "x", "timestamp": "T"}}"#
        );
        assert_eq!(session.text(), expected);
    }
}

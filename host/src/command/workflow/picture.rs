//! What there is to draw: the stages as the engine describes them, and a session's state as it is stored.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A workflow, and maybe a session in it.
#[derive(Debug, Deserialize)]
pub struct Picture {
    pub name: String,
    #[serde(default)]
    pub version: Option<String>,
    /// Where the state of a session is; `{session}` stands for its id.
    pub state_key: String,
    pub stages: Vec<Stage>,
    /// Its id, and its state if it has begun.
    #[serde(skip)]
    pub session: Option<(String, Option<State>)>,
}

#[derive(Debug, Deserialize)]
pub struct Stage {
    pub id: String,
    pub description: String,
    tools: Vec<String>,
    entry: Vec<Gate>,
    checks: Vec<Check>,
    exit: Vec<Gate>,
    pub approval: Option<String>,
    pub terminal: bool,
    /// Calls pass through it to the next stage.
    boundary_only: bool,
}

#[derive(Debug, Deserialize)]
struct Gate {
    condition: String,
}

#[derive(Debug, Deserialize)]
struct Check {
    command_matches: Option<String>,
    command_not_matches: Option<String>,
}

/// See `wit/schemas/workflow-state.schema.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct State {
    pub active_stage: String,
    pub completed_stages: Vec<String>,
    pub approvals: BTreeMap<String, String>,
    pub evidence: Evidence,
    pub pending_approval: Pending,
    pub last_blocked_action: Option<Status>,
    pub last_recorded_evidence: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Evidence {
    pub reads: Vec<String>,
    pub stage_calls: BTreeMap<String, Vec<String>>,
    pub mcp_results: BTreeMap<String, Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pending {
    pub required: bool,
    pub stage_id: String,
    pub message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub tool: String,
    pub summary: String,
    pub message: Option<String>,
    pub timestamp: String,
}

/// How a session stands to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// No session, or it is not there yet.
    Ahead,
    /// It is here.
    Here,
    /// It has left it.
    Left,
}

impl Picture {
    pub fn title(&self) -> String {
        self.version.as_ref().map_or_else(|| self.name.clone(), |version| format!("{} {version}", self.name))
    }

    pub fn mark(&self, stage: &Stage) -> Mark {
        match &self.session {
            Some((_, Some(state))) if state.active_stage == stage.id => Mark::Here,
            Some((_, Some(state))) if state.completed_stages.contains(&stage.id) => Mark::Left,
            _ => Mark::Ahead,
        }
    }

    /// What is to be said of the session: a word and a text each.
    pub fn session_lines(&self) -> Vec<(&'static str, String)> {
        let Some((session, state)) = &self.session else { return Vec::new() };
        let Some(state) = state else { return vec![("session", format!("{session} has not begun"))] };
        let place = match state.active_stage.as_str() {
            "" => "has completed the workflow".to_owned(),
            stage => format!("is in {stage}"),
        };
        let mut lines = vec![("session", format!("{session} {place}"))];
        if state.pending_approval.required {
            let Pending { stage_id, message, .. } = &state.pending_approval;
            lines.push(("waits for", format!("approval of {stage_id}: {message}")));
        }
        let approved: Vec<_> = state.approvals.keys().map(String::as_str).collect();
        if !approved.is_empty() {
            lines.push(("approved", approved.join(", ")));
        }
        let Evidence { reads, stage_calls, mcp_results } = &state.evidence;
        lines.extend(latest(reads).map(|shown| ("files read", shown)));
        for (stage, commands) in stage_calls {
            lines.extend(latest(commands).map(|shown| ("commands", format!("{stage}: {shown}"))));
        }
        for (tool, results) in mcp_results {
            lines.push(("results", format!("{tool}: {}", results.len())));
        }
        for (word, status) in
            [("last done", &state.last_recorded_evidence), ("last blocked", &state.last_blocked_action)]
        {
            let Some(status) = status else { continue };
            let why = status.message.as_deref().filter(|message| !message.is_empty());
            let why = why.map(|why| format!(" — {why}")).unwrap_or_default();
            lines.push((word, format!("{} {}{why} ({})", status.tool, status.summary, status.timestamp)));
        }
        lines
    }
}

/// How many, and the last few.
fn latest(items: &[String]) -> Option<String> {
    const SHOWN: usize = 3;
    let last = items.get(items.len().saturating_sub(SHOWN)..)?;
    let earlier = items.len() - last.len();
    let more = if earlier > 0 { format!("{earlier} more, ") } else { String::new() };
    (!items.is_empty()).then(|| format!("{more}{}", last.join(", ")))
}

impl Stage {
    /// What the stage asks for and permits: a word and a text each.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        lines.extend(self.entry.iter().map(|gate| ("enter when", gate.condition.clone())));
        match (self.terminal, self.tools.is_empty(), self.boundary_only) {
            (true, true, _) => lines.push(("tools", "none: the workflow is complete".to_owned())),
            (_, false, _) => lines.push(("tools", self.tools.join(", "))),
            (_, true, true) => {}
            (_, true, false) => lines.push(("tools", "any".to_owned())),
        }
        for check in &self.checks {
            lines.extend(check.command_matches.iter().map(|pattern| ("commands", format!("only {pattern}"))));
            lines.extend(check.command_not_matches.iter().map(|pattern| ("commands", format!("never {pattern}"))));
        }
        lines.extend(self.exit.iter().map(|gate| ("leave when", gate.condition.clone())));
        lines.extend(self.approval.iter().map(|message| ("a person", message.clone())));
        lines
    }
}

//! One call in a workflow: what the active stage says of it, and which stages are left on the way (engine.md §13.4, §13.5).

use super::definition::{Check, Condition, Definition, Gate, Stage};
use super::guard::Semantics;
use super::session::{Session, safe, valid};
use super::vocabulary;
use crate::differential::datum::Datum;

const COMPLETE: &str = "workflow complete — no further tool calls are accepted";
const NOT_ALLOWED: &str = "Tool is not allowed in this workflow stage";

/// A call as workflows see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Its tool.
    pub tool: String,
    /// Of the tool `Bash`.
    pub command: String,
    /// Of the tools that have one.
    pub file: String,
}

impl Call {
    /// The call of a request (engine.md §2.3).
    #[must_use]
    pub fn of(call: &Datum) -> Self {
        let tool = call.text("tool").to_owned();
        let args = call.get("args").cloned().unwrap_or_default();
        let command = if tool == "Bash" { args.text("command").to_owned() } else { String::new() };
        let files = ["file_path", "filePath", "path"].map(|name| args.text(name));
        let file = files.into_iter().find(|file| !file.is_empty()).unwrap_or_default();
        let has_file = matches!(tool.as_str(), "Read" | "Glob" | "Grep" | "Write" | "Edit");
        Self { tool, command, file: if has_file { file.to_owned() } else { String::new() } }
    }

    /// In a few words (engine.md §13.6).
    #[must_use]
    pub fn summary(&self) -> String {
        let what = if self.command.is_empty() { &self.file } else { &self.command };
        if what.is_empty() || !valid(what) { self.tool.clone() } else { what.clone() }
    }
}

/// Why a workflow cannot be walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A command is no program.
    NoProgram(String),
    /// The stored state names this stage, which does not exist.
    NoStage(String),
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It runs.
    Allow,
    /// It does not.
    Block,
    /// A person is asked.
    Ask,
}

/// What a workflow says of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Of the call.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// The stage that says so; empty: none.
    pub stage: String,
    /// Of gates.
    pub records: Vec<Datum>,
    /// Stages that were left, and entered; the latter empty on completion.
    pub moves: Vec<(String, String)>,
}

/// Judges calls.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'w> {
    /// The workflow.
    pub definition: &'w Definition,
    /// Whose rules.
    pub semantics: Semantics,
}

/// Whether a stage can be left.
enum Completion {
    Complete,
    Incomplete,
    /// An exit gate says no.
    Held(Evaluation),
    /// Something else does, or a person must be asked.
    Said(Evaluation),
}

/// What the active stage says.
enum Current<'s> {
    Passes,
    Allows(Evaluation),
    Refuses(Evaluation, Option<&'s Check>),
}

impl Evaluation {
    fn new(action: Action, stage: &str, reason: &str, records: Vec<Datum>) -> Self {
        Self { action, reason: reason.to_owned(), stage: stage.to_owned(), records, moves: Vec::new() }
    }
}

impl Walk<'_> {
    /// Judges a call and moves the session on, which counts also when the call is blocked in the end.
    ///
    /// # Errors
    /// What the reference raises; the session then stays as it was.
    pub fn evaluate(&self, session: &mut Session, call: &Call) -> Result<Evaluation, Trouble> {
        let mut after = session.clone();
        let evaluation = self.walk(&mut after, call)?;
        *session = after;
        self.note(session, &evaluation, call);
        Ok(evaluation)
    }

    fn walk(&self, session: &mut Session, call: &Call) -> Result<Evaluation, Trouble> {
        let mut moves = Vec::new();
        loop {
            let Some(at) = self.definition.index(&session.active) else {
                return Ok(Evaluation { moves, ..Evaluation::new(Action::Allow, "", "", Vec::new()) });
            };
            let stages = &self.definition.stages;
            let (Some(stage), next) = (stages.get(at), stages.get(at + 1)) else { unreachable!("it has an index") };
            if let Some(evaluation) = self.stays(session, call, stage, next)? {
                return Ok(Evaluation { moves, ..evaluation });
            }
            session.complete(&stage.id);
            session.active = next.map(|next| next.id.clone()).unwrap_or_default();
            moves.push((stage.id.clone(), session.active.clone()));
        }
    }

    /// What is said in this stage; none: it is left.
    fn stays(
        &self,
        session: &Session,
        call: &Call,
        stage: &Stage,
        next: Option<&Stage>,
    ) -> Result<Option<Evaluation>, Trouble> {
        if stage.terminal && self.first_closed(session, stage, &stage.exit)?.is_none() {
            let record = self.record(stage, "terminal", "terminal", false, "", COMPLETE);
            return Ok(Some(Evaluation::new(Action::Block, &stage.id, COMPLETE, vec![record])));
        }
        let (refusal, check) = match self.current(call, stage) {
            Current::Allows(allowed) => return Ok(Some(allowed)),
            Current::Refuses(refusal, check) => (Some(refusal), check),
            Current::Passes => (None, None),
        };
        if refusal.is_some() && next.is_none() {
            return Ok(refusal);
        }
        if let Some(check) = check
            && self.check_holds(call, stage, next, check)
        {
            return Ok(refusal);
        }
        Ok(match self.completion(session, call, stage, next)? {
            Completion::Complete => None,
            Completion::Incomplete => {
                Some(refusal.unwrap_or_else(|| Evaluation::new(Action::Allow, "", "", Vec::new())))
            }
            Completion::Held(_) if check.is_some_and(|check| !check.must_match) => refusal,
            Completion::Held(evaluation) | Completion::Said(evaluation) => Some(evaluation),
        })
    }

    /// Whether a failing check ends the matter.
    fn check_holds(&self, call: &Call, stage: &Stage, next: Option<&Stage>, check: &Check) -> bool {
        if !self.semantics.reconciled_checks {
            return true;
        }
        let claims = next.is_some_and(|next| {
            !next.boundary_only()
                && next.permits(&call.tool)
                && next.checks.iter().any(|check| check.must_match)
                && next.failing_check(&call.command).is_none()
        });
        if check.must_match && stage.explicit() { false } else { !claims }
    }

    fn current<'s>(&self, call: &Call, stage: &'s Stage) -> Current<'s> {
        if stage.boundary_only() {
            return Current::Passes;
        }
        let tools: Vec<&str> = stage.tools.iter().map(|(text, _)| text.as_str()).collect();
        let tools = tools.join(",");
        if !stage.permits(&call.tool) {
            let record = self.record(stage, "tools", &tools, false, &call.tool, NOT_ALLOWED);
            return Current::Refuses(Evaluation::new(Action::Block, &stage.id, NOT_ALLOWED, vec![record]), None);
        }
        if let Some(check) = stage.failing_check(&call.command) {
            let record = self.record(stage, "check", &check.text, false, &call.command, &check.message);
            let evaluation = Evaluation::new(Action::Block, &stage.id, &check.message, vec![record]);
            return Current::Refuses(evaluation, Some(check));
        }
        let condition = if tools.is_empty() { "tools" } else { &tools };
        let record = self.record(stage, "tools", condition, true, &call.tool, "tool allowed in active stage");
        Current::Allows(Evaluation::new(Action::Allow, &stage.id, "", vec![record]))
    }

    fn completion(
        &self,
        session: &Session,
        call: &Call,
        stage: &Stage,
        next: Option<&Stage>,
    ) -> Result<Completion, Trouble> {
        if let Some(closed) = self.first_closed(session, stage, &stage.exit)? {
            return Ok(Completion::Held(closed));
        }
        if let Some(message) = &stage.approval
            && session.approval(&stage.id) != "approved"
        {
            let mut record = self.record(stage, "approval", "stage boundary", false, "", message);
            if let Some(metadata) = record.get_mut("metadata") {
                metadata.set("approval_requested_for", stage.id.as_str());
            }
            return Ok(Completion::Said(Evaluation::new(Action::Ask, &stage.id, message, vec![record])));
        }
        let Some(next) = next else {
            return Ok(if stage.explicit() { Completion::Complete } else { Completion::Incomplete });
        };
        let mut ahead = session.clone();
        ahead.complete(&stage.id);
        ahead.active.clone_from(&next.id);
        if let Some(closed) = self.first_closed(&ahead, next, &next.entry)? {
            return Ok(Completion::Said(closed));
        }
        let leaves = stage.explicit()
            || next.terminal
            || (!stage.wildcard() && self.walk(&mut ahead, call)?.action != Action::Block);
        Ok(if leaves { Completion::Complete } else { Completion::Incomplete })
    }

    /// The first gate that does not hold, as a block.
    fn first_closed(&self, session: &Session, stage: &Stage, gates: &[Gate]) -> Result<Option<Evaluation>, Trouble> {
        let mut records = Vec::new();
        for gate in gates {
            let (holds, evidence) = self.holds(session, stage, gate)?;
            records.push(self.record(stage, gate.condition.kind(), &gate.text, holds, &evidence, &gate.message));
            if !holds {
                return Ok(Some(Evaluation::new(Action::Block, &stage.id, &gate.message, records)));
            }
        }
        Ok(None)
    }

    /// Whether a gate holds, and on what evidence.
    ///
    /// # Errors
    /// A command that cannot be run.
    pub fn holds(&self, session: &Session, stage: &Stage, gate: &Gate) -> Result<(bool, String), Trouble> {
        Ok(match &gate.condition {
            Condition::StageComplete(id) => (session.has_completed(id), id.clone()),
            Condition::FileRead(path) => (session.reads.contains(path), path.clone()),
            Condition::Approval(id) => {
                let status = session.approval(id.as_deref().unwrap_or(&stage.id));
                (status == "approved", status.to_owned())
            }
            Condition::Command { pattern, must_match } => {
                let commands = session.commands_in(&stage.id);
                let some = commands.iter().any(|command| pattern.is_match(command.as_str()));
                (some == *must_match, commands.join(" | "))
            }
            Condition::Exec { command, exit_code } => {
                let (code, output) = vocabulary::ran(command)?;
                (code == *exit_code, format!("exit_code={code} output={output}"))
            }
            Condition::Result { tool, field, value } => {
                let has =
                    |result: &Datum| result.get(field).is_some_and(|found| self.text(found) == Some(value.clone()));
                (session.results_of(tool).iter().any(has), tool.clone())
            }
        })
    }

    /// A value as text; none: it equals no text.
    fn text(&self, value: &Datum) -> Option<String> {
        match value {
            Datum::String(text) => Some(text.clone()),
            Datum::Int(text) | Datum::Float(text) => Some(text.clone()),
            Datum::Bool(flag) if self.semantics.json_texts => Some(flag.to_string()),
            Datum::Bool(flag) => Some(if *flag { "True" } else { "False" }.to_owned()),
            _ => None,
        }
    }

    fn record(&self, stage: &Stage, kind: &str, condition: &str, passed: bool, evidence: &str, message: &str) -> Datum {
        let name = &self.definition.name;
        let metadata = Datum::map([
            ("workflow_name", name.as_str().into()),
            ("stage_id", stage.id.as_str().into()),
            ("gate_kind", kind.into()),
            ("gate_condition", condition.into()),
            ("gate_passed", passed.into()),
            ("gate_evidence", evidence.into()),
        ]);
        Datum::map([
            ("name", format!("{name}:{}:{kind}", stage.id).into()),
            ("type", "workflow_gate".into()),
            ("passed", passed.into()),
            ("message", if message.is_empty() { Datum::Null } else { message.into() }),
            ("metadata", metadata),
            ("observed", false.into()),
        ])
    }

    /// What a session keeps of the answer (engine.md §13.6).
    fn note(&self, session: &mut Session, evaluation: &Evaluation, call: &Call) {
        let Evaluation { action, reason, stage, .. } = evaluation;
        match action {
            Action::Block => {
                session.blocked = Some(reason.clone());
                session.pending = None;
                session.last_blocked = Some([call.tool.clone(), call.summary(), safe(reason).to_owned()]);
            }
            Action::Ask => {
                session.pending = Some((stage.clone(), safe(reason).to_owned()));
                session.blocked = None;
                session.last_blocked = None;
            }
            Action::Allow => {
                session.blocked = None;
                session.pending = None;
            }
        }
    }

    /// Whether a recorded success ends the workflow; the stage that ended it (engine.md §13.6).
    ///
    /// # Errors
    /// As [`Self::holds`].
    pub fn completes(&self, session: &mut Session, stage: &str) -> Result<bool, Trouble> {
        let last = self.definition.stages.last().filter(|last| last.id == stage && session.active == stage);
        let Some(last) = last.filter(|last| last.explicit() && !last.terminal) else { return Ok(false) };
        if self.first_closed(session, last, &last.exit)?.is_some()
            || (last.approval.is_some() && session.approval(stage) != "approved")
        {
            return Ok(false);
        }
        session.complete(stage);
        session.active.clear();
        Ok(true)
    }
}

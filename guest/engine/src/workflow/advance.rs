//! A call in a workflow: may it run in the active stage, or does the session move on to the stage whose work it is?
//! (engine.md §13.4, and §13.5 for failing checks.)

use super::definition::{Gate, Stage, Workflow};
use super::gate::{self, Commands, GateRecord, Record, Stuck};
use super::state::{PendingApproval, State, Status, safe};
use crate::call::Call;
use crate::inquiry::Action;

/// What a terminal stage says.
pub const COMPLETE: &str = "workflow complete — no further tool calls are accepted";
/// What a stage says of a tool that it does not have.
pub const NOT_ALLOWED: &str = "Tool is not allowed in this workflow stage";

/// What a workflow says of a call.
#[derive(Debug)]
pub struct Evaluation {
    /// Allow, block, or ask.
    pub action: Action,
    /// For the agent; empty on allow.
    pub reason: String,
    /// The stage that says so; none when the workflow is completed.
    pub stage: Option<String>,
    /// Gates that were looked at.
    pub records: Vec<Record>,
    /// Stages that were left on the way.
    pub moves: Vec<Move>,
}

/// A stage that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The stage.
    pub from: String,
    /// The stage entered; none: the workflow is completed.
    pub to: Option<String>,
}

/// What a call is held against.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'w> {
    /// The workflow.
    pub workflow: &'w Workflow,
    /// The call.
    pub call: &'w Call<'w>,
    /// What commands have answered.
    pub commands: &'w Commands,
    /// Further variables for commands.
    pub exec_env: &'w [String],
    /// A completed workflow permits nothing more, as if its last stage were terminal.
    pub closed: bool,
    /// A failing check always has the last word, as in the reference (engine.md §16 row 22).
    pub checks_decide: bool,
}

/// Why a stage does not let a call run.
struct Invalid {
    evaluation: Evaluation,
    /// The first failing check; none: the tool is not allowed.
    check_must_match: Option<bool>,
}

/// Whether a stage may be left.
enum Completion {
    /// Yes.
    Complete,
    /// No, and nobody has anything to say about it.
    Silent,
    /// No, and this is what is said instead.
    Says(Evaluation),
    /// Yes, and the state has moved on already: this is what the next stages say.
    Ahead(Evaluation),
}

/// What the active stage says.
enum Stay {
    /// This.
    Says(Evaluation),
    /// It is to be left.
    Leave,
    /// It has been left, and this is what the next stages say.
    Left(Evaluation),
}

impl Evaluation {
    fn new(action: Action, stage: Option<&str>, reason: &str, records: Vec<Record>) -> Self {
        let (stage, reason) = (stage.map(str::to_owned), reason.to_owned());
        Self { action, reason, stage, records, moves: Vec::new() }
    }

    fn allow() -> Self {
        Self::new(Action::Allow, None, "", Vec::new())
    }
}

impl Walk<'_> {
    /// Judges a call and moves the state on. The state is changed also when the call is blocked in the end.
    ///
    /// # Errors
    /// A command has to be run first (the state is not to be used then), or failed.
    pub fn evaluate(&self, state: &mut State) -> Result<Evaluation, Stuck> {
        if state.active_stage.is_empty() {
            return Ok(self.completed());
        }
        let mut moves = Vec::new();
        for _ in 0..=self.workflow.stages.len() {
            let index = self.workflow.index(&state.active_stage);
            let stage = index.and_then(|index| self.workflow.stages.get(index));
            let (Some(index), Some(stage)) = (index, stage) else {
                return Err(Stuck::Error(format!("workflow: active stage `{}` not found", state.active_stage)));
            };
            let next = self.workflow.stages.get(index + 1);
            let stay = self.stay(state, stage, next)?;
            if let Stay::Says(evaluation) = stay {
                return Ok(Evaluation { moves, ..evaluation });
            }
            moves.push(Move { from: stage.id.clone(), to: next.map(|next| next.id.clone()) });
            if let Stay::Left(mut evaluation) = stay {
                moves.append(&mut evaluation.moves);
                return Ok(Evaluation { moves, ..evaluation });
            }
            state.complete(&stage.id);
            state.active_stage = next.map(|next| next.id.clone()).unwrap_or_default();
            if next.is_none() {
                return Ok(Evaluation { moves, ..self.completed() });
            }
        }
        Err(Stuck::Error("workflow: exceeded the stage iteration limit".to_owned()))
    }

    fn completed(&self) -> Evaluation {
        match self.workflow.stages.last().filter(|_| self.closed) {
            Some(last) => self.terminal(last),
            None => Evaluation::allow(),
        }
    }

    fn stay(&self, state: &mut State, stage: &Stage, next: Option<&Stage>) -> Result<Stay, Stuck> {
        if stage.terminal && self.failing_gate(stage, &stage.exit, state)?.is_none() {
            return Ok(Stay::Says(self.terminal(stage)));
        }
        let invalid = match self.current(stage) {
            Some(Ok(allowed)) => return Ok(Stay::Says(allowed)),
            Some(Err(invalid)) => invalid,
            None => {
                return Ok(match self.completion(state, stage, next)? {
                    Completion::Complete => Stay::Leave,
                    Completion::Ahead(evaluation) => Stay::Left(evaluation),
                    Completion::Silent => Stay::Says(Evaluation::allow()),
                    Completion::Says(evaluation) => Stay::Says(evaluation),
                });
            }
        };
        if next.is_none() || (self.checks_decide && invalid.check_must_match.is_some()) {
            return Ok(Stay::Says(invalid.evaluation));
        }
        let claimed = next.is_some_and(|next| next.claims(self.call.tool, self.call.bash_command));
        // Engine.md §13.5: a failing check says either "not this stage's work" or "forbidden here".
        let holds_back = match invalid.check_must_match {
            None => false,
            Some(true) => !stage.explicit() && !claimed,
            Some(false) => !claimed,
        };
        if holds_back {
            return Ok(Stay::Says(invalid.evaluation));
        }
        Ok(match self.completion(state, stage, next)? {
            Completion::Complete => Stay::Leave,
            Completion::Ahead(evaluation) => Stay::Left(evaluation),
            // What is forbidden here is forbidden, whatever else this stage still waits for.
            Completion::Says(said)
                if said.action == Action::Block
                    && said.stage.as_deref() == Some(&stage.id)
                    && invalid.check_must_match == Some(false) =>
            {
                Stay::Says(invalid.evaluation)
            }
            Completion::Says(evaluation) => Stay::Says(evaluation),
            Completion::Silent => Stay::Says(invalid.evaluation),
        })
    }

    /// None: the stage only guards a boundary. Err: it does not let the call run.
    fn current(&self, stage: &Stage) -> Option<Result<Evaluation, Invalid>> {
        if stage.boundary_only() {
            return None;
        }
        let tools = stage.tool_list();
        if !stage.permits(self.call.tool) {
            let record = self.record(stage, "tools", &tools, false, self.call.tool, NOT_ALLOWED);
            let evaluation = Evaluation::new(Action::Block, Some(&stage.id), NOT_ALLOWED, vec![record]);
            return Some(Err(Invalid { evaluation, check_must_match: None }));
        }
        let command = self.call.bash_command;
        if let Some(check) = stage.failing_check(command) {
            let record = self.record(stage, "check", &check.text, false, command, &check.message);
            let evaluation = Evaluation::new(Action::Block, Some(&stage.id), &check.message, vec![record]);
            return Some(Err(Invalid { evaluation, check_must_match: Some(check.must_match) }));
        }
        let condition = if tools.is_empty() { "tools" } else { tools.as_str() };
        let record = self.record(stage, "tools", condition, true, self.call.tool, "tool allowed in active stage");
        Some(Ok(Evaluation::new(Action::Allow, Some(&stage.id), "", vec![record])))
    }

    fn terminal(&self, stage: &Stage) -> Evaluation {
        let record = self.record(stage, "terminal", "terminal", false, "", COMPLETE);
        Evaluation::new(Action::Block, Some(&stage.id), COMPLETE, vec![record])
    }

    fn completion(&self, state: &mut State, stage: &Stage, next: Option<&Stage>) -> Result<Completion, Stuck> {
        if let Some(blocked) = self.failing_gate(stage, &stage.exit, state)? {
            return Ok(Completion::Says(blocked));
        }
        if let Some(message) = stage.approval.as_deref().filter(|_| !state.approved(&stage.id)) {
            let record = GateRecord {
                stage: &stage.id,
                kind: "approval",
                condition: "stage boundary",
                passed: false,
                evidence: "",
                message,
                approval_for: Some(&stage.id),
            };
            let records = vec![record.write(self.workflow)];
            return Ok(Completion::Says(Evaluation::new(Action::Ask, Some(&stage.id), message, records)));
        }
        let Some(next) = next else {
            return Ok(if stage.explicit() { Completion::Complete } else { Completion::Silent });
        };
        let (active, completed) = enter(state, stage, next);
        if let Some(blocked) = self.failing_gate(next, &next.entry, state)? {
            leave(state, active, completed);
            return Ok(Completion::Says(blocked));
        }
        if stage.explicit() || next.terminal || stage.wildcard() {
            leave(state, active, completed);
            let left = stage.explicit() || next.terminal;
            return Ok(if left { Completion::Complete } else { Completion::Silent });
        }
        // An implicit stage is left when the next one has something to do with the call. What the look ahead says is
        // taken as it is: judging once more would double the work with every stage.
        let ahead = self.evaluate(state)?;
        if ahead.action == Action::Block {
            leave(state, active, completed);
            return Ok(Completion::Silent);
        }
        Ok(Completion::Ahead(ahead))
    }

    /// The first gate that does not hold, as a block with the records up to it.
    fn failing_gate(&self, stage: &Stage, gates: &[Gate], state: &State) -> Result<Option<Evaluation>, Stuck> {
        let mut records = Vec::new();
        for gate in gates {
            let held = gate::holds(&stage.id, gate, state, self.commands, self.exec_env)?;
            let kind = gate.condition.kind();
            let reason = gate.reason();
            records.push(self.record(stage, kind, &gate.text, held.passed, &held.evidence, &reason));
            if !held.passed {
                return Ok(Some(Evaluation::new(Action::Block, Some(&stage.id), &reason, records)));
            }
        }
        Ok(None)
    }

    fn record(
        &self,
        stage: &Stage,
        kind: &str,
        condition: &str,
        passed: bool,
        evidence: &str,
        message: &str,
    ) -> Record {
        let record = GateRecord { stage: &stage.id, kind, condition, passed, evidence, message, approval_for: None };
        record.write(self.workflow)
    }

    /// Whether a success ends the workflow: the last stage says itself when it is done (engine.md §13.6).
    ///
    /// # Errors
    /// A command has to be run first, or failed.
    pub fn complete_after_success(&self, state: &mut State, stage: &str) -> Result<Option<Move>, Stuck> {
        let last = self.workflow.stages.last().filter(|last| last.id == stage && state.active_stage == stage);
        let Some(last) = last.filter(|last| !last.terminal && last.explicit()) else { return Ok(None) };
        if self.failing_gate(last, &last.exit, state)?.is_some()
            || (last.approval.is_some() && !state.approved(&last.id))
        {
            return Ok(None);
        }
        state.complete(stage);
        state.active_stage.clear();
        Ok(Some(Move { from: stage.to_owned(), to: None }))
    }
}

/// Makes the next stage the active one, for a look. Gives what [`leave`] needs to undo it.
fn enter(state: &mut State, stage: &Stage, next: &Stage) -> (String, usize) {
    let completed = state.completed_stages.len();
    state.complete(&stage.id);
    (std::mem::replace(&mut state.active_stage, next.id.clone()), completed)
}

fn leave(state: &mut State, active: String, completed: usize) {
    state.active_stage = active;
    state.completed_stages.truncate(completed);
}

/// What a state says of the last call.
pub fn apply_status(state: &mut State, evaluation: &Evaluation, call: &Call<'_>, timestamp: &str) {
    match evaluation.action {
        Action::Block => {
            state.blocked_reason = Some(evaluation.reason.clone());
            state.pending_approval = None;
            let summary = super::evidence::summary(call);
            let message = safe(&evaluation.reason, "");
            let same = state.last_blocked_action.as_ref().is_some_and(|last| {
                last.tool == call.tool && last.summary == summary && last.message.as_deref() == Some(message)
            });
            if !same {
                state.last_blocked_action = Some(Status {
                    tool: call.tool.to_owned(),
                    summary,
                    message: Some(message.to_owned()),
                    timestamp: timestamp.to_owned(),
                });
            }
        }
        Action::Ask => {
            let stage = evaluation.stage.as_deref().unwrap_or_default();
            state.pending_approval = Some(PendingApproval::new(stage, &evaluation.reason));
            state.blocked_reason = None;
            state.last_blocked_action = None;
        }
        Action::Allow => {
            state.blocked_reason = None;
            state.pending_approval = None;
        }
    }
}

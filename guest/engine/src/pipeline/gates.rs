//! A workflow's word on a call, between the session rules and the limits of executions (engine.md §8.1 step 6), and what a
//! finished call leaves behind in it. The state that comes of either must be in the store before anybody is told.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::ticket::{Facts, Ticket};
use crate::call::Call;
use crate::documents::ruleset::{Approval, TimeoutAction};
use crate::json::Value;
use crate::json::write::Object;
use crate::options::AfterCompletion;
use crate::record::event::{Entry, Happened, Log};
use crate::record::time::iso8601_z;
use crate::rules::Rules;
use crate::workflow::advance::{self, Evaluation, Move, Walk};
use crate::workflow::definition::Workflow;
use crate::workflow::gate::Stuck;
use crate::workflow::state::State;
use crate::workflow::{evidence, operations};

/// Most questions to persons about one call.
pub const MAX_APPROVAL_ROUNDS: u32 = 32;

/// How long a person has for the approval of a stage, and what then.
pub const APPROVAL: Approval = Approval { timeout: 300, timeout_action: TimeoutAction::Block };

/// `decision_source` of what a workflow says.
pub const SOURCE: &str = "workflow";

/// `decision_name` of a workflow that could not be evaluated.
pub const ERROR: &str = "workflow_error";

/// Something that people who run the guard should know; hosts say it once.
#[derive(Debug, PartialEq, Eq)]
pub struct Notice {
    /// Stable.
    pub code: &'static str,
    /// For people, one line.
    pub message: &'static str,
}

/// The workflow's state went into a store without versions, where between the last look and the write somebody else may
/// still have written.
pub static UNVERSIONED: Notice = Notice {
    code: "workflow_store_unversioned",
    message: "the session store keeps no versions: of two writers of a workflow's state at the same moment one may be lost",
};

/// The notices about how a state was written.
#[must_use]
pub fn notices(facts: &Facts) -> &'static [Notice] {
    let blind = matches!(&facts.workflow, Some(Ok(stored)) if stored.written && stored.unversioned());
    if blind { std::slice::from_ref(&UNVERSIONED) } else { &[] }
}

/// As `notices` of a detail, where there are any.
pub fn write_notices(notices: &[Notice], detail: &mut Object<'_>) {
    if notices.is_empty() {
        return;
    }
    detail.list("notices", |list| {
        for notice in notices {
            list.object(|out| {
                out.string("code", notice.code);
                out.string("message", notice.message);
            });
        }
    });
}

/// What a workflow says, and the state it leaves.
#[derive(Debug)]
pub struct Gated {
    /// What it says.
    pub evaluation: Evaluation,
    /// After the call.
    pub state: State,
    /// Whether the state has to be written.
    pub changed: bool,
}

/// Judges a call. `approved` is the stage that a person has agreed to leave since the call was judged last.
///
/// # Errors
/// A command has to be run first, or the workflow cannot be evaluated.
pub fn judge(
    rules: &Rules,
    workflow: &Workflow,
    call: &Call<'_>,
    facts: &Facts,
    approved: Option<&str>,
) -> Result<Gated, Stuck> {
    let (before, at) = stored(workflow, call, facts)?;
    let mut state = before.clone();
    // An approval is for the stage that asked. Where the session has moved on or was set back, it is for nothing.
    if let Some(stage) = approved.filter(|stage| *stage == state.active_stage) {
        operations::approve(workflow, &mut state, stage).map_err(|unknown| Stuck::Error(unknown.to_string()))?;
    }
    let walk = walk(rules, workflow, call, facts);
    let evaluation = walk.evaluate(&mut state)?;
    advance::apply_status(&mut state, &evaluation, call, &at);
    let changed = state != before;
    Ok(Gated { evaluation, state, changed })
}

/// The state that has to be written after a verdict; none: it is as it was. What a person has agreed to is kept also when
/// a rule blocks the call before the workflow's turn.
#[must_use]
pub fn left<'g>(
    workflow: &Workflow,
    call: &Call<'_>,
    ticket: &Ticket,
    gated: Option<&'g Gated>,
) -> Option<Cow<'g, State>> {
    if let Some(gated) = gated {
        return gated.changed.then_some(Cow::Borrowed(&gated.state));
    }
    let stage = ticket.approved_stage.as_deref()?;
    let (mut state, _) = stored(workflow, call, &ticket.facts).ok()?;
    let open = stage == state.active_stage && !state.approved(stage);
    (open && operations::approve(workflow, &mut state, stage).is_ok()).then_some(Cow::Owned(state))
}

/// What a success leaves behind: evidence, and the end of a workflow whose last stage says itself when it is done.
#[derive(Debug)]
pub struct Recorded {
    /// After the call.
    pub state: State,
    /// The evidence was valid. Otherwise nothing changes.
    pub valid: bool,
    /// The workflow is completed now.
    pub completed: Option<Move>,
    /// Why it cannot be told whether it is.
    pub trouble: Option<String>,
}

/// Records a success in the stage that let the call run.
///
/// # Errors
/// A command has to be run first, or the state cannot be read.
pub fn record(
    rules: &Rules,
    workflow: &Workflow,
    call: &Call<'_>,
    facts: &Facts,
    stage: &str,
    result: Value<'_>,
) -> Result<Recorded, Stuck> {
    let (mut state, at) = stored(workflow, call, facts)?;
    // `run()` of the reference never passes a result.
    let result = Some(result).filter(|_| !rules.options.reference());
    if !evidence::record(&mut state, stage, call, result, &at) {
        return Ok(Recorded { state, valid: false, completed: None, trouble: None });
    }
    match walk(rules, workflow, call, facts).complete_after_success(&mut state, stage) {
        Ok(completed) => Ok(Recorded { state, valid: true, completed, trouble: None }),
        // The evidence is there, whether or not it can be told what follows from it.
        Err(Stuck::Error(trouble)) => Ok(Recorded { state, valid: true, completed: None, trouble: Some(trouble) }),
        Err(ask) => Err(ask),
    }
}

fn walk<'w>(rules: &'w Rules, workflow: &'w Workflow, call: &'w Call<'w>, facts: &'w Facts) -> Walk<'w> {
    let reference = rules.options.reference();
    Walk {
        workflow,
        call,
        commands: &facts.commands,
        exec_env: &rules.options.exec_env,
        closed: rules.options.after_completion == AfterCompletion::Block && !reference,
        checks_decide: reference,
    }
}

fn stored(workflow: &Workflow, call: &Call<'_>, facts: &Facts) -> Result<(State, String), Stuck> {
    let stored = match &facts.workflow {
        Some(Ok(stored)) => stored,
        Some(Err(why)) => return Err(Stuck::Error(format!("workflow: {why}"))),
        None => return Err(Stuck::Error("workflow: the state was not read".to_owned())),
    };
    let state = stored.state(workflow, call.session_id).map_err(|error| Stuck::Error(error.to_string()))?;
    Ok((state, iso8601_z(stored.at)))
}

/// What the decision log shows of a state.
#[must_use]
pub fn snapshot(workflow: &Workflow, state: &State) -> Box<RawValue> {
    RawValue::from_string(state.snapshot(workflow, None)).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The events of stages that were left. All show the state after the last of them.
pub fn moved(log: &mut Log<'_>, workflow: &Workflow, state: &State, moves: &[Move]) {
    for step in moves {
        let happened = if step.to.is_some() { Happened::WorkflowStageAdvanced } else { Happened::WorkflowCompleted };
        let snapshot = state.snapshot(workflow, Some(step));
        log.write(happened, &Entry { workflow: Some(&snapshot), ..Entry::default() });
    }
}

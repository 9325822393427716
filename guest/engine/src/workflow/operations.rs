//! What people do to a session: approve, go back, jump (engine.md §13.7).

use super::definition::Workflow;
use super::state::{PendingApproval, State};

/// The stage does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("workflow: unknown stage `{0}`")]
pub struct UnknownStage(pub String);

/// A person agrees to leave a stage.
///
/// # Errors
/// There is no such stage.
pub fn approve(workflow: &Workflow, state: &mut State, stage: &str) -> Result<(), UnknownStage> {
    index(workflow, stage)?;
    if !state.approved(stage) {
        state.approvals.push(stage.to_owned());
    }
    clear_status(state);
    Ok(())
}

/// Back to a stage: what was approved and done from it on no longer counts.
///
/// # Errors
/// There is no such stage.
pub fn reset(workflow: &Workflow, state: &mut State, stage: &str) -> Result<(), UnknownStage> {
    let at = index(workflow, stage)?;
    let (before, from) = workflow.stages.split_at(at);
    state.active_stage = stage.to_owned();
    state.completed_stages = before.iter().map(|stage| stage.id.clone()).collect();
    let undone = |id: &str| from.iter().any(|stage| stage.id == id);
    state.approvals.retain(|id| !undone(id));
    state.evidence.stage_calls.retain(|(id, _)| !undone(id));
    if at == 0 {
        state.evidence.reads.clear();
        state.evidence.mcp_results.clear();
    } else {
        let tools = || from.iter().flat_map(|stage| &stage.tools);
        state.evidence.mcp_results.retain(|(tool, _)| !tools().any(|own| own.glob.matches(tool)));
    }
    clear_status(state);
    Ok(())
}

/// To a stage, keeping what was approved and done.
///
/// # Errors
/// There is no such stage.
pub fn set_stage(workflow: &Workflow, state: &mut State, stage: &str) -> Result<(), UnknownStage> {
    let at = index(workflow, stage)?;
    state.active_stage = stage.to_owned();
    state.completed_stages = workflow.stages.iter().take(at).map(|stage| stage.id.clone()).collect();
    clear_status(state);
    state.last_blocked_action = None;
    let message = workflow.stages.get(at).and_then(|stage| stage.approval.as_deref());
    state.pending_approval =
        message.filter(|_| !state.approved(stage)).map(|message| PendingApproval::new(stage, message));
    Ok(())
}

fn index(workflow: &Workflow, stage: &str) -> Result<usize, UnknownStage> {
    workflow.index(stage).ok_or_else(|| UnknownStage(stage.to_owned()))
}

fn clear_status(state: &mut State) {
    state.blocked_reason = None;
    state.pending_approval = None;
}

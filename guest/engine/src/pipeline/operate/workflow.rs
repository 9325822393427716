//! Where a session stands in its workflow: shown, approved, set back, set on, loaded (engine.md §13.7).

use serde::{Deserialize, Serialize};

use super::{Command, Operate, Round as Rounds, Ticket, failed, unavailable};
use crate::call::{Call, Subject};
use crate::diagnostics::Failure;
use crate::inquiry::{Operated, Outcome, Step};
use crate::record::event::{Entry, Happened};
use crate::rules::Rules;
use crate::workflow::definition::Workflow;
use crate::workflow::operations;
use crate::workflow::state::State;
use crate::workflow::stored::{self, Stored};

/// How far it is.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Round {
    /// The state is being read.
    Read,
    /// What came of it is being written.
    Write(Stored),
}

/// The first question.
pub(super) fn begin(rules: &Rules, session: &str, command: Command) -> Operate {
    let Some(workflow) = rules.workflow.as_deref() else {
        return failed(Failure::argument("E_NO_WORKFLOW", "the guard has no workflow"));
    };
    let needs_stage = matches!(command.operation.as_str(), "set_stage" | "approve");
    if needs_stage && command.stage_id.is_none() {
        return failed(Failure::argument("E_COMMAND", format!("`{}` needs a `stage_id`", command.operation)));
    }
    if command.operation == "load" && command.state.is_none() {
        return failed(Failure::argument("E_COMMAND", "`load` needs a `state`"));
    }
    // What cannot be done is told before anything is read.
    if let Err(failure) = apply(workflow, session, &command, State::initial(workflow, session)) {
        return failed(failure);
    }
    let questions = stored::questions(workflow, session);
    Ticket::new(session.to_owned(), command, Rounds::Workflow(Round::Read)).ask(questions)
}

/// What the store said.
pub(super) fn resume(
    rules: &Rules,
    session: String,
    command: Command,
    round: Round,
    outcomes: &[Outcome],
    now: u64,
) -> Operate {
    let Some(workflow) = rules.workflow.as_deref() else {
        return failed(Failure::argument("E_NO_WORKFLOW", "the guard has no workflow any more"));
    };
    let stored = match round {
        Round::Read => Stored::read(outcomes),
        Round::Write(mut stored) => stored.wrote(outcomes).map(|()| stored),
    };
    let stored = match stored {
        Ok(stored) => stored,
        Err(why) => return failed(unavailable(&why)),
    };
    // A state that cannot be used is replaced by `load` and by nothing else.
    let before = match stored.state(workflow, &session) {
        Ok(state) => state,
        Err(_) if command.operation == "load" => State::initial(workflow, &session),
        Err(error) => return failed(Failure::argument("E_WORKFLOW_STATE", error.to_string())),
    };
    let after = match apply(workflow, &session, &command, before) {
        Ok(after) => after,
        Err(failure) => return failed(failure),
    };
    if command.operation == "state" || stored.written {
        let events = events(rules, workflow, &session, &command, &after, now);
        return Step::Done(Ok(Operated { state: after.write(), events }));
    }
    let questions = stored.write(workflow, &session, &after);
    Ticket::new(session, command, Rounds::Workflow(Round::Write(stored))).ask(questions)
}

fn apply(workflow: &Workflow, session: &str, command: &Command, mut state: State) -> Result<State, Failure> {
    let stage = command.stage_id.as_deref();
    let first = || workflow.stages.first().map_or("", |stage| stage.id.as_str());
    let done = match command.operation.as_str() {
        "reset" => operations::reset(workflow, &mut state, stage.unwrap_or_else(first)),
        "set_stage" => operations::set_stage(workflow, &mut state, stage.unwrap_or_default()),
        "approve" => operations::approve(workflow, &mut state, stage.unwrap_or_default()),
        "load" => {
            let text = command.state.as_deref().map_or("", serde_json::value::RawValue::get);
            return State::read(workflow, session, text)
                .map_err(|error| Failure::argument("E_WORKFLOW_STATE", error.to_string()));
        }
        _ => Ok(()),
    };
    done.map(|()| state).map_err(|unknown| {
        let known: Vec<_> = workflow.stages.iter().map(|stage| stage.id.as_str()).collect();
        Failure::argument("E_WF_UNKNOWN_STAGE", format!("{unknown}; there are: {}", known.join(", ")))
    })
}

/// Who sets a session back or on is in the decision log.
fn events(
    rules: &Rules,
    workflow: &Workflow,
    session: &str,
    command: &Command,
    state: &State,
    now: u64,
) -> Vec<String> {
    if !matches!(command.operation.as_str(), "reset" | "set_stage") {
        return Vec::new();
    }
    let call = Call { session_id: session, call_id: &command.id, ..Call::unreadable() };
    let subject = Subject { call: &call, principal: None, environment: &rules.environment, output: None, custom: &[] };
    let mut log = rules.log(subject, 0, now);
    let snapshot = state.snapshot(workflow, None);
    log.write(Happened::WorkflowStateUpdated, &Entry { workflow: Some(&snapshot), ..Entry::default() });
    log.events
}

//! What people and hosts do to a session from outside its calls: its [`counters`], its [`workflow`].

mod counters;
mod workflow;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::diagnostics::{Failure, FailureKind};
use crate::inquiry::{Answer, Inquiry, Operated, Operation, Question, Step};
use crate::rules::Rules;

/// Version of the ticket's layout.
const VERSION: u8 = 1;

/// What a host wants done; `wit/schemas/command.schema.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Command {
    /// The host's own; ids of events follow from it.
    #[serde(default)]
    id: String,
    /// Which operation.
    #[serde(rename = "do")]
    operation: String,
    /// Counters to set: `attempts`, `execs`, `consec_fail`, `tool:NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    set: BTreeMap<String, u64>,
    /// A stage of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage_id: Option<String>,
    /// A state of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Ticket {
    v: u8,
    step: String,
    session: String,
    command: Command,
    round: Round,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Round {
    Counters(counters::Round),
    Workflow(workflow::Round),
}

type Operate = Step<Result<Operated, Failure>>;

/// `policy.operate`
#[must_use]
pub fn operate(rules: &Rules, session: &str, command: &str) -> Operate {
    let command: Command = match serde_json::from_str(command) {
        Ok(command) => command,
        Err(error) => return failed(Failure::argument("E_COMMAND", format!("command: {error}"))),
    };
    if let Err(invalid) = crate::call::check_session_id(session) {
        return failed(Failure::argument("E_SESSION_ID", invalid.reason));
    }
    match command.operation.as_str() {
        "counters" => counters::begin(session, command),
        "state" | "reset" | "set_stage" | "approve" | "load" => workflow::begin(rules, session, command),
        other => {
            let message =
                format!("no operation `{other}`; there are: counters, state, reset, set_stage, approve, load");
            failed(Failure::argument("E_COMMAND", message))
        }
    }
}

/// `policy.resume-operate`
#[must_use]
pub fn resume(rules: &Rules, ticket: &str, answers: Vec<Answer>, now: u64) -> Operate {
    let ticket: Ticket = match serde_json::from_str(ticket) {
        Ok(ticket) => ticket,
        Err(_) => return failed(Failure::argument("E_TICKET", "the ticket cannot be read")),
    };
    let outcomes = match answers.into_iter().next() {
        Some(Answer::Session(outcomes)) => outcomes,
        Some(Answer::Failed(why)) => return failed(unavailable(&why)),
        _ => return failed(unavailable("the host gave an answer of another kind than the question")),
    };
    let Ticket { session, command, round, .. } = ticket;
    match round {
        Round::Counters(round) => counters::resume(rules, session, command, round, outcomes),
        Round::Workflow(round) => workflow::resume(rules, session, command, round, &outcomes, now),
    }
}

impl Ticket {
    fn new(session: String, command: Command, round: Round) -> Self {
        Self { v: VERSION, step: "operate".to_owned(), session, command, round }
    }

    fn ask(self, operations: Vec<Operation>) -> Operate {
        Step::Ask(Inquiry {
            // Types of ours with string keys: nothing in them can fail to serialize.
            ticket: serde_json::to_string(&self).unwrap_or_default(),
            questions: vec![Question::Session(operations)],
        })
    }
}

fn failed(failure: Failure) -> Operate {
    Step::Done(Err(failure))
}

fn unavailable(why: &str) -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        code: "E_STORE".to_owned(),
        message: format!("the session state could not be read or written: {why}"),
        diagnostics: Vec::new(),
    }
}

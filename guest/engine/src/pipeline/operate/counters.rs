//! The counters of a session: read, and set for tests and by operators.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Command, Operate, Round as Rounds, Ticket, failed, unavailable};
use crate::diagnostics::Failure;
use crate::inquiry::{Operated, Operation, Outcome, Step};
use crate::json::write::Object;
use crate::rules::Rules;
use crate::session::{counters, keys};

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Round {
    /// Counters are being set.
    Set,
    /// All keys are being listed.
    Scan,
    /// The store cannot list: known keys are being read.
    Get(Vec<String>),
}

/// The first question.
pub(super) fn begin(session: &str, command: Command) -> Operate {
    if let Some(key) = command.set.keys().find(|key| key_of(session, key).is_none()) {
        let message = format!("no counter `{key}`; there are: attempts, execs, consec_fail, tool:NAME");
        return failed(Failure::argument("E_COMMAND", message));
    }
    let round = if command.set.is_empty() { Round::Scan } else { Round::Set };
    ask(session.to_owned(), command, round)
}

/// What the store said.
pub(super) fn resume(
    rules: &Rules,
    session: String,
    command: Command,
    round: Round,
    outcomes: Vec<Outcome>,
) -> Operate {
    match round {
        Round::Set => {
            if let Some(Outcome::Failed(why)) = outcomes.iter().find(|outcome| matches!(outcome, Outcome::Failed(_))) {
                return failed(unavailable(why));
            }
            ask(session, command, Round::Scan)
        }
        Round::Scan => match outcomes.into_iter().next() {
            Some(Outcome::Found(found)) => report(&session, found),
            // A store that cannot list shows the counters that are known.
            _ => {
                let known = known_keys(rules, &session);
                ask(session, command, Round::Get(known))
            }
        },
        Round::Get(keys) => {
            let mut found = Vec::new();
            for (key, outcome) in keys.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Done(entry) => found.extend(entry.value.map(|value| (key, value))),
                    Outcome::Failed(why) => return failed(unavailable(&why)),
                    _ => return failed(unavailable("the store gave an answer of another kind")),
                }
            }
            report(&session, found)
        }
    }
}

fn ask(session: String, command: Command, round: Round) -> Operate {
    let operations = match &round {
        Round::Set => command
            .set
            .iter()
            .filter_map(|(counter, count)| {
                let key = key_of(&session, counter)?;
                // An absent streak and a streak of none are the same thing.
                Some(if counter == "consec_fail" && *count == 0 {
                    Operation::Delete(key)
                } else {
                    Operation::Put { key, value: count.to_string(), expected: None }
                })
            })
            .collect(),
        Round::Scan => vec![Operation::Scan(keys::prefix(&session))],
        Round::Get(keys) => keys.iter().cloned().map(Operation::Get).collect(),
    };
    Ticket::new(session, command, Rounds::Counters(round)).ask(operations)
}

fn key_of(session: &str, counter: &str) -> Option<String> {
    match counter {
        "attempts" => Some(keys::attempts(session)),
        "execs" => Some(keys::executions(session)),
        "consec_fail" => Some(keys::failures(session)),
        other => other.strip_prefix("tool:").filter(|tool| !tool.is_empty()).map(|tool| keys::tool(session, tool)),
    }
}

fn known_keys(rules: &Rules, session: &str) -> Vec<String> {
    let own = [keys::attempts(session), keys::executions(session), keys::failures(session)];
    own.into_iter().chain(rules.limits.limited_tools().map(|tool| keys::tool(session, tool))).collect()
}

fn report(session: &str, found: Vec<(String, String)>) -> Operate {
    let prefix = keys::prefix(session);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (key, value) in found {
        let Some(name) = key.strip_prefix(&prefix) else { continue };
        if key_of(session, name).is_none() {
            continue;
        }
        let entry = crate::inquiry::Entry { value: Some(value), version: None };
        match counters::count(&Outcome::Done(entry)) {
            Ok(count) => counts.insert(name.to_owned(), count.unwrap_or(0)),
            Err(why) => return failed(unavailable(&why)),
        };
    }
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    let mut state = String::new();
    Object::write(&mut state, |state| {
        state.number("attempts", count("attempts"));
        state.number("execs", count("execs"));
        state.number("consec_fail", count("consec_fail"));
        state.object("tools", |tools| {
            for (name, count) in &counts {
                if let Some(tool) = name.strip_prefix("tool:") {
                    tools.number(tool, *count);
                }
            }
        });
    });
    Step::Done(Ok(Operated { state, events: Vec::new() }))
}

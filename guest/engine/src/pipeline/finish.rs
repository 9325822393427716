//! After a tool ran: postconditions, counters, the end of the call.

use serde_json::value::RawValue;

use super::ask::{self, Known, Round};
use super::fault;
use super::gates::{self, Recorded};
use super::postconditions::{self, Checked};
use super::ticket::{Facts, Stage, Ticket};
use crate::call::{self, Call, MAX_CALL_BYTES, Output, Purpose, Subject};
use crate::inquiry::{Answer, Conclusion, Operation, Step, ToolOutcome};
use crate::json::write::Object;
use crate::json::{Number, Tape, Value};
use crate::program::Phase;
use crate::record::event::{Entry, Happened};
use crate::rules::Rules;
use crate::session::keys;
use crate::workflow::gate::Stuck;

/// `policy.finish`
#[must_use]
pub fn finish(rules: &Rules, text: &str, ticket: &str, outcome: &ToolOutcome, now: u64) -> Step<Conclusion> {
    match Ticket::read(ticket, text, &[Stage::Open]) {
        Ok(mut ticket) => {
            ticket.step = Stage::Finish;
            ticket.facts.failed = None;
            conclude(rules, text, ticket, outcome, now)
        }
        Err(error) => Step::Done(fault::conclusion(rules, text, None, &error.to_string(), now)),
    }
}

/// `policy.resume-finish`
#[must_use]
pub fn resume(
    rules: &Rules,
    text: &str,
    ticket: &str,
    outcome: &ToolOutcome,
    answers: Vec<Answer>,
    now: u64,
) -> Step<Conclusion> {
    match Ticket::read(ticket, text, &[Stage::Finish]) {
        Ok(mut ticket) => {
            let asked = std::mem::take(&mut ticket.asked);
            ask::absorb(&mut ticket.facts, &asked, answers);
            conclude(rules, text, ticket, outcome, now)
        }
        Err(error) => Step::Done(fault::conclusion(rules, text, None, &error.to_string(), now)),
    }
}

fn conclude(rules: &Rules, text: &str, mut ticket: Ticket, outcome: &ToolOutcome, now: u64) -> Step<Conclusion> {
    let failed = |ticket, error: &str| Step::Done(fault::conclusion(rules, text, Some(ticket), error, now));
    ticket.facts.stamp(now);
    let tape = call::read_text(text).ok().or_else(|| call::rest_of_text(text));
    let whole = tape.as_ref().and_then(|tape| Call::read(tape, &rules.registry, Purpose::Execute).ok());
    let Some(call) = whole else {
        if ticket.unjudged {
            let call = rules.call_of(tape.as_ref());
            return unjudged(rules, &ticket, outcome, &call, now);
        }
        return failed(ticket, "the call cannot be read");
    };
    if outcome.output.len() > MAX_CALL_BYTES {
        return failed(ticket, "the result is too large to be checked");
    }
    let Ok(output) = Tape::read(&outcome.output) else { return failed(ticket, "the result is not JSON") };
    let known = Known::of(&ticket.facts);
    let mut subject = known.subject(rules, &call);
    let output_text = postconditions::output_text(rules, output.root());
    let output = Output { value: output.root(), text: output_text.as_deref() };
    subject.output = Some(output);

    let facts = &ticket.facts;
    let mut round = Round::default();
    let success = success(rules, facts, outcome, output.value);
    if success.is_none() {
        round.success(&subject, &outcome.output);
    }
    round.selectors(rules, &subject, facts);
    if round.is_empty() && !rules.needs.operators.is_empty() {
        round.operators(&rules.program.scan(Phase::Post, subject), facts);
    }
    let success = success.unwrap_or(Ok(false));
    if round.is_empty() && facts.executions.is_none() {
        let operations = executed(&call, facts, success == Ok(true));
        let workflow = rules.workflow.as_deref().filter(|_| stage_of(&ticket, &success).is_some());
        round.executed(operations, workflow, call.session_id);
        round.after(rules, &subject, &outcome.output);
    }
    if !round.is_empty() {
        return Step::Ask(round.into_inquiry(ticket));
    }
    let mut recorded = None;
    if let Some((workflow, stage)) = rules.workflow.as_deref().zip(stage_of(&ticket, &success)) {
        match gates::record(rules, workflow, &call, &ticket.facts, stage, output.value) {
            Ok(done) => recorded = Some(Ok(done)),
            Err(Stuck::Error(error)) => recorded = Some(Err(error)),
            Err(Stuck::Ask(asked)) => {
                round.command(*asked);
                return Step::Ask(round.into_inquiry(ticket));
            }
        }
        if let (Some(Ok(done)), Some(Ok(stored))) = (&recorded, &ticket.facts.workflow)
            && done.valid
            && !stored.written
        {
            round.write_workflow(workflow, call.session_id, stored, &done.state);
            return Step::Ask(round.into_inquiry(ticket));
        }
    }
    let checked = postconditions::check(rules, &subject, output, facts.operators.as_deref().unwrap_or_default());
    Step::Done(done(rules, &subject, &ticket, &checked, &success, recorded.as_ref(), now))
}

/// The stage whose evidence a call is: the one that let it run, if it succeeded.
fn stage_of<'t>(ticket: &'t Ticket, success: &Result<bool, String>) -> Option<&'t str> {
    ticket.workflow.as_ref().and_then(|word| word.stage.as_deref()).filter(|_| *success == Ok(true))
}

/// Whether the tool succeeded; none: it has to be asked. An error of the success check is a failure of the tool.
fn success(rules: &Rules, facts: &Facts, outcome: &ToolOutcome, output: Value<'_>) -> Option<Result<bool, String>> {
    if let Some(success) = outcome.success {
        return Some(Ok(success));
    }
    if rules.options.success_check {
        return facts.success.clone();
    }
    Some(Ok(heuristic(output)))
}

/// Engine.md §8.4: null and almost everything else is a success.
fn heuristic(output: Value<'_>) -> bool {
    match output {
        Value::Map(map) => !map.get("is_error").is_some_and(truthy),
        Value::String(text) => {
            let start: String = text.chars().take(7).flat_map(char::to_lowercase).collect();
            !(start.starts_with("error:") || start.starts_with("fatal:"))
        }
        _ => true,
    }
}

fn truthy(value: Value<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => flag,
        Value::Number(number) => number.compare(Number::Int(0)) != Some(std::cmp::Ordering::Equal),
        Value::String(text) => !text.is_empty(),
        Value::List(list) => !list.is_empty(),
        Value::Map(map) => !map.is_empty(),
    }
}

/// Counters of a run tool. The streak of failures is deleted only when there is one: a request less each time.
fn executed(call: &Call<'_>, facts: &Facts, success: bool) -> Vec<Operation> {
    let session = call.session_id;
    let mut operations = vec![
        Operation::Increment { key: keys::executions(session), amount: 1 },
        Operation::Increment { key: keys::tool(session, call.tool), amount: 1 },
    ];
    let failing = facts.counters.is_none_or(|counters| counters.failing);
    if !success {
        operations.push(Operation::Increment { key: keys::failures(session), amount: 1 });
    } else if failing {
        operations.push(Operation::Delete(keys::failures(session)));
    }
    operations
}

fn done(
    rules: &Rules,
    subject: &Subject<'_>,
    ticket: &Ticket,
    checked: &Checked,
    success: &Result<bool, String>,
    recorded: Option<&Result<Recorded, String>>,
    now: u64,
) -> Conclusion {
    let counters = ticket.facts.counters.unwrap_or_default();
    // A lost store cannot undo what the tool did: it is logged, and the checked output goes out.
    let (executions, trouble) = match &ticket.facts.executions {
        Some(Ok(executions)) => (*executions, None),
        Some(Err(why)) => (counters.executions, Some(why.as_str())),
        None => (counters.executions, None),
    };
    let unrecorded = recorded.and_then(|recorded| match recorded {
        Ok(done) => done.trouble.as_deref(),
        Err(error) => Some(error.as_str()),
    });
    let trouble = trouble.or(unrecorded);
    let error = trouble.or(success.as_ref().err().map(String::as_str));
    let trouble = ticket.facts.failed.as_ref().map_or(error, |trouble| Some(trouble.detail.as_str()));
    let succeeded = *success == Ok(true);
    let policy_error = checked.records.policy_error() || trouble.is_some();
    let mut log = rules.log(*subject, ticket.events, now);
    let recorded = rules.workflow.as_deref().zip(recorded.and_then(|recorded| recorded.as_ref().ok()));
    let before = || ticket.workflow.as_ref().map(|word| word.snapshot.clone());
    let snapshot = recorded.map(|(workflow, done)| gates::snapshot(workflow, &done.state)).or_else(before);
    let entry = Entry {
        rules: Some(&checked.records.event_list()),
        policy_error,
        ran: Some((succeeded, checked.passed)),
        error: trouble,
        attempts: counters.attempts,
        executions,
        workflow: snapshot.as_deref().map(RawValue::get),
        ..Entry::default()
    };
    log.write(if succeeded { Happened::Executed } else { Happened::Failed }, &entry);
    if rules.options.postcondition_events && !checked.passed {
        let reason = checked.warnings.join("\n");
        log.write(Happened::PostconditionWarning, &Entry { reason: Some(&reason), ..entry });
    }
    if let Some((workflow, done)) = recorded {
        gates::moved(&mut log, workflow, &done.state, done.completed.as_slice());
    }
    let mut detail = String::new();
    Object::write(&mut detail, |detail| {
        detail.bool("redacted", checked.redacted);
        detail.bool("suppressed", checked.suppressed);
        detail.bool("policy_error", policy_error);
        detail.raw("rules_evaluated", &checked.records.list());
        detail.raw("findings", &checked.findings);
        detail.number("attempts", counters.attempts);
        detail.number("execs", executions);
        if let Some(snapshot) = &snapshot {
            detail.raw("workflow", snapshot.get());
        }
        gates::write_notices(gates::notices(&ticket.facts), detail);
        if let Some(trouble) = trouble {
            detail.string("error_detail", &rules.redactor.text(trouble));
        }
    });
    Conclusion {
        success: succeeded,
        passed: checked.passed,
        replacement: checked.replacement.clone(),
        warnings: checked.warnings.clone(),
        detail,
        events: log.events,
    }
}

/// A call that was no call and ran because the guard observes: nothing is counted, nothing checked.
fn unjudged(rules: &Rules, ticket: &Ticket, outcome: &ToolOutcome, call: &Call<'_>, now: u64) -> Step<Conclusion> {
    let value = Tape::read(&outcome.output);
    let success = outcome.success.unwrap_or_else(|| value.as_ref().is_ok_and(|output| heuristic(output.root())));
    let known = Known::of(&ticket.facts);
    let mut log = rules.log(known.subject(rules, call), ticket.events, now);
    log.write(
        if success { Happened::Executed } else { Happened::Failed },
        &Entry { policy_error: true, ran: Some((success, true)), ..Entry::default() },
    );
    Step::Done(Conclusion {
        success,
        passed: true,
        replacement: None,
        warnings: Vec::new(),
        detail: r#"{"redacted":false,"suppressed":false,"policy_error":true,"rules_evaluated":[],"findings":[]}"#
            .to_owned(),
        events: log.events,
    })
}

//! Writes answers of the text form: finished steps, questions, and what is wrong with a request.

use crate::diagnostics::Failure;
use crate::inquiry::{
    CommandLine, Conclusion, Decision, HookCall, Inquiry, Operated, Operation, OperatorCall, Phase, Question, Step,
};
use crate::json::Json;
use crate::json::write::{Items, Object, strings};

use super::request::Malformed;

/// Room for names and punctuation of an answer; a bigger one grows.
const FRAME: usize = 192;

/// A step of `evaluate`.
pub fn evaluated(step: Step<Json>) -> Json {
    match step {
        Step::Done(result) => {
            let mut out = String::with_capacity(FRAME + result.len());
            Object::write(&mut out, |answer| answer.raw("done", &result));
            out
        }
        Step::Ask(inquiry) => ask(&inquiry),
    }
}

/// A step of `begin` or `settle`.
pub fn begun(step: Step<Decision>) -> Json {
    match step {
        Step::Done(decision) => {
            let mut out = room(&decision.events, &[&decision.detail, &decision.ticket, &decision.reason]);
            Object::write(&mut out, |answer| answer.object("done", |object| decided(object, &decision)));
            out
        }
        Step::Ask(inquiry) => ask(&inquiry),
    }
}

/// A step of `finish`.
pub fn finished(step: Step<Conclusion>) -> Json {
    match step {
        Step::Done(conclusion) => {
            let replacement = conclusion.replacement.as_deref().unwrap_or_default();
            let mut out = room(&conclusion.events, &[&conclusion.detail, replacement]);
            Object::write(&mut out, |answer| answer.object("done", |object| concluded(object, &conclusion)));
            out
        }
        Step::Ask(inquiry) => ask(&inquiry),
    }
}

/// A step of `operate`.
pub fn operated(step: Step<Result<Operated, Failure>>) -> Json {
    let end = match step {
        Step::Done(end) => end,
        Step::Ask(inquiry) => return ask(&inquiry),
    };
    let mut out = String::new();
    Object::write(&mut out, |answer| {
        answer.object("done", |result| match &end {
            Ok(Operated { state, events }) => result.object("ok", |object| {
                object.raw("state", state);
                object.list("events", |items| events.iter().for_each(|event| items.raw(event)));
            }),
            // Not on the way of any call, so `serde` may write it.
            Err(failure) => result.raw("err", &serde_json::to_string(failure).unwrap_or_else(|_| "null".to_owned())),
        });
    });
    out
}

/// What is wrong with a request.
pub fn failed(malformed: &Malformed) -> Json {
    let mut out = String::new();
    Object::write(&mut out, |answer| {
        answer.object("failed", |object| {
            object.string("code", malformed.code);
            object.string("message", &malformed.message);
        });
    });
    out
}

fn room(events: &[Json], texts: &[&str]) -> String {
    let events: usize = events.iter().map(|event| event.len() + 1).sum();
    let texts: usize = texts.iter().map(|text| text.len()).sum();
    String::with_capacity(FRAME + events + texts)
}

fn decided(object: &mut Object<'_>, decision: &Decision) {
    object.string("action", decision.action.as_str());
    object.bool("observed", decision.observed);
    object.bool("policy_error", decision.policy_error);
    object.string("reason", &decision.reason);
    object.string("name", &decision.name);
    object.raw("detail", &decision.detail);
    object.list("events", |items| decision.events.iter().for_each(|event| items.raw(event)));
    object.raw("ticket", &decision.ticket);
    if let Some(approval) = &decision.approval {
        object.raw("approval", approval);
    }
}

fn concluded(object: &mut Object<'_>, conclusion: &Conclusion) {
    object.bool("success", conclusion.success);
    object.bool("passed", conclusion.passed);
    if let Some(replacement) = &conclusion.replacement {
        object.raw("replacement", replacement);
    }
    object.list("warnings", |items| conclusion.warnings.iter().for_each(|warning| items.string(warning)));
    object.raw("detail", &conclusion.detail);
    object.list("events", |items| conclusion.events.iter().for_each(|event| items.raw(event)));
}

fn ask(inquiry: &Inquiry) -> Json {
    let mut out = String::with_capacity(FRAME + inquiry.ticket.len());
    Object::write(&mut out, |answer| {
        answer.object("ask_host", |object| {
            object.raw("ticket", &inquiry.ticket);
            object.list("questions", |items| inquiry.questions.iter().for_each(|one| question(items, one)));
        });
    });
    out
}

fn question(items: &mut Items<'_>, question: &Question) {
    match question {
        Question::Session(operations) => items.object(|object| {
            object.list("session", |items| operations.iter().for_each(|one| operation(items, one)));
        }),
        Question::Principal => items.string("principal"),
        Question::ReadLinks(paths) => items.object(|object| object.raw("read_links", &strings(paths))),
        Question::Selectors(query) => items.object(|object| {
            object.object("selectors", |object| {
                object.raw("prefixes", &strings(&query.prefixes));
                object.raw("call", &query.call);
            });
        }),
        Question::Operators(calls) => items.object(|object| {
            object.list("operators", |items| calls.iter().for_each(|call| operator(items, call)));
        }),
        Question::Hooks(calls) => items.object(|object| {
            object.list("hooks", |items| calls.iter().for_each(|call| hook(items, call)));
        }),
        Question::Command(line) => items.object(|object| object.object("command", |object| command(object, line))),
    }
}

fn operation(items: &mut Items<'_>, operation: &Operation) {
    items.object(|object| match operation {
        Operation::Get(key) => object.string("get", key),
        Operation::Increment { key, amount } => object.object("increment", |object| {
            object.string("key", key);
            object.number("amount", u64::from(*amount));
        }),
        Operation::Put { key, value, expected } => object.object("put", |object| {
            object.string("key", key);
            object.string("value", value);
            if let Some(expected) = expected {
                object.string("expected", expected);
            }
        }),
        Operation::Delete(key) => object.string("delete", key),
        Operation::Scan(prefix) => object.string("scan", prefix),
    });
}

fn operator(items: &mut Items<'_>, call: &OperatorCall) {
    items.object(|object| {
        object.string("name", &call.name);
        object.raw("value", &call.value);
        object.raw("operand", &call.operand);
    });
}

fn hook(items: &mut Items<'_>, call: &HookCall) {
    items.object(|object| {
        object.string("name", &call.name);
        object.string(
            "phase",
            match call.phase {
                Phase::Before => "before",
                Phase::After => "after",
                Phase::SuccessCheck => "success_check",
            },
        );
        object.raw("call", &call.call);
        if let Some(output) = &call.output {
            object.raw("output", output);
        }
    });
}

fn command(object: &mut Object<'_>, line: &CommandLine) {
    object.raw("argv", &strings(&line.argv));
    object.raw("environment", &strings(&line.environment));
    object.number("timeout_ms", u64::from(line.timeout_ms));
    object.number("output_cap", u64::from(line.output_cap));
}

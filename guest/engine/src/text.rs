//! The text form: the hot calls of a policy with one JSON text in and one JSON text out (`decide-text` of the WIT), for
//! hosts that pay for every field of a record. It means what [`crate::policy`] means; nothing is decided here.
//!
//! * A request has the parameters of the call as members, in snake_case, and no others. An option that is none is left out.
//! * An answer is an object with one member: `done`, `ask_host`, or `failed` with a code and a message when the request
//!   is not one. After `failed` nothing was decided, and the tool must not run.
//! * A variant is an object with one member, or a string when the case carries nothing; a result is `ok` or `err`.
//! * Calls, outputs, tickets, details, events are JSON values, not strings, and their text is never changed. Nor is it judged
//!   here: a call with duplicate keys or bottomless nesting gets its block from the engine, as in the typed form.
//!
//! [`crate::json::members`] cuts texts, [`request`] reads what comes in, [`answer`] writes what goes out. Schema:
//! `wit/schemas/inquiry.schema.json`.

mod answer;
mod request;
#[cfg(test)]
mod tests;

use crate::json::{Json, members};
use crate::policy::Policy;
use request::{Malformed, Request, Resumed};

/// Dry run: `call`, `output?`.
#[must_use]
pub fn evaluate(policy: &Policy, request: &str) -> Json {
    answered(Request::read(request).and_then(|mut request| {
        let (call, output) = (request.raw("call")?, request.optional_raw("output"));
        request.end()?;
        Ok(answer::evaluated(policy.evaluate(call, output)))
    }))
}

/// Before a tool runs: `call`, `now`.
#[must_use]
pub fn begin(policy: &Policy, request: &str) -> Json {
    answered(Request::read(request).and_then(|mut request| {
        let (call, now) = (request.raw("call")?, request.now()?);
        request.end()?;
        Ok(answer::begun(policy.begin(call, now)))
    }))
}

/// An `ask` was answered: `call`, `ticket`, `approval`, `now`.
#[must_use]
pub fn settle(policy: &Policy, request: &str) -> Json {
    answered(Request::read(request).and_then(|mut request| {
        let (call, ticket) = (request.raw("call")?, request.raw("ticket")?);
        let (approval, now) = (request.approval()?, request.now()?);
        request.end()?;
        Ok(answer::begun(policy.settle(call, ticket, approval, now)))
    }))
}

/// After the tool ran: `call`, `ticket`, `outcome`, `now`.
#[must_use]
pub fn finish(policy: &Policy, request: &str) -> Json {
    answered(Request::read(request).and_then(|mut request| {
        let (call, ticket) = (request.raw("call")?, request.raw("ticket")?);
        let (outcome, now) = (request.outcome()?, request.now()?);
        request.end()?;
        Ok(answer::finished(policy.finish(call, ticket, &outcome, now)))
    }))
}

/// Answers the questions of a step: `ticket`, `answers`, and the members of the step that asked. The step is told by
/// the ticket; `settle` goes on as `begin` does, so its `approval` is not given again.
#[must_use]
pub fn resume(policy: &Policy, request: &str) -> Json {
    answered(Request::read(request).and_then(|mut request| {
        let (ticket, answers) = (request.raw("ticket")?, request.answers()?);
        Ok(match Resumed::of(ticket)? {
            Resumed::Evaluate => {
                let (call, output) = (request.raw("call")?, request.optional_raw("output"));
                request.end()?;
                answer::evaluated(policy.resume_evaluate(call, output, ticket, answers))
            }
            Resumed::Begin => {
                let (call, now) = (request.raw("call")?, request.now()?);
                request.end()?;
                answer::begun(policy.resume_begin(call, ticket, answers, now))
            }
            Resumed::Finish => {
                let (call, outcome, now) = (request.raw("call")?, request.outcome()?, request.now()?);
                request.end()?;
                answer::finished(policy.resume_finish(call, ticket, &outcome, answers, now))
            }
            Resumed::Operate => {
                let now = request.now()?;
                request.end()?;
                answer::operated(policy.resume_operate(ticket, answers, now))
            }
        })
    }))
}

/// The members of an object, in order: decoded names and the raw texts of the values, so that a host can pass `1.0` on
/// as `1.0`.
///
/// # Errors
/// The text is not a JSON object, or a name stands in it twice. What is inside the values is JSON, but not judged any
/// further.
pub fn members(object: &str) -> Result<Vec<(String, Json)>, String> {
    match members::members(object) {
        Ok(members) => Ok(members.into_iter().map(|(name, raw)| (name.into_owned(), raw.to_owned())).collect()),
        Err(error) => Err(error.to_string()),
    }
}

fn answered(answer: Result<Json, Malformed>) -> Json {
    answer.unwrap_or_else(|malformed| answer::failed(&malformed))
}

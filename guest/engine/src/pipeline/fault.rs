//! Decisions about calls that could not be judged: an instance, a store or a deadline failed, or the call is not one.
//! They fail closed; in observe mode the call runs, marked `observed` and `policy_error` (design.md §1, invariant 5).

use super::ask::Known;
use super::judge::Cause;
use super::ticket::{Stage, Ticket, TicketError};
use crate::call::{self, Subject};
use crate::documents::ruleset::Mode;
use crate::inquiry::{Action, Conclusion, Decision, Fault};
use crate::json::write::{self, Object};
use crate::record::event::{Entry, Happened};
use crate::rules::Rules;

/// What the agent sees instead of output that could not be checked.
pub const SUPPRESSED: &str = "[OUTPUT SUPPRESSED] The result could not be checked against the policy.";

/// What the agent is told, without a word of what failed.
#[must_use]
pub fn reason(name: &str) -> String {
    let what = match name {
        "trap" => "the policy engine failed",
        "deadline" => "the policy engine took too long",
        "out_of_memory" => "the policy engine ran out of memory",
        "store" => "the session state could not be read or written",
        "decision_log" => "the decision log cannot take more events",
        "principal_resolver" => "it could not be determined whose call it is",
        "abandoned" => "the call was never finished",
        _ => "the host failed",
    };
    format!("The call could not be checked: {what}.")
}

const fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Trap => "trap",
        Fault::Deadline => "deadline",
        Fault::OutOfMemory => "out_of_memory",
        Fault::Store => "store",
        Fault::DecisionLog => "decision_log",
        Fault::Host => "host",
        Fault::Abandoned => "abandoned",
    }
}

/// `policy.fault`
#[must_use]
pub fn fault(rules: &Rules, text: &str, ticket: Option<&str>, fault: Fault, now: u64) -> Decision {
    let steps = [Stage::Begin, Stage::Settle, Stage::Asked, Stage::Open];
    let ticket = ticket.and_then(|ticket| Ticket::read(ticket, text, &steps).ok());
    let cause = Cause { source: "fault".to_owned(), name: name(fault).to_owned(), reason: reason(name(fault)) };
    blocked_text(rules, text, cause, ticket, now)
}

/// A ticket that does not fit its call or its step.
pub(super) fn mixed_up(rules: &Rules, text: &str, error: TicketError, now: u64) -> Decision {
    let reason = format!("The call could not be checked: {error}.");
    blocked_text(rules, text, Cause { source: "fault".to_owned(), name: "host".to_owned(), reason }, None, now)
}

fn blocked_text(rules: &Rules, text: &str, cause: Cause, ticket: Option<Ticket>, now: u64) -> Decision {
    let tape = call::read_text(text).ok().or_else(|| call::rest_of_text(text));
    let call = rules.call_of(tape.as_ref());
    let known = ticket.as_ref().map(|ticket| Known::of(&ticket.facts)).unwrap_or_default();
    blocked(rules, text, known.subject(rules, &call), cause, ticket, now)
}

/// A block that is nobody's verdict, with its event.
pub(super) fn blocked(
    rules: &Rules,
    text: &str,
    subject: Subject<'_>,
    cause: Cause,
    ticket: Option<Ticket>,
    now: u64,
) -> Decision {
    let mut ticket = ticket.unwrap_or_else(|| Ticket::new(Stage::Begin, text));
    let observing = rules.mode == Mode::Observe;
    let counters = ticket.facts.counters.unwrap_or_default();
    let mut log = rules.log(subject, ticket.events, now);
    log.write(
        if observing { Happened::WouldBlock } else { Happened::Blocked },
        &Entry {
            source: Some(&cause.source),
            name: Some(&cause.name),
            reason: Some(&cause.reason),
            policy_error: true,
            attempts: counters.attempts,
            executions: counters.executions,
            ..Entry::default()
        },
    );
    let mut detail = String::new();
    Object::write(&mut detail, |detail| {
        detail.string("decision_source", &cause.source);
        detail.string("decision_name", &cause.name);
        detail.raw("rules_evaluated", "[]");
        detail.raw("hooks_evaluated", "[]");
        detail.number("attempts", counters.attempts);
        detail.number("execs", counters.executions);
    });
    ticket.step = if observing { Stage::Open } else { Stage::Closed };
    ticket.unjudged = true;
    ticket.asked.clear();
    ticket.events = log.next_place();
    Decision {
        action: if observing { Action::Allow } else { Action::Block },
        observed: observing,
        policy_error: true,
        reason: cause.reason,
        name: cause.name,
        detail,
        events: log.events,
        ticket: ticket.write(),
        approval: None,
    }
}

/// `policy.fault-finish`
#[must_use]
pub fn fault_finish(rules: &Rules, text: &str, ticket: &str, fault: Fault, now: u64) -> Conclusion {
    let ticket = Ticket::read(ticket, text, &[Stage::Open, Stage::Finish]).ok();
    conclusion(rules, text, ticket, name(fault), now)
}

/// The end of a call whose output could not be checked: suppressed, unless the guard only observes.
pub(super) fn conclusion(rules: &Rules, text: &str, ticket: Option<Ticket>, error: &str, now: u64) -> Conclusion {
    let tape = call::read_text(text).ok().or_else(|| call::rest_of_text(text));
    let call = rules.call_of(tape.as_ref());
    let known = ticket.as_ref().map(|ticket| Known::of(&ticket.facts)).unwrap_or_default();
    let counters = ticket.as_ref().and_then(|ticket| ticket.facts.counters).unwrap_or_default();
    let place = ticket.as_ref().map_or(0, |ticket| ticket.events);
    let mut log = rules.log(known.subject(rules, &call), place, now);
    log.write(
        Happened::Failed,
        &Entry {
            policy_error: true,
            ran: Some((false, false)),
            error: Some(error),
            attempts: counters.attempts,
            executions: counters.executions,
            ..Entry::default()
        },
    );
    let suppressed = rules.mode == Mode::Enforce;
    let mut detail = String::new();
    Object::write(&mut detail, |detail| {
        detail.bool("redacted", false);
        detail.bool("suppressed", suppressed);
        detail.bool("policy_error", true);
        detail.string("error", error);
        detail.raw("rules_evaluated", "[]");
        detail.raw("findings", "[]");
    });
    let mut replacement = String::new();
    write::string(&mut replacement, SUPPRESSED);
    Conclusion {
        success: false,
        passed: false,
        replacement: suppressed.then_some(replacement),
        warnings: Vec::new(),
        detail,
        events: log.events,
    }
}

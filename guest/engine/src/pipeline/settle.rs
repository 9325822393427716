//! A person, a deadline or a queue has answered an `ask`. A refusal ends the call; an agreement is remembered, and the
//! call is judged again under the rules in force now, because a block outweighs an approval (engine.md §8.5).

use super::ask::Known;
use super::begin;
use super::judge::Cause;
use super::ticket::{PendingAsk, SettledAsk, Stage, Ticket};
use crate::call;
use crate::inquiry::{Action, ApprovalOutcome, ApprovalVerdict, Decision, Step};
use crate::json::write::Object;
use crate::record::event::{Entry, Happened};
use crate::rules::Rules;

/// `policy.settle`
#[must_use]
pub fn settle(rules: &Rules, text: &str, ticket: &str, approval: ApprovalOutcome, now: u64) -> Step<Decision> {
    let mut ticket = match Ticket::read(ticket, text, &[Stage::Asked]) {
        Ok(ticket) => ticket,
        Err(error) => return Step::Done(super::fault::mixed_up(rules, text, error, now)),
    };
    let Some(mut pending) = ticket.ask.take() else {
        let error = super::ticket::TicketError::Unreadable;
        return Step::Done(super::fault::mixed_up(rules, text, error, now));
    };
    // A verdict after the deadline is none. That nobody could be asked is not silence, at any time: it blocks.
    let late = now > pending.deadline_ms && approval.verdict != ApprovalVerdict::Unreachable;
    let timed_out = late || approval.verdict == ApprovalVerdict::TimedOut;
    let agreed = if timed_out { pending.allow_on_timeout } else { approval.verdict == ApprovalVerdict::Approved };
    if !agreed {
        return Step::Done(refused(rules, text, ticket, &pending, &approval, timed_out, now));
    }
    pending.outcome = Some(SettledAsk {
        timed_out,
        approval_id: approval.approval_id,
        approver: approval.approver,
        reason: approval.reason,
        decided_at: approval.decided_at,
        decided_via: approval.decided_via,
    });
    match &pending.stage {
        Some(stage) => ticket.approved_stage = Some(stage.clone()),
        None => ticket.granted.extend(pending.rules.iter().cloned()),
    }
    ticket.ask = Some(pending);
    ticket.step = Stage::Settle;
    // What may have changed while somebody was thinking is asked again; who called and what hooks said is not.
    ticket.facts.counters = ticket.facts.counters.filter(|_| rules.options.reference());
    ticket.facts.forget();
    begin::decide(rules, text, ticket, now)
}

fn refused(
    rules: &Rules,
    text: &str,
    mut ticket: Ticket,
    pending: &PendingAsk,
    approval: &ApprovalOutcome,
    timed_out: bool,
    now: u64,
) -> Decision {
    let tape = call::read_text(text).ok().or_else(|| call::rest_of_text(text));
    let call = rules.call_of(tape.as_ref());
    let known = Known::of(&ticket.facts);
    let subject = known.subject(rules, &call);
    let mut log = rules.log(subject, ticket.events, now);
    let counters = ticket.facts.counters.unwrap_or_default();
    let unreachable = approval.verdict == ApprovalVerdict::Unreachable && !timed_out;
    let policy_error = pending.policy_error || unreachable;
    log.write(
        if timed_out { Happened::ApprovalTimeout } else { Happened::ApprovalBlocked },
        &Entry {
            source: Some(&pending.source),
            name: pending.rules.first().map(String::as_str),
            reason: Some(&pending.message),
            hooks: Some(pending.hooks.get()),
            rules: Some(pending.records.get()),
            policy_error,
            attempts: counters.attempts,
            executions: counters.executions,
            workflow: pending.workflow.as_deref().map(serde_json::value::RawValue::get),
            approval: Some(approval),
            ..Entry::default()
        },
    );
    let said = approval.reason.as_deref().filter(|reason| !timed_out && !reason.is_empty());
    let cause = Cause {
        source: pending.source.clone(),
        name: pending.rules.first().cloned().unwrap_or_default(),
        reason: said.map_or_else(|| pending.message.clone(), |said| super::judge::cut(&rules.redactor.text(said))),
    };
    let mut detail = String::new();
    Object::write(&mut detail, |detail| {
        detail.string("decision_source", &cause.source);
        detail.string("decision_name", &cause.name);
        detail.raw("rules_evaluated", pending.records.get());
        detail.raw("hooks_evaluated", pending.hooks.get());
        detail.number("attempts", counters.attempts);
        detail.number("execs", counters.executions);
        if let Some(snapshot) = &pending.workflow {
            detail.raw("workflow", snapshot.get());
        }
    });
    ticket.step = Stage::Closed;
    ticket.events = log.next_place();
    Decision {
        action: Action::Block,
        observed: false,
        policy_error,
        reason: cause.reason,
        name: cause.name,
        detail,
        events: log.events,
        ticket: ticket.write(),
        approval: None,
    }
}

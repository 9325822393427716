//! Before a tool runs: the attempt is counted, everything that must be known is asked for, and the verdict becomes a
//! decision with its events.

use serde_json::value::RawValue;

use super::ask::{self, Known, Round};
use super::gates;
use super::judge::{self, AskRule, Cause, Judgement, Verdict};
use super::ticket::{PendingAsk, Stage, Ticket, WorkflowWord};
use crate::call::{self, Call, InvalidCall, Purpose, Refused, Subject};
use crate::documents::ruleset::{Mode, PreAction, TimeoutAction};
use crate::inquiry::{Action, Answer, ApprovalOutcome, ApprovalVerdict, Decision, Step};
use crate::json::Json;
use crate::json::write::Object;
use crate::options::Approvals;
use crate::program::{Body, Phase};
use crate::record::event::{Entry, Happened, Log};
use crate::rules::Rules;

/// `policy.begin`
#[must_use]
pub fn begin(rules: &Rules, text: &str, now: u64) -> Step<Decision> {
    decide(rules, text, Ticket::new(Stage::Begin, text), now)
}

/// `policy.resume-begin`
#[must_use]
pub fn resume(rules: &Rules, text: &str, ticket: &str, answers: Vec<Answer>, now: u64) -> Step<Decision> {
    match Ticket::read(ticket, text, &[Stage::Begin, Stage::Settle]) {
        Ok(mut ticket) => {
            let asked = std::mem::take(&mut ticket.asked);
            ask::absorb(&mut ticket.facts, &asked, answers);
            decide(rules, text, ticket, now)
        }
        Err(error) => Step::Done(super::fault::mixed_up(rules, text, error, now)),
    }
}

/// Asks what is still open, or judges.
pub(super) fn decide(rules: &Rules, text: &str, mut ticket: Ticket, now: u64) -> Step<Decision> {
    let tape = match call::read_text(text) {
        Ok(tape) => tape,
        Err(invalid) => {
            let rest = call::rest_of_text(text);
            return Step::Done(refused(rules, text, &rules.call_of(rest.as_ref()), &invalid, false, now));
        }
    };
    let call = match Call::read(&tape, &rules.registry, Purpose::Execute) {
        Ok(call) => call,
        Err(Refused { call, invalid, rules_may_explain }) => {
            return Step::Done(refused(rules, text, &call, &invalid, rules_may_explain, now));
        }
    };
    ticket.facts.stamp(now);
    let known = Known::of(&ticket.facts);
    let subject = known.subject(rules, &call);
    let touched = rules.touched(&call);
    if ticket.facts.failed.is_none() {
        let facts = &ticket.facts;
        let mut round = Round::default();
        round.counters(rules, &call, facts, ticket.step == Stage::Begin);
        round.principal(rules, &call, facts);
        round.links(touched.as_ref(), &known);
        let counted = facts.counters.unwrap_or_default();
        if round.is_empty() && rules.limits.attempts_reached(&counted).is_none() {
            round.hooks(rules, &subject, facts);
            round.selectors(rules, &subject, facts);
            if round.is_empty() && !rules.needs.operators.is_empty() {
                round.operators(&rules.program.scan(Phase::Pre, subject), facts);
            }
        }
        if !round.is_empty() {
            return Step::Ask(round.into_inquiry(ticket));
        }
    }
    let by_rules = ticket.ask.as_ref().is_some_and(|ask| ask.stage.is_none());
    let mut judgement = if rules.options.reference() && ticket.step == Stage::Settle && by_rules {
        // In the reference an approval that a rule asked for ends the matter (engine.md §16 row 3).
        Judgement::allowed(rules)
    } else {
        judge::judge(rules, &subject, &ticket, &known, touched.as_ref())
    };
    let mut round = Round::default();
    if let Verdict::Command(asked) = judgement.verdict {
        round.command(*asked);
        return Step::Ask(round.into_inquiry(ticket));
    }
    if let (Some(workflow), Some(Ok(stored))) = (&rules.workflow, &ticket.facts.workflow)
        && !stored.written
        && let Some(state) = gates::left(workflow, &call, &ticket, judgement.gated.as_ref())
    {
        round.write_workflow(workflow, call.session_id, stored, &state);
        return Step::Ask(round.into_inquiry(ticket));
    }
    judgement.notices = gates::notices(&ticket.facts);
    Step::Done(conclude(rules, &subject, ticket, judgement, now))
}

/// The decision and the events of a verdict.
pub(super) fn conclude(
    rules: &Rules,
    subject: &Subject<'_>,
    mut ticket: Ticket,
    judgement: Judgement,
    now: u64,
) -> Decision {
    let mut log = rules.log(*subject, ticket.events, now);
    if let Some(pending) = &ticket.ask {
        settled_event(&mut log, pending, &ticket);
    }
    ticket.approved_stage = None;
    let gated = rules.workflow.as_deref().zip(judgement.gated.as_ref());
    let snapshot = gated.map(|(workflow, gated)| {
        gates::moved(&mut log, workflow, &gated.state, &gated.evaluation.moves);
        gates::snapshot(workflow, &gated.state)
    });
    ticket.workflow = judgement.gated.as_ref().zip(snapshot).map(|(gated, snapshot)| WorkflowWord {
        stage: gated.evaluation.stage.clone().filter(|_| gated.evaluation.action == Action::Allow),
        snapshot,
    });
    match &judgement.verdict {
        Verdict::Allow => allow(log, ticket, &judgement),
        Verdict::Block(cause) => block(rules, log, ticket, &judgement, cause),
        Verdict::Ask(asks) if rules.options.approvals == Approvals::None => {
            nobody_to_ask(log, ticket, &judgement, asks)
        }
        // What must be known was asked for before; a call that gets here without it does not run.
        Verdict::Command(_) => {
            let cause =
                Cause { source: "fault".to_owned(), name: "host".to_owned(), reason: super::fault::reason("host") };
            block(rules, log, ticket, &judgement, &cause)
        }
        Verdict::Ask(asks) => ask_person(rules, subject, log, ticket, &judgement, asks),
    }
}

/// The answer to an ask, before what became of the call.
fn settled_event(log: &mut Log<'_>, pending: &PendingAsk, ticket: &Ticket) {
    let Some(outcome) = &pending.outcome else { return };
    let happened = if outcome.timed_out { Happened::ApprovalTimeout } else { Happened::ApprovalGranted };
    let approval = ApprovalOutcome {
        verdict: if outcome.timed_out { ApprovalVerdict::TimedOut } else { ApprovalVerdict::Approved },
        approval_id: outcome.approval_id.clone(),
        approver: outcome.approver.clone(),
        reason: outcome.reason.clone(),
        decided_at: outcome.decided_at.clone(),
        decided_via: outcome.decided_via.clone(),
    };
    let counters = ticket.facts.counters.unwrap_or_default();
    log.write(
        happened,
        &Entry {
            source: Some(&pending.source),
            name: pending.rules.first().map(String::as_str),
            reason: Some(&pending.message),
            hooks: Some(pending.hooks.get()),
            rules: Some(pending.records.get()),
            policy_error: pending.policy_error,
            attempts: counters.attempts,
            executions: counters.executions,
            workflow: pending.workflow.as_deref().map(RawValue::get),
            approval: Some(&approval),
            ..Entry::default()
        },
    );
}

fn allow(mut log: Log<'_>, mut ticket: Ticket, judgement: &Judgement) -> Decision {
    for observed in &judgement.observed {
        log.write(
            Happened::WouldBlock,
            &Entry {
                source: Some(observed.source),
                name: Some(&observed.name),
                reason: Some(&observed.reason),
                observing: true,
                policy_error: judgement.policy_error,
                ..Entry::default()
            },
        );
    }
    decision_event(&mut log, Happened::Allowed, None, &ticket, judgement);
    for candidate in &judgement.candidates {
        let happened = if candidate.message.is_some() { Happened::WouldBlock } else { Happened::Allowed };
        log.write(
            happened,
            &Entry {
                source: Some(candidate.source),
                name: Some(&candidate.name),
                reason: candidate.message.as_deref(),
                observing: true,
                ..Entry::default()
            },
        );
    }
    ticket.step = Stage::Open;
    ticket.ask = None;
    ticket.facts.forget();
    let mut decision = decision(Action::Allow, None, log, ticket, judgement);
    decision.observed = !judgement.observed.is_empty();
    decision
}

fn block(rules: &Rules, mut log: Log<'_>, mut ticket: Ticket, judgement: &Judgement, cause: &Cause) -> Decision {
    let observing = rules.mode == Mode::Observe;
    let happened = if observing { Happened::WouldBlock } else { Happened::Blocked };
    decision_event(&mut log, happened, Some(cause), &ticket, judgement);
    ticket.step = if observing { Stage::Open } else { Stage::Closed };
    ticket.ask = None;
    ticket.would_block = observing;
    ticket.facts.forget();
    let action = if observing { Action::Allow } else { Action::Block };
    let mut decision = decision(action, Some(cause), log, ticket, judgement);
    decision.observed = observing;
    decision
}

/// An ask that nobody can answer blocks, also where the guard observes: it does so in the reference.
fn nobody_to_ask(mut log: Log<'_>, mut ticket: Ticket, judgement: &Judgement, asks: &[AskRule]) -> Decision {
    let Some(first) = asks.first() else { return decision(Action::Block, None, log, ticket, judgement) };
    decision_event(&mut log, Happened::Blocked, Some(&first.cause), &ticket, judgement);
    ticket.step = Stage::Closed;
    let mut cause = first.cause.clone();
    cause.reason = format!("Approval required but no approval backend configured: {}", cause.reason);
    decision(Action::Block, Some(&cause), log, ticket, judgement)
}

/// One question to a person for all rules that ask: the first one's message, the shortest time, and an allow on timeout
/// only if all of them say so.
fn ask_person(
    rules: &Rules,
    subject: &Subject<'_>,
    mut log: Log<'_>,
    mut ticket: Ticket,
    judgement: &Judgement,
    asks: &[AskRule],
) -> Decision {
    let Some(first) = asks.first() else { return decision(Action::Block, None, log, ticket, judgement) };
    decision_event(&mut log, Happened::Asked, Some(&first.cause), &ticket, judgement);
    let timeout = asks.iter().map(|ask| ask.approval.timeout).min().unwrap_or(u64::MAX);
    let allow_on_timeout = asks.iter().all(|ask| ask.approval.timeout_action == TimeoutAction::Allow);
    let raw = |json: Json| RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned());
    let pending = PendingAsk {
        rules: asks.iter().map(|ask| ask.cause.name.clone()).collect(),
        source: first.cause.source.clone(),
        message: first.cause.reason.clone(),
        policy_error: judgement.policy_error,
        records: raw(judgement.records.event_list()),
        hooks: raw(judgement.hooks.clone()),
        deadline_ms: log.now.saturating_add(timeout.saturating_mul(1000)),
        allow_on_timeout,
        stage: first.stage.clone(),
        workflow: ticket.workflow.take().map(|word| word.snapshot),
        outcome: None,
    };
    ticket.workflow_rounds += u32::from(pending.stage.is_some());
    ticket.facts.forget();
    let approval = approval(rules, subject, &log, &pending, timeout);
    ticket.step = Stage::Asked;
    ticket.ask = Some(pending);
    let mut decision = decision(Action::Ask, Some(&first.cause), log, ticket, judgement);
    decision.approval = Some(approval);
    decision
}

/// What the person sees, and what an approval queue needs. Redacted.
fn approval(rules: &Rules, subject: &Subject<'_>, log: &Log<'_>, pending: &PendingAsk, timeout: u64) -> Json {
    let call = subject.call;
    let mut out = String::new();
    Object::write(&mut out, |approval| {
        approval.string("message", &rules.redactor.text(&pending.message));
        approval.number("timeout", timeout);
        approval.string("timeout_action", if pending.allow_on_timeout { "allow" } else { "block" });
        approval.number("deadline_ms", pending.deadline_ms);
        approval.string("tool_name", call.tool);
        approval.raw("tool_args", log.arguments.as_deref().unwrap_or("{}"));
        match subject.principal {
            Some(principal) => rules.redactor.principal(approval.key("principal"), principal),
            None => approval.raw("principal", "null"),
        }
        approval.string("session_id", call.session_id);
        approval.string("call_id", call.call_id);
        approval.string("agent_id", call.agent_id);
        approval.string("environment", subject.environment);
        if let Some(stage) = &pending.stage {
            approval.string("stage_id", stage);
        } else {
            approval.list("rules", |list| pending.rules.iter().for_each(|rule| list.string(rule)));
        }
    });
    out
}

fn decision_event(
    log: &mut Log<'_>,
    happened: Happened,
    cause: Option<&Cause>,
    ticket: &Ticket,
    judgement: &Judgement,
) {
    let counters = ticket.facts.counters.unwrap_or_default();
    log.write(
        happened,
        &Entry {
            source: cause.map(|cause| cause.source.as_str()),
            name: cause.map(|cause| cause.name.as_str()),
            reason: cause.map(|cause| cause.reason.as_str()),
            hooks: Some(&judgement.hooks),
            rules: Some(&judgement.records.event_list()),
            policy_error: judgement.policy_error,
            attempts: counters.attempts,
            executions: counters.executions,
            workflow: ticket.workflow.as_ref().map(|word| word.snapshot.get()),
            ..Entry::default()
        },
    );
}

pub(super) fn decision(
    action: Action,
    cause: Option<&Cause>,
    log: Log<'_>,
    mut ticket: Ticket,
    judgement: &Judgement,
) -> Decision {
    let counters = ticket.facts.counters.unwrap_or_default();
    let mut detail = String::new();
    Object::write(&mut detail, |detail| {
        detail.optional_string("decision_source", cause.map(|cause| cause.source.as_str()));
        detail.optional_string("decision_name", cause.map(|cause| cause.name.as_str()));
        detail.raw("rules_evaluated", &judgement.records.list());
        detail.raw("hooks_evaluated", &judgement.hooks);
        if !judgement.candidates.is_empty() {
            detail.raw("observe_results", &judgement.candidate_list());
        }
        detail.number("attempts", counters.attempts);
        detail.number("execs", counters.executions);
        let word = ticket.workflow.as_ref().map(|word| word.snapshot.get());
        let asked = ticket.ask.as_ref().and_then(|ask| ask.workflow.as_deref().map(RawValue::get));
        if let Some(snapshot) = word.or(asked) {
            detail.raw("workflow", snapshot);
        }
        gates::write_notices(judgement.notices, detail);
        if let Some(error) = &judgement.error_detail {
            detail.string("error_detail", &log.redactor.text(error));
        }
    });
    ticket.events = log.next_place();
    Decision {
        action,
        observed: false,
        policy_error: judgement.policy_error,
        reason: cause.map(|cause| cause.reason.clone()).unwrap_or_default(),
        name: cause.map(|cause| cause.name.clone()).unwrap_or_default(),
        detail,
        events: log.events,
        ticket: ticket.write(),
        approval: None,
    }
}

/// A call that cannot be judged is blocked before anything is counted (engine.md §2.1).
fn refused(
    rules: &Rules,
    text: &str,
    call: &Call<'_>,
    invalid: &InvalidCall,
    rules_may_explain: bool,
    now: u64,
) -> Decision {
    let known = Known::default();
    let subject = known.subject(rules, call);
    let said = if rules_may_explain { message_for(rules, &subject) } else { None };
    let cause = Cause {
        source: "envelope".to_owned(),
        name: invalid.name.to_owned(),
        reason: said.unwrap_or_else(|| invalid.reason.clone().into_owned()),
    };
    super::fault::blocked(rules, text, subject, cause, None, now)
}

/// What the rules would have told the agent about a tool whose name only holds a path separator.
fn message_for(rules: &Rules, subject: &Subject<'_>) -> Option<String> {
    let program = &rules.program;
    program.scan(Phase::Pre, *subject).fired(&[]).find_map(|fired| {
        let rule = program.rules().get(fired.rule)?;
        let blocks = matches!(rule.body, Body::Pre { action: PreAction::Block, .. });
        let effective = blocks && !rule.candidate && rule.mode == Mode::Enforce;
        effective.then(|| rule.message.expand(subject, &*rules.redactor).text)
    })
}

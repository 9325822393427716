//! The requests for approval of one source, each from its creation to its end. Creates, polls within the budget, looks at
//! once at what the stream announces, and takes a last look at the deadline. What nobody can be asked about, or what the
//! server does not plainly say, blocks (wire.md §8, T89–T99).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use edictum_engine::inquiry::{ApprovalOutcome, ApprovalVerdict};
use edictum_engine::json::write::Object;
use serde::{Deserialize, Serialize};

use super::answer::{self, Said};
use super::pace::Pace;
use super::request::Approval;
use crate::clock::Steady;
use crate::endpoint::{Endpoint, check_reference, read_options};
use crate::error::{Code, Error, Result};
use crate::jitter::Jitter;
use crate::outcome::{self, Failed};
use crate::path::is_name;
use crate::request::{Method, Request};
use crate::response::Answer;
use crate::retry::{self, Safety, Trouble};

/// Most requests on their way at the same time, and in one step: what a step has come to must not wait for what it has not.
pub const MAX_IN_FLIGHT: usize = 64;
/// See [`MAX_IN_FLIGHT`].
pub const MAX_PER_STEP: usize = 256;

/// A decision that a look sees which began so long after the deadline still counts: it was made before the look.
pub const GRACE_MS: u64 = 2_000;

/// A new approval may be unknown to the server for so long.
const UNKNOWN_MS: u64 = 10_000;

/// Two announcements of one approval within this time are one.
const LEAST_GAP_MS: u64 = 1_000;

/// Longest wait for the answer to a look.
const LOOK_MS: u64 = 10_000;

/// So many announced ids that are not known yet are remembered: their creation may be on its way.
const MAX_EARLY: usize = 4096;

/// The layout of what is kept with a request.
const LAYOUT: u32 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    poll_min_ms: u64,
    poll_max_ms: u64,
    polls_per_second: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { poll_min_ms: 1000, poll_max_ms: 5000, polls_per_second: 5 }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    layout: u32,
    id: String,
}

/// A request that exists on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// As given to [`ApprovalQueue::submit`].
    pub reference: String,
    /// The server's.
    pub approval_id: String,
    /// To be kept durably with the call, and given back when it is submitted after a restart.
    pub memory: String,
}

/// A request that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// As given to [`ApprovalQueue::submit`].
    pub reference: String,
    /// What it came to.
    pub outcome: ApprovalOutcome,
    /// The time to settle the call with, on the caller's clock: of a verdict that was in time, not after the deadline.
    pub at: u64,
}

/// The JSON form of an outcome, as `decide-text` takes it.
#[must_use]
pub fn outcome_json(outcome: &ApprovalOutcome) -> String {
    let verdict = match outcome.verdict {
        ApprovalVerdict::Approved => "approved",
        ApprovalVerdict::Rejected => "rejected",
        ApprovalVerdict::TimedOut => "timed_out",
        ApprovalVerdict::Unreachable => "unreachable",
    };
    let mut out = String::new();
    Object::write(&mut out, |object| {
        object.string("verdict", verdict);
        object.optional_string("approval_id", outcome.approval_id.as_deref());
        object.optional_string("approver", outcome.approver.as_deref());
        object.optional_string("reason", outcome.reason.as_deref());
        object.optional_string("decided_at", outcome.decided_at.as_deref());
        object.optional_string("decided_via", outcome.decided_via.as_deref());
    });
    out
}

/// What came of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ApprovalStep {
    /// What exists on the server now.
    pub created: Vec<Created>,
    /// What has come to its end; each is given once.
    pub settled: Vec<Settled>,
    /// When the next step is due at the latest; none: nothing is open.
    pub next: Option<u64>,
}

#[derive(Debug)]
struct Open {
    approval: Approval,
    /// Steady, and on the caller's clock.
    deadline: u64,
    deadline_caller: u64,
    stage: Stage,
    /// When to do the next thing, budget or not: create, look because it was announced, look for the last time.
    urgent: u64,
    /// When to look in its turn.
    turn: Option<u64>,
}

#[derive(Debug)]
enum Stage {
    /// To be created; attempts that have failed.
    New { attempts: u32 },
    /// On its way, or lying on the server.
    Creating { attempts: u32 },
    /// Since then it is known to the server; when the last look began.
    Waiting { id: String, since: u64, looked: Option<u64> },
}

/// See the module.
#[derive(Debug)]
pub struct ApprovalQueue {
    endpoint: Endpoint,
    clock: Steady,
    jitter: Jitter,
    pace: Pace,
    open: BTreeMap<String, Open>,
    /// Places in `open` by time; each reference at most once in each.
    urgent: BTreeSet<(u64, String)>,
    turns: BTreeSet<(u64, String)>,
    ids: BTreeMap<String, String>,
    early: VecDeque<String>,
    in_flight: BTreeMap<u64, (String, u64)>,
    next_id: u64,
    this_step: usize,
    step: ApprovalStep,
}

impl ApprovalQueue {
    /// `options` is a JSON object: `poll_min_ms` (1000) and `poll_max_ms` (5000) between two looks at one approval,
    /// `polls_per_second` (5) of all together.
    ///
    /// # Errors
    /// [`Code::Option`].
    pub fn open(endpoint: &Endpoint, options: &str) -> Result<Self> {
        let Options { poll_min_ms: least, poll_max_ms: most, polls_per_second } = read_options(options)?;
        if !(100..=most).contains(&least) || most > 600_000 || !(1..=1000).contains(&polls_per_second) {
            let message =
                "`poll_min_ms` must be 100 to `poll_max_ms`, that at most 600000, and `polls_per_second` 1 to 1000";
            return Err(Error::new(Code::Option, message));
        }
        Ok(Self {
            endpoint: endpoint.clone(),
            clock: Steady::default(),
            jitter: endpoint.jitter(5),
            pace: Pace::new((least, most), polls_per_second),
            open: BTreeMap::new(),
            urgent: BTreeSet::new(),
            turns: BTreeSet::new(),
            ids: BTreeMap::new(),
            early: VecDeque::new(),
            in_flight: BTreeMap::new(),
            next_id: 0,
            this_step: 0,
            step: ApprovalStep::default(),
        })
    }

    /// Takes a request over. `reference` is the host's own name for it, 1 to 255 visible ASCII characters, and the
    /// Idempotency-Key; a second time changes nothing. `memory`: what [`Created`] gave to keep, after a restart.
    pub fn submit(&mut self, reference: &str, approval: &str, memory: Option<&str>, now: u64) {
        let caller = now;
        let now = self.clock.tick(now);
        if self.open.contains_key(reference) {
            return;
        }
        let (Some(approval), Ok(())) = (Approval::read(approval), check_reference(reference)) else {
            let outcome = unreachable(None, "the request for approval is not one");
            self.step.settled.push(Settled { reference: reference.to_owned(), outcome, at: caller });
            return;
        };
        let deadline_caller = approval.deadline_ms;
        let deadline = self.clock.from_caller(deadline_caller);
        let kept: Option<Kept> = memory.and_then(|text| serde_json::from_str(text).ok());
        let id = kept.filter(|kept| kept.layout == LAYOUT && is_name(&kept.id)).map(|kept| kept.id);
        let stage = match id {
            Some(id) => {
                self.ids.insert(id.clone(), reference.to_owned());
                Stage::Waiting { id, since: now, looked: None }
            }
            None => Stage::New { attempts: 0 },
        };
        let waits = matches!(stage, Stage::Waiting { .. });
        let open = Open { approval, deadline, deadline_caller, stage, urgent: u64::MAX, turn: None };
        self.open.insert(reference.to_owned(), open);
        if waits {
            let turn = now + self.pace.interval(0, self.ids.len(), &mut self.jitter);
            self.schedule(reference, deadline, Some(turn));
        } else {
            self.schedule(reference, now, None);
        }
    }

    fn schedule(&mut self, reference: &str, urgent: u64, turn: Option<u64>) {
        self.unschedule(reference);
        let Some(open) = self.open.get_mut(reference) else { return };
        (open.urgent, open.turn) = (urgent, turn);
        self.urgent.insert((urgent, reference.to_owned()));
        self.turns.extend(turn.map(|turn| (turn, reference.to_owned())));
    }

    fn unschedule(&mut self, reference: &str) {
        let Some(open) = self.open.get(reference) else { return };
        self.urgent.remove(&(open.urgent, reference.to_owned()));
        if let Some(turn) = open.turn {
            self.turns.remove(&(turn, reference.to_owned()));
        }
    }

    /// These were decided, it is said: they are looked at in the next step, whatever their turn.
    pub fn wake(&mut self, approval_ids: &[String], now: u64) {
        let now = self.clock.tick(now);
        for id in approval_ids.iter().filter(|id| is_name(id)) {
            match self.ids.get(id).cloned() {
                Some(reference) => self.announced(&reference, now),
                None => {
                    if self.early.len() >= MAX_EARLY {
                        self.early.pop_front();
                    }
                    self.early.push_back(id.clone());
                }
            }
        }
    }

    fn announced(&mut self, reference: &str, now: u64) {
        let Some(open) = self.open.get(reference) else { return };
        let Stage::Waiting { looked, .. } = &open.stage else { return };
        let at = looked.map_or(now, |looked| now.max(looked.saturating_add(LEAST_GAP_MS)));
        let (urgent, turn) = (open.urgent.min(at), open.turn);
        self.schedule(reference, urgent, turn);
    }

    /// Nobody waits for this one any more.
    pub fn forget(&mut self, reference: &str) {
        self.unschedule(reference);
        if let Some(Open { stage: Stage::Waiting { id, .. }, .. }) = self.open.remove(reference) {
            self.ids.remove(&id);
        }
        self.step.settled.retain(|settled| settled.reference != reference);
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The requests that are due, all at the same time, each with a number for [`ApprovalQueue::answered`]. Again after
    /// answers, until there are none; then [`ApprovalQueue::take_step`].
    pub fn requests(&mut self, now: u64) -> Vec<(u64, Request)> {
        let now = self.clock.tick(now);
        let mut requests = Vec::new();
        while self.in_flight.len() < MAX_IN_FLIGHT && self.this_step < MAX_PER_STEP {
            let Some(reference) = self.due(now).or_else(|| self.due_in_turn(now)) else { break };
            requests.extend(self.request(&reference, now));
        }
        requests
    }

    /// The next one that something is to be done about, budget or not.
    fn due(&self, now: u64) -> Option<String> {
        self.urgent.first().filter(|(at, _)| *at <= now).map(|(_, reference)| reference.clone())
    }

    fn due_in_turn(&mut self, now: u64) -> Option<String> {
        let due = self.turns.first().filter(|(at, _)| *at <= now).map(|(_, reference)| reference.clone())?;
        self.pace.take(now).then_some(due)
    }

    fn request(&mut self, reference: &str, now: u64) -> Option<(u64, Request)> {
        let open = self.open.get_mut(reference)?;
        let (deadline, left) = (open.deadline, open.deadline.saturating_sub(now));
        let request = match &mut open.stage {
            Stage::New { attempts } if left > 0 => {
                let attempts = *attempts;
                open.stage = Stage::Creating { attempts };
                create(&self.endpoint, reference, &open.approval, left)
            }
            Stage::Waiting { id, looked, .. } => {
                *looked = Some(now);
                look(&self.endpoint, id)
            }
            Stage::New { .. } | Stage::Creating { .. } => {
                Err(Error::new(Code::Interrupted, "it could not be created in time"))
            }
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                self.settle(reference, unreachable(None, &error.to_string()), now);
                return None;
            }
        };
        // Until its answer is there nothing else is to be done about it, but that its time may end.
        self.schedule(reference, if left > 0 { deadline } else { u64::MAX }, None);
        let id = self.next_id;
        self.in_flight.insert(id, (reference.to_owned(), now));
        self.next_id += 1;
        self.this_step += 1;
        Some((id, request))
    }

    /// The answer to one of the requests.
    pub fn answered(&mut self, id: u64, answer: &Answer, now: u64) {
        let now = self.clock.tick(now);
        let Some((reference, begun)) = self.in_flight.remove(&id) else { return };
        let Some(open) = self.open.get_mut(&reference) else { return };
        match &mut open.stage {
            Stage::Creating { attempts } => {
                let attempts = *attempts;
                self.created(&reference, attempts, answer, now);
            }
            Stage::Waiting { id, .. } => {
                let id = id.clone();
                self.looked(&reference, &id, begun, answer, now);
            }
            Stage::New { .. } => {}
        }
    }

    fn created(&mut self, reference: &str, attempts: u32, answer: &Answer, now: u64) {
        let reply = outcome::read(&self.endpoint, answer, Safety::Once, now);
        match reply.and_then(|reply| answer::id(&reply).map_err(Failed::finally)) {
            Ok(id) => {
                let Some(open) = self.open.get_mut(reference) else { return };
                open.stage = Stage::Waiting { id: id.clone(), since: now, looked: None };
                let deadline = open.deadline;
                self.ids.insert(id.clone(), reference.to_owned());
                let turn = now + self.pace.interval(0, self.ids.len(), &mut self.jitter);
                self.schedule(reference, deadline, Some(turn));
                if let Some(place) = self.early.iter().position(|early| *early == id) {
                    self.early.remove(place);
                    self.announced(reference, now);
                }
                let memory = serde_json::to_string(&Kept { layout: LAYOUT, id: id.clone() }).unwrap_or_default();
                self.step.created.push(Created { reference: reference.to_owned(), approval_id: id, memory });
            }
            Err(failed) if retry::may_repeat(failed.trouble, Safety::Once) => {
                let at = now + retry::wait(attempts, failed.trouble, self.jitter.next());
                let Some(open) = self.open.get_mut(reference) else { return };
                if at >= open.deadline {
                    return self.settle(reference, unreachable(None, &failed.error.to_string()), now);
                }
                open.stage = Stage::New { attempts: attempts.saturating_add(1) };
                self.schedule(reference, at, None);
            }
            Err(failed) => self.settle(reference, unreachable(None, &failed.error.to_string()), now),
        }
    }

    fn looked(&mut self, reference: &str, id: &str, begun: u64, answer: &Answer, now: u64) {
        let Some(open) = self.open.get(reference) else { return };
        let deadline = open.deadline;
        let Stage::Waiting { since, looked, .. } = open.stage else { return };
        let (last, newest) = (begun >= deadline, looked == Some(begun));
        let reply = outcome::read(&self.endpoint, answer, Safety::Repeatable, now);
        match reply.and_then(|reply| answer::status(&self.endpoint, id, &reply).map_err(Failed::finally)) {
            // A verdict after the deadline is none.
            Ok(Said::Ended(mut outcome)) => {
                if begun > deadline.saturating_add(GRACE_MS) {
                    outcome.verdict = ApprovalVerdict::TimedOut;
                }
                self.settle(reference, outcome, now);
            }
            // A later look is on its way: this one ends nothing.
            _ if !newest => {}
            Ok(Said::Pending) if last => self.settle(reference, timed_out(id), now),
            Ok(Said::Unknown(word)) if last => {
                self.settle(reference, unreachable(Some(id), &format!("the server says `{word}`")), now);
            }
            Ok(Said::Pending | Said::Unknown(_)) => self.look_again(reference, since, 0, now),
            Err(failed) => {
                let young = failed.status() == Some(404) && now.saturating_sub(since) < UNKNOWN_MS;
                if failed.trouble == Trouble::Final && !young {
                    return self.settle(reference, unreachable(Some(id), &failed.error.to_string()), now);
                }
                let wait = if let Trouble::Postponed { wait } = failed.trouble { wait.unwrap_or(0) } else { 0 };
                self.pace.pause(now.saturating_add(wait));
                if !last {
                    return self.look_again(reference, since, wait, now);
                }
                let at = now + retry::wait(0, failed.trouble, self.jitter.next());
                if at > deadline.saturating_add(GRACE_MS) {
                    return self.settle(reference, unreachable(Some(id), &failed.error.to_string()), now);
                }
                self.schedule(reference, at, None);
            }
        }
    }

    fn look_again(&mut self, reference: &str, since: u64, wait: u64, now: u64) {
        let interval = self.pace.interval(now.saturating_sub(since), self.ids.len(), &mut self.jitter);
        let Some(open) = self.open.get(reference) else { return };
        let deadline = open.deadline;
        // It may have been announced while the look was on its way.
        let announced = open.urgent.min(deadline);
        self.schedule(reference, announced.max(now), Some(now + interval.max(wait)));
    }

    fn settle(&mut self, reference: &str, outcome: ApprovalOutcome, now: u64) {
        let caller = self.clock.to_caller(now);
        let Some(open) = self.open.get(reference) else { return };
        let at = match outcome.verdict {
            ApprovalVerdict::TimedOut => caller,
            _ => caller.min(open.deadline_caller),
        };
        self.forget(reference);
        self.step.settled.push(Settled { reference: reference.to_owned(), outcome, at });
    }

    /// What has come of everything so far. What is taken is not given again.
    pub fn take_step(&mut self, now: u64) -> ApprovalStep {
        let now = self.clock.tick(now);
        self.this_step = 0;
        let urgent = self.urgent.first().map(|(at, _)| *at).filter(|at| *at < u64::MAX);
        let turn = self.turns.first().map(|(at, _)| (*at).max(self.pace.earliest(now)));
        let next = [urgent, turn].into_iter().flatten().min();
        let mut step = std::mem::take(&mut self.step);
        step.next = next.map(|at| self.clock.to_caller(at.max(now)));
        step
    }
}

fn create(endpoint: &Endpoint, reference: &str, approval: &Approval, left: u64) -> Result<Request> {
    let path = endpoint.root().segment("approvals")?;
    let mut request = endpoint.request(Method::Post, &path, Some(approval.body(endpoint, left)));
    request.headers.push(("idempotency-key", reference.to_owned()));
    let header = request.headers.iter_mut().find(|(name, _)| *name == "x-edictum-agent-id");
    if let Some(((_, value), agent)) = header.zip(approval.agent_id()) {
        agent.clone_into(value);
    }
    request.deadline_ms = request.deadline_ms.min(left);
    Ok(request)
}

fn look(endpoint: &Endpoint, id: &str) -> Result<Request> {
    let path = endpoint.root().segment("approvals")?.segment(id)?;
    let mut request = endpoint.request(Method::Get, &path, None);
    request.deadline_ms = request.deadline_ms.min(LOOK_MS);
    Ok(request)
}

fn unreachable(id: Option<&str>, why: &str) -> ApprovalOutcome {
    ApprovalOutcome {
        verdict: ApprovalVerdict::Unreachable,
        approval_id: id.map(str::to_owned),
        approver: None,
        reason: Some(format!("approval service unreachable: {why}")),
        decided_at: None,
        decided_via: None,
    }
}

fn timed_out(id: &str) -> ApprovalOutcome {
    ApprovalOutcome {
        verdict: ApprovalVerdict::TimedOut,
        approval_id: Some(id.to_owned()),
        approver: None,
        reason: None,
        decided_at: None,
        decided_via: None,
    }
}

#[cfg(test)]
mod tests;

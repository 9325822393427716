//! Before a tool runs: `begin`, and `settle` when a person, a deadline or a queue has answered an `ask`. A call that is let
//! through or asked about is in the store before anybody hears of it.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::step::{Failed, Next, Scene};
use super::{Copy, Guard, MAX_CALL_ID, Shared};
use crate::bindings::decide::{self, Action, ApprovalOutcome, ApprovalVerdict, Fault};
use crate::call::{CallRequest, bare};
use crate::callback::nobody_says;
use crate::clock::Timestamp;
use crate::connect::GRACE_MS;
use crate::decider::Decider;
use crate::decision::{Decision, Kept};
use crate::error::Error;
use crate::policy::Policy;
use crate::store::{CallState, Claimed, OpenCall, StoreError};

/// Milliseconds for which a step has an open call for itself, should its process die.
pub(super) const CLAIM_MS: Timestamp = 120_000;

/// How long a person has when the engine does not say.
const APPROVAL_MS: Timestamp = 300_000;

impl Guard {
    /// Counts the attempt and decides. An allowed call stays open until [`Guard::finish`], one that is asked about until
    /// [`Guard::settle`] or its deadline. Whatever goes wrong is a block.
    ///
    /// # Errors
    /// Nothing was decided, and the call must not run: it is not a JSON object, its id is taken, or the guard is closed.
    pub async fn begin(&self, request: impl Into<CallRequest<'_>>) -> Result<Decision, Error> {
        self.shared.begin(request.into()).await
    }

    /// Goes on with a call that was asked about. It is judged again under the rules in force now. An answer that comes after
    /// the deadline gets what the deadline has decided.
    ///
    /// # Errors
    /// There is no such call, or it does not wait for an answer (any more).
    pub async fn settle(&self, call_id: &str, outcome: ApprovalOutcome) -> Result<Decision, Error> {
        self.shared.check_open()?;
        match self.shared.settle(call_id, outcome, None).await {
            Err(error @ (Error::NotFound(_) | Error::Conflict(_))) => self.shared.expired(call_id).await.ok_or(error),
            settled => settled,
        }
    }

    /// Waits until a call that was asked about is settled, by whomever in this process, and gives the final decision. It is
    /// listened for from now on, not only from the first poll.
    ///
    /// # Errors
    /// There is no such call, it does not wait for an answer, or the guard was closed meanwhile.
    pub fn settled(&self, call_id: &str) -> impl Future<Output = Result<Decision, Error>> + Send + use<> {
        let mut settled = self.shared.wait_for(call_id);
        let (shared, call_id) = (Arc::clone(&self.shared), call_id.to_owned());
        async move {
            let found = shared.find(&call_id).await;
            if let Ok(decision) = settled.try_recv() {
                return Ok(decision);
            }
            shared.check_open()?;
            let refused = match found {
                Ok(Some(call)) if call.state == CallState::Asking => return settled.await.map_err(|_| Error::Closed),
                Ok(Some(_)) => not_asking(&call_id),
                Ok(None) => unknown(&call_id),
                Err(error) => error.into(),
            };
            drop(settled);
            shared.waiters().retain(|_, waiting| waiting.iter().any(|waiter| !waiter.is_closed()));
            Err(refused)
        }
    }
}

impl Shared {
    async fn begin(self: &Arc<Self>, request: CallRequest<'_>) -> Result<Decision, Error> {
        self.check_open()?;
        let given = request.call_id.map(str::to_owned);
        let named = given.is_some();
        let call_id = given.unwrap_or_else(|| Uuid::new_v4().to_string());
        if call_id.is_empty() || call_id.len() > MAX_CALL_ID {
            return Err(Error::Argument(format!("`call_id` must have 1 to {MAX_CALL_ID} bytes")));
        }
        let session = request.session_id.unwrap_or(&self.session_id);
        let call = Arc::new(self.call_text(request, Some(session), Some(&call_id))?);
        let _turn = self.turn(session).await;
        if named && self.find(&call_id).await.is_ok_and(|open| open.is_some()) {
            return Err(taken(&call_id));
        }
        let policy = self.policy();
        let now = self.now();
        let scene = Scene { policy: &policy, session, call: Some(&call), weight: call.len() };
        let first = {
            let call = Arc::clone(&call);
            move |decider: &mut Decider, policy| decider.begin(policy, &call, now).map(Next::from)
        };
        let decided = self.drive(scene, None, first, resume_begin(&call, now)).await;
        let (decision, kept) = self.decided(&policy, &call, &call_id, decided).await;
        let begun = Begun { call_id: &call_id, session, policy: &policy };
        let decision = self.keep_new(begun, decision, kept).await?;
        self.tell(&call, &decision);
        self.ask_people(decision).await
    }

    /// What a server says to an `ask`; it was said at this moment.
    pub(crate) async fn settle_at(
        self: &Arc<Self>,
        call_id: &str,
        outcome: ApprovalOutcome,
        at: Timestamp,
    ) -> Result<Decision, Error> {
        self.check_open()?;
        self.settle(call_id, outcome, Some(at)).await
    }

    /// Passes an `ask` on to whoever asks people for this guard. Where nobody does, the call is blocked now.
    async fn ask_people(self: &Arc<Self>, decision: Decision) -> Result<Decision, Error> {
        let Some(connected) = self.connected.as_ref().filter(|_| decision.action == Action::Ask) else {
            return Ok(decision);
        };
        if connected.without_approvals {
            let nobody = nobody_says(ApprovalVerdict::Unreachable);
            return Box::pin(self.settle(&decision.call_id, nobody, None)).await;
        }
        if let (Some(approvals), Some(approval)) = (&connected.approvals, &decision.approval) {
            approvals.submit(self, &decision.call_id, approval);
        }
        Ok(decision)
    }

    /// `at`: when the answer was given; none: now.
    pub(super) async fn settle(
        self: &Arc<Self>,
        call_id: &str,
        outcome: ApprovalOutcome,
        at: Option<Timestamp>,
    ) -> Result<Decision, Error> {
        let found = self.find(call_id).await?.ok_or_else(|| unknown(call_id))?;
        let turn = self.turn(&found.session).await;
        let (open, claim) = self.claim(call_id, CallState::Asking).await?;
        let policy = self.policy();
        let now = at.unwrap_or_else(|| self.now());
        let weight = open.call.len() + open.ticket.len();
        let scene = Scene { policy: &policy, session: &open.session, call: Some(&open.call), weight };
        let first = {
            let (call, ticket) = (Arc::clone(&open.call), Arc::clone(&open.ticket));
            move |decider: &mut Decider, policy| decider.settle(policy, &call, &ticket, &outcome, now).map(Next::from)
        };
        let decided = self.drive(scene, Some(Arc::clone(&open.ticket)), first, resume_begin(&open.call, now)).await;
        let (decision, kept) = self.decided(&policy, &open.call, call_id, decided).await;
        let decision = self.keep_settled(&policy, &open, claim, decision, kept).await;
        drop(turn);
        self.tell(&open.call, &decision);
        let approvals = self.connected.as_ref().and_then(|connected| connected.approvals.as_ref());
        if let (Some(approvals), Some(asked)) = (approvals, &open.approval) {
            approvals.forget(self, call_id, asked);
        }
        let decision = self.ask_people(decision).await?;
        if decision.action != Action::Ask {
            for waiter in self.waiters().remove(call_id).unwrap_or_default() {
                let _ = waiter.send(decision.clone());
            }
        }
        Ok(decision)
    }

    /// What the engine decided; or what it says to a step that failed.
    async fn decided(
        &self,
        policy: &Arc<Policy>,
        call: &Arc<String>,
        call_id: &str,
        decided: Result<decide::Decision, Failed>,
    ) -> (Decision, Kept) {
        match decided {
            Ok(decision) => Decision::new(call_id, call, decision),
            Err(failed) => self.fault(policy, call, call_id, failed.ticket, failed.abnormal.fault).await,
        }
    }

    /// What another instance says to a fault. When the call itself is what it cannot stand, it is told of a bare one;
    /// without an instance it is a block in every mode.
    async fn fault(
        &self,
        policy: &Arc<Policy>,
        call: &Arc<String>,
        call_id: &str,
        ticket: Option<Arc<String>>,
        fault: Fault,
    ) -> (Decision, Kept) {
        let now = self.now();
        let attempt = |call: &Arc<String>, ticket: Option<Arc<String>>| {
            let (weight, call) = (call.len(), Arc::clone(call));
            let work = move |decider: &mut Decider, policy| decider.fault(policy, &call, ticket.as_deref(), fault, now);
            self.host.decide(policy, weight, work)
        };
        if let Ok(decision) = attempt(call, ticket).await {
            return Decision::new(call_id, call, decision);
        }
        let bare = Arc::new(bare(call).unwrap_or_default());
        match attempt(&bare, None).await {
            Ok(decision) => Decision::new(call_id, &bare, decision),
            Err(abnormal) => {
                tracing::error!(guard = %self.name, call_id, reason = abnormal.reason, "a fault cannot be logged");
                Decision::fixed(call_id, call)
            }
        }
    }

    /// Puts a new call into the store, when it goes on, and its events into the log.
    async fn keep_new(self: &Arc<Self>, begun: Begun<'_>, decision: Decision, kept: Kept) -> Result<Decision, Error> {
        let Begun { call_id, session, policy } = begun;
        let Some(open) = self.open_call(session, policy, &decision, &kept) else {
            return Ok(self.log_decision(policy, decision, kept, None).await);
        };
        let writing = open.clone();
        match self.in_store(move |store| store.open(&writing)).await {
            Ok(true) => {
                self.remember(&open);
                Ok(self.log_decision(policy, decision, kept, Some(open)).await)
            }
            Ok(false) => Err(taken(call_id)),
            Err(error) => {
                let (decision, kept) = self.lost(policy, &open, &error).await;
                // Only a guard that observes lets it through: then the copy is all there is.
                if let Some(open) = self.open_call(session, policy, &decision, &kept) {
                    self.arm(open.deadline);
                    self.copies().insert(Arc::clone(&open.call_id), Copy { open, stranded: true });
                }
                self.emit_or_log(policy, &kept.events).await;
                Ok(decision)
            }
        }
    }

    /// The same for a call that was in the store, under this claim.
    async fn keep_settled(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        before: &OpenCall,
        claim: u64,
        decision: Decision,
        kept: Kept,
    ) -> Decision {
        let Some(open) = self.open_call(&before.session, policy, &decision, &kept) else {
            self.forget(&before.call_id, claim).await;
            return self.log_decision(policy, decision, kept, None).await;
        };
        let writing = open.clone();
        let written = self.in_store(move |store| store.update(&writing, claim)).await;
        match written.and_then(|written| written.then_some(()).ok_or_else(|| StoreError::new("the claim has ended"))) {
            Ok(()) => {
                self.remember(&open);
                self.log_decision(policy, decision, kept, Some(open)).await
            }
            Err(error) => {
                let (decision, kept) = self.lost(policy, &open, &error).await;
                self.emit_or_log(policy, &kept.events).await;
                decision
            }
        }
    }

    async fn lost(&self, policy: &Arc<Policy>, open: &OpenCall, error: &StoreError) -> (Decision, Kept) {
        tracing::error!(guard = %self.name, call_id = %open.call_id, %error, "an open call cannot be kept");
        self.fault(policy, &open.call, &open.call_id, Some(Arc::clone(&open.ticket)), Fault::Store).await
    }

    /// Hands the events on. Where they cannot be kept and must be, the call does not go on.
    async fn log_decision(
        &self,
        policy: &Arc<Policy>,
        decision: Decision,
        kept: Kept,
        open: Option<OpenCall>,
    ) -> Decision {
        self.notice(&decision.detail);
        let Err(reason) = self.emit(policy, &kept.events).await else { return decision };
        tracing::error!(guard = %self.name, reason, "events cannot be kept");
        if !policy.settings.decision_log_required() || decision.action == Action::Block {
            return decision;
        }
        let ticket = Some(Arc::clone(&kept.ticket));
        let (decision, kept) = self.fault(policy, &kept.call, &decision.call_id, ticket, Fault::DecisionLog).await;
        if let Some(open) = open
            && decision.action == Action::Block
            && let Ok((_, claim)) = self.claim(&open.call_id, open.state).await
        {
            self.forget(&open.call_id, claim).await;
        }
        self.emit_or_log(policy, &kept.events).await;
        decision
    }

    /// What has to be kept of a decision; none: the call is over.
    fn open_call(&self, session: &str, policy: &Policy, decision: &Decision, kept: &Kept) -> Option<OpenCall> {
        let now = self.now();
        let (state, deadline) = match decision.action {
            Action::Block => return None,
            Action::Allow => (CallState::Allowed, now.saturating_add(policy.settings.open_call_ttl_ms())),
            Action::Ask => {
                let by_server = self.connected.as_ref().is_some_and(|connected| connected.approvals.is_some());
                let grace = if by_server { GRACE_MS } else { 0 };
                let deadline = approval_deadline(decision.approval.as_deref(), now);
                (CallState::Asking, deadline.saturating_add(grace))
            }
        };
        Some(OpenCall {
            guard: Arc::clone(&self.name),
            call_id: decision.call_id.as_str().into(),
            session: session.into(),
            call: Arc::clone(&kept.call),
            ticket: Arc::clone(&kept.ticket),
            approval: decision.approval.clone().map(Arc::new),
            state,
            deadline,
        })
    }

    /// Watches the deadline of a call that is in the store.
    fn remember(self: &Arc<Self>, open: &OpenCall) {
        if self.store.blocks() && open.state == CallState::Allowed {
            self.copies().insert(Arc::clone(&open.call_id), Copy { open: open.clone(), stranded: false });
        }
        self.arm(open.deadline);
    }

    pub(super) async fn find(&self, call_id: &str) -> Result<Option<OpenCall>, StoreError> {
        let (guard, call_id) = (Arc::clone(&self.name), call_id.to_owned());
        self.in_store(move |store| store.find(&guard, &call_id)).await
    }

    /// Takes an open call for a step, when it is in this state.
    pub(super) async fn claim(&self, call_id: &str, state: CallState) -> Result<(OpenCall, u64), Error> {
        let now = self.now();
        let (guard, id) = (Arc::clone(&self.name), call_id.to_owned());
        let claimed = self.in_store(move |store| store.claim(&guard, &id, now, now + CLAIM_MS)).await?;
        let (open, claim) = match claimed {
            Claimed::Yes(open, claim) => (open, claim),
            Claimed::Busy => return Err(Error::Conflict(format!("call `{call_id}` is being worked on"))),
            Claimed::Missing => return Err(unknown(call_id)),
        };
        if open.state == state {
            return Ok((open, claim));
        }
        let (guard, id) = (Arc::clone(&self.name), call_id.to_owned());
        self.in_store(move |store| store.release(&guard, &id, claim)).await?;
        Err(if state == CallState::Asking { not_asking(call_id) } else { not_allowed(call_id) })
    }

    /// Removes a claimed call that is over.
    pub(super) async fn forget(&self, call_id: &str, claim: u64) {
        self.copies().remove(call_id);
        let (guard, id) = (Arc::clone(&self.name), call_id.to_owned());
        if let Err(error) = self.in_store(move |store| store.close(&guard, &id, claim)).await {
            tracing::warn!(guard = %self.name, call_id, %error, "a call that is over stays in the store");
        }
    }

    fn wait_for(&self, call_id: &str) -> oneshot::Receiver<Decision> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.waiters();
        let waiting = waiters.entry(call_id.to_owned()).or_default();
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(sender);
        receiver
    }
}

/// A call whose step has an end.
struct Begun<'b> {
    call_id: &'b str,
    session: &'b str,
    policy: &'b Arc<Policy>,
}

/// `begin` and `settle` go on the same way.
fn resume_begin(
    call: &Arc<String>,
    now: Timestamp,
) -> impl Fn(
    &mut Decider,
    wasmtime::component::ResourceAny,
    &String,
    &[decide::Answer],
) -> Result<Next<decide::Decision>, crate::decider::Abnormal>
+ Clone
+ Send
+ 'static
+ use<> {
    let call = Arc::clone(call);
    move |decider, policy, ticket, answers| decider.resume_begin(policy, &call, ticket, answers, now).map(Next::from)
}

fn approval_deadline(approval: Option<&str>, now: Timestamp) -> Timestamp {
    #[derive(Deserialize)]
    struct Approval {
        deadline_ms: Option<Timestamp>,
    }

    let approval = approval.and_then(|approval| serde_json::from_str::<Approval>(approval).ok());
    approval.and_then(|approval| approval.deadline_ms).unwrap_or(now.saturating_add(APPROVAL_MS))
}

pub(super) fn unknown(call_id: &str) -> Error {
    Error::NotFound(format!("there is no open call `{call_id}`"))
}

fn taken(call_id: &str) -> Error {
    Error::Conflict(format!("there is an open call `{call_id}` already"))
}

fn not_asking(call_id: &str) -> Error {
    Error::Conflict(format!("call `{call_id}` does not wait for an approval"))
}

fn not_allowed(call_id: &str) -> Error {
    Error::Conflict(format!("call `{call_id}` has not been allowed"))
}

//! After a tool ran: postconditions, redaction, counters, the end of the call. Nothing that goes wrong here hands the
//! agent an output that was not judged, but for a guard that observes.

use std::sync::Arc;

use super::begin::unknown;
use super::step::{Next, Scene};
use super::{Copy, Guard, Shared};
use crate::bindings::decide::{self, Fault};
use crate::decider::Decider;
use crate::decision::{Conclusion, ToolOutcome};
use crate::error::Error;
use crate::policy::Policy;
use crate::store::{CallState, OpenCall, StoreError};

impl Guard {
    /// Judges what a tool returned, by the rules in force now, and ends the call.
    ///
    /// # Errors
    /// The output must not be used: there is no such call, or it has not been allowed.
    pub async fn finish(&self, call_id: &str, outcome: ToolOutcome) -> Result<Conclusion, Error> {
        self.shared.check_open()?;
        self.shared.finish(call_id, outcome).await
    }
}

impl Shared {
    async fn finish(self: &Arc<Self>, call_id: &str, outcome: ToolOutcome) -> Result<Conclusion, Error> {
        // A call that began here has its session here; the claim below reads it from the store in any case.
        let begun_here = self.copies().get(call_id).filter(|copy| !copy.stranded).map(|copy| copy.open.session.clone());
        let session = match begun_here {
            Some(session) => session,
            None => match self.find(call_id).await {
                Ok(Some(found)) => found.session,
                Ok(None) => return self.finish_stranded(call_id, outcome).await,
                Err(error) => return self.finish_lost(call_id, error).await,
            },
        };
        let _turn = self.turn(&session).await;
        let (open, claim) = match self.claim(call_id, CallState::Allowed).await {
            Ok(claimed) => claimed,
            Err(Error::Store(error)) => return self.finish_lost(call_id, error).await,
            Err(error) => {
                if matches!(error, Error::NotFound(_)) {
                    self.copies().remove(call_id);
                }
                return Err(error);
            }
        };
        let conclusion = self.conclude(&open, outcome).await;
        self.forget(call_id, claim).await;
        Ok(conclusion)
    }

    /// A call that observation let through although the store had failed.
    async fn finish_stranded(&self, call_id: &str, outcome: ToolOutcome) -> Result<Conclusion, Error> {
        let copy = self.copies().remove(call_id).filter(|copy| copy.stranded);
        let open = copy.ok_or_else(|| unknown(call_id))?.open;
        let _turn = self.turn(&open.session).await;
        Ok(self.conclude(&open, outcome).await)
    }

    /// The store is gone. The tool has run, so this goes into the log, by the copy that we kept.
    async fn finish_lost(&self, call_id: &str, error: StoreError) -> Result<Conclusion, Error> {
        tracing::error!(guard = %self.name, call_id, %error, "an open call cannot be read");
        let copy = self.copies().remove(call_id);
        let Some(Copy { open, .. }) = copy else { return Err(error.into()) };
        Ok(self.fault_finish(&open, Arc::clone(&open.ticket), Fault::Store).await)
    }

    async fn conclude(&self, open: &OpenCall, outcome: ToolOutcome) -> Conclusion {
        let policy = self.policy();
        let now = self.now();
        let weight = open.call.len() + open.ticket.len() + outcome.output.len();
        let scene = Scene { policy: &policy, session: &open.session, call: Some(&open.call), weight };
        let outcome = Arc::new(decide::ToolOutcome { output: outcome.output, success: outcome.success });
        let first = {
            let (call, ticket, outcome) = (Arc::clone(&open.call), Arc::clone(&open.ticket), Arc::clone(&outcome));
            move |decider: &mut Decider, policy| decider.finish(policy, &call, &ticket, &outcome, now).map(Next::from)
        };
        let resume = {
            let call = Arc::clone(&open.call);
            move |decider: &mut Decider, policy, ticket: &String, answers: &[decide::Answer]| {
                decider.resume_finish(policy, &call, ticket, &outcome, answers, now).map(Next::from)
            }
        };
        match self.drive(scene, Some(Arc::clone(&open.ticket)), first, resume).await {
            Ok(conclusion) => self.log_conclusion(&policy, conclusion).await,
            Err(failed) => {
                let ticket = failed.ticket.unwrap_or_else(|| Arc::clone(&open.ticket));
                self.fault_finish(open, ticket, failed.abnormal.fault).await
            }
        }
    }

    /// What another instance says to a call that cannot be finished; without one, its output is suppressed in every mode.
    pub(super) async fn fault_finish(&self, open: &OpenCall, ticket: Arc<String>, fault: Fault) -> Conclusion {
        let policy = self.policy();
        let now = self.now();
        let weight = open.call.len() + ticket.len();
        let call = Arc::clone(&open.call);
        let work = move |decider: &mut Decider, policy| decider.fault_finish(policy, &call, &ticket, fault, now);
        match self.host.decide(&policy, weight, work).await {
            Ok(conclusion) => self.log_conclusion(&policy, conclusion).await,
            Err(abnormal) => {
                let call_id = open.call_id.as_ref();
                tracing::error!(guard = %self.name, call_id, reason = abnormal.reason, "a fault cannot be logged");
                Conclusion::fixed()
            }
        }
    }

    async fn log_conclusion(&self, policy: &Policy, conclusion: decide::Conclusion) -> Conclusion {
        let (conclusion, events) = Conclusion::new(conclusion);
        self.notice(&conclusion.detail);
        self.emit_or_log(policy, &events).await;
        conclusion
    }
}

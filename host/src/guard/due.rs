//! Deadlines of open calls: an approval that nobody gave in time is settled so, and a call that was let through and never
//! finished is closed as abandoned.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::Shared;
use crate::bindings::decide::{ApprovalVerdict, Fault};
use crate::callback::nobody_says;
use crate::clock::Timestamp;
use crate::decision::Decision;
use crate::error::Error;
use crate::store::CallState;

/// Calls that are looked at together.
const BATCH: usize = 64;

/// Milliseconds until what failed is tried again.
const RETRY_MS: Timestamp = 5_000;

/// Milliseconds between two looks into a store that other processes share: one of them may have died.
const SHARED_LOOK_MS: Timestamp = 300_000;

/// What a guard knows of its deadlines.
#[derive(Default)]
pub(super) struct Due {
    /// The earliest deadline that a timer is set for.
    armed: Mutex<Option<Timestamp>>,
    /// Held by who does what is due.
    at_work: tokio::sync::Mutex<()>,
    /// What became of the last calls that nobody answered in time: an answer may still be on its way.
    expired: Mutex<VecDeque<Decision>>,
}

/// So many of them are remembered.
const EXPIRED: usize = 256;

impl Shared {
    /// How a call ended that was settled by its deadline, while that is remembered.
    pub(super) async fn expired(&self, call_id: &str) -> Option<Decision> {
        // It may be about to be settled so: it is remembered when that is done.
        drop(self.due.at_work.lock().await);
        let expired = self.due.expired.lock().unwrap_or_else(PoisonError::into_inner);
        expired.iter().find(|decision| decision.call_id == call_id).cloned()
    }

    /// Sets a timer, unless an earlier one is set.
    pub(super) fn arm(self: &Arc<Self>, deadline: Timestamp) {
        let mut armed = self.due.armed.lock().unwrap_or_else(PoisonError::into_inner);
        if armed.is_none_or(|earlier| deadline < earlier) {
            *armed = Some(deadline);
            self.host.inner.timers.arm(self, deadline);
        }
    }

    /// Sets the timer for what is in the store already.
    pub(super) async fn arm_from_store(self: &Arc<Self>) {
        let name = Arc::clone(&self.name);
        let next = self.in_store(move |store| store.next_deadline(&name)).await;
        match next {
            Ok(Some(deadline)) => self.arm(deadline.max(self.now())),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(guard = %self.name, %error, "deadlines cannot be read");
                self.arm(self.now() + RETRY_MS);
            }
        }
        if self.store.shared() {
            self.arm(self.now() + SHARED_LOOK_MS);
        }
    }

    /// Does what is due, and sets the next timer.
    pub(crate) async fn run_due(self: &Arc<Self>) {
        let _at_work = self.due.at_work.lock().await;
        *self.due.armed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        while !self.closed.load(Ordering::SeqCst) {
            let (name, now) = (Arc::clone(&self.name), self.now());
            let due = self.in_store(move |store| store.due(&name, now, BATCH)).await.unwrap_or_default();
            if due.is_empty() {
                self.close_copies(now).await;
                return self.arm_from_store().await;
            }
            for call_id in due {
                match self.close_due(&call_id).await {
                    // Somebody else was faster.
                    Ok(()) | Err(Error::NotFound(_) | Error::Conflict(_)) => {}
                    Err(error) => {
                        tracing::warn!(guard = %self.name, call_id, %error, "a call that is due cannot be closed");
                        return self.arm(self.now() + RETRY_MS);
                    }
                }
            }
        }
    }

    /// Copies are not kept for ever; one that never was in the store is closed here.
    async fn close_copies(&self, now: Timestamp) {
        let over: Vec<_> = self.copies().extract_if(|_, copy| copy.open.deadline <= now).collect();
        for (_, copy) in over.iter().filter(|(_, copy)| copy.stranded) {
            self.fault_finish(&copy.open, Arc::clone(&copy.open.ticket), Fault::Abandoned).await;
        }
    }

    async fn close_due(self: &Arc<Self>, call_id: &str) -> Result<(), Error> {
        let Some(open) = self.find(call_id).await? else { return Ok(()) };
        match open.state {
            CallState::Asking => {
                let decision = self.settle(call_id, nobody_says(ApprovalVerdict::TimedOut), None).await?;
                let mut expired = self.due.expired.lock().unwrap_or_else(PoisonError::into_inner);
                expired.truncate(EXPIRED - 1);
                expired.push_front(decision);
                Ok(())
            }
            CallState::Allowed => {
                let _turn = self.turn(&open.session).await;
                let (open, claim) = self.claim(call_id, CallState::Allowed).await?;
                self.fault_finish(&open, Arc::clone(&open.ticket), Fault::Abandoned).await;
                self.forget(call_id, claim).await;
                Ok(())
            }
        }
    }
}

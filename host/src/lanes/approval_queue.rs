//! People (ServerApprovalBackend). What was submitted is remembered here, so that an instance that is made anew goes on with it:
//! what exists on the server is looked at again, what was never sent is created. What a lost instance may have been about to create
//! is not created a second time: of that nobody is asked, which blocks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::json;
use wasmtime::component::ResourceAny;

use super::Lanes;
use super::bindings::api::Failure;
pub use super::bindings::api::{ApprovalStep, Created, Settled};
use super::connect::ConnectOptions;
use super::instance::{Inside, Opens, Work};
use super::lane::Lane;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;

/// One per address and key.
pub struct ApprovalQueue(Lane<Queue>);

struct Queue {
    options: String,
    open: Mutex<BTreeMap<String, Submitted>>,
}

/// A request that has not come to its end.
#[derive(Clone)]
struct Submitted {
    approval: String,
    memory: Option<String>,
    /// A step has begun that may have sent it.
    under_way: bool,
}

impl Queue {
    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Submitted>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step begins: whatever exists nowhere may be created by it. What an earlier step has left so was lost with its
    /// instance.
    fn step_begins(&self) {
        self.open().values_mut().for_each(|submitted| submitted.under_way = true);
    }

    /// What is known now.
    fn step_ended(&self, step: &ApprovalStep) {
        let mut open = self.open();
        open.values_mut().for_each(|submitted| submitted.under_way = false);
        for created in &step.created {
            if let Some(submitted) = open.get_mut(&created.reference) {
                submitted.memory = Some(created.memory.clone());
            }
        }
        for settled in &step.settled {
            open.remove(&settled.reference);
        }
    }

    /// Takes out what nobody knows the fate of.
    fn lost(&self, now: Timestamp) -> Vec<Settled> {
        let gone = |_: &String, submitted: &mut Submitted| submitted.under_way && submitted.memory.is_none();
        let gone: Vec<_> = self.open().extract_if(.., gone).collect();
        gone.into_iter().map(|(reference, submitted)| unreachable(reference, &submitted.approval, now)).collect()
    }
}

impl Opens for Queue {
    fn open<'i>(&'i self, inside: Inside<'i>) -> Work<'i, Result<ResourceAny, Failure>> {
        let submitted: Vec<_> =
            Self::open(self).iter().map(|(reference, submitted)| (reference.clone(), submitted.clone())).collect();
        Box::pin(async move {
            let Inside { store, api, resource } = inside;
            let queue = api.approval_queue();
            let opened = queue.call_open(&mut *store, resource, &self.options).await?;
            if let Ok(opened) = &opened {
                let now = Clock::default().now();
                for (reference, Submitted { approval, memory, under_way }) in &submitted {
                    if memory.is_some() || !under_way {
                        queue.call_submit(&mut *store, *opened, reference, approval, memory.as_ref(), now).await?;
                    }
                }
            }
            Ok(opened)
        })
    }
}

impl ApprovalQueue {
    /// `options`: as `approval-queue.open` of the WIT. Makes no request.
    ///
    /// # Errors
    /// [`Error::Refused`]: an option is not as it should be.
    pub async fn open(lanes: &Lanes, connect: &ConnectOptions, options: &str) -> Result<Self, Error> {
        let queue = Queue { options: options.to_owned(), open: Mutex::default() };
        Ok(Self(Lane::open(lanes, connect, queue).await?))
    }

    /// Takes a request over; the next step creates it. `memory`: what `created` gave to keep, after a restart.
    ///
    /// # Errors
    /// [`Error::Abnormal`]: the instance ended. The request is taken over all the same.
    pub async fn submit(
        &self,
        reference: &str,
        approval: &str,
        memory: Option<String>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (reference, approval) = (reference.to_owned(), approval.to_owned());
        let submitted = Submitted { approval: approval.clone(), memory: memory.clone(), under_way: false };
        self.0.opens().open().entry(reference.clone()).or_insert(submitted);
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move {
                    let (memory, queue) = (memory.as_ref(), api.approval_queue());
                    queue.call_submit(store, resource, &reference, &approval, memory, now).await
                })
            })
            .await
    }

    /// Looks at these at the next step.
    ///
    /// # Errors
    /// [`Error::Abnormal`]: the instance ended; they are looked at in their turn.
    pub async fn wake(&self, approval_ids: Vec<String>, now: Timestamp) -> Result<(), Error> {
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move { api.approval_queue().call_wake(store, resource, &approval_ids, now).await })
            })
            .await
    }

    /// Nobody waits for this one any more.
    ///
    /// # Errors
    /// [`Error::Abnormal`]: the instance ended; it is forgotten all the same.
    pub async fn forget(&self, reference: &str) -> Result<(), Error> {
        let reference = reference.to_owned();
        self.0.opens().open().remove(&reference);
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move { api.approval_queue().call_forget(store, resource, &reference).await })
            })
            .await
    }

    /// Creates and polls whatever is due.
    ///
    /// # Errors
    /// [`Error::Abnormal`]: the instance ended. The next step goes on with what it can, and gives an end to the rest.
    pub async fn step(&self, now: Timestamp) -> Result<ApprovalStep, Error> {
        let queue = self.0.opens();
        let mut lost = queue.lost(now);
        queue.step_begins();
        let step = self
            .0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move { api.approval_queue().call_step(store, resource, now).await })
            })
            .await;
        match step {
            Ok(mut step) => {
                queue.step_ended(&step);
                step.settled.append(&mut lost);
                Ok(step)
            }
            // What is settled must be heard of once.
            Err(_) if !lost.is_empty() => Ok(ApprovalStep { created: Vec::new(), settled: lost, next: Some(now) }),
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
struct Deadline {
    deadline_ms: Timestamp,
}

/// Nobody was asked, as far as anybody knows.
fn unreachable(reference: String, approval: &str, now: Timestamp) -> Settled {
    let deadline = serde_json::from_str(approval).map_or(now, |Deadline { deadline_ms }| deadline_ms);
    let reason = "approval service unreachable: it is not known whether the request was created";
    let outcome = json!({"verdict": "unreachable", "reason": reason}).to_string();
    Settled { reference, outcome, at: now.min(deadline) }
}

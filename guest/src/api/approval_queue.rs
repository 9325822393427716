//! `approval-queue`: people.

use std::cell::RefCell;

use edictum_server_protocol::approval::queue as protocol;

use super::endpoint::Endpoint;
use crate::bindings::exports::edictum::server::api::{
    ApprovalQueue as Handle, ApprovalStep, Created, EndpointBorrow, Failure, GuestApprovalQueue, Json, Settled,
    Timestamp,
};
use crate::http::{Flights, Stopwatch};
use crate::inquiry::all;

/// The cell is never borrowed twice: a component is not re-entered.
pub struct ApprovalQueue(RefCell<protocol::ApprovalQueue>);

impl GuestApprovalQueue for ApprovalQueue {
    fn open(endpoint: EndpointBorrow<'_>, options: Json) -> Result<Handle, Failure> {
        let queue = protocol::ApprovalQueue::open(&endpoint.get::<Endpoint>().endpoint, &options)?;
        Ok(Handle::new(Self(RefCell::new(queue))))
    }

    fn submit(&self, reference: String, approval: Json, memory: Option<Json>, now: Timestamp) {
        self.0.borrow_mut().submit(&reference, &approval, memory.as_deref(), now);
    }

    fn wake(&self, approval_ids: Vec<String>, now: Timestamp) {
        self.0.borrow_mut().wake(&approval_ids, now);
    }

    fn forget(&self, reference: String) {
        self.0.borrow_mut().forget(&reference);
    }

    fn step(&self, now: Timestamp) -> ApprovalStep {
        let (clock, mut queue) = (Stopwatch::start(now), self.0.borrow_mut());
        let mut flights = Flights::default();
        loop {
            queue.requests(clock.now()).into_iter().for_each(|(id, request)| flights.start(id, request));
            let Some((id, answer)) = flights.land() else { break };
            queue.answered(id, &answer, clock.now());
        }
        let step = queue.take_step(clock.now());
        ApprovalStep { created: all(step.created), settled: all(step.settled), next: step.next }
    }
}

impl From<protocol::Created> for Created {
    fn from(protocol::Created { reference, approval_id, memory }: protocol::Created) -> Self {
        Self { reference, approval_id, memory }
    }
}

impl From<protocol::Settled> for Settled {
    fn from(protocol::Settled { reference, outcome, at }: protocol::Settled) -> Self {
        Self { reference, outcome: protocol::outcome_json(&outcome), at }
    }
}

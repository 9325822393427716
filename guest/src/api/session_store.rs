//! `session-store`: session state on the server.

use std::cell::RefCell;

use edictum_engine::inquiry as engine;
use edictum_server_protocol::session::store as protocol;

use super::endpoint::Endpoint;
use crate::bindings::exports::edictum::guard::session as wit;
use crate::bindings::exports::edictum::server::api::{
    EndpointBorrow, Failure, GuestSessionStore, Json, Operation, Performed, SessionStore as Handle, Timestamp,
};
use crate::http::{Flights, Stopwatch};
use crate::inquiry::all;

/// The cell is never borrowed twice: a component is not re-entered.
pub struct SessionStore(RefCell<protocol::SessionStore>);

impl GuestSessionStore for SessionStore {
    fn open(endpoint: EndpointBorrow<'_>, options: Json) -> Result<Handle, Failure> {
        let store = protocol::SessionStore::open(&endpoint.get::<Endpoint>().endpoint, &options)?;
        Ok(Handle::new(Self(RefCell::new(store))))
    }

    fn perform(&self, sessions: Vec<Vec<Operation>>, attempt: u32, now: Timestamp) -> Vec<Vec<Performed>> {
        let clock = Stopwatch::start(now);
        let mut store = self.0.borrow_mut();
        let mut performance = store.perform(sessions.into_iter().map(all).collect(), attempt, now);
        let mut flights = Flights::default();
        loop {
            performance.requests().into_iter().for_each(|(id, request)| flights.start(id, request));
            let Some((id, answer)) = flights.land() else { break };
            performance.answered(id, &answer, clock.now());
        }
        performance.finish().into_iter().map(all).collect()
    }
}

impl From<wit::Operation> for engine::Operation {
    fn from(operation: wit::Operation) -> Self {
        match operation {
            wit::Operation::Get(key) => Self::Get(key),
            wit::Operation::Increment(wit::Increment { key, amount }) => Self::Increment { key, amount },
            wit::Operation::Put(wit::Put { key, value, expected }) => Self::Put { key, value, expected },
            wit::Operation::Delete(key) => Self::Delete(key),
            wit::Operation::Scan(prefix) => Self::Scan(prefix),
        }
    }
}

impl From<engine::Outcome> for wit::Outcome {
    fn from(outcome: engine::Outcome) -> Self {
        match outcome {
            engine::Outcome::Done(entry) => Self::Done(entry.into()),
            engine::Outcome::Conflict(entry) => Self::Conflict(entry.into()),
            engine::Outcome::Found(entries) => Self::Found(entries),
            engine::Outcome::Failed(why) => Self::Failed(why),
        }
    }
}

impl From<engine::Entry> for wit::Entry {
    fn from(engine::Entry { value, version }: engine::Entry) -> Self {
        Self { value, version }
    }
}

impl From<protocol::Performed> for Performed {
    fn from(performed: protocol::Performed) -> Self {
        match performed {
            protocol::Performed::Settled(outcome) => Self::Settled(outcome.into()),
            protocol::Performed::Later(at) => Self::Later(at),
        }
    }
}

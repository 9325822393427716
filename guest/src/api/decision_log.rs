//! `decision-log`: delivery of the host's outbox.

use std::cell::RefCell;

use edictum_server_protocol::log::delivery::{self as protocol, Step};
use edictum_server_protocol::log::entry;

use super::endpoint::Endpoint;
use super::notices;
use crate::bindings::exports::edictum::server::api::{
    Content, DecisionLog as Handle, Delivery, EndpointBorrow, Failure, Gap, GuestDecisionLog, Json, Pending, Timestamp,
};
use crate::http::{self, Stopwatch};
use crate::inquiry::all;

/// The cell is never borrowed twice: a component is not re-entered.
pub struct DecisionLog(RefCell<protocol::DecisionLog>);

impl GuestDecisionLog for DecisionLog {
    fn open(endpoint: EndpointBorrow<'_>, options: Json) -> Result<Handle, Failure> {
        let log = protocol::DecisionLog::open(&endpoint.get::<Endpoint>().endpoint, &options)?;
        Ok(Handle::new(Self(RefCell::new(log))))
    }

    fn deliver(&self, entries: Vec<Pending>, flush: bool, now: Timestamp) -> Delivery {
        let (clock, mut log) = (Stopwatch::start(now), self.0.borrow_mut());
        match log.deliver(&all(entries), flush, now) {
            Step::Done(delivery) => delivery.into(),
            Step::Send(request) => {
                let answer = http::send(request);
                log.delivered(&answer, clock.now()).into()
            }
        }
    }
}

impl From<Pending> for entry::Pending {
    fn from(Pending { sequence, content }: Pending) -> Self {
        let content = match content {
            Content::Event(event) => entry::Content::Event(event),
            Content::Gap(Gap { count, first_sequence, last_sequence }) => {
                entry::Content::Gap(entry::Gap { count, first_sequence, last_sequence })
            }
        };
        Self { sequence, content }
    }
}

impl From<protocol::Delivery> for Delivery {
    fn from(protocol::Delivery { settled_through, dead, next, failure, notices: told }: protocol::Delivery) -> Self {
        Self { settled_through, dead, next, failure: failure.map(Into::into), notices: notices(&told) }
    }
}

//! Delivery of the decision log (ServerAuditSink). The outbox has the order and the truth: what a lost instance was doing is
//! delivered again.

use wasmtime::component::ResourceAny;

use super::Lanes;
use super::bindings::api::Failure;
pub use super::bindings::api::{Content, Delivery, Gap, Pending};
use super::connect::ConnectOptions;
use super::instance::{Inside, Opens, Work};
use super::lane::Lane;
use crate::clock::Timestamp;
use crate::error::Error;

/// One per outbox.
pub struct DecisionLog(Lane<Log>);

struct Log {
    options: String,
}

impl Opens for Log {
    fn open<'i>(&'i self, inside: Inside<'i>) -> Work<'i, Result<ResourceAny, Failure>> {
        let Inside { store, api, resource } = inside;
        Box::pin(async move { api.decision_log().call_open(store, resource, &self.options).await })
    }
}

impl DecisionLog {
    /// `options`: as `decision-log.open` of the WIT. Makes no request.
    ///
    /// # Errors
    /// [`Error::Refused`]: an option is not as it should be.
    pub async fn open(lanes: &Lanes, connect: &ConnectOptions, options: &str) -> Result<Self, Error> {
        Ok(Self(Lane::open(lanes, connect, Log { options: options.to_owned() }).await?))
    }

    /// The oldest undelivered entries, in order. Makes one request at most.
    ///
    /// # Errors
    /// [`Error::Abnormal`]: the instance ended; nothing is settled.
    pub async fn deliver(&self, entries: Vec<Pending>, flush: bool, now: Timestamp) -> Result<Delivery, Error> {
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move { api.decision_log().call_deliver(store, resource, &entries, flush, now).await })
            })
            .await
    }
}

//! The decision log on its way to a server: the guards of a server write into one lane of the outbox, and one task delivers
//! it.

use std::sync::Arc;
use std::time::Duration;

use super::Server;
use crate::error::Error;
use crate::host::Host;
use crate::lanes::{ConnectOptions, DecisionLog};
use crate::outbox::{Delivery, Health, Outbox};

/// Delivery of the log of one server, as long as a guard has it.
pub(crate) struct Log {
    outbox: Outbox,
    lane: String,
    _delivery: Delivery,
}

impl Log {
    /// `options`: as `decision-log.open` of the WIT.
    ///
    /// # Errors
    /// An option is not as it should be.
    pub async fn open(
        host: &Host,
        server: &Server,
        endpoint: &ConnectOptions,
        outbox: &Outbox,
        options: &str,
    ) -> Result<Arc<Self>, Error> {
        let lane = server.lane();
        let deliver = DecisionLog::open(host.lanes(), endpoint, options).await?;
        let delivery = outbox.deliver(&lane, deliver, &host.inner.clock, host.runtime());
        Ok(Arc::new(Self { outbox: outbox.clone(), lane, _delivery: delivery }))
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Its name in the outbox.
    pub fn lane(&self) -> &str {
        &self.lane
    }

    pub fn health(&self) -> Health {
        self.outbox.health(&self.lane)
    }

    /// Delivers what there is, as far as it can be done in this time. Gives the number of events that are left.
    pub async fn flush(&self, host: &Host, within: Duration) -> u64 {
        let (outbox, lane) = (self.outbox.clone(), self.lane.clone());
        let flushed = host.runtime().spawn(async move { outbox.flush(&lane, within).await.events });
        flushed.await.unwrap_or_else(|_| self.health().unsent.events)
    }
}

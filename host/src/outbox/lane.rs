//! Delivery by the `decision-log` lane; its notices go into our own log.

use super::{Deliver, Delivered, Pending};
use crate::clock::Timestamp;
use crate::connect;
use crate::lanes::DecisionLog;

impl Deliver for DecisionLog {
    /// One more than the largest batch that the lane's options allow by default.
    fn most(&self) -> (usize, usize) {
        (101, 1 << 20)
    }

    async fn deliver(&mut self, entries: &[Pending], flush: bool, now: Timestamp) -> Result<Delivered, String> {
        let delivery = Self::deliver(self, entries.to_vec(), flush, now).await.map_err(|error| error.message())?;
        for notice in &delivery.notices {
            connect::notice(notice);
        }
        Ok(Delivered {
            settled_through: delivery.settled_through,
            dead: delivery.dead,
            next: delivery.next,
            failure: delivery.failure.map(|failure| failure.message),
        })
    }
}

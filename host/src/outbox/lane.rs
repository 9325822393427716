//! Delivery by the `decision-log` lane: conversions, and its notices into our own log.

use serde::Deserialize;

use super::{Content, Deliver, Delivered, Pending};
use crate::clock::Timestamp;
use crate::lanes::{self, DecisionLog};

/// As in `source-step` of the WIT: redacted.
#[derive(Deserialize)]
struct Notice {
    level: String,
    code: String,
    message: String,
}

impl Deliver for DecisionLog {
    /// One more than the largest batch that the lane's options allow by default.
    fn most(&self) -> (usize, usize) {
        (101, 1 << 20)
    }

    async fn deliver(&mut self, entries: &[Pending], flush: bool, now: Timestamp) -> Result<Delivered, String> {
        let entries = entries.iter().map(entry).collect();
        let delivery = DecisionLog::deliver(self, entries, flush, now).await.map_err(|error| error.message())?;
        delivery.notices.iter().for_each(|notice| tell(notice));
        Ok(Delivered {
            settled_through: delivery.settled_through,
            dead: delivery.dead,
            next: delivery.next,
            failure: delivery.failure.map(|failure| failure.message),
        })
    }
}

fn entry(pending: &Pending) -> lanes::Pending {
    let content = match &pending.content {
        Content::Event(event) => lanes::Content::Event(event.clone()),
        Content::Gap(gap) => lanes::Content::Gap(lanes::Gap {
            count: gap.count,
            first_sequence: gap.first_sequence,
            last_sequence: gap.last_sequence,
        }),
    };
    lanes::Pending { sequence: pending.sequence, content }
}

fn tell(notice: &str) {
    let Ok(Notice { level, code, message }) = serde_json::from_str(notice) else { return };
    match level.as_str() {
        "info" => tracing::info!(code, message, "decision log"),
        "warning" => tracing::warn!(code, message, "decision log"),
        _ => tracing::error!(code, message, "decision log"),
    }
}

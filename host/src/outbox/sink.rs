//! One guard's way into a lane.

use tokio::sync::oneshot;

use super::Outbox;
use crate::events::{EventSink, Kept};

/// What a guard wants of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkSettings {
    /// They never give way: when there is no room, or no disk, they are refused (option `decision_log_required`).
    pub required: bool,
}

/// Puts events of a guard into a lane. Made by [`Outbox::sink`].
#[derive(Clone, Debug)]
pub struct OutboxSink {
    outbox: Outbox,
    lane: usize,
    settings: SinkSettings,
}

impl OutboxSink {
    pub(super) fn new(outbox: Outbox, lane: usize, settings: SinkSettings) -> Self {
        Self { outbox, lane, settings }
    }
}

impl EventSink for OutboxSink {
    /// Takes microseconds: the writer has them, and writes them within milliseconds.
    fn emit(&self, events: &[String]) -> Result<(), String> {
        if events.is_empty() {
            return Ok(());
        }
        self.outbox.queue().emit(self.lane, events.to_vec(), self.settings.required, None)
    }

    fn keep(&self, events: &[String]) -> Kept {
        if events.is_empty() {
            return Kept::from(Ok(()));
        }
        let (keeper, kept) = oneshot::channel();
        match self.outbox.queue().emit(self.lane, events.to_vec(), self.settings.required, Some(keeper)) {
            Ok(()) => Kept::when(async { kept.await.unwrap_or_else(|_| Err("the outbox has ended".to_owned())) }),
            Err(reason) => Kept::from(Err(reason)),
        }
    }
}

//! Where the decision log goes: a sink of the program's. The events are the engine's, redacted, in wire form and in order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Takes events of one guard. Called in the middle of a step, so it should only put them somewhere.
pub trait EventSink: Send + Sync + 'static {
    /// Keeps events (JSON each), in this order.
    ///
    /// # Errors
    /// They cannot be kept. With the option `decision_log_required` the call is blocked.
    fn emit(&self, events: &[String]) -> Result<(), String>;

    /// The same, for a guard with the option `durable`: the answer comes when the events are where they survive this process and
    /// its machine. A sink that keeps them at once, or nowhere, has nothing to wait for.
    fn keep(&self, events: &[String]) -> Kept {
        Kept::from(self.emit(events))
    }
}

/// A decision log that goes to several places. Each gets the events, whatever the others say; the first that cannot keep
/// them is heard.
pub(crate) struct Fan(Vec<Arc<dyn EventSink>>);

impl Fan {
    /// One sink is itself.
    pub fn of(sinks: impl Iterator<Item = Arc<dyn EventSink>>) -> Option<Arc<dyn EventSink>> {
        let mut sinks: Vec<_> = sinks.collect();
        if sinks.len() > 1 { Some(Arc::new(Self(sinks))) } else { sinks.pop() }
    }
}

impl EventSink for Fan {
    fn emit(&self, events: &[String]) -> Result<(), String> {
        self.0.iter().map(|sink| sink.emit(events)).fold(Ok(()), Result::and)
    }

    fn keep(&self, events: &[String]) -> Kept {
        let kept: Vec<_> = self.0.iter().map(|sink| sink.keep(events)).collect();
        Kept::when(async move {
            let mut all = Ok(());
            for kept in kept {
                all = all.and(kept.await);
            }
            all
        })
    }
}

/// Resolves when events are kept, or cannot be.
#[must_use = "events are kept when this has resolved"]
pub struct Kept(Answer);

enum Answer {
    Now(Option<Result<(), String>>),
    Later(Pin<Box<dyn Future<Output = Result<(), String>> + Send>>),
}

impl Kept {
    /// When this resolves. It is waited for without a runtime of its own.
    pub fn when(kept: impl Future<Output = Result<(), String>> + Send + 'static) -> Self {
        Self(Answer::Later(Box::pin(kept)))
    }
}

impl From<Result<(), String>> for Kept {
    fn from(kept: Result<(), String>) -> Self {
        Self(Answer::Now(Some(kept)))
    }
}

impl Future for Kept {
    type Output = Result<(), String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Answer::Now(kept) => Poll::Ready(kept.take().unwrap_or_else(|| Err("it was answered before".to_owned()))),
            Answer::Later(kept) => kept.as_mut().poll(context),
        }
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// Keeps the newest events in memory, up to a bound, until somebody takes them.
#[derive(Debug)]
pub struct EventBuffer {
    max_bytes: AtomicUsize,
    state: Mutex<Buffered>,
}

#[derive(Debug, Default)]
struct Buffered {
    events: VecDeque<String>,
    bytes: usize,
    dropped: u64,
    /// Of the next event.
    sequence: u64,
}

/// An event with its place in this log, which is given when it is put there; the rest of its text stays as it is. Events
/// that go without ids (option `bare_events`) go without places too.
pub(crate) fn with_sequence(event: &str, sequence: u64) -> String {
    match event.strip_prefix('{') {
        Some(rest) if rest.contains("\"event_id\":") => format!("{{\"sequence\":{sequence},{rest}"),
        _ => event.to_owned(),
    }
}

impl EventBuffer {
    /// At most so many bytes of events.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes: AtomicUsize::new(max_bytes), state: Mutex::default() }
    }

    /// Another bound from now on.
    pub fn limit(&self, max_bytes: usize) {
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
    }

    /// The events since the last time, oldest first, and how many older ones had to go.
    pub fn take(&self) -> (Vec<String>, u64) {
        let mut state = self.state();
        let sequence = state.sequence;
        let Buffered { events, dropped, .. } =
            std::mem::replace(&mut *state, Buffered { sequence, ..Buffered::default() });
        (events.into(), dropped)
    }

    fn state(&self) -> MutexGuard<'_, Buffered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for EventBuffer {
    fn emit(&self, events: &[String]) -> Result<(), String> {
        let mut state = self.state();
        for event in events {
            let event = with_sequence(event, state.sequence);
            state.sequence += 1;
            state.bytes += event.len();
            state.events.push_back(event);
        }
        while state.bytes > self.max_bytes.load(Ordering::Relaxed)
            && let Some(oldest) = state.events.pop_front()
        {
            state.bytes -= oldest.len();
            state.dropped += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_drops_the_oldest_and_says_so() {
        let buffer = EventBuffer::new(10);
        let events: Vec<_> = ["1234", "5678", "90ab"].map(str::to_owned).into();
        buffer.emit(&events).unwrap();
        assert_eq!(buffer.take(), (vec!["5678".to_owned(), "90ab".to_owned()], 1));
        assert_eq!(buffer.take(), (vec![], 0));
        buffer.emit(&["longer than it can hold".to_owned()]).unwrap();
        assert_eq!(buffer.take(), (vec![], 1));
        buffer.limit(3);
        buffer.emit(&["123".to_owned(), "456".to_owned()]).unwrap();
        assert_eq!(buffer.take(), (vec!["456".to_owned()], 1));
    }
}

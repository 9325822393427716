//! The decision log on its way to a plugin: a queue with a bound, and one task that empties it, in order. What the plugin
//! does not take is offered to it again, and later each time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::instances::Instances;
use crate::events::EventSink;
use crate::host::Host;

/// The most that waits, in bytes. What comes then is refused, and the guard acts as its options say.
const MAX_WAITING: usize = 16 << 20;

/// The most that is handed over at once: in events, and in bytes.
const BATCH: (usize, usize) = (100, 1 << 20);

/// How long to wait after the first failure, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often the end of the log is offered, and how long the end of a guard waits for it.
const LAST_TRIES: u32 = 3;
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// The way to one plugin, for one guard. Ends with it.
pub(crate) struct Delivery {
    queue: Arc<Queue>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Queue {
    instances: Arc<Instances>,
    waiting: Mutex<Waiting>,
    /// Something came.
    came: Notify,
    /// Nothing comes any more.
    closing: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<String>,
    bytes: usize,
    closed: bool,
}

impl Delivery {
    pub(super) fn start(host: &Host, instances: &Arc<Instances>) -> Arc<Self> {
        let queue = Arc::new(Queue {
            instances: Arc::clone(instances),
            waiting: Mutex::default(),
            came: Notify::new(),
            closing: Notify::new(),
        });
        let task = host.runtime().spawn(Arc::clone(&queue).run());
        Arc::new(Self { queue, task: Mutex::new(Some(task)) })
    }

    /// Takes nothing more, and waits a while until what is there was delivered.
    pub async fn close(&self, host: &Host) {
        self.queue.close();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && host.within(LAST_CHANCE, &mut task).await.is_none()
        {
            task.abort();
            self.queue.give_up();
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Queue {
    async fn run(self: Arc<Self>) {
        let (mut pause, mut last_tries) = (FIRST_PAUSE, LAST_TRIES);
        loop {
            let batch = self.batch();
            if batch.is_empty() {
                if self.waiting().closed {
                    return;
                }
                self.came.notified().await;
                continue;
            }
            let count = batch.len();
            let emitted = self.instances.ask(async move |functions, store| match &functions.audit_sink {
                Some(sink) => sink.call_emit(store, &batch).await,
                None => Ok(Err("it does not export this interface".to_owned())),
            });
            let Err(reason) = emitted.await else {
                self.delivered(count);
                pause = FIRST_PAUSE;
                continue;
            };
            tracing::warn!(plugin = self.name(), reason, "events are offered again later");
            if self.waiting().closed {
                last_tries -= 1;
                if last_tries == 0 {
                    return self.give_up();
                }
                pause = FIRST_PAUSE;
            }
            let _closing = timeout(pause, self.closing.notified()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The oldest events. They stay until they were taken.
    fn batch(&self) -> Vec<String> {
        let waiting = self.waiting();
        let mut bytes = 0;
        let fits = |event: &&String| {
            let first = bytes == 0;
            bytes += event.len();
            first || bytes <= BATCH.1
        };
        waiting.events.iter().take(BATCH.0).take_while(fits).cloned().collect()
    }

    fn delivered(&self, count: usize) {
        let mut waiting = self.waiting();
        let count = count.min(waiting.events.len());
        let bytes: usize = waiting.events.drain(..count).map(|event| event.len()).sum();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
    }

    fn close(&self) {
        self.waiting().closed = true;
        self.came.notify_one();
        self.closing.notify_one();
    }

    fn give_up(&self) {
        let events = std::mem::take(&mut self.waiting().events).len();
        tracing::error!(plugin = self.name(), events, "a plugin did not take the end of the decision log");
    }

    fn name(&self) -> &str {
        &self.instances.manifest().name
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Delivery {
    fn emit(&self, events: &[String]) -> Result<(), String> {
        let queue = &self.queue;
        let mut waiting = queue.waiting();
        let bytes: usize = events.iter().map(String::len).sum();
        if waiting.closed || waiting.bytes + bytes > MAX_WAITING {
            return Err(format!("plugin `{}` does not take the decision log", queue.name()));
        }
        waiting.bytes += bytes;
        waiting.events.extend(events.iter().cloned());
        drop(waiting);
        queue.came.notify_one();
        Ok(())
    }
}

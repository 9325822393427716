//! One lane's way out: read the front, hand it to whoever delivers, settle what was taken, and wait until there is a reason
//! to go on. What to send when, and what an answer means, is the lane's to say (`decision-log` of `wit/server`); here are
//! only the order of things and the time. Of several processes one delivers a lane at a time: it has a lease, which ends by
//! itself when its process does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::TransactionBehavior;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::queue::{Delivering, Wakers};
use super::{Outbox, OutboxError, Pending, ledger};
use crate::clock::{Clock, Timestamp};

/// Milliseconds for which a process has a lane to itself. Renewed while a request is under way.
const LEASE_MS: Timestamp = 15_000;

/// Between two renewals.
const RENEW: Duration = Duration::from_secs(5);

/// How often an idle lane is looked at: a process that died may have left something, or another may have put it there.
const LOOK: Duration = Duration::from_secs(5);

/// How often it is tried to get a lane that another process has.
const ASK: Duration = Duration::from_secs(1);

/// New entries that do not make a batch are looked at together.
const GATHER: Duration = Duration::from_millis(10);

/// Waits, in milliseconds, after a delivery that ended abnormally, or a file that could not be read or written.
const RETRY_MS: (Timestamp, Timestamp) = (1_000, 60_000);

/// Delivers entries of one lane: the `decision-log` lane, or a test.
pub trait Deliver: Send + 'static {
    /// Most entries, and most bytes of them, that are of use at once: one more than a batch may have.
    fn most(&self) -> (usize, usize) {
        (101, 1 << 20)
    }

    /// Delivers some of these, the oldest of the lane, or says when to come again. Without `flush` it may wait for more.
    ///
    /// An error: it ended abnormally, and nothing is known of what it did. It is called again after a while.
    fn deliver(
        &mut self,
        entries: &[Pending],
        flush: bool,
        now: Timestamp,
    ) -> impl Future<Output = Result<Delivered, String>> + Send;
}

/// What came of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Everything up to here is settled; none: nothing is.
    pub settled_through: Option<u64>,
    /// Refused for good, with the reason; among what is settled.
    pub dead: Vec<(u64, String)>,
    /// When to deliver again at the latest; none: when there are new entries.
    pub next: Option<Timestamp>,
    /// Why it is not going on, while it is not. Redacted.
    pub failure: Option<String>,
}

/// A lane that is being delivered, until this is dropped.
#[derive(Debug)]
#[must_use = "a lane is delivered as long as this is kept"]
pub struct Delivery {
    outbox: Outbox,
    lane: String,
    pub(super) task: JoinHandle<()>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.task.abort();
        let (name, holder) = (self.lane.clone(), self.outbox.holder().to_owned());
        let queue = self.outbox.queue();
        queue.delivering(queue.lane(&self.lane), Delivering::Off);
        // Otherwise its lease ends by itself.
        let _closed = queue.job(Box::new(move |connection| {
            if let Ok(connection) = connection {
                let _held = ledger::let_go(connection, &name, &holder);
            }
            super::queue::Done::default()
        }));
    }
}

impl Outbox {
    /// Delivers a lane from now on, on this runtime and by this clock. One delivery a lane is enough for all guards of a process.
    pub fn deliver(&self, lane: &str, deliver: impl Deliver, clock: &Arc<Clock>, runtime: &Handle) -> Delivery {
        let number = self.queue().lane(lane);
        let courier = Courier {
            outbox: self.clone(),
            lane: lane.to_owned(),
            number,
            wakers: self.queue().wakers(number),
            clock: Arc::clone(clock),
            deliver,
            held_until: None,
            failures: 0,
        };
        let task = runtime.spawn(courier.run());
        Delivery { outbox: self.clone(), lane: lane.to_owned(), task }
    }
}

/// Says so when the task ends by a panic.
struct Watch(Outbox, usize);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "delivery has ended: a bug".to_owned();
            self.0.queue().delivering(self.1, Delivering::Failing(why));
        }
    }
}

/// What to do after a turn.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The next turn, at once.
    Go,
    /// There is nothing to deliver.
    Idle,
    /// Another process delivers.
    Ask,
    /// At this time, or when there are new entries.
    New(Option<Timestamp>),
    /// At this time, or when somebody wants everything delivered.
    At(Timestamp),
}

struct Courier<D> {
    outbox: Outbox,
    lane: String,
    number: usize,
    wakers: Arc<Wakers>,
    clock: Arc<Clock>,
    deliver: D,
    held_until: Option<Timestamp>,
    failures: u32,
}

impl<D: Deliver> Courier<D> {
    async fn run(mut self) {
        let _watch = Watch(self.outbox.clone(), self.number);
        self.says(Delivering::Well);
        loop {
            let next = match self.turn().await {
                Ok(next) => next,
                Err(error) => self.failed(error),
            };
            self.wait(next).await;
        }
    }

    async fn turn(&mut self) -> Result<Next, String> {
        if self.outbox.unsent(&self.lane).await.map_err(text)?.events == 0 {
            self.let_go().await?;
            return Ok(Next::Idle);
        }
        if !self.hold().await? {
            self.says(Delivering::Well);
            return Ok(Next::Ask);
        }
        let (max_events, max_bytes) = self.deliver.most();
        let entries = self.outbox.front(&self.lane, max_events, max_bytes).await.map_err(text)?;
        if entries.is_empty() {
            // On its way to the file.
            return Ok(Next::New(None));
        }
        let flush = self.wakers.hurry.swap(false, Ordering::SeqCst);
        let delivered = self.hand_over(&entries, flush).await?;
        self.failures = 0;
        self.says(delivered.failure.clone().map_or(Delivering::Well, Delivering::Failing));
        if let Some(through) = delivered.settled_through {
            self.settle(through, delivered.dead).await;
        }
        Ok(match (delivered.failure, delivered.next) {
            (Some(_), Some(at)) => Next::At(at),
            (_, next) if delivered.settled_through.is_none() => Next::New(next),
            // What else is there may make a batch, or wait for one: it knows.
            _ => Next::Go,
        })
    }

    /// Delivers, and keeps the lease meanwhile.
    async fn hand_over(&mut self, entries: &[Pending], flush: bool) -> Result<Delivered, String> {
        let now = self.clock.now();
        let (outbox, lane, clock, held_until) = (&self.outbox, &self.lane, &self.clock, &mut self.held_until);
        let mut delivering = std::pin::pin!(self.deliver.deliver(entries, flush, now));
        loop {
            tokio::select! {
                delivered = &mut delivering => return delivered,
                () = tokio::time::sleep(RENEW) => {
                    // Whoever cannot renew it goes on: the same event twice is one event.
                    let now = clock.now();
                    if matches!(hold(outbox, lane, now).await, Ok(None)) {
                        *held_until = Some(now + LEASE_MS);
                    }
                }
            }
        }
    }

    /// It was delivered: until that is written down nothing else is.
    async fn settle(&mut self, through: u64, dead: Vec<(u64, String)>) {
        loop {
            match self.outbox.settle(&self.lane, through, dead.clone(), self.clock.now()).await {
                Ok(_) => return self.failures = 0,
                Err(error) => {
                    let next = self.failed(text(error));
                    self.wait(next).await;
                }
            }
        }
    }

    async fn hold(&mut self) -> Result<bool, String> {
        let now = self.clock.now();
        if self.held_until.is_some_and(|until| until > now + LEASE_MS / 2 && until <= now + LEASE_MS) {
            return Ok(true);
        }
        let held = hold(&self.outbox, &self.lane, now).await.map_err(text)?.is_none();
        self.held_until = held.then_some(now + LEASE_MS);
        Ok(held)
    }

    async fn let_go(&mut self) -> Result<(), String> {
        if self.held_until.take().is_none() {
            return Ok(());
        }
        let holder = self.outbox.holder().to_owned();
        let work = move |connection: &rusqlite::Connection, lane: &str| {
            ledger::let_go(connection, lane, &holder).map(|()| ((), None))
        };
        self.outbox.work(&self.lane, TransactionBehavior::Immediate, work).await.map_err(text)
    }

    fn failed(&mut self, reason: String) -> Next {
        if self.failures == 0 {
            tracing::warn!(lane = self.lane, reason, "the decision log is not delivered");
        }
        self.says(Delivering::Failing(reason));
        let wait = RETRY_MS.0.saturating_mul(1 << self.failures.min(16)).min(RETRY_MS.1);
        self.failures = self.failures.saturating_add(1);
        Next::At(self.clock.now() + wait)
    }

    fn says(&self, delivery: Delivering) {
        self.outbox.queue().delivering(self.number, delivery);
    }

    async fn wait(&mut self, next: Next) {
        let wakers = Arc::clone(&self.wakers);
        let hurry = || wakers.hurry.load(Ordering::SeqCst);
        match next {
            Next::Go => {}
            Next::Idle => {
                // There is nothing to hurry for.
                wakers.hurry.store(false, Ordering::SeqCst);
                tokio::select! {
                    () = wakers.arrived.notified() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
            Next::Ask => tokio::time::sleep(ASK).await,
            Next::New(at) => {
                tokio::select! {
                    () = wakers.arrived.notified() => if !hurry() { tokio::time::sleep(GATHER).await },
                    () = self.clock.wait_until(at) => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
            Next::At(at) => loop {
                tokio::select! {
                    () = wakers.arrived.notified() => if hurry() { return },
                    () = self.clock.wait_until(Some(at)) => return,
                }
            },
        }
    }
}

async fn hold(outbox: &Outbox, lane: &str, now: Timestamp) -> Result<Option<Timestamp>, OutboxError> {
    let holder = outbox.holder().to_owned();
    let work = move |connection: &rusqlite::Connection, lane: &str| {
        Ok((ledger::hold(connection, lane, &holder, now, LEASE_MS)?, None))
    };
    outbox.work(lane, TransactionBehavior::Immediate, work).await
}

fn text(error: OutboxError) -> String {
    error.to_string()
}

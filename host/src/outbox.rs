//! The outbox: the decision log's events, from the moment a guard emits them until a server has them. It is a SQLite file
//! of its own (or memory), which several processes may share; nothing leaves it without being settled or put on record.
//!
//! Every event belongs to a *lane* (an opaque name: where it goes, and with which key) and gets its sequence in it when it
//! is written: one more each time, also over restarts and in several processes. A sink puts events in ([`Outbox::sink`]);
//! one delivery a lane ([`Outbox::deliver`]) takes them from the front and settles them.
//!
//! The outbox is bounded. When it is full, or the disk cannot be written, events that are *required* are refused, and the
//! oldest of the others give way to a gap: a record of how many they were, and which, in their place.
//!
//! | file | what |
//! |---|---|
//! | [`queue`] | what is on its way to the writer: memory, bounded |
//! | [`writer`] | the thread that writes |
//! | [`ledger`], [`file`], [`block`] | what is done to the file, and how it is laid out |
//! | [`sink`] | the way in |
//! | [`delivery`], [`lane`] | the way out |

mod block;
mod delivery;
mod file;
mod lane;
mod ledger;
mod queue;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

pub use self::delivery::{Deliver, Delivered, Delivery};
use self::file::Place;
pub use self::ledger::DeadLetter;
use self::queue::{Delivering, Done, Known, Queue};
pub use self::sink::{OutboxSink, SinkSettings};
use self::writer::{Writer, breaks};
use crate::clock::Timestamp;
pub use crate::lanes::{Content, Gap, Pending};

/// The file's name beside a store.
pub const FILE_NAME: &str = "outbox.sqlite";

/// Bytes of events in the file unless it is said otherwise.
pub const MAX_BYTES: u64 = 1 << 30;

/// Bytes of memory for events that are not in the file yet.
pub const MAX_MEMORY: u64 = 64 << 20;

/// How long the last handle waits for the writer to end.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// The outbox could not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox: {0}")]
pub struct OutboxError(String);

/// Bytes of the text of an entry.
fn size(entry: &Pending) -> usize {
    match &entry.content {
        Content::Event(event) => event.len(),
        Content::Gap(_) => 0,
    }
}

/// What waits in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    /// Events and gaps.
    pub events: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

/// How delivery is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody delivers this lane, and there is nothing wrong.
    Off,
    /// All is well.
    Ok,
    /// Events are lost or cannot be kept, or the server does not take them.
    Degraded,
}

impl State {
    /// As in `health` of the driver protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Ok => "ok",
            Self::Degraded => "degraded",
        }
    }
}

/// A lane, as this process knows it; never waits for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// In one word.
    pub state: State,
    /// Why it is degraded, where there is a reason to tell.
    pub last_error: Option<String>,
    /// What waits.
    pub unsent: Unsent,
    /// Events that were ever given up.
    pub lost: u64,
    /// Events that the server refused for good, ever.
    pub dead: u64,
}

/// Cheap to clone; all clones are the same outbox. A process needs one.
#[derive(Clone, Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    /// Names this process in leases.
    holder: String,
    /// Closed by the end of the writer.
    ended: Mutex<Receiver<()>>,
}

/// Events that are on their way are written first.
impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(LAST_WRITE) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the outbox does not end: its disk does not answer");
        }
    }
}

impl Outbox {
    /// In this file, which is made when it is missing. What an earlier process left in it is still there.
    ///
    /// # Errors
    /// It cannot be opened or written, or was laid out by a newer version.
    pub fn open(path: &Path) -> Result<Self, OutboxError> {
        Self::start(Place::File(path.to_path_buf()), MAX_MEMORY)
    }

    /// In memory: gone with the process.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn in_memory() -> Result<Self, OutboxError> {
        Self::start(Place::Memory, MAX_MEMORY)
    }

    fn start(place: Place, max_memory: u64) -> Result<Self, OutboxError> {
        let connection = place.connect().map_err(OutboxError)?;
        let queue = Arc::new(Queue::new(MAX_BYTES, max_memory));
        let (alive, ended) = channel();
        let writer = Writer::new(Arc::clone(&queue), place, connection);
        let thread = std::thread::Builder::new().name("edictum-outbox".to_owned()).spawn(move || {
            let _alive = alive;
            writer.run();
        });
        thread.map_err(|error| OutboxError(error.to_string()))?;
        let holder = format!("{}-{}", std::process::id(), uuid::Uuid::new_v4());
        Ok(Self { shared: Arc::new(Shared { queue, holder, ended: Mutex::new(ended) }) })
    }

    /// At most so many bytes of events from now on, in all lanes (option `outbox_max_bytes`).
    pub fn set_max_bytes(&self, max_bytes: u64) {
        self.queue().set_max_bytes(max_bytes);
    }

    /// The way into a lane for one guard.
    #[must_use]
    pub fn sink(&self, lane: &str, settings: SinkSettings) -> OutboxSink {
        OutboxSink::new(self.clone(), self.queue().lane(lane), settings)
    }

    /// The oldest entries of a lane, in order: as many as fit, and one in any case.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn front(&self, lane: &str, max_events: usize, max_bytes: usize) -> Result<Vec<Pending>, OutboxError> {
        self.read(lane, move |connection, lane| ledger::front(connection, lane, max_events, max_bytes)).await
    }

    /// Everything up to `through` was delivered, or, with its reason, set apart as refused for good. Gives how many entries were
    /// settled now; what was before is not settled again.
    ///
    /// # Errors
    /// Nothing is settled.
    pub async fn settle(
        &self,
        lane: &str,
        through: u64,
        dead: Vec<(u64, String)>,
        now: Timestamp,
    ) -> Result<u64, OutboxError> {
        let settled = self.work(lane, TransactionBehavior::Immediate, move |connection, lane| {
            let (settled, seen) = ledger::settle(connection, lane, through, &dead, now)?;
            Ok((settled, Some(seen)))
        });
        let settled = settled.await?;
        if settled > 0 {
            self.job(|connection| Ok((ledger::shrink(connection)?, None))).await?;
        }
        Ok(settled)
    }

    /// What waits in a lane, counted in the file, and with what this process has yet to write.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn unsent(&self, lane: &str) -> Result<Unsent, OutboxError> {
        let number = self.queue().lane(lane);
        self.look(lane).await?;
        Ok(self.queue().known(number).map(|known| known.unsent()).unwrap_or_default())
    }

    /// What the server refused for good, newest first. Of all that were, the newest are kept.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letters(&self, lane: &str, limit: usize) -> Result<Vec<DeadLetter>, OutboxError> {
        self.read(lane, move |connection, lane| ledger::dead_letters(connection, lane, limit)).await
    }

    /// Waits until there may be something new in a lane. For one waiter.
    pub async fn arrived(&self, lane: &str) {
        let wakers = self.queue().wakers(self.queue().lane(lane));
        wakers.arrived.notified().await;
    }

    /// Waits until everything that was emitted is on the disk.
    ///
    /// # Errors
    /// It cannot be written now; what may wait waits on.
    pub async fn sync(&self) -> Result<(), OutboxError> {
        let (keeper, kept) = oneshot::channel();
        self.queue().emit(self.queue().lane(""), Vec::new(), true, Some(keeper)).map_err(OutboxError)?;
        kept.await.unwrap_or_else(|_| Err("it has ended".to_owned())).map_err(OutboxError)
    }

    /// Lets everything in a lane be delivered now, waits for it as long as `timeout`, and says what is left. Needs a tokio
    /// context.
    pub async fn flush(&self, lane: &str, timeout: Duration) -> Unsent {
        let number = self.queue().lane(lane);
        let wakers = self.queue().wakers(number);
        let known = || self.queue().known(number);
        let delivered = async {
            if self.sync().await.is_err() || self.look(lane).await.is_err() {
                return;
            }
            loop {
                let settled = wakers.settled.notified();
                if known().is_none_or(|known| known.unsent().events == 0 || known.delivery == Delivering::Off) {
                    return;
                }
                wakers.flush();
                // Another process may be the one that delivers.
                let settled = tokio::time::timeout(FLUSH_LOOK, settled).await;
                if settled.is_err() && self.look(lane).await.is_err() {
                    return;
                }
            }
        };
        // What is left is told below.
        let _in_time = tokio::time::timeout(timeout, delivered).await;
        known().map(|known| known.unsent()).unwrap_or_default()
    }

    /// Tells outboxes apart, while they live.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    /// How a lane is doing.
    #[must_use]
    pub fn health(&self, lane: &str) -> Health {
        let known = self.queue().known(self.queue().lane(lane));
        known.map_or_else(Health::unknown, Health::of)
    }

    fn queue(&self) -> &Arc<Queue> {
        &self.shared.queue
    }

    fn holder(&self) -> &str {
        &self.shared.holder
    }

    /// Brings what is known of a lane up to date.
    async fn look(&self, lane: &str) -> Result<(), OutboxError> {
        self.work(lane, TransactionBehavior::Deferred, |connection, lane| Ok(((), ledger::find(connection, lane)?)))
            .await
    }

    async fn read<T: Send + 'static>(
        &self,
        lane: &str,
        work: impl FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let work = move |connection: &Connection, lane: &str| Ok((work(connection, lane)?, None));
        self.work(lane, TransactionBehavior::Deferred, work).await
    }

    /// One transaction on the writer's thread. What it says about the lane is remembered.
    async fn work<T: Send + 'static>(
        &self,
        lane: &str,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Connection, &str) -> rusqlite::Result<(T, Option<ledger::Lane>)> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let number = self.queue().lane(lane);
        let name = lane.to_owned();
        let job = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(behavior)?;
            let (done, seen) = work(&transaction, &name)?;
            transaction.commit()?;
            Ok((done, seen.map(|seen| (number, seen))))
        };
        self.job(job).await
    }

    /// Something on the writer's thread.
    async fn job<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<(T, Option<(usize, ledger::Lane)>)> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let (reply, answer) = oneshot::channel();
        let job = move |connection: Result<&mut Connection, String>| {
            let mut said = Done::default();
            let result = match connection.map(work) {
                Ok(Ok((done, seen))) => {
                    said.seen = seen;
                    Ok(done)
                }
                Ok(Err(error)) => {
                    said.broken = breaks(&error);
                    Err(OutboxError(error.to_string()))
                }
                Err(reason) => Err(OutboxError(reason)),
            };
            // Who asked may have gone away.
            said.answer = Some(Box::new(|| drop(reply.send(result))));
            said
        };
        self.queue().job(Box::new(job)).map_err(OutboxError)?;
        answer.await.unwrap_or_else(|_| Err(OutboxError("it has ended".to_owned())))
    }
}

/// How often a flush looks whether another process has delivered.
const FLUSH_LOOK: Duration = Duration::from_millis(100);

impl Known {
    fn unsent(&self) -> Unsent {
        Unsent {
            events: ledger::unsigned(self.lane.events + self.lane.gaps) + self.queued + u64::from(self.lost > 0),
            bytes: ledger::unsigned(self.lane.bytes) + self.queued_bytes,
        }
    }
}

impl Health {
    fn unknown() -> Self {
        Self { state: State::Off, last_error: None, unsent: Unsent::default(), lost: 0, dead: 0 }
    }

    fn of(known: Known) -> Self {
        let unsent = known.unsent();
        let lost = ledger::unsigned(known.lane.lost) + known.lost;
        let gap = known.lane.gaps > 0 || known.lost > 0;
        let failing = match &known.delivery {
            Delivering::Failing(reason) => Some(reason.clone()),
            Delivering::Off | Delivering::Well => None,
        };
        let why = known.trouble.or(failing);
        let why = why.or_else(|| known.full.then(|| "the outbox is full".to_owned()));
        let last_error = why.or_else(|| gap.then(|| "events had to be given up".to_owned()));
        let state = match known.delivery {
            _ if last_error.is_some() => State::Degraded,
            Delivering::Off => State::Off,
            Delivering::Well | Delivering::Failing(_) => State::Ok,
        };
        Self { state, last_error, unsent, lost, dead: ledger::unsigned(known.lane.dead) }
    }
}

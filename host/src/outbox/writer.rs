//! The one thread that touches the file: it writes events in groups and does jobs in between. When it cannot write, it says
//! so and tries again, with a new connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::file::Place;
use super::ledger::{self, Append};
use super::queue::{Load, Queue};

/// Waits between two attempts.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(super) struct Writer {
    queue: Arc<Queue>,
    place: Place,
    connection: Option<Connection>,
    /// Whether commits wait for the disk now.
    durable: bool,
    failures: u32,
}

/// Whatever ends the thread, nobody goes on giving it events.
struct End(Arc<Queue>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
        // Who waits for a job is told by the end of its channel.
        drop(self.0.take(None));
    }
}

impl Writer {
    pub fn new(queue: Arc<Queue>, place: Place, connection: Connection) -> Self {
        Self { queue, place, connection: Some(connection), durable: false, failures: 0 }
    }

    /// Until the queue is closed.
    pub fn run(mut self) {
        let _end = End(Arc::clone(&self.queue));
        let mut not_before = None;
        loop {
            let work = self.queue.take(not_before);
            for job in work.jobs {
                self.job(job);
            }
            let lost = work.loads.iter().flat_map(|load| &load.batches).map(|batch| batch.events.len()).sum::<usize>();
            if !work.loads.is_empty() {
                let written = self.write(work.loads, work.durable);
                not_before = (!written).then(|| self.retry_at());
            }
            if work.last {
                if not_before.is_some() && lost > 0 {
                    tracing::error!(events = lost, "the outbox ends, and events could not be written");
                }
                return;
            }
        }
    }

    fn retry_at(&self) -> Instant {
        let doubled = RETRY.0.saturating_mul(1 << self.failures.min(8));
        Instant::now() + doubled.min(RETRY.1)
    }

    fn connection(&mut self) -> Result<&mut Connection, String> {
        if self.connection.is_none() {
            self.connection = Some(self.place.connect()?);
            self.durable = false;
        }
        self.connection.as_mut().ok_or_else(|| "the file is not open".to_owned())
    }

    fn job(&mut self, job: super::queue::Job) {
        let queue = Arc::clone(&self.queue);
        let connection = self.connection();
        let Ok(done) = catch_unwind(AssertUnwindSafe(|| job(connection))) else {
            return tracing::error!("a job of the outbox panicked");
        };
        if let Some((lane, seen)) = done.seen {
            let used = self.connection.as_ref().and_then(|connection| ledger::used(connection).ok());
            queue.looked(lane, seen, used);
        }
        if done.broken {
            self.give_up();
        }
        if let Some(answer) = done.answer {
            answer();
        }
    }

    /// What is in memory is nowhere else.
    fn give_up(&mut self) {
        if matches!(self.place, Place::File(_)) {
            self.connection = None;
        }
    }

    /// False: nothing was written, and it is to be tried again.
    fn write(&mut self, loads: Vec<Load>, durable: bool) -> bool {
        match catch_unwind(AssertUnwindSafe(|| self.attempt(&loads, durable))) {
            Ok(Ok((lanes, used))) => {
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!("the outbox can be written again");
                }
                self.queue.written(loads, lanes, used);
                true
            }
            Ok(Err(reason)) => self.failed(loads, &reason),
            Err(_) => self.failed(loads, "a bug: the writer panicked"),
        }
    }

    fn failed(&mut self, loads: Vec<Load>, reason: &str) -> bool {
        if self.failures == 0 {
            tracing::error!(reason, "the outbox cannot be written");
        }
        self.failures = self.failures.saturating_add(1);
        self.queue.put_back(loads, reason);
        false
    }

    fn attempt(&mut self, loads: &[Load], durable: bool) -> Result<(Vec<ledger::Lane>, u64), String> {
        let max_bytes = self.queue.max_bytes();
        let was_durable = self.durable;
        let connection = self.connection()?;
        match write_group(connection, loads, max_bytes, (durable != was_durable).then_some(durable)) {
            Ok(written) => {
                self.durable = durable;
                Ok(written)
            }
            Err(error) => {
                if breaks(&error) {
                    self.give_up();
                }
                Err(error.to_string())
            }
        }
    }
}

/// Whether another connection may do better. A file may have been moved, or a disk be another one.
pub(super) fn breaks(error: &rusqlite::Error) -> bool {
    !matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull))
}

fn write_group(
    connection: &mut Connection,
    loads: &[Load],
    max_bytes: u64,
    durable: Option<bool>,
) -> rusqlite::Result<(Vec<ledger::Lane>, u64)> {
    if let Some(durable) = durable {
        connection.pragma_update(None, "synchronous", if durable { "full" } else { "normal" })?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut lanes = Vec::with_capacity(loads.len());
    for load in loads {
        let append = Append { lane: &load.name, floor: load.floor, lost: load.lost, batches: &load.batches };
        lanes.push(ledger::append(&transaction, &append)?);
    }
    if ledger::give_way(&transaction, max_bytes)? {
        for (lane, load) in lanes.iter_mut().zip(loads) {
            *lane = ledger::find(&transaction, &load.name)?.unwrap_or_default();
        }
    }
    let used = ledger::used(&transaction)?;
    transaction.commit()?;
    Ok((lanes, used))
}

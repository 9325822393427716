//! What is on its way to the writer: events that guards have emitted, by lane and in order, and jobs. Bounded: when it is
//! full, required events are refused, and of the others the oldest give way. It counts what is given up, so that the writer
//! can say so in the file.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use super::block::{HEAD, MAX_EVENT};
use super::ledger;

/// How long events that nobody waits for are gathered.
const LINGER: Duration = Duration::from_millis(2);

/// Unless there are so many bytes of them.
const PLENTY: u64 = 4 << 20;

/// Taken for each event besides its text: what the queue itself needs.
const EVENT_COST: usize = 64;

/// Told when events are on the disk, or cannot be.
pub(super) type Keeper = oneshot::Sender<Result<(), String>>;

/// Done on the writer's thread, when there is a connection; the error says why there is none.
pub(super) type Job = Box<dyn FnOnce(Result<&mut Connection, String>) -> Done + Send>;

/// What a job says to the writer.
#[derive(Default)]
pub(super) struct Done {
    /// It has seen this lane.
    pub seen: Option<(usize, ledger::Lane)>,
    /// The connection is of no use any more.
    pub broken: bool,
    /// Tells whoever asked; after the writer has taken note of the rest.
    pub answer: Option<Box<dyn FnOnce() + Send>>,
}

/// The events of one `emit`.
#[derive(Debug)]
pub(super) struct Batch {
    pub events: Vec<String>,
    pub required: bool,
    pub keeper: Option<Keeper>,
    /// In the memory of the queue.
    cost: u64,
    /// Bytes in the file.
    bytes: u64,
    order: u64,
}

impl Batch {
    pub fn count(&self) -> u64 {
        u64::try_from(self.events.len()).unwrap_or(u64::MAX)
    }
}

/// What is to be written to one lane.
#[derive(Debug)]
pub(super) struct Load {
    pub lane: usize,
    pub name: Arc<str>,
    pub floor: i64,
    pub lost: u64,
    pub batches: Vec<Batch>,
}

/// What the writer does next.
pub(super) struct Work {
    pub jobs: Vec<Job>,
    pub loads: Vec<Load>,
    /// Somebody waits until it is on the disk.
    pub durable: bool,
    /// There will be nothing more.
    pub last: bool,
}

/// One lane, as this process knows it.
#[derive(Debug)]
struct Lane {
    name: Arc<str>,
    lost: u64,
    /// Never gives way.
    required: VecDeque<Batch>,
    droppable: VecDeque<Batch>,
    /// Events that are not in the file yet, also those that are being written.
    queued: u64,
    queued_bytes: u64,
    /// As it was in the file after our last look.
    seen: ledger::Lane,
    delivery: Delivering,
    wakers: Arc<Wakers>,
}

/// Who waits for a lane.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    /// There are new entries in the file.
    pub arrived: Notify,
    /// Somebody wants everything delivered now.
    pub hurry: AtomicBool,
    /// Entries were settled.
    pub settled: Notify,
}

impl Wakers {
    /// Everything is to be delivered now.
    pub fn flush(&self) {
        self.hurry.store(true, Ordering::SeqCst);
        self.arrived.notify_one();
    }
}

/// What the delivery of a lane last said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Delivering {
    #[default]
    Off,
    Well,
    Failing(String),
}

/// What is known of a lane without asking the file.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub lane: ledger::Lane,
    pub queued: u64,
    pub queued_bytes: u64,
    pub lost: u64,
    pub delivery: Delivering,
    pub trouble: Option<String>,
    pub full: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    lanes: Vec<Lane>,
    by_name: HashMap<Arc<str>, usize>,
    order: u64,
    /// Memory of all batches that are not on the disk yet, also of those that are being written.
    cost: u64,
    /// What they will take in the file.
    bytes: u64,
    /// Bytes in the file after our last look.
    used: u64,
    max_bytes: u64,
    max_memory: u64,
    trouble: Option<String>,
    jobs: Vec<Job>,
    /// There is something to write.
    events: bool,
    urgent: bool,
    /// Until when events are gathered.
    gathering: Option<Instant>,
    writer: Writer,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").field("cost", &self.cost).field("used", &self.used).finish_non_exhaustive()
    }
}

/// What the writer's thread is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Writing,
    /// It waits for anything to do.
    Idle,
    /// It gathers events.
    Lingering,
}

impl Queue {
    pub fn new(max_bytes: u64, max_memory: u64) -> Self {
        let state = State {
            lanes: Vec::new(),
            by_name: HashMap::new(),
            order: 0,
            cost: 0,
            bytes: 0,
            used: 0,
            max_bytes,
            max_memory,
            trouble: None,
            jobs: Vec::new(),
            events: false,
            urgent: false,
            gathering: None,
            writer: Writer::Writing,
            closed: false,
        };
        Self { state: Mutex::new(state), work: Condvar::new() }
    }

    /// The number of a lane in this process.
    pub fn lane(&self, name: &str) -> usize {
        let mut state = self.state();
        if let Some(number) = state.by_name.get(name) {
            return *number;
        }
        let number = state.lanes.len();
        let name: Arc<str> = name.into();
        state.by_name.insert(Arc::clone(&name), number);
        state.lanes.push(Lane {
            name,
            lost: 0,
            required: VecDeque::new(),
            droppable: VecDeque::new(),
            queued: 0,
            queued_bytes: 0,
            seen: ledger::Lane::default(),
            delivery: Delivering::Off,
            wakers: Arc::default(),
        });
        number
    }

    pub fn wakers(&self, lane: usize) -> Arc<Wakers> {
        self.state().lanes.get(lane).map(|lane| Arc::clone(&lane.wakers)).unwrap_or_default()
    }

    pub fn set_max_bytes(&self, max_bytes: u64) {
        self.state().max_bytes = max_bytes;
    }

    pub fn max_bytes(&self) -> u64 {
        self.state().max_bytes
    }

    /// Takes events over. An error: they are given up, and counted so.
    pub fn emit(&self, lane: usize, events: Vec<String>, required: bool, keeper: Option<Keeper>) -> Result<(), String> {
        let longest = events.iter().map(String::len).max().unwrap_or_default();
        let text: usize = events.iter().map(|event| event.len() + HEAD).sum();
        let cost = u64::try_from(text + events.len() * EVENT_COST).unwrap_or(u64::MAX);
        let bytes = u64::try_from(text).unwrap_or(u64::MAX);
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        let mut state = self.state();
        if state.closed {
            return Err("the outbox is closed".to_owned());
        }
        let refused = match longest {
            _ if events.is_empty() => None,
            MAX_EVENT.. => Some("an event is too long".to_owned()),
            _ => state.make_room(cost, bytes, required),
        };
        if let Some(reason) = refused {
            if let Some(lane) = state.lanes.get_mut(lane) {
                lane.lost += count;
            }
            self.wake(&mut state, keeper.is_some());
            return Err(reason);
        }
        let urgent = keeper.is_some();
        // Nobody waits for a disk that is known to be lost; the events do.
        let keeper = match &state.trouble {
            Some(trouble) => keeper.and_then(|keeper| keeper.send(Err(trouble.clone())).err().and(None)),
            None => keeper,
        };
        state.order += 1;
        let batch = Batch { events, required, keeper, cost, bytes, order: state.order };
        state.cost += cost;
        state.bytes += bytes;
        if let Some(lane) = state.lanes.get_mut(lane) {
            lane.queued += count;
            lane.queued_bytes += bytes;
            let queue = if required { &mut lane.required } else { &mut lane.droppable };
            queue.push_back(batch);
        }
        self.wake(&mut state, urgent);
        Ok(())
    }

    /// Hands the writer something else to do.
    pub fn job(&self, job: Job) -> Result<(), String> {
        let mut state = self.state();
        if state.closed {
            return Err("the outbox is closed".to_owned());
        }
        state.jobs.push(job);
        self.work.notify_one();
        Ok(())
    }

    fn wake(&self, state: &mut State, urgent: bool) {
        state.events = true;
        state.urgent |= urgent;
        let wake = match state.writer {
            Writer::Writing => false,
            Writer::Idle => true,
            Writer::Lingering => state.urgent || state.bytes >= PLENTY,
        };
        if wake {
            // Once: it is not waiting any more.
            state.writer = Writer::Writing;
            self.work.notify_one();
        }
    }

    /// For the writer: waits until there is something to do. Events are not given before `not_before`, jobs are.
    pub fn take(&self, not_before: Option<Instant>) -> Work {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let held_back = not_before.filter(|at| *at > now);
            let linger = state.events.then(|| *state.gathering.get_or_insert(now + LINGER));
            let gathered = state.urgent || state.bytes >= PLENTY || linger.is_some_and(|until| until <= now);
            let ready = state.events && held_back.is_none() && gathered;
            if ready || state.closed || !state.jobs.is_empty() {
                let events = ready || state.closed;
                return state.work(events);
            }
            let until = if state.events { held_back.or(linger) } else { None };
            // Held back, it has nothing to be woken for but jobs.
            state.writer = match until {
                None => Writer::Idle,
                Some(_) if held_back.is_some() => Writer::Writing,
                Some(_) => Writer::Lingering,
            };
            state = match until {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let waited = self.work.wait_timeout(state, until.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.writer = Writer::Writing;
        }
    }

    /// For the writer: these are in the file.
    pub fn written(&self, loads: Vec<Load>, lanes: Vec<ledger::Lane>, used: u64) {
        let mut keepers = Vec::new();
        let mut wakers = Vec::new();
        {
            let mut state = self.state();
            state.trouble = None;
            state.used = used;
            for (load, seen) in loads.into_iter().zip(lanes) {
                for batch in load.batches {
                    state.leaves(load.lane, &batch);
                    keepers.extend(batch.keeper);
                }
                if let Some(lane) = state.lanes.get_mut(load.lane) {
                    lane.seen = seen;
                    wakers.push(Arc::clone(&lane.wakers));
                }
            }
        }
        for keeper in keepers {
            // Who asked may have gone away.
            let _unheard = keeper.send(Ok(()));
        }
        wakers.iter().for_each(|wakers| wakers.arrived.notify_one());
    }

    /// For the writer: these could not be written. Who waits is told; what was required of those is given up, because its
    /// call goes on without it, and all else waits here for the next attempt.
    pub fn put_back(&self, loads: Vec<Load>, reason: &str) {
        let mut keepers = Vec::new();
        {
            let mut state = self.state();
            state.trouble = Some(reason.to_owned());
            for load in loads {
                let mut back = Vec::new();
                let mut lost = load.lost;
                for mut batch in load.batches {
                    let waited_for = batch.keeper.take().map(|keeper| keepers.push(keeper)).is_some();
                    if (waited_for && batch.required) || batch.events.is_empty() {
                        lost += batch.count();
                        state.leaves(load.lane, &batch);
                    } else {
                        back.push(batch);
                    }
                }
                state.events |= lost > 0 || !back.is_empty();
                if let Some(lane) = state.lanes.get_mut(load.lane) {
                    lane.lost += lost;
                    for batch in back.into_iter().rev() {
                        let queue = if batch.required { &mut lane.required } else { &mut lane.droppable };
                        queue.push_front(batch);
                    }
                }
            }
        }
        for keeper in keepers {
            let _unheard = keeper.send(Err(reason.to_owned()));
        }
    }

    /// For the writer: a job has looked at a lane.
    pub fn looked(&self, lane: usize, seen: ledger::Lane, used: Option<u64>) {
        let mut state = self.state();
        if let Some(used) = used {
            state.used = used;
        }
        let Some(lane) = state.lanes.get_mut(lane) else { return };
        let settled = seen.settled > lane.seen.settled;
        lane.seen = seen;
        if settled {
            lane.wakers.settled.notify_waiters();
        }
    }

    /// What the delivery of a lane says.
    pub fn delivering(&self, lane: usize, delivery: Delivering) {
        if let Some(lane) = self.state().lanes.get_mut(lane) {
            lane.delivery = delivery;
        }
    }

    pub fn known(&self, lane: usize) -> Option<Known> {
        let state = self.state();
        let of = state.lanes.get(lane)?;
        Some(Known {
            lane: of.seen.clone(),
            queued: of.queued,
            queued_bytes: of.queued_bytes,
            lost: of.lost,
            delivery: of.delivery.clone(),
            trouble: state.trouble.clone(),
            full: state.used + state.bytes >= state.max_bytes,
        })
    }

    /// No more events and jobs. The writer does what is there, and ends.
    pub fn close(&self) {
        self.state().closed = true;
        self.work.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Why events are not taken; none: there is room for them.
    fn make_room(&mut self, cost: u64, bytes: u64, required: bool) -> Option<String> {
        if required {
            if let Some(trouble) = &self.trouble {
                return Some(trouble.clone());
            }
            if self.used.saturating_add(self.bytes).saturating_add(bytes) > self.max_bytes {
                return Some("the outbox is full".to_owned());
            }
        }
        while self.cost.saturating_add(cost) > self.max_memory {
            if required || !self.drop_oldest() {
                let reason = self.trouble.as_deref().unwrap_or("events come faster than they can be written");
                return Some(reason.to_owned());
            }
        }
        None
    }

    /// Gives the oldest batch up that may be. False: there is none.
    fn drop_oldest(&mut self) -> bool {
        let fronts = self.lanes.iter().enumerate();
        let fronts = fronts.filter_map(|(number, lane)| Some((lane.droppable.front()?.order, number)));
        let Some((_, number)) = fronts.min() else { return false };
        let Some(lane) = self.lanes.get_mut(number) else { return false };
        let Some(batch) = lane.droppable.pop_front() else { return false };
        lane.lost += batch.count();
        self.leaves(number, &batch);
        if let Some(keeper) = batch.keeper {
            let _unheard = keeper.send(Err("it had to give way to newer events".to_owned()));
        }
        true
    }

    /// It is in the file, or given up.
    fn leaves(&mut self, lane: usize, batch: &Batch) {
        self.cost -= batch.cost;
        self.bytes -= batch.bytes;
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.queued -= batch.count();
            lane.queued_bytes -= batch.bytes;
        }
    }

    fn work(&mut self, events: bool) -> Work {
        let jobs = std::mem::take(&mut self.jobs);
        let mut work = Work { jobs, loads: Vec::new(), durable: false, last: self.closed };
        if !events {
            return work;
        }
        self.events = false;
        self.urgent = false;
        self.gathering = None;
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let mut batches: Vec<_> = lane.required.drain(..).chain(lane.droppable.drain(..)).collect();
            if batches.is_empty() && lane.lost == 0 {
                continue;
            }
            batches.sort_by_key(|batch| batch.order);
            work.durable |= batches.iter().any(|batch| batch.keeper.is_some());
            work.loads.push(Load {
                lane: number,
                name: Arc::clone(&lane.name),
                floor: lane.seen.last,
                lost: std::mem::take(&mut lane.lost),
                batches,
            });
        }
        work
    }
}

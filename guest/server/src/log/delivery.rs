//! Batches of the decision log, one after the other: order is kept, nothing is left out, and one event that the server does
//! not take holds up no other (wire.md §9.5, T41–T56). The host's outbox has the truth; here is only what to do next.

use edictum_engine::json::write::Object;
use serde::Deserialize;

use super::entry::{Form, Pending};
use crate::clock::Steady;
use crate::endpoint::{Endpoint, read_options};
use crate::error::{Code, Error, Result};
use crate::jitter::Jitter;
use crate::notice::Notice;
use crate::outcome;
use crate::path::Path;
use crate::request::{Method, Request};
use crate::response::Answer;
use crate::retry::{Safety, Trouble, ceiling};

/// Longest wait after a failure that may pass.
pub const MAX_WAIT_MS: u64 = 30_000;

/// Wait after a failure that somebody must mend.
pub const SLOW_WAIT_MS: (u64, u64) = (60_000, 300_000);

/// After so many events that the server refuses, with none that it takes, it is not about the events.
pub const MAX_DEAD_IN_A_ROW: u32 = 100;

/// A flush does not wait for the next attempt, but for so long after the last one.
const LEAST_GAP_MS: u64 = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    min_events: usize,
    max_events: usize,
    max_bytes: usize,
    max_wait_ms: u64,
    bare_events: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { min_events: 50, max_events: 100, max_bytes: 900 * 1024, max_wait_ms: 5000, bare_events: false }
    }
}

/// What came of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Everything up to here is settled and may be removed; none: nothing is.
    pub settled_through: Option<u64>,
    /// Refused for good: to be kept apart, with the reason. Counted as settled.
    pub dead: Vec<(u64, String)>,
    /// When to deliver again at the latest; none: when there are new entries.
    pub next: Option<u64>,
    /// Why it is not going on, while it is not.
    pub failure: Option<Error>,
    /// For the host's log.
    pub notices: Vec<Notice>,
}

/// What to do with the oldest entries.
#[derive(Debug)]
pub enum Step {
    /// Make this request, and bring its answer to [`DecisionLog::delivered`].
    Send(Request),
    /// Nothing is to be sent now.
    Done(Delivery),
}

#[derive(Debug)]
struct Batch {
    /// Sequences of the entries that are in the request, in order.
    sent: Vec<u64>,
    /// The last entry, sent or not.
    last: u64,
    /// Entries that are no events.
    dead: Vec<(u64, String)>,
    /// There were more.
    more: bool,
}

/// See the module.
#[derive(Debug)]
pub struct DecisionLog {
    endpoint: Endpoint,
    clock: Steady,
    jitter: Jitter,
    options: Options,
    /// The oldest entry, and when it was seen first.
    oldest: Option<(u64, u64)>,
    attempted: Option<u64>,
    retry_at: Option<u64>,
    /// The server itself asked for patience.
    postponed: bool,
    failures: u32,
    failure: Option<Error>,
    /// Ends of the pieces that a refused batch was cut into, the first piece last.
    pieces: Vec<u64>,
    /// The one that goes in its short form.
    short: Option<u64>,
    dead_in_a_row: u32,
    /// What is in the next batch may have been there before.
    repeats: bool,
    told_duplicates: bool,
    in_flight: Option<Batch>,
}

impl DecisionLog {
    /// `options` is a JSON object: `min_events` (50; a batch waits for so many) for at most `max_wait_ms` (5000), `max_events`
    /// (100) and `max_bytes` (921,600) of a batch, `bare_events` (false: events carry `event_id` and `sequence`).
    ///
    /// # Errors
    /// [`Code::Option`].
    pub fn open(endpoint: &Endpoint, options: &str) -> Result<Self> {
        let options: Options = read_options(options)?;
        let fits = (1..=1000).contains(&options.max_events)
            && (1..=options.max_events).contains(&options.min_events)
            && (64 * 1024..=10 * 1024 * 1024).contains(&options.max_bytes)
            && options.max_wait_ms <= 600_000;
        if !fits {
            let message = "`max_events` must be 1 to 1000, `min_events` 1 to `max_events`, `max_bytes` 64 KiB to 10 MiB, \
                           `max_wait_ms` at most 600000";
            return Err(Error::new(Code::Option, message));
        }
        Ok(Self {
            endpoint: endpoint.clone(),
            clock: Steady::default(),
            jitter: endpoint.jitter(6),
            options,
            oldest: None,
            attempted: None,
            retry_at: None,
            postponed: false,
            failures: 0,
            failure: None,
            pieces: Vec::new(),
            short: None,
            dead_in_a_row: 0,
            repeats: true,
            told_duplicates: false,
            in_flight: None,
        })
    }

    /// The oldest undelivered entries, in the order of their sequences. Takes as many as one batch may have; without `flush` it
    /// may wait for a fuller one.
    pub fn deliver(&mut self, entries: &[Pending], flush: bool, now: u64) -> Step {
        let caller = now;
        let now = self.clock.tick(now);
        // An answer that never came.
        self.repeats |= self.in_flight.take().is_some();
        let Some(first) = entries.first() else {
            self.oldest = None;
            return Step::Done(Delivery { failure: self.failure.clone(), ..Delivery::default() });
        };
        if let Some(at) = self.not_yet(first.sequence, entries, flush, now) {
            let next = Some(self.clock.to_caller(at));
            return Step::Done(Delivery { next, failure: self.failure.clone(), ..Delivery::default() });
        }
        let (batch, body) = self.batch(entries, caller);
        if batch.sent.is_empty() {
            return Step::Done(self.settled(batch, Vec::new(), now));
        }
        self.attempted = Some(now);
        self.retry_at = None;
        self.in_flight = Some(batch);
        let path = self.endpoint.root().segment("events").unwrap_or_else(|_| Path::literal("/v1/events"));
        Step::Send(self.endpoint.request(Method::Post, &path, Some(body)))
    }

    /// Until when nothing is sent.
    fn not_yet(&mut self, first: u64, entries: &[Pending], flush: bool, now: u64) -> Option<u64> {
        let seen = match self.oldest {
            Some((oldest, seen)) if oldest == first => seen,
            _ => now,
        };
        self.oldest = Some((first, seen));
        if let Some(at) = self.retry_at {
            let hurried = self.attempted.map_or(now, |attempted| attempted.saturating_add(LEAST_GAP_MS)).min(at);
            let at = if flush && !self.postponed { hurried } else { at };
            return (at > now).then_some(at);
        }
        let full = flush || !self.pieces.is_empty() || entries.len() >= self.options.min_events;
        let at = seen.saturating_add(self.options.max_wait_ms);
        (!full && at > now).then_some(at)
    }

    fn batch(&mut self, entries: &[Pending], caller: u64) -> (Batch, String) {
        let first = entries.first().map_or(0, |entry| entry.sequence);
        self.pieces.retain(|end| *end >= first);
        let end = self.pieces.last().copied().unwrap_or(u64::MAX);
        let mut batch = Batch { sent: Vec::new(), last: 0, dead: Vec::new(), more: false };
        let mut body = String::new();
        let mut events = Vec::new();
        let mut size = 0;
        for entry in entries {
            let form = Form { bare: self.options.bare_events, short: self.short == Some(entry.sequence) };
            if entry.sequence > end || events.len() >= self.options.max_events {
                batch.more = true;
                break;
            }
            match entry.wire(&self.endpoint, form, caller) {
                Some(event) if !events.is_empty() && size + event.len() > self.options.max_bytes => {
                    batch.more = true;
                    break;
                }
                Some(event) => {
                    size += event.len() + 1;
                    events.push(event);
                    batch.sent.push(entry.sequence);
                }
                None => batch.dead.push((entry.sequence, "it is no JSON object, or not valid JSON".to_owned())),
            }
            batch.last = entry.sequence;
        }
        Object::write(&mut body, |body| body.list("events", |list| events.iter().for_each(|event| list.raw(event))));
        (batch, body)
    }

    /// The answer to the request.
    pub fn delivered(&mut self, answer: &Answer, now: u64) -> Delivery {
        let now = self.clock.tick(now);
        let Some(batch) = self.in_flight.take() else { return Delivery::default() };
        // What a server says beside "taken" is of no interest, unless it is no server of ours that speaks (T13, T41).
        if let Ok(response) = answer
            && (200..=299).contains(&response.status)
            && response.media_type() != "text/html"
        {
            let notices = self.duplicates(answer, now);
            self.dead_in_a_row = 0;
            return self.settled(batch, notices, now);
        }
        let failed = match outcome::read(&self.endpoint, answer, Safety::Repeatable, now) {
            Err(failed) => failed,
            Ok(_) => return self.settled(batch, Vec::new(), now),
        };
        self.repeats |= failed.trouble == Trouble::Unknown;
        match failed.status() {
            Some(400 | 413 | 422) => self.refused(batch, failed.error, now),
            _ => {
                let wait = match failed.trouble {
                    Trouble::Final => self.jitter.between(SLOW_WAIT_MS.0, SLOW_WAIT_MS.1),
                    Trouble::Postponed { wait: Some(wait) } => wait + self.jitter.between(0, 1000),
                    _ => self.jitter.between(LEAST_GAP_MS, ceiling(1000, MAX_WAIT_MS, self.failures)),
                };
                self.postponed = matches!(failed.trouble, Trouble::Postponed { wait: Some(_) });
                self.put_off(wait, failed.error, now)
            }
        }
    }

    fn duplicates(&mut self, answer: &Answer, now: u64) -> Vec<Notice> {
        let repeats = std::mem::replace(&mut self.repeats, false);
        let reply = outcome::read(&self.endpoint, answer, Safety::Repeatable, now).ok();
        let count = reply.as_ref().and_then(|reply| reply.map().ok()?.get("duplicates")?.as_u64()).unwrap_or(0);
        if count == 0 || repeats || std::mem::replace(&mut self.told_duplicates, true) {
            return Vec::new();
        }
        let message =
            "the server takes events that were sent once for duplicates: it may keep only one event of each call";
        vec![Notice::warning("duplicates", message)]
    }

    fn settled(&mut self, batch: Batch, notices: Vec<Notice>, now: u64) -> Delivery {
        self.pieces.retain(|end| *end > batch.last);
        self.short = None;
        self.failures = 0;
        self.failure = None;
        self.postponed = false;
        self.retry_at = None;
        Delivery {
            settled_through: Some(batch.last),
            dead: batch.dead,
            next: batch.more.then(|| self.clock.to_caller(now)),
            failure: None,
            notices,
        }
    }

    /// The server does not take the batch as it is: by halves, until the one that it does not take is alone.
    fn refused(&mut self, batch: Batch, error: Error, now: u64) -> Delivery {
        let again = Delivery { next: Some(self.clock.to_caller(now)), ..Delivery::default() };
        let (Some(first), Some(last)) = (batch.sent.first().copied(), batch.sent.last().copied()) else { return again };
        if first != last {
            if self.pieces.last() != Some(&batch.last) {
                self.pieces.push(batch.last);
            }
            self.pieces.extend(batch.sent.get((batch.sent.len() - 1) / 2).copied());
            return again;
        }
        if error.status == Some(413) && self.short != Some(first) {
            self.short = Some(first);
            return again;
        }
        self.dead_in_a_row = self.dead_in_a_row.saturating_add(1);
        let mut dead = batch.dead.clone();
        dead.push((first, error.message.clone()));
        dead.sort_unstable();
        let more = batch.more || !self.pieces.is_empty();
        let mut delivery = self.settled(Batch { dead, more, ..batch }, Vec::new(), now);
        if self.dead_in_a_row >= MAX_DEAD_IN_A_ROW {
            // Nothing is lost, but everything would be set apart: slowly, until somebody has looked.
            let wait = self.jitter.between(SLOW_WAIT_MS.0, SLOW_WAIT_MS.1);
            let message = format!("the server refuses every event: {}", error.message);
            let put_off = self.put_off(wait, Error { message, ..error }, now);
            delivery.next = put_off.next;
            delivery.failure = put_off.failure;
        }
        delivery
    }

    fn put_off(&mut self, wait: u64, error: Error, now: u64) -> Delivery {
        self.failures = self.failures.saturating_add(1);
        let at = now.saturating_add(wait);
        self.retry_at = Some(at);
        self.failure = Some(error.clone());
        Delivery { next: Some(self.clock.to_caller(at)), failure: Some(error), ..Delivery::default() }
    }

    /// Why it is not going on; none: all is well.
    #[must_use]
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }
}

#[cfg(test)]
mod tests;

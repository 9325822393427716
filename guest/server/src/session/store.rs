//! The operations of one or several sessions as requests: reads of a session go together, what need not wait goes at the
//! same time, and steps on one key stay in their order.

use std::collections::{BTreeMap, BTreeSet};

use edictum_engine::inquiry::{Entry, Operation, Outcome};
use edictum_engine::json::write::Object;
use serde::Deserialize;

use super::answer;
use crate::endpoint::{Endpoint, Generation, read_options};
use crate::error::{Code, Error, Result};
use crate::jitter::Jitter;
use crate::outcome::{self, Failed};
use crate::request::{Method, Request};
use crate::response::Answer;
use crate::retry::{Progress, Safety, Trouble};

/// Most keys of a batch, and longest key in it; longer ones are read by themselves.
const MAX_BATCH: usize = 100;
const MAX_BATCH_KEY: usize = 256;

/// Most requests on their way at the same time.
pub const MAX_IN_FLIGHT: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performed {
    /// Carried out, or failed for good.
    Settled(Outcome),
    /// Certainly not carried out, or of no harm if it was: to be submitted again at this time, with one more `attempt`.
    Later(u64),
}

/// What is known about a server's sessions.
#[derive(Debug)]
pub struct SessionStore {
    endpoint: Endpoint,
    jitter: Jitter,
    /// Older servers have no batch.
    has_batch: bool,
    /// It has answered about sessions before: a bare 404 is about a key, then.
    known: bool,
}

impl SessionStore {
    /// `options` is a JSON object without members.
    ///
    /// # Errors
    /// [`Code::Option`].
    pub fn open(endpoint: &Endpoint, options: &str) -> Result<Self> {
        read_options::<Options>(options)?;
        Ok(Self { endpoint: endpoint.clone(), jitter: endpoint.jitter(4), has_batch: true, known: false })
    }

    /// Begins with operations: one list for each session. `attempt` counts from 0, one more when what was put off is
    /// submitted again.
    #[must_use]
    pub fn perform(&mut self, sessions: Vec<Vec<Operation>>, attempt: u32, now: u64) -> Performance<'_> {
        let session = |operations: Vec<Operation>| operations.into_iter().map(Slot::new).collect();
        Performance {
            store: self,
            sessions: sessions.into_iter().map(session).collect(),
            progress: Progress { started: now, attempt },
            in_flight: BTreeMap::new(),
            next_id: 0,
        }
    }

    fn request(&self, method: Method, key: &str, action: Option<&str>, body: Option<String>) -> Result<Request> {
        let path = self.endpoint.root().segment("sessions")?.segment(key)?;
        let path = action.map_or(Ok(path.clone()), |action| path.segment(action))?;
        Ok(self.endpoint.request(method, &path, body))
    }

    fn batch(&self, keys: &[&str]) -> Result<Request> {
        let mut body = String::new();
        Object::write(&mut body, |body| body.list("keys", |list| keys.iter().for_each(|key| list.string(key))));
        let path = self.endpoint.root().segment("sessions")?.segment("batch")?;
        Ok(self.endpoint.request(Method::Post, &path, Some(body)))
    }
}

#[derive(Debug)]
struct Slot {
    operation: Operation,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Todo,
    /// Reads what the step left there; of a put that was refused, or of an increment without an answer.
    ReadBack,
    /// Reads alone: the batch was refused.
    Alone,
    InFlight,
    Done(Performed),
}

impl Slot {
    fn new(operation: Operation) -> Self {
        let state = match &operation {
            Operation::Scan(_) => {
                State::Done(Performed::Settled(Outcome::Failed("the server cannot list keys".to_owned())))
            }
            _ => State::Todo,
        };
        Self { operation, state }
    }

    fn key(&self) -> &str {
        match &self.operation {
            Operation::Get(key) | Operation::Delete(key) | Operation::Scan(key) => key,
            Operation::Increment { key, .. } | Operation::Put { key, .. } => key,
        }
    }

    fn is_get(&self) -> bool {
        matches!(self.operation, Operation::Get(_))
    }

    fn settle(&mut self, outcome: Outcome) {
        self.state = State::Done(Performed::Settled(outcome));
    }
}

#[derive(Debug)]
enum Asked {
    Step { session: usize, slot: usize },
    ReadBack { session: usize, slot: usize },
    Batch { session: usize, slots: Vec<usize> },
}

/// Operations on their way. [`Performance::requests`] until there are none and none is on its way, then [`Performance::finish`].
#[derive(Debug)]
pub struct Performance<'s> {
    store: &'s mut SessionStore,
    sessions: Vec<Vec<Slot>>,
    progress: Progress,
    in_flight: BTreeMap<u64, Asked>,
    next_id: u64,
}

impl Performance<'_> {
    /// The requests that can be made now, all at the same time, each with a number for [`Performance::answered`].
    pub fn requests(&mut self) -> Vec<(u64, Request)> {
        let mut requests = Vec::new();
        for session in 0..self.sessions.len() {
            for asked in self.ready(session) {
                if self.in_flight.len() >= MAX_IN_FLIGHT {
                    return requests;
                }
                match self.request(&asked) {
                    Ok(request) => {
                        self.each(&asked, |slot| slot.state = State::InFlight);
                        self.in_flight.insert(self.next_id, asked);
                        requests.push((self.next_id, request));
                        self.next_id += 1;
                    }
                    Err(error) => self.each(&asked, |slot| slot.settle(Outcome::Failed(error.to_string()))),
                }
            }
        }
        requests
    }

    /// What a session can do now: the first step that is left on each key.
    fn ready(&mut self, session: usize) -> Vec<Asked> {
        let mut asked = Vec::new();
        let mut reads = Vec::new();
        let mut busy = BTreeSet::new();
        let mut put_off: BTreeMap<String, Option<u64>> = BTreeMap::new();
        for (place, slot) in self.sessions.get_mut(session).into_iter().flatten().enumerate() {
            let key = slot.key().to_owned();
            match &slot.state {
                State::Done(Performed::Settled(Outcome::Failed(_))) => {
                    put_off.insert(key, None);
                }
                State::Done(Performed::Later(at)) => {
                    put_off.insert(key, Some(*at));
                }
                State::Done(_) => {}
                State::InFlight => {
                    busy.insert(key);
                }
                _ if busy.contains(&key) => {}
                State::Todo if put_off.contains_key(&key) => {
                    // What should have come before it did not: later steps on the key would see another value.
                    slot.state = State::Done(match put_off.get(&key) {
                        Some(Some(at)) => Performed::Later(*at),
                        _ => Performed::Settled(Outcome::Failed("an earlier step on this key has failed".to_owned())),
                    });
                }
                State::Todo if slot.is_get() && self.store.has_batch && key.len() <= MAX_BATCH_KEY => {
                    reads.push(place);
                    busy.insert(key);
                }
                state => {
                    let back = *state == State::ReadBack;
                    let (session, slot) = (session, place);
                    asked.push(if back { Asked::ReadBack { session, slot } } else { Asked::Step { session, slot } });
                    busy.insert(key);
                }
            }
        }
        for slots in reads.chunks(MAX_BATCH) {
            asked.push(match *slots {
                [slot] => Asked::Step { session, slot },
                _ => Asked::Batch { session, slots: slots.to_vec() },
            });
        }
        asked
    }

    fn slot(&self, session: usize, slot: usize) -> Result<&Slot> {
        let slot = self.sessions.get(session).and_then(|slots| slots.get(slot));
        slot.ok_or_else(|| Error::new(Code::Argument, "no such operation"))
    }

    fn each(&mut self, asked: &Asked, mut change: impl FnMut(&mut Slot)) {
        let (session, slots) = match asked {
            Asked::Step { session, slot } | Asked::ReadBack { session, slot } => (session, std::slice::from_ref(slot)),
            Asked::Batch { session, slots } => (session, slots.as_slice()),
        };
        let Some(session) = self.sessions.get_mut(*session) else { return };
        for slot in slots {
            session.get_mut(*slot).into_iter().for_each(&mut change);
        }
    }

    fn request(&self, asked: &Asked) -> Result<Request> {
        let store = &*self.store;
        let (session, slot) = match asked {
            Asked::Batch { session, slots } => {
                let keys =
                    slots.iter().map(|slot| Ok(self.slot(*session, *slot)?.key())).collect::<Result<Vec<_>>>()?;
                return store.batch(&keys);
            }
            Asked::ReadBack { session, slot } => {
                return store.request(Method::Get, self.slot(*session, *slot)?.key(), None, None);
            }
            Asked::Step { session, slot } => (*session, *slot),
        };
        match &self.slot(session, slot)?.operation {
            Operation::Get(key) | Operation::Scan(key) => store.request(Method::Get, key, None, None),
            Operation::Delete(key) => store.request(Method::Delete, key, None, None),
            Operation::Increment { key, amount } => {
                let body = format!(r#"{{"amount":{amount}}}"#);
                store.request(Method::Post, key, Some("increment"), Some(body))
            }
            Operation::Put { key, value, expected } => {
                let mut body = String::new();
                Object::write(&mut body, |body| body.string("value", value));
                let mut request = store.request(Method::Put, key, None, Some(body))?;
                request.headers.extend(expected.as_ref().map(|version| ("if-match", format!("\"{version}\""))));
                Ok(request)
            }
        }
    }

    /// The answer to one of the requests.
    pub fn answered(&mut self, id: u64, answer: &Answer, now: u64) {
        match self.in_flight.remove(&id) {
            Some(Asked::Step { session, slot }) => self.step_answered(session, slot, answer, now),
            Some(Asked::ReadBack { session, slot }) => self.read_back(session, slot, answer, now),
            Some(Asked::Batch { session, slots }) => self.batch_answered(session, slots, answer, now),
            None => {}
        }
    }

    fn step_answered(&mut self, session: usize, slot: usize, answer: &Answer, now: u64) {
        let Some(operation) = self.slot(session, slot).ok().map(|slot| slot.operation.clone()) else { return };
        let asked = Asked::Step { session, slot };
        let safety = match operation {
            Operation::Increment { .. } => Safety::Once,
            _ => Safety::Repeatable,
        };
        let state = match outcome::read(&self.store.endpoint, answer, safety, now) {
            Ok(reply) => {
                let state = match operation {
                    Operation::Get(_) | Operation::Scan(_) => answer::entry(&reply).map(done),
                    Operation::Delete(_) | Operation::Put { .. } => Ok(done(answer::written(&reply))),
                    Operation::Increment { .. } => answer::sum(&reply).map(|sum| sum.map_or(State::ReadBack, done)),
                };
                self.store.known |= state.is_ok() && reply.body.is_some();
                state.unwrap_or_else(failed)
            }
            Err(failed) => match (operation, failed.status(), answer) {
                (Operation::Get(_) | Operation::Delete(_), Some(404), Ok(response)) => {
                    answer::missing(response, self.store.known).map_or_else(|| nothing_there(&failed), done)
                }
                (Operation::Put { value, expected: Some(_), .. }, Some(409 | 412), Ok(response)) => {
                    answer::conflicting(response).map_or(State::ReadBack, |entry| refused_put(&value, entry))
                }
                _ => State::Done(self.not_done(&failed, safety, now)),
            },
        };
        let mut state = Some(state);
        self.each(&asked, |slot| slot.state = state.take().unwrap_or(State::Todo));
    }

    /// What is there after an increment that did not say, or instead of what a put expected.
    fn read_back(&mut self, session: usize, slot: usize, answer: &Answer, now: u64) {
        let Some(operation) = self.slot(session, slot).ok().map(|slot| slot.operation.clone()) else { return };
        let entry = match outcome::read(&self.store.endpoint, answer, Safety::Repeatable, now) {
            Ok(reply) => answer::entry(&reply).map_err(|error| error.to_string()),
            Err(failed) => match answer {
                Ok(response) if failed.status() == Some(404) => {
                    answer::missing(response, self.store.known).ok_or_else(|| failed.error.to_string())
                }
                _ => Err(failed.error.to_string()),
            },
        };
        let state = match (operation, entry) {
            (_, Err(why)) => State::Done(Performed::Settled(Outcome::Failed(why))),
            (Operation::Put { value, .. }, Ok(entry)) => refused_put(&value, entry),
            // It was counted; a counter that is not there now was not.
            (_, Ok(Entry { value: None, .. })) => {
                State::Done(Performed::Settled(Outcome::Failed("a counter was increased and is not there".to_owned())))
            }
            (_, Ok(entry)) => done(entry),
        };
        let mut state = Some(state);
        self.each(&Asked::ReadBack { session, slot }, |slot| slot.state = state.take().unwrap_or(State::Todo));
    }

    fn batch_answered(&mut self, session: usize, slots: Vec<usize>, answer: &Answer, now: u64) {
        let keys: Vec<String> =
            slots.iter().filter_map(|slot| Some(self.slot(session, *slot).ok()?.key().to_owned())).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let asked = Asked::Batch { session, slots };
        let all = self.store.endpoint.generation() == Generation::V1;
        let read = outcome::read(&self.store.endpoint, answer, Safety::Repeatable, now);
        match read.map(|reply| answer::entries(&reply, &keys, all)) {
            Ok(Ok(entries)) => {
                self.store.known = true;
                let mut entries = entries.into_iter();
                self.each(&asked, |slot| slot.state = entries.next().map_or(State::Alone, done));
            }
            Ok(Err(error)) => self.each(&asked, |slot| slot.settle(Outcome::Failed(error.to_string()))),
            Err(failed) => match failed.status() {
                Some(404 | 405) => {
                    self.store.has_batch = false;
                    self.each(&asked, |slot| slot.state = State::Alone);
                }
                // One key that the server does not take must not hide the others.
                Some(400 | 413 | 422) => self.each(&asked, |slot| slot.state = State::Alone),
                _ => {
                    let performed = self.not_done(&failed, Safety::Repeatable, now);
                    self.each(&asked, |slot| slot.state = State::Done(performed.clone()));
                }
            },
        }
    }

    fn not_done(&mut self, failed: &Failed, safety: Safety, now: u64) -> Performed {
        let random = self.store.jitter.next();
        let budget = self.store.endpoint.budget();
        let at = budget.next(self.progress, failed.trouble, safety, now, random);
        match at {
            Some(at) if failed.trouble != Trouble::Final => Performed::Later(at),
            _ => Performed::Settled(Outcome::Failed(failed.error.to_string())),
        }
    }

    /// One list for each session, one entry for each operation. What was not brought to an end has failed.
    #[must_use]
    pub fn finish(self) -> Vec<Vec<Performed>> {
        let performed = |slot: Slot| match slot.state {
            State::Done(performed) => performed,
            _ => Performed::Settled(Outcome::Failed("the operation was given up".to_owned())),
        };
        self.sessions.into_iter().map(|slots| slots.into_iter().map(performed).collect()).collect()
    }
}

fn done(entry: Entry) -> State {
    State::Done(Performed::Settled(Outcome::Done(entry)))
}

fn failed(error: Error) -> State {
    State::Done(Performed::Settled(Outcome::Failed(error.to_string())))
}

/// A 404 that is not about the key.
fn nothing_there(failed: &Failed) -> State {
    let message = format!("nothing answers for sessions at this address: {}", failed.error.message);
    State::Done(Performed::Settled(Outcome::Failed(Error::new(Code::Protocol, message).to_string())))
}

/// A put that was refused; one whose value is there all the same was carried out by an attempt whose answer was lost.
fn refused_put(value: &str, entry: Entry) -> State {
    let there = entry.value.as_deref() == Some(value);
    State::Done(Performed::Settled(if there { Outcome::Done(entry) } else { Outcome::Conflict(entry) }))
}

#[cfg(test)]
mod tests;

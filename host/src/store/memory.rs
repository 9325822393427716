//! A store in this process's memory: gone with the process, seen by nobody else. One lock, held for microseconds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Claimed, Entry, MAX_SCAN, MISSING_VERSION, OpenCall, Operation, Outcome, Put, Store, StoreError, Visit, incremented,
};
use crate::clock::Timestamp;

/// Sessions, open calls and memories in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<String, Session>,
    /// By guard, then by call id.
    calls: HashMap<Arc<str>, HashMap<Arc<str>, Kept>>,
    memories: HashMap<(String, String), String>,
    last_version: u64,
    last_claim: u64,
}

#[derive(Debug, Default)]
struct Session {
    expires: Timestamp,
    open_calls: usize,
    entries: BTreeMap<String, Value>,
}

#[derive(Debug)]
struct Value {
    text: String,
    version: u64,
}

#[derive(Debug)]
struct Kept {
    call: OpenCall,
    claim: Option<(u64, Timestamp)>,
}

impl MemoryStore {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn expired(&self, now: Timestamp) -> bool {
        self.open_calls == 0 && self.expires <= now
    }

    fn entry(&self, key: &str) -> Entry {
        self.entries.get(key).map_or_else(missing, |value| Entry {
            value: Some(value.text.clone()),
            version: Some(value.version.to_string()),
        })
    }

    fn write(&mut self, key: &str, text: String, version: &mut u64) -> Entry {
        *version += 1;
        let entry = Entry { value: Some(text.clone()), version: Some(version.to_string()) };
        match self.entries.get_mut(key) {
            Some(value) => *value = Value { text, version: *version },
            None => drop(self.entries.insert(key.to_owned(), Value { text, version: *version })),
        }
        entry
    }

    fn perform(&mut self, operation: &Operation, version: &mut u64) -> Outcome {
        match operation {
            Operation::Get(key) => Outcome::Done(self.entry(key)),
            Operation::Increment(step) => {
                let value = self.entries.get(&step.key).map(|value| value.text.as_str());
                match incremented(value, step.amount) {
                    Ok(sum) => Outcome::Done(self.write(&step.key, sum, version)),
                    Err(reason) => Outcome::Failed(reason),
                }
            }
            Operation::Put(put) => self.put(put, version),
            Operation::Delete(key) => {
                self.entries.remove(key);
                Outcome::Done(missing())
            }
            Operation::Scan(prefix) => self.scan(prefix),
        }
    }

    fn put(&mut self, put: &Put, version: &mut u64) -> Outcome {
        let present = self.entry(&put.key);
        if put.expected.is_some() && put.expected != present.version {
            return Outcome::Conflict(present);
        }
        Outcome::Done(self.write(&put.key, put.value.clone(), version))
    }

    fn scan(&self, prefix: &str) -> Outcome {
        let from = self.entries.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        let found: Vec<_> = from
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(MAX_SCAN + 1)
            .map(|(key, value)| (key.clone(), value.text.clone()))
            .collect();
        if found.len() > MAX_SCAN { Outcome::Failed("too many keys".to_owned()) } else { Outcome::Found(found) }
    }
}

fn missing() -> Entry {
    Entry { value: None, version: Some(MISSING_VERSION.to_owned()) }
}

impl State {
    /// The call under this claim.
    fn claimed(&mut self, guard: &str, call_id: &str, claim: u64) -> Option<&mut Kept> {
        let kept = self.calls.get_mut(guard)?.get_mut(call_id)?;
        kept.claim.is_some_and(|(held, _)| held == claim).then_some(kept)
    }

    fn of_guard(&self, guard: &str) -> impl Iterator<Item = &Kept> {
        self.calls.get(guard).into_iter().flat_map(HashMap::values)
    }
}

impl Store for MemoryStore {
    fn blocks(&self) -> bool {
        false
    }

    fn perform(&self, visit: Visit<'_>, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        let mut state = self.state();
        let State { sessions, last_version, .. } = &mut *state;
        if !sessions.contains_key(visit.session) {
            sessions.insert(visit.session.to_owned(), Session::default());
        }
        let Some(session) = sessions.get_mut(visit.session) else { return Err(StoreError::new("out of memory")) };
        if session.expired(visit.now) {
            session.entries.clear();
        }
        session.expires = visit.expires;
        Ok(operations.iter().map(|operation| session.perform(operation, last_version)).collect())
    }

    fn open(&self, call: &OpenCall) -> Result<bool, StoreError> {
        let mut state = self.state();
        let calls = state.calls.entry(Arc::clone(&call.guard)).or_default();
        if calls.contains_key(&call.call_id) {
            return Ok(false);
        }
        calls.insert(Arc::clone(&call.call_id), Kept { call: call.clone(), claim: None });
        state.sessions.entry(call.session.as_ref().to_owned()).or_default().open_calls += 1;
        Ok(true)
    }

    fn find(&self, guard: &str, call_id: &str) -> Result<Option<OpenCall>, StoreError> {
        Ok(self.state().calls.get(guard).and_then(|calls| calls.get(call_id)).map(|kept| kept.call.clone()))
    }

    fn claim(&self, guard: &str, call_id: &str, now: Timestamp, until: Timestamp) -> Result<Claimed, StoreError> {
        let mut state = self.state();
        let State { calls, last_claim, .. } = &mut *state;
        let kept = calls.get_mut(guard).and_then(|calls| calls.get_mut(call_id));
        let Some(kept) = kept else { return Ok(Claimed::Missing) };
        if kept.claim.is_some_and(|(_, end)| end > now) {
            return Ok(Claimed::Busy);
        }
        *last_claim += 1;
        kept.claim = Some((*last_claim, until));
        Ok(Claimed::Yes(kept.call.clone(), *last_claim))
    }

    fn update(&self, call: &OpenCall, claim: u64) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(kept) = state.claimed(&call.guard, &call.call_id, claim) else { return Ok(false) };
        *kept = Kept { call: call.clone(), claim: None };
        Ok(true)
    }

    fn release(&self, guard: &str, call_id: &str, claim: u64) -> Result<(), StoreError> {
        if let Some(kept) = self.state().claimed(guard, call_id, claim) {
            kept.claim = None;
        }
        Ok(())
    }

    fn close(&self, guard: &str, call_id: &str, claim: u64) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(kept) = state.claimed(guard, call_id, claim) else { return Ok(false) };
        let session = Arc::clone(&kept.call.session);
        if let Some(calls) = state.calls.get_mut(guard) {
            calls.remove(call_id);
        }
        if let Some(session) = state.sessions.get_mut(session.as_ref()) {
            session.open_calls = session.open_calls.saturating_sub(1);
        }
        Ok(true)
    }

    fn list(&self, guard: Option<&str>, limit: usize) -> Result<Vec<OpenCall>, StoreError> {
        let state = self.state();
        let of_guards = state.calls.iter().filter(|(name, _)| guard.is_none_or(|guard| ***name == *guard));
        let mut calls: Vec<_> = of_guards.flat_map(|(_, calls)| calls.values()).map(|kept| kept.call.clone()).collect();
        calls.sort_by(|one, two| (one.deadline, &one.call_id).cmp(&(two.deadline, &two.call_id)));
        calls.truncate(limit);
        Ok(calls)
    }

    fn due(&self, guard: &str, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        let due = state.of_guard(guard);
        let due = due.filter(|kept| kept.call.deadline <= now && kept.claim.is_none_or(|(_, end)| end <= now));
        let mut due: Vec<_> = due.map(|kept| (kept.call.deadline, kept.call.call_id.to_string())).collect();
        due.sort();
        due.truncate(limit);
        Ok(due.into_iter().map(|(_, call_id)| call_id).collect())
    }

    fn next_deadline(&self, guard: &str) -> Result<Option<Timestamp>, StoreError> {
        let state = self.state();
        Ok(state.of_guard(guard).map(|kept| kept.claim.map_or(0, |(_, end)| end).max(kept.call.deadline)).min())
    }

    fn memory(&self, owner: &str, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state().memories.get(&(owner.to_owned(), name.to_owned())).cloned())
    }

    fn remember(&self, owner: &str, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        let key = (owner.to_owned(), name.to_owned());
        let mut state = self.state();
        match value {
            Some(value) => drop(state.memories.insert(key, value.to_owned())),
            None => drop(state.memories.remove(&key)),
        }
        Ok(())
    }

    fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.state();
        let before = state.sessions.len();
        state.sessions.retain(|_, session| !session.expired(now));
        Ok(u64::try_from(before - state.sessions.len()).unwrap_or(u64::MAX))
    }
}

//! What a driver has open: guards by name with the events they gave, stores by folder, and whose session a call is in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::join_all;
use serde::Deserialize;

use super::lanes::{Lanes, Place};
use super::protocol::{Refusal, Request};
use crate::events::EventBuffer;
use crate::guard::Guard;
use crate::host::Host;
use crate::outbox::{self, Outbox};
use crate::store::{RedisStore, SqliteStore, Store, StoreError};

/// Bytes of events that wait to be asked for, for each guard. Older ones give way to a gap record.
const MAX_EVENT_BYTES: usize = 64 << 20;

pub(super) struct Session {
    pub host: Host,
    guards: Mutex<HashMap<String, Open>>,
    stores: Mutex<HashMap<PathBuf, Weak<SqliteStore>>>,
    outboxes: Mutex<HashMap<PathBuf, Outbox>>,
    /// By address.
    servers: Mutex<HashMap<String, Weak<RedisStore>>>,
    lanes: Lanes,
}

/// An open guard.
#[derive(Clone)]
pub(super) struct Open {
    pub guard: Guard,
    pub events: Arc<EventBuffer>,
    /// Name of its first ruleset: what a reload is called.
    pub ruleset: Arc<str>,
    /// Sessions of the calls that are open.
    calls: Arc<Mutex<HashMap<String, String>>>,
}

impl Open {
    pub fn new(guard: Guard, events: Arc<EventBuffer>, ruleset: &str) -> Self {
        Self { guard, events, ruleset: ruleset.into(), calls: Arc::default() }
    }

    /// Requests about this call belong to this session.
    pub fn call_begins(&self, call_id: &str, session_id: &str) {
        self.calls().insert(call_id.to_owned(), session_id.to_owned());
    }

    pub fn call_ends(&self, call_id: &str) {
        self.calls().remove(call_id);
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An empty buffer for the events of a guard.
pub(super) fn event_buffer() -> Arc<EventBuffer> {
    Arc::new(EventBuffer::new(MAX_EVENT_BYTES))
}

impl Session {
    pub fn new(host: Host) -> Self {
        Self {
            host,
            guards: Mutex::default(),
            stores: Mutex::default(),
            outboxes: Mutex::default(),
            servers: Mutex::default(),
            lanes: Lanes::default(),
        }
    }

    /// The guard of this name.
    pub fn guard(&self, name: &str) -> Result<Open, Refusal> {
        let open = self.guards().get(name).cloned();
        open.ok_or_else(|| Refusal::new("not-found", format!("there is no open guard `{name}`")))
    }

    pub fn insert(&self, name: &str, open: Open) {
        self.guards().insert(name.to_owned(), open);
    }

    /// Lets a guard go, without closing it.
    pub fn remove(&self, name: &str) -> Option<Open> {
        self.guards().remove(name)
    }

    /// Closes the guard of this name, if there is one, and gives the number of events that did not get out.
    pub async fn close(&self, name: &str) -> u64 {
        match self.remove(name) {
            Some(open) => open.guard.close().await,
            None => 0,
        }
    }

    pub async fn close_all(&self) {
        let names: Vec<_> = self.guards().keys().cloned().collect();
        join_all(names.iter().map(|name| self.close(name))).await;
    }

    /// Does what the clock has made due, in every guard.
    pub async fn run_due(&self) {
        let open: Vec<_> = self.guards().values().cloned().collect();
        for open in open {
            open.guard.run_due().await;
        }
    }

    /// Guards of one folder share one store.
    pub fn store(&self, folder: &Path, durable: bool) -> Result<Arc<dyn Store>, StoreError> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| store.strong_count() > 0);
        let path = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        if let Some(store) = stores.get(&path).and_then(Weak::upgrade) {
            return Ok(store);
        }
        let store = Arc::new(SqliteStore::open(folder, durable)?);
        stores.insert(folder.canonicalize().unwrap_or(path), Arc::downgrade(&store));
        Ok(store)
    }

    /// Guards of one folder share one outbox, too.
    pub fn outbox(&self, folder: &Path) -> Result<Outbox, Refusal> {
        let mut outboxes = self.outboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let path = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        if let Some(outbox) = outboxes.get(&path) {
            return Ok(outbox.clone());
        }
        let outbox = Outbox::open(&path.join(outbox::FILE_NAME))
            .map_err(|error| Refusal::new("unavailable", error.to_string()))?;
        outboxes.insert(path, outbox.clone());
        Ok(outbox)
    }

    /// Guards of one Redis server share its connections.
    pub fn redis(&self, address: &str) -> Result<Arc<dyn Store>, StoreError> {
        let known = |stores: &mut HashMap<String, Weak<RedisStore>>| {
            stores.retain(|_, store| store.strong_count() > 0);
            stores.get(address).and_then(Weak::upgrade)
        };
        if let Some(store) = known(&mut self.servers()) {
            return Ok(store);
        }
        // Not under the lock: a server may take its time.
        let opened = Arc::new(RedisStore::open(address)?);
        let mut servers = self.servers();
        let store = known(&mut servers).unwrap_or(opened);
        servers.insert(address.to_owned(), Arc::downgrade(&store));
        Ok(store)
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<String, Weak<RedisStore>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a request in the order of its session.
    pub fn place(&self, request: &Request) -> Place {
        #[derive(Deserialize)]
        struct About {
            guard: Option<String>,
            session_id: Option<String>,
            call_id: Option<String>,
            outcome: Option<String>,
        }

        let waits = |about: &About| request.op == "approve" && about.outcome.is_none();
        if !matches!(request.op.as_str(), "begin" | "approve" | "finish" | "counters" | "workflow") {
            return Place::Any;
        }
        let Ok(about) = request.fields::<About>() else { return Place::Any };
        let Some(open) = about.guard.as_ref().and_then(|guard| self.guards().get(guard).cloned()) else {
            return Place::Any;
        };
        if waits(&about) {
            return Place::Any;
        }
        let session = match (about.session_id, about.call_id) {
            (Some(session), call_id) => {
                // Known before it begins: what comes behind it may be about this call.
                if let (Some(call_id), "begin") = (call_id, request.op.as_str()) {
                    open.call_begins(&call_id, &session);
                }
                session
            }
            (None, Some(call_id)) => match open.calls().get(&call_id) {
                Some(session) => session.clone(),
                None => return Place::Any,
            },
            (None, None) => return Place::Any,
        };
        self.lanes.place(&format!("{}\0{session}", open.guard.name()))
    }

    fn guards(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

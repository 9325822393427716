//! Deadlines of open calls, for all guards of a host, on one task: it sleeps until the earliest, and then lets that guard
//! do what is due. From time to time it lets stores forget what has expired.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::runtime::Handle;

use crate::clock::{Clock, Timestamp};
use crate::guard::Shared;
use crate::store::Store;

/// Milliseconds between two looks for expired sessions.
const SWEEP_EVERY: Timestamp = 600_000;

pub(crate) struct Timers {
    clock: Arc<Clock>,
    runtime: Handle,
    started: OnceLock<()>,
    due: Mutex<Due>,
}

#[derive(Default)]
struct Due {
    /// By deadline; the number tells equal ones apart.
    guards: BTreeMap<(Timestamp, u64), Weak<Shared>>,
    last: u64,
    stores: Vec<Weak<dyn Store>>,
}

impl Timers {
    pub fn new(clock: Arc<Clock>, runtime: Handle) -> Self {
        Self { clock, runtime, started: OnceLock::new(), due: Mutex::default() }
    }

    /// Starts the task, once.
    fn start(self: &Arc<Self>) {
        self.started.get_or_init(|| {
            drop(self.runtime.spawn(run(Arc::downgrade(self), Arc::clone(&self.clock))));
        });
    }

    /// Lets `guard` do what is due at `deadline`.
    pub fn arm(self: &Arc<Self>, guard: &Arc<Shared>, deadline: Timestamp) {
        self.start();
        let earliest = {
            let mut due = self.due();
            due.last += 1;
            let key = (deadline, due.last);
            due.guards.insert(key, Arc::downgrade(guard));
            due.guards.first_key_value().is_some_and(|(first, _)| *first == key)
        };
        if earliest {
            self.clock.nudge();
        }
    }

    /// Lets a store forget what has expired, from now on.
    pub fn sweep(self: &Arc<Self>, store: &Arc<dyn Store>) {
        self.start();
        let mut due = self.due();
        due.stores.retain(|known| known.strong_count() > 0);
        if !due.stores.iter().any(|known| std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(store))) {
            due.stores.push(Arc::downgrade(store));
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.due().guards.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Guards whose deadline has come, each once.
    fn take_due(&self, now: Timestamp) -> Vec<Arc<Shared>> {
        let mut guards: Vec<Arc<Shared>> = Vec::new();
        let mut due = self.due();
        while let Some(first) = due.guards.first_entry()
            && first.key().0 <= now
        {
            if let Some(guard) = first.remove().upgrade()
                && !guards.iter().any(|known| Arc::ptr_eq(known, &guard))
            {
                guards.push(guard);
            }
        }
        guards
    }

    fn stores(&self) -> Vec<Arc<dyn Store>> {
        self.due().stores.iter().filter_map(Weak::upgrade).collect()
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with its host.
async fn run(timers: Weak<Timers>, clock: Arc<Clock>) {
    let mut sweep = clock.now() + SWEEP_EVERY;
    loop {
        let Some(next) = timers.upgrade().map(|timers| timers.next()) else { return };
        clock.sleep_until(Some(next.map_or(sweep, |next| next.min(sweep)))).await;
        let Some(timers) = timers.upgrade() else { return };
        let now = clock.now();
        for guard in timers.take_due(now) {
            tokio::spawn(async move { guard.run_due().await });
        }
        // Also when the clock was set back.
        if now >= sweep || now + SWEEP_EVERY < sweep {
            sweep = now + SWEEP_EVERY;
            let stores = timers.stores();
            tokio::task::spawn_blocking(move || expire(&stores, now));
        }
    }
}

fn expire(stores: &[Arc<dyn Store>], now: Timestamp) {
    for store in stores {
        match store.expire(now) {
            Ok(0) => {}
            Ok(sessions) => tracing::debug!(sessions, "expired sessions were forgotten"),
            Err(error) => tracing::warn!(%error, "expired sessions cannot be forgotten"),
        }
    }
}

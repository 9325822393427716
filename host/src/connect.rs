//! A guard whose rules, sessions, approvals and log live on edictum-api. What the bytes of that server mean is in the
//! component ([`crate::lanes`]); here is who asks for them, and when: one task for each source of rulesets, one for each
//! approval queue, and requests for sessions as they come. Guards with the same server share all of them.
//!
//! | file | what |
//! |---|---|
//! | [`options`] | everything that can be said about the connection |
//! | [`open`] | a guard from those options |
//! | [`rulesets`] | fetched, verified, watched, swapped in |
//! | [`sessions`] | counters and workflow state on the server |
//! | [`approvals`] | people who are asked through the server |
//! | [`log`] | the decision log, out of the outbox |
//! | [`health`] | how all that is going |

mod approvals;
mod health;
mod log;
mod open;
mod options;
mod rulesets;
mod sessions;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};

use self::approvals::Approvals;
pub(crate) use self::approvals::GRACE_MS;
pub use self::health::{Health, LogState, StreamState};
use self::log::Log;
pub use self::options::{Backend, ServerOptions};
use self::rulesets::{Followed, Source, SourceKey};
pub(crate) use self::sessions::ServerSessions;
use crate::callback::Trouble;

/// What a guard has of its server.
pub(crate) struct Connected {
    /// Its rules, and what keeps them new.
    pub followed: Followed,
    /// The state of its sessions; none: it is in the guard's own store.
    pub sessions: Option<Arc<ServerSessions>>,
    /// Who asks people; none: the program does.
    pub approvals: Option<Arc<Approvals>>,
    /// Who delivers its decision log; none: it goes nowhere but to the program's sink.
    pub log: Option<Arc<Log>>,
    /// Nobody can be asked.
    pub without_approvals: bool,
}

impl Connected {
    /// Its rules change when the server's do.
    pub fn is_watched(&self) -> bool {
        self.followed.watched
    }
}

/// What guards of one process share, while any of them has it.
#[derive(Default)]
pub(crate) struct Connections {
    sources: Table<SourceKey, Source>,
    sessions: Table<Server, ServerSessions>,
    approvals: Table<Server, Approvals>,
    /// By server and outbox.
    logs: Table<(Server, usize), Log>,
    /// Of all guards of this process that have connected: no command may see one.
    keys: Mutex<BTreeSet<String>>,
}

impl Connections {
    /// The keys that guards of this process have connected with.
    pub fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn withhold(&self, key: &str) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
    }
}

/// An address, and a fingerprint of the key for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// With everything else that its requests depend on (JSON).
    endpoint: String,
    key: [u8; 32],
}

impl Server {
    fn new(endpoint: String, api_key: &str) -> Self {
        Self { endpoint, key: Sha256::digest(api_key).into() }
    }

    /// Name of its lane in an outbox: the same after a restart. Two keys may be of two customers: they never share one.
    fn lane(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.endpoint);
        hash.update(self.key);
        hex::encode(hash.finalize())
    }
}

struct Table<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    /// The one that is there, or a new one.
    fn shared(&self, key: &K, make: impl FnOnce() -> Arc<V>) -> Arc<V> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = known.get(key).and_then(Weak::upgrade) {
            return there;
        }
        known.retain(|_, value| value.strong_count() > 0);
        let made = make();
        known.insert(key.clone(), Arc::downgrade(&made));
        made
    }

    fn find(&self, key: &K) -> Option<Arc<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).and_then(Weak::upgrade)
    }

    /// Takes this one out, if it is the one that is there.
    fn forget(&self, key: &K, value: &Arc<V>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(key).is_some_and(|there| std::ptr::eq(there.as_ptr(), Arc::as_ptr(value))) {
            known.remove(key);
        }
    }
}

/// Says what the component has to say in its log: `level`, `code`, `message` (JSON), redacted. An error is given back.
pub(crate) fn notice(notice: &str) -> Option<Trouble> {
    #[derive(serde::Deserialize)]
    struct Notice {
        level: String,
        code: String,
        message: String,
    }
    let Notice { level, code, message } = serde_json::from_str(notice).ok()?;
    match level.as_str() {
        "error" => {
            tracing::error!(code, "{message}");
            return Some(Trouble { code, message });
        }
        "warning" => tracing::warn!(code, "{message}"),
        _ => tracing::info!(code, "{message}"),
    }
    None
}

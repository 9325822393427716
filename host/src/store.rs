//! Where state lives: sessions, open calls, and what the parts of a guard want to remember. The engine chooses the keys of
//! sessions and the meaning of every value; a store only keeps them, and gives each value a version.
//!
//! [`Store`] is a small blocking trait. A guard calls a store that [may block](Store::blocks) on a thread of its own, so
//! an implementation needs no knowledge of async. Here are [`MemoryStore`], [`SqliteStore`] and
//! [`RedisStore`].

mod memory;
mod redis;
mod sqlite;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use self::memory::MemoryStore;
pub use self::redis::{RedisStore, is_address};
pub use self::sqlite::SqliteStore;
pub use crate::bindings::session::{Entry, Increment, Operation, Outcome, Put};
use crate::clock::Timestamp;

/// The version of a key that is not there. Versions of values are never used twice, so a value that was removed and
/// written again does not look unchanged.
pub const MISSING_VERSION: &str = "0";

/// Most keys that one `scan` gives.
pub const MAX_SCAN: usize = 10_000;

/// A store could not do something. Nothing was done, as far as can be known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(String);

impl StoreError {
    /// `message`: for people; holds no values.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Whose session a batch of operations is for, and when.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'s> {
    /// The session.
    pub session: &'s str,
    /// Now.
    pub now: Timestamp,
    /// When the session is forgotten if nobody comes again. A session with an open call outlives this.
    pub expires: Timestamp,
}

/// What an open call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// A person.
    Asking,
    /// The tool.
    Allowed,
}

/// A call between two of its steps.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenCall {
    /// Name of the guard it belongs to.
    pub guard: Arc<str>,
    /// Unique in its guard.
    pub call_id: Arc<str>,
    /// Its session.
    pub session: Arc<str>,
    /// The call's text as the engine got it.
    pub call: Arc<String>,
    /// All that the engine knows of it.
    pub ticket: Arc<String>,
    /// What a person is asked, redacted (JSON); with [`CallState::Asking`].
    pub approval: Option<Arc<String>>,
    /// What it waits for.
    pub state: CallState,
    /// When waiting ends: the approval has timed out, or the call is taken as abandoned.
    pub deadline: Timestamp,
}

/// Without the texts: they may hold secrets.
impl fmt::Debug for OpenCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OpenCall")
            .field("guard", &self.guard)
            .field("call_id", &self.call_id)
            .field("session", &self.session)
            .field("state", &self.state)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Answer to [`Store::claim`].
#[derive(Debug)]
pub enum Claimed {
    /// It is yours until the claim ends. The number is the claim.
    Yes(OpenCall, u64),
    /// Somebody else works on it.
    Busy,
    /// There is no such open call.
    Missing,
}

/// Keeps sessions, open calls and memories. All methods may be called from many threads at once.
///
/// An operation on one key is atomic, also against other processes where the store is shared. Expired sessions are as good
/// as removed for every method.
pub trait Store: Send + Sync + 'static {
    /// Whether a call may take long enough (a disk, a network) to need a thread of its own.
    fn blocks(&self) -> bool {
        true
    }

    /// Whether other processes may change what is in it.
    fn shared(&self) -> bool {
        false
    }

    /// Carries out the operations of one session, in their order, and answers with one outcome each. A counter is decimal
    /// text; a missing one counts from 0, and a text that is no integer is [`Outcome::Failed`].
    ///
    /// # Errors
    /// None of them was carried out.
    fn perform(&self, visit: Visit<'_>, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError>;

    /// Keeps a call that has begun. `false`: there is one with this id already, and nothing was done.
    ///
    /// # Errors
    /// Nothing was kept.
    fn open(&self, call: &OpenCall) -> Result<bool, StoreError>;

    /// Reads an open call.
    ///
    /// # Errors
    /// The store could not be asked.
    fn find(&self, guard: &str, call_id: &str) -> Result<Option<OpenCall>, StoreError>;

    /// Takes an open call for a step, so that of two who settle or finish it only one does. A claim ends at `until`, so
    /// that a process that dies loses nothing.
    ///
    /// # Errors
    /// The store could not be asked.
    fn claim(&self, guard: &str, call_id: &str, now: Timestamp, until: Timestamp) -> Result<Claimed, StoreError>;

    /// Writes a claimed call back, changed, and gives the claim up. `false`: the claim had ended.
    ///
    /// # Errors
    /// Nothing was written.
    fn update(&self, call: &OpenCall, claim: u64) -> Result<bool, StoreError>;

    /// Gives a claim up and leaves the call as it was.
    ///
    /// # Errors
    /// The claim ends by itself.
    fn release(&self, guard: &str, call_id: &str, claim: u64) -> Result<(), StoreError>;

    /// Removes a claimed call. `false`: the claim had ended.
    ///
    /// # Errors
    /// It is still there, and will be closed as abandoned.
    fn close(&self, guard: &str, call_id: &str, claim: u64) -> Result<bool, StoreError>;

    /// Open calls, of one guard or of all, in the order of their deadlines.
    ///
    /// # Errors
    /// The store could not be asked.
    fn list(&self, guard: Option<&str>, limit: usize) -> Result<Vec<OpenCall>, StoreError>;

    /// Ids of calls whose deadline has come and that nobody has claimed.
    ///
    /// # Errors
    /// The store could not be asked.
    fn due(&self, guard: &str, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError>;

    /// When [`Store::due`] will next give something.
    ///
    /// # Errors
    /// The store could not be asked.
    fn next_deadline(&self, guard: &str) -> Result<Option<Timestamp>, StoreError>;

    /// What `owner` keeps under this name.
    ///
    /// # Errors
    /// The store could not be asked.
    fn memory(&self, owner: &str, name: &str) -> Result<Option<String>, StoreError>;

    /// Keeps a text for `owner`; none removes it.
    ///
    /// # Errors
    /// Nothing was changed.
    fn remember(&self, owner: &str, name: &str, value: Option<&str>) -> Result<(), StoreError>;

    /// Removes sessions that nobody came to in time, and gives their number.
    ///
    /// # Errors
    /// The store could not be asked.
    fn expire(&self, now: Timestamp) -> Result<u64, StoreError>;
}

/// A counter after `amount` was added.
fn incremented(value: Option<&str>, amount: u32) -> Result<String, String> {
    let Some(value) = value else { return Ok(amount.to_string()) };
    let number: i64 = value.parse().map_err(|_| "a counter is not an integer".to_owned())?;
    let sum = number.checked_add(i64::from(amount)).ok_or("a counter is at its end")?;
    Ok(sum.to_string())
}

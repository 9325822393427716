//! A store in one SQLite file, which several processes may share, hosts in other languages too. This is its layout
//! (`PRAGMA user_version` 1, `application_id` 0x45444354, WAL). Times are milliseconds since 1970, UTC.
//!
//! | table | one row | columns |
//! |---|---|---|
//! | `session` | a session | `id`; `expires_ms`: forgotten then, unless it has an open call |
//! | `entry` | a value of a session | `session`, `key`, `value`, `version` |
//! | `open_call` | a call between two steps | `guard`, `call_id`, `session`, `call` (the engine's call text), `ticket`, `approval` (redacted, JSON, null when none), `state` (`asking`, `allowed`), `deadline_ms`, `claim` and `claimed_until_ms` (0: nobody's) |
//! | `memory` | what a part of a guard remembers | `owner`, `name`, `value` |
//! | `sequence` | `version` or `claim` | `name`, `last`: the last number given out; no number is given twice |
//!
//! Who writes an entry takes the next `version` in the same transaction. The file is its owner's alone (0600): it holds
//! calls with their arguments. What is beside it ([`SqliteStore::open`]) is the lanes' and the outbox's, not this module's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{
    CallState, Claimed, Entry, MAX_SCAN, MISSING_VERSION, OpenCall, Operation, Outcome, Store, StoreError, Visit,
    incremented,
};
use crate::clock::Timestamp;

/// The file in the folder that [`SqliteStore::open`] is given.
pub const FILE_NAME: &str = "edictum.sqlite";

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

const LAYOUT_VERSION: i64 = 1;
const APPLICATION_ID: i64 = 0x4544_4354;

const LAYOUT: &str = "
CREATE TABLE session (id TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX session_expires ON session (expires_ms);
CREATE TABLE entry (
    session TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (session, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE open_call (
    guard TEXT NOT NULL, call_id TEXT NOT NULL, session TEXT NOT NULL, call TEXT NOT NULL, ticket TEXT NOT NULL,
    approval TEXT, state TEXT NOT NULL CHECK (state IN ('asking', 'allowed')), deadline_ms INTEGER NOT NULL,
    claim INTEGER NOT NULL DEFAULT 0, claimed_until_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (guard, call_id)
) STRICT;
CREATE INDEX open_call_due ON open_call (guard, deadline_ms);
CREATE INDEX open_call_session ON open_call (session);
CREATE TABLE memory (
    owner TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE sequence (name TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO sequence VALUES ('version', 0), ('claim', 0);
";

const CALL_COLUMNS: &str = "guard, call_id, session, call, ticket, approval, state, deadline_ms";

/// Sessions, open calls and memories in a file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Mutex<Connection>,
    path: PathBuf,
    durable: bool,
}

impl SqliteStore {
    /// Opens the store in a folder, and makes both when they are missing. A transaction survives the death of the process;
    /// `durable`: also that of the machine (every commit waits for the disk).
    ///
    /// # Errors
    /// The file cannot be made or read, or was written by a newer version.
    pub fn open(folder: &Path, durable: bool) -> Result<Self, StoreError> {
        make_private(folder)?;
        let path = folder.join(FILE_NAME);
        make_private_file(&path)?;
        let mut connection = Connection::open(&path).map_err(|error| failed(&error))?;
        prepare(&mut connection, durable)?;
        Ok(Self { connection: Mutex::new(connection), path, durable })
    }

    /// Reads one value of a session as it is now, beside whoever uses the store: nothing is made, kept alive or written.
    ///
    /// # Errors
    /// There is no store in the folder, or it cannot be read.
    pub fn peek(folder: &Path, session: &str, key: &str) -> Result<Option<String>, StoreError> {
        let path = folder.join(FILE_NAME);
        if !path.is_file() {
            return Err(StoreError::new(format!("there is no store in `{}`", folder.display())));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(|error| failed(&error))?;
        connection.busy_timeout(BUSY).map_err(|error| failed(&error))?;
        let select = "SELECT value FROM entry WHERE session = ?1 AND key = ?2";
        connection.query_row(select, params![session, key], |row| row.get(0)).optional().map_err(|error| failed(&error))
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.transaction(TransactionBehavior::Immediate, work)
    }

    fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.transaction(TransactionBehavior::Deferred, work)
    }

    fn transaction<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        transact(&mut self.connection(), behavior, work)
    }

    /// Writes what need not survive the machine: a claim ends by itself. Whatever is written durably later takes this to
    /// the disk with it.
    fn write_soon<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut connection = self.connection();
        if !self.durable {
            return transact(&mut connection, TransactionBehavior::Immediate, work);
        }
        synchronous(&connection, false)?;
        let result = transact(&mut connection, TransactionBehavior::Immediate, work);
        synchronous(&connection, true)?;
        result
    }
}

fn transact<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(behavior).map_err(|error| failed(&error))?;
    let result = work(&transaction).map_err(|error| failed(&error))?;
    transaction.commit().map_err(|error| failed(&error))?;
    Ok(result)
}

/// Whether every commit waits for the disk.
fn synchronous(connection: &Connection, durable: bool) -> Result<(), StoreError> {
    let mode = if durable { "full" } else { "normal" };
    connection.pragma_update(None, "synchronous", mode).map_err(|error| failed(&error))
}

/// SQLite's own words name tables and codes, and no values.
fn failed(error: &rusqlite::Error) -> StoreError {
    StoreError::new(error.to_string())
}

fn prepare(connection: &mut Connection, durable: bool) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY).map_err(|error| failed(&error))?;
    connection.set_prepared_statement_cache_capacity(32);
    // Two processes that turn a new file into a WAL file at once get "busy" without the wait.
    let since = Instant::now();
    while let Err(error) = connection.pragma_update(None, "journal_mode", "wal") {
        if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) || since.elapsed() > BUSY {
            return Err(failed(&error));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    synchronous(connection, durable)?;
    lay_out(connection)
}

fn lay_out(connection: &mut Connection) -> Result<(), StoreError> {
    let version = |connection: &Connection| {
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map_err(|error| failed(&error))
    };
    if version(connection)? == 0 {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| failed(&error))?;
        if version(&transaction)? == 0 {
            let made = transaction
                .execute_batch(LAYOUT)
                .and_then(|()| transaction.pragma_update(None, "application_id", APPLICATION_ID))
                .and_then(|()| transaction.pragma_update(None, "user_version", LAYOUT_VERSION));
            made.map_err(|error| failed(&error))?;
        }
        transaction.commit().map_err(|error| failed(&error))?;
    }
    match version(connection)? {
        LAYOUT_VERSION => Ok(()),
        other => Err(StoreError::new(format!("the file has layout {other}, this version reads {LAYOUT_VERSION}"))),
    }
}

#[cfg(unix)]
fn make_private(folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;

    if folder.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| StoreError::new(format!("the folder cannot be made: {error}")))
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|error| StoreError::new(format!("the folder cannot be made: {error}")))
}

/// SQLite gives the files it puts beside it the same permissions.
#[cfg(unix)]
fn make_private_file(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

    let opened = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let private = opened.and_then(|file| {
        let open_to_others = file.metadata()?.permissions().mode() & 0o077 != 0;
        if open_to_others { file.set_permissions(fs::Permissions::from_mode(0o600)) } else { Ok(()) }
    });
    private.map_err(|error| StoreError::new(format!("the file cannot be opened: {error}")))
}

#[cfg(not(unix))]
fn make_private_file(_: &Path) -> Result<(), StoreError> {
    Ok(())
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn missing() -> Entry {
    Entry { value: None, version: Some(MISSING_VERSION.to_owned()) }
}

fn next(transaction: &Transaction<'_>, sequence: &str) -> rusqlite::Result<i64> {
    let mut statement =
        transaction.prepare_cached("UPDATE sequence SET last = last + 1 WHERE name = ?1 RETURNING last")?;
    statement.query_row([sequence], |row| row.get(0))
}

/// Whether the end of a session moves by enough to be written down: reading a session should cost no write.
fn worth_moving(expires: Timestamp, visit: Visit<'_>) -> bool {
    let noticeable = (visit.expires.saturating_sub(visit.now) / 10).min(60_000);
    visit.expires.abs_diff(expires) > noticeable
}

/// One session inside a transaction.
struct Session<'t> {
    transaction: &'t Transaction<'t>,
    id: &'t str,
}

impl Session<'_> {
    /// Forgets what has expired, and puts the end off.
    fn visit(&self, visit: Visit<'_>) -> rusqlite::Result<()> {
        let expires = self.expires()?;
        if expires.is_some_and(|expires| expires <= visit.now) && !self.has_open_call()? {
            let mut statement = self.transaction.prepare_cached("DELETE FROM entry WHERE session = ?1")?;
            statement.execute([self.id])?;
        }
        if expires.is_none_or(|expires| worth_moving(expires, visit)) { self.put_off(visit.expires) } else { Ok(()) }
    }

    /// Carries out operations that only read, unless the visit itself has something to write.
    fn look(&self, visit: Visit<'_>, operations: &[Operation]) -> rusqlite::Result<Option<Vec<Outcome>>> {
        if self.expires()?.is_some_and(|expires| expires <= visit.now || worth_moving(expires, visit)) {
            return Ok(None);
        }
        operations.iter().map(|operation| self.perform(operation)).collect::<rusqlite::Result<_>>().map(Some)
    }

    fn expires(&self) -> rusqlite::Result<Option<Timestamp>> {
        let mut statement = self.transaction.prepare_cached("SELECT expires_ms FROM session WHERE id = ?1")?;
        Ok(statement.query_row([self.id], |row| row.get(0)).optional()?.map(unsigned))
    }

    fn has_open_call(&self) -> rusqlite::Result<bool> {
        let mut statement =
            self.transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM open_call WHERE session = ?1)")?;
        statement.query_row([self.id], |row| row.get(0))
    }

    fn put_off(&self, expires: Timestamp) -> rusqlite::Result<()> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO session VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET expires_ms = excluded.expires_ms",
        )?;
        statement.execute(params![self.id, integer(expires)]).map(drop)
    }

    fn perform(&self, operation: &Operation) -> rusqlite::Result<Outcome> {
        match operation {
            Operation::Get(key) => Ok(Outcome::Done(self.entry(key)?)),
            Operation::Increment(step) => match incremented(self.entry(&step.key)?.value.as_deref(), step.amount) {
                Ok(sum) => Ok(Outcome::Done(self.put(&step.key, sum)?)),
                Err(reason) => Ok(Outcome::Failed(reason)),
            },
            Operation::Put(put) => {
                if put.expected.is_some() {
                    let present = self.entry(&put.key)?;
                    if present.version != put.expected {
                        return Ok(Outcome::Conflict(present));
                    }
                }
                Ok(Outcome::Done(self.put(&put.key, put.value.clone())?))
            }
            Operation::Delete(key) => {
                let mut statement =
                    self.transaction.prepare_cached("DELETE FROM entry WHERE session = ?1 AND key = ?2")?;
                statement.execute([self.id, key])?;
                Ok(Outcome::Done(missing()))
            }
            Operation::Scan(prefix) => self.scan(prefix),
        }
    }

    fn entry(&self, key: &str) -> rusqlite::Result<Entry> {
        let mut statement =
            self.transaction.prepare_cached("SELECT value, version FROM entry WHERE session = ?1 AND key = ?2")?;
        let entry = statement.query_row([self.id, key], |row| {
            Ok(Entry { value: row.get(0)?, version: Some(row.get::<_, i64>(1)?.to_string()) })
        });
        Ok(entry.optional()?.unwrap_or_else(missing))
    }

    fn put(&self, key: &str, value: String) -> rusqlite::Result<Entry> {
        let version = next(self.transaction, "version")?;
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO entry VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (session, key) DO UPDATE SET value = excluded.value, version = excluded.version",
        )?;
        statement.execute(params![self.id, key, value, version])?;
        Ok(Entry { value: Some(value), version: Some(version.to_string()) })
    }

    fn scan(&self, prefix: &str) -> rusqlite::Result<Outcome> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT key, value FROM entry WHERE session = ?1 AND key >= ?2 AND substr(key, 1, length(?2)) = ?2
             ORDER BY key LIMIT ?3",
        )?;
        let limit = i64::try_from(MAX_SCAN + 1).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![self.id, prefix, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let found: Vec<(String, String)> = rows.collect::<rusqlite::Result<_>>()?;
        let all = found.len() <= MAX_SCAN;
        Ok(if all { Outcome::Found(found) } else { Outcome::Failed("too many keys".to_owned()) })
    }
}

fn call(row: &Row<'_>) -> rusqlite::Result<OpenCall> {
    let text = |column| row.get::<_, String>(column);
    Ok(OpenCall {
        guard: text(0)?.into(),
        call_id: text(1)?.into(),
        session: text(2)?.into(),
        call: text(3)?.into(),
        ticket: text(4)?.into(),
        approval: row.get::<_, Option<String>>(5)?.map(Into::into),
        state: if text(6)? == "asking" { CallState::Asking } else { CallState::Allowed },
        deadline: unsigned(row.get(7)?),
    })
}

fn state(state: CallState) -> &'static str {
    match state {
        CallState::Asking => "asking",
        CallState::Allowed => "allowed",
    }
}

impl Store for SqliteStore {
    fn shared(&self) -> bool {
        true
    }

    fn perform(&self, visit: Visit<'_>, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        let only_reads = operations.iter().all(|step| matches!(step, Operation::Get(_) | Operation::Scan(_)));
        if only_reads {
            let seen = self.read(|transaction| Session { transaction, id: visit.session }.look(visit, operations))?;
            if let Some(outcomes) = seen {
                return Ok(outcomes);
            }
        }
        self.write(|transaction| {
            let session = Session { transaction, id: visit.session };
            session.visit(visit)?;
            operations.iter().map(|operation| session.perform(operation)).collect()
        })
    }

    fn open(&self, call: &OpenCall) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO open_call (guard, call_id, session, call, ticket, approval, state, deadline_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            )?;
            let written = statement.execute(params![
                call.guard,
                call.call_id,
                call.session,
                call.call,
                call.ticket,
                call.approval,
                state(call.state),
                integer(call.deadline)
            ])?;
            Ok(written == 1)
        })
    }

    fn find(&self, guard: &str, call_id: &str) -> Result<Option<OpenCall>, StoreError> {
        self.read(|transaction| {
            let sql = format!("SELECT {CALL_COLUMNS} FROM open_call WHERE guard = ?1 AND call_id = ?2");
            transaction.prepare_cached(&sql)?.query_row([guard, call_id], call).optional()
        })
    }

    fn claim(&self, guard: &str, call_id: &str, now: Timestamp, until: Timestamp) -> Result<Claimed, StoreError> {
        self.write_soon(|transaction| {
            let claim = next(transaction, "claim")?;
            let sql = format!(
                "UPDATE open_call SET claim = ?3, claimed_until_ms = ?4
                 WHERE guard = ?1 AND call_id = ?2 AND claimed_until_ms <= ?5 RETURNING {CALL_COLUMNS}"
            );
            let mut statement = transaction.prepare_cached(&sql)?;
            let values = params![guard, call_id, claim, integer(until), integer(now)];
            if let Some(call) = statement.query_row(values, call).optional()? {
                return Ok(Claimed::Yes(call, unsigned(claim)));
            }
            let mut statement = transaction
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM open_call WHERE guard = ?1 AND call_id = ?2)")?;
            let there: bool = statement.query_row([guard, call_id], |row| row.get(0))?;
            Ok(if there { Claimed::Busy } else { Claimed::Missing })
        })
    }

    fn update(&self, call: &OpenCall, claim: u64) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "UPDATE open_call
                 SET call = ?4, ticket = ?5, approval = ?6, state = ?7, deadline_ms = ?8, claim = 0, claimed_until_ms = 0
                 WHERE guard = ?1 AND call_id = ?2 AND claim = ?3",
            )?;
            let written = statement.execute(params![
                call.guard,
                call.call_id,
                integer(claim),
                call.call,
                call.ticket,
                call.approval,
                state(call.state),
                integer(call.deadline)
            ])?;
            Ok(written == 1)
        })
    }

    fn release(&self, guard: &str, call_id: &str, claim: u64) -> Result<(), StoreError> {
        self.write_soon(|transaction| {
            let mut statement = transaction.prepare_cached(
                "UPDATE open_call SET claim = 0, claimed_until_ms = 0
                 WHERE guard = ?1 AND call_id = ?2 AND claim = ?3",
            )?;
            statement.execute(params![guard, call_id, integer(claim)]).map(drop)
        })
    }

    fn close(&self, guard: &str, call_id: &str, claim: u64) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let mut statement =
                transaction.prepare_cached("DELETE FROM open_call WHERE guard = ?1 AND call_id = ?2 AND claim = ?3")?;
            Ok(statement.execute(params![guard, call_id, integer(claim)])? == 1)
        })
    }

    fn list(&self, guard: Option<&str>, limit: usize) -> Result<Vec<OpenCall>, StoreError> {
        self.read(|transaction| {
            let sql = format!(
                "SELECT {CALL_COLUMNS} FROM open_call WHERE ?1 IS NULL OR guard = ?1
                 ORDER BY deadline_ms, call_id LIMIT ?2"
            );
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            transaction.prepare_cached(&sql)?.query_map(params![guard, limit], call)?.collect()
        })
    }

    fn due(&self, guard: &str, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT call_id FROM open_call WHERE guard = ?1 AND deadline_ms <= ?2 AND claimed_until_ms <= ?2
                 ORDER BY deadline_ms, call_id LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            statement.query_map(params![guard, integer(now), limit], |row| row.get(0))?.collect()
        })
    }

    fn next_deadline(&self, guard: &str) -> Result<Option<Timestamp>, StoreError> {
        self.read(|transaction| {
            let mut statement = transaction
                .prepare_cached("SELECT min(max(deadline_ms, claimed_until_ms)) FROM open_call WHERE guard = ?1")?;
            let next: Option<i64> = statement.query_row([guard], |row| row.get(0))?;
            Ok(next.map(unsigned))
        })
    }

    fn memory(&self, owner: &str, name: &str) -> Result<Option<String>, StoreError> {
        self.read(|transaction| {
            let mut statement =
                transaction.prepare_cached("SELECT value FROM memory WHERE owner = ?1 AND name = ?2")?;
            statement.query_row([owner, name], |row| row.get(0)).optional()
        })
    }

    fn remember(&self, owner: &str, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.write(|transaction| match value {
            Some(value) => transaction
                .prepare_cached(
                    "INSERT INTO memory VALUES (?1, ?2, ?3) ON CONFLICT (owner, name) DO UPDATE SET value = excluded.value",
                )?
                .execute([owner, name, value])
                .map(drop),
            None => transaction
                .prepare_cached("DELETE FROM memory WHERE owner = ?1 AND name = ?2")?
                .execute([owner, name])
                .map(drop),
        })
    }

    fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(|transaction| {
            let gone = "SELECT id FROM session WHERE expires_ms <= ?1
                        AND NOT EXISTS (SELECT 1 FROM open_call WHERE open_call.session = session.id)";
            transaction.execute(&format!("DELETE FROM entry WHERE session IN ({gone})"), [integer(now)])?;
            let removed = transaction.execute(&format!("DELETE FROM session WHERE id IN ({gone})"), [integer(now)])?;
            Ok(u64::try_from(removed).unwrap_or(u64::MAX))
        })
    }
}

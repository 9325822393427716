//! The file `serve.sqlite`: one writer that commits in groups, some readers, and its layout (`PRAGMA user_version` 1). Times
//! are milliseconds since 1970, UTC.
//!
//! | table | one row | columns |
//! |---|---|---|
//! | `meta` | what the server remembers of itself | `name`, `value` (`salt`: hex) |
//! | `api_key` | a key | `id`, `role`, `name` (environment or operator), `prefix`, `hash`, `created_ms` |
//! | `ruleset` | a version of a ruleset | `name`, `version`, `revision`, `yaml`, `signature`, `public_key`, `created_ms`, `created_by` |
//! | `deployment` | which version agents get | `name`, `environment` (empty: all), `version`, `deployed_ms` |
//! | `assigned` | an agent that follows what the server chose | `environment`, `agent_id`, `ruleset` |
//! | `session_value` | a value of a session | `environment`, `key`, `value`, `version`, `expires_ms` |
//! | `approval` | a question to a person | see [`super::approvals`] |
//! | `event` | an event of the decision log | `seq`, `environment`, `event_id`, `agent_id`, `session_id`, `call_id`, `action`, `tool_name`, `time_ms`, `received_ms`, `body` |
//! | `answered` | a request with an `Idempotency-Key` | `scope`, `reference`, `answer`, `expires_ms` |
//! | `sequence` | the last number given out | `name`, `last` |
//!
//! A commit waits for the disk: what was acknowledged survives the death of the process, and of the machine.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{Semaphore, oneshot};

use super::App;
use super::moment;

/// The file in the data folder.
pub const FILE_NAME: &str = "serve.sqlite";

const LAYOUT_VERSION: i64 = 1;
const READERS: usize = 4;

/// Jobs in one commit.
const MAX_GROUP: usize = 256;

/// How often what has expired is removed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

const LAYOUT: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE api_key (
    id INTEGER PRIMARY KEY, role TEXT NOT NULL CHECK (role IN ('agent', 'operator')), name TEXT NOT NULL,
    prefix TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE ruleset (
    name TEXT NOT NULL, version INTEGER NOT NULL, revision TEXT NOT NULL, yaml TEXT NOT NULL, signature TEXT,
    public_key TEXT, created_ms INTEGER NOT NULL, created_by TEXT NOT NULL, PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE deployment (
    name TEXT NOT NULL, environment TEXT NOT NULL, version INTEGER NOT NULL, deployed_ms INTEGER NOT NULL,
    PRIMARY KEY (name, environment)
) STRICT, WITHOUT ROWID;
CREATE TABLE assigned (
    environment TEXT NOT NULL, agent_id TEXT NOT NULL, ruleset TEXT NOT NULL, PRIMARY KEY (environment, agent_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE session_value (
    environment TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL, PRIMARY KEY (environment, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_value_expires ON session_value (expires_ms);
CREATE TABLE approval (
    id TEXT PRIMARY KEY, environment TEXT NOT NULL, agent_id TEXT NOT NULL, session_id TEXT, tool_name TEXT NOT NULL,
    tool_args TEXT NOT NULL, message TEXT NOT NULL, timeout_ms INTEGER NOT NULL,
    timeout_action TEXT NOT NULL CHECK (timeout_action IN ('block', 'allow')), decision_source TEXT, contract_name TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'timed_out')), decided_by TEXT,
    decision_reason TEXT, decided_via TEXT, decided_ms INTEGER, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_expires ON approval (expires_ms) WHERE status = 'pending';
CREATE INDEX approval_decided ON approval (environment, decided_ms);
CREATE INDEX approval_created ON approval (created_ms);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, event_id TEXT NOT NULL, agent_id TEXT NOT NULL,
    session_id TEXT, call_id TEXT, action TEXT NOT NULL, tool_name TEXT, time_ms INTEGER, received_ms INTEGER NOT NULL,
    body TEXT NOT NULL, UNIQUE (environment, event_id)
) STRICT;
CREATE INDEX event_agent ON event (agent_id, seq);
CREATE INDEX event_session ON event (session_id, seq);
CREATE INDEX event_call ON event (call_id);
CREATE INDEX event_received ON event (received_ms);
CREATE TABLE answered (
    scope TEXT NOT NULL, reference TEXT NOT NULL, answer TEXT NOT NULL, expires_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, reference)
) STRICT, WITHOUT ROWID;
CREATE INDEX answered_expires ON answered (expires_ms);
CREATE TABLE sequence (name TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO sequence VALUES ('session_version', 0);
";

/// What went wrong with the file. SQLite's own words name tables and codes, and no values.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseError(pub String);

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Database {
    writer: mpsc::Sender<Box<dyn Job>>,
    readers: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
}

impl Database {
    /// Opens the file, and makes folder and file when they are missing.
    pub fn open(folder: &Path) -> Result<Self, String> {
        make_private(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
        let path = folder.join(FILE_NAME);
        let named = |error: String| format!("`{}`: {error}", path.display());
        make_private_file(&path).map_err(|error| named(error.to_string()))?;
        let mut connection = connect(&path).map_err(|error| named(error.to_string()))?;
        lay_out(&mut connection).map_err(named)?;
        let readers: rusqlite::Result<Vec<_>> = (0..READERS).map(|_| connect(&path)).collect();
        let readers = readers.map_err(|error| named(error.to_string()))?;
        let (writer, jobs) = mpsc::channel();
        thread::Builder::new()
            .name("edictum-serve-writer".to_owned())
            .spawn(move || write_groups(connection, &jobs))
            .map_err(|error| named(error.to_string()))?;
        Ok(Self { writer, readers: Arc::new(Mutex::new(readers)), free: Arc::new(Semaphore::new(READERS)) })
    }

    /// Writes, together with whatever else is to be written now, and answers when it is on the disk. Work that fails is
    /// undone, that of others is not.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (reply, answer) = oneshot::channel();
        let job = Write { work: Some(work), result: None, reply };
        let gone = || DatabaseError("the writer has ended".to_owned());
        self.writer.send(Box::new(job)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Reads what is committed.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let gone = || DatabaseError("a reader has ended".to_owned());
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| gone())?;
        let readers = Arc::clone(&self.readers);
        let reading = tokio::task::spawn_blocking(move || {
            // Who asked may go away before this is done: the connection is free afterwards, and not before.
            let _permit = permit;
            let connection = readers.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or_else(gone)?;
            let result = catch_unwind(AssertUnwindSafe(|| work(&connection)));
            readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            Ok(result.map_err(|_| gone())??)
        });
        reading.await.map_err(|_| gone())?
    }
}

/// One thing to write.
trait Job: Send {
    /// Inside the transaction. False: undo it.
    fn run(&mut self, connection: &Connection) -> bool;
    /// After the commit.
    fn finish(self: Box<Self>, committed: Result<(), DatabaseError>);
}

struct Write<T, F> {
    work: Option<F>,
    result: Option<Result<T, DatabaseError>>,
    reply: oneshot::Sender<Result<T, DatabaseError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Job for Write<T, F> {
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let result = match catch_unwind(AssertUnwindSafe(|| work(connection))) {
            Ok(result) => result.map_err(DatabaseError::from),
            Err(_) => Err(DatabaseError("a bug: the work panicked".to_owned())),
        };
        self.result.insert(result).is_ok()
    }

    fn finish(self: Box<Self>, committed: Result<(), DatabaseError>) {
        let lost = || Err(DatabaseError("it was not carried out".to_owned()));
        let result = match committed {
            Ok(()) => self.result.unwrap_or_else(lost),
            Err(error) => Err(error),
        };
        // Who asked may have gone away.
        let _unheard = self.reply.send(result);
    }
}

/// Until the last sender is gone.
fn write_groups(mut connection: Connection, jobs: &mpsc::Receiver<Box<dyn Job>>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        while group.len() < MAX_GROUP
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        let committed = write_group(&mut connection, &mut group).map_err(DatabaseError::from);
        if let Err(error) = &committed {
            tracing::error!(%error, "nothing could be written");
        }
        for job in group {
            job.finish(committed.clone());
        }
    }
}

fn write_group(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in group {
        transaction.execute_batch("SAVEPOINT job")?;
        let good = job.run(&transaction);
        transaction.execute_batch(if good { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" })?;
    }
    transaction.commit()
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}

fn lay_out(connection: &mut Connection) -> Result<(), String> {
    let laid_out = || -> rusqlite::Result<i64> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != 0 {
            return Ok(version);
        }
        transaction.execute_batch(LAYOUT)?;
        transaction.pragma_update(None, "user_version", LAYOUT_VERSION)?;
        transaction.commit()?;
        Ok(LAYOUT_VERSION)
    }();
    match laid_out.map_err(|error| error.to_string())? {
        LAYOUT_VERSION => Ok(()),
        other => Err(format!("the file has layout {other}, this version reads {LAYOUT_VERSION}")),
    }
}

/// The file holds arguments of calls: it is its owner's alone, and SQLite gives the files beside it the same permissions.
#[cfg(unix)]
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    if folder.is_dir() { Ok(()) } else { fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) }
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn make_private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let open_to_others = file.metadata()?.permissions().mode() & 0o077 != 0;
    if open_to_others { file.set_permissions(fs::Permissions::from_mode(0o600)) } else { Ok(()) }
}

#[cfg(not(unix))]
fn make_private_file(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Removes what has expired, now and again.
pub async fn sweep(app: Arc<App>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let now = moment::now();
        let keep = app.settings.keep_events.map(|keep| i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let swept = app.database.write(move |connection| {
            connection.execute("DELETE FROM session_value WHERE expires_ms <= ?1", [now])?;
            connection.execute("DELETE FROM answered WHERE expires_ms <= ?1", [now])?;
            if let Some(keep) = keep {
                connection.execute("DELETE FROM event WHERE received_ms <= ?1", [now.saturating_sub(keep)])?;
            }
            Ok(())
        });
        if let Err(error) = swept.await {
            tracing::warn!(%error, "what has expired could not be removed");
        }
        app.rates.forget_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn one_job_that_fails_undoes_itself_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path()).unwrap();
        let insert = |name: &'static str, fails: bool| {
            database.write(move |connection| {
                connection.execute("INSERT INTO meta VALUES (?1, '')", [name])?;
                if fails { Err(rusqlite::Error::InvalidQuery) } else { Ok(()) }
            })
        };
        block_on(async {
            let (one, two, three) = tokio::join!(insert("one", false), insert("two", true), insert("three", false));
            assert!(one.is_ok() && two.is_err() && three.is_ok());
            assert!(database.write::<()>(|_| panic!("a bug")).await.is_err());
            assert!(insert("four", false).await.is_ok(), "the writer lives");
            let count = database.read(|connection| {
                connection.query_row("SELECT group_concat(name) FROM meta", [], |row| row.get::<_, String>(0))
            });
            assert_eq!(count.await.unwrap(), "four,one,three");
        });
    }

    #[test]
    fn a_file_of_another_layout_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Database::open(folder.path()).unwrap());
        let connection = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        connection.pragma_update(None, "user_version", 7).unwrap();
        let refused = Database::open(folder.path()).err().unwrap();
        assert!(refused.ends_with("the file has layout 7, this version reads 1"), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        drop(Database::open(&folder.path().join("data")).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path().join("data")), 0o700);
        assert_eq!(mode(&folder.path().join("data").join(FILE_NAME)), 0o600);
    }
}

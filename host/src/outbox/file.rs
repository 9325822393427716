//! The outbox's file (`PRAGMA user_version` 1, `application_id` 0x4544434F, WAL), which several processes may share. Times
//! are milliseconds since 1970, UTC.
//!
//! | table | one row | columns |
//! |---|---|---|
//! | `lane` | a lane | `name`; `last`: the sequence given out last; `settled`: all up to here are settled; `events`, `gaps`, `bytes`: what is not; `lost`, `dead`: how many ever were given up, set apart; `holder` and `held_until_ms`: who delivers it (empty, 0: nobody) |
//! | `block` | events of a lane that follow one another, or a gap | `lane`, `first`, `last`: sequences; `body`: the events ([`super::block`]), null: a gap; `bytes`: length of `body`; `required`: never gives way |
//! | `dead_letter` | an event that the server refused for good | `lane`, `sequence`, `event` (null: it had given way), `reason`, `at_ms` |
//!
//! Sequences of a lane have no holes: each is settled, in a block of events, or in a gap. The file is its owner's alone
//! (0600).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

const LAYOUT_VERSION: i64 = 1;
const APPLICATION_ID: i64 = 0x4544_434F;

/// Pages in the write-ahead log until they are moved into the file.
const CHECKPOINT_PAGES: i64 = 4000;

const LAYOUT: &str = "
CREATE TABLE lane (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last INTEGER NOT NULL DEFAULT 0,
    settled INTEGER NOT NULL DEFAULT 0, events INTEGER NOT NULL DEFAULT 0, gaps INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0, lost INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,
    holder TEXT NOT NULL DEFAULT '', held_until_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE block (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    required INTEGER NOT NULL, bytes INTEGER NOT NULL, body BLOB
) STRICT;
CREATE INDEX block_place ON block (lane, last);
CREATE INDEX block_droppable ON block (id) WHERE body IS NOT NULL AND required = 0;
CREATE TABLE dead_letter (
    lane INTEGER NOT NULL, sequence INTEGER NOT NULL, event TEXT, reason TEXT NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (lane, sequence)
) STRICT;
";

/// Where the outbox is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Memory,
    File(PathBuf),
}

impl Place {
    /// Opens it, and makes what is missing. The error holds no values.
    pub fn connect(&self) -> Result<Connection, String> {
        let connection = match self {
            Self::Memory => Connection::open_in_memory(),
            Self::File(path) => {
                make_private(path)?;
                Connection::open(path)
            }
        };
        let mut connection = connection.map_err(|error| error.to_string())?;
        prepare(&mut connection, matches!(self, Self::File(_))).map_err(|error| error.to_string())?;
        match lay_out(&mut connection).map_err(|error| error.to_string())? {
            LAYOUT_VERSION => Ok(connection),
            other => Err(format!("the file has layout {other}, this version reads {LAYOUT_VERSION}")),
        }
    }
}

fn prepare(connection: &mut Connection, shared: bool) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    // Only a file without tables takes this: space that is no longer needed goes back to the disk.
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    if shared {
        write_ahead(connection)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "synchronous", "normal")?;
    }
    Ok(())
}

/// Two processes that turn a new file into a WAL file at once get "busy" without the wait.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let since = Instant::now();
    while let Err(error) = connection.pragma_update(None, "journal_mode", "wal") {
        if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) || since.elapsed() > BUSY {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn lay_out(connection: &mut Connection) -> rusqlite::Result<i64> {
    let version = |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let found: i64 = version(connection)?;
    if found != 0 {
        return Ok(found);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if version(&transaction)? == 0 {
        transaction.execute_batch(LAYOUT)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", LAYOUT_VERSION)?;
    }
    transaction.commit()?;
    version(connection)
}

/// Makes folder and file for their owner alone; SQLite gives the files beside it the same permissions.
#[cfg(unix)]
fn make_private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};

    let made = || -> std::io::Result<()> {
        if let Some(folder) = folder(path) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let open_to_others = file.metadata()?.permissions().mode() & 0o077 != 0;
        if open_to_others { file.set_permissions(fs::Permissions::from_mode(0o600)) } else { Ok(()) }
    };
    made().map_err(|error| format!("the file cannot be opened: {error}"))
}

#[cfg(not(unix))]
fn make_private(path: &Path) -> Result<(), String> {
    folder(path).map_or(Ok(()), fs::create_dir_all).map_err(|error| format!("the folder cannot be made: {error}"))
}

/// The folder of the file, when it is not there yet.
fn folder(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_layout_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::File(folder.path().join("new/outbox.sqlite"));
        place.connect().unwrap().pragma_update(None, "user_version", 7).unwrap();
        assert_eq!(place.connect().unwrap_err(), "the file has layout 7, this version reads 1");
    }

    #[test]
    fn what_is_no_outbox_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.sqlite");
        fs::write(&path, "not a database, but long enough to be looked at").unwrap();
        assert!(Place::File(path).connect().is_err());
        assert!(Place::File(folder.path().to_path_buf()).connect().is_err());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("outbox.sqlite");
        let connection = Place::File(path.clone()).connect().unwrap();
        connection.execute("INSERT INTO lane (name) VALUES ('l')", []).unwrap();
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        for file in fs::read_dir(path.parent().unwrap()).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Place::File(path.clone()).connect().unwrap();
        assert_eq!(mode(&path), 0o600, "what was left open to others is closed");
    }
}

"""A store in one SQLite file, which several processes may share, hosts in other languages too. The layout is that of the
reference host (`host/src/store/sqlite.rs`): a session that was begun there goes on here, and back.

`PRAGMA user_version` 1, `application_id` 0x45444354, WAL. The file is its owner's alone (0600): it holds calls with their
arguments.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import StoreError
from .base import MAX_SCAN, OpenCall, Operation, Outcome, Store, Visit, incremented, missing

T = TypeVar("T")

#: The file in the folder that a store is given.
FILE_NAME = "edictum.sqlite"

#: Seconds to wait for another process that writes.
BUSY = 5.0

_LAYOUT_VERSION = 1
_APPLICATION_ID = 0x4544_4354

_LAYOUT = """
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
"""

_COLUMNS = "guard, call_id, session, call, ticket, approval, state, deadline_ms"
_MAX = (1 << 63) - 1


class SqliteStore(Store):
    """Sessions and open calls in a file. A transaction survives the death of the process; `durable`: also that of the machine."""

    shared = True

    def __init__(self, folder: str | os.PathLike[str], *, durable: bool = False) -> None:
        self.path = Path(folder) / FILE_NAME
        self._durable = durable
        self._lock = threading.Lock()
        try:
            _make_private(self.path)
            self._connection = sqlite3.connect(self.path, BUSY, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA busy_timeout = 5000")
            self._into_wal()
            self._synchronous(durable)
            self._lay_out()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the store cannot be opened: {_words(error)}") from error

    # Sessions.

    def perform(self, visit: Visit, operations: Sequence[Operation]) -> list[Outcome]:
        if all("get" in operation or "scan" in operation for operation in operations):
            seen = self._read(lambda: self._look(visit, operations))
            if seen is not None:
                return seen

        def work() -> list[Outcome]:
            self._visit(visit)
            return [self._perform(visit.session, operation) for operation in operations]

        return self._write(work)

    def _look(self, visit: Visit, operations: Sequence[Operation]) -> list[Outcome] | None:
        """Operations that only read, unless the visit itself has something to write."""
        expires = self._expires(visit.session)
        if expires is not None and (expires <= visit.now or _worth_moving(expires, visit)):
            return None
        return [self._perform(visit.session, operation) for operation in operations]

    def _visit(self, visit: Visit) -> None:
        """Forgets what has expired, and puts the end off."""
        expires = self._expires(visit.session)
        if expires is not None and expires <= visit.now:
            open_calls = "SELECT EXISTS (SELECT 1 FROM open_call WHERE session = ?)"
            if not self._one(open_calls, visit.session)[0]:
                self._execute("DELETE FROM entry WHERE session = ?", visit.session)
        if expires is None or _worth_moving(expires, visit):
            put_off = (
                "INSERT INTO session VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET expires_ms = excluded.expires_ms"
            )
            self._execute(put_off, visit.session, _integer(visit.expires))

    def _expires(self, session: str) -> int | None:
        row = self._row("SELECT expires_ms FROM session WHERE id = ?", session)
        return None if row is None else int(row[0])

    def _perform(self, session: str, operation: Operation) -> Outcome:
        (kind, what), *_ = operation.items()
        if kind == "get":
            return {"done": self._entry(session, what)}
        if kind == "increment":
            try:
                total = incremented(self._entry(session, what["key"])["value"], what["amount"])
            except ValueError as error:
                return {"failed": str(error)}
            return {"done": self._put(session, what["key"], total)}
        if kind == "put":
            expected = what.get("expected")
            if expected is not None:
                present = self._entry(session, what["key"])
                if present["version"] != expected:
                    return {"conflict": present}
            return {"done": self._put(session, what["key"], what["value"])}
        if kind == "delete":
            self._execute("DELETE FROM entry WHERE session = ? AND key = ?", session, what)
            return {"done": missing()}
        if kind == "scan":
            found = self._rows(
                "SELECT key, value FROM entry WHERE session = ?1 AND key >= ?2 AND substr(key, 1, length(?2)) = ?2"
                " ORDER BY key LIMIT ?3",
                session,
                what,
                MAX_SCAN + 1,
            )
            return {"found": [list(row) for row in found]} if len(found) <= MAX_SCAN else {"failed": "too many keys"}
        return {"failed": "there is no such operation"}

    def _entry(self, session: str, key: str) -> dict[str, Any]:
        row = self._row("SELECT value, version FROM entry WHERE session = ? AND key = ?", session, key)
        return {"value": row[0], "version": str(row[1])} if row else missing()

    def _put(self, session: str, key: str, value: str) -> dict[str, Any]:
        version = self._next("version")
        self._execute(
            "INSERT INTO entry VALUES (?, ?, ?, ?)"
            " ON CONFLICT (session, key) DO UPDATE SET value = excluded.value, version = excluded.version",
            session,
            key,
            value,
            version,
        )
        return {"value": value, "version": str(version)}

    def _next(self, sequence: str) -> int:
        number: int = self._one("UPDATE sequence SET last = last + 1 WHERE name = ? RETURNING last", sequence)[0]
        return number

    def expire(self, now: int) -> int:
        gone = (
            "SELECT id FROM session WHERE expires_ms <= ?"
            " AND NOT EXISTS (SELECT 1 FROM open_call WHERE open_call.session = session.id)"
        )

        def work() -> int:
            self._execute(f"DELETE FROM entry WHERE session IN ({gone})", now)
            return self._execute(f"DELETE FROM session WHERE id IN ({gone})", now)

        return self._write(work)

    # Open calls.

    def open(self, call: OpenCall) -> bool:
        sql = f"INSERT INTO open_call ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        values = (call.guard, call.call_id, call.session, call.call, call.ticket, call.approval, call.state)
        return self._write(lambda: self._execute(sql, *values, _integer(call.deadline)) == 1)

    def find(self, guard: str, call_id: str) -> OpenCall | None:
        sql = f"SELECT {_COLUMNS} FROM open_call WHERE guard = ? AND call_id = ?"
        row = self._read(lambda: self._row(sql, guard, call_id))
        return row and OpenCall(*row)

    def claim(
        self, guard: str, call_id: str, now: int, until: int
    ) -> tuple[OpenCall, int] | Literal["busy", "missing"]:
        def work() -> tuple[OpenCall, int] | Literal["busy", "missing"]:
            claim = self._next("claim")
            row = self._row(
                f"UPDATE open_call SET claim = ?3, claimed_until_ms = ?4"
                f" WHERE guard = ?1 AND call_id = ?2 AND claimed_until_ms <= ?5 RETURNING {_COLUMNS}",
                guard,
                call_id,
                claim,
                _integer(until),
                _integer(now),
            )
            if row:
                return OpenCall(*row), claim
            there = self._row("SELECT 1 FROM open_call WHERE guard = ? AND call_id = ?", guard, call_id)
            return "busy" if there else "missing"

        return self._write_soon(work)

    def update(self, call: OpenCall, claim: int) -> bool:
        sql = (
            "UPDATE open_call SET call = ?, ticket = ?, approval = ?, state = ?, deadline_ms = ?, claim = 0,"
            " claimed_until_ms = 0 WHERE guard = ? AND call_id = ? AND claim = ?"
        )
        values = (call.call, call.ticket, call.approval, call.state, _integer(call.deadline))
        return self._write(lambda: self._execute(sql, *values, call.guard, call.call_id, claim) == 1)

    def release(self, guard: str, call_id: str, claim: int) -> None:
        sql = "UPDATE open_call SET claim = 0, claimed_until_ms = 0 WHERE guard = ? AND call_id = ? AND claim = ?"
        self._write_soon(lambda: self._execute(sql, guard, call_id, claim))

    def close(self, guard: str, call_id: str, claim: int) -> bool:
        sql = "DELETE FROM open_call WHERE guard = ? AND call_id = ? AND claim = ?"
        return self._write(lambda: self._execute(sql, guard, call_id, claim) == 1)

    def open_calls(self, guard: str | None, limit: int) -> list[OpenCall]:
        sql = f"SELECT {_COLUMNS} FROM open_call WHERE ?1 IS NULL OR guard = ?1 ORDER BY deadline_ms, call_id LIMIT ?2"
        return [OpenCall(*row) for row in self._read(lambda: self._rows(sql, guard, limit))]

    def due(self, guard: str, now: int, limit: int) -> list[str]:
        sql = (
            "SELECT call_id FROM open_call WHERE guard = ?1 AND deadline_ms <= ?2 AND claimed_until_ms <= ?2"
            " ORDER BY deadline_ms, call_id LIMIT ?3"
        )
        return [row[0] for row in self._read(lambda: self._rows(sql, guard, _integer(now), limit))]

    def next_deadline(self, guard: str) -> int | None:
        sql = "SELECT min(max(deadline_ms, claimed_until_ms)) FROM open_call WHERE guard = ?"
        found: int | None = self._read(lambda: self._one(sql, guard))[0]
        return found

    # Memories of parts of a guard.

    def memory(self, owner: str, name: str) -> str | None:
        row = self._read(lambda: self._row("SELECT value FROM memory WHERE owner = ? AND name = ?", owner, name))
        return None if row is None else str(row[0])

    def remember(self, owner: str, name: str, value: str | None) -> None:
        if value is None:
            self._write(lambda: self._execute("DELETE FROM memory WHERE owner = ? AND name = ?", owner, name))
            return
        sql = "INSERT INTO memory VALUES (?, ?, ?) ON CONFLICT (owner, name) DO UPDATE SET value = excluded.value"
        self._write(lambda: self._execute(sql, owner, name, value))

    # The file.

    def shut(self) -> None:
        """Closes the file. Nothing can be asked any more."""
        with self._lock:
            self._connection.close()

    def _write(self, work: Callable[[], T]) -> T:
        return self._transaction("BEGIN IMMEDIATE", work)

    def _read(self, work: Callable[[], T]) -> T:
        return self._transaction("BEGIN DEFERRED", work)

    def _write_soon(self, work: Callable[[], T]) -> T:
        """Writes what need not survive the machine: a claim ends by itself. What is written durably later takes it along."""
        return self._transaction("BEGIN IMMEDIATE", work, soon=self._durable)

    def _transaction(self, begin: str, work: Callable[[], T], *, soon: bool = False) -> T:
        with self._lock:
            try:
                if soon:
                    self._synchronous(False)
                try:
                    self._connection.execute(begin)
                    try:
                        result = work()
                        self._connection.execute("COMMIT")
                    except BaseException:
                        if self._connection.in_transaction:
                            self._connection.execute("ROLLBACK")
                        raise
                    return result
                finally:
                    if soon:
                        self._synchronous(True)
            except (sqlite3.Error, UnicodeError) as error:
                raise StoreError(_words(error)) from error

    def _execute(self, sql: str, *values: Any) -> int:
        return self._connection.execute(sql, values).rowcount

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def _row(self, sql: str, *values: Any) -> Any:
        rows = self._rows(sql, *values)
        return rows[0] if rows else None

    def _one(self, sql: str, *values: Any) -> Any:
        return self._rows(sql, *values)[0]

    def _into_wal(self) -> None:
        # Two processes that turn a new file into a WAL file at once get "busy" without the wait.
        until = time.monotonic() + BUSY
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = wal")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.005)

    def _synchronous(self, durable: bool) -> None:
        """Whether every commit waits for the disk."""
        self._connection.execute(f"PRAGMA synchronous = {'full' if durable else 'normal'}")

    def _lay_out(self) -> None:
        version = "PRAGMA user_version"
        if self._one(version)[0] == 0:
            self._connection.execute("BEGIN IMMEDIATE")
            if self._one(version)[0] == 0:
                for statement in filter(str.strip, _LAYOUT.split(";\n")):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {_LAYOUT_VERSION}")
            self._connection.execute("COMMIT")
        found = self._one(version)[0]
        if found != _LAYOUT_VERSION:
            raise StoreError(f"the file has layout {found}, this version reads {_LAYOUT_VERSION}")


def _words(error: Exception) -> str:
    """SQLite's own words name tables and codes, and no values; those about texts might."""
    return "a text is not UTF-8" if isinstance(error, UnicodeError) else str(error)


def _worth_moving(expires: int, visit: Visit) -> bool:
    """Whether the end of a session moves by enough to be written down: reading a session should cost no write."""
    return abs(visit.expires - expires) > min((visit.expires - visit.now) // 10, 60_000)


def _integer(number: int) -> int:
    return min(number, _MAX)


def _make_private(path: Path) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700, parents=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if hasattr(os, "fchmod") and os.fstat(handle).st_mode & 0o077:
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)

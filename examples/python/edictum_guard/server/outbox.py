"""Where events wait until the server has them: in memory, or in a file. Bounded; what has to give way leaves a record of how much it
was.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from ..errors import StoreError

#: The file in the folder that an outbox is given.
FILE_NAME = "python-outbox.sqlite"

_LAYOUT = """
CREATE TABLE IF NOT EXISTS event (sequence INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS gap (lost INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS dead (sequence INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class Entry:
    """An event (its text), or what had to give way (how many, the first and the last of them)."""

    sequence: int
    content: str | tuple[int, int, int]


class Outbox(Protocol):
    """Keeps events in order. Thread-safe."""

    def append(self, event: str) -> None:
        """Keeps an event."""

    def front(self, limit: int) -> list[Entry]:
        """The oldest entries."""

    def settle(self, through: int, dead: list[int]) -> None:
        """Everything up to here is delivered, or (`dead`) refused for good."""

    def unsent(self) -> int:
        """Events that are neither."""


class MemoryOutbox:
    """In memory: gone with the process."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._lock = threading.Lock()
        self._events: deque[Entry] = deque()
        self._gap: tuple[int, int, int] | None = None
        self._next = 1

    def append(self, event: str) -> None:
        """See `Outbox`."""
        with self._lock:
            self._events.append(Entry(self._next, event))
            self._next += 1
            while len(self._events) > self._most:
                lost = self._events.popleft().sequence
                count, first, _ = self._gap or (0, lost, lost)
                self._gap = (count + 1, first, lost)

    def front(self, limit: int) -> list[Entry]:
        """See `Outbox`."""
        with self._lock:
            entries = [Entry(self._gap[2], self._gap)] if self._gap else []
            return entries + list(islice(self._events, limit))

    def settle(self, through: int, dead: list[int]) -> None:
        """See `Outbox`."""
        with self._lock:
            if self._gap and self._gap[2] <= through:
                self._gap = None
            while self._events and self._events[0].sequence <= through:
                self._events.popleft()

    def unsent(self) -> int:
        """See `Outbox`."""
        with self._lock:
            return len(self._events) + (1 if self._gap else 0)


class FileOutbox:
    """In an SQLite file, its owner's alone. One process at a time."""

    def __init__(self, folder: str | os.PathLike[str], most: int) -> None:
        self._most = max(1, most)
        self._lock = threading.Lock()
        path = Path(folder) / FILE_NAME
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(path, 5.0, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = wal")
            self._database.execute("PRAGMA synchronous = full")
            self._database.executescript(_LAYOUT)
            self._count = int(self._database.execute("SELECT count(*) FROM event").fetchone()[0])
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the outbox cannot be opened: {error}") from error

    def append(self, event: str) -> None:
        """See `Outbox`."""
        with self._lock, self._transaction():
            self._database.execute("INSERT INTO event (text) VALUES (?)", (event,))
            self._count += 1
            if self._count > self._most:
                self._give_way()

    def _give_way(self) -> None:
        """A tenth at a time: a full outbox should not cost a write more for each event."""
        many = max(1, self._most // 10)
        rows = self._database.execute("SELECT sequence FROM event ORDER BY sequence LIMIT ?", (many,)).fetchall()
        known = self._database.execute("SELECT lost, first FROM gap").fetchone() or (0, rows[0][0])
        self._database.execute("DELETE FROM event WHERE sequence <= ?", (rows[-1][0],))
        self._database.execute("DELETE FROM gap")
        self._database.execute("INSERT INTO gap VALUES (?, ?, ?)", (known[0] + len(rows), known[1], rows[-1][0]))
        self._count -= len(rows)

    def front(self, limit: int) -> list[Entry]:
        """See `Outbox`."""
        with self._lock:
            gap = self._database.execute("SELECT lost, first, last FROM gap").fetchone()
            rows = self._database.execute("SELECT sequence, text FROM event ORDER BY sequence LIMIT ?", (limit,))
            return ([Entry(gap[2], gap)] if gap else []) + [Entry(*row) for row in rows]

    def settle(self, through: int, dead: list[int]) -> None:
        """See `Outbox`. What is refused for good is kept apart."""
        with self._lock, self._transaction():
            for sequence in dead:
                self._database.execute(
                    "INSERT OR IGNORE INTO dead SELECT sequence, text FROM event WHERE sequence = ?", (sequence,)
                )
            self._database.execute("DELETE FROM gap WHERE last <= ?", (through,))
            self._count -= self._database.execute("DELETE FROM event WHERE sequence <= ?", (through,)).rowcount

    def unsent(self) -> int:
        """See `Outbox`."""
        return self._count

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database)


class _Transaction:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._database.execute("COMMIT" if kind is None else "ROLLBACK")

"""A store in this process's memory: gone with the process, seen by nobody else. One lock, held for microseconds."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .base import MAX_SCAN, OpenCall, Operation, Outcome, Store, Visit, incremented, missing


@dataclass
class _Session:
    expires: int = 0
    open_calls: int = 0
    #: Value and version by key.
    entries: dict[str, tuple[str, int]] = field(default_factory=dict)

    def expired(self, now: int) -> bool:
        return self.open_calls == 0 and self.expires <= now


@dataclass
class _Kept:
    call: OpenCall
    claim: int = 0
    until: int = 0


class Entries:
    """Operations on values with versions. Not thread-safe by itself."""

    def __init__(self) -> None:
        self.last_version = 0

    def perform(self, entries: dict[str, tuple[str, int]], operation: Operation) -> Outcome:
        """Carries one out."""
        (kind, what), *_ = operation.items()
        if kind == "get":
            return {"done": _entry(entries, what)}
        if kind == "increment":
            known = entries.get(what["key"])
            try:
                total = incremented(known and known[0], what["amount"])
            except ValueError as error:
                return {"failed": str(error)}
            return {"done": self._write(entries, what["key"], total)}
        if kind == "put":
            present = _entry(entries, what["key"])
            expected = what.get("expected")
            if expected is not None and expected != present["version"]:
                return {"conflict": present}
            return {"done": self._write(entries, what["key"], what["value"])}
        if kind == "delete":
            entries.pop(what, None)
            return {"done": missing()}
        if kind == "scan":
            found = sorted([key, value] for key, (value, _) in entries.items() if key.startswith(what))
            return {"found": found} if len(found) <= MAX_SCAN else {"failed": "too many keys"}
        return {"failed": "there is no such operation"}

    def _write(self, entries: dict[str, tuple[str, int]], key: str, value: str) -> dict[str, Any]:
        self.last_version += 1
        entries[key] = (value, self.last_version)
        return _entry(entries, key)


def _entry(entries: dict[str, tuple[str, int]], key: str) -> dict[str, Any]:
    known = entries.get(key)
    return missing() if known is None else {"value": known[0], "version": str(known[1])}


class MemoryStore(Store):
    """Sessions and open calls in memory."""

    blocks = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._calls: dict[tuple[str, str], _Kept] = {}
        self._memories: dict[tuple[str, str], str] = {}
        self._entries = Entries()
        self._last_claim = 0

    def perform(self, visit: Visit, operations: Sequence[Operation]) -> list[Outcome]:
        with self._lock:
            session = self._sessions.setdefault(visit.session, _Session())
            if session.expired(visit.now):
                session.entries.clear()
            session.expires = visit.expires
            return [self._entries.perform(session.entries, operation) for operation in operations]

    def open(self, call: OpenCall) -> bool:
        with self._lock:
            if (call.guard, call.call_id) in self._calls:
                return False
            self._calls[call.guard, call.call_id] = _Kept(call)
            self._sessions.setdefault(call.session, _Session()).open_calls += 1
            return True

    def find(self, guard: str, call_id: str) -> OpenCall | None:
        with self._lock:
            kept = self._calls.get((guard, call_id))
            return None if kept is None else kept.call

    def claim(
        self, guard: str, call_id: str, now: int, until: int
    ) -> tuple[OpenCall, int] | Literal["busy", "missing"]:
        with self._lock:
            kept = self._calls.get((guard, call_id))
            if kept is None:
                return "missing"
            if kept.claim and kept.until > now:
                return "busy"
            self._last_claim += 1
            kept.claim, kept.until = self._last_claim, until
            return kept.call, kept.claim

    def update(self, call: OpenCall, claim: int) -> bool:
        with self._lock:
            if self._claimed(call.guard, call.call_id, claim) is None:
                return False
            self._calls[call.guard, call.call_id] = _Kept(call)
            return True

    def release(self, guard: str, call_id: str, claim: int) -> None:
        with self._lock:
            kept = self._claimed(guard, call_id, claim)
            if kept:
                kept.claim, kept.until = 0, 0

    def close(self, guard: str, call_id: str, claim: int) -> bool:
        with self._lock:
            kept = self._claimed(guard, call_id, claim)
            if kept is None:
                return False
            del self._calls[guard, call_id]
            session = self._sessions.get(kept.call.session)
            if session:
                session.open_calls = max(0, session.open_calls - 1)
            return True

    def open_calls(self, guard: str | None, limit: int) -> list[OpenCall]:
        with self._lock:
            calls = [kept.call for kept in self._calls.values() if guard in (None, kept.call.guard)]
        return sorted(calls, key=lambda call: (call.deadline, call.call_id))[:limit]

    def due(self, guard: str, now: int, limit: int) -> list[str]:
        with self._lock:
            due = [
                (kept.call.deadline, kept.call.call_id)
                for kept in self._calls.values()
                if kept.call.guard == guard and kept.call.deadline <= now and kept.until <= now
            ]
        return [call_id for _, call_id in sorted(due)[:limit]]

    def next_deadline(self, guard: str) -> int | None:
        with self._lock:
            ends = [max(kept.until, kept.call.deadline) for kept in self._calls.values() if kept.call.guard == guard]
        return min(ends, default=None)

    def memory(self, owner: str, name: str) -> str | None:
        with self._lock:
            return self._memories.get((owner, name))

    def remember(self, owner: str, name: str, value: str | None) -> None:
        with self._lock:
            if value is None:
                self._memories.pop((owner, name), None)
            else:
                self._memories[owner, name] = value

    def expire(self, now: int) -> int:
        with self._lock:
            gone = [name for name, session in self._sessions.items() if session.expired(now)]
            for name in gone:
                del self._sessions[name]
            return len(gone)

    def _claimed(self, guard: str, call_id: str, claim: int) -> _Kept | None:
        kept = self._calls.get((guard, call_id))
        return kept if kept and kept.claim == claim else None

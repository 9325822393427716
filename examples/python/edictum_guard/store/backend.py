"""Sessions in a `StorageBackend`, as users of the Python SDK write them: four async methods on flat keys.

Such a backend keeps no versions, so of two writers of a workflow's state at the same moment one may be lost; the engine reads
again before it writes, and people are warned once. Open calls stay in this process.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from .base import Operation, Outcome, Visit
from .memory import Entries, MemoryStore


@runtime_checkable
class StorageBackend(Protocol):
    """Keeps texts and counters by key."""

    async def get(self, key: str) -> str | None:
        """The value, none when there is no such key."""

    async def set(self, key: str, value: str) -> None:
        """Writes a value."""

    async def delete(self, key: str) -> None:
        """Removes a key; no such key is no failure."""

    async def increment(self, key: str, amount: float = 1) -> float:
        """Adds to a counter, atomically, and gives the sum."""


class MemoryBackend:
    """A backend in memory, which guards can share. It has versions, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, tuple[str, int]] = {}
        self._entries = Entries()

    def perform(self, operations: Sequence[Operation]) -> list[Outcome]:
        """All of them at once."""
        with self._lock:
            return [self._entries.perform(self._values, operation) for operation in operations]

    async def get(self, key: str) -> str | None:
        """See `StorageBackend`."""
        value: str | None = self.perform([{"get": key}])[0]["done"]["value"]
        return value

    async def set(self, key: str, value: str) -> None:
        """See `StorageBackend`."""
        self.perform([{"put": {"key": key, "value": value}}])

    async def delete(self, key: str) -> None:
        """See `StorageBackend`."""
        self.perform([{"delete": key}])

    async def increment(self, key: str, amount: float = 1) -> float:
        """See `StorageBackend`."""
        outcome = self.perform([{"increment": {"key": key, "amount": int(amount)}}])[0]
        if "failed" in outcome:
            raise ValueError(outcome["failed"])
        return float(outcome["done"]["value"])

    async def batch_get(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Several values at once."""
        outcomes = self.perform([{"get": key} for key in keys])
        return {key: outcome["done"]["value"] for key, outcome in zip(keys, outcomes, strict=True)}


class BackendStore(MemoryStore):
    """Sessions in a backend, open calls in memory. `perform_async` is what steps use where there is one."""

    def __init__(self, backend: StorageBackend) -> None:
        super().__init__()
        self._backend = backend

    def perform(self, visit: Visit, operations: Sequence[Operation]) -> list[Outcome]:
        if isinstance(self._backend, MemoryBackend):
            return self._backend.perform(operations)
        return [{"failed": "the backend is asynchronous"} for _ in operations]

    @property
    def is_async(self) -> bool:
        """Whether `perform_async` is to be used."""
        return not isinstance(self._backend, MemoryBackend)

    async def perform_async(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Carries operations out: all at once where the backend can, or one after the other."""
        together = getattr(self._backend, "perform_async", None)
        if together is not None:
            try:
                outcomes: list[Outcome] = await together(operations)
                return outcomes
            except Exception as error:
                return [{"failed": f"the backend failed ({type(error).__name__})"} for _ in operations]
        return [await self._one(operation) for operation in operations]

    async def _one(self, operation: Operation) -> Outcome:
        (kind, what), *_ = operation.items()
        try:
            if kind == "get":
                return _done(await self._backend.get(what))
            if kind == "increment":
                return _done(_counter(await self._backend.increment(what["key"], what["amount"])))
            if kind == "put":
                await self._backend.set(what["key"], what["value"])
                return _done(what["value"])
            if kind == "delete":
                await self._backend.delete(what)
                return _done(None)
        except Exception as error:
            # Its words may hold values.
            return {"failed": f"the backend failed ({type(error).__name__})"}
        return {"failed": "the backend cannot list keys"}


def _done(value: object) -> Outcome:
    entry: dict[str, Any] = {"value": None if value is None else str(value)}
    return {"done": entry}


def _counter(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)

"""`ServerBackend`: the state of sessions on edictum-api."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from wasmtime.component import Variant

from ..decider import record
from ..store import Operation, Outcome
from .client import EdictumServerClient
from .errors import EdictumServerError
from .lane import Lane

#: Most instances that are kept: so many sessions may wait for the server at the same time without making new ones.
_KEPT = 8

#: Most times that an operation is submitted; the component gives up earlier.
_ATTEMPTS = 8


class ServerBackend:
    """Counters and workflow state, shared by all who use the same server. Each guard's operations go in as few requests as the
    server permits, and with versions where it offers them."""

    def __init__(self, client: EdictumServerClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._idle: list[Lane] = []

    async def get(self, key: str) -> str | None:
        """The value, none when there is no such key."""
        value: str | None = (await self._one({"get": key})).get("value")
        return value

    async def batch_get(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Several values at once. They should be of one session."""
        outcomes = await self.perform_async([{"get": key} for key in keys])
        return {key: _done(outcome).get("value") for key, outcome in zip(keys, outcomes, strict=True)}

    async def set(self, key: str, value: str) -> None:
        """Writes a value."""
        await self._one({"put": {"key": key, "value": value}})

    async def delete(self, key: str) -> None:
        """Removes a key; no such key is no failure."""
        await self._one({"delete": key})

    async def increment(self, key: str, amount: float = 1) -> float:
        """Adds to a counter, atomically, and gives the sum."""
        return float((await self._one({"increment": {"key": key, "amount": int(amount)}}))["value"])

    async def perform_async(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Carries out operations of one session, one outcome each."""
        return await self._client.host.loop.thread(lambda: self.perform(operations))

    def perform(self, operations: Sequence[Operation]) -> list[Outcome]:
        """The same on this thread."""
        with self._lock:
            lane = self._idle.pop() if self._idle else None
        if lane is None:
            lane = Lane(self._client.host, self._client.connect, lambda: ("session-store", {}, ()))
        clock = self._client.host.clock
        outcomes: list[Outcome] = [{"failed": "the server of sessions gives no answer"} for _ in operations]
        left = list(enumerate(operations))
        for attempt in range(_ATTEMPTS):
            submitted = [_typed(operation) for _, operation in left]
            (performed,) = lane.call("perform", [submitted], attempt, clock.now())
            again, put_off = 0, []
            for (place, operation), done in zip(left, performed, strict=True):
                # Of the two cases one is a time and the other an outcome with its own name.
                if isinstance(done, int):
                    again = max(again, done)
                    put_off.append((place, operation))
                else:
                    outcomes[place] = _text(done)
            left = put_off
            if not left:
                break
            time.sleep(max(0, again - clock.now()) / 1000)
        with self._lock:
            if len(self._idle) < _KEPT:
                self._idle.append(lane)
        return outcomes

    async def _one(self, operation: Operation) -> dict[str, Any]:
        return _done((await self.perform_async([operation]))[0])


def _done(outcome: Outcome) -> dict[str, Any]:
    if "failed" in outcome:
        raise EdictumServerError(0, outcome["failed"], kind="unavailable")
    entry: dict[str, Any] = outcome.get("done") or outcome.get("conflict") or {}
    return entry


def _typed(operation: Operation) -> Variant:
    (kind, what), *_ = operation.items()
    if kind == "increment":
        return Variant(kind, record(key=what["key"], amount=what["amount"]))
    if kind == "put":
        return Variant(kind, record(key=what["key"], value=what["value"], expected=what.get("expected")))
    return Variant(kind, what)


def _text(outcome: Any) -> Outcome:
    what = outcome.payload
    if outcome.tag in ("done", "conflict"):
        return {outcome.tag: {"value": what.value, "version": what.version}}
    return {outcome.tag: [list(each) for each in what] if outcome.tag == "found" else what}

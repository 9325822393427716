"""Where the decision log goes. The events are the engine's, redacted, in wire form and in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from .waits import Waits


class EventSink(Protocol):
    """Takes events of one guard, in the middle of a step."""

    async def emit(self, waits: Waits, events: Sequence[str]) -> None:
        """Keeps events (JSON each), in this order. Whatever it raises means that they cannot be kept: with the option
        `decision_log_required` the call is blocked."""


class EventBuffer:
    """Keeps the newest events in memory, up to a bound, until somebody takes them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._events: deque[str] = deque()
        self._bytes = 0
        self._dropped = 0
        self._sequence = 0

    async def emit(self, waits: Waits, events: Sequence[str]) -> None:
        """See `EventSink`."""
        with self._lock:
            for event in events:
                event = with_sequence(event, self._sequence)
                self._sequence += 1
                self._bytes += len(event)
                self._events.append(event)
            while self._bytes > self._max_bytes and self._events:
                self._bytes -= len(self._events.popleft())
                self._dropped += 1

    def take(self) -> tuple[list[str], int]:
        """The events since the last time, oldest first, and how many older ones had to go."""
        with self._lock:
            taken = list(self._events), self._dropped
            self._events.clear()
            self._bytes = self._dropped = 0
            return taken


def with_sequence(event: str, sequence: int) -> str:
    """An event with its place in this log; the rest of its text stays as it is. Events that go without ids (option
    `bare_events`) go without places too."""
    if event.startswith("{") and '"event_id":' in event:
        return f'{{"sequence":{sequence},{event[1:]}'
    return event

"""`ServerAuditSink`: the decision log, to edictum-api. Events wait in memory, or in a file that outlives the process, and are sent in
batches, in order, until the server has them. Nothing here can break a tool call.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import Any, Literal

from .. import raw
from ..audit import AuditEvent
from ..decider import record
from ..errors import EdictumError
from .client import EdictumServerClient
from .lane import Lane
from .outbox import FileOutbox, MemoryOutbox, Outbox

log = logging.getLogger("edictum_guard")

#: Entries that are handed over at a time: more than a batch has.
_MANY = 256

#: Milliseconds until a delivery is tried again whose instance ended abnormally.
_RETRY_MS = 1_000

LogState = Literal["ok", "degraded"]


class ServerAuditSink:
    """Buffers events and sends them (`audit.AuditSink`)."""

    def __init__(
        self,
        client: EdictumServerClient,
        *,
        batch_size: int = 50,
        flush_interval: float = 5.0,
        max_buffer_size: int = 10_000,
        outbox: str | None = None,
        bare_events: bool = False,
    ) -> None:
        """A batch waits for `batch_size` events, at most `flush_interval` seconds. Of more than `max_buffer_size` events the oldest
        give way to a record that says how many. `outbox`: a folder that they wait in, so that none is lost with the process.
        `bare_events`: for a server that refuses unknown fields."""
        self._client = client
        batch = max(1, min(batch_size, 1000))
        self._options = {
            "min_events": batch,
            "max_events": max(100, batch),
            "max_wait_ms": max(0, int(flush_interval * 1000)),
            "bare_events": bare_events,
        }
        self._outbox: Outbox = FileOutbox(outbox, max_buffer_size) if outbox else MemoryOutbox(max_buffer_size)
        self._bell = client.host.clock.bell()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._flushing = threading.Event()
        #: One delivery at a time.
        self._delivering = threading.Lock()
        self._lane: Lane | None = None
        self._closed = False
        self.state: LogState = "ok"
        self.last_error: str | None = None
        if self._outbox.unsent():
            self._start()

    async def emit(self, event: AuditEvent) -> None:
        """See `AuditSink`. Raises when the outbox is a file that cannot be written."""
        wire = event.wire or raw.printed({name: value for name, value in vars(event).items() if name != "wire"})
        self._outbox.append(wire)
        self._start()
        self._bell.ring()

    @property
    def unsent(self) -> int:
        """Events that the server does not have yet."""
        return self._outbox.unsent()

    async def flush(self, timeout: float = 10.0) -> None:
        """Sends what there is, as far as that can be done in this time."""
        await self._client.host.loop.thread(lambda: self.flush_now(timeout))

    def flush_now(self, timeout: float = 10.0) -> int:
        """The same on this thread. Gives the number of events that are left."""
        until = self._client.host.clock.now() + int(timeout * 1000)
        while self._outbox.unsent() and self._now() < until:
            following = self._deliver(flush=True)
            if following is not None and self._outbox.unsent():
                pause = min(following, until) - self._now()
                threading.Event().wait(max(0, pause) / 1000)
        return self._outbox.unsent()

    async def close(self) -> None:
        """Sends what there is, and ends."""
        await self.flush()
        self._closed = True
        self._bell.ring()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="edictum-log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            try:
                following = self._deliver(flush=False) if self._outbox.unsent() else None
            except Exception as error:
                log.exception("the decision log cannot be delivered")
                following = self._troubled(type(error).__name__)
            self._bell.sleep_until(following)

    def _deliver(self, *, flush: bool) -> int | None:
        """One batch at most. When to go on: at once, then, or (none) when something new has come."""
        with self._delivering:
            entries = self._outbox.front(_MANY)
            if not entries:
                return None
            pending = [record(sequence=entry.sequence, content=_content(entry.content)) for entry in entries]
            try:
                if self._lane is None:
                    options = self._options
                    self._lane = Lane(self._client.host, self._client.connect, lambda: ("decision-log", options, ()))
                delivery = self._lane.call("deliver", pending, flush, self._now())
            except EdictumError as error:
                return self._troubled(str(error))
            for notice in delivery.notices:
                log.warning("decision log: %s", json.loads(notice).get("message"))
            dead = [(sequence, why) for sequence, why in delivery.dead]
            for sequence, why in dead:
                log.error("decision log: event %d is refused for good: %s", sequence, why)
            through = getattr(delivery, "settled-through")
            if through is not None:
                self._outbox.settle(through, [sequence for sequence, _ in dead])
            if delivery.failure is not None:
                self.state, self.last_error = "degraded", delivery.failure.message
            elif through is not None:
                self.state, self.last_error = "ok", None
            following: int | None = delivery.next
            return self._now() if through is not None and self._outbox.unsent() and following is None else following

    def _troubled(self, message: str) -> int:
        log.error("decision log: %s", message)
        self.state, self.last_error = "degraded", message
        return self._now() + _RETRY_MS

    def _now(self) -> int:
        return self._client.host.clock.now()


def _content(content: str | tuple[int, int, int]) -> Any:
    """`content`: the text of an event, or a gap. The cases are told apart by their types."""
    if isinstance(content, str):
        return content
    count, first, last = content
    return record(count=count, first_sequence=first, last_sequence=last)

"""What a guard has of its server: rules that are kept new, sessions, approvals, and the way of its decision log."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..errors import ConflictError, EdictumError, NotFoundError
from ..guard import Guard, Ruleset
from ..store import MemoryStore, Store
from .approvals import ApprovalQueue, Request
from .client import EdictumServerClient
from .errors import EdictumServerError
from .log import ServerAuditSink
from .source import Release, RulesetSource, Watching

if TYPE_CHECKING:
    from ..core import Core
    from ..waits import Waits

log = logging.getLogger("edictum_guard")

#: Under these owners a store has what the parts remember; the same as of the reference host.
_SOURCES = "edictum-server"
_APPROVALS = "edictum-approval"

#: Milliseconds that a call which waits for a server has more than its deadline: the last look is asked at the deadline, and its
#: answer takes time. The queue ends it; this is for when there is no queue any more.
GRACE_MS = 120_000


class Asker:
    """Asks people about the calls of one guard."""

    def __init__(self, queue: ApprovalQueue) -> None:
        self._queue = queue

    def submit(self, core: Core, call_id: str, approval: str) -> None:
        """Asks. A second time, also after a restart, changes nothing."""
        reference = _reference(core.name, call_id, approval)
        store = core.store

        def created(_: str, memory: str) -> None:
            store.remember(_APPROVALS, reference, memory)

        def settled(outcome: dict[str, Any], at: int) -> None:
            if not core.closed:
                store.remember(_APPROVALS, reference, None)
            core.host.threads.start(lambda: _settle(core, call_id, outcome, at))

        self._queue.submit(Request(reference, approval, store.memory(_APPROVALS, reference), created, settled))

    def forget(self, core: Core, call_id: str, approval: str) -> None:
        """The call does not wait any more."""
        self._queue.forget(_reference(core.name, call_id, approval))


class ServerConnection:
    """See the module."""

    def __init__(
        self,
        client: EdictumServerClient,
        options: dict[str, Any],
        *,
        store: Store | None,
        sink: ServerAuditSink | None,
        asks: bool,
        on_error: Callable[[Exception], object],
    ) -> None:
        self.client = client
        self.sink = sink
        self.store: Store = store or MemoryStore()
        self._on_error = on_error
        self._memory_name = _digest(json.dumps([client.connect.options(), client.bundle_name, options], sort_keys=True))
        self._queue = ApprovalQueue(client) if asks else None
        self.asker = Asker(self._queue) if self._queue else None
        self._make: Callable[[Ruleset], Guard] | None = None
        self._guard: Guard | None = None
        self._first: Future[Guard] = Future()
        self._bundle_name = client.bundle_name
        watching = Watching(self._apply, self._failed, self._trouble, self._wake, self._keep, self._recall)
        self._source = RulesetSource(client, options, watching)

    def start(self, make: Callable[[Ruleset], Guard]) -> Future[Guard]:
        """Fetches, or is assigned, the first rules, and makes the guard of them. May block for a moment."""
        self._make = make
        self.client.host.lanes()
        self._source.start()
        return self._first

    def refresh(self) -> Future[str]:
        """Fetches the rules now."""
        return self._source.refresh()

    def health(self) -> dict[str, Any]:
        """As `health` of the driver protocol."""
        found: dict[str, Any] = {"policy_version": "", "stream": "degraded", "last_error": None}
        try:
            found.update(self._source.health())
        except EdictumError as error:
            found["last_error"] = str(error)
        if self._guard is not None:
            found["policy_version"] = self._guard.policy_version
        found["log"] = self.sink.state if self.sink else "off"
        found["unsent_events"] = self.sink.unsent if self.sink else 0
        if found.get("last_error") is None:
            found["last_error"] = self.sink.last_error if self.sink else None
        return {name: value for name, value in found.items() if value is not None}

    @property
    def bundle_name(self) -> str | None:
        """The ruleset's name on the server."""
        return self._bundle_name

    async def close(self) -> int:
        """Ends it; events that wait are sent. Gives the number of those that could not be."""
        self._source.close()
        if self._queue is not None:
            self._queue.close()
        if self.sink is None:
            return 0
        await self.sink.close()
        return self.sink.unsent

    def _apply(self, release: Release) -> None:
        ruleset = Ruleset(release.name, release.text)
        # Verified in the component, under the source's keys.
        if self._guard is not None:
            self._guard.blocking.reload([ruleset])
        elif self._make is not None:
            self._guard = self._make(ruleset)
        self._bundle_name = release.name
        if not self._first.done() and self._guard is not None:
            self._first.set_result(self._guard)

    def _failed(self, error: EdictumError) -> None:
        if not self._first.done():
            self._first.set_exception(error)
        self._on_error(error)

    def _trouble(self, error: EdictumError) -> None:
        self._on_error(error)

    def _wake(self, approval_ids: list[str]) -> None:
        if self._queue is not None:
            self._queue.wake(approval_ids)

    def _keep(self, memory: str) -> None:
        try:
            self.store.remember(_SOURCES, self._memory_name, memory)
        except EdictumError as error:
            log.error("what is known of the server's rulesets cannot be kept: %s", error)

    def _recall(self) -> str | None:
        try:
            return self.store.memory(_SOURCES, self._memory_name)
        except EdictumError as error:
            log.warning("the memory of a ruleset source cannot be read: %s", error)
            return None


def _settle(core: Core, call_id: str, outcome: dict[str, Any], at: int) -> None:
    from ..begin import settle_now
    from ..waits import done

    waits: Waits = core.host.here
    if core.closed:
        return
    try:
        done(settle_now(core, waits, call_id, outcome, at))
    except (NotFoundError, ConflictError):
        # Somebody else was faster.
        pass
    except EdictumError as error:
        log.error("guard `%s`: decided call `%s` cannot be settled: %s", core.name, call_id, error)


def _reference(guard: str, call_id: str, approval: str) -> str:
    """The same for the same question about the same call, also after a restart: the server knows it again."""
    digest = hashlib.sha256()
    for text in (guard, call_id, approval):
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ["Asker", "EdictumServerError", "GRACE_MS", "ServerConnection"]

"""What a guard is made of, shared by the steps of its calls: an identity, a policy, a store, and somebody to answer for it.

| module | what |
|---|---|
| `guard` | how one is made and its rulesets exchanged; what others see of it |
| `steps` | the loop: step, answer what is asked, step again |
| `begin` | before a tool runs: `begin`, and `settle` after an `ask` |
| `finish` | after it ran |
| `due` | deadlines of open calls |
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from . import raw
from .decision import Decision
from .due import Alarm
from .errors import ClosedError, EdictumConfigError, StoreError
from .events import EventSink
from .host import Host
from .policy import Policy
from .questions import STORE_DEADLINE, Callbacks
from .store import OpenCall, Store
from .waits import NoAnswer, Waits

T = TypeVar("T")

log = logging.getLogger("edictum_guard")

#: Members of a call's text that are the host's: what a caller writes there is left out.
HOST_MEMBERS = ("session_id", "call_id", "parent_session_id", "agent_id", "static_principal")

#: So many calls that were settled by their deadline are remembered: an answer may still be on its way.
EXPIRED = 256

_NOTICES = '"notices":['


@dataclass(frozen=True)
class Call:
    """A call to be judged: the members of its text (`wit/schemas/call.schema.json`), and the host's own beside them."""

    members: raw.Members
    #: None: the guard's own session.
    session_id: str | None = None
    #: None: a new one. Unique in the guard.
    call_id: str | None = None
    #: The session that started this one.
    parent_session_id: str | None = None


@dataclass
class Copy:
    """A copy of an open call, for when the store is lost after the tool has run."""

    open: OpenCall
    #: It never was in the store: the store failed, and the guard only observes.
    stranded: bool


class Asker(Protocol):
    """Asks people about calls."""

    def submit(self, core: Core, call_id: str, approval: str) -> None:
        """Asks. A second time changes nothing."""

    def forget(self, core: Core, call_id: str, approval: str) -> None:
        """The call does not wait any more."""


class Core:
    """See the module."""

    def __init__(
        self,
        host: Host,
        name: str,
        *,
        policy: Policy,
        store: Store,
        callbacks: Callbacks,
        session_id: str,
        agent_id: str | None,
        sink: EventSink | None,
    ) -> None:
        self.host = host
        self.name = name
        self.policy = policy
        self.store = store
        self.callbacks = callbacks
        self.session_id = session_id
        self.agent_id = agent_id
        self.sink = sink
        #: JSON, or nobody.
        self.principal: str | None = None
        self.closed = False
        self.lock = threading.Lock()
        self.copies: dict[str, Copy] = {}
        self.waiters: dict[str, list[Future[Decision]]] = {}
        self.expired: deque[Decision] = deque(maxlen=EXPIRED)
        #: The earliest deadline that a timer is set for.
        self.armed: int | None = None
        #: Held by who does what is due.
        self.at_work = threading.Lock()
        #: Who asks people, when it is not the program; and how much later than at its deadline a call is given up then.
        self.asker: Asker | None = None
        self.grace_ms = 0
        #: What the timers hold, weakly.
        self.alarm = Alarm(self)
        self._noticed: set[object] = set()

    def now(self) -> int:
        """Now."""
        return self.host.clock.now()

    def check_open(self) -> None:
        """Raises when the guard is closed."""
        if self.closed:
            raise ClosedError

    @asynccontextmanager
    async def turn(self, waits: Waits, session: str) -> AsyncIterator[None]:
        """Waits until it is this step's turn in its session."""
        async with self.host.turns.take(waits, (id(self.store), session)):
            yield

    def call_text(self, call: Call, session_id: str | None, call_id: str | None) -> str:
        """The text that the engine gets: the caller's members as they came, without those that are the host's, then these."""
        own = [
            ("session_id", session_id),
            ("call_id", call_id),
            ("parent_session_id", call.parent_session_id),
            ("agent_id", self.agent_id),
        ]
        parts = [part for part in call.members if part[0] not in HOST_MEMBERS]
        parts += [(name, raw.quoted(value)) for name, value in own if value is not None]
        principal = self.principal
        if principal is not None:
            parts.append(("static_principal", principal))
        return raw.joined(parts)

    async def in_store(self, waits: Waits, work: Callable[[Store], T]) -> T:
        """One thing in the store, on a thread where it may block.

        Raises:
            StoreError: it failed.
        """
        store = self.store
        if not (store.blocks and waits.in_loop):
            return work(store)
        try:
            return await waits.future(self.host.threads.start(lambda: work(store)), STORE_DEADLINE)
        except NoAnswer as error:
            raise StoreError(str(error)) from None

    async def emit(self, waits: Waits, events: Sequence[str]) -> str | None:
        """Hands events to the sink. Gives the reason when they cannot be kept."""
        if self.sink is None or not events:
            return None
        try:
            await self.sink.emit(waits, events)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    async def emit_or_log(self, waits: Waits, events: Sequence[str]) -> None:
        """The same where it is too late to block anything."""
        reason = await self.emit(waits, events)
        if reason:
            log.error("guard `%s`: %d events are lost: %s", self.name, len(events), reason)

    def notice(self, detail: str) -> None:
        """Tells people, once, what the engine wants them to know."""
        if _NOTICES not in detail:
            return
        for notice in json.loads(detail).get("notices") or []:
            code, message = (
                (notice.get("code"), notice.get("message")) if isinstance(notice, dict) else (notice, notice)
            )
            if code not in self._noticed:
                self._noticed.add(code)
                log.warning("guard `%s`: %s", self.name, message)


def principal_text(principal: object) -> str | None:
    """A principal as it goes into call texts: one JSON object.

    Raises:
        EdictumConfigError: it is none.
    """
    if principal is None:
        return None
    text = principal if isinstance(principal, str) else raw.printed(principal)
    try:
        raw.members(text)
    except ValueError:
        raise EdictumConfigError("`principal` must be a JSON object") from None
    return text.strip()

"""What a driver has open: guards by name with the events they gave, stores by folder, and whose session a call is in."""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass, field

from ..edictum import Edictum
from ..events import EventBuffer
from ..guard import Guard
from ..host import Host
from ..store import MemoryStore, SqliteStore, Store
from .lanes import ANY, Lanes, Place
from .protocol import Refusal, Request

#: Bytes of events that wait to be asked for, for each guard. Older ones give way to a gap record.
MAX_EVENT_BYTES = 64 << 20

_IN_ORDER = ("begin", "approve", "finish", "counters", "workflow")


@dataclass
class Open:
    """An open guard."""

    guard: Guard
    events: EventBuffer
    #: Name of its first ruleset: what a reload is called.
    ruleset: str
    #: Sessions of the calls that are open.
    calls: dict[str, str] = field(default_factory=dict)
    #: What a server-backed guard is part of.
    edictum: Edictum | None = None


class Session:
    """See the module."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._guards: dict[str, Open] = {}
        self._stores: weakref.WeakValueDictionary[str, SqliteStore] = weakref.WeakValueDictionary()
        self._lanes = Lanes()
        #: What sources of rulesets remember, while this process lives.
        self.memory: Store = MemoryStore()
        self._lock = threading.Lock()

    def guard(self, name: str) -> Open:
        """The guard of this name."""
        with self._lock:
            known = self._guards.get(name)
        if known is None:
            raise Refusal("not-found", f"there is no open guard `{name}`")
        return known

    def insert(self, name: str, opened: Open) -> None:
        """Keeps a guard."""
        with self._lock:
            self._guards[name] = opened

    def close(self, name: str) -> int:
        """Closes the guard of this name, if there is one. Gives the number of its events that no server has got."""
        with self._lock:
            known = self._guards.pop(name, None)
        unsent = 0
        if known is not None:
            if known.edictum is not None:
                unsent = self.host.threads.spawn(known.edictum.close()).result()
            known.guard.close()
            self.host.pool.tidy()
        return unsent

    def close_all(self) -> None:
        """Closes all of them."""
        for name in list(self._guards):
            self.close(name)

    def run_due(self) -> None:
        """Does what the clock has made due, in every guard."""
        with self._lock:
            known = list(self._guards.values())
        for opened in known:
            opened.guard.run_due()

    def store(self, folder: str, *, durable: bool) -> Store:
        """Guards of one folder share one store."""
        key = os.path.realpath(folder)
        with self._lock:
            known = self._stores.get(key)
            if known is None:
                known = self._stores[key] = SqliteStore(folder, durable=durable)
            return known

    def place(self, request: Request) -> Place:
        """The place of a request in the order of its session."""
        if request.op not in _IN_ORDER:
            return ANY
        try:
            name, session, call = request.maybe("guard"), request.maybe("session_id"), request.maybe("call_id")
            waits = request.op == "approve" and request.maybe("outcome") is None
        except Refusal:
            return ANY
        known = self._guards.get(name or "")
        if known is None or waits:
            return ANY
        if session is None:
            session = known.calls.get(call or "")
        elif call is not None and request.op == "begin":
            # Known before it begins: what comes behind it may be about this call.
            known.calls[call] = session
        return ANY if session is None else self._lanes.place(f"{name}\0{session}")

"""Deadlines of open calls, for all guards of a host, on one thread: it sleeps until the earliest, and then lets that guard do
what is due. From time to time it lets stores forget what has expired.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import weakref
from typing import Protocol

from .clock import Clock
from .errors import StoreError
from .store import Store
from .threads import Threads

log = logging.getLogger("edictum_guard")

#: Milliseconds between two looks for expired sessions.
SWEEP_EVERY = 600_000


class Due(Protocol):
    """What has deadlines."""

    def run_due(self) -> None:
        """Does what is due now."""


class Timers:
    """Ends with its host."""

    def __init__(self, clock: Clock, threads: Threads) -> None:
        self._clock = clock
        self._threads = threads
        self._lock = threading.Lock()
        self._due: list[tuple[int, int, weakref.ref[Due]]] = []
        self._numbers = itertools.count()
        self._stores: weakref.WeakSet[Store] = weakref.WeakSet()
        self._started = False
        self.bell = clock.bell()

    def forget(self) -> None:
        """After a fork, in the child: its thread is not there. Who has deadlines sets them anew."""
        self.__init__(self._clock, self._threads)  # type: ignore[misc]

    def arm(self, guard: Due, deadline: int) -> None:
        """Lets `guard` do what is due at `deadline`."""
        with self._lock:
            entry = (deadline, next(self._numbers), weakref.ref(guard))
            heapq.heappush(self._due, entry)
            earliest = self._due[0] is entry
        self._start()
        if earliest:
            self.bell.ring()

    def sweep(self, store: Store) -> None:
        """Lets a store forget what has expired, from now on."""
        with self._lock:
            self._stores.add(store)
        self._start()

    def _start(self) -> None:
        with self._lock:
            if self._started:
                return
            self._started = True
        threading.Thread(target=_run, args=(weakref.ref(self), self._clock), name="edictum-timers", daemon=True).start()

    def next(self) -> int | None:
        """The earliest deadline."""
        with self._lock:
            return self._due[0][0] if self._due else None

    def take_due(self, now: int) -> None:
        """Starts what is due, each guard once."""
        guards: dict[int, Due] = {}
        with self._lock:
            while self._due and self._due[0][0] <= now:
                guard = heapq.heappop(self._due)[2]()
                if guard is not None:
                    guards[id(guard)] = guard
        for guard in guards.values():
            self._threads.start(guard.run_due)

    def expire(self, now: int) -> None:
        """Starts to look for sessions that nobody came to in time."""
        with self._lock:
            stores = list(self._stores)
        for store in stores:
            self._threads.start(lambda store=store: _expire(store, now))  # type: ignore[misc]


def _expire(store: Store, now: int) -> None:
    try:
        store.expire(now)
    except StoreError as error:
        log.warning("expired sessions cannot be forgotten: %s", error)


def _run(known: weakref.ref[Timers], clock: Clock) -> None:
    sweep = clock.now() + SWEEP_EVERY
    while True:
        timers = known()
        if timers is None:
            return
        deadline, bell = timers.next(), timers.bell
        del timers
        bell.sleep_until(sweep if deadline is None else min(deadline, sweep))
        timers = known()
        if timers is None:
            return
        now = clock.now()
        timers.take_due(now)
        # Also when the clock was set back.
        if now >= sweep or now + SWEEP_EVERY < sweep:
            sweep = now + SWEEP_EVERY
            timers.expire(now)
        del timers

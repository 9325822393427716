"""A lock per session, so that its steps run in order: first come, first served, threads and coroutines alike. It is held for
one step, never while a tool runs or a person thinks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Hashable
from concurrent.futures import Future
from contextlib import asynccontextmanager

from .waits import Waits


class Turns:
    """The sessions that have a step running, and who waits for each."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[Future[None]]] = {}
        self._lock = threading.Lock()

    def forget(self) -> None:
        """After a fork, in the child: nobody has a turn."""
        self.__init__()  # type: ignore[misc]

    @asynccontextmanager
    async def take(self, waits: Waits, key: Hashable) -> AsyncIterator[None]:
        """Waits until it is the caller's turn, and holds it."""
        mine: Future[None] | None = None
        with self._lock:
            queue = self._waiting.get(key)
            if queue is None:
                self._waiting[key] = deque()
            else:
                mine = Future()
                queue.append(mine)
        if mine is not None:
            try:
                await waits.future(mine)
            except BaseException:
                # Given up. If it had just become our turn, it is the next one's.
                if not mine.cancel():
                    self._pass_on(key)
                raise
        try:
            yield
        finally:
            self._pass_on(key)

    def _pass_on(self, key: Hashable) -> None:
        with self._lock:
            queue = self._waiting[key]
            following = None
            while queue and following is None:
                candidate = queue.popleft()
                following = candidate if candidate.set_running_or_notify_cancel() else None
            if following is None:
                del self._waiting[key]
        if following is not None:
            following.set_result(None)

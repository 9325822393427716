"""The order of requests about one session, when they run at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from types import TracebackType


class Place:
    """A place in a lane: entered when all before it are done."""

    def __init__(self, before: Future[None] | None, mine: Future[None] | None) -> None:
        self._before = before
        self._mine = mine

    def __enter__(self) -> None:
        if self._before is not None:
            self._before.result()

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._mine is not None:
            self._mine.set_result(None)


#: A place that waits for nobody.
ANY = Place(None, None)


class Lanes:
    """One for each session that has requests under way."""

    def __init__(self) -> None:
        self._last: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    def place(self, session: str) -> Place:
        """The next place in the lane of a session."""
        mine: Future[None] = Future()
        with self._lock:
            for known in [known for known, last in self._last.items() if last.done()]:
                del self._last[known]
            before = self._last.get(session)
            self._last[session] = mine
        return Place(before, mine)

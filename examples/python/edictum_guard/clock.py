"""The time that guards see: the system's, or counted from a moment that a test has set. Everything that the engine or a store
is told about time comes from here; deadlines of single steps, callbacks and commands are real time.
"""

from __future__ import annotations

import threading
import time
import weakref

#: The latest moment a clock can be set to: the year 9999 is over by then.
LATEST = 253_402_300_800_000

#: Seconds after which a system clock that was put right is noticed.
_LONGEST_SLEEP = 60.0


class Clock:
    """A clock of a host, shared by all its guards. Milliseconds since 1970-01-01T00:00:00Z."""

    def __init__(self) -> None:
        self._offset = 0
        self._bells: weakref.WeakSet[Bell] = weakref.WeakSet()

    def now(self) -> int:
        """Now."""
        return max(0, _system() + self._offset)

    def set(self, now: int) -> None:
        """From now on it is `now`, and time goes on from there. What is due by then starts at once."""
        self._offset = min(now, LATEST) - _system()
        for bell in list(self._bells):
            bell.ring()

    def bell(self) -> Bell:
        """Something to sleep with. Rings when the clock is set."""
        bell = Bell(self)
        self._bells.add(bell)
        return bell


class Bell:
    """For one who sleeps until a deadline, or until something happens."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = threading.Event()

    def ring(self) -> None:
        """Wakes who sleeps, or who will next."""
        self._rung.set()

    def sleep_until(self, deadline: int | None) -> None:
        """Waits until then (none: for long), or until it rings."""
        left = _LONGEST_SLEEP if deadline is None else max(0, deadline - self._clock.now()) / 1000
        self._rung.wait(min(left, _LONGEST_SLEEP))
        self._rung.clear()


def _system() -> int:
    return time.time_ns() // 1_000_000

"""The time that guards see: the system's, or counted from a moment that a test has set. Everything that the engine or a store
is told about time comes from here; deadlines of single steps, callbacks and commands are real time.
"""

from __future__ import annotations

import threading
import time

#: The latest moment a clock can be set to: the year 9999 is over by then.
LATEST = 253_402_300_800_000

#: Seconds after which a system clock that was put right is noticed.
_LONGEST_SLEEP = 60.0


class Clock:
    """A clock of a host, shared by all its guards. Milliseconds since 1970-01-01T00:00:00Z."""

    def __init__(self) -> None:
        self._offset = 0
        self._changed = threading.Condition()
        self._nudged = False

    def now(self) -> int:
        """Now."""
        return max(0, _system() + self._offset)

    def set(self, now: int) -> None:
        """From now on it is `now`, and time goes on from there. What is due by then starts at once."""
        self._offset = min(now, LATEST) - _system()
        self.nudge()

    def nudge(self) -> None:
        """Wakes who sleeps, so that it looks at its deadlines again."""
        with self._changed:
            self._nudged = True
            self._changed.notify_all()

    def sleep_until(self, deadline: int) -> None:
        """Waits until then, or until the clock is set or nudged. One waiter only: the timers."""
        with self._changed:
            if not self._nudged:
                self._changed.wait(min(max(0, deadline - self.now()) / 1000, _LONGEST_SLEEP))
            self._nudged = False


def _system() -> int:
    return time.time_ns() // 1_000_000

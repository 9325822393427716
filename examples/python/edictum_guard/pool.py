"""Deciders for the whole process: about one per core, any of which serves any call of any guard. One that ended abnormally is
dropped, and the next caller gets a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .decider import Abnormal, Bounds, Code, Decider, Refused
from .policy import Policy

T = TypeVar("T")

#: Seconds to wait until one of them is free. Longer than a step may take.
LONGEST_WAIT = 30.0


class Pool:
    """See the module."""

    def __init__(self, code: Code, bounds: Bounds, size: int, in_use: Callable[[bytes], bool]) -> None:
        self._code = code
        self._bounds = bounds
        self._size = max(1, size)
        self._in_use = in_use
        self._idle: list[Decider] = []
        self._lock = threading.Lock()
        self._seats = threading.BoundedSemaphore(self._size)

    def decide(self, policy: Policy, work: Callable[[Decider, Any], T]) -> T:
        """One thing in a decider that holds this policy, compiled there now if it was not. May wait."""
        self._take_seat()
        try:
            decider = self._take(policy)
            if decider is None or not self._readied(decider, policy):
                decider = Decider(self._code, self._bounds)
            return self._work(decider, lambda decider: work(decider, decider.policy(policy)))
        finally:
            self._seats.release()

    def decide_now(self, policy: Policy, work: Callable[[Decider, Any], T]) -> tuple[T] | None:
        """The same, when a decider that holds the policy is idle; otherwise none. Never waits and compiles nothing."""
        if not self._seats.acquire(blocking=False):
            return None
        try:
            with self._lock:
                place = self._holder(policy)
                decider = None if place is None else self._idle.pop(place)
            if decider is None:
                return None
            return (self._work(decider, lambda decider: work(decider, decider.policy(policy))),)
        finally:
            self._seats.release()

    def ask(self, work: Callable[[Decider], T]) -> T:
        """One thing in any decider. May wait."""
        self._take_seat()
        try:
            return self._work(self._take(None) or Decider(self._code, self._bounds), work)
        finally:
            self._seats.release()

    def forget(self) -> None:
        """After a fork, in the child: an instance may have been in the middle of a call."""
        self._idle = []
        self._lock = threading.Lock()
        self._seats = threading.BoundedSemaphore(self._size)

    def tidy(self) -> None:
        """Lets idle deciders give back what no guard uses any more."""
        with self._lock:
            idle, self._idle = self._idle, []
        for decider in idle:
            self._give_back(decider)

    def _take_seat(self) -> None:
        if not self._seats.acquire(timeout=LONGEST_WAIT):
            raise Abnormal("every decider is busy")

    def _take(self, policy: Policy | None) -> Decider | None:
        """An idle decider that holds the policy, or else any."""
        with self._lock:
            place = None if policy is None else self._holder(policy)
            if place is not None:
                return self._idle.pop(place)
            return self._idle.pop() if self._idle else None

    def _holder(self, policy: Policy) -> int | None:
        places = range(len(self._idle) - 1, -1, -1)
        return next((place for place in places if self._idle[place].holds(policy)), None)

    def _readied(self, decider: Decider, policy: Policy) -> bool:
        """A decider with much in it may fail to compile one more policy where a new one does not."""
        fresh = decider.is_fresh
        try:
            decider.policy(policy)
        except Abnormal:
            if fresh:
                raise
            return False
        return True

    def _work(self, decider: Decider, work: Callable[[Decider], T]) -> T:
        try:
            result = work(decider)
        except Refused:
            self._give_back(decider)
            raise
        # Whatever else is raised leaves an instance that is not used again.
        self._give_back(decider)
        return result

    def _give_back(self, decider: Decider) -> None:
        if not decider.tidy(self._in_use):
            return
        with self._lock:
            # While some were being tidied, others may have been made.
            if len(self._idle) < self._size:
                self._idle.append(decider)

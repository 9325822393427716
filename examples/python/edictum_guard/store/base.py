"""What every store can do, and the words for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

#: The version of a key that is not there. Versions of values are never used twice, so a value that was removed and written
#: again does not look unchanged.
MISSING_VERSION = "0"

#: Most keys that one `scan` gives.
MAX_SCAN = 10_000

#: One step on one key, as the engine asks for it: `{"get": key}`, `{"increment": {"key", "amount"}}`,
#: `{"put": {"key", "value", "expected"?}}`, `{"delete": key}`, `{"scan": prefix}`.
Operation = dict[str, Any]

#: How it went: `{"done": {"value", "version"}}`, `{"conflict": …}`, `{"found": [[key, value], …]}`, `{"failed": why}`.
Outcome = dict[str, Any]

CallState = Literal["asking", "allowed"]


@dataclass(frozen=True)
class Visit:
    """Whose session a batch of operations is for, and when. A session with an open call outlives `expires`."""

    session: str
    now: int
    expires: int


@dataclass(frozen=True)
class OpenCall:
    """A call between two of its steps: it waits for a person (`asking`) or for the tool (`allowed`)."""

    guard: str
    call_id: str
    session: str
    #: The call's text as the engine got it, and all that the engine knows of it. They may hold secrets.
    call: str = field(repr=False)
    ticket: str = field(repr=False)
    #: What a person is asked, redacted (JSON).
    approval: str | None = field(repr=False)
    state: CallState
    #: When waiting ends.
    deadline: int


class Store(ABC):
    """Keeps sessions and open calls. All methods may be called from many threads at once.

    An operation on one key is atomic, also against other processes where the store is shared. Expired sessions are as good as
    removed for every method. A method that fails raises `StoreError`, and has changed nothing.
    """

    #: Whether a call may take long enough (a disk, a network) to need a thread of its own.
    blocks = True

    #: Whether other processes may change what is in it.
    shared = False

    @abstractmethod
    def perform(self, visit: Visit, operations: Sequence[Operation]) -> list[Outcome]:
        """Carries out the operations of one session, in their order."""

    @abstractmethod
    def open(self, call: OpenCall) -> bool:
        """Keeps a call that has begun. False: there is one with this id already."""

    @abstractmethod
    def find(self, guard: str, call_id: str) -> OpenCall | None:
        """Reads an open call."""

    @abstractmethod
    def claim(
        self, guard: str, call_id: str, now: int, until: int
    ) -> tuple[OpenCall, int] | Literal["busy", "missing"]:
        """Takes an open call for a step, so that of two who settle or finish it only one does. The number is the claim; it
        ends by itself at `until`, so that a process that dies loses nothing."""

    @abstractmethod
    def update(self, call: OpenCall, claim: int) -> bool:
        """Writes a claimed call back, changed, and gives the claim up. False: the claim had ended."""

    @abstractmethod
    def release(self, guard: str, call_id: str, claim: int) -> None:
        """Gives a claim up and leaves the call as it was."""

    @abstractmethod
    def close(self, guard: str, call_id: str, claim: int) -> bool:
        """Removes a claimed call. False: the claim had ended."""

    @abstractmethod
    def open_calls(self, guard: str | None, limit: int) -> list[OpenCall]:
        """Open calls, of one guard or of all, in the order of their deadlines."""

    @abstractmethod
    def due(self, guard: str, now: int, limit: int) -> list[str]:
        """Ids of calls whose deadline has come and that nobody has claimed."""

    @abstractmethod
    def next_deadline(self, guard: str) -> int | None:
        """When `due` will next give something."""

    @abstractmethod
    def memory(self, owner: str, name: str) -> str | None:
        """What a part of a guard keeps under this name."""

    @abstractmethod
    def remember(self, owner: str, name: str, value: str | None) -> None:
        """Keeps a text for a part of a guard; none removes it."""

    @abstractmethod
    def expire(self, now: int) -> int:
        """Removes sessions that nobody came to in time, and gives their number."""


def missing() -> dict[str, Any]:
    """The entry of a key that is not there."""
    return {"value": None, "version": MISSING_VERSION}


def incremented(value: str | None, amount: int) -> str:
    """A counter after `amount` was added.

    Raises:
        ValueError: it is none, or at its end.
    """
    if value is None:
        return str(amount)
    if not value.lstrip("+-").isascii() or not value.lstrip("+-").isdigit() or len(value) > 20:
        raise ValueError("a counter is not an integer")
    total = int(value) + amount
    if not -(1 << 63) <= total < 1 << 63:
        raise ValueError("a counter is at its end")
    return str(total)

"""What a process has one of: the component, its deciders, the clock, the threads. Guards share them."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from . import component, links
from .clock import Clock
from .decider import Abnormal, Bounds, Code, Decider, Refused
from .errors import Diagnostic, EdictumConfigError, EngineError, SignatureError
from .links import Link
from .policy import Document, Links, Policy, Source
from .pool import Pool
from .threads import Threads
from .timers import Timers
from .turns import Turns
from .waits import Here, Loop, Waits

T = TypeVar("T")

log = logging.getLogger("edictum_guard")

#: A step with at most so many bytes of text is done in the event loop, when a decider is free: it takes microseconds.
INLINE = 16 * 1024

_WHY = {
    "missing-signature": "it has no signature",
    "malformed-signature": "its signature is malformed",
    "malformed-key": "a trusted key is malformed",
    "no-trusted-key": "there is no trusted key",
    "mismatch": "its signature does not match",
}


class Host:
    """See the module. `default()` is the one that guards use when they are not given another."""

    _all: weakref.WeakSet[Host] = weakref.WeakSet()
    _default: Host | None = None
    _default_lock = threading.Lock()

    def __init__(
        self,
        *,
        binary: bytes | None = None,
        deciders: int | None = None,
        bounds: Bounds | None = None,
        callback_deadline: float = 30.0,
    ) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.turns = Turns()
        self.timers = Timers(self.clock, self.threads)
        self.callback_deadline = callback_deadline
        self.here: Waits = Here(self.threads)
        self.loop: Waits = Loop(self.threads)
        self._policies: dict[bytes, weakref.WeakSet[Policy]] = {}
        self._in_use: weakref.WeakValueDictionary[bytes, Policy] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()
        self._lanes_lock = threading.Lock()
        self.engine = component.engine()
        code = Code(self.engine, component.load(self.engine, binary or component.find()))
        component.tick(self.engine)
        self._lanes: Code | None = None
        Host._all.add(self)
        self.pool = Pool(code, bounds or Bounds(), deciders or os.cpu_count() or 1, self._in_use.__contains__)

    @classmethod
    def default(cls) -> Host:
        """The process's own, made when it is first needed."""
        with cls._default_lock:
            if cls._default is None:
                cls._default = cls()
            return cls._default

    def _forget(self) -> None:
        """After a fork, in the child: there are no threads but this one, and nobody holds a lock."""
        self._lock = threading.Lock()
        self._lanes_lock = threading.Lock()
        for part in (self.threads, self.turns, self.timers, self.pool):
            part.forget()
        component.tick(self.engine)

    @classmethod
    def _forked(cls) -> None:
        cls._default_lock = threading.Lock()
        for host in list(cls._all):
            host._forget()

    # Documents.

    def check(self, source: Source) -> list[Diagnostic]:
        """All findings about documents; empty when they load without a remark."""
        return self._ask(lambda decider: decider.check(source))

    def describe(self, source: Source) -> str:
        """What documents say: rules, tools, limits, `needs`, names of variables (JSON)."""
        return self._ask(lambda decider: decider.describe(source))

    def templates(self) -> list[Document]:
        """The rulesets that come with the engine."""
        return self._ask(lambda decider: decider.templates())

    def verify(self, text: str, signature: str, keys: Sequence[str]) -> str:
        """Which of these keys (64 hex digits each) signed this text. `signature`: base64 or hex.

        Raises:
            SignatureError: none of them did.
        """
        good, what = self._ask(lambda decider: decider.verify(text, signature, list(keys)))
        if not good:
            raise SignatureError(_WHY.get(what, what))
        return what

    def members(self, text: str) -> list[tuple[str, str]]:
        """The members of an object, as texts.

        Raises:
            ValueError: it is none, or a name stands in it twice.
        """
        found = self._ask(lambda decider: decider.members(text))
        if isinstance(found, str):
            raise ValueError(found)
        return found

    def lanes(self) -> Code:
        """The component that talks to edictum-api, compiled when it is first needed. May take a while."""
        with self._lanes_lock:
            if self._lanes is None:
                self._lanes = Code(self.engine, component.load(self.engine, component.find_guard()))
            return self._lanes

    # Policies.

    def policy(self, source: Source) -> Policy:
        """The policy that these texts make. Guards with the same texts get the same one, as long as the file system still says
        the same about its boundaries.

        Raises:
            EdictumConfigError: they do not load.
        """
        key = source.key()
        with self._lock:
            known = list(self._policies.get(key, ()))
        for policy in known:
            if policy.unchanged(self._read_links):
                return policy
        policy = self._ask(lambda decider: self._prepare(decider, source))
        with self._lock:
            self._policies.setdefault(key, weakref.WeakSet()).add(policy)
            for gone in [other for other, policies in self._policies.items() if not policies]:
                del self._policies[gone]
        return policy

    def _prepare(self, decider: Decider, source: Source) -> Policy:
        answers = Links(self._read_links)
        prepared = decider.prepare(source, answers)
        policy = Policy.of(source, answers.seen, prepared)
        with self._lock:
            policy = self._in_use.setdefault(policy.id, policy)
        decider.hold(policy, prepared.resource)
        return policy

    def _read_links(self, paths: Sequence[str]) -> list[Link]:
        """On another thread, so that a file system that hangs does not hang a decider."""
        if not paths:
            return []
        try:
            return self.threads.start(lambda: links.read(paths)).result(self.callback_deadline)
        except FutureTimeout:
            raise OSError("the file system does not answer") from None

    # Steps.

    async def decide(self, waits: Waits, policy: Policy, weight: int, work: Callable[[Decider, Any], T]) -> T:
        """One thing in a decider that holds this policy. `weight`: characters that it has to read.

        Raises:
            Abnormal: the instance is gone.
        """
        if not waits.in_loop:
            return self.pool.decide(policy, work)
        if weight <= INLINE:
            done = self.pool.decide_now(policy, work)
            if done:
                return done[0]
        return await waits.thread(lambda: self.pool.decide(policy, work))

    def _ask(self, work: Callable[[Decider], T]) -> T:
        try:
            return self.pool.ask(work)
        except Refused as refused:
            raise config_error(refused) from None
        except Abnormal as abnormal:
            raise EngineError(f"the engine failed: {abnormal}") from abnormal


_KINDS = {
    "unauthorized": "unauthorized",
    "not-found": "not-found",
    "unavailable": "unavailable",
    "ambiguous": "unavailable",
    "conflict": "conflict",
    "protocol": "internal",
    "internal": "internal",
}


def config_error(refused: Refused) -> EdictumConfigError:
    """A refusal of the engine, for people who wrote the documents."""
    code = refused.code or _KINDS.get(refused.kind.replace("_", "-"), "bad-request")
    return EdictumConfigError(refused.message, code=code, diagnostics=refused.diagnostics)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Host._forked)

"""Answers to what the engine asks: all questions of an inquiry at the same time, each in its own way of waiting. What cannot be
answered is said so, and the engine blocks the call.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from . import links, process, raw
from .errors import StoreError
from .store import BackendStore, Store, Visit
from .threads import Threads
from .waits import NoAnswer, Waits

#: Seconds. Longer than a store waits for other processes.
STORE_DEADLINE = 30.0


@dataclass(frozen=True)
class HookCall:
    """What a hook is asked. The success check is asked like one, under an empty name."""

    name: str
    phase: Literal["before", "after", "success_check"]
    #: The call with principal, environment and side effect as the engine sees them.
    call: dict[str, Any] = field(repr=False)
    #: What the tool returned; only when `has_output`.
    output: Any = field(default=None, repr=False)
    has_output: bool = False


#: What a hook says: nothing against it, its own condition did not hold, or not so, and why.
Verdict = Literal["pass", "skip"] | tuple[Literal["refuse"], str]


@dataclass(frozen=True)
class HookPlace:
    """Where a hook stands. `name` is what `decision_name` shows when it refuses; `tools` is a glob."""

    name: str
    tools: str = "*"
    before: bool = False
    after: bool = False


@dataclass
class Callbacks:
    """Everything that a program answers for one guard. Each may be an ordinary function or an async one."""

    #: `(value, operand)` → whether it holds.
    operators: dict[str, Callable[..., Any]] = field(default_factory=dict)
    #: By prefix: `(call)` → the map it stands for.
    selectors: dict[str, Callable[..., Any]] = field(default_factory=dict)
    #: `(HookCall)` → `Verdict`.
    hooks: dict[str, Callable[..., Any]] = field(default_factory=dict)
    places: list[HookPlace] = field(default_factory=list)
    #: `(HookCall)` → whether the tool succeeded.
    success_check: Callable[..., Any] | None = None
    #: `(call)` → a map, or nobody.
    principal_resolver: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Respondent:
    """Whom questions of one step are for."""

    waits: Waits
    threads: Threads
    callbacks: Callbacks
    deadline: float
    store: Store
    session: str
    session_ttl_ms: int
    now: int
    call: str | None
    cwd: str | None

    async def answer(self, questions: str) -> str:
        """One answer for each question, in their order: texts of `decide-text`."""
        # All are started before the first is waited for.
        asked = [self._ask(question) for question in raw.elements(questions)]
        given_up = True
        try:
            answers = [await self._answered(answer) for _, answer in asked]
            given_up = False
            return "[" + ",".join(answers) + "]"
        finally:
            if given_up:
                for stop, _ in asked:
                    stop.set()

    def _ask(self, text: str) -> tuple[threading.Event, Callable[[], Awaitable[str]]]:
        stop = threading.Event()
        try:
            question = json.loads(text)
        except (ValueError, RecursionError):
            # Deeper, or longer numbers, than this language reads.
            return stop, _failure("the question cannot be read")
        if question == "principal":
            return stop, self._principal()
        (kind, what), *_ = question.items()
        if kind == "session":
            return stop, self._session(what)
        if kind == "read_links":
            return stop, self._running(self.threads.start(lambda: json.dumps({"read_links": links.read(what)})))
        if kind == "selectors":
            return stop, self._selectors(what)
        if kind == "operators":
            return stop, self._operators(what)
        if kind == "hooks":
            return stop, self._hooks(what)
        if kind == "command":
            return stop, self._command(what, stop)
        return stop, _failure("this host does not know such a question")

    async def _answered(self, answer: Callable[[], Awaitable[str]]) -> str:
        try:
            return await answer()
        except Exception as error:
            return json.dumps({"failed": _reason(error)})

    def _session(self, operations: Sequence[Any]) -> Callable[[], Awaitable[str]]:
        store = self.store
        if isinstance(store, BackendStore) and store.is_async:

            async def through_backend() -> str:
                return json.dumps({"session": await self.waits.coroutine(store.perform_async(operations))})

            return through_backend

        def perform() -> str:
            visit = Visit(self.session, self.now, self.now + self.session_ttl_ms)
            try:
                return json.dumps({"session": store.perform(visit, operations)})
            except StoreError as error:
                return json.dumps({"failed": str(error)})

        if store.blocks and self.waits.in_loop:
            return self._running(self.threads.start(perform), STORE_DEADLINE)
        return _ready(perform())

    def _running(self, future: Future[str], deadline: float | None = None) -> Callable[[], Awaitable[str]]:
        async def answer() -> str:
            return await self.waits.future(future, deadline or self.deadline)

        return answer

    def _principal(self) -> Callable[[], Awaitable[str]]:
        resolver = self.callbacks.principal_resolver
        if resolver is None or self.call is None:
            return _failure("there is no principal resolver")
        answer = self._result(resolver, _map_or_nobody, json.loads(self.call))

        async def resolved() -> str:
            return f'{{"principal":{await answer()}}}'

        return resolved

    def _operators(self, calls: Sequence[Any]) -> Callable[[], Awaitable[str]]:
        def start(call: Mapping[str, Any]) -> Callable[[], Awaitable[str]]:
            operator = self.callbacks.operators.get(call["name"])
            return self._result(operator, _boolean, call["value"], call["operand"])

        return _each("operators", [start(call) for call in calls])

    def _selectors(self, query: Mapping[str, Any]) -> Callable[[], Awaitable[str]]:
        def start(prefix: str) -> Callable[[], Awaitable[str]]:
            return self._result(self.callbacks.selectors.get(prefix), _map, query["call"])

        return _each("selectors", [start(prefix) for prefix in query["prefixes"]])

    def _hooks(self, calls: Sequence[Any]) -> Callable[[], Awaitable[str]]:
        def start(call: Mapping[str, Any]) -> Callable[[], Awaitable[str]]:
            hook = HookCall(call["name"], call["phase"], call["call"], call.get("output"), "output" in call)
            if hook.phase == "success_check":
                return self._result(self.callbacks.success_check, _success, hook)
            return self._result(self.callbacks.hooks.get(hook.name), _verdict, hook)

        return _each("hooks", [start(call) for call in calls])

    def _command(self, command: Mapping[str, Any], stop: threading.Event) -> Callable[[], Awaitable[str]]:
        running = self.threads.start(lambda: process.run(command, self.cwd, stop))

        async def answer() -> str:
            try:
                return json.dumps({"command": {"ok": await self.waits.future(running)}})
            except process.CommandError as error:
                return json.dumps({"command": {"err": str(error)}})

        return answer

    def _result(
        self, function: Callable[..., Any] | None, shown: Callable[[Any], str], *arguments: Any
    ) -> Callable[[], Awaitable[str]]:
        """Starts a function of the program's; its answer as `{"ok": …}`, or why there is none."""
        if function is None:
            return _ready('{"err":"nobody answers for it"}')
        started = self.waits.callback(function, self.deadline, *arguments)

        async def answer() -> str:
            try:
                return f'{{"ok":{shown(await started())}}}'
            except Exception as error:
                return f'{{"err":{raw.quoted(_reason(error))}}}'

        return answer


def _each(kind: str, started: Sequence[Callable[[], Awaitable[str]]]) -> Callable[[], Awaitable[str]]:
    async def answer() -> str:
        return f'{{"{kind}":[{",".join([await each() for each in started])}]}}'

    return answer


def _ready(answer: str) -> Callable[[], Awaitable[str]]:
    async def ready() -> str:
        return answer

    return ready


def _failure(reason: str) -> Callable[[], Awaitable[str]]:
    return _ready(json.dumps({"failed": reason}))


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _boolean(result: Any) -> str:
    return "true" if result else "false"


def _success(result: Any) -> str:
    return '"pass"' if result else '{"refuse":""}'


def _map(result: Any) -> str:
    if not isinstance(result, Mapping):
        raise NoAnswer("a selector must give a map")
    return raw.printed(result)


def _map_or_nobody(result: Any) -> str:
    return "null" if result is None else _map(result)


def _verdict(result: Verdict) -> str:
    if isinstance(result, tuple):
        return raw.printed({"refuse": result[1]})
    return raw.quoted(result)

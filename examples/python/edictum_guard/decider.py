"""One instance of the component: its memory cap, its deadline, the policies it holds.

An instance does one call at a time, on any thread, and after any abnormal end it is never used again. Who shares instances
out is `pool`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from wasmtime import Engine, Store, WasmtimeError
from wasmtime.component import Component, ExportIndex, Func, Linker, Record, ResourceAny, Variant

from .component import TICK
from .errors import Diagnostic
from .policy import Document, Links, Policy, Prepared, Source

Fault = Literal["trap", "deadline", "out-of-memory", "store", "decision-log", "host", "abandoned"]

#: Steps of a call whose requests and answers are texts.
TextStep = Literal["evaluate", "begin", "settle", "finish", "resume"]

#: Rules that are compiled between two looks at the clock, and at whoever else wants to run.
SLICE = 512

#: An instance that has read or written a text of so many bytes has grown, and is replaced after the call.
GROWN = 4 << 20

_DECIDE = "edictum:guard/decide@0.1.0"
_TEXT = "edictum:guard/decide-text@0.1.0"
_DOCUMENTS = "edictum:guard/documents@0.1.0"
_SIGNING = "edictum:guard/signing@0.1.0"


@dataclass(frozen=True)
class Bounds:
    """What an instance may use: bytes, and seconds of a step and of a preparation."""

    memory: int = 256 << 20
    step: float = 10.0
    preparation: float = 120.0


class Abnormal(Exception):
    """An abnormal end. The instance is gone."""

    def __init__(self, reason: str, fault: Fault = "host") -> None:
        super().__init__(f"{fault}: {reason}")
        self.fault = fault
        self.reason = reason


class Refused(Exception):
    """Documents, options or a command that the engine refuses (`types.failure`)."""

    def __init__(self, failure: Any) -> None:
        super().__init__(failure.message)
        self.kind: str = failure.kind
        self.code: str = failure.code
        self.message: str = failure.message
        self.diagnostics = [diagnostic(found) for found in failure.diagnostics]


def record(**fields: Any) -> Record:
    """A record of the WIT; `_` stands for `-`."""
    made = Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


def diagnostic(found: Any) -> Diagnostic:
    """A finding of the engine."""
    return Diagnostic(
        severity=found.severity,
        code=found.code,
        message=found.message,
        document=found.document,
        line=found.line,
        column=found.column,
        end_line=getattr(found, "end-line"),
        end_column=getattr(found, "end-column"),
        help=found.help,
    )


def typed(function: Func, store: Store, *arguments: Any) -> Any:
    """A call with optional arguments or variants among them.

    The runtime's Python package marshals these over a set that all threads share, and refuses a good value when two do so at
    the same moment. Nothing has been called then, so it is simply done again.
    """
    for _ in range(100):
        try:
            return function(store, *arguments)
        except (ValueError, RuntimeError) as error:
            last = error
            time.sleep(0)
    raise Abnormal(f"arguments are not taken: {last}")


class Code:
    """The component as machine code, with the places of its functions looked up."""

    def __init__(self, engine: Engine, component: Component) -> None:
        self.engine = engine
        self.component = component
        self._indexes: dict[tuple[str, str], ExportIndex] = {}
        self._lock = threading.Lock()

    def index(self, interface: str, name: str) -> ExportIndex:
        """Where a function of an interface is."""
        with self._lock:
            known = self._indexes.get((interface, name))
            if known is None:
                instance = self.component.get_export_index(interface)
                known = instance and self.component.get_export_index(name, instance)
                if known is None:
                    raise Abnormal(f"the component has no `{name}` of `{interface}`")
                self._indexes[interface, name] = known
            return known


class Decider:
    """See the module."""

    def __init__(self, code: Code, bounds: Bounds) -> None:
        self._code = code
        self._bounds = bounds
        self._policies: dict[bytes, ResourceAny] = {}
        self._functions: dict[tuple[str, str], Func] = {}
        self._store = Store(code.engine)
        self._store.set_limits(memory_size=bounds.memory, table_elements=1 << 20)
        self._store.set_epoch_deadline(_ticks(bounds.step))
        self._grown = False
        try:
            self._instance = Linker(code.engine).instantiate(self._store, code.component)
        except WasmtimeError as error:
            raise Abnormal(f"no instance can be made: {error}") from error

    # Policies.

    def holds(self, policy: Policy) -> bool:
        """Whether it has compiled this one."""
        return policy.id in self._policies

    @property
    def is_fresh(self) -> bool:
        """Whether it holds no policy at all."""
        return not self._policies

    def policy(self, policy: Policy) -> ResourceAny:
        """The policy in this instance, compiled now if it was not: from the same answers about links as the first time."""
        held = self._policies.get(policy.id)
        if held is not None:
            return held
        try:
            prepared = self.prepare(policy.source, policy.replay())
        except Refused as refused:
            raise Abnormal(f"a policy does not load again: {refused.code}") from refused
        return self.hold(policy, prepared.resource)

    def hold(self, policy: Policy, resource: ResourceAny) -> ResourceAny:
        """Keeps a policy that was compiled here."""
        self._policies[policy.id] = resource
        return resource

    def prepare(self, source: Source, links: Links) -> Prepared:
        """Compiles a policy in slices, so that other threads get their turns.

        Raises:
            Refused: its documents do not load.
        """
        until = time.monotonic() + self._bounds.preparation
        rulesets = [record(name=each.name, text=each.text) for each in source.rulesets]
        workflow = source.workflow and record(name=source.workflow.name, text=source.workflow.text)
        preparation = self._call(_DECIDE, "[constructor]preparation", rulesets, workflow, source.options)
        try:
            while True:
                if time.monotonic() > until:
                    raise Abnormal("a policy takes too long to compile", "deadline")
                progress = self._call(_DECIDE, "[method]preparation.advance", preparation, SLICE)
                # The cases of `result<progress, failure>` are told apart by their types.
                if progress is None:
                    continue
                if isinstance(progress, list):
                    try:
                        answers = [links.answer(question) for question in progress]
                    except ValueError as error:
                        raise Abnormal(str(error)) from error
                    self._call(_DECIDE, "[method]preparation.answer", preparation, answers)
                elif isinstance(progress, ResourceAny):
                    break
                else:
                    raise Refused(progress)
        finally:
            self._drop(preparation)
        revision = self._call(_DECIDE, "[method]policy.revision", progress)
        summary = self._call(_DECIDE, "[method]policy.summary", progress)
        return Prepared(progress, revision, summary)

    def tidy(self, in_use: Callable[[bytes], bool]) -> bool:
        """Lets go of policies that no guard uses any more. False: this instance should not be used again."""
        for unused in [known for known in self._policies if not in_use(known)]:
            try:
                self._drop(self._policies.pop(unused))
            except Abnormal:
                return False
        return not self._grown

    # Steps of calls.

    def text(self, step: TextStep, policy: ResourceAny, request: str) -> str:
        """One text in, one out: `decide-text`. Nothing here is an option or a variant, so nothing is shared."""
        function = self._function(_TEXT, step)
        self._store.set_epoch_deadline(_ticks(self._bounds.step))
        try:
            answer: str = function(self._store, policy, request)
        except WasmtimeError as error:
            raise _ended(error) from error
        self._grown |= len(request) + len(answer) > GROWN
        return answer

    def members(self, text: str) -> list[tuple[str, str]] | str:
        """The members of an object, as texts; or why it is none."""
        found = self._call(_TEXT, "members", text)
        self._grown |= len(text) > GROWN
        return found if isinstance(found, str) else [(name, value) for name, value in found]

    def fault(self, policy: ResourceAny, call: str, ticket: str | None, fault: Fault, now: int) -> Any:
        """What the engine says to a call that could not be decided."""
        return self._call(_DECIDE, "[method]policy.fault", policy, call, ticket, fault, now)

    def fault_finish(self, policy: ResourceAny, call: str, ticket: str, fault: Fault, now: int) -> Any:
        """The same after the tool ran."""
        return self._call(_DECIDE, "[method]policy.fault-finish", policy, call, ticket, fault, now)

    def operate(self, policy: ResourceAny, session: str, command: str, now: int) -> Any:
        """The first step of an operation on a session; its text form begins with the first answers."""
        return self._call(_DECIDE, "[method]policy.operate", policy, session, command, now)

    # What needs no policy.

    def check(self, source: Source) -> list[Diagnostic]:
        """All findings about documents."""
        return [diagnostic(found) for found in self._documents("check", source)]

    def describe(self, source: Source) -> str:
        """What documents hold, as JSON.

        Raises:
            Refused: they do not load.
        """
        found = self._documents("describe", source)
        if isinstance(found, str):
            return found
        raise Refused(found)

    def templates(self) -> list[Document]:
        """The rulesets that come with the engine."""
        return [Document(each.name, each.text) for each in self._call(_DOCUMENTS, "templates")]

    def verify(self, text: str, signature: str, keys: list[str]) -> tuple[bool, str]:
        """True and the key that verifies, or false and why none does."""
        verified = self._call(_SIGNING, "verify", text, signature, keys)
        # Both cases are strings, so they come with their names.
        return verified.tag == "ok", str(verified.payload)

    def _documents(self, name: str, source: Source) -> Any:
        rulesets = [record(name=each.name, text=each.text) for each in source.rulesets]
        workflow = source.workflow and record(name=source.workflow.name, text=source.workflow.text)
        return self._call(_DOCUMENTS, name, rulesets, workflow, source.options)

    def _call(self, interface: str, name: str, *arguments: Any) -> Any:
        function = self._function(interface, name)
        self._store.set_epoch_deadline(_ticks(self._bounds.step))
        try:
            return typed(function, self._store, *arguments)
        except WasmtimeError as error:
            raise _ended(error) from error

    def _function(self, interface: str, name: str) -> Func:
        known = self._functions.get((interface, name))
        if known is None:
            known = self._instance.get_func(self._store, self._code.index(interface, name))
            if known is None:
                raise Abnormal(f"the component has no function `{name}`")
            self._functions[interface, name] = known
        return known

    def _drop(self, resource: ResourceAny) -> None:
        self._store.set_epoch_deadline(_ticks(self._bounds.step))
        try:
            resource.drop(self._store)
        except WasmtimeError as error:
            raise _ended(error) from error


def _ended(error: WasmtimeError) -> Abnormal:
    message = str(error)
    return Abnormal(message, "deadline" if "wasm trap: interrupt" in message else "trap")


def _ticks(seconds: float) -> int:
    """One more than it takes: the running tick counts for nothing."""
    return int(seconds / TICK) + 2


__all__ = ["Abnormal", "Bounds", "Code", "Decider", "Fault", "Refused", "TextStep", "Variant", "record", "typed"]

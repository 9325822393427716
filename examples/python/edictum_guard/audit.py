"""The decision log as objects, and sinks for it. Events are the engine's: redacted, and in wire form in `AuditEvent.wire`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from .events import with_sequence
from .waits import Waits
from .words import Word


class AuditAction(Word):
    """What happened. The names with DENY are those of the Python SDK."""

    CALL_ALLOWED = "call_allowed"
    CALL_BLOCKED = "call_blocked"
    CALL_WOULD_BLOCK = "call_would_block"
    CALL_EXECUTED = "call_executed"
    CALL_FAILED = "call_failed"
    POSTCONDITION_WARNING = "postcondition_warning"
    CALL_ASKED = "call_asked"
    CALL_APPROVAL_GRANTED = "call_approval_granted"
    CALL_APPROVAL_BLOCKED = "call_approval_blocked"
    CALL_APPROVAL_TIMEOUT = "call_approval_timeout"
    WORKFLOW_STAGE_ADVANCED = "workflow_stage_advanced"
    WORKFLOW_COMPLETED = "workflow_completed"
    WORKFLOW_STATE_UPDATED = "workflow_state_updated"
    CALL_DENIED = "call_blocked"
    CALL_WOULD_DENY = "call_would_block"
    CALL_APPROVAL_REQUESTED = "call_asked"
    CALL_APPROVAL_DENIED = "call_approval_blocked"


@dataclass(frozen=True)
class AuditEvent:
    """One event of the decision log."""

    action: AuditAction | str
    tool_name: str = ""
    tool_args: dict[str, Any] = field(default_factory=dict)
    call_id: str = ""
    run_id: str = ""
    call_index: int = 0
    parent_call_id: str | None = None
    session_id: str | None = None
    parent_session_id: str | None = None
    agent_id: str | None = None
    side_effect: str = ""
    environment: str = ""
    principal: dict[str, Any] | None = None
    decision_source: str | None = None
    decision_name: str | None = None
    reason: str | None = None
    hooks_evaluated: list[dict[str, Any]] = field(default_factory=list)
    rules_evaluated: list[dict[str, Any]] = field(default_factory=list)
    workflow: dict[str, Any] | None = None
    tool_success: bool | None = None
    postconditions_passed: bool | None = None
    duration_ms: int = 0
    error: str | None = None
    result_summary: str | None = None
    session_attempt_count: int = 0
    session_execution_count: int = 0
    mode: str = "enforce"
    policy_version: str | None = None
    policy_error: bool = False
    schema_version: str = "0.3.0"
    event_id: str | None = None
    sequence: int | None = None
    timestamp: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    #: The event as the engine gave it (JSON).
    wire: str = field(default="", repr=False, compare=False)

    @property
    def contracts_evaluated(self) -> list[dict[str, Any]]:
        """The Python SDK's name for `rules_evaluated`."""
        return self.rules_evaluated

    @classmethod
    def of(cls, wire: str, sequence: int | None = None) -> AuditEvent:
        """From its wire form. Members that are not known here stay in `wire`. `sequence`: its place in this log."""
        found = json.loads(wire)
        known = {name: value for name, value in found.items() if name in cls.__dataclass_fields__ and name != "wire"}
        known["action"] = _action(found.get("action", ""))
        when = found.get("timestamp")
        if isinstance(when, str):
            known["timestamp"] = datetime.fromisoformat(when.replace("Z", "+00:00"))
        if sequence is not None:
            known["sequence"] = sequence
        return cls(**known, wire=wire)

    @property
    def line(self) -> str:
        """The event as a line of a log."""
        return self.wire if self.sequence is None else with_sequence(self.wire, self.sequence)


def _action(name: str) -> AuditAction | str:
    try:
        return AuditAction(name)
    except ValueError:
        return name


@runtime_checkable
class AuditSink(Protocol):
    """Takes events, one at a time. Whatever it raises means that the event cannot be kept."""

    async def emit(self, event: AuditEvent) -> None:
        """Keeps an event."""


class MarkEvictedError(Exception):
    """The events after a mark are not all there any more."""


class CollectingAuditSink:
    """Keeps the newest events in memory."""

    def __init__(self, max_events: int = 50_000) -> None:
        if max_events < 1:
            raise ValueError("max_events must be at least 1")
        self._max_events = max_events
        self._lock = threading.Lock()
        self._events: list[AuditEvent] = []
        self._total = 0

    @property
    def events(self) -> list[AuditEvent]:
        """A copy of what is there, oldest first."""
        with self._lock:
            return list(self._events)

    async def emit(self, event: AuditEvent) -> None:
        """See `AuditSink`."""
        with self._lock:
            self._events.append(event)
            self._total += 1
            if len(self._events) > self._max_events:
                del self._events[: len(self._events) - self._max_events]

    def mark(self) -> int:
        """A place in the log; `since_mark` gives what came after it."""
        with self._lock:
            return self._total

    def since_mark(self, m: int) -> list[AuditEvent]:
        """What came after a mark.

        Raises:
            MarkEvictedError: some of it had to go.
        """
        with self._lock:
            first = self._total - len(self._events)
            if not 0 <= m <= self._total:
                raise ValueError("no such mark")
            if m < first:
                raise MarkEvictedError(f"{first - m} events after this mark are gone")
            return self._events[m - first :]

    def last(self) -> AuditEvent:
        """The newest event."""
        with self._lock:
            if not self._events:
                raise IndexError("there is no event")
            return self._events[-1]

    def filter(self, action: AuditAction | str) -> list[AuditEvent]:
        """Events about this."""
        return [event for event in self.events if event.action == action]

    def clear(self) -> None:
        """Forgets all of them."""
        with self._lock:
            self._events.clear()


class CompositeSink:
    """Hands events to several sinks. All of them get it, also when one fails; then it fails."""

    def __init__(self, sinks: Sequence[AuditSink]) -> None:
        self.sinks = list(sinks)

    async def emit(self, event: AuditEvent) -> None:
        """See `AuditSink`."""
        failures = []
        for sink in self.sinks:
            try:
                await sink.emit(event)
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]


class FileAuditSink:
    """Appends events to a file, one JSON object a line. A file that it makes is its owner's alone."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()

    async def emit(self, event: AuditEvent) -> None:
        """See `AuditSink`."""
        await asyncio.to_thread(self._append, event.line)

    def _append(self, line: str) -> None:
        with self._lock:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "a", encoding="utf-8") as file:
                file.write(line + "\n")


class StdoutAuditSink:
    """Prints events, one JSON object a line."""

    async def emit(self, event: AuditEvent) -> None:
        """See `AuditSink`."""
        print(event.line, file=sys.stdout, flush=True)


@dataclass(frozen=True)
class RedactionPolicy:
    """Additions to what the engine redacts."""

    sensitive_keys: set[str] | None = None
    #: Pattern and replacement.
    custom_patterns: list[tuple[str, str]] | None = None
    detect_secret_values: bool = True
    #: Keys that are not sensitive, whatever their parts.
    safe_compound_keys: set[str] | None = None

    def as_option(self) -> dict[str, Any]:
        """As `redaction` of an options document."""
        return {
            "sensitive_keys": sorted(self.sensitive_keys or ()),
            "safe_keys": sorted(self.safe_compound_keys or ()),
            "patterns": [list(pattern) for pattern in self.custom_patterns or ()],
            "detect_secret_values": self.detect_secret_values,
        }


class SinkFailed(Exception):
    """Events cannot be kept. Without the sink's own words: they may hold what it was given."""


class Sinks:
    """Hands the engine's events to sinks, in order, each event to all of them."""

    def __init__(self, sinks: Iterable[AuditSink], failed: Callable[[Exception], None]) -> None:
        self._sinks = list(sinks)
        self._failed = failed
        self._lock = threading.Lock()
        self._sequence = 0

    async def emit(self, waits: Waits, events: Sequence[str]) -> None:
        """See `events.EventSink`."""
        failures: list[Exception] = []
        for wire in events:
            with self._lock:
                event = AuditEvent.of(wire, self._sequence)
                self._sequence += 1
            for sink in self._sinks:
                try:
                    result: Any = sink.emit(event)
                    if result is not None:
                        await waits.coroutine(result)
                except Exception as error:
                    failures.append(error)
        if failures:
            self._failed(failures[0])
            raise SinkFailed(type(failures[0]).__name__)

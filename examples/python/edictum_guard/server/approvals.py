"""`ServerApprovalBackend`: people who are asked through edictum-api, within the polling budget of one client."""

from __future__ import annotations

import json
import logging
import queue
import secrets
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from .. import raw
from ..approval import ApprovalDecision, ApprovalRequest, ApprovalStatus
from ..clock import Bell
from ..errors import EdictumError
from .client import EdictumServerClient
from .errors import EdictumServerError
from .lane import Lane

log = logging.getLogger("edictum_guard")

#: Milliseconds until a step is tried again whose instance ended abnormally.
_RETRY_MS = 1_000


@dataclass(frozen=True)
class Request:
    """A request that somebody waits for."""

    reference: str
    #: As in `wit/schemas/approval.schema.json` (JSON), redacted.
    approval: str
    #: What the server gave to keep with it, when it is submitted again after a restart.
    memory: str | None
    #: `(approval_id, memory)`: it exists on the server.
    created: Callable[[str, str], object]
    #: `(outcome, at)`: it has come to an end.
    settled: Callable[[dict[str, Any], int], object]


class ApprovalQueue:
    """Creates and polls requests, on a thread of its own, which ends with it."""

    def __init__(self, client: EdictumServerClient, options: dict[str, Any] | None = None) -> None:
        self.client = client
        self._options = options or {}
        self._bell = client.host.clock.bell()
        self._commands: queue.SimpleQueue[Callable[[_Work], None]] = queue.SimpleQueue()
        self._started = threading.Lock()
        self._running = False
        self._ended = threading.Event()

    def submit(self, request: Request) -> None:
        """Asks. A second time changes nothing."""
        self._tell(lambda work: work.submit(request))

    def wake(self, approval_ids: list[str]) -> None:
        """These were decided, the server says."""
        self._tell(lambda work: work.wake(approval_ids))

    def forget(self, reference: str) -> None:
        """Nobody waits for this one any more."""
        self._tell(lambda work: work.forget(reference))

    def close(self) -> None:
        """Stops to look. What is asked stays on the server, for who asks again under the same reference."""
        self._ended.set()
        self._bell.ring()

    def _tell(self, command: Callable[[_Work], None]) -> None:
        self._commands.put(command)
        with self._started:
            if not self._running:
                self._running = True
                work = _Work(self.client, self._options, self._commands, self._bell, self._ended)
                threading.Thread(
                    target=work.run, args=(weakref.ref(self),), name="edictum-approvals", daemon=True
                ).start()
        self._bell.ring()

    def __del__(self) -> None:
        self._bell.ring()


class _Work:
    def __init__(
        self,
        client: EdictumServerClient,
        options: dict[str, Any],
        commands: queue.SimpleQueue[Callable[[_Work], None]],
        bell: Bell,
        ended: threading.Event,
    ) -> None:
        self._client = client
        self._options = options
        self._commands = commands
        self._bell = bell
        self._ended = ended
        self._lane: Lane | None = None
        self._requests: dict[str, Request] = {}

    def run(self, owner: weakref.ref[ApprovalQueue]) -> None:
        while owner() is not None and not self._ended.is_set():
            following: int | None = None
            try:
                while not self._commands.empty():
                    self._commands.get()(self)
                if self._requests:
                    following = self._step()
            except EdictumError as error:
                log.error("approvals cannot be looked after: %s", error)
                following = self._now() + _RETRY_MS
            except Exception:
                log.exception("approvals cannot be looked after")
                following = self._now() + _RETRY_MS
            self._bell.sleep_until(following)

    def submit(self, request: Request) -> None:
        self._requests[request.reference] = request
        self._call("submit", request.reference, request.approval, request.memory, self._now())

    def wake(self, approval_ids: list[str]) -> None:
        self._call("wake", approval_ids, self._now())

    def forget(self, reference: str) -> None:
        if self._requests.pop(reference, None) is not None:
            self._call("forget", reference)

    def _step(self) -> int | None:
        step = self._call("step", self._now())
        for each in step.created:
            request = self._requests.get(each.reference)
            if request is not None:
                _told(request.created, getattr(each, "approval-id"), each.memory)
        for each in step.settled:
            request = self._requests.pop(each.reference, None)
            if request is not None and not self._ended.is_set():
                _told(request.settled, json.loads(each.outcome), each.at)
        following: int | None = step.next
        return following

    def _call(self, name: str, *arguments: Any) -> Any:
        if self._lane is None:
            self._lane = Lane(self._client.host, self._client.connect, lambda: ("approval-queue", self._options, ()))
        try:
            return self._lane.call(name, *arguments)
        except EdictumError:
            # A new instance knows nothing: everything is submitted again, under the same references.
            self._lane = None
            for request in self._requests.values():
                self._commands.put(lambda work, request=request: work.submit(request))  # type: ignore[misc]
            raise

    def _now(self) -> int:
        return self._client.host.clock.now()


def _told(callback: Callable[..., object], *arguments: Any) -> None:
    try:
        callback(*arguments)
    except Exception:
        log.exception("an approval cannot be handed on")


class ServerApprovalBackend:
    """Approval requests on edictum-api (`approval.ApprovalBackend`)."""

    def __init__(self, client: EdictumServerClient, *, poll_interval: float = 2.0) -> None:
        """`poll_interval`: seconds between the first looks at one request."""
        least = max(100, int(poll_interval * 1000))
        self._queue = ApprovalQueue(client, {"poll_min_ms": least, "poll_max_ms": max(5000, least)})
        self._decided: dict[str, Future[ApprovalDecision]] = {}

    async def request_approval(
        self,
        tool_name: str,
        tool_args: dict[str, Any],
        message: str,
        *,
        timeout: int = 300,
        timeout_action: str = "block",
        principal: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> ApprovalRequest:
        """Creates a request on the server. The arguments leave this machine: redact them.

        Raises:
            EdictumServerError: it could not be created.
        """
        host, connect = self._queue.client.host, self._queue.client.connect
        approval = {
            "message": message,
            "timeout": timeout,
            "timeout_action": timeout_action,
            "deadline_ms": host.clock.now() + timeout * 1000,
            "tool_name": tool_name,
            "tool_args": tool_args,
            "agent_id": connect.agent_id,
            "environment": connect.env,
            "principal": principal,
            "metadata": metadata,
            "session_id": session_id,
        }
        shown = {name: value for name, value in approval.items() if value is not None}
        created: Future[str] = Future()
        decided: Future[ApprovalDecision] = Future()

        def settled(outcome: dict[str, Any], _: int) -> None:
            if not created.done():
                created.set_exception(EdictumServerError(0, "nobody can be asked", kind="unavailable"))
            decided.set_result(_decision(outcome))

        def known(approval_id: str, _: str) -> None:
            if not created.done():
                created.set_result(approval_id)

        reference = secrets.token_hex(16)
        self._queue.submit(Request(reference, raw.printed(shown), None, known, settled))
        approval_id = await host.loop.future(created)
        self._decided[approval_id] = decided
        return ApprovalRequest(
            approval_id,
            tool_name,
            tool_args,
            message,
            timeout,
            timeout_action,
            principal,
            metadata or {},
            session_id,
        )

    async def wait_for_decision(self, approval_id: str, timeout: int | None = None) -> ApprovalDecision:
        """Waits for what becomes of it. Its own deadline ends it in any case."""
        decided = self._decided.get(approval_id)
        if decided is None:
            raise EdictumServerError(404, "this backend has made no such request", kind="not-found")
        try:
            return await self._queue.client.host.loop.future(decided)
        finally:
            if decided.done():
                self._decided.pop(approval_id, None)


def _decision(outcome: dict[str, Any]) -> ApprovalDecision:
    verdict = outcome["verdict"]
    approver, reason = outcome.get("approver"), outcome.get("reason")
    if verdict == "approved":
        return ApprovalDecision(True, approver, reason, ApprovalStatus.APPROVED)
    status = ApprovalStatus.TIMEOUT if verdict == "timed_out" else ApprovalStatus.DENIED
    return ApprovalDecision(False, approver, reason, status)

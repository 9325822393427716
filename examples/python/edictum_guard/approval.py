"""Asking people. A backend is told of a call that needs a decision, and waits for it; an answer after the deadline comes too
late, whatever it is.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol, runtime_checkable

from .words import Word


class ApprovalStatus(Word):
    """What became of a request."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class ApprovalRequest:
    """A request, as a backend has made it."""

    approval_id: str
    tool_name: str
    tool_args: dict[str, Any]
    message: str
    timeout: int
    timeout_action: str = "block"
    principal: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    session_id: str | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


@dataclass(frozen=True)
class ApprovalDecision:
    """What a person said. A status that is left out follows from `approved`; one that is given has to agree with it."""

    approved: bool
    approver: str | None = None
    reason: str | None = None
    status: ApprovalStatus | None = None
    timestamp: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def __post_init__(self) -> None:
        if self.status is None:
            status = ApprovalStatus.APPROVED if self.approved else ApprovalStatus.DENIED
            object.__setattr__(self, "status", status)


@runtime_checkable
class ApprovalBackend(Protocol):
    """Asks people."""

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
        """Makes a request. Arguments are redacted."""

    async def wait_for_decision(self, approval_id: str, timeout: int | None = None) -> ApprovalDecision:
        """Waits for what becomes of it, at most `timeout` seconds."""


class LocalApprovalBackend:
    """Asks on the terminal. `y`, `yes` and `approve` approve, anything else does not."""

    def __init__(self) -> None:
        self._requests: dict[str, ApprovalRequest] = {}

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
        """See `ApprovalBackend`."""
        request = ApprovalRequest(
            str(uuid.uuid4()),
            tool_name,
            tool_args,
            message,
            timeout,
            timeout_action,
            principal,
            metadata or {},
            session_id,
        )
        self._requests[request.approval_id] = request
        print(f"[approval] {message}\n  tool: {tool_name}\n  arguments: {json.dumps(tool_args)}")
        return request

    async def wait_for_decision(self, approval_id: str, timeout: int | None = None) -> ApprovalDecision:
        """See `ApprovalBackend`."""
        self._requests.pop(approval_id, None)
        try:
            answer = await asyncio.wait_for(asyncio.to_thread(input, "approve? [y/N] "), timeout)
        except (asyncio.TimeoutError, TimeoutError):
            return ApprovalDecision(False, status=ApprovalStatus.TIMEOUT)
        except EOFError:
            return ApprovalDecision(False, reason="nobody is there")
        return ApprovalDecision(answer.strip().lower() in ("y", "yes", "approve"), approver="local")


def outcome(decision: Any, approval_id: str | None) -> dict[str, Any]:
    """What a backend's decision means to the engine. Only a plain approval approves."""
    status = getattr(decision, "status", None)
    word = getattr(status, "value", status)
    if word == ApprovalStatus.TIMEOUT.value:
        verdict = "timed_out"
    elif getattr(decision, "approved", False) is True and word == ApprovalStatus.APPROVED.value:
        verdict = "approved"
    else:
        verdict = "rejected"
    return {
        "verdict": verdict,
        "approval_id": approval_id,
        "approver": getattr(decision, "approver", None),
        "reason": getattr(decision, "reason", None),
    }


async def ask(backend: ApprovalBackend, approval: Mapping[str, Any]) -> dict[str, Any]:
    """Asks, and gives the answer as the engine takes it. `approval`: as in `wit/schemas/approval.schema.json`."""
    request = await backend.request_approval(
        approval["tool_name"],
        approval["tool_args"],
        approval["message"],
        timeout=approval["timeout"],
        timeout_action=approval["timeout_action"],
        principal=approval.get("principal"),
        session_id=approval.get("session_id"),
    )
    decision = await backend.wait_for_decision(approval_id=request.approval_id, timeout=approval["timeout"])
    return outcome(decision, request.approval_id)

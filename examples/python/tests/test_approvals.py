"""People who answer, who do not, and who cannot be asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import RULES, run, until

from edictum_guard import (
    ApprovalDecision,
    ApprovalRequest,
    ApprovalStatus,
    AuditAction,
    Call,
    Edictum,
    EdictumDenied,
    Guard,
    Host,
    Ruleset,
)


class People:
    """Gives this answer, when `answered` is set."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        self.answered = asyncio.Event()

    async def request_approval(
        self, tool_name: str, tool_args: dict[str, Any], message: str, **more: Any
    ) -> ApprovalRequest:
        self.asked.append({"tool": tool_name, "args": tool_args, "message": message, **more})
        return ApprovalRequest("id-1", tool_name, tool_args, message, more["timeout"])

    async def wait_for_decision(self, approval_id: str, timeout: int | None = None) -> ApprovalDecision:
        assert approval_id == "id-1"
        await self.answered.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        assert isinstance(self.answer, ApprovalDecision)
        return self.answer


async def answer_of(answer: Any) -> tuple[People, str, list[str]]:
    people = People(answer)
    people.answered.set()
    guard = Edictum.from_yaml_string(RULES, approval_backend=people)
    try:
        result = await guard.run("deploy", {"to": "prod", "token": "secret-value"}, lambda **_: "deployed")
    except EdictumDenied as denied:
        result = f"denied: {denied}"
    return people, result, [event.action for event in guard.local_sink.events]


@pytest.mark.parametrize(
    ("answer", "result", "event"),
    [
        (ApprovalDecision(True, "ann"), "deployed", AuditAction.CALL_APPROVAL_GRANTED),
        (ApprovalDecision(False, "ann", "not today"), "denied", AuditAction.CALL_APPROVAL_BLOCKED),
        (ApprovalDecision(True, status=ApprovalStatus.PENDING), "denied", AuditAction.CALL_APPROVAL_BLOCKED),
        (ApprovalDecision(False, status=ApprovalStatus.TIMEOUT), "denied", AuditAction.CALL_APPROVAL_TIMEOUT),
        (ConnectionError("gone"), "denied", AuditAction.CALL_APPROVAL_BLOCKED),
    ],
)
def test_only_a_plain_approval_approves(answer: Any, result: str, event: AuditAction) -> None:
    async def main() -> None:
        people, came, events = await answer_of(answer)
        assert came.startswith(result), came
        assert event in events, events
        (asked,) = people.asked
        assert (asked["tool"], asked["message"], asked["timeout"]) == ("deploy", "to prod?", 60)
        assert "secret-value" not in str(asked), "arguments are redacted"

    run(main())


def test_nobody_to_ask_blocks_at_once() -> None:
    with pytest.raises(EdictumDenied, match="no approval backend configured"):
        run(Edictum.from_yaml_string(RULES).run("deploy", {"to": "prod"}, lambda to: 1))


def test_a_deadline_ends_waiting_and_a_late_answer_changes_nothing() -> None:
    host = Host()

    async def main() -> None:
        people = People(ApprovalDecision(True))
        guard = Edictum.from_yaml_string(RULES, approval_backend=people, host=host)
        running = asyncio.ensure_future(guard.run("deploy", {"to": "prod"}, lambda to: 1))
        await until("it is asked about", lambda: people.asked)
        (waiting,) = guard.guard.open_calls()
        host.clock.set(host.clock.now() + 61_000)
        with pytest.raises(EdictumDenied):
            await running
        late = await guard.guard.settle(waiting.call_id, {"verdict": "approved"})
        assert late.action == "block"

    run(main())


def test_a_call_is_settled_once_by_whoever_is_first() -> None:
    async def main() -> None:
        people = People(ApprovalDecision(False))
        guard = Edictum.from_yaml_string(RULES, approval_backend=people)
        running = asyncio.ensure_future(guard.run("deploy", {"to": "prod"}, lambda to: "deployed"))
        await until("it is asked about", lambda: people.asked)
        (waiting,) = guard.guard.open_calls()
        assert (await guard.guard.settle(waiting.call_id, {"verdict": "approved"})).action == "allow"
        assert await running == "deployed"

    run(main())


def test_who_waits_is_told_that_the_guard_is_closed() -> None:
    from edictum_guard import ClosedError

    guard = Guard("g", [Ruleset("r", RULES)])
    asked = guard.blocking.begin(Call([("tool", '"deploy"'), ("args", '{"to":"prod"}')]))
    assert asked.action == "ask"
    wait = guard.blocking.settled(asked.call_id)
    guard.close()
    with pytest.raises(ClosedError):
        wait()

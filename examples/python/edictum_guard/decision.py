"""What comes back from a step: the decision about a call, and its end. Texts are the engine's, unchanged."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from . import raw

Action = Literal["allow", "block", "ask"]

_UNJUDGED = "The call could not be judged and was blocked."


@dataclass(frozen=True)
class Decision:
    """What happens to a call. Only `allow` lets it run."""

    call_id: str
    action: Action
    #: Allowed only because rules, or the guard, merely observe.
    observed: bool
    #: It comes from something broken, not from a rule.
    policy_error: bool
    #: What to tell the agent. Empty on a plain allow.
    reason: str
    #: Rule id, limit, hook or stage. Empty on a plain allow.
    name: str
    #: JSON: `decision_source`, `rules_evaluated`, `workflow`, …
    detail: str = field(repr=False)
    #: With `ask`: what to ask a person, redacted (JSON).
    approval: str | None = field(repr=False)
    #: The decision log of this step, redacted, in wire form.
    events: list[str] = field(repr=False, default_factory=list)

    def details(self) -> dict[str, Any]:
        """`detail`, read."""
        found: dict[str, Any] = json.loads(self.detail)
        return found


@dataclass(frozen=True)
class Kept:
    """What is kept of a decision and not shown: the text that the ticket belongs to, the ticket; and its events."""

    call: str
    ticket: str
    events: list[str]


@dataclass(frozen=True)
class Conclusion:
    """The end of a call."""

    #: Whether the tool succeeded, and whether every enforced postcondition held.
    success: bool
    passed: bool
    #: What to hand to the agent instead of what the tool returned (JSON); none: hand that on.
    replacement: str | None = field(repr=False)
    warnings: list[str] = field(repr=False)
    #: JSON: `redacted`, `suppressed`, `policy_error`, `rules_evaluated`, `findings`.
    detail: str = field(repr=False)

    def details(self) -> dict[str, Any]:
        """`detail`, read."""
        found: dict[str, Any] = json.loads(self.detail)
        return found


def decision(call_id: str, call: str, done: str) -> tuple[Decision, Kept]:
    """From the text form."""
    parts = dict(raw.members(done))
    shown = Decision(
        call_id=call_id,
        action=json.loads(parts["action"]),
        observed=parts["observed"] == "true",
        policy_error=parts["policy_error"] == "true",
        reason=json.loads(parts["reason"]),
        name=json.loads(parts["name"]),
        detail=parts["detail"],
        approval=parts.get("approval"),
        events=raw.elements(parts["events"]),
    )
    return shown, Kept(call, parts["ticket"], shown.events)


def typed_decision(call_id: str, call: str, record: Any) -> tuple[Decision, Kept]:
    """From a record of the WIT."""
    shown = Decision(
        call_id=call_id,
        action=record.action,
        observed=record.observed,
        policy_error=getattr(record, "policy-error"),
        reason=record.reason,
        name=record.name,
        detail=record.detail,
        approval=record.approval,
        events=list(record.events),
    )
    return shown, Kept(call, record.ticket, shown.events)


def fixed_decision(call_id: str, call: str) -> tuple[Decision, Kept]:
    """What the host says by itself when no instance can be had, in every mode."""
    detail = '{"decision_source":"host","decision_name":"host_fault","rules_evaluated":[]}'
    return Decision(call_id, "block", False, True, _UNJUDGED, "host_fault", detail, None), Kept(call, "", [])


def conclusion(done: str) -> tuple[Conclusion, list[str]]:
    """From the text form."""
    parts = dict(raw.members(done))
    shown = Conclusion(
        success=parts["success"] == "true",
        passed=parts["passed"] == "true",
        replacement=parts.get("replacement"),
        warnings=json.loads(parts["warnings"]),
        detail=parts["detail"],
    )
    return shown, raw.elements(parts["events"])


def typed_conclusion(record: Any) -> tuple[Conclusion, list[str]]:
    """From a record of the WIT."""
    shown = Conclusion(record.success, record.passed, record.replacement, list(record.warnings), record.detail)
    return shown, list(record.events)


def fixed_conclusion() -> tuple[Conclusion, list[str]]:
    """What the host says by itself when no instance can be had, in every mode."""
    detail = '{"redacted":false,"suppressed":true,"policy_error":true,"rules_evaluated":[],"findings":[]}'
    text = raw.quoted("[OUTPUT SUPPRESSED] The output could not be judged.")
    return Conclusion(False, False, text, ["The output could not be judged and was suppressed."], detail), []


#: What a dry run answers when its instance failed.
FAILED_EVALUATION = raw.printed(
    {
        "decision": "block",
        "rules": [],
        "block_reasons": [_UNJUDGED],
        "warn_reasons": [],
        "rules_evaluated": 0,
        "policy_error": True,
    }
)

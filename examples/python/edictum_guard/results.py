"""What a dry run, a composition and a finished call say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class RuleResult:
    """What came of one rule."""

    rule_id: str
    rule_type: str
    passed: bool
    message: str | None = None
    tags: list[str] = field(default_factory=list)
    observed: bool = False
    action: str = "warn"
    policy_error: bool = False


@dataclass(frozen=True)
class EvaluationResult:
    """What would happen to a call."""

    decision: Literal["allow", "warn", "block"]
    tool_name: str
    rules: list[RuleResult] = field(default_factory=list)
    block_reasons: list[str] = field(default_factory=list)
    warn_reasons: list[str] = field(default_factory=list)
    rules_evaluated: int = 0
    policy_error: bool = False

    @classmethod
    def of(cls, tool: str, text: str) -> EvaluationResult:
        """From the engine's text (`wit/schemas/evaluation.schema.json`)."""
        found = json.loads(text)
        return cls(
            decision=found["decision"],
            tool_name=tool,
            rules=[_rule(each) for each in found["rules"]],
            block_reasons=found["block_reasons"],
            warn_reasons=found["warn_reasons"],
            rules_evaluated=found["rules_evaluated"],
            policy_error=found["policy_error"],
        )


def _rule(found: Mapping[str, Any]) -> RuleResult:
    return RuleResult(
        rule_id=found["id"],
        rule_type=found["type"],
        passed=found["passed"],
        message=found.get("message"),
        tags=list(found.get("tags") or []),
        observed=bool(found.get("observed")),
        action=found.get("action") or "warn",
        policy_error=bool(found.get("policy_error")),
    )


@dataclass(frozen=True)
class CompositionOverride:
    """A rule that a later ruleset replaced."""

    rule_id: str
    overridden_by: str
    original_source: str


@dataclass(frozen=True)
class ObservedRule:
    """A rule that a later ruleset proposes beside the one in force."""

    rule_id: str
    enforced_source: str
    observed_source: str


@dataclass(frozen=True)
class CompositionReport:
    """What laying rulesets over one another did."""

    overridden_rules: list[CompositionOverride] = field(default_factory=list)
    observe_rules: list[ObservedRule] = field(default_factory=list)

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> CompositionReport:
        """From the summary of a policy."""
        report = summary.get("report") or {}
        overridden = [_known(CompositionOverride, each) for each in report.get("overridden") or []]
        return cls(overridden, [_known(ObservedRule, each) for each in report.get("observed") or []])


def _known(kind: Any, found: Mapping[str, Any]) -> Any:
    return kind(**{name: str(found.get(name) or "") for name in kind.__dataclass_fields__})


@dataclass(frozen=True)
class Finding:
    """A postcondition that failed."""

    type: str
    rule_id: str
    field: str
    message: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class TemplateInfo:
    """A ruleset that can be loaded by its name. `path` is none for those that come with the engine."""

    name: str
    path: str | None
    builtin: bool


@dataclass(frozen=True)
class OperationLimits:
    """Limits of a session that rules can only lower."""

    max_attempts: int = 500
    max_tool_calls: int = 200
    max_calls_per_tool: dict[str, int] = field(default_factory=dict)

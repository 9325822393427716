"""Hooks in Python: asked before a tool runs, or told after it ran."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from .calls import ToolCall
from .errors import EdictumConfigError
from .questions import Callbacks, HookCall, HookPlace, Verdict


class HookResult(Enum):
    """What a hook says."""

    ALLOW = "allow"
    DENY = "block"


@dataclass(frozen=True)
class HookDecision:
    """What a hook says, and why."""

    result: HookResult
    reason: str | None = None

    @classmethod
    def allow(cls) -> HookDecision:
        """Nothing against it."""
        return cls(HookResult.ALLOW)

    @classmethod
    def block(cls, reason: str) -> HookDecision:
        """Not so."""
        return cls(HookResult.DENY, reason)

    deny = block


@dataclass(frozen=True)
class HookRegistration:
    """A hook. `callback(call)` before, `callback(call, result)` after; `when(call)` says whether it is asked at all."""

    phase: Literal["before", "after"]
    tool: str
    callback: Callable[..., Any]
    when: Callable[[ToolCall], bool] | None = None


@dataclass(frozen=True)
class Decision:
    """What a precondition in Python says."""

    passed: bool
    message: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def pass_(cls) -> Decision:
        """It holds."""
        return cls(True)

    @classmethod
    def fail(cls, message: str, **metadata: Any) -> Decision:
        """It does not."""
        return cls(False, message, metadata)


def precondition(tool: str, when: Callable[[ToolCall], bool] | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Makes a rule of `function(call) -> Decision`. It is asked like a hook."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function._edictum_precondition = HookRegistration("before", tool, function, when)  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class BuiltinRule:
    """A rule that the engine brings."""

    name: str
    settings: dict[str, Any]


def deny_sensitive_reads(
    sensitive_paths: list[str] | None = None, sensitive_commands: list[str] | None = None
) -> BuiltinRule:
    """Blocks reading files and variables that hold secrets. Without lists: the default ones."""
    settings = {"sensitive_paths": sensitive_paths or [], "sensitive_commands": sensitive_commands or []}
    return BuiltinRule("deny_sensitive_reads", settings)


def registrations(rules: Iterable[object]) -> tuple[list[HookRegistration], dict[str, Any]]:
    """Rules written in Python: as hooks, and as `builtin_rules` of an options document."""
    hooks, builtin = [], {}
    for rule in rules:
        marked = getattr(rule, "_edictum_precondition", None)
        if isinstance(rule, BuiltinRule):
            builtin[rule.name] = rule.settings
        elif marked is not None:
            hooks.append(marked)
        else:
            raise EdictumConfigError(
                "a rule in Python is a `@precondition` or `deny_sensitive_reads()`; others are YAML"
            )
    return hooks, builtin


def place(callbacks: Callbacks, hooks: Iterable[HookRegistration], result_of: Callable[[HookCall], Any]) -> None:
    """Puts hooks among the callbacks of a guard. `result_of` gives what a tool returned, as it returned it."""
    for hook in hooks:
        if hook.phase not in ("before", "after"):
            raise EdictumConfigError(f"a hook is `before` or `after`, not `{hook.phase}`")
        base = getattr(hook.callback, "__name__", "hook")
        name, number = base, 2
        while name in callbacks.hooks:
            name, number = f"{base}_{number}", number + 1
        before = hook.phase == "before"
        callbacks.places.append(HookPlace(name, hook.tool, before=before, after=not before))
        callbacks.hooks[name] = _before(hook) if before else _after(hook, result_of)


def _before(hook: HookRegistration) -> Callable[[HookCall], Any]:
    def asked(asked: HookCall) -> Verdict | Awaitable[Verdict]:
        call = ToolCall.of(asked.call)
        if hook.when is not None and not hook.when(call):
            return "skip"
        said = hook.callback(call)
        return _later(said) if inspect.isawaitable(said) else _verdict(said)

    return asked


async def _later(said: Awaitable[Any]) -> Verdict:
    return _verdict(await said)


def _verdict(said: Any) -> Verdict:
    """Only a plain yes is one."""
    if isinstance(said, HookDecision):
        return "pass" if said.result is HookResult.ALLOW else ("refuse", said.reason or "")
    if isinstance(said, Decision):
        return "pass" if said.passed else ("refuse", said.message or "")
    raise TypeError("a hook must give a HookDecision")


def _after(hook: HookRegistration, result_of: Callable[[HookCall], Any]) -> Callable[[HookCall], Any]:
    def told(told: HookCall) -> Any:
        call = ToolCall.of(told.call)
        if hook.when is not None and not hook.when(call):
            return "skip"
        said = hook.callback(call, result_of(told))
        return _passed(said) if inspect.isawaitable(said) else "pass"

    return told


async def _passed(said: Awaitable[Any]) -> Verdict:
    await said
    return "pass"

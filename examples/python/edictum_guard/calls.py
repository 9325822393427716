"""Tool calls and whose they are, as callbacks see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from .words import Word


class SideEffect(Word):
    """What a tool does to the world."""

    PURE = "pure"
    READ = "read"
    WRITE = "write"
    IRREVERSIBLE = "irreversible"


@dataclass(frozen=True)
class Principal:
    """Whose call it is."""

    user_id: str | None = None
    service_id: str | None = None
    org_id: str | None = None
    role: str | None = None
    ticket_ref: str | None = None
    claims: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> Principal | None:
        """From a map, as calls and events have it."""
        if given is None:
            return None
        known = {name: given.get(name) for name in ("user_id", "service_id", "org_id", "role", "ticket_ref")}
        return cls(**known, claims=dict(given.get("claims") or {}))

    def as_dict(self) -> dict[str, Any]:
        """As a map."""
        return asdict(self)


@dataclass(frozen=True)
class ToolCall:
    """A call, as hooks, selectors and callbacks see it."""

    tool_name: str
    args: dict[str, Any] = field(default_factory=dict)
    call_id: str = ""
    #: The session.
    run_id: str = ""
    call_index: int = 0
    parent_call_id: str | None = None
    side_effect: SideEffect = SideEffect.IRREVERSIBLE
    idempotent: bool = False
    environment: str = "production"
    timestamp: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    caller: str = ""
    tool_use_id: str | None = None
    principal: Principal | None = None
    bash_command: str | None = None
    file_path: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, call: Mapping[str, Any]) -> ToolCall:
        """From a call as the engine tells of it (`wit/schemas/call.schema.json`)."""
        args = call.get("args")
        args = args if isinstance(args, dict) else {}
        tool = str(call.get("tool", ""))
        return cls(
            tool_name=tool,
            args=args,
            call_id=call.get("call_id") or "",
            run_id=call.get("session_id") or "",
            call_index=call.get("call_index") or 0,
            parent_call_id=call.get("parent_call_id"),
            side_effect=SideEffect(call.get("side_effect") or "irreversible"),
            idempotent=bool(call.get("idempotent")),
            environment=call.get("environment") or "production",
            tool_use_id=call.get("tool_use_id"),
            principal=Principal.of(call.get("principal")),
            bash_command=_text(args, "command") if tool == "Bash" else None,
            file_path=_text(args, "file_path", "filePath", "path") if tool in _FILES else None,
            metadata=dict(call.get("metadata") or {}),
        )


_FILES = ("Read", "Write", "Edit", "Glob", "Grep")


def _text(args: Mapping[str, Any], *names: str) -> str | None:
    return next((args[name] for name in names if isinstance(args.get(name), str)), None)


def principal_map(principal: Principal | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """As the engine takes it."""
    if principal is None:
        return None
    return principal.as_dict() if isinstance(principal, Principal) else dict(principal)

"""Everything that a guard may be given beside its rules, under the names that users of the Python SDK know."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from .approval import ApprovalBackend
from .audit import AuditSink, CollectingAuditSink, RedactionPolicy
from .calls import Principal, ToolCall, principal_map
from .errors import EdictumConfigError
from .hooks import HookRegistration, place, registrations
from .host import Host
from .policy import Document
from .questions import Callbacks, HookCall
from .results import OperationLimits
from .store import BackendStore, StorageBackend, Store
from .workflow import WorkflowRuntime, read_text

if TYPE_CHECKING:
    from .core import Asker

OnBlock = Callable[[ToolCall, str, "str | None"], object]
OnAllow = Callable[[ToolCall], object]
OnError = Callable[[Exception], object]


class Beside(TypedDict, total=False):
    """Arguments that every way to make a guard takes."""

    #: Classes of tools: `{"Deploy": {"side_effect": "write", "idempotent": False}}`.
    tools: Mapping[str, Mapping[str, Any]] | None
    limits: OperationLimits | None
    redaction: RedactionPolicy | None
    on_block: OnBlock | None
    on_allow: OnAllow | None
    on_error: OnError | None
    custom_operators: Mapping[str, Callable[[Any, Any], Any]] | None
    custom_selectors: Mapping[str, Callable[[ToolCall], Any]] | None
    hooks: Sequence[HookRegistration] | None
    #: `@precondition` functions and `deny_sensitive_reads()`.
    rules: Sequence[object] | None
    success_check: Callable[[str, Any], Any] | None
    principal: Principal | Mapping[str, Any] | None
    principal_resolver: Callable[[str, dict[str, Any]], Any] | None
    workflow_runtime: WorkflowRuntime | None
    workflow_path: str | os.PathLike[str] | None
    workflow_content: str | bytes | None
    workflow_exec_evaluator_enabled: bool
    #: The session of calls that name none; none: a new one.
    session_id: str | None
    #: What open calls in a store belong to.
    guard_name: str
    #: Further members of the options document (`wit/schemas/options.schema.json`).
    options: Mapping[str, Any] | None
    host: Host | None


class Common(Beside, total=False):
    """Those that a server does not say."""

    #: `enforce` or `observe`; none: what the rules say.
    mode: str | None
    environment: str
    audit_sink: AuditSink | Sequence[AuditSink] | None
    #: Where sessions are kept: a `Store`, or a `StorageBackend`; none: in memory.
    backend: Store | StorageBackend | None
    #: Asks people; none: an `ask` blocks.
    approval_backend: ApprovalBackend | None
    #: Which agent this is.
    agent_id: str | None


@dataclass
class Settings:
    """The same, as they were given."""

    tools: Mapping[str, Mapping[str, Any]] | None = None
    mode: str | None = None
    environment: str = "production"
    limits: OperationLimits | None = None
    audit_sink: AuditSink | Sequence[AuditSink] | None = None
    redaction: RedactionPolicy | None = None
    backend: Store | StorageBackend | None = None
    approval_backend: ApprovalBackend | None = None
    on_block: OnBlock | None = None
    on_allow: OnAllow | None = None
    on_error: OnError | None = None
    custom_operators: Mapping[str, Callable[[Any, Any], Any]] | None = None
    custom_selectors: Mapping[str, Callable[[ToolCall], Any]] | None = None
    hooks: Sequence[HookRegistration] | None = None
    rules: Sequence[object] | None = None
    success_check: Callable[[str, Any], Any] | None = None
    principal: Principal | Mapping[str, Any] | None = None
    principal_resolver: Callable[[str, dict[str, Any]], Any] | None = None
    workflow_runtime: WorkflowRuntime | None = None
    workflow_path: str | os.PathLike[str] | None = None
    workflow_content: str | bytes | None = None
    workflow_exec_evaluator_enabled: bool = False
    agent_id: str | None = None
    session_id: str | None = None
    guard_name: str = "edictum"
    options: Mapping[str, Any] | None = None
    host: Host | None = None
    #: Asks people through the server, when there is one.
    asker: Asker | None = None
    grace_ms: int = 0
    #: Beside `audit_sink`, whatever that is.
    further_sinks: Sequence[AuditSink] = ()
    #: The local log that every guard keeps.
    local_sink: CollectingAuditSink = field(default_factory=CollectingAuditSink)

    def workflow(self) -> Document | None:
        """The workflow, from whichever of the three it is given as."""
        given = [self.workflow_runtime, self.workflow_path, self.workflow_content]
        if sum(each is not None for each in given) > 1:
            raise EdictumConfigError("give one of workflow_runtime, workflow_path and workflow_content")
        if self.workflow_runtime is not None:
            return self.workflow_runtime.definition.document
        if self.workflow_path is not None:
            name = str(self.workflow_path)
            return Document(name, read_text(Path(self.workflow_path).read_bytes(), name))
        if self.workflow_content is not None:
            return Document("workflow", read_text(self.workflow_content, "workflow"))
        return None

    def document(self) -> dict[str, Any]:
        """The options document. What is not given is left to the engine's defaults."""
        options: dict[str, Any] = dict(self.options or {})
        runtime = self.workflow_runtime
        named: dict[str, Any] = {
            "mode": self.mode,
            "environment": self.environment,
            "tools": {name: dict(tool) for name, tool in self.tools.items()} if self.tools else None,
            "redaction": self.redaction.as_option() if self.redaction else None,
            "exec_enabled": self.workflow_exec_evaluator_enabled
            or bool(runtime and runtime.exec_evaluator_enabled)
            or None,
            "limits": self.limits and vars(self.limits).copy(),
            "builtin_rules": registrations(self.rules or ())[1] or None,
        }
        options.update({name: value for name, value in named.items() if value is not None})
        who = "host" if self.approval_backend is not None else "none" if self.asker is None else "server"
        options.setdefault("approvals", who)
        return options

    def store(self) -> Store | None:
        """Where sessions and open calls are kept."""
        if self.backend is None or isinstance(self.backend, Store):
            return self.backend
        return BackendStore(self.backend)

    def callbacks(self, result_of: Callable[[HookCall], Any]) -> Callbacks:
        """What the program answers. `result_of` gives what a tool returned, as it returned it."""
        callbacks = Callbacks(operators=dict(self.custom_operators or {}))
        callbacks.selectors = {
            prefix: _with_call(selector) for prefix, selector in (self.custom_selectors or {}).items()
        }
        place(callbacks, [*registrations(self.rules or ())[0], *(self.hooks or ())], result_of)
        check = self.success_check
        if check is not None:
            callbacks.success_check = lambda asked: check(str(asked.call.get("tool", "")), result_of(asked))
        if self.principal_resolver is not None:
            callbacks.principal_resolver = _resolver(self.principal_resolver)
        return callbacks


def _with_call(selector: Callable[[ToolCall], Any]) -> Callable[[Mapping[str, Any]], Any]:
    if inspect.iscoroutinefunction(selector):

        async def later(call: Mapping[str, Any]) -> Any:
            return await selector(ToolCall.of(call))

        return later
    return lambda call: selector(ToolCall.of(call))


def _resolver(resolver: Callable[[str, dict[str, Any]], Any]) -> Callable[[Mapping[str, Any]], Any]:
    async def later(found: Any) -> dict[str, Any] | None:
        return principal_map(await found)

    def resolve(call: Mapping[str, Any]) -> Any:
        found = resolver(str(call.get("tool", "")), dict(call.get("args") or {}))
        return later(found) if inspect.isawaitable(found) else principal_map(found)

    return resolve

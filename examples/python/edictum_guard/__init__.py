"""Edictum Guard: policies for the tool calls of AI agents, decided by the same engine in every language.

```python
from edictum_guard import Edictum

guard = Edictum.from_template("file-agent")
result = guard.evaluate("read_file", {"path": ".env"})
print(result.decision)  # block
```

| open next | for |
|---|---|
| `Edictum` | judging calls and running tools |
| `guard.Guard` | the steps of a call one by one, for a program that runs tools itself |
| `server` | the parts that talk to edictum-api, together or alone |
| `store` | where sessions live |
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version

from .approval import ApprovalBackend, ApprovalDecision, ApprovalRequest, ApprovalStatus, LocalApprovalBackend
from .audit import (
    AuditAction,
    AuditEvent,
    AuditSink,
    CollectingAuditSink,
    CompositeSink,
    FileAuditSink,
    MarkEvictedError,
    RedactionPolicy,
    StdoutAuditSink,
)
from .calls import Principal, SideEffect, ToolCall
from .edictum import Edictum
from .errors import (
    ClosedError,
    ConflictError,
    Diagnostic,
    EdictumConfigError,
    EdictumDenied,
    EdictumError,
    EdictumToolError,
    EngineError,
    NotFoundError,
    SignatureError,
    StoreError,
    UnsupportedError,
)
from .guard import Call, Guard, Ruleset
from .hooks import Decision, HookDecision, HookRegistration, HookResult, deny_sensitive_reads, precondition
from .host import Host
from .results import CompositionReport, EvaluationResult, OperationLimits, RuleResult, TemplateInfo
from .store import MemoryBackend, MemoryStore, SqliteStore, StorageBackend, Store
from .workflow import WorkflowDefinition, WorkflowRuntime, WorkflowState, load_workflow, load_workflow_string

try:
    __version__ = _version("edictum-guard")
except PackageNotFoundError:
    __version__ = "0.0.0"

__all__ = [
    "ApprovalBackend",
    "ApprovalDecision",
    "ApprovalRequest",
    "ApprovalStatus",
    "AuditAction",
    "AuditEvent",
    "AuditSink",
    "Call",
    "ClosedError",
    "CollectingAuditSink",
    "CompositeSink",
    "CompositionReport",
    "ConflictError",
    "Decision",
    "Diagnostic",
    "Edictum",
    "EdictumConfigError",
    "EdictumDenied",
    "EdictumError",
    "EdictumToolError",
    "EngineError",
    "EvaluationResult",
    "FileAuditSink",
    "Guard",
    "HookDecision",
    "HookRegistration",
    "HookResult",
    "Host",
    "LocalApprovalBackend",
    "MarkEvictedError",
    "MemoryBackend",
    "MemoryStore",
    "NotFoundError",
    "OperationLimits",
    "Principal",
    "RedactionPolicy",
    "RuleResult",
    "Ruleset",
    "SideEffect",
    "SignatureError",
    "SqliteStore",
    "StdoutAuditSink",
    "StorageBackend",
    "Store",
    "StoreError",
    "TemplateInfo",
    "ToolCall",
    "UnsupportedError",
    "WorkflowDefinition",
    "WorkflowRuntime",
    "WorkflowState",
    "deny_sensitive_reads",
    "load_workflow",
    "load_workflow_string",
    "precondition",
]

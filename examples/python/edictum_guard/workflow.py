"""Workflows: loaded apart from the guards they are for, and where a session stands in one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Diagnostic, EdictumConfigError
from .host import Host
from .policy import Document, Source


@dataclass(frozen=True)
class WorkflowDefinition:
    """A workflow as it was written."""

    document: Document


class WorkflowRuntime:
    """A workflow that loads, for guards that share one."""

    def __init__(
        self, definition: WorkflowDefinition, *, exec_evaluator_enabled: bool = False, host: Host | None = None
    ) -> None:
        """`exec_evaluator_enabled` permits `exec(...)` in its conditions.

        Raises:
            EdictumConfigError: with everything that is wrong with it.
        """
        self.definition = definition
        self.exec_evaluator_enabled = exec_evaluator_enabled
        #: What was found that is no error.
        self.warnings: list[Diagnostic] = _checked(definition.document, exec_evaluator_enabled, host or Host.default())


def load_workflow(path: str | os.PathLike[str]) -> WorkflowDefinition:
    """Reads a workflow from a file."""
    return WorkflowDefinition(Document(str(path), read_text(Path(path).read_bytes(), str(path))))


def load_workflow_string(content: str | bytes) -> WorkflowDefinition:
    """A workflow at hand."""
    return WorkflowDefinition(Document("workflow", read_text(content, "workflow")))


def read_text(content: str | bytes, name: str) -> str:
    """A document's text.

    Raises:
        EdictumConfigError: it is not UTF-8.
    """
    if isinstance(content, str):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise EdictumConfigError(f"`{name}` is not UTF-8") from None


def _checked(document: Document, exec_enabled: bool, host: Host) -> list[Diagnostic]:
    options = json.dumps({"exec_enabled": exec_enabled})
    findings = host.check(Source((), document, options))
    first = next((finding for finding in findings if finding.severity == "error"), None)
    if first is not None:
        raise EdictumConfigError(first.message, code=first.code, diagnostics=findings)
    return findings


@dataclass(frozen=True)
class WorkflowState:
    """Where a session stands."""

    session_id: str = ""
    #: Empty: completed.
    active_stage: str = ""
    completed_stages: list[str] = field(default_factory=list)
    approvals: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    blocked_reason: str | None = None
    pending_approval: dict[str, Any] = field(default_factory=dict)
    last_blocked_action: dict[str, Any] | None = None
    last_recorded_evidence: dict[str, Any] | None = None

    @classmethod
    def of(cls, text: str) -> WorkflowState:
        """From the engine's text (`wit/schemas/session-state.schema.json`)."""
        found = json.loads(text)
        return cls(**{name: value for name, value in found.items() if name in cls.__dataclass_fields__})

    def completed(self, stage_id: str) -> bool:
        """Whether a stage is behind it."""
        return stage_id in self.completed_stages


__all__ = ["WorkflowDefinition", "WorkflowRuntime", "WorkflowState", "load_workflow", "load_workflow_string"]

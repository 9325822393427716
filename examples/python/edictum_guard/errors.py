"""Why something did not take place.

Never used for a decision: a call that cannot be judged is blocked, and the decision says so. An error from `begin` means that
nothing was decided, and the tool must not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Diagnostic:
    """One finding about a document. Lines and columns count from 1; all four are 0 when it is about the whole document."""

    severity: Literal["error", "warning", "hint"]
    code: str
    message: str
    document: str
    line: int
    column: int
    end_line: int
    end_column: int
    help: str | None = None


class EdictumError(Exception):
    """Whatever can go wrong here. `code` is stable."""

    code = "internal"


class EdictumConfigError(EdictumError):
    """Rules, options or arguments that cannot be used; `diagnostics` has every finding."""

    code = "bad-request"

    def __init__(self, message: str, *, code: str | None = None, diagnostics: Sequence[Diagnostic] = ()) -> None:
        first = next((found for found in diagnostics if found.severity == "error"), None)
        place = f"{first.document}:{first.line}:{first.column}: " if first and first.line else ""
        super().__init__(f"{place}{message}")
        self.message = message
        self.diagnostics = tuple(diagnostics)
        if code:
            self.code = code


class UnsupportedError(EdictumConfigError):
    """The rules need an answer that this guard cannot give."""

    code = "unsupported"


class SignatureError(EdictumConfigError):
    """A ruleset is not signed by a trusted key."""

    code = "unauthorized"


class EdictumDenied(EdictumError):
    """The call was blocked, and the tool did not run."""

    code = "denied"

    def __init__(self, reason: str, decision_source: str | None = None, decision_name: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.decision_source = decision_source
        self.decision_name = decision_name


class EdictumToolError(EdictumError):
    """The tool ran and failed. The text is what the agent may see."""

    code = "tool"


class NotFoundError(EdictumError):
    """No such open call, no such guard."""

    code = "not-found"


class ConflictError(EdictumError):
    """Somebody else was faster, or the call is not in the state that this takes."""

    code = "conflict"


class ClosedError(EdictumError):
    """The guard has been closed."""

    code = "closed"

    def __init__(self) -> None:
        super().__init__("the guard is closed")


class StoreError(EdictumError):
    """A store could not do something."""

    code = "unavailable"


class EngineError(EdictumError):
    """The component cannot be run, or an instance ended abnormally where no decision was asked for."""

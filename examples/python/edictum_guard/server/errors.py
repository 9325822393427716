"""What can go wrong with a server."""

from __future__ import annotations

import re
from typing import Any

from ..errors import EdictumError

_STATUS = re.compile(r"\bHTTP (\d{3})\b")


class EdictumServerError(EdictumError):
    """The server refused a request, or could not be asked. `kind` is what a program looks at; `status_code` is 0 when there was
    no answer."""

    def __init__(self, status_code: int, detail: str, *, kind: str = "protocol", code: str = "server") -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.detail = detail
        self.kind = kind
        self.code = code

    @classmethod
    def of(cls, failure: Any) -> EdictumServerError:
        """From the component's `failure`. Its words are redacted."""
        status = _STATUS.search(failure.message)
        return cls(int(status[1]) if status else 0, failure.message, kind=failure.kind, code=failure.code)


class BundleVerificationError(EdictumError):
    """A ruleset is not signed by this key."""

    code = "unauthorized"

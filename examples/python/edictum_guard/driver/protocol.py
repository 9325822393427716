"""Lines and envelopes: `{"id", "op", …}` in, `{"id", "ok", "result" | "error"}` out. An id comes back as the text it was."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any, BinaryIO

from .. import raw
from ..errors import Diagnostic, EdictumConfigError, EdictumError
from ..host import Host

#: Longest line, in bytes. A call may have 16 MiB, and its escapes.
MAX_LINE = 128 << 20


class Refusal(Exception):
    """Why a request was not carried out."""

    def __init__(self, code: str, message: str, *, id: str = "null", findings: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(message)
        self.id = id
        self.code = code
        self.message = message
        self.findings = findings

    def text(self) -> str:
        """As JSON."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        first = next((found for found in self.findings if found.severity == "error"), None)
        first = first or (self.findings[0] if self.findings else None)
        if first is not None:
            error.update(line=first.line, column=first.column)
            if first.help is not None:
                error["help"] = first.help
            error["diagnostics"] = [finding(found) for found in self.findings]
        return raw.printed(error)


def finding(found: Diagnostic) -> dict[str, Any]:
    """A diagnostic on the wire."""
    shown = vars(found).copy()
    if found.help is None:
        del shown["help"]
    return shown


def refusal(error: Exception) -> Refusal:
    """Any error as a refusal."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, EdictumConfigError):
        return Refusal(error.code, error.message, findings=error.diagnostics)
    if isinstance(error, EdictumError):
        return Refusal(error.code, str(error))
    return Refusal("internal", f"the host failed ({type(error).__name__})")


def read_line(source: BinaryIO) -> str | Refusal | None:
    """Reads a line; none at the end. One that is too long is read to its end and thrown away."""
    line = source.readline(MAX_LINE + 1)
    if not line:
        return None
    if len(line) > MAX_LINE and not line.endswith(b"\n"):
        while (rest := source.readline(1 << 20)) and not rest.endswith(b"\n"):
            pass
        return Refusal("bad-request", "the line is too long")
    try:
        return line.decode()
    except UnicodeDecodeError:
        return Refusal("bad-request", "the line is not UTF-8")


@dataclass(frozen=True)
class Request:
    """A request: its envelope, and its fields as the texts they came in."""

    id: str
    op: str
    now_ms: int | None
    parallel: bool
    fields: dict[str, str]

    @classmethod
    def read(cls, line: str, host: Host) -> Request:
        """Reads the envelope. A refusal has the id, where there is one."""
        try:
            fields = dict(host.members(line))
        except ValueError as error:
            raise Refusal("bad-request", f"the line is not a request: {error}", id=_identity(line)) from None
        request = cls(fields.get("id", "null"), "", None, False, fields)
        try:
            op = request.text("op")
            now, parallel = request.value("now_ms"), request.value("parallel", False)
            if now is not None and (not isinstance(now, int) or isinstance(now, bool) or not 0 <= now < 1 << 64):
                raise Refusal("bad-request", "now_ms: not a time in milliseconds")
            if not isinstance(parallel, bool):
                raise Refusal("bad-request", "parallel: not true or false")
        except Refusal as refused:
            refused.id = request.id
            raise
        return cls(request.id, op, now, parallel, fields)

    def value(self, name: str, otherwise: Any = None) -> Any:
        """A field, read. Null counts as not given."""
        text = self.fields.get(name)
        try:
            found = None if text is None else json.loads(text)
        except (ValueError, RecursionError):
            raise Refusal("bad-request", f"{name}: it cannot be read") from None
        return otherwise if found is None else found

    def maybe(self, name: str) -> str | None:
        """A field that is a string, when it is given."""
        found = self.value(name)
        if found is None:
            return None
        if not isinstance(found, str) or not _is_utf8(found):
            raise Refusal("bad-request", f"{name}: not a string")
        return found

    def text(self, name: str) -> str:
        """A field that is a string."""
        found = self.maybe(name)
        if found is None:
            raise Refusal("bad-request", f"{name}: is missing")
        return found

    def flag(self, name: str) -> bool | None:
        """A field that is true or false, when it is given."""
        found = self.value(name)
        if found is not None and not isinstance(found, bool):
            raise Refusal("bad-request", f"{name}: not true or false")
        return found

    def raw(self, name: str) -> str:
        """A field as the text it came in."""
        found = self.fields.get(name)
        if found is None:
            raise Refusal("bad-request", f"{name}: is missing")
        return found


def _identity(line: str) -> str:
    """The id of a line that is no request for another reason than that."""
    try:
        ids = [value for name, value in raw.members(line) if name == "id"]
    except ValueError:
        return "null"
    return ids[0] if len(ids) == 1 else "null"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Output:
    """Writes whole lines, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def answer(self, id: str, result: str) -> None:
        """`result` is JSON, on one line."""
        self._write(f'{{"id":{id},"ok":true,"result":{result}}}\n')

    def refuse(self, id: str, refused: Refusal) -> None:
        """The same for what was not carried out."""
        self._write(f'{{"id":{id},"ok":false,"error":{refused.text()}}}\n')

    def _write(self, line: str) -> None:
        with self._lock:
            self._stream.write(line.encode())
            self._stream.flush()

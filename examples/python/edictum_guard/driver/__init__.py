"""The driver protocol: one request a line in, one answer a line out. It is how tests put every host through the same cases.

`protocol` is the envelope, `session` what a driver has open, `lanes` the order of requests that run at the same time, and
`operations` what each request does. Texts of calls, outputs and results go to the engine and come back as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import BinaryIO

from ..host import Host
from .lanes import Place
from .operations import OPERATIONS, Later
from .protocol import Output, Refusal, Request, read_line, refusal
from .session import Session


class Server:
    """Serves requests until the end of input, then closes all guards."""

    def __init__(self, host: Host, output: BinaryIO) -> None:
        self._session = Session(host)
        self._output = Output(output)
        self._at_work: set[Future[None]] = set()
        self._waiting: set[Future[None]] = set()

    def serve(self, source: BinaryIO) -> None:
        """Reads lines to their end."""
        while True:
            line = read_line(source)
            if line is None:
                break
            if isinstance(line, Refusal):
                self._output.refuse("null", line)
            elif line.strip():
                self._take(line)
        wait(self._at_work)
        self._session.close_all()
        wait(self._waiting)

    def _take(self, line: str) -> None:
        """Answers one line, or starts to."""
        try:
            request = Request.read(line, self._session.host)
        except Refusal as refused:
            self._output.refuse(refused.id, refused)
            return
        host = self._session.host
        if request.now_ms is not None:
            host.clock.set(request.now_ms)
            self._session.run_due()
        # Taken here, in the order of the lines.
        place = self._session.place(request)
        if request.parallel:
            self._start(self._at_work, lambda: self._answer(request, place))
        else:
            self._answer(request, place)

    def _answer(self, request: Request, place: Place) -> None:
        with place:
            try:
                operation = OPERATIONS.get(request.op)
                if operation is None:
                    raise Refusal("bad-request", f"there is no operation `{request.op}`")
                reply = operation(self._session, request)
            except Exception as error:
                self._output.refuse(request.id, refusal(error))
                return
        if isinstance(reply, Later):
            self._start(self._waiting, lambda: self._later(request, reply))
        else:
            self._output.answer(request.id, reply)

    def _later(self, request: Request, reply: Later) -> None:
        try:
            self._output.answer(request.id, reply.wait())
        except Exception as error:
            self._output.refuse(request.id, refusal(error))

    def _start(self, group: set[Future[None]], work: Callable[[], None]) -> None:
        group -= {task for task in group if task.done()}
        group.add(self._session.host.threads.start(work))


def main() -> int:
    """Becomes a driver."""
    Server(Host.default(), sys.stdout.buffer).serve(sys.stdin.buffer)
    return 0

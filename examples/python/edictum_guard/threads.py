"""Threads for what may block: stores, the file system, callbacks, and decisions while an event loop runs.

They are made when needed, kept for a while, and end with the process without being waited for: a callback that hangs must not
keep a program from ending. Async callbacks of synchronous callers run in one event loop of their own.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds after which an idle thread ends.
IDLE = 30.0

_Job = Callable[[], None]


class Threads:
    """As many as there is work for."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def forget(self) -> None:
        """After a fork, in the child: none of them is there."""
        self.__init__()  # type: ignore[misc]

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Starts a piece of work, with the context variables of its caller."""
        future: Future[T] = Future()
        context = contextvars.copy_context()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = context.run(work)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            if self._idle > 0:
                self._idle -= 1
                self._jobs.put(job)
                return future
        threading.Thread(target=self._run, args=(job,), name="edictum", daemon=True).start()
        return future

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs a coroutine in the loop that belongs to nobody else."""
        return asyncio.run_coroutine_threadsafe(work, self.loop())

    def loop(self) -> asyncio.AbstractEventLoop:
        """That loop."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="edictum-async", daemon=True).start()
            return self._loop

    def _run(self, job: _Job) -> None:
        while True:
            job()
            del job
            with self._lock:
                self._idle += 1
            try:
                job = self._jobs.get(timeout=IDLE)
            except queue.Empty:
                with self._lock:
                    # Who took this thread for idle has put a job there, or will in a moment.
                    if self._idle > 0:
                        self._idle -= 1
                        return
                job = self._jobs.get()

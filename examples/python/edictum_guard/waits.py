"""Two ways of waiting for the same steps.

What a guard does is written once, as coroutines that wait only through a `Waits`. `Here` does everything on the calling thread
and needs no event loop; `Loop` is for asyncio, and whatever may take time leaves the loop free.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Protocol, TypeVar, cast

from .threads import Threads

T = TypeVar("T")


class NoAnswer(Exception):
    """There is no answer, and why: for the decision log, never for the agent."""


class Waits(Protocol):
    """How a step waits."""

    #: Whether blocking here would hold up others.
    in_loop: bool

    async def thread(self, work: Callable[[], T]) -> T:
        """Something that may block."""

    async def future(self, future: Future[T], timeout: float | None = None) -> T:
        """Something that runs already. Raises `NoAnswer` when it takes longer."""

    async def coroutine(self, work: Awaitable[T]) -> T:
        """Something async, of the program's."""

    def callback(
        self, function: Callable[..., Any], deadline: float | None, *arguments: Any
    ) -> Callable[[], Awaitable[Any]]:
        """Starts a function of the program's, ordinary or async; what is given back waits for its result, and raises
        `NoAnswer` when it takes longer."""


class Here:
    """On this thread."""

    in_loop = False

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def thread(self, work: Callable[[], T]) -> T:
        return work()

    async def future(self, future: Future[T], timeout: float | None = None) -> T:
        try:
            return future.result(timeout)
        except FutureTimeout:
            if future.done():
                raise
            future.cancel()
            raise NoAnswer("no answer in time") from None

    async def coroutine(self, work: Awaitable[T]) -> T:
        return self._threads.spawn(_awaited(work)).result()

    def callback(
        self, function: Callable[..., Any], deadline: float | None, *arguments: Any
    ) -> Callable[[], Awaitable[Any]]:
        until = None if deadline is None else time.monotonic() + deadline
        if inspect.iscoroutinefunction(function):
            running: Future[Any] = self._threads.spawn(function(*arguments))
        else:
            running = self._threads.start(lambda: function(*arguments))

        async def answer() -> Any:
            result = await self.future(running, _left(until))
            if inspect.isawaitable(result):
                result = await self.future(self._threads.spawn(_awaited(result)), _left(until))
            return result

        return answer


class Loop:
    """In the running event loop."""

    in_loop = True

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def thread(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._threads.start(work))

    async def future(self, future: Future[T], timeout: float | None = None) -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
        except (asyncio.TimeoutError, TimeoutError):
            if future.done() and not future.cancelled():
                raise
            raise NoAnswer("no answer in time") from None

    async def coroutine(self, work: Awaitable[T]) -> T:
        return await work

    def callback(
        self, function: Callable[..., Any], deadline: float | None, *arguments: Any
    ) -> Callable[[], Awaitable[Any]]:
        async def call() -> Any:
            if inspect.iscoroutinefunction(function):
                return await function(*arguments)
            result = await self.thread(lambda: function(*arguments))
            return await result if inspect.isawaitable(result) else result

        task = asyncio.ensure_future(asyncio.wait_for(call(), deadline))

        async def answer() -> Any:
            try:
                return await task
            except (asyncio.TimeoutError, TimeoutError):
                raise NoAnswer("no answer in time") from None

        return answer


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - time.monotonic())


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def done(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits through `Here` only, and so never really waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    work.close()
    raise RuntimeError("something waited for an event loop")

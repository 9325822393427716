"""`ServerContractSource`: rulesets from edictum-api, fetched, verified and kept new. One thread takes the steps that the component
asks for and moves the bytes of the stream.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..decider import record
from ..errors import EdictumError, EngineError
from .client import EdictumServerClient
from .errors import EdictumServerError
from .lane import Lane
from .stream import Stream

log = logging.getLogger("edictum_guard")

#: Milliseconds until a step is tried again whose instance ended abnormally.
_RETRY_MS = 1_000


@dataclass(frozen=True)
class Release:
    """A verified ruleset."""

    name: str
    text: str = field(repr=False)
    revision: str
    #: The server's number, where it has one.
    version: int | None
    #: The trusted key that verified it, where signatures are verified.
    key_id: str | None


@dataclass(frozen=True)
class Watching:
    """Who a source works for."""

    #: A ruleset to enforce. Whatever it raises refuses it, and the old one stays.
    apply: Callable[[Release], object]
    #: The start has failed: no assignment, no such ruleset, a credential that is refused.
    failed: Callable[[EdictumError], object]
    #: Trouble that people should know of.
    trouble: Callable[[EdictumError], object] = lambda _: None
    #: Approvals that a push says were decided.
    wake: Callable[[list[str]], object] = lambda _: None
    #: What is to be kept over a restart, and what was.
    keep: Callable[[str], object] = lambda _: None
    recall: Callable[[], str | None] = lambda: None


class RulesetSource:
    """See the module. Ends with `close`."""

    def __init__(self, client: EdictumServerClient, options: Mapping[str, Any], watching: Watching) -> None:
        self._client = client
        self._options = dict(options)
        self._watching = watching
        self._events: queue.SimpleQueue[tuple[int, tuple[Any, ...]]] = queue.SimpleQueue()
        self._bell = client.host.clock.bell()
        self._stream: Stream | None = None
        #: Of the stream; what an older one says counts for nothing.
        self._generation = 0
        self._closed = False
        #: There are rules.
        self._enforced = False
        self._refreshing: list[Future[str]] = []
        self._lane: Lane | None = None
        self._thread = threading.Thread(target=self._run, name="edictum-rulesets", daemon=True)

    def start(self) -> None:
        """Begins; the first ruleset comes through `apply`."""
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._closed = True
        self._bell.ring()

    def health(self) -> dict[str, Any]:
        """How it is doing. May take a moment."""
        lane = self._lane
        if lane is None:
            return {"stream": "connecting", "rules_age_s": 0, "from_memory": False}
        found: dict[str, Any] = json.loads(lane.call("health", self._now()))
        return found

    def refresh(self) -> Future[str]:
        """Fetches now; the revision that is enforced then."""
        refreshed: Future[str] = Future()
        self._say(-1, ("refresh", refreshed))
        return refreshed

    def _say(self, generation: int, event: tuple[Any, ...]) -> None:
        self._events.put((generation, event))
        self._bell.ring()

    def _run(self) -> None:
        try:
            while not self._closed:
                self._bell.sleep_until(self._turn_anyway())
        except EdictumServerError as error:
            self._fail(error)
        except Exception as error:
            log.exception("the source of rulesets has ended")
            self._fail(
                EdictumServerError(0, f"the source of rulesets has ended ({type(error).__name__})", kind="internal")
            )
        finally:
            if self._stream is not None:
                self._stream.close()

    def _turn(self) -> int | None:
        """One step, and when the next is due."""
        try:
            if self._lane is None:
                self._lane = self._opened()
            self._hear(self._lane)
            step = self._lane.call("step", self._now())
        except EdictumServerError:
            raise
        except EdictumError as error:
            # A new instance knows nothing of the stream.
            self._end_stream()
            self._watching.trouble(error)
            return self._now() + _RETRY_MS
        return self._take(self._lane, step)

    def _turn_anyway(self) -> int | None:
        """The same; once there are rules, nothing ends it."""
        try:
            return self._turn()
        except Exception as error:
            if not self._enforced:
                raise
            log.exception("a step of the source of rulesets failed")
            self._end_stream()
            self._watching.trouble(error if isinstance(error, EdictumError) else EngineError(type(error).__name__))
            return self._now() + _RETRY_MS

    def _opened(self) -> Lane:
        recall, options = self._watching.recall, self._options
        return Lane(self._client.host, self._client.connect, lambda: ("ruleset-source", options, (recall(),)))

    def _take(self, lane: Lane, step: Any) -> int | None:
        for notice in step.notices:
            self._notice(json.loads(notice))
        if step.memory is not None:
            self._watching.keep(step.memory)
        wake = getattr(step, "wake-approvals")
        if wake:
            self._watching.wake(list(wake))
        following: int | None = step.next
        if step.release is not None:
            self._apply(lane, step.release)
            # Reporting it may make something due.
            following = self._now()
        if step.connection == "close":
            self._end_stream()
        elif step.connection == "open":
            self._open_stream(lane)
        if step.failed is not None:
            raise EdictumServerError.of(step.failed)
        return following if self._events.empty() else self._now()

    def _apply(self, lane: Lane, found: Any) -> None:
        release = Release(
            found.ruleset.name, found.ruleset.text, found.revision, found.version, getattr(found, "key-id")
        )
        refreshing, self._refreshing = self._refreshing, []
        try:
            self._watching.apply(release)
        except Exception as error:
            code = getattr(error, "code", "internal")
            reason = record(kind="invalid-document", code=code, message=str(error), diagnostics=[])
            lane.call("rejected", release.revision, reason, self._now())
            for each in refreshing:
                each.set_exception(error)
        else:
            self._enforced = True
            lane.call("enforced", release.revision, self._now())
            for each in refreshing:
                each.set_result(release.revision)

    def _hear(self, lane: Lane) -> None:
        while not self._events.empty():
            generation, (what, *rest) = self._events.get()
            if what == "refresh":
                self._refreshing.append(rest[0])
                self._lane = None
                self._end_stream()
                self._lane = lane = self._opened()
            elif generation != self._generation:
                continue
            elif what == "opened":
                lane.call("stream-opened", rest[0], [tuple(header) for header in rest[1]], self._now())
            elif what == "data":
                lane.call("stream-data", rest[0], self._now())
            elif what == "closed":
                self._stream = None
                lane.call("stream-closed", self._now())

    def _open_stream(self, lane: Lane) -> None:
        self._end_stream()
        request = lane.call("stream-request", self._now())
        generation = self._generation
        idle = getattr(request, "idle-timeout-ms")
        headers = [(name, value) for name, value in request.headers]
        url = self._client.connect.url
        self._stream = Stream(request.url, headers, idle, url, lambda event: self._say(generation, event))

    def _end_stream(self) -> None:
        self._generation += 1
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _notice(self, notice: Mapping[str, Any]) -> None:
        level = {"error": logging.ERROR, "warning": logging.WARNING}.get(str(notice.get("level")), logging.INFO)
        log.log(level, "%s", notice.get("message"))
        if level == logging.ERROR:
            self._watching.trouble(
                EdictumServerError(0, str(notice.get("message")), kind="unavailable", code=str(notice.get("code")))
            )

    def _fail(self, error: EdictumServerError) -> None:
        self._closed = True
        for each in self._refreshing:
            each.set_exception(error)
        self._watching.failed(error)

    def _now(self) -> int:
        return self._client.host.clock.now()


class ServerContractSource:
    """Rulesets as they change on the server. Each that `watch` gives has been verified."""

    def __init__(
        self,
        client: EdictumServerClient,
        *,
        verify_signatures: bool = False,
        signing_public_keys: list[str] | None = None,
        reconnect_delay: float = 1.0,
        max_reconnect_delay: float = 60.0,
    ) -> None:
        """`client` names the ruleset; without `bundle_name` the server assigns one. When to connect again is the protocol's to say;
        the two delays are taken for compatibility and not used."""
        self._client = client
        self._releases: queue.SimpleQueue[Release | EdictumError | None] = queue.SimpleQueue()
        options = source_options(
            client, verify_signatures=verify_signatures, signing_public_keys=signing_public_keys or [], auto_watch=True
        )
        self._source = RulesetSource(client, options, Watching(self._releases.put, self._releases.put))
        self._started = False

    async def connect(self) -> None:
        """Begins. `watch` does so by itself."""
        if not self._started:
            self._started = True
            await asyncio.to_thread(self._client.host.lanes)
            self._source.start()

    async def watch(self) -> AsyncIterator[dict[str, Any]]:
        """Each ruleset that is to be enforced: `name`, `yaml`, `yaml_bytes`, `revision_hash`, `version`, `key_id`.

        Raises:
            EdictumServerError: the start has failed.
        """
        await self.connect()
        while True:
            release = await self._client.host.loop.thread(self._releases.get)
            if release is None:
                return
            if isinstance(release, EdictumError):
                raise release
            yield {
                "name": release.name,
                "bundle_name": release.name,
                "yaml": release.text,
                "yaml_bytes": release.text.encode(),
                "revision_hash": release.revision,
                "version": release.version,
                "key_id": release.key_id,
            }

    async def close(self) -> None:
        """Ends it, and who watches."""
        self._source.close()
        self._releases.put(None)


def source_options(
    client: EdictumServerClient,
    *,
    verify_signatures: bool,
    signing_public_keys: list[str],
    auto_watch: bool,
    offline_start: bool = True,
) -> dict[str, Any]:
    """As `ruleset-source.open` takes them."""
    options: dict[str, Any] = {
        "auto_watch": auto_watch,
        "verify_signatures": verify_signatures,
        "signing_public_keys": signing_public_keys,
        "offline_start": offline_start,
    }
    if client.bundle_name is not None:
        options["bundle_name"] = client.bundle_name
    return options

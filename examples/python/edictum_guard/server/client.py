"""`EdictumServerClient`: requests to edictum-api with credential, retries and the TLS rule, for people who manage transport
themselves, and what the other parts are made from."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

from .. import raw
from ..host import Host
from .errors import EdictumServerError
from .lane import Connect, Lane

#: Most instances that a client keeps: so many of its requests may be under way at the same time without making new ones.
_KEPT = 4


class EdictumServerClient:
    """Address, identity and credential. Thread-safe; nothing of it blocks an event loop."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        agent_id: str = "default",
        env: str = "production",
        bundle_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        max_retries: int = 3,
        allow_insecure: bool = False,
        host: Host | None = None,
    ) -> None:
        """Makes no request. `timeout`: seconds of one attempt. `max_retries`: attempts of one request, at most three.

        Raises:
            EdictumServerError: plain http to another machine without `allow_insecure`, or a key that cannot be one.
        """
        self.host = host or Host.default()
        self.connect = Connect(base_url, api_key, agent_id, env, dict(tags or {}), allow_insecure, timeout)
        self.bundle_name = bundle_name
        self._attempts = max(1, max_retries)
        self._lock = threading.Lock()
        self._idle: list[Lane] = []
        self._idle.append(Lane(self.host, self.connect, lambda: None))

    def __repr__(self) -> str:
        return f"EdictumServerClient(agent_id={self.connect.agent_id!r}, env={self.connect.env!r})"

    @property
    def agent_id(self) -> str:
        """Which agent this is."""
        return self.connect.agent_id

    @property
    def env(self) -> str:
        """Name of the environment."""
        return self.connect.env

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Reads. `params` are the query; none of them is left out. Gives the body.

        Raises:
            EdictumServerError: not carried out.
        """
        query = [(name, _shown(value)) for name, value in params.items() if value is not None]
        return await self._request("get", path, query, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates, or counts. Not repeated when it is not known whether it was carried out."""
        return await self._request("post", path, [], raw.printed(body))

    async def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Writes."""
        return await self._request("put", path, [], raw.printed(body))

    async def delete(self, path: str) -> dict[str, Any]:
        """Removes."""
        return await self._request("delete", path, [], None)

    async def close(self) -> None:
        """Lets go of what it keeps. It can still be used."""
        with self._lock:
            self._idle.clear()

    async def _request(self, method: str, path: str, query: list[tuple[str, str]], body: str | None) -> dict[str, Any]:
        return await self.host.loop.thread(lambda: self._carry_out(method, path, query, body))

    def _carry_out(self, method: str, path: str, query: list[tuple[str, str]], body: str | None) -> dict[str, Any]:
        with self._lock:
            lane = self._idle.pop() if self._idle else None
        if lane is None:
            lane = Lane(self.host, self.connect, lambda: None)
        reference = secrets.token_hex(16)
        for attempt in range(1 << 16):
            now = self.host.clock.now()
            reply = lane.call("request", reference, attempt, method, path, query, body, now)
            if reply.tag == "retry-at" and attempt + 1 < self._attempts:
                time.sleep(max(0, reply.payload - self.host.clock.now()) / 1000)
                continue
            break
        with self._lock:
            if len(self._idle) < _KEPT:
                self._idle.append(lane)
        if reply.tag == "done":
            found: Any = json.loads(reply.payload.body)
            return found if isinstance(found, dict) else {"result": found} if found is not None else {}
        if reply.tag == "retry-at":
            raise EdictumServerError(0, "the server cannot be reached", kind="unavailable")
        raise EdictumServerError.of(reply.payload)


def _shown(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)

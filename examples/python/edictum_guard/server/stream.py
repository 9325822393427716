"""The stream of events: a request whose answer does not end, on a thread of its own. Here are its socket and nothing else; what its
bytes mean is in the component.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

#: Most bytes of the stream that the component takes at a time.
MAX_PART = 16 * 1024

#: `("opened", status, headers)`, `("data", bytes)`, `("closed",)`.
Event = tuple[Any, ...]


class Stream:
    """Reads until the server ends it, nothing came for too long, or it is closed."""

    def __init__(
        self, url: str, headers: list[tuple[str, str]], idle_ms: int, origin: str, heard: Callable[[Event], None]
    ) -> None:
        """Goes to the server of `origin` only. `heard` is called on another thread."""
        self._closed = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        arguments = (url, headers, idle_ms / 1000, origin, heard)
        threading.Thread(target=self._run, args=arguments, name="edictum-stream", daemon=True).start()

    def close(self) -> None:
        """Ends it. Nothing is heard from then on."""
        self._closed.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _run(
        self, url: str, headers: list[tuple[str, str]], idle: float, origin: str, heard: Callable[[Event], None]
    ) -> None:
        def tell(*event: Any) -> None:
            if not self._closed.is_set():
                heard(event)

        try:
            to = urlsplit(url)
            if _origin(to) != _origin(urlsplit(origin)):
                raise OSError("a stream from another server was stopped")
            connection = self._connection = _connect(to, idle)
            target = f"{to.path or '/'}?{to.query}" if to.query else to.path or "/"
            connection.putrequest("GET", target, skip_accept_encoding=True)
            for name, value in headers:
                if name.lower() != "host":
                    connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            tell("opened", response.status, response.getheaders())
            while not self._closed.is_set():
                part = response.read1(MAX_PART)
                if not part:
                    break
                tell("data", part)
        except (OSError, http.client.HTTPException, ValueError):
            # Whatever it was: the component asks again in its time.
            pass
        finally:
            if self._connection is not None:
                self._connection.close()
            tell("closed")


def _connect(to: SplitResult, idle: float) -> http.client.HTTPConnection:
    host = to.hostname or ""
    if to.scheme == "https":
        return http.client.HTTPSConnection(host, to.port, timeout=idle, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, to.port, timeout=idle)


def _origin(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or (443 if url.scheme == "https" else 80)

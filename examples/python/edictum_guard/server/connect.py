"""`Edictum.from_server`: a guard from what is said about its server."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..approval import ApprovalBackend
from ..audit import AuditSink
from ..errors import EdictumConfigError
from ..guard import Guard, Ruleset
from ..host import Host
from ..settings import Settings
from ..store import StorageBackend, Store
from .client import EdictumServerClient
from .connection import GRACE_MS, ServerConnection
from .log import ServerAuditSink
from .sessions import ServerBackend
from .source import source_options

if TYPE_CHECKING:
    from ..edictum import Edictum

log = logging.getLogger("edictum_guard")


@dataclass(frozen=True)
class ServerSettings:
    """See `Edictum.from_server`."""

    url: str
    api_key: str = field(repr=False)
    agent_id: str
    env: str
    bundle_name: str | None
    tags: Mapping[str, str]
    mode: str
    audit_sink: AuditSink | Sequence[AuditSink] | None
    approval_backend: ApprovalBackend | None
    storage_backend: Store | StorageBackend | None
    auto_watch: bool
    allow_insecure: bool
    verify_signatures: bool
    signing_public_keys: list[str]
    outbox: str | os.PathLike[str] | None
    memory: Store | None
    timeout: float
    #: Whether people are asked through the server, when there is no backend.
    asks: bool = True


async def connect(kind: type[Edictum], server: ServerSettings, settings: Settings) -> Edictum:
    """Makes the parts, waits for the first rules, and makes the guard of them."""
    if not server.auto_watch and server.bundle_name is None:
        raise EdictumConfigError("without `auto_watch` the server cannot assign a ruleset: give `bundle_name`")
    host = settings.host
    if host is None:
        host = await asyncio.to_thread(Host.default)
    connection = await host.loop.thread(lambda: _connection(server, settings, host))
    guard = kind.__new__(kind)

    def make(ruleset: Ruleset) -> Guard:
        guard._set_up([ruleset], settings, connection)
        return guard.guard

    first = await host.loop.thread(lambda: connection.start(make))
    try:
        await host.loop.future(first)
    except BaseException:
        await connection.close()
        raise
    return guard


def _connection(server: ServerSettings, settings: Settings, host: Host) -> ServerConnection:
    client = EdictumServerClient(
        server.url,
        server.api_key,
        agent_id=server.agent_id,
        env=server.env,
        bundle_name=server.bundle_name,
        tags=server.tags,
        timeout=server.timeout,
        allow_insecure=server.allow_insecure,
        host=host,
    )
    sink: ServerAuditSink | None = None
    if server.audit_sink is None:
        bare = bool((settings.options or {}).get("bare_events"))
        sink = ServerAuditSink(client, outbox=os.fspath(server.outbox) if server.outbox else None, bare_events=bare)
    own = server.storage_backend
    options: dict[str, Any] = source_options(
        client,
        verify_signatures=server.verify_signatures,
        signing_public_keys=server.signing_public_keys,
        auto_watch=server.auto_watch,
    )
    connection = ServerConnection(
        client,
        options,
        store=server.memory or (own if isinstance(own, Store) else None),
        sink=sink,
        asks=server.asks and server.approval_backend is None,
        on_error=lambda error: _tell(settings, error),
    )
    settings.host = host
    settings.agent_id = server.agent_id
    if settings.guard_name == Settings.guard_name:
        settings.guard_name = server.agent_id
    settings.environment = server.env
    settings.mode = server.mode
    settings.audit_sink = server.audit_sink if sink is None else sink
    settings.approval_backend = server.approval_backend
    settings.backend = own if own is not None else ServerBackend(client)
    settings.asker = connection.asker
    settings.grace_ms = GRACE_MS if connection.asker is not None else 0
    return connection


def _tell(settings: Settings, error: Exception) -> None:
    if settings.on_error is not None:
        try:
            settings.on_error(error)
        except Exception:
            log.exception("on_error failed")

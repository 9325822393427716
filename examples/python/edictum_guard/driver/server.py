"""`open_server`, `health`, `flush`: guards whose rules, sessions, approvals and log are on edictum-api."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any

from .. import raw
from ..audit import AuditEvent
from ..edictum import Edictum
from ..events import EventBuffer
from ..server import EdictumServerError
from ..server.connect import ServerSettings, connect
from ..settings import Settings
from .protocol import Refusal, Request
from .session import MAX_EVENT_BYTES, Open, Session

#: Seconds that a `flush` takes at most, unless it says otherwise.
FLUSH = 10.0


class _Buffered:
    """The events of a guard, for `events`."""

    def __init__(self, buffer: EventBuffer, session: Session) -> None:
        self._buffer = buffer
        self._waits = session.host.here

    async def emit(self, event: AuditEvent) -> None:
        """See `audit.AuditSink`."""
        await self._buffer.emit(self._waits, [event.wire])


def open_server(session: Session, request: Request) -> str:
    """A guard from the options of its server."""
    from .operations import store

    name = request.text("guard")
    session.close(name)
    if request.value("plugins"):
        raise Refusal("unsupported", "this host has no plugins yet")
    options = dict(request.value("options", {}))
    if request.value("compat") is not None:
        options["compat"] = request.value("compat")
    where, people = request.value("store", "server"), request.value("approvals", "server")
    if people != "server":
        options["approvals"] = people
    keys = request.value("signing_public_keys", [])
    server = ServerSettings(
        url=request.text("url"),
        api_key=request.text("api_key"),
        agent_id=request.maybe("agent_id") or "default",
        env=request.maybe("env") or "production",
        bundle_name=request.maybe("bundle_name"),
        tags=request.value("tags", {}),
        mode=request.maybe("mode") or "enforce",
        audit_sink=() if request.value("decision_log") == "local" else None,
        approval_backend=None,
        storage_backend=None if where == "server" else store(session, where, durable=options.get("durable") is True),
        auto_watch=request.flag("auto_watch") is not False,
        allow_insecure=bool(request.flag("allow_insecure")),
        verify_signatures=bool(request.flag("verify_signatures")),
        signing_public_keys=[str(key) for key in keys],
        outbox=None,
        memory=None if where != "server" else session.memory,
        timeout=30.0,
        asks=people == "server",
    )
    buffer = EventBuffer(MAX_EVENT_BYTES)
    settings = Settings(
        guard_name=name,
        options=options,
        workflow_content=request.maybe("workflow"),
        workflow_exec_evaluator_enabled=bool(request.flag("exec_enabled")),
        further_sinks=[_Buffered(buffer, session)],
        host=session.host,
    )
    try:
        edictum = _done(session, connect(Edictum, server, settings))
    except EdictumServerError as error:
        raise _refusal(error) from None
    bundle = edictum.server_bundle_name
    session.insert(name, Open(edictum.guard, buffer, bundle or "rules", edictum=edictum))
    return raw.printed({"policy_version": edictum.policy_version, "bundle_name": bundle})


def health(session: Session, request: Request) -> str:
    """How a guard is doing."""
    opened = session.guard(request.text("guard"))
    if opened.edictum is not None:
        return raw.printed(_done(session, opened.edictum.health()))
    found = {"policy_version": opened.guard.policy_version, "stream": "off", "log": "off"}
    return raw.printed({**found, "unsent_events": 0, "rules_age_s": 0, "from_memory": False})


def flush(session: Session, request: Request) -> str:
    """Lets the decision log be delivered now."""
    opened = session.guard(request.text("guard"))
    within = request.value("timeout_ms")
    seconds = FLUSH if within is None else within / 1000
    unsent = 0 if opened.edictum is None else _done(session, opened.edictum.flush(seconds))
    return json.dumps({"unsent_events": unsent})


def _done(session: Session, work: Coroutine[Any, Any, Any]) -> Any:
    return session.host.threads.spawn(work).result()


def _refusal(error: EdictumServerError) -> Refusal:
    return Refusal(error.code, str(error))

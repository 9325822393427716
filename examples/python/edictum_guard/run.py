"""All steps around one tool: begin, ask a person where the rules say so, run it, judge what it returned."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from . import approval, raw
from .calls import SideEffect, ToolCall
from .core import Call
from .decision import Decision
from .errors import ConflictError, EdictumDenied, EdictumToolError, NotFoundError
from .guard import Guard
from .settings import Settings

log = logging.getLogger("edictum_guard")


class Runner:
    """Runs tools for one guard."""

    def __init__(self, guard: Guard, settings: Settings, results: dict[str, Any]) -> None:
        self._guard = guard
        self._settings = settings
        self._results = results

    def snapshot(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as they are now: what is judged is what the tool gets, whatever happens to them meanwhile."""
        try:
            return copy.deepcopy(dict(args))
        except Exception:
            # Something in it cannot be copied: what it is in JSON can.
            found: dict[str, Any] = json.loads(raw.printed(args))
            return found

    async def run(
        self,
        members: raw.Members,
        args: dict[str, Any],
        tool: Callable[..., Any],
        session_id: str | None,
        parent_session_id: str | None,
    ) -> Any:
        """See `Edictum.run`."""
        decision = await self._guard.begin(Call(members, session_id, None, parent_session_id))
        while decision.action == "ask":
            decision = await self._approval(decision)
        call = self._tool_call(members, decision, session_id)
        if decision.action != "allow":
            self._tell(self._settings.on_block, call, decision.reason, decision.name or None)
            details = decision.details()
            raise EdictumDenied(decision.reason, details.get("decision_source"), details.get("decision_name"))
        if not decision.observed:
            self._tell(self._settings.on_allow, call)
        failed = False
        try:
            result = await self._called(tool, args)
            output = _output(result)
        except Exception as error:
            # What the agent sees of it is judged like any output, so it is not chained to what is raised below.
            failed, result = True, str(error)
            output = raw.quoted(result)
        self._results[decision.call_id] = result
        try:
            ended = await self._guard.finish(decision.call_id, output, False if failed else None)
        finally:
            self._results.pop(decision.call_id, None)
        if ended.replacement is not None:
            result = json.loads(ended.replacement)
        if not ended.success:
            raise EdictumToolError(result)
        return result

    async def _called(self, tool: Callable[..., Any], args: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(tool):
            return await tool(**args)
        result = await self._guard.host.loop.thread(lambda: tool(**args))
        return await result if inspect.isawaitable(result) else result

    async def _approval(self, decision: Decision) -> Decision:
        """Whoever answers first: the backend, somebody who settles the call, or its deadline."""
        call_id = decision.call_id
        settled = asyncio.ensure_future(self._guard.settled(call_id))
        backend = self._settings.approval_backend
        if backend is None:
            return await settled
        asked = asyncio.ensure_future(approval.ask(backend, json.loads(decision.approval or "{}")))
        try:
            await asyncio.wait({asked, settled}, return_when=asyncio.FIRST_COMPLETED)
            if settled.done():
                return settled.result()
            outcome = self._outcome(call_id, asked)
            try:
                return await self._guard.settle(call_id, outcome)
            except (NotFoundError, ConflictError):
                return await settled
        finally:
            for task in (asked, settled):
                task.cancel()
            await asyncio.gather(asked, settled, return_exceptions=True)

    def _outcome(self, call_id: str, asked: asyncio.Future[dict[str, Any]]) -> dict[str, Any]:
        error = asked.exception()
        if error is None:
            return asked.result()
        log.error(
            "guard `%s`: nobody can be asked about call `%s`: %s", self._guard.name, call_id, type(error).__name__
        )
        if self._settings.on_error is not None and isinstance(error, Exception):
            self._tell(self._settings.on_error, error)
        return {"verdict": "unreachable"}

    def _tell(self, callback: Callable[..., Any] | None, *arguments: Any) -> None:
        """Callbacks only watch: what they raise changes nothing."""
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception:
            log.exception("a callback failed")

    def _tool_call(self, members: raw.Members, decision: Decision, session_id: str | None) -> ToolCall:
        known: dict[str, Any] = {}
        for name, text in members:
            try:
                known[name] = json.loads(text)
            except (ValueError, RecursionError):
                known[name] = text
        known["call_id"], known["session_id"] = decision.call_id, session_id or self._guard.session_id
        effect = next((raw.member(event, "side_effect") for event in decision.events), None)
        known["side_effect"] = json.loads(effect) if effect else SideEffect.IRREVERSIBLE.value
        return ToolCall.of(known)


def _output(result: Any) -> str:
    try:
        return raw.printed(result)
    except (ValueError, RecursionError):
        return raw.quoted(str(result))

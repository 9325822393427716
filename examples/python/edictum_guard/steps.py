"""One step of a call: ask the engine, answer its questions, ask again, until it has an end. Any decider does any part of it; the
policy is the same from the first to the last.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import raw
from .decider import Abnormal, Decider, Fault, Refused, TextStep
from .policy import Policy
from .questions import Respondent
from .waits import Waits

if TYPE_CHECKING:
    from .core import Core

log = logging.getLogger("edictum_guard")

#: Most inquiries of one step. The engine needs a handful; conflicts in the store cost one each.
MAX_ROUNDS = 256

_DONE = '{"done":'


@dataclass(frozen=True)
class Scene:
    """What a step is about."""

    waits: Waits
    policy: Policy
    session: str
    call: str | None


class Failed(Exception):
    """A step that ended abnormally, and the last ticket that the engine gave."""

    def __init__(self, fault: Fault, ticket: str | None) -> None:
        super().__init__(fault)
        self.fault = fault
        self.ticket = ticket


class NotARequest(Exception):
    """The engine says that this is no request (`{"failed": …}`): nothing was decided."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def drive(core: Core, scene: Scene, step: TextStep, parts: raw.Members, ticket: str | None = None) -> str:
    """Takes a step to its end and gives the text of what is done. `parts`: the members of its request.

    Raises:
        Failed: it came to no end.
    """
    # What `resume` of this step is given again.
    again = [part for part in parts if part[0] not in ("ticket", "approval")]
    request = raw.joined(parts)
    try:
        answer = await _text(core, scene, step, request)
        return await _ended(core, scene, again, answer, ticket)
    except Failed:
        raise
    except NotARequest as error:
        log.error("guard `%s`: the engine does not know a step: %s", core.name, error.code)
        raise Failed("host", ticket) from None
    except Abnormal as abnormal:
        raise _failed(core, abnormal, ticket) from None


async def operated(core: Core, scene: Scene, command: str, now: int) -> tuple[str, list[str]]:
    """An operation on a session: its state afterwards, and its events.

    Raises:
        Failed: it came to no end.
        Refused: the engine refuses the command.
    """
    session = scene.session

    def work(decider: Decider, policy: Any) -> Any:
        return decider.operate(policy, session, command, now)

    try:
        step = await core.host.decide(scene.waits, scene.policy, len(command), work)
    except Abnormal as abnormal:
        raise _failed(core, abnormal, None) from None
    # The first answer is typed: an inquiry, or a result with its case.
    if hasattr(step, "tag"):
        if step.tag == "err":
            raise Refused(step.payload)
        return step.payload.state, list(step.payload.events)
    questions = "[" + ",".join(_question(question) for question in step.questions) + "]"
    inquiry = raw.joined([("ask_host", raw.joined([("ticket", step.ticket), ("questions", questions)]))])
    try:
        done = await _ended(core, scene, [("now", str(now))], inquiry, None)
    except NotARequest as error:
        log.error("guard `%s`: the engine does not know a step: %s", core.name, error.code)
        raise Failed("host", None) from None
    except Abnormal as abnormal:
        raise _failed(core, abnormal, None) from None
    ((case, text),) = raw.members(done)
    if case == "err":
        raise Refused(_Failure(text))
    parts = dict(raw.members(text))
    return parts["state"], raw.elements(parts["events"])


async def _ended(core: Core, scene: Scene, again: raw.Members, answer: str, ticket: str | None) -> str:
    for _ in range(MAX_ROUNDS):
        if answer.startswith(_DONE):
            return answer[len(_DONE) : -1]
        ((case, text),) = raw.members(answer)
        if case != "ask_host":
            raise NotARequest(raw.member(text, "code") or case)
        parts = dict(raw.members(text))
        ticket = parts["ticket"]
        answers = await _respondent(core, scene).answer(parts["questions"])
        request = raw.joined([*again, ("ticket", ticket), ("answers", answers)])
        try:
            answer = await _text(core, scene, "resume", request)
        except Abnormal as abnormal:
            raise _failed(core, abnormal, ticket) from None
    raise _failed(core, Abnormal("a step without end"), ticket)


async def _text(core: Core, scene: Scene, step: TextStep, request: str) -> str:
    def work(decider: Decider, policy: Any) -> str:
        return decider.text(step, policy, request)

    return await core.host.decide(scene.waits, scene.policy, len(request), work)


def _failed(core: Core, abnormal: Abnormal, ticket: str | None) -> Failed:
    log.error("guard `%s`: a step failed (%s): %s", core.name, abnormal.fault, abnormal.reason)
    return Failed(abnormal.fault, ticket)


def _respondent(core: Core, scene: Scene) -> Respondent:
    settings = scene.policy.settings
    return Respondent(
        waits=scene.waits,
        threads=core.host.threads,
        callbacks=core.callbacks,
        deadline=core.host.callback_deadline,
        store=core.store,
        session=scene.session,
        session_ttl_ms=settings.session_ttl_ms,
        now=core.now(),
        call=scene.call,
        cwd=settings.cwd,
    )


def _question(question: Any) -> str:
    """A typed question in the text form. Operations on a session ask its store, and nobody else."""
    if question.tag != "session":
        return raw.quoted(question.tag)
    return raw.printed({"session": [_operation(operation) for operation in question.payload]})


def _operation(operation: Any) -> dict[str, Any]:
    what = operation.payload
    if isinstance(what, str):
        return {operation.tag: what}
    if operation.tag == "increment":
        return {"increment": {"key": what.key, "amount": what.amount}}
    put = {"key": what.key, "value": what.value}
    return {"put": put if what.expected is None else {**put, "expected": what.expected}}


class _Failure:
    """`types.failure` in the text form."""

    def __init__(self, text: str) -> None:
        import json

        found = json.loads(text)
        self.kind, self.code, self.message = found["kind"], found["code"], found["message"]
        self.diagnostics: list[Any] = []

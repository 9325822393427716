"""What each request does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import raw
from ..core import Call
from ..decision import Decision
from ..events import EventBuffer
from ..guard import Guard, Ruleset
from ..policy import Document, Source
from ..store import MemoryStore, Store
from . import server
from .protocol import Refusal, Request, finding
from .session import MAX_EVENT_BYTES, Open, Session

PROTOCOL = 1

#: The optional parts of the protocol that this host has.
CAPABILITIES = ["open_server", "path", "workflow"]

#: Fields of `open` that are members of the options document, and win over those of `options`.
_OPTIONS = (
    "mode",
    "environment",
    "tools",
    "limits",
    "env",
    "exec_enabled",
    "verify_signatures",
    "signing_public_keys",
    "registry",
    "compat",
)

_OUTCOMES = ("approved", "rejected", "timed_out")


@dataclass(frozen=True)
class Later:
    """An answer that waits for a person."""

    wait: Callable[[], str]


def _hello(_: Session, __: Request) -> str:
    from .. import __version__

    return raw.printed({"protocol": PROTOCOL, "host": "python", "version": __version__, "capabilities": CAPABILITIES})


def _check(session: Session, request: Request) -> str:
    options = dict(request.value("options", {}))
    if request.value("registry") is not None:
        options["registry"] = request.value("registry")
    rulesets = tuple(Document(each.name, each.text) for each in _rulesets(request))
    found = session.host.check(Source(rulesets, _workflow(request), raw.printed(options)))
    return raw.printed({"diagnostics": [finding(each) for each in found]})


def _templates(session: Session, _: Request) -> str:
    templates = [{"name": each.name, "yaml": each.text} for each in session.host.templates()]
    return raw.printed({"templates": templates})


def _open(session: Session, request: Request) -> str:
    name = request.text("guard")
    rulesets = _rulesets(request)
    session.close(name)
    if request.value("plugins"):
        raise Refusal("unsupported", "this host has no plugins yet")
    options = request.value("options", {})
    if not isinstance(options, dict):
        raise Refusal("bad-request", "options: not an object")
    named = {field: request.value(field) for field in _OPTIONS}
    options.update({field: value for field, value in named.items() if value is not None})
    principal = request.fields.get("principal")
    events = EventBuffer(MAX_EVENT_BYTES)
    guard = Guard(
        name,
        rulesets,
        options=options,
        workflow=_workflow(request),
        store=store(session, request.value("store"), durable=options.get("durable") is True),
        sink=events,
        principal=None if principal in (None, "null") else principal,
        host=session.host,
    )
    session.insert(name, Open(guard, events, rulesets[0].name if rulesets else "rules"))
    rules = [rule["id"] for rule in guard.summary.get("rules", [])]
    return raw.printed({"policy_version": guard.policy_version, "rules": rules, "report": guard.summary.get("report")})


def _reload(session: Session, request: Request) -> str:
    opened = session.guard(request.text("guard"))
    ruleset = Ruleset(opened.ruleset, request.text("yaml"), request.maybe("signature"))
    return raw.printed({"policy_version": opened.guard.blocking.reload([ruleset])})


def _close(session: Session, request: Request) -> str:
    name = request.text("guard")
    session.guard(name)
    return raw.printed({"unsent_events": session.close(name)})


def _evaluate(session: Session, request: Request) -> str:
    opened = session.guard(request.text("guard"))
    return opened.guard.blocking.evaluate(_call(session, request), request.fields.get("output"))


def _begin(session: Session, request: Request) -> str | Later:
    opened = session.guard(request.text("guard"))
    session_id, hold = request.text("session_id"), request.flag("hold")
    call = Call(_call(session, request), session_id, request.maybe("call_id"), request.maybe("parent_session_id"))
    decision = opened.guard.blocking.begin(call)
    if decision.action == "block":
        opened.calls.pop(decision.call_id, None)
    else:
        opened.calls[decision.call_id] = session_id
    if decision.action == "ask" and hold:
        return _wait(opened, decision.call_id)
    return _decided(decision)


def _approve(session: Session, request: Request) -> str | Later:
    opened = session.guard(request.text("guard"))
    call_id, outcome = request.text("call_id"), request.maybe("outcome")
    answer = {"approver": request.maybe("approver"), "reason": request.maybe("reason")}
    if outcome is None:
        return _wait(opened, call_id)
    if outcome not in _OUTCOMES:
        raise Refusal("bad-request", f"outcome: one of {', '.join(_OUTCOMES)}")
    decision = opened.guard.blocking.settle(call_id, {"verdict": outcome, **answer})
    if decision.action == "block":
        opened.calls.pop(call_id, None)
    return _decided(decision)


def _wait(opened: Open, call_id: str) -> Later:
    """Answers when the call is settled, by another request or by its deadline."""
    settled = opened.guard.blocking.settled(call_id)

    def wait() -> str:
        decision = settled()
        if decision.action == "block":
            opened.calls.pop(call_id, None)
        return _decided(decision)

    return Later(wait)


def _decided(decision: Decision) -> str:
    """What is shown of a decision."""
    detail = dict(raw.members(decision.detail))
    shown = [
        ("call_id", raw.quoted(decision.call_id)),
        ("action", raw.quoted(decision.action)),
        ("reason", raw.quoted(decision.reason)),
        ("decision_source", detail.get("decision_source", "null")),
        ("decision_name", detail.get("decision_name", "null")),
        ("observed", raw.printed(decision.observed)),
        ("policy_error", raw.printed(decision.policy_error)),
        ("rules_evaluated", detail.get("rules_evaluated", "[]")),
    ]
    if decision.approval is not None:
        approval = dict(raw.members(decision.approval))
        names = ("message", "timeout", "timeout_action", "stage_id")
        shown.append(("approval", raw.joined((name, approval[name]) for name in names if name in approval)))
    if detail.get("workflow", "null") != "null":
        shown.append(("workflow", detail["workflow"]))
    if detail.get("error_detail", "null") != "null":
        # For people, not for the agent.
        shown.append(("error_detail", detail["error_detail"]))
    return raw.joined(shown)


def _finish(session: Session, request: Request) -> str:
    opened = session.guard(request.text("guard"))
    call_id, success = request.text("call_id"), request.flag("success")
    result = request.fields.get("result", "null")
    ended = opened.guard.blocking.finish(call_id, result, success)
    opened.calls.pop(call_id, None)
    detail = dict(raw.members(ended.detail))
    return raw.joined(
        [
            ("success", raw.printed(ended.success)),
            ("postconditions_passed", raw.printed(ended.passed)),
            ("warnings", raw.printed(ended.warnings)),
            ("result", result if ended.replacement is None else ended.replacement),
            ("redacted", detail.get("redacted", "false")),
            ("suppressed", detail.get("suppressed", "false")),
            ("rules_evaluated", detail.get("rules_evaluated", "[]")),
            ("findings", detail.get("findings", "[]")),
        ]
    )


def _counters(session: Session, request: Request) -> str:
    opened = session.guard(request.text("guard"))
    command = [("do", '"counters"')]
    if request.fields.get("set", "null") != "null":
        command.append(("set", request.raw("set")))
    return opened.guard.blocking.operate(request.text("session_id"), command)


def _state(session: Session, request: Request) -> str:
    """The command goes to the engine as it came; it says what is wrong with it."""
    opened = session.guard(request.text("guard"))
    do = request.text("do")
    if do == "counters":
        raise Refusal("bad-request", "counters are an operation of their own")
    command = [("do", raw.quoted(do))]
    stage = request.maybe("stage_id")
    if stage is not None:
        command.append(("stage_id", raw.quoted(stage)))
    if request.fields.get("state", "null") != "null":
        command.append(("state", request.raw("state")))
    return opened.guard.blocking.operate(request.text("session_id"), command)


def _events(session: Session, request: Request) -> str:
    events, dropped = session.guard(request.text("guard")).events.take()
    if dropped:
        events.insert(0, raw.printed({"gap": {"count": dropped}}))
    return f'{{"events":[{",".join(events)}]}}'


def _call(session: Session, request: Request) -> raw.Members:
    """The members of a call. One that comes twice is left to the engine, which blocks the call."""
    text = request.raw("call")
    try:
        return session.host.members(text)
    except ValueError:
        try:
            return raw.members(text)
        except ValueError as error:
            raise Refusal("bad-request", f"call: not a JSON object: {error}") from None


def _rulesets(request: Request) -> list[Ruleset]:
    found = request.value("rulesets")
    if not isinstance(found, list):
        raise Refusal("bad-request", "rulesets: not a list")
    rulesets = []
    for each in found:
        known = each if isinstance(each, dict) else {}
        name, yaml, signature = known.get("name"), known.get("yaml"), known.get("signature")
        if not isinstance(name, str) or not isinstance(yaml, str) or not isinstance(signature, (str, type(None))):
            raise Refusal("bad-request", "rulesets: each has a name and its yaml")
        rulesets.append(Ruleset(name, yaml, signature))
    return rulesets


def _workflow(request: Request) -> Document | None:
    text = request.maybe("workflow")
    return None if text is None else Document("workflow", text)


def store(session: Session, choice: Any, *, durable: bool) -> Store:
    """`"memory"`, `{"path": folder}`, or an address."""
    if choice is None or choice == "memory":
        return MemoryStore()
    if isinstance(choice, str):
        raise Refusal("unsupported", "this host has stores in memory and in a folder")
    path = choice.get("path") if isinstance(choice, dict) else None
    if not isinstance(path, str) or not path:
        raise Refusal("bad-request", "store: the path must not be empty")
    return session.store(path, durable=durable)


OPERATIONS: dict[str, Callable[[Session, Request], str | Later]] = {
    "hello": _hello,
    "check": _check,
    "templates": _templates,
    "open": _open,
    "reload": _reload,
    "close": _close,
    "evaluate": _evaluate,
    "begin": _begin,
    "approve": _approve,
    "finish": _finish,
    "counters": _counters,
    "workflow": _state,
    "events": _events,
    "open_server": server.open_server,
    "health": server.health,
    "flush": server.flush,
}

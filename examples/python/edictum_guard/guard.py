"""A guard, step by step: `begin`, `settle`, `finish`, and a dry run. `edictum` has the calls that most programs want; this is
what they are made of, and what a program uses that runs tools itself.

Every step can be awaited in an event loop, which it never blocks, or made on any thread through `Guard.blocking`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import begin, raw
from .begin import Approval
from .core import Asker, Call, Core, principal_text
from .decider import Refused
from .decision import FAILED_EVALUATION, Conclusion, Decision
from .due import arm_from_store, run_due
from .errors import ClosedError, EngineError, SignatureError, UnsupportedError
from .events import EventSink
from .finish import finish
from .host import Host, config_error
from .policy import Document, Policy, Source
from .questions import Callbacks
from .steps import Failed, Scene, drive, operated
from .store import MemoryStore, OpenCall, Store
from .waits import Waits, done

#: Open calls that are read together.
_MANY = 100_000


@dataclass(frozen=True)
class Ruleset:
    """A ruleset as it was written. `signature`: Ed25519 over exactly the text's bytes, base64 or hex; looked at with the option
    `verify_signatures`."""

    name: str
    text: str
    signature: str | None = None


@dataclass(frozen=True)
class _Recipe:
    """What a reload needs again."""

    workflow: Document | None
    options: Mapping[str, Any]


class Guard:
    """Judges tool calls. Thread-safe."""

    def __init__(
        self,
        name: str,
        rulesets: Sequence[Ruleset],
        *,
        options: Mapping[str, Any] | None = None,
        workflow: Document | None = None,
        store: Store | None = None,
        callbacks: Callbacks | None = None,
        sink: EventSink | None = None,
        agent_id: str | None = None,
        principal: object = None,
        session_id: str | None = None,
        host: Host | None = None,
        asker: Asker | None = None,
        grace_ms: int = 0,
    ) -> None:
        """Loads the rules. `name` is what open calls in a store belong to: a guard of the same name goes on with them.

        `asker`: asks people, when this program does not; `grace_ms`: how much later than at its deadline a call is given up then.
        `principal`: a map, or its JSON text. `session_id`: of calls that name none; a new one when it is left out.

        Raises:
            EdictumConfigError: rulesets or options do not load, are not signed as they must be, or need an answer that nobody
                gives.
        """
        self.host = host or Host.default()
        callbacks = callbacks or Callbacks()
        settled_in = _settled_in(_announced(dict(options or {}), callbacks))
        self._recipe = _Recipe(workflow, settled_in)
        text = principal_text(principal)
        policy = _load(self.host, rulesets, self._recipe, callbacks)
        self._core = Core(
            self.host,
            name,
            policy=policy,
            store=store or MemoryStore(),
            callbacks=callbacks,
            session_id=session_id or str(uuid.uuid4()),
            agent_id=agent_id,
            sink=sink,
        )
        self._core.principal = text
        self._core.asker, self._core.grace_ms = asker, grace_ms
        self.host.timers.sweep(self._core.store)
        arm_from_store(self._core)
        if asker is not None:
            # People may have been asked before this process began.
            for opening in self.open_calls(_MANY):
                begin.ask(self._core, opening)

    @property
    def name(self) -> str:
        """Its name."""
        return self._core.name

    @property
    def session_id(self) -> str:
        """The session of calls that name none."""
        return self._core.session_id

    @property
    def policy_version(self) -> str:
        """The revision of the rules in force: SHA-256, hex, as in the decision log."""
        return self._core.policy.revision

    @property
    def summary(self) -> dict[str, Any]:
        """Name, mode, rules, composition report and options of the rules in force."""
        return self._core.policy.summary

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._core.closed

    @property
    def blocking(self) -> Blocking:
        """The same steps for code that is not async. Each waits on the calling thread."""
        return Blocking(self)

    def set_principal(self, principal: object) -> None:
        """Whose calls they are when neither the call nor a resolver says so: a map, its JSON text, or nobody. For later calls."""
        self._core.principal = principal_text(principal)

    async def evaluate(self, call: raw.Members, output: str | None = None) -> str:
        """What would happen to a call (and to its output, JSON): a dry run that counts nothing. Gives the result as JSON."""
        return await self._evaluate(self.host.loop, call, output)

    async def begin(self, call: Call) -> Decision:
        """Counts the attempt and decides. An allowed call stays open until `finish`, one that is asked about until `settle` or
        its deadline. Whatever goes wrong is a block.

        Raises:
            EdictumError: nothing was decided, and the tool must not run.
        """
        return await begin.begin(self._core, self.host.loop, call)

    async def settle(self, call_id: str, approval: Approval) -> Decision:
        """Goes on with a call that was asked about; it may be asked about again. `approval`: `verdict` (`approved`, `rejected`,
        `timed_out`, `unreachable`), and what is known of `approval_id`, `approver`, `reason`, `decided_at`, `decided_via`.

        Raises:
            NotFoundError, ConflictError: there is no such call, or it does not wait for an answer (any more).
        """
        return await begin.settle(self._core, self.host.loop, call_id, approval)

    def settled(self, call_id: str) -> Awaitable[Decision]:
        """Waits until a call that was asked about is settled, by whomever in this process. It is listened for from now on."""
        return begin.settled(self._core, self.host.loop, call_id, begin.listen(self._core, call_id))

    async def finish(self, call_id: str, output: str, success: bool | None = None) -> Conclusion:
        """Judges what a tool returned (JSON), by the rules in force now, and ends the call. `success`: none leaves it to the
        success check, or the heuristic.

        Raises:
            EdictumError: the output must not be used.
        """
        return await finish(self._core, self.host.loop, call_id, output, success)

    async def operate(self, session_id: str, command: raw.Members) -> str:
        """Reads or changes the counters of a session, or its workflow (`wit/schemas/command.schema.json`). Gives the state after
        it, as JSON."""
        return await self._operate(self.host.loop, session_id, command)

    async def reload(self, rulesets: Sequence[Ruleset]) -> str:
        """Exchanges the rulesets; options, workflow and callbacks stay. Steps that run end under the old rules. Open calls go on
        under the new ones. When the new rules do not load, the old ones stay. Gives the new revision."""
        return await self.host.loop.thread(lambda: self._reload(rulesets))

    def open_calls(self, limit: int = 1000) -> list[OpenCall]:
        """Open calls, those that end first at the front. May block."""
        return self._core.store.open_calls(self.name, limit)

    def run_due(self) -> None:
        """Does what is due now, instead of when its timer gets to it. May block."""
        done(run_due(self._core, self.host.here))

    def close(self) -> None:
        """Ends the guard. Open calls stay in the store; who waits for a person is told that the guard is closed."""
        core = self._core
        core.closed = True
        with core.lock:
            waiting = [waiter for waiters in core.waiters.values() for waiter in waiters]
            core.waiters.clear()
        for waiter in waiting:
            if waiter.set_running_or_notify_cancel():
                waiter.set_exception(ClosedError())

    # The same for both ways of waiting.

    async def _evaluate(self, waits: Waits, call: raw.Members, output: str | None) -> str:
        core = self._core
        core.check_open()
        text = core.call_text(Call(call), None, None)
        parts = [("call", text)] if output is None else [("call", text), ("output", output)]
        try:
            return await drive(core, Scene(waits, core.policy, "", text), "evaluate", parts)
        except Failed:
            return FAILED_EVALUATION

    async def _operate(self, waits: Waits, session_id: str, command: raw.Members) -> str:
        core = self._core
        core.check_open()
        text = raw.joined([*command, ("id", raw.quoted(str(uuid.uuid4())))])
        async with core.turn(waits, session_id):
            scene = Scene(waits, core.policy, session_id, None)
            try:
                state, events = await operated(core, scene, text, core.now())
            except Failed as failed:
                raise EngineError(f"the engine failed: {failed.fault}") from None
            except Refused as refused:
                raise config_error(refused) from None
            await core.emit_or_log(waits, events)
        return state

    def _reload(self, rulesets: Sequence[Ruleset]) -> str:
        core = self._core
        core.check_open()
        # Tools that have a class keep it, unless the new rulesets say otherwise.
        options = {name: value for name, value in self._recipe.options.items() if name != "tools"}
        options["tools_before"] = core.policy.summary.get("tools", {})
        core.policy = _load(self.host, rulesets, _Recipe(self._recipe.workflow, options), core.callbacks)
        self.host.pool.tidy()
        return core.policy.revision


class Blocking:
    """The steps of a guard, waited for on the calling thread. See `Guard`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._core = guard._core
        self._here = guard.host.here

    def evaluate(self, call: raw.Members, output: str | None = None) -> str:
        """See `Guard.evaluate`."""
        return done(self._guard._evaluate(self._here, call, output))

    def begin(self, call: Call) -> Decision:
        """See `Guard.begin`."""
        return done(begin.begin(self._core, self._here, call))

    def settle(self, call_id: str, approval: Approval) -> Decision:
        """See `Guard.settle`."""
        return done(begin.settle(self._core, self._here, call_id, approval))

    def settled(self, call_id: str) -> Callable[[], Decision]:
        """See `Guard.settled`; what is given back waits."""
        waiter = begin.listen(self._core, call_id)
        return lambda: done(begin.settled(self._core, self._here, call_id, waiter))

    def finish(self, call_id: str, output: str, success: bool | None = None) -> Conclusion:
        """See `Guard.finish`."""
        return done(finish(self._core, self._here, call_id, output, success))

    def operate(self, session_id: str, command: raw.Members) -> str:
        """See `Guard.operate`."""
        return done(self._guard._operate(self._here, session_id, command))

    def reload(self, rulesets: Sequence[Ruleset]) -> str:
        """See `Guard.reload`."""
        return self._guard._reload(rulesets)


def _load(host: Host, rulesets: Sequence[Ruleset], recipe: _Recipe, callbacks: Callbacks) -> Policy:
    _verify(host, rulesets, recipe.options)
    documents = tuple(Document(each.name, each.text) for each in rulesets)
    options = dict(recipe.options)
    policy = host.policy(Source(documents, recipe.workflow, raw.printed(options)))
    if "env" not in options and policy.env:
        # What this process sees of these variables.
        options["env"] = {name: os.environ[name] for name in policy.env if name in os.environ}
        policy = host.policy(Source(documents, recipe.workflow, raw.printed(options)))
    missing = next(filter(None, (_unanswered(need, what, callbacks) for need, what in policy.needs.items())), None)
    if missing:
        raise UnsupportedError(f"the rules need an answer that this guard cannot give: {missing}")
    return policy


def _verify(host: Host, rulesets: Sequence[Ruleset], options: Mapping[str, Any]) -> None:
    if options.get("verify_signatures") is not True:
        return
    keys = options.get("signing_public_keys") or []
    if not keys or not isinstance(keys, list):
        raise SignatureError("`verify_signatures` needs `signing_public_keys`")
    for ruleset in rulesets:
        try:
            host.verify(ruleset.text, ruleset.signature or "", [str(key) for key in keys])
        except SignatureError as error:
            raise SignatureError(f"ruleset `{ruleset.name}`: {error.message}") from None


def _announced(options: dict[str, Any], callbacks: Callbacks) -> dict[str, Any]:
    """Names in the options what the callbacks answer for; what the options name already must be answered for."""
    for kind, answered in (("operators", callbacks.operators), ("selectors", callbacks.selectors)):
        named = options.get(kind)
        for name in named if isinstance(named, list) else []:
            if name not in answered:
                raise UnsupportedError(f"the options name `{name}` in `{kind}`, and nobody answers for it")
        if answered:
            options[kind] = sorted(answered)
    places = [
        {"name": place.name, "tools": place.tools, "before": place.before, "after": place.after}
        for place in callbacks.places
    ]
    if options.get("hooks") and not places:
        raise UnsupportedError("the options name hooks that nobody answers for")
    if places:
        options["hooks"] = places
    answers = {"success_check": callbacks.success_check, "principal_resolver": callbacks.principal_resolver}
    for name, answer in answers.items():
        if options.get(name) is True and answer is None:
            raise UnsupportedError(f"the options say `{name}`, and nobody answers for it")
        if answer is not None:
            options[name] = True
    return options


def _settled_in(options: dict[str, Any]) -> dict[str, Any]:
    """Relative paths and `~` mean what they mean to this process, unless the options say otherwise."""
    if options.get("cwd") is None:
        try:
            options["cwd"] = os.getcwd()
        except OSError:
            pass
    home = os.environ.get("HOME", "")
    if options.get("home") is None and home.startswith("/"):
        options["home"] = home
    return options


def _unanswered(need: str, what: object, callbacks: Callbacks) -> str | None:
    """The part of a need that nobody answers for. A need that this host has never heard of is one."""
    names: Iterable[str] = [name for name in what if isinstance(name, str)] if isinstance(what, list) else []
    if what is False or need in ("session", "read_links", "command"):
        return None
    if need == "principal" and callbacks.principal_resolver or need == "success_check" and callbacks.success_check:
        return None
    answered = {
        "selectors": callbacks.selectors,
        "operators": callbacks.operators,
        "hooks_before": callbacks.hooks,
        "hooks_after": callbacks.hooks,
    }.get(need)
    if answered is not None:
        name = next((name for name in names if name not in answered), None)
        return None if name is None else f"`{name}` of `{need}`"
    return None if what == [] else f"`{need}`"


__all__ = ["Blocking", "Call", "Guard", "Ruleset"]

"""`Edictum`: a guard as users of the Python SDK write it. What it is made of, step by step, is `guard`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from . import raw
from .approval import ApprovalBackend
from .audit import AuditSink, CollectingAuditSink, Sinks
from .calls import Principal, principal_map
from .errors import EdictumConfigError, UnsupportedError
from .guard import Guard, Ruleset
from .host import Host
from .questions import HookCall
from .results import CompositionReport, EvaluationResult, OperationLimits, TemplateInfo
from .run import Runner
from .settings import Beside, Common, Settings
from .store import StorageBackend, Store
from .workflow import WorkflowState, read_text

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .server import ServerConnection

log = logging.getLogger("edictum_guard")

#: Members of a call beside tool and arguments that may be given with `run`.
CALL_MEMBERS = ("environment", "metadata", "call_index", "parent_call_id", "tool_use_id")


#: The rules of a guard that was given none: the engine wants one, and no tool has such a name.
_NO_RULES = """apiVersion: edictum/v1
kind: Ruleset
metadata: {name: none}
defaults: {mode: enforce}
rules:
  - {id: none, type: pre, tool: /, when: {tool.name: {equals: /}}, then: {action: block, message: no such tool}}
"""


class Edictum:
    """Judges tool calls, and runs tools that may run. Thread-safe; `run`, `reload` and `close` never block an event loop."""

    def __init__(self, *, rulesets: Sequence[Ruleset] = (), **common: Unpack[Common]) -> None:
        """A guard of these rulesets, laid over one another left to right; without any, of limits, hooks and a workflow alone. See `settings.Common` for the rest.

        Raises:
            EdictumConfigError: rules or options do not load.
        """
        self._set_up(rulesets, Settings(**common))

    def _set_up(self, rulesets: Sequence[Ruleset], settings: Settings, server: ServerConnection | None = None) -> None:
        self._settings = settings
        self._rulesets = list(rulesets) or [Ruleset("none", _NO_RULES)]
        self._server = server
        #: What tools returned, as they returned it, while their calls end.
        self._results: dict[str, Any] = {}
        sink = settings.audit_sink
        listed = list(sink) if isinstance(sink, Iterable) else [sink] if sink is not None else []
        sinks = Sinks([settings.local_sink, *settings.further_sinks, *listed], self._on_error)
        self._guard = Guard(
            settings.guard_name,
            self._rulesets,
            options=settings.document(),
            workflow=settings.workflow(),
            store=settings.store(),
            callbacks=settings.callbacks(self._result_of),
            sink=sinks,
            agent_id=settings.agent_id,
            principal=principal_map(settings.principal),
            session_id=settings.session_id,
            host=settings.host,
            asker=settings.asker,
            grace_ms=settings.grace_ms,
        )
        self._runner = Runner(self._guard, settings, self._results)

    # Ways to make one.

    @overload
    @classmethod
    def from_yaml(
        cls, *paths: str | os.PathLike[str], return_report: Literal[False] = False, **common: Unpack[Common]
    ) -> Edictum: ...

    @overload
    @classmethod
    def from_yaml(
        cls, *paths: str | os.PathLike[str], return_report: Literal[True], **common: Unpack[Common]
    ) -> tuple[Edictum, CompositionReport]: ...

    @classmethod
    def from_yaml(
        cls, *paths: str | os.PathLike[str], return_report: bool = False, **common: Unpack[Common]
    ) -> Edictum | tuple[Edictum, CompositionReport]:
        """From ruleset files, laid over one another left to right. With `return_report` also what that did."""
        if not paths:
            raise EdictumConfigError("give at least one file")
        guard = cls(rulesets=[_file(path) for path in paths], **common)
        return (guard, CompositionReport.of(guard._guard.summary)) if return_report else guard

    @classmethod
    def from_yaml_string(cls, content: str | bytes, **common: Unpack[Common]) -> Edictum:
        """From a ruleset at hand."""
        return cls(rulesets=[Ruleset("rules", read_text(content, "rules"))], **common)

    @classmethod
    def from_template(
        cls,
        name: str,
        *,
        template_dirs: Sequence[str | os.PathLike[str]] | None = None,
        **common: Unpack[Common],
    ) -> Edictum:
        """From a ruleset that comes with the engine, or `NAME.yaml` of one of these folders, which come first."""
        for folder in template_dirs or ():
            path = Path(folder) / f"{name}.yaml"
            if Path(name).name == name and path.is_file():
                return cls(rulesets=[_file(path)], **common)
        host = common.get("host") or Host.default()
        for template in host.templates():
            if template.name == name:
                return cls(rulesets=[Ruleset(f"{name}.yaml", template.text)], **common)
        names = ", ".join(sorted(each.name for each in cls.list_templates(template_dirs, host=host)))
        raise EdictumConfigError(f"there is no template `{name}`; there are {names}", code="not-found")

    @classmethod
    async def from_server(
        cls,
        url: str,
        api_key: str,
        agent_id: str = "default",
        *,
        env: str | None = None,
        bundle_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        mode: str = "enforce",
        audit_sink: AuditSink | Sequence[AuditSink] | None = None,
        approval_backend: ApprovalBackend | None = None,
        storage_backend: Store | StorageBackend | None = None,
        auto_watch: bool = True,
        allow_insecure: bool = False,
        verify_signatures: bool = False,
        signing_public_key: str | None = None,
        signing_public_keys: Sequence[str] | None = None,
        outbox: str | os.PathLike[str] | None = None,
        memory: Store | None = None,
        timeout: float = 30.0,
        **common: Unpack[Beside],
    ) -> Edictum:
        """A guard whose rules, sessions, approvals and decision log are on edictum-api. It has its first rules when it is returned.

        `bundle_name`: none lets the server assign a ruleset, within 30 s. `audit_sink`, `approval_backend`, `storage_backend`:
        none is the server's. `auto_watch=False`: the rules stay until `reload` or `refresh`. `outbox`: a folder in which the decision
        log waits. `memory`: a store that remembers the last ruleset, for a start while the server is away.

        Raises:
            EdictumConfigError, EdictumServerError: the options do not fit together, the address is not permitted, the credential
                is refused, there is no such ruleset, it is not signed as it must be or does not load.
        """
        from .server.connect import ServerSettings, connect

        keys = [*(signing_public_keys or ()), *([signing_public_key] if signing_public_key else ())]
        server = ServerSettings(
            url=url,
            api_key=api_key,
            agent_id=agent_id,
            env=env or "production",
            bundle_name=bundle_name,
            tags=dict(tags or {}),
            mode=mode,
            audit_sink=audit_sink,
            approval_backend=approval_backend,
            storage_backend=storage_backend,
            auto_watch=auto_watch,
            allow_insecure=allow_insecure,
            verify_signatures=verify_signatures,
            signing_public_keys=keys,
            outbox=outbox,
            memory=memory,
            timeout=timeout,
        )
        return await connect(cls, server, Settings(**common))

    @classmethod
    def from_multiple(cls, guards: Sequence[Edictum]) -> Edictum:
        """From several guards: rules of all, the first to have an id wins; everything else is the first one's."""
        if not guards:
            raise EdictumConfigError("give at least one guard")
        first, *others = guards
        merged = [
            {
                "rulesets": [{"name": each.name, "text": each.text} for each in other._rulesets],
                "options": {
                    name: value
                    for name, value in other._settings.document().items()
                    if name in ("limits", "registry", "operators", "selectors", "tools")
                },
            }
            for other in others
        ]
        settings = Settings(**vars(first._settings))
        settings.local_sink = CollectingAuditSink()
        options = dict(settings.options or {})
        settings.options = {**options, "merge": [*options.get("merge", []), *merged]}
        for other in others:
            settings.custom_operators = {
                **(other._settings.custom_operators or {}),
                **(settings.custom_operators or {}),
            }
            settings.custom_selectors = {
                **(other._settings.custom_selectors or {}),
                **(settings.custom_selectors or {}),
            }
        guard = cls.__new__(cls)
        guard._set_up(first._rulesets, settings)
        return guard

    @staticmethod
    def list_templates(
        template_dirs: Sequence[str | os.PathLike[str]] | None = None, *, host: Host | None = None
    ) -> list[TemplateInfo]:
        """What `from_template` can load."""
        found: dict[str, TemplateInfo] = {}
        for folder in template_dirs or ():
            for path in sorted(Path(folder).glob("*.yaml")):
                found.setdefault(path.stem, TemplateInfo(path.stem, str(path), builtin=False))
        for template in (host or Host.default()).templates():
            found.setdefault(template.name, TemplateInfo(template.name, None, builtin=True))
        return list(found.values())

    # What it is.

    @property
    def guard(self) -> Guard:
        """The steps that this is made of: `begin`, `settle`, `finish`."""
        return self._guard

    @property
    def policy_version(self) -> str:
        """SHA-256 of the rules in force, as in the decision log."""
        return self._guard.policy_version

    @property
    def mode(self) -> str:
        """`enforce` or `observe`."""
        return str(self._guard.summary.get("mode", "enforce"))

    @property
    def limits(self) -> OperationLimits:
        """Limits of every session."""
        found = self._guard.summary.get("limits") or {}
        return OperationLimits(**{name: found[name] for name in vars(OperationLimits()) if found.get(name) is not None})

    @property
    def session_id(self) -> str:
        """The session of calls that name none."""
        return self._guard.session_id

    @property
    def server_bundle_name(self) -> str | None:
        """Name of the ruleset of a server-backed guard."""
        return self._server.bundle_name if self._server else None

    @property
    def local_sink(self) -> CollectingAuditSink:
        """The newest events of this guard."""
        return self._settings.local_sink

    # What it does.

    def evaluate(
        self,
        tool_name: str,
        args: Mapping[str, Any],
        *,
        principal: Principal | Mapping[str, Any] | None = None,
        output: Any = None,
        environment: str | None = None,
    ) -> EvaluationResult:
        """What would happen to a call (and, given `output`, to its output): a dry run that counts and logs nothing."""
        call = _members(tool_name, args, principal, {"environment": environment})
        text = self._guard.blocking.evaluate(call, None if output is None else raw.printed(output))
        return EvaluationResult.of(tool_name, text)

    def evaluate_batch(self, calls: Sequence[Mapping[str, Any]]) -> list[EvaluationResult]:
        """The same for several: `tool`, `args`, and where known `principal`, `output`, `environment`."""
        return [
            self.evaluate(
                call["tool"],
                call.get("args") or {},
                principal=call.get("principal"),
                output=call.get("output"),
                environment=call.get("environment"),
            )
            for call in calls
        ]

    async def run(
        self,
        tool_name: str,
        args: Mapping[str, Any],
        tool_callable: Callable[..., Any],
        *,
        session_id: str | None = None,
        parent_session_id: str | None = None,
        principal: Principal | Mapping[str, Any] | None = None,
        **call: Any,
    ) -> Any:
        """Runs a tool with these arguments, if it may, and gives what the agent may see of its result.

        An async tool runs here, an ordinary one on another thread. `call`: `environment`, `metadata`, `call_index`,
        `parent_call_id`, `tool_use_id`.

        Raises:
            EdictumDenied: it may not, and did not run.
            EdictumToolError: it ran and failed.
            EdictumError: nothing was decided, and it did not run; or its output must not be used.
        """
        unknown = [name for name in call if name not in CALL_MEMBERS]
        if unknown:
            raise TypeError(f"run() got an unexpected keyword argument '{unknown[0]}'")
        given = self._runner.snapshot(args)
        members = _members(tool_name, given, principal, call)
        return await self._runner.run(members, given, tool_callable, session_id, parent_session_id)

    def set_principal(self, principal: Principal | Mapping[str, Any] | None) -> None:
        """Whose calls they are from now on, when neither the call nor a resolver says so."""
        self._guard.set_principal(principal_map(principal))

    async def reload(self, contracts_yaml: str | bytes, *, signature: str | None = None) -> None:
        """Exchanges the rules, all else stays. When the new ones do not load, the old ones stay.

        Raises:
            EdictumConfigError: they do not load.
        """
        name = self._rulesets[0].name if self._rulesets else "rules"
        rulesets = [Ruleset(name, read_text(contracts_yaml, name), signature)]
        await self._guard.reload(rulesets)
        self._rulesets = rulesets

    async def refresh(self) -> str:
        """Fetches the rules of a server-backed guard now, and gives the revision that is enforced then."""
        if self._server is None:
            raise UnsupportedError("this guard has no server")
        return await self._guard.host.loop.future(self._server.refresh())

    async def health(self) -> dict[str, Any]:
        """How it is doing: `policy_version`, and of a server-backed guard `stream`, `log`, `last_error`, `unsent_events`,
        `rules_age_s`."""
        server = self._server
        if server is None:
            found = {"policy_version": self.policy_version, "stream": "off", "log": "off"}
            return {**found, "unsent_events": 0, "rules_age_s": 0}
        return await self._guard.host.loop.thread(server.health)

    async def flush(self, timeout: float = 10.0) -> int:
        """Lets the decision log be delivered now, waits for it at most so long, and gives the number of events that are left."""
        sink = self._server.sink if self._server else None
        if sink is None:
            return 0
        await sink.flush(timeout)
        return sink.unsent

    async def close(self) -> int:
        """Ends the guard. Open calls stay in the store; events that wait for the server are sent. Gives the number of those that
        could not be."""
        self._guard.close()
        return 0 if self._server is None else await self._server.close()

    async def __aenter__(self) -> Edictum:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Sessions.

    async def counters(self, session_id: str | None = None) -> dict[str, Any]:
        """What a session has counted: `attempts`, `execs`, `consec_fail`, `tools`."""
        found: dict[str, Any] = json.loads(await self._operate(session_id, "counters"))
        return found

    async def workflow_state(self, session_id: str | None = None) -> WorkflowState:
        """Where a session stands in its workflow."""
        return WorkflowState.of(await self._operate(session_id, "state"))

    async def reset_workflow(self, stage_id: str | None = None, session_id: str | None = None) -> WorkflowState:
        """Puts a session back to a stage, or to the first."""
        return WorkflowState.of(await self._operate(session_id, "reset", stage_id))

    async def set_workflow_stage(self, stage_id: str, session_id: str | None = None) -> WorkflowState:
        """Puts a session into a stage."""
        return WorkflowState.of(await self._operate(session_id, "set_stage", stage_id))

    async def approve_workflow_stage(self, stage_id: str, session_id: str | None = None) -> WorkflowState:
        """Records that a person has approved a stage."""
        return WorkflowState.of(await self._operate(session_id, "approve", stage_id))

    async def _operate(self, session_id: str | None, what: str, stage_id: str | None = None) -> str:
        command = [("do", raw.quoted(what))]
        if stage_id is not None:
            command.append(("stage_id", raw.quoted(stage_id)))
        return await self._guard.operate(session_id or self._guard.session_id, command)

    def _result_of(self, asked: HookCall) -> Any:
        return self._results.get(str(asked.call.get("call_id")), asked.output)

    def _on_error(self, error: Exception) -> None:
        callback = self._settings.on_error
        if callback is not None:
            try:
                callback(error)
            except Exception:
                log.exception("on_error failed")


def _file(path: str | os.PathLike[str]) -> Ruleset:
    return Ruleset(str(path), read_text(Path(path).read_bytes(), str(path)))


def _members(
    tool: str, args: Mapping[str, Any], principal: Principal | Mapping[str, Any] | None, beside: Mapping[str, Any]
) -> raw.Members:
    """A call's members. What is none is left out."""
    members = [("tool", raw.quoted(tool)), ("args", raw.printed(args))]
    if principal is not None:
        members.append(("principal", raw.printed(principal_map(principal))))
    members += [(name, raw.printed(value)) for name, value in beside.items() if value is not None]
    return members

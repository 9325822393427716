"""The published Python SDK, edictum 0.19.0, behind the driver protocol (spec/driver.md).

The differential test puts one case through this program and through our own driver and compares the answers. It drives
`Edictum.run()` itself, so that order and content of the decision log are the SDK's: the coroutine of a call is stepped by
hand, and stops where a person is asked and where the tool would run. `begin`, `approve` and `finish` are the three steps.
Nothing here decides anything; it only translates.

Not a host: no stream, no server, no plugins, no durable store. `compat`, `now_ms` and what else concerns only our hosts
are ignored.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import types
from dataclasses import asdict

# Telemetry is off, as it is wherever OpenTelemetry is not installed.
sys.modules["opentelemetry"] = None  # type: ignore[assignment]

import logging
import warnings

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

import importlib.metadata

import jsonschema
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

import edictum._runner as runner
import edictum.workflow.evaluator_exec as evaluator_exec
import edictum.workflow.state as workflow_state
import edictum.yaml_engine.compiler as compiler
from edictum import Edictum
from edictum._exceptions import EdictumDenied, EdictumToolError
from edictum.approval import ApprovalDecision, ApprovalRequest, ApprovalStatus
from edictum.audit import AuditAction, AuditEvent
from edictum.envelope import Principal
from edictum.findings import build_findings
from edictum.limits import OperationLimits
from edictum.pipeline import CheckPipeline
from edictum.session import Session

VERSION = importlib.metadata.version("edictum")


# `jsonschema.validate` checks the schema itself before each document; it is always the same schema. Once is enough.
_validators: dict[int, object] = {}


def _validate(instance, schema, *args, **kwargs):
    validator = _validators.get(id(schema))
    if validator is None:
        kind = validator_for(schema)
        kind.check_schema(schema)
        validator = _validators[id(schema)] = kind(schema)
    error = best_match(validator.iter_errors(instance))
    if error is not None:
        raise error


jsonschema.validate = _validate

# What was compiled last: the ids that `open` reports.
_compiled: dict = {}
_compile = compiler.compile_contracts


def _compile_and_remember(bundle, **kwargs):
    result = _compile(bundle, **kwargs)
    _compiled.clear()
    _compiled.update(bundle)
    return result


compiler.compile_contracts = _compile_and_remember


class Command:
    """What `asyncio.create_subprocess_exec` gives: here a process that has already ended."""

    def __init__(self, argv, stdout, stderr):
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        self.returncode = None

    async def communicate(self):
        streams = self._process.communicate(timeout=60)
        self.returncode = self._process.returncode
        return streams


async def _start(*argv, stdout, stderr):
    return Command(argv, stdout, stderr)


async def _wait(awaitable, timeout):
    return await awaitable


# Coroutines are stepped by hand and there is no event loop: commands of `exec(...)` run to their end at once.
evaluator_exec.asyncio = types.SimpleNamespace(  # type: ignore[attr-defined]
    create_subprocess_exec=_start,
    wait_for=_wait,
    subprocess=types.SimpleNamespace(PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT),
)


class Refused(Exception):
    """A request that makes no sense: becomes `ok: false`."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Pause:
    """Awaited inside `run()`: gives the hand back to the driver, and returns what the driver resumes with."""

    def __init__(self, what: str, value=None):
        self.what = what
        self.value = value

    def __await__(self):
        return (yield self)


class Approvals:
    """Keeps the request, and waits for `approve`."""

    async def request_approval(
        self, tool_name, tool_args, message, *, timeout=300, timeout_action="block", principal=None, metadata=None, session_id=None
    ):
        return ApprovalRequest("approval", tool_name, tool_args, message, timeout, timeout_action)

    async def wait_for_decision(self, approval_id, timeout=None):
        return await Pause("approval")


# The call whose coroutine is being stepped. There is only ever one: nothing in it waits for anything but a `Pause`.
_stepping: "Call"


class Watched(CheckPipeline):
    """The SDK's pipeline; remembers what it decided, which `run()` does not hand out."""

    async def pre_execute(self, tool_call, session):
        pre = await super().pre_execute(tool_call, session)
        _stepping.pre = pre
        return pre

    async def post_execute(self, tool_call, tool_response, tool_success):
        post = await super().post_execute(tool_call, tool_response, tool_success)
        _stepping.post = post
        _stepping.success = tool_success
        return post


runner.CheckPipeline = Watched


class Call:
    """One `run()`, from `begin` to its end."""

    def __init__(self, guard: "Guard", call_id: str, coroutine):
        self.guard = guard
        self.call_id = call_id
        self.coroutine = coroutine
        self.waits_for = None
        self.pre = None
        self.post = None
        self.success = None
        self.result = None

    def step(self, value=None):
        """Goes on until it pauses or ends. Returns (what happened, value)."""
        global _stepping
        _stepping = self
        try:
            pause = self.coroutine.send(value)
            self.waits_for = pause.what
            return pause.what, pause.value
        except StopIteration as end:
            return "returned", end.value
        except EdictumDenied as denied:
            return "denied", denied
        except EdictumToolError as failed:
            return "failed", failed.args[0]
        except Exception as raised:
            return "raised", raised


class Guard:
    """An SDK guard, its environment variables and its open calls."""

    def __init__(self, request: dict):
        options = {**(request.get("options") or {})}
        for name in ("mode", "environment", "tools", "limits", "env"):
            if request.get(name) is not None:
                options[name] = request[name]
        for name in options:
            if name not in ("mode", "environment", "tools", "limits", "env", "approvals", "cwd", "compat", "unknown_selectors"):
                raise Refused("unsupported", f"the reference has no option `{name}`")
        keywords = {
            "mode": options.get("mode"),
            "environment": options.get("environment") or "production",
            "tools": options.get("tools"),
            "principal": principal(request.get("principal")),
            "approval_backend": None if options.get("approvals") == "none" else Approvals(),
        }
        documents = request["rulesets"]
        workflow = {
            "workflow_exec_evaluator_enabled": bool(request.get("exec_enabled")),
        }
        self.report = {"overridden": [], "observed": []}
        if len(documents) == 1:
            content = request.get("workflow")
            self.guard = Edictum.from_yaml_string(documents[0]["yaml"], workflow_content=content, **workflow, **keywords)
        else:
            with tempfile.TemporaryDirectory() as folder:
                names = {}
                for index, document in enumerate(documents):
                    path = os.path.join(folder, f"{index}.yaml")
                    names[path] = document["name"]
                    with open(path, "wb") as file:
                        file.write(document["yaml"].encode())
                if request.get("workflow") is not None:
                    path = os.path.join(folder, "workflow.yaml")
                    with open(path, "wb") as file:
                        file.write(request["workflow"].encode())
                    workflow["workflow_path"] = path
                self.guard, report = Edictum.from_yaml(*names, return_report=True, **workflow, **keywords)
            self.report = {
                "overridden": [
                    {
                        "rule_id": entry.rule_id,
                        "overridden_by": names.get(entry.overridden_by, entry.overridden_by),
                        "original_source": names.get(entry.original_source, entry.original_source),
                    }
                    for entry in report.overridden_rules
                ],
                "observed": [
                    {
                        "rule_id": entry.rule_id,
                        "enforced_source": names.get(entry.enforced_source, entry.enforced_source),
                        "observed_source": names.get(entry.observed_source, entry.observed_source),
                    }
                    for entry in report.observe_rules
                ],
            }
        self.rules = [rule["id"] for rule in _compiled.get("rules", []) if rule.get("enabled", True)]
        if options.get("limits"):
            self.guard.limits = OperationLimits(**options["limits"])
        self.runtime = self.guard._workflow_runtime
        if self.runtime is not None:
            self.record(bool(request.get("results_are_evidence")), bool(request.get("snapshots_are_fresh")))
        self.variables = options.get("env")
        self.calls: dict[str, Call] = {}
        self.mark = self.guard.local_sink.mark()

    def record(self, results: bool, fresh: bool):
        """`run()` hands no results to the SDK's own function (engine.md §13.6), and logs the workflow as it was before the
        tool ran, where the SDK's framework adapters look again (§8.10). With these it does."""
        record, runtime = self.runtime.record_result, self.runtime

        async def recorded(session, stage_id, envelope):
            result = _stepping.result if results and isinstance(_stepping.result, dict) else None
            events = await record(session, stage_id, envelope, mcp_result=result)
            if fresh:
                state = await runtime.state(session)
                _stepping.pre.workflow = workflow_state.build_workflow_snapshot(runtime.definition, state)
            return events

        self.runtime.record_result = recorded

    def __enter__(self):
        # `env.*` selectors look here.
        self.before = os.environ
        if self.variables is not None:
            os.environ = self.variables  # type: ignore[assignment]
        return self.guard

    def __exit__(self, *_):
        os.environ = self.before

    def counter(self, session_id: str, name: str) -> str:
        return f"s:{session_id}:{name}"


guards: dict[str, Guard] = {}


def principal(fields):
    """A principal of the SDK's from the map of a request."""
    if fields is None:
        return None
    known = {name: fields.get(name) for name in ("user_id", "service_id", "org_id", "role", "ticket_ref")}
    return Principal(**known, claims=fields.get("claims") or {})


def guard_of(request: dict) -> Guard:
    guard = guards.get(request.get("guard"))
    if guard is None:
        raise Refused("unknown-guard", f"no guard `{request.get('guard')}`")
    return guard


def waiting(request: dict, what: str) -> Call:
    call = guard_of(request).calls.get(request.get("call_id"))
    if call is None or call.waits_for != what:
        raise Refused("unknown-call", f"no call `{request.get('call_id')}` that waits for that")
    return call


def hello(_):
    return {"protocol": 1, "host": "reference", "version": VERSION, "capabilities": ["workflow"]}


def check(request):
    try:
        Guard(request)
    except Refused:
        raise
    except Exception as error:
        place = {"line": 0, "column": 0, "end_line": 0, "end_column": 0}
        return {"diagnostics": [{"severity": "error", "code": "E_REFERENCE", "message": str(error), "document": "", **place}]}
    return {"diagnostics": []}


def templates(_):
    return {"templates": [{"name": each.name, "yaml": each.path.read_text()} for each in Edictum.list_templates()]}


def open_guard(request):
    guards.pop(request["guard"], None)
    guard = guards[request["guard"]] = Guard(request)
    return {"policy_version": guard.guard.policy_version, "rules": guard.rules, "report": guard.report}


def reload(request):
    guard = guard_of(request)
    end(guard.guard.reload(request["yaml"]))
    return {"policy_version": guard.guard.policy_version}


def end(coroutine):
    """Runs a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("the coroutine waits for something")


def evaluate(request):
    guard, call = guard_of(request), request["call"]
    with guard as sdk:
        result = sdk.evaluate(
            call["tool"],
            call.get("args", {}),
            principal=principal(call.get("principal")),
            output=request.get("output"),
            environment=call.get("environment"),
        )
    return {
        "decision": result.decision,
        "rules": [
            {
                "id": rule.rule_id,
                "type": rule.rule_type,
                "passed": rule.passed,
                "message": rule.message,
                "tags": rule.tags,
                "observed": rule.observed,
                "action": rule.action,
                "policy_error": rule.policy_error,
            }
            for rule in result.rules
        ],
        "block_reasons": result.block_reasons,
        "warn_reasons": result.warn_reasons,
        "rules_evaluated": result.rules_evaluated,
        "policy_error": result.policy_error,
    }


def begin(request):
    guard, call = guard_of(request), request["call"]
    call_id = request.get("call_id") or f"call-{len(guard.calls)}"
    keywords = {"call_id": call_id}
    if "environment" in call:
        keywords["environment"] = call["environment"]
    if "principal" in call:
        keywords["principal"] = principal(call["principal"])
    metadata = call.get("metadata")
    if request.get("parent_session_id") is not None:
        metadata = {**(metadata or {}), "parent_session_id": request["parent_session_id"]}
    if metadata is not None:
        keywords["metadata"] = metadata

    async def tool(**_):
        return await Pause("tool")

    coroutine = guard.guard.run(call["tool"], call.get("args", {}), tool, session_id=request["session_id"], **keywords)
    run = Call(guard, call_id, coroutine)
    guard.calls[call_id] = run
    return decision(run, None)


def approve(request):
    run = waiting(request, "approval")
    outcome = request["outcome"]
    status = {
        "approved": ApprovalStatus.APPROVED,
        "rejected": ApprovalStatus.DENIED,
        "timed_out": ApprovalStatus.TIMEOUT,
    }[outcome]
    return decision(
        run,
        ApprovalDecision(
            approved=outcome == "approved", approver=request.get("approver"), reason=request.get("reason"), status=status
        ),
    )


def decision(run: Call, value):
    """Goes on with a call and says how it was decided."""
    with run.guard:
        what, value = run.step(value)
    pre = run.pre
    if what == "raised":
        run.guard.calls.pop(run.call_id, None)
        raise value
    answer = {
        "call_id": run.call_id,
        "action": {"approval": "ask", "tool": "allow", "denied": "block"}[what],
        "reason": None,
        "decision_source": None,
        "decision_name": None,
        "observed": False,
        "policy_error": pre.policy_error,
        "rules_evaluated": pre.contracts_evaluated,
    }
    if what == "approval":
        answer.update(reason=pre.reason, decision_source=pre.decision_source, decision_name=pre.decision_name)
        answer["approval"] = {
            "message": pre.approval_message or pre.reason or "",
            "timeout": pre.approval_timeout,
            "timeout_action": pre.approval_timeout_action,
        }
        if pre.decision_source == "workflow":
            answer["approval"]["stage_id"] = pre.workflow_stage_id
    elif what == "denied":
        run.guard.calls.pop(run.call_id, None)
        answer.update(reason=value.reason, decision_source=value.decision_source, decision_name=value.decision_name)
    elif pre.action == "block":
        # The guard observes: the call runs all the same.
        answer.update(reason=pre.reason, decision_source=pre.decision_source, decision_name=pre.decision_name, observed=True)
    else:
        answer["observed"] = pre.observed
    if pre.workflow is not None:
        answer["workflow"] = pre.workflow
    return answer


def finish(request):
    run = waiting(request, "tool")
    run.guard.calls.pop(run.call_id, None)
    run.result = request["result"]
    if request.get("success") is not None:
        run.guard.guard._success_check = lambda *_: request["success"]
    try:
        with run.guard:
            what, value = run.step(request["result"])
    finally:
        run.guard.guard._success_check = None
    if what == "raised":
        raise value
    post = run.post
    return {
        "success": run.success,
        "postconditions_passed": post.postconditions_passed,
        "warnings": post.warnings,
        "result": value,
        "redacted": any(each.startswith("\u26a0\ufe0f Content redacted by ") for each in post.warnings),
        "suppressed": post.output_suppressed,
        "rules_evaluated": post.contracts_evaluated,
        "findings": [
            {
                "type": each.type,
                "rule_id": each.rule_id,
                "field": each.field,
                "message": each.message,
                "metadata": each.metadata,
            }
            for each in build_findings(post)
        ],
    }


def counters(request):
    guard, session_id = guard_of(request), request["session_id"]
    store = guard.guard.backend._counters
    for name, value in (request.get("set") or {}).items():
        store[guard.counter(session_id, name)] = value
    prefix = guard.counter(session_id, "tool:")
    plain = {name: int(store.get(guard.counter(session_id, name), 0)) for name in ("attempts", "execs", "consec_fail")}
    return {**plain, "tools": {key[len(prefix) :]: int(n) for key, n in store.items() if key.startswith(prefix)}}


def events(request):
    guard = guard_of(request)
    sink = guard.guard.local_sink
    found = sink.since_mark(guard.mark)
    guard.mark = sink.mark()
    return {"events": [wire(event) for event in found]}


def wire(event):
    return {**asdict(event), "timestamp": event.timestamp.isoformat(), "action": event.action.value}


def workflow(request):
    guard, session_id = guard_of(request), request["session_id"]
    runtime = guard.runtime
    if runtime is None:
        raise Refused("no-workflow", "the guard has no workflow")
    session = Session(session_id, guard.guard.backend)
    match request["do"]:
        case "state":
            pass
        case "reset":
            log(guard, session_id, end(runtime.reset(session, request["stage_id"])))
        case "set_stage":
            log(guard, session_id, end(runtime.set_stage(session, request["stage_id"])))
        case "approve":
            end(runtime.record_approval(session, request["stage_id"]))
        case "load":
            key = workflow_state.workflow_state_key(runtime.definition.metadata.name)
            end(session.set_value(key, json.dumps(request["state"])))
        case other:
            raise Refused("bad-request", f"`{other}` is not an operation on a workflow")
    return stored(runtime, session)


def log(guard, session_id, events):
    """Operations give their events to the caller, who logs them (engine.md §13.7)."""
    for event in events:
        record = AuditEvent(
            action=AuditAction(event["action"]),
            session_id=session_id,
            mode=guard.guard.mode,
            policy_version=guard.guard.policy_version,
            workflow=event["workflow"],
        )
        end(guard.guard.local_sink.emit(record))


def stored(runtime, session):
    """The state in the SDK's own persisted form; what was stored stays as it is."""
    written = []

    class Paper:
        session_id = session.session_id

        async def set_value(self, name, value):
            written.append(value)

    end(workflow_state.save_state(Paper(), runtime.definition, end(runtime.state(session))))
    return Text(written[0])


class Text(str):
    """JSON that goes into the answer as it stands."""


def health(request):
    guard = guard_of(request)
    return {"policy_version": guard.guard.policy_version, "stream": "off", "log": "off", "unsent_events": 0, "rules_age_s": 0}


def flush(request):
    guard_of(request)
    return {"unsent_events": 0}


def close(request):
    guards.pop(request.get("guard"), None)
    return {"unsent_events": 0}


OPERATIONS = {
    "hello": hello,
    "check": check,
    "templates": templates,
    "open": open_guard,
    "reload": reload,
    "evaluate": evaluate,
    "begin": begin,
    "approve": approve,
    "finish": finish,
    "counters": counters,
    "events": events,
    "workflow": workflow,
    "health": health,
    "flush": flush,
    "close": close,
}


def answer(line: bytes) -> dict:
    identity = None
    try:
        request = json.loads(line)
        identity = request.get("id")
        operation = OPERATIONS.get(request.get("op"))
        if operation is None:
            raise Refused("bad-request", f"no operation `{request.get('op')}`")
        return {"id": identity, "ok": True, "result": operation(request)}
    except Refused as refused:
        return {"id": identity, "ok": False, "error": {"code": refused.code, "message": str(refused)}}
    except RecursionError:
        return {"id": identity, "ok": False, "error": {"code": "raised", "message": "RecursionError"}}
    except Exception as raised:
        return {"id": identity, "ok": False, "error": {"code": "raised", "message": f"{type(raised).__name__}: {raised}"}}


def written(response: dict) -> str:
    if isinstance(response.get("result"), Text):
        return f'{{"id": {json.dumps(response["id"])}, "ok": true, "result": {response["result"]}}}'
    return json.dumps(response, default=str)


def main():
    # Relative paths of calls and boundaries are relative to the root, as with our own driver's default.
    os.chdir("/")
    stdout = sys.stdout.buffer
    sys.stdout = sys.stderr
    for line in sys.stdin.buffer:
        if line.strip():
            stdout.write(written(answer(line)).encode() + b"\n")
            stdout.flush()


if __name__ == "__main__":
    main()

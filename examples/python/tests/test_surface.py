"""What users of the Python SDK write, one part at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import RULES, run

from edictum_guard import (
    AuditAction,
    CollectingAuditSink,
    Edictum,
    EdictumConfigError,
    EdictumDenied,
    EdictumToolError,
    FileAuditSink,
    HookDecision,
    HookRegistration,
    MemoryBackend,
    OperationLimits,
    Principal,
    RedactionPolicy,
    ToolCall,
    UnsupportedError,
    WorkflowRuntime,
    deny_sensitive_reads,
    load_workflow_string,
    precondition,
)

WORKFLOW = """apiVersion: edictum/v1
kind: Workflow
metadata: {name: steps}
stages:
  - id: read
    tools: [Read]
    exit: [{condition: 'file_read("spec.md")', message: Read the spec first}]
  - id: edit
    entry: [{condition: 'stage_complete("read")'}]
    tools: [Edit]
"""


def rules(*lines: str) -> str:
    head = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: r}\ndefaults: {mode: enforce}\nrules:\n"
    return head + "".join(f"  - {line}\n" for line in lines)


def blocking(when: str, tool: str = "t") -> str:
    return rules(f"{{id: r, type: pre, tool: {tool}, when: {{{when}}}, then: {{action: block, message: blocked}}}}")


def test_sync_and_async_tools_run_with_what_was_judged() -> None:
    async def main() -> None:
        guard = Edictum.from_yaml_string(RULES)
        given = {"cmd": "ls", "more": (1, 2)}

        def tool(cmd: str, more: Any) -> Any:
            given["cmd"] = "rm"
            return cmd, more

        async def later(cmd: str) -> str:
            await asyncio.sleep(0)
            return f"ran {cmd} with sk-123"

        assert await guard.run("sh", given, tool) == ("ls", (1, 2))
        assert await guard.run("sh", {"cmd": "ls"}, later) == "ran ls with [REDACTED]"
        with pytest.raises(EdictumDenied) as denied:
            await guard.run("sh", given, tool)
        expected = {"reason": "no rm", "decision_source": "yaml_precondition", "decision_name": "no-rm"}
        assert vars(denied.value) == expected
        assert (await guard.counters())["execs"] == 2
        await guard.close()

    run(main())


def test_a_tool_that_fails_shows_what_may_be_seen_and_nothing_else() -> None:
    async def main() -> None:
        guard = Edictum.from_yaml_string(RULES)

        def broken(cmd: str) -> None:
            raise ValueError("boom sk-abc")

        with pytest.raises(EdictumToolError, match=r"^boom \[REDACTED\]$") as failed:
            await guard.run("sh", {"cmd": "ls"}, broken)
        assert failed.value.__cause__ is None and failed.value.__context__ is None
        with pytest.raises(EdictumToolError, match="Error: no"):
            await guard.run("sh", {"cmd": "ls"}, lambda cmd: "Error: no")
        with pytest.raises(EdictumToolError):
            await guard.run("sh", {"cmd": "ls"}, lambda: "takes no arguments")
        failures = guard.local_sink.filter(AuditAction.CALL_FAILED)
        assert len(failures) == 3 and "sk-abc" not in "".join(event.wire for event in failures)

    run(main())


def test_callbacks_watch_and_change_nothing() -> None:
    async def main() -> None:
        seen: list[Any] = []

        def blocked(call: ToolCall, reason: str, name: str | None) -> None:
            seen.append(("block", call.tool_name, call.side_effect, reason, name))
            raise RuntimeError("only watching")

        guard = Edictum.from_yaml_string(
            RULES,
            tools={"sh": {"side_effect": "read"}},
            on_block=blocked,
            on_allow=lambda call: seen.append(("allow", call.args, call.principal and call.principal.role)),
            principal=Principal(role="dev"),
        )
        assert await guard.run("sh", {"cmd": "ls"}, lambda cmd: 1) == 1
        guard.set_principal(Principal(role="ops"))
        assert await guard.run("sh", {"cmd": "ls"}, lambda cmd: 2, principal={"role": "own"}) == 2
        with pytest.raises(EdictumDenied):
            await guard.run("sh", {"cmd": "rm"}, lambda cmd: 1)
        assert seen == [
            ("allow", {"cmd": "ls"}, None),
            ("allow", {"cmd": "ls"}, "own"),
            ("block", "sh", "read", "no rm", "no-rm"),
        ]
        assert [event.principal and event.principal["role"] for event in guard.local_sink.events] == [
            "dev",
            "dev",
            "own",
            "own",
            "ops",
        ]

    run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_custom_operators_and_selectors(asynchronous: bool) -> None:
    def even(value: Any, operand: Any) -> bool:
        return bool((value % 2 == 0) == operand)

    def tier(call: ToolCall) -> dict[str, Any]:
        return {"level": len(call.args["name"])}

    async def even_later(value: Any, operand: Any) -> bool:
        await asyncio.sleep(0)
        return even(value, operand)

    async def tier_later(call: ToolCall) -> dict[str, Any]:
        await asyncio.sleep(0)
        return tier(call)

    guard = Edictum.from_yaml_string(
        rules(
            "{id: e, type: pre, tool: t, when: {args.n: {is_even: true}}, then: {action: block, message: even}}",
            "{id: l, type: pre, tool: t, when: {tier.level: {gt: 3}}, then: {action: block, message: 'level {tier.level}'}}",
        ),
        custom_operators={"is_even": even_later if asynchronous else even},
        custom_selectors={"tier": tier_later if asynchronous else tier},
    )
    reasons = [
        guard.evaluate("t", {"n": n, "name": name}).block_reasons for n, name in [(2, "a"), (1, "a"), (1, "long")]
    ]
    assert reasons == [["even"], [], ["level 4"]]

    async def main() -> None:
        assert await guard.run("t", {"n": 3, "name": "a"}, lambda **_: "ran") == "ran"
        with pytest.raises(EdictumDenied, match="even"):
            await guard.run("t", {"n": 4, "name": "a"}, lambda **_: "ran")

    run(main())


def test_a_callback_that_fails_blocks() -> None:
    def broken(value: Any, operand: Any) -> bool:
        raise RuntimeError("out of order")

    guard = Edictum.from_yaml_string(blocking("args.n: {odd: true}"), custom_operators={"odd": broken})
    result = guard.evaluate("t", {"n": 1})
    assert (result.decision, result.policy_error) == ("block", True)
    with pytest.raises(EdictumConfigError):
        Edictum.from_yaml_string(blocking("args.n: {odd: true}"))
    with pytest.raises(UnsupportedError):
        Edictum.from_yaml_string(blocking("args.n: {odd: true}"), options={"operators": ["odd"]})


def test_hooks_before_and_after() -> None:
    async def main() -> None:
        told: list[Any] = []

        def office_hours(call: ToolCall) -> HookDecision:
            return HookDecision.block("closed") if call.args.get("late") else HookDecision.allow()

        async def remember(call: ToolCall, result: Any) -> None:
            told.append((call.tool_name, result))

        @precondition("deploy")
        def never(call: ToolCall) -> Any:
            from edictum_guard import Decision

            return Decision.fail("never deploy")

        guard = Edictum(
            hooks=[
                HookRegistration("before", "*", office_hours, when=lambda call: call.tool_name != "free"),
                HookRegistration("after", "sh", remember),
            ],
            rules=[never, deny_sensitive_reads()],
        )
        value = object()
        assert await guard.run("sh", {}, lambda: value) is value
        assert told == [("sh", value)]
        with pytest.raises(EdictumDenied, match="closed") as denied:
            await guard.run("sh", {"late": True}, lambda late: 1)
        assert denied.value.decision_name == "office_hours"
        assert await guard.run("free", {"late": True}, lambda late: 1) == 1
        with pytest.raises(EdictumDenied, match="never deploy"):
            await guard.run("deploy", {}, lambda: 1)
        with pytest.raises(EdictumDenied):
            await guard.run("Bash", {"command": "cat ~/.ssh/id_rsa"}, lambda command: 1)

    run(main())


def test_the_success_check_sees_the_tools_own_result() -> None:
    async def main() -> None:
        class Result:
            good = False

        guard = Edictum(success_check=lambda tool, result: result.good)
        with pytest.raises(EdictumToolError):
            await guard.run("t", {}, Result)
        assert (await guard.counters())["consec_fail"] == 1

    run(main())


def test_who_is_asked_whose_call_it_is() -> None:
    guard = Edictum.from_yaml_string(
        blocking("principal.role: {equals: guest}"),
        principal_resolver=lambda tool, args: Principal(role=args["as"]),
        principal=Principal(role="admin"),
    )

    async def main() -> None:
        assert await guard.run("t", {"as": "dev"}, lambda **_: 1) == 1
        with pytest.raises(EdictumDenied):
            await guard.run("t", {"as": "guest"}, lambda **_: 1)

    run(main())


def test_sinks_get_every_event_redacted(tmp_path: Path) -> None:
    class Failing:
        async def emit(self, event: Any) -> None:
            raise OSError("full")

    async def main() -> None:
        collecting, errors = CollectingAuditSink(), []
        path = tmp_path / "events.jsonl"
        guard = Edictum.from_yaml_string(
            RULES,
            audit_sink=[Failing(), collecting, FileAuditSink(path)],
            redaction=RedactionPolicy(sensitive_keys={"pin"}),
            on_error=errors.append,
        )
        await guard.run("sh", {"cmd": "ls", "pin": "4711", "password": "hunter2"}, lambda **_: "fine")
        lines = path.read_text().splitlines()
        assert [event.action for event in collecting.events] == ["call_allowed", "call_executed"]
        assert len(lines) == 2 and len(errors) == 2 and path.stat().st_mode & 0o777 == 0o600
        assert "4711" not in path.read_text() and "hunter2" not in path.read_text()
        strict = Edictum.from_yaml_string(RULES, audit_sink=Failing(), options={"decision_log_required": True})
        with pytest.raises(EdictumDenied):
            await strict.run("sh", {"cmd": "ls"}, lambda cmd: 1)

    run(main())


def test_observing_lets_calls_through_and_says_so() -> None:
    async def main() -> None:
        allowed: list[ToolCall] = []
        guard = Edictum.from_yaml_string(RULES, mode="observe", on_allow=allowed.append)
        assert guard.mode == "observe"
        assert await guard.run("sh", {"cmd": "rm"}, lambda cmd: "ran") == "ran"
        assert [event.action for event in guard.local_sink.events][0] == AuditAction.CALL_WOULD_DENY
        assert allowed == []

    run(main())


def test_guards_merge_and_reload() -> None:
    async def main() -> None:
        first = Edictum.from_yaml_string(blocking("args.a: {equals: 1}"), limits=OperationLimits(max_tool_calls=7))
        other = Edictum.from_yaml_string(RULES)
        both = Edictum.from_multiple([first, other])
        assert both.evaluate("t", {"a": 1}).decision == "block"
        assert both.evaluate("sh", {"cmd": "rm"}).decision == "block"
        assert both.limits.max_tool_calls == 7
        before = first.policy_version
        await first.reload(blocking("args.a: {equals: 2}"))
        assert first.policy_version != before
        assert [first.evaluate("t", {"a": a}).decision for a in (1, 2)] == ["allow", "block"]
        with pytest.raises(EdictumConfigError) as wrong:
            await first.reload("rules: [")
        assert wrong.value.diagnostics and first.evaluate("t", {"a": 2}).decision == "block"

    run(main())


def test_files_templates_and_reports(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(RULES)
    (tmp_path / "mine.yaml").write_text(RULES.replace("no {args.cmd}", "mine"))
    guard, report = Edictum.from_yaml(tmp_path / "one.yaml", tmp_path / "mine.yaml", return_report=True)
    assert guard.evaluate("sh", {"cmd": "rm"}).block_reasons == ["mine"]
    assert {each.rule_id for each in report.overridden_rules} == {"no-rm", "ask", "keys"}
    names = {each.name: each.builtin for each in Edictum.list_templates([tmp_path])}
    assert names["mine"] is False and names["file-agent"] is True
    assert Edictum.from_template("mine", template_dirs=[tmp_path]).evaluate("sh", {"cmd": "rm"}).decision == "block"
    with pytest.raises(EdictumConfigError, match="file-agent"):
        Edictum.from_template("../one", template_dirs=[tmp_path / "x"])
    with pytest.raises(FileNotFoundError):
        Edictum.from_yaml(tmp_path / "none.yaml")


def test_sessions_in_a_backend_are_shared_by_guards() -> None:
    class Plain:
        """Four methods, no versions."""

        def __init__(self) -> None:
            self.values: dict[str, str] = {}

        async def get(self, key: str) -> str | None:
            return self.values.get(key)

        async def set(self, key: str, value: str) -> None:
            self.values[key] = value

        async def delete(self, key: str) -> None:
            self.values.pop(key, None)

        async def increment(self, key: str, amount: float = 1) -> float:
            self.values[key] = str(int(self.values.get(key, "0")) + int(amount))
            return float(self.values[key])

    class Broken(Plain):
        async def increment(self, key: str, amount: float = 1) -> float:
            raise ConnectionError("gone")

    async def main() -> None:
        for backend in (MemoryBackend(), Plain()):
            limits = OperationLimits(max_tool_calls=2)
            one, two = (Edictum.from_yaml_string(RULES, backend=backend, limits=limits) for _ in range(2))
            for guard in (one, two):
                await guard.run("sh", {"cmd": "ls"}, lambda cmd: 1, session_id="shared")
            with pytest.raises(EdictumDenied):
                await one.run("sh", {"cmd": "ls"}, lambda cmd: 1, session_id="shared")
        with pytest.raises(EdictumDenied):
            await Edictum(backend=Broken()).run("sh", {"cmd": "ls"}, lambda cmd: 1)

    run(main())


def test_a_workflow_holds_stages_in_order() -> None:
    async def main() -> None:
        runtime = WorkflowRuntime(load_workflow_string(WORKFLOW))
        guard = Edictum.from_yaml_string(RULES, workflow_runtime=runtime)
        with pytest.raises(EdictumDenied):
            await guard.run("Edit", {"file_path": "a"}, lambda file_path: 1)
        await guard.run("Read", {"file_path": "spec.md"}, lambda file_path: "text")
        assert await guard.run("Edit", {"file_path": "a"}, lambda file_path: 1) == 1
        assert (await guard.workflow_state()).completed("read")
        assert (await guard.reset_workflow("read")).active_stage == "read"
        assert (await guard.set_workflow_stage("edit")).active_stage == "edit"
        with pytest.raises(EdictumConfigError):
            await guard.set_workflow_stage("nowhere")
        with pytest.raises(EdictumConfigError) as wrong:
            WorkflowRuntime(load_workflow_string(WORKFLOW.replace("file_read", "file_red")))
        assert wrong.value.diagnostics
        with pytest.raises(EdictumConfigError):
            Edictum(workflow_runtime=runtime, workflow_content=WORKFLOW)

    run(main())


def test_a_dry_run_says_what_would_happen() -> None:
    guard = Edictum.from_yaml_string(RULES)
    result = guard.evaluate("sh", {"cmd": "ls"}, output="sk-1", principal=Principal(role="x"), environment="staging")
    assert (result.decision, result.warn_reasons) == ("warn", ["a key"])
    batch = guard.evaluate_batch([{"tool": "sh", "args": {"cmd": "rm"}}, {"tool": "sh", "args": {"cmd": "ls"}}])
    assert [each.decision for each in batch] == ["block", "allow"]
    assert guard.local_sink.events == []
    with pytest.raises(TypeError):
        run(guard.run("sh", {"cmd": "ls"}, lambda cmd: 1, nonsense=1))

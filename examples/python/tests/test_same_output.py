"""Programs for the Python SDK, with one import changed: they print the same under the published SDK and here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import AGENT, PACKAGE, PATIENCE, WORKSPACE, Serve

BLOCK_FIRST = """
from edictum import Edictum

guard = Edictum.from_template("file-agent")
result = guard.evaluate("read_file", {"path": ".env"})
print(result.decision)
print(len(result.block_reasons))  # the words of built-in rulesets are each implementation's own
"""

FULL_PATH = '''
from pathlib import Path
from edictum import Edictum

Path("rules.yaml").write_text("""apiVersion: edictum/v1
kind: Ruleset
metadata:
  name: file-safety
defaults:
  mode: enforce
rules:
  - id: block-sensitive-reads
    type: pre
    tool: read_file
    when:
      args.path:
        contains_any: [".env", ".secret", "credentials", ".pem", "id_rsa"]
    then:
      action: block
      message: "Sensitive file '{args.path}' blocked."
""")
guard = Edictum.from_yaml("rules.yaml")

result = guard.evaluate("read_file", {"path": ".env"})
print(result.decision)
print(result.block_reasons[0])
print(guard.evaluate("read_file", {"path": "notes.md"}).decision)
print(guard.policy_version, result.rules_evaluated, result.rules[0].rule_id, result.rules[0].passed)
'''

WORKFLOW_GATES = '''
import asyncio
from pathlib import Path
from edictum import ApprovalDecision, ApprovalRequest, ApprovalStatus, Edictum, EdictumDenied

Path("rules.yaml").write_text("""apiVersion: edictum/v1
kind: Ruleset
metadata: {name: r}
defaults: {mode: enforce}
rules:
  - {id: r, type: pre, tool: Bash, when: {args.command: {contains: rm}}, then: {action: block, message: never}}
""")
Path("workflow.yaml").write_text("""apiVersion: edictum/v1
kind: Workflow
metadata:
  name: read-before-edit
stages:
  - id: read-context
    tools: [Read]
    exit:
      - condition: file_read("spec.md")
        message: Read the spec before editing
  - id: implement
    entry:
      - condition: stage_complete("read-context")
    tools: [Edit]
    approval:
      message: Human approval required before implementation
""")


class Ann:
    async def request_approval(self, tool_name, tool_args, message, *, timeout=300, **more):
        print("asked:", tool_name, message)
        return ApprovalRequest("id", tool_name, tool_args, message, timeout)

    async def wait_for_decision(self, approval_id, timeout=None):
        return ApprovalDecision(approved=True, approver="ann", status=ApprovalStatus.APPROVED)


async def read(file_path):
    return f"contents of {file_path}"


async def main():
    guard = Edictum.from_yaml("rules.yaml", workflow_path="workflow.yaml", approval_backend=Ann())
    for tool, path in [("Edit", "a.py"), ("Read", "spec.md"), ("Edit", "a.py")]:
        try:
            print(await guard.run(tool, {"file_path": path}, read))
        except EdictumDenied as denied:
            print("denied:", denied.reason, denied.decision_source, denied.decision_name)


asyncio.run(main())
'''

TEMPLATES = """
from edictum import Edictum, Principal

for name, tool, args in [
    ("file-agent", "read_file", {"path": "id_rsa"}),
    ("research-agent", "search", {"query": "x"}),
    ("devops-agent", "deploy_service", {"env": "production"}),
    ("devops-agent", "bash", {"command": "cat .env"}),
]:
    result = Edictum.from_template(name).evaluate(tool, args, principal=Principal(role="ops", ticket_ref="T-1"))
    print(name, tool, result.decision, len(result.block_reasons))
print(sorted(template.name for template in Edictum.list_templates()))
"""

TOOLS = '''
import asyncio
from edictum import (
    CollectingAuditSink, Edictum, EdictumDenied, EdictumToolError, HookDecision, HookRegistration, OperationLimits, Principal,
)

RULES = """apiVersion: edictum/v1
kind: Ruleset
metadata: {name: r}
defaults: {mode: enforce}
rules:
  - {id: ops-only, type: pre, tool: deploy, when: {principal.role: {not_equals: ops}}, then: {action: block, message: 'ops only, not {principal.role}'}}
  - {id: long, type: pre, tool: say, when: {args.text: {longer_than: 5}}, then: {action: block, message: too long}}
"""


def office(call):
    return HookDecision.deny("closed") if call.args.get("late") else HookDecision.allow()


async def main():
    sink = CollectingAuditSink()
    told = []
    guard = Edictum.from_yaml_string(
        RULES,
        audit_sink=sink,
        custom_operators={"longer_than": lambda value, operand: len(value) > operand},
        on_block=lambda call, reason, name: told.append(("block", call.tool_name, reason, name)),
        on_allow=lambda call: told.append(("allow", call.tool_name)),
        principal=Principal(role="dev"),
    )

    async def attempt(tool, args, function):
        try:
            print(tool, await guard.run(tool, args, function))
        except EdictumDenied as denied:
            print(tool, "denied", denied, denied.decision_source, denied.decision_name)
        except EdictumToolError as failed:
            print(tool, "failed", failed)

    def fail():
        raise ValueError("boom")

    await attempt("deploy", {}, lambda: "deployed")
    guard.set_principal(Principal(role="ops"))
    await attempt("deploy", {}, lambda: "deployed")
    await attempt("say", {"text": "hi"}, lambda text: text)
    await attempt("say", {"text": "hello world"}, lambda text: text)
    await attempt("broken", {}, fail)
    await attempt("polite", {}, lambda: "Error: no such thing")
    plain = Edictum.from_yaml_string(RULES.partition("  - {id: long")[0])
    await plain.reload(RULES.partition("  - {id: long")[0].replace("ops only", "operators only"))
    try:
        await plain.run("deploy", {}, lambda: 1, principal=Principal(role="dev"))
    except EdictumDenied as denied:
        print(denied)
    print(told)
    print([(event.tool_name, event.tool_success, event.decision_name, event.session_attempt_count) for event in sink.events])

    limited = Edictum(limits=OperationLimits(max_tool_calls=1), hooks=[HookRegistration("before", "*", office)])
    print(await limited.run("t", {}, lambda: "once"))
    for args in ({"late": True}, {}):
        try:
            await limited.run("t", args, lambda late=None: "twice")
        except EdictumDenied as denied:
            print(denied.decision_source, denied.decision_name)
    await guard.close()


asyncio.run(main())
'''

# The quick start of the documentation of the server SDK, as it is.
QUICK_START = """
import asyncio
import os
from edictum import Edictum, EdictumDenied


async def main():
    guard = await Edictum.from_server(
        url=os.environ["EDICTUM_URL"],
        api_key=os.environ["EDICTUM_API_KEY"],
        agent_id="docs-agent",
        env="production",
        bundle_name="rules",
    )

    async def read_file(path: str) -> str:
        return f"contents of {path}"

    result = await guard.run("read_file", {"path": "README.md"}, read_file)
    print(result)

    async def sh(cmd):
        return cmd

    try:
        await guard.run("sh", {"cmd": "rm x"}, sh)
    except EdictumDenied as denied:
        print(denied.reason, denied.decision_name)
    await guard.close()


asyncio.run(main())
"""

LOW_LEVEL = """
import asyncio
import os
from edictum.server import EdictumServerClient


async def main():
    client = EdictumServerClient(
        os.environ["EDICTUM_URL"],
        api_key=os.environ["EDICTUM_API_KEY"],
        agent_id="docs-agent",
        env="production",
        bundle_name="rules",
    )
    payload = await client.get("/v1/rulesets/rules/current", env="production")
    print({name: value for name, value in sorted(payload.items()) if "at" not in name})
    await client.close()


asyncio.run(main())
"""


@pytest.fixture(scope="session")
def sdk() -> str:
    """A Python with the published SDK: the differential tests install it."""
    named = os.environ.get("EDICTUM_REFERENCE_PYTHON")
    python = Path(named) if named else WORKSPACE / ".local" / "reference-venv" / "bin" / "python"
    if not python.exists():
        pytest.skip("the published SDK is not installed: the differential test does that")
    return str(python)


def printed(python: str, program: str, folder: Path, **environment: str) -> str:
    folder.mkdir()
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    found = subprocess.run(
        [python, "-c", program], cwd=folder, env=variables, capture_output=True, text=True, timeout=PATIENCE * 3
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def both(sdk: str, program: str, folder: Path, **environment: str) -> str:
    ours = program.replace("from edictum import", "from edictum_guard import")
    ours = ours.replace("from edictum.server import", "from edictum_guard.server import")
    assert ours != program
    here = printed(sys.executable, ours, folder / "ours", PYTHONPATH=str(PACKAGE), **environment)
    assert here == printed(sdk, program, folder / "theirs", **environment)
    return here


@pytest.mark.parametrize("name", ["BLOCK_FIRST", "FULL_PATH", "WORKFLOW_GATES", "TEMPLATES", "TOOLS"])
def test_examples_print_the_same(sdk: str, tmp_path: Path, name: str) -> None:
    assert len(both(sdk, globals()[name], tmp_path).splitlines()) >= 2


@pytest.mark.parametrize("name", ["QUICK_START", "LOW_LEVEL"])
def test_examples_with_a_server_print_the_same(sdk: str, tmp_path: Path, serve: Serve, name: str) -> None:
    said = both(sdk, globals()[name], tmp_path, EDICTUM_URL=serve.url, EDICTUM_API_KEY=AGENT)
    assert ("contents of README.md" if name == "QUICK_START" else "'name': 'rules'") in said

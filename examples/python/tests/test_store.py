"""State on disk: it outlives the process, and moves between hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PACKAGE, RULES

from edictum_guard import Call, Guard, Host, NotFoundError, Ruleset, SqliteStore, StoreError
from edictum_guard.policy import Document

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


def call(tool: str, **args: Any) -> Call:
    return Call([("tool", json.dumps(tool)), ("args", json.dumps(args))], "s")


class Driver:
    """A host's driver."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, op: str, **fields: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"id": 1, "op": op, "guard": "g", **fields}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["ok"], answer
        return answer["result"]

    def end(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()


def hosts(reference_host: str) -> list[list[str]]:
    return [[reference_host, "driver"], [sys.executable, "-B", str(PACKAGE / "driver.py")]]


@pytest.mark.parametrize("first", [0, 1])
def test_a_session_begun_under_one_host_goes_on_under_the_other(
    reference_host: str, tmp_path: Path, first: int
) -> None:
    both = hosts(reference_host)
    opening = {"rulesets": [{"name": "r", "yaml": RULES}], "workflow": WORKFLOW, "store": {"path": str(tmp_path)}}

    def tool(name: str, **args: Any) -> dict[str, Any]:
        return {"session_id": "s", "call": {"tool": name, "args": args}}

    one = Driver(both[first])
    one.ask("open", **opening)
    assert one.ask("begin", **tool("Edit", file_path="a"))["action"] == "block"
    reading = one.ask("begin", call_id="reading", **tool("Read", file_path="spec.md"))
    assert reading["action"] == "allow"
    counted = one.ask("counters", session_id="s")
    one.end()

    # The call that is open ends under the other host; then the session is in its next stage there.
    two = Driver(both[1 - first])
    two.ask("open", **opening)
    assert two.ask("counters", session_id="s") == counted
    assert two.ask("finish", call_id="reading", result="text")["success"] is True
    edit = two.ask("begin", **tool("Edit", file_path="a"))
    assert edit["action"] == "allow", edit
    state = two.ask("workflow", session_id="s", do="state")
    two.end()

    three = Driver(both[first])
    three.ask("open", **opening)
    assert three.ask("workflow", session_id="s", do="state") == state
    assert three.ask("finish", call_id=edit["call_id"], result="done")["success"] is True
    assert three.ask("counters", session_id="s")["execs"] == 2
    three.end()


def test_two_hosts_on_one_store_at_the_same_time(reference_host: str, tmp_path: Path) -> None:
    drivers = [Driver(command) for command in hosts(reference_host)]
    opening = {"rulesets": [{"name": "r", "yaml": RULES}], "store": {"path": str(tmp_path)}}
    for driver in drivers:
        driver.ask("open", **opening)
    for number in range(20):
        begun = drivers[number % 2].ask("begin", session_id="s", call={"tool": "sh", "args": {"cmd": "ls"}})
        drivers[(number + number // 2) % 2].ask("finish", call_id=begun["call_id"], result="ok")
    assert [driver.ask("counters", session_id="s")["execs"] for driver in drivers] == [20, 20]
    for driver in drivers:
        driver.end()


def test_an_open_call_and_an_ask_outlive_the_guard(tmp_path: Path) -> None:
    def guard() -> Guard:
        return Guard("g", [Ruleset("r", RULES)], store=SqliteStore(tmp_path))

    one = guard()
    allowed = one.blocking.begin(call("sh", cmd="ls"))
    asked = one.blocking.begin(call("deploy", to="prod"))
    assert (allowed.action, asked.action) == ("allow", "ask")
    one.close()

    two = guard()
    assert {each.call_id for each in two.open_calls()} == {allowed.call_id, asked.call_id}
    ended = two.blocking.finish(allowed.call_id, '"key sk-1"')
    assert ended.replacement == '"key [REDACTED]"'
    settled = two.blocking.settle(asked.call_id, {"verdict": "approved", "approver": "ann"})
    assert settled.action == "allow"
    two.blocking.finish(asked.call_id, "null")
    with pytest.raises(NotFoundError):
        two.blocking.finish(asked.call_id, "null")


def test_deadlines_are_kept_over_a_restart(tmp_path: Path) -> None:
    host = Host()
    first = Guard("g", [Ruleset("r", RULES)], store=SqliteStore(tmp_path), host=host)
    asked = first.blocking.begin(call("deploy", to="prod"))
    left = first.blocking.begin(call("sh", cmd="ls"))
    first.close()
    host.clock.set(host.clock.now() + 2 * 3_600_000)
    second = Guard("g", [Ruleset("r", RULES)], store=SqliteStore(tmp_path), host=host)
    second.run_due()
    assert second.open_calls() == []
    assert second.blocking.settle(asked.call_id, {"verdict": "approved"}).action == "block"
    with pytest.raises(NotFoundError):
        second.blocking.finish(left.call_id, "null")


def test_the_file_is_its_owners_alone_and_of_a_known_layout(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "deep" / "er")
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
    store.remember("owner", "name", "value")
    assert store.memory("owner", "name") == "value"
    store.shut()

    import sqlite3

    database = sqlite3.connect(store.path)
    assert database.execute("PRAGMA application_id").fetchone() == (0x4544_4354,)
    database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(StoreError, match="layout 2"):
        SqliteStore(tmp_path / "deep" / "er")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        SqliteStore(tmp_path / "file")


def test_a_store_that_is_lost_blocks_and_is_logged(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    guard = Guard("g", [Ruleset("r", RULES)], store=store, workflow=Document("w", WORKFLOW))
    store.shut()
    decision = guard.blocking.begin(call("Read", file_path="spec.md"))
    assert (decision.action, decision.policy_error) == ("block", True)

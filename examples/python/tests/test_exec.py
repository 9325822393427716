"""Commands of workflows: no shell, few variables, a group of their own that ends with them."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE, run

from edictum_guard import Edictum, EdictumDenied
from edictum_guard.process import CommandError, environment
from edictum_guard.process import run as run_command

WORKFLOW = """apiVersion: edictum/v1
kind: Workflow
metadata: {name: w}
stages:
  - id: build
    tools: [Bash]
    exit: [{condition: 'exec("test -e done")', message: not done yet}]
  - id: deploy
    entry: [{condition: 'stage_complete("build")'}]
    tools: [Deploy]
"""


def command(*argv: str, **more: Any) -> dict[str, Any]:
    return {"argv": list(argv), "environment": ["PATH"], "timeout_ms": 30_000, "output_cap": 4096, **more}


def ends(*argv: str, cwd: str | None = None, **more: Any) -> tuple[int, str]:
    found = run_command(command(*argv, **more), cwd, threading.Event())
    return found["exit_code"], found["output"]


def lives(pid: str) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return not stat.rsplit(") ", 1)[-1].startswith(("Z", "X"))


def gone(file: Path) -> bool:
    pid = file.read_text().strip()
    assert pid
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if not lives(pid):
            return True
        time.sleep(0.01)
    return False


def test_a_command_ends_with_code_and_merged_output(tmp_path: Path) -> None:
    assert ends("sh", "-c", "echo out; echo err >&2; exit 3") == (3, "out\nerr\n")
    assert ends("sh", "-c", "kill -9 $$") == (-9, "")
    assert ends("printf", "%s", "$HOME; `id`") == (0, "$HOME; `id`")
    assert ends("pwd", cwd=str(tmp_path))[1].strip() == str(tmp_path.resolve())
    assert ends("env")[1].startswith("PATH=") and len(ends("env")[1].splitlines()) == 1
    assert ends("sh", "-c", "yes ä | head -c 1000000", output_cap=7)[1] == "ä\nä\n"


@pytest.mark.parametrize("script", ["sleep 60 & echo $! > pid; sleep 60", "sleep 60 & echo $! > pid; exit 0"])
def test_a_command_without_end_is_killed_with_all_it_started(tmp_path: Path, script: str) -> None:
    with pytest.raises(CommandError, match="500 ms"):
        ends("sh", "-c", script, cwd=str(tmp_path), timeout_ms=500)
    assert gone(tmp_path / "pid")


def test_a_command_that_ends_well_leaves_nobody_behind(tmp_path: Path) -> None:
    assert ends("sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $! > pid; echo done", cwd=str(tmp_path)) == (0, "done\n")
    assert gone(tmp_path / "pid")


def test_a_command_that_nobody_waits_for_is_killed(tmp_path: Path) -> None:
    given_up, file = threading.Event(), tmp_path / "pid"
    failures: list[str] = []

    def work() -> None:
        try:
            run_command(command("sh", "-c", "echo $$ > pid; exec sleep 60"), str(tmp_path), given_up)
        except CommandError as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    while not file.exists() or not file.read_text().strip():
        time.sleep(0.005)
    given_up.set()
    thread.join(PATIENCE)
    assert failures and gone(file)


def test_what_cannot_run_is_an_error() -> None:
    for argv in ([], ["/nonexistent/program"], ["nul\0byte"]):
        with pytest.raises(CommandError):
            run_command(command(*argv), None, threading.Event())
    with pytest.raises(CommandError):
        ends("true", cwd="/nonexistent/folder")


def test_keys_of_ours_are_in_no_environment() -> None:
    variables = {
        "PATH": "/bin",
        "EDICTUM_API_KEY": "key-0123456789",
        "EDICTUM_STAGING_TOKEN": "short",
        "EDICTUM_LOG": "warn",
        "CURL_HEADER": "Authorization: Bearer key-0123456789",
        "COPY": "short",
        "WORD": "shortly",
        "UNNAMED": "x",
    }
    named = [name for name in variables if name != "UNNAMED"] + ["UNSET"]
    assert list(environment(named, variables)) == ["PATH", "EDICTUM_LOG", "WORD"]


def test_a_workflow_asks_a_command_before_it_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        guard = Edictum(workflow_content=WORKFLOW, workflow_exec_evaluator_enabled=True, options={"cwd": str(tmp_path)})
        await guard.run("Bash", {"command": "make"}, lambda command: "built")
        with pytest.raises(EdictumDenied, match="not done yet"):
            await guard.run("Deploy", {}, lambda: 1)
        (tmp_path / "done").touch()
        assert await guard.run("Deploy", {}, lambda: 1) == 1

    run(main())


def test_commands_need_to_be_permitted() -> None:
    from edictum_guard import EdictumConfigError

    with pytest.raises(EdictumConfigError):
        Edictum(workflow_content=WORKFLOW)

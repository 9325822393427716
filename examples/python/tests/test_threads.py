"""Many threads, one guard: mixed sessions, reloads, and every decision what a replay of it says. `EDICTUM_THREADS_SECONDS` makes it
longer."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from conftest import run

from edictum_guard import Call, Edictum, EdictumDenied, Guard, Ruleset
from edictum_guard.store import MemoryStore, SqliteStore, Store

SECONDS = float(os.environ.get("EDICTUM_THREADS_SECONDS", "4"))
THREADS = 8

TEMPLATE = """apiVersion: edictum/v1
kind: Ruleset
metadata: {{name: r}}
defaults: {{mode: enforce}}
rules:
  - {{id: r, type: pre, tool: t, when: {{args.n: {{gt: {limit}}}}}, then: {{action: block, message: 'over {limit}'}}}}
"""

LIMITS = {"limits": {"max_attempts": 10_000_000, "max_tool_calls": 10_000_000}}


def memory() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def hammer(store: Store) -> int:
    guard = Guard("g", [Ruleset("r", TEMPLATE.format(limit=5))], options=LIMITS, store=store)
    until = time.monotonic() + SECONDS
    failures: list[str] = []
    calls = [0] * THREADS

    def work(number: int) -> None:
        count = 0
        try:
            while time.monotonic() < until:
                n = count % 12
                session = f"s{(number + count) % 5}"
                members = [("tool", '"t"'), ("args", f'{{"n":{n}}}')]
                decision = guard.blocking.begin(Call(members, session))
                # The limit is 5 or 8, as the rules in force at that moment say; what the decision says, it follows.
                if decision.action == "allow":
                    assert n <= 8
                    ended = guard.blocking.finish(decision.call_id, '"ok"')
                    assert ended.success
                else:
                    limit = int(decision.reason.split()[-1])
                    assert limit in (5, 8) and n > limit, decision
                count += 1
        except BaseException as error:
            failures.append(f"{number}: {error!r}")
        calls[number] = count

    def reload() -> None:
        limits = (8, 5)
        while time.monotonic() < until and not failures:
            for limit in limits:
                try:
                    guard.blocking.reload([Ruleset("r", TEMPLATE.format(limit=limit))])
                except BaseException as error:
                    failures.append(f"reload: {error!r}")
                    return
                time.sleep(0.05)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    threads.append(threading.Thread(target=reload))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert guard.open_calls() == [], "nothing is left open"
    attempts = sum(int(raw_counters(guard, f"s{number}")) for number in range(5))
    assert attempts == sum(calls), "no attempt is lost or counted twice"
    guard.close()
    return sum(calls)


def raw_counters(guard: Guard, session: str) -> int:
    import json

    found: int = json.loads(guard.blocking.operate(session, [("do", '"counters"')]))["attempts"]
    return found


def test_eight_threads_on_one_guard_in_memory() -> None:
    assert hammer(MemoryStore()) > THREADS
    before = memory()
    assert hammer(MemoryStore()) > THREADS
    assert memory() - before < 64 << 20, "memory does not grow"


def test_eight_threads_on_one_guard_on_disk(tmp_path: Path) -> None:
    assert hammer(SqliteStore(tmp_path)) > THREADS


def test_event_loops_on_several_threads_share_a_guard() -> None:
    guard = Edictum.from_yaml_string(TEMPLATE.format(limit=5), options=LIMITS)
    failures: list[str] = []

    async def session(number: int) -> None:
        for n in range(30):
            try:
                assert await guard.run("t", {"n": n % 12}, lambda n: n, session_id=f"s{number % 3}") == n % 12
                assert n % 12 <= 5
            except EdictumDenied:
                assert n % 12 > 5

    def work(number: int) -> None:
        try:
            run(session(number))
        except BaseException as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_guard_goes_on_in_a_forked_process() -> None:
    guard = Edictum.from_yaml_string(TEMPLATE.format(limit=5), options=LIMITS)

    async def both() -> list[object]:
        await guard.run("t", {"n": 1}, lambda n: n)
        return [guard.evaluate("t", {"n": n}).decision for n in (1, 9)]

    assert run(both()) == ["allow", "block"]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if run(both()) == ["allow", "block"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run(both()) == ["allow", "block"]

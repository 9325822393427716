"""An event loop goes on whatever a guard waits for. No clock decides: what is waited for is only let go by the loop itself, so that a
loop that is held up is a test that never ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from conftest import PATIENCE, RULES, run

from edictum_guard import Edictum, EdictumDenied, HookDecision, HookRegistration
from edictum_guard.store import MemoryStore, Operation, Outcome, Visit


class Gate:
    """Blocks a thread until the loop opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE), "the loop is held up"

    async def opening(self) -> None:
        while not self.reached.is_set():
            await asyncio.sleep(0.005)
        self.opened.set()


async def held(gate: Gate, work: Any) -> Any:
    """Does something that waits at the gate, which only this loop opens."""
    opening = asyncio.ensure_future(gate.opening())
    result = await work
    await opening
    return result


def test_a_tool_that_blocks() -> None:
    async def main() -> None:
        gate = Gate()
        guard = Edictum.from_yaml_string(RULES)
        assert await held(gate, guard.run("sh", {"cmd": "ls"}, lambda cmd: gate.pass_through())) is None

    run(main())


def test_a_store_that_blocks() -> None:
    class Slow(MemoryStore):
        blocks = True

        def __init__(self, gate: Gate) -> None:
            super().__init__()
            self._gate = gate

        def perform(self, visit: Visit, operations: Any) -> list[Outcome]:
            self._gate.pass_through()
            return super().perform(visit, operations)

    async def main() -> None:
        gate = Gate()
        guard = Edictum.from_yaml_string(RULES, backend=Slow(gate))
        assert await held(gate, guard.run("sh", {"cmd": "ls"}, lambda cmd: 1)) == 1

    run(main())
    assert Operation


def test_a_callback_that_blocks() -> None:
    async def main() -> None:
        gate = Gate()

        def hook(call: Any) -> HookDecision:
            gate.pass_through()
            return HookDecision.block("no")

        guard = Edictum.from_yaml_string(RULES, hooks=[HookRegistration("before", "*", hook)])
        with pytest.raises(EdictumDenied):
            await held(gate, guard.run("sh", {"cmd": "ls"}, lambda cmd: 1))

    run(main())


def test_steps_of_one_session_wait_for_one_another_without_holding_the_loop() -> None:
    async def main() -> None:
        gate = Gate()
        order: list[str] = []

        def hook(call: Any) -> HookDecision:
            if call.args["cmd"] == "first":
                gate.pass_through()
            order.append(call.args["cmd"])
            return HookDecision.allow()

        guard = Edictum.from_yaml_string(RULES, hooks=[HookRegistration("before", "*", hook)])
        first = asyncio.ensure_future(guard.run("sh", {"cmd": "first"}, lambda cmd: 1))
        while not gate.reached.is_set():
            await asyncio.sleep(0.005)
        second = asyncio.ensure_future(guard.run("sh", {"cmd": "second"}, lambda cmd: 2))
        elsewhere = await guard.run("sh", {"cmd": "elsewhere"}, lambda cmd: 3, session_id="other")
        gate.opened.set()
        assert (await first, await second, elsewhere) == (1, 2, 3)
        assert order == ["elsewhere", "first", "second"]

    run(main())


def test_rules_that_take_long_to_compile() -> None:
    many = "".join(
        f"  - {{id: r{n}, type: pre, tool: t{n % 50}, when: {{args.x: {{matches: 'a+b{n}'}}}}, then: {{action: block, message: m}}}}\n"
        for n in range(1_000)
    )
    text = RULES + many

    async def main() -> None:
        guard = Edictum.from_yaml_string(RULES)
        beats = 0

        async def heart() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        beating = asyncio.ensure_future(heart())
        await asyncio.sleep(0)
        before = beats
        await guard.reload(text)
        assert beats - before > 10, "the loop went on meanwhile"
        beating.cancel()
        assert guard.evaluate("t7", {"x": "aab7"}).decision == "block"

    run(main())


def test_a_task_that_is_cancelled_leaves_its_session_free() -> None:
    async def main() -> None:
        gate = Gate()

        def hook(call: Any) -> HookDecision:
            if call.args["cmd"] == "stuck":
                gate.pass_through()
            return HookDecision.allow()

        guard = Edictum.from_yaml_string(RULES, hooks=[HookRegistration("before", "*", hook)])
        stuck = asyncio.ensure_future(guard.run("sh", {"cmd": "stuck"}, lambda cmd: 1))
        queued = asyncio.ensure_future(guard.run("sh", {"cmd": "queued"}, lambda cmd: 1))
        while not gate.reached.is_set():
            await asyncio.sleep(0.005)
        queued.cancel()
        stuck.cancel()
        for task in (stuck, queued):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await guard.run("sh", {"cmd": "next"}, lambda cmd: 2) == 2
        gate.opened.set()

    run(main())

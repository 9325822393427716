"""What tests share: where the reference host is, and a server of rulesets."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
WORKSPACE = PACKAGE.parents[1]
sys.path.insert(0, str(PACKAGE))

AGENT = "edk_production_python-agent-key"
OPERATOR = "edo_alice_python-operator-key"

#: Longer than anything takes that is not broken.
PATIENCE = 60.0

T = TypeVar("T")

RULES = """apiVersion: edictum/v1
kind: Ruleset
metadata: {name: rules}
defaults: {mode: enforce}
rules:
  - {id: no-rm, type: pre, tool: sh, when: {args.cmd: {contains: rm}}, then: {action: block, message: 'no {args.cmd}'}}
  - {id: ask, type: pre, tool: deploy, when: {args.to: {equals: prod}}, then: {action: ask, message: 'to {args.to}?', timeout: 60}}
  - {id: keys, type: post, tool: '*', when: {output.text: {matches: 'sk-[a-z0-9]+'}}, then: {action: redact, message: a key}}
"""


def run(work: Coroutine[Any, Any, T]) -> T:
    """A coroutine, to its end, but not for ever."""

    async def bounded() -> T:
        return await asyncio.wait_for(work, PATIENCE)

    return asyncio.run(bounded())


async def until(what: str, holds: Callable[[], Any]) -> Any:
    """Waits for something to become true."""
    for _ in range(int(PATIENCE / 0.02)):
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(what)


@pytest.fixture(scope="session")
def reference_host() -> str:
    """The reference host's program."""
    named = os.environ.get("EDICTUM_HOST")
    built = [named] if named else [str(WORKSPACE / "target" / kind / "edictum-host") for kind in ("release", "ci")]
    for program in built:
        if Path(program).is_file():
            return program
    pytest.skip("the reference host is not built: `cargo xtask build`")


class Serve:
    """A running `edictum-host serve` with a folder of rulesets, which it signs."""

    def __init__(self, program: str, folder: Path) -> None:
        self.rulesets = folder / "rulesets"
        self.rulesets.mkdir()
        (folder / "key").write_text("07" * 32)
        self._command = [program, "serve", "--listen", "127.0.0.1:0", "--json", "--data", str(folder / "data")]
        self._command += ["--api-key", f"production:{AGENT}", "--operator-key", f"alice:{OPERATOR}"]
        self._command += ["--rulesets", str(self.rulesets), "--signing-key", str(folder / "key")]

    def publish(self, name: str, text: str) -> None:
        """Writes a ruleset as a whole."""
        fresh = self.rulesets / f".{name}"
        fresh.write_text(text)
        fresh.replace(self.rulesets / f"{name}.yaml")

    def start(self) -> None:
        """Starts it."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        announced = json.loads(self.process.stdout.readline())
        self.url = announced["listening"]
        self.public_key = announced["public_key"]

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serve(reference_host: str, tmp_path: Path) -> Iterator[Serve]:
    """A server with `rules`."""
    folder = tmp_path / "serve"
    folder.mkdir()
    server = Serve(reference_host, folder)
    server.publish("rules", RULES)
    server.start()
    yield server
    server.stop()

"""A command of a workflow's `exec(...)`: no shell, a process group of its own, a deadline, a bounded output, and no key of ours
in its environment. The engine decides which commands run and what their end means.

Whatever happens, the whole group is killed in the end: after success, after the deadline, and when nobody waits for the answer
any more.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from typing import IO, Any

#: Seconds that a killed process may take to be gone.
REAP = 5.0

#: Seconds between two looks whether a process has ended, and whether anybody still waits.
_LOOK = 0.002
_PATIENCE = 0.05

#: A shorter key is withheld only where it is the whole value: a text that holds it by chance says nothing.
MIN_KEY = 8

_CHUNK = 16 * 1024


class CommandError(Exception):
    """It cannot be started, or did not end in time."""


def run(command: Mapping[str, Any], cwd: str | None, given_up: threading.Event) -> dict[str, Any]:
    """Runs a command to its end: `exit_code` (−N after signal N) and `output`, standard output and error merged and capped.

    Raises:
        CommandError: see there.
    """
    argv = command["argv"]
    if os.name != "posix":
        raise CommandError("commands run on Unix only")
    if not argv:
        raise CommandError("an empty command")
    until = time.monotonic() + command["timeout_ms"] / 1000
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=environment(command["environment"], os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise CommandError(f"it cannot be started: {getattr(error, 'strerror', None) or 'no such argument'}") from None
    try:
        assert process.stdout is not None
        with process.stdout as output:
            kept = _collect(output, command["output_cap"], until, given_up)
        ended = kept is not None and _ended(process, until, given_up)
    finally:
        # Before the first process is reaped: until then its number belongs to nobody else.
        _kill(process)
    try:
        code = process.wait(REAP)
    except subprocess.TimeoutExpired:
        raise CommandError("its end cannot be known") from None
    if kept is None or not ended:
        raise CommandError(f"no end within {command['timeout_ms']} ms")
    return {"exit_code": code, "output": text(kept, command["output_cap"])}


def environment(named: Iterable[str], variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a command gets: those that are named, as far as they are set, without keys of ours. Whoever names
    `EDICTUM_API_KEY`, or a variable with the same key in it, would hand the key to whatever an agent makes a test run."""
    keys = [value for name, value in variables.items() if _is_key(name) and value]

    def betrays(value: str) -> bool:
        return any(key == value or (len(os.fsencode(key)) >= MIN_KEY and key in value) for key in keys)

    return {
        name: variables[name]
        for name in named
        if name in variables and not _is_key(name) and not betrays(variables[name])
    }


def text(output: bytes, cap: int) -> str:
    """A character that the cap cut in two is left out."""
    try:
        return output.decode()
    except UnicodeDecodeError as error:
        if len(output) == cap and error.reason == "unexpected end of data":
            output = output[: error.start]
        return output.decode(errors="replace")


def _is_key(name: str) -> bool:
    """Whether a variable of this name is for us alone."""
    upper = name.upper()
    return upper.startswith("EDICTUM_") and any(word in upper for word in ("KEY", "TOKEN", "SECRET"))


def _collect(output: IO[bytes], cap: int, until: float, given_up: threading.Event) -> bytes | None:
    """Reads until nobody writes any more, and keeps the first `cap` bytes. None: it took too long."""
    kept = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while not given_up.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return None
            if selector.select(min(left, _PATIENCE)):
                chunk = os.read(output.fileno(), _CHUNK)
                if not chunk:
                    return bytes(kept)
                kept += chunk[: max(0, cap - len(kept))]
    return None


def _ended(process: subprocess.Popen[bytes], until: float, given_up: threading.Event) -> bool:
    """Waits until the first process has ended, and leaves it to be reaped."""
    while not given_up.is_set() and time.monotonic() < until:
        if not hasattr(os, "waitid"):
            return process.poll() is not None
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return True
        time.sleep(_LOOK)
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # None of them is left.
        pass

"""The component: its cache, its bounds, and what is left when an instance ends abnormally."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import RULES

from edictum_guard import Call, EdictumConfigError, Guard, Host, Ruleset, SignatureError, component
from edictum_guard.decider import Bounds
from edictum_guard.policy import Source


def begin(guard: Guard, cmd: str) -> tuple[str, bool]:
    decision = guard.blocking.begin(Call([("tool", '"sh"'), ("args", json.dumps({"cmd": cmd}))]))
    return decision.action, decision.policy_error


def test_a_call_that_needs_too_much_memory_is_blocked_and_harms_no_other() -> None:
    host = Host(bounds=Bounds(memory=24 << 20), deciders=1)
    guard = Guard("g", [Ruleset("r", RULES)], host=host)
    assert begin(guard, "ls") == ("allow", False)
    assert begin(guard, "x" * (12 << 20)) == ("block", True)
    assert begin(guard, "ls") == ("allow", False)
    assert begin(guard, "rm") == ("block", False)


def test_a_step_that_takes_too_long_is_blocked_and_harms_no_other() -> None:
    host = Host(bounds=Bounds(step=0.0), deciders=1)
    guard = Guard("g", [Ruleset("r", RULES)], host=host)
    found = {begin(guard, "x" * (8 << 20))}
    assert found <= {("block", True), ("allow", False)}
    assert begin(guard, "ls") == ("allow", False)


def test_the_code_is_cached_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The empty component: its header.
    empty = b"\0asm\x0d\0\x01\0"
    monkeypatch.setenv("EDICTUM_CACHE_DIR", str(tmp_path / "cache"))
    engine = component.engine()
    component.load(engine, empty)
    (file,) = (tmp_path / "cache").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    before = file.stat().st_ino
    component.load(engine, empty)
    assert file.stat().st_ino == before, "it is compiled once"

    os.chmod(file, 0o666)
    component.load(engine, empty)
    assert file.stat().st_ino != before and file.stat().st_mode & 0o777 == 0o600, "what others can write is not run"
    file.write_bytes(b"garbage")
    component.load(engine, empty)
    assert file.read_bytes() != b"garbage"
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    component.load(engine, empty)
    assert not file.is_symlink()


def test_documents_are_checked_and_described() -> None:
    host = Host.default()
    from edictum_guard.policy import Document

    source = Source((Document("r.yaml", RULES.replace("type: pre", "type: prre", 1)),))
    (first, *_) = host.check(source)
    assert (first.severity, first.document, first.line) == ("error", "r.yaml", 6)
    with pytest.raises(EdictumConfigError) as wrong:
        host.describe(source)
    assert wrong.value.code == first.code
    assert [rule["id"] for rule in json.loads(host.describe(Source((Document("r", RULES),))))["rules"]] == [
        "no-rm",
        "ask",
        "keys",
    ]


def test_rulesets_have_to_be_signed_when_that_is_asked_for() -> None:
    options = {"verify_signatures": True, "signing_public_keys": ["00" * 32]}
    for signature in (None, "A" * 86 + "==", "nonsense"):
        with pytest.raises(SignatureError):
            Guard("g", [Ruleset("r", RULES, signature)], options=options)
    with pytest.raises(SignatureError):
        Guard("g", [Ruleset("r", RULES)], options={"verify_signatures": True})


def test_guards_with_the_same_rules_share_one_policy() -> None:
    one, two = (Guard("g", [Ruleset("r", RULES)]) for _ in range(2))
    assert one._core.policy is two._core.policy
    assert one._core.policy is not Guard("g", [Ruleset("r", RULES + "\n")])._core.policy

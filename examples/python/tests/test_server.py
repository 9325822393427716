"""Guards on edictum-api, and its parts alone, against `edictum-host serve`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import AGENT, OPERATOR, RULES, Serve, run, until

from edictum_guard import AuditEvent, Edictum, EdictumConfigError, EdictumDenied, MemoryStore, SqliteStore
from edictum_guard.server import (
    BundleVerificationError,
    EdictumServerClient,
    EdictumServerError,
    ServerApprovalBackend,
    ServerAuditSink,
    ServerBackend,
    ServerContractSource,
    verify_bundle_signature,
)


async def connected(serve: Serve, **more: Any) -> Edictum:
    return await Edictum.from_server(serve.url, AGENT, "agent", **{"bundle_name": "rules", **more})


async def decide(serve: Serve, approved: bool) -> dict[str, Any]:
    """What an operator does: waits for a request, and answers it."""
    operator = EdictumServerClient(serve.url, OPERATOR)

    async def pending() -> Any:
        return (await operator.get("/v1/approvals", status="pending"))["approvals"]

    (request,) = await until("somebody is asked", pending)
    await operator.post(f"/v1/approvals/{request['id']}/decide", {"approved": approved, "reason": "because"})
    found: dict[str, Any] = request
    return found


async def said(serve: Serve) -> list[dict[str, Any]]:
    operator = EdictumServerClient(serve.url, OPERATOR)
    return [each["event"] for each in (await operator.get("/v1/events", limit=1000))["events"]]


def test_a_guard_follows_its_rules_and_logs_what_it_does(serve: Serve) -> None:
    async def main() -> None:
        keys = {"verify_signatures": True, "signing_public_key": serve.public_key}
        async with await connected(serve, **keys) as guard:
            assert await guard.run("sh", {"cmd": "ls"}, lambda cmd: "key sk-1") == "key [REDACTED]"
            with pytest.raises(EdictumDenied, match="no rm"):
                await guard.run("sh", {"cmd": "rm"}, lambda cmd: 1)

            async def live() -> bool:
                return (await guard.health())["stream"] == "live"

            await until("the stream is up", live)
            before = guard.policy_version
            serve.publish("rules", RULES.replace("contains: rm", "contains: mv"))
            await until("the new rules are enforced", lambda: guard.policy_version != before)
            assert await guard.run("sh", {"cmd": "rm"}, lambda cmd: 2) == 2
            with pytest.raises(EdictumDenied, match="no mv"):
                await guard.run("sh", {"cmd": "mv"}, lambda cmd: 1)
            assert await guard.flush() == 0
            local = [event.event_id for event in guard.local_sink.events]
            kept = [event["event_id"] for event in await said(serve)]
            assert sorted(kept) == sorted(local) and len(local) == 6
            assert (await guard.counters())["attempts"] == 4
            assert (await guard.health())["log"] == "ok"

    run(main())


@pytest.mark.parametrize("approved", [True, False])
def test_people_are_asked_through_the_server(serve: Serve, approved: bool) -> None:
    async def main() -> None:
        async with await connected(serve) as guard:
            asked = asyncio.ensure_future(decide(serve, approved))
            try:
                result = await guard.run("deploy", {"to": "prod", "password": "hunter2"}, lambda **_: "deployed")
            except EdictumDenied as denied:
                result = f"denied: {denied}"
            request = await asked
            assert request["message"] == "to prod?" and "hunter2" not in str(request)
            assert result == "deployed" if approved else result.startswith("denied")

    run(main())


def test_an_approval_outlives_the_guard_and_is_asked_for_once(serve: Serve, tmp_path: Path) -> None:
    from edictum_guard import Call

    async def main() -> None:
        store = SqliteStore(tmp_path / "store")
        first = await connected(serve, storage_backend=store)
        asked = await first.guard.begin(Call([("tool", '"deploy"'), ("args", '{"to":"prod"}')], "s", "c1"))
        assert asked.action == "ask"
        operator = EdictumServerClient(serve.url, OPERATOR)

        async def pending() -> Any:
            return (await operator.get("/v1/approvals", status="pending"))["approvals"]

        (request,) = await until("it is asked about", pending)
        await first.close()

        second = await connected(serve, storage_backend=store)
        settled = asyncio.ensure_future(second.guard.settled("c1"))
        await operator.post(f"/v1/approvals/{request['id']}/decide", {"approved": True})
        assert (await settled).action == "allow"
        assert len((await operator.get("/v1/approvals"))["approvals"]) == 1
        await second.close()

    run(main())


def test_sessions_are_counted_together_and_block_without_the_server(serve: Serve) -> None:
    async def main() -> None:
        one, two = await connected(serve), await connected(serve)
        for guard in (one, two, one):
            await guard.run("sh", {"cmd": "ls"}, lambda cmd: 1, session_id="shared")
        assert (await two.counters("shared"))["execs"] == 3
        serve.stop()
        with pytest.raises(EdictumDenied):
            await one.run("sh", {"cmd": "ls"}, lambda cmd: 1, session_id="shared")
        serve.start()

    run(main())


def test_the_last_rules_are_enough_to_start_with(serve: Serve) -> None:
    async def main() -> None:
        memory, url = MemoryStore(), serve.url
        await (await connected(serve, memory=memory)).close()
        serve.stop()
        guard = await Edictum.from_server(url, AGENT, "agent", bundle_name="rules", memory=memory)
        assert guard.evaluate("sh", {"cmd": "rm"}).decision == "block"
        assert (await guard.health())["from_memory"] is True
        serve.start()

    run(main())


def test_a_start_that_cannot_succeed_says_why(serve: Serve) -> None:
    async def main() -> None:
        for error, more in [
            (EdictumServerError, {"bundle_name": "none"}),
            (EdictumServerError, {"verify_signatures": True, "signing_public_key": "00" * 32}),
            (EdictumConfigError, {"bundle_name": None, "auto_watch": False}),
            (EdictumServerError, {"timeout": 1.0, "url": "http://198.51.100.1:9"}),
            (EdictumServerError, {"api_key": "edk_production_wrong"}),
        ]:
            fields = {"url": serve.url, "api_key": AGENT, "agent_id": "agent", "bundle_name": "rules", **more}
            with pytest.raises(error) as refused:
                await Edictum.from_server(**fields)
            assert AGENT not in str(refused.value) and "edk_production_wrong" not in repr(refused.value)

    run(main())


def test_without_watching_rules_stay_until_they_are_fetched(serve: Serve) -> None:
    async def main() -> None:
        guard = await connected(serve, auto_watch=False)
        before = guard.policy_version
        serve.publish("rules", RULES.replace("contains: rm", "contains: mv"))
        operator = EdictumServerClient(serve.url, AGENT)

        async def published() -> bool:
            return (await operator.get("/v1/rulesets/rules/current", env="production"))["revision_hash"] != before

        await until("it is published", published)
        assert guard.policy_version == before
        assert await guard.refresh() == guard.policy_version != before
        assert (await guard.health())["stream"] == "off"
        await guard.close()

    run(main())


def test_the_parts_alone(serve: Serve) -> None:
    async def main() -> None:
        client = EdictumServerClient(serve.url, AGENT, agent_id="alone", bundle_name="rules")
        payload = await client.get("/v1/rulesets/rules/current", env="production")
        text = payload["yaml"].encode()
        verify_bundle_signature(text, payload["signature"], serve.public_key)
        for wrong in ((text + b"\n", payload["signature"], serve.public_key), (text, "", serve.public_key)):
            with pytest.raises(BundleVerificationError):
                verify_bundle_signature(*wrong)
        with pytest.raises(EdictumServerError) as missing:
            await client.get("/v1/rulesets/none/current", env="production")
        assert (missing.value.status_code, missing.value.kind) == (404, "not-found")

        sessions = ServerBackend(client)
        assert await sessions.increment("s:one:attempts") == 1
        assert await sessions.increment("s:one:attempts", 2) == 3
        await sessions.set("s:one:note", "é")
        assert await sessions.batch_get(["s:one:attempts", "s:one:note", "s:one:none"]) == {
            "s:one:attempts": "3",
            "s:one:note": "é",
            "s:one:none": None,
        }
        await sessions.delete("s:one:note")
        assert await sessions.get("s:one:note") is None

        people = ServerApprovalBackend(client, poll_interval=0.2)
        request = await people.request_approval("t", {"a": 1}, "may I?", timeout=30)
        answered = asyncio.ensure_future(decide(serve, True))
        decision = await people.wait_for_decision(request.approval_id)
        assert (decision.approved, decision.approver, decision.reason) == (True, "alice", "because")
        assert (await answered)["id"] == request.approval_id

        sink = ServerAuditSink(client, flush_interval=0.1)
        await sink.emit(AuditEvent(action="call_allowed", tool_name="mine", call_id="c", event_id="e-1"))
        await sink.close()
        assert [event["tool_name"] for event in await said(serve)] == ["mine"]

        source = ServerContractSource(client, verify_signatures=True, signing_public_keys=[serve.public_key])
        watching = source.watch()
        first = await watching.__anext__()
        assert (first["yaml_bytes"], first["revision_hash"]) == (text, payload["revision_hash"])
        serve.publish("rules", RULES.replace("contains: rm", "contains: mv"))
        second = await watching.__anext__()
        assert second["version"] > first["version"] and "contains: mv" in second["yaml"]
        await source.close()
        with pytest.raises(StopAsyncIteration):
            await watching.__anext__()

    run(main())


def test_a_log_in_a_file_waits_for_the_server_and_outlives_its_process(serve: Serve, tmp_path: Path) -> None:
    async def main() -> None:
        client, folder = EdictumServerClient(serve.url, AGENT, timeout=1.0), str(tmp_path / "outbox")
        serve.stop()
        first = ServerAuditSink(client, outbox=folder, max_buffer_size=20)
        for number in range(25):
            await first.emit(AuditEvent(action="call_allowed", tool_name=f"t{number}", event_id=f"e{number}"))
        assert first.flush_now(0.2) == first.unsent > 0
        first._closed = True
        serve.start()
        client = EdictumServerClient(serve.url, AGENT)
        second = ServerAuditSink(client, outbox=folder)
        await second.flush(30)
        assert second.unsent == 0
        names = {event["tool_name"] for event in await said(serve)}
        assert {f"t{number}" for number in range(10, 25)} <= names and "t0" not in names
        await second.close()

    run(main())

"""The published Python SDK as a client of a server: prints one JSON object with what it saw.

usage: server.py URL AGENT_KEY OPERATOR_KEY RULESETS_FOLDER PUBLIC_KEY

Everything is done through `Edictum.from_server()`; operators' requests go through httpx.
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

import httpx

from edictum import Edictum, EdictumConfigError, EdictumDenied

URL, KEY, OPERATOR, FOLDER, PUBLIC_KEY = sys.argv[1:6]
logging.basicConfig(level=logging.ERROR, stream=sys.stderr)

RULES = """apiVersion: edictum/v1
kind: Ruleset
metadata: {name: %s}
defaults: {mode: enforce}
rules:
  - id: no-%s
    type: pre
    tool: sh
    when: {args.command: {contains: %s}}
    then: {action: block, message: 'no %s'}
  - id: ask-deploy
    type: pre
    tool: deploy
    when: {args.to: {equals: prod}}
    then: {action: ask, message: 'Deploy to {args.to}?', timeout: 20, timeout_action: block}
  - id: few
    type: session
    limits: {max_attempts: 6}
    then: {action: block, message: enough}
"""


def publish(name, word, file=None):
    path = Path(FOLDER) / f"{file or name}.yaml"
    fresh = path.with_suffix(".fresh")
    fresh.write_text(RULES % (name, word, word, word))
    os.replace(fresh, path)


async def guarded(guard, tool, args, session=None):
    async def run(**kwargs):
        return f"ran {tool}"

    try:
        return await guard.run(tool, args, run, session_id=session) if session else await guard.run(tool, args, run)
    except EdictumDenied as denied:
        return f"blocked: {denied.reason}"


async def until(holds):
    for _ in range(400):
        if await holds():
            return True
        await asyncio.sleep(0.05)
    return False


async def main():
    seen = {}
    operator = httpx.AsyncClient(base_url=URL, headers={"Authorization": f"Bearer {OPERATOR}"})

    # A named ruleset, and one that is verified.
    guard = await Edictum.from_server(
        URL, KEY, "py-agent", bundle_name="py-rules", verify_signatures=True, signing_public_key=PUBLIC_KEY
    )
    seen["version"] = guard.policy_version
    seen["allowed"] = await guarded(guard, "sh", {"command": "ls"}, "one")
    seen["blocked"] = await guarded(guard, "sh", {"command": "first"}, "one")

    # A wrong key is refused before anything runs.
    try:
        await Edictum.from_server(
            URL, KEY, "py-agent", bundle_name="py-rules", verify_signatures=True, signing_public_key="3d4017c3" * 8
        )
        seen["wrong_key"] = "accepted"
    except EdictumConfigError as error:
        seen["wrong_key"] = "refused" if "verification failed" in str(error) else str(error)

    # A push while the guard is there.
    publish("py-rules", "second")

    async def changed():
        return guard.policy_version != seen["version"]

    seen["pushed"] = await until(changed)
    seen["after_push"] = await guarded(guard, "sh", {"command": "second"}, "one")
    seen["no_longer"] = await guarded(guard, "sh", {"command": "first"}, "one")

    # A person decides.
    async def answer(approved):
        pending = []

        async def there():
            response = await operator.get("/v1/approvals", params={"status": "pending", "agent_id": "py-agent"})
            pending[:] = response.json()["approvals"]
            return bool(pending)

        await until(there)
        path = f"/v1/approvals/{pending[0]['id']}/decide"
        decided = await operator.post(path, json={"approved": approved, "reason": "because"})
        return {"asked": pending[0]["message"], "args": pending[0]["tool_args"], "status": decided.json()["status"]}

    for name, approved in [("approved", True), ("rejected", False)]:
        result, asked = await asyncio.gather(guarded(guard, "deploy", {"to": "prod"}, "two"), answer(approved))
        seen[name] = [result, asked]

    # Counters are shared: another process of the same session finds them used up.
    other = await Edictum.from_server(URL, KEY, "py-other", bundle_name="py-rules")
    seen["limit"] = [await guarded(other, "sh", {"command": "ls"}, "one") for _ in range(4)]

    # The decision log. (Closing such a guard does not deliver what it still has.)
    for each in (guard, other):
        for sink in getattr(each.audit_sink, "_sinks", [each.audit_sink]):
            if hasattr(sink, "flush"):
                await sink.flush()
    response = await operator.get("/v1/events", params={"after": 0, "agent_id": "py-agent"})
    seen["actions"] = [entry["event"]["action"] for entry in response.json()["events"]]

    # The server assigns.
    assigned = await asyncio.wait_for(
        Edictum.from_server(URL, KEY, "py-assigned", tags={"team": "data"}), timeout=20
    )
    seen["assigned"] = await guarded(assigned, "sh", {"command": "third"}, "three")
    publish("py-assigned-rules", "fourth")
    before = assigned.policy_version

    async def reassigned():
        return assigned.policy_version != before

    seen["assigned_push"] = await until(reassigned)
    seen["assigned_after"] = await guarded(assigned, "sh", {"command": "fourth"}, "three")

    agents = (await operator.get("/v1/agents")).json()["agents"]
    seen["agents"] = sorted(agent["agent_id"] for agent in agents)
    for each in (guard, other, assigned):
        await each.close()
    await operator.aclose()
    print(json.dumps(seen))


asyncio.run(main())

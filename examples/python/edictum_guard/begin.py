"""Before a tool runs: `begin`, and `settle` when a person, a deadline or a queue has answered an `ask`. A call that is let through
or asked about is in the store before anybody hears of it.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from . import raw
from .core import Call, Copy, Core
from .decider import Abnormal, Decider, Fault
from .decision import Decision, Kept, decision, fixed_decision, typed_decision
from .due import arm
from .errors import ConflictError, EdictumConfigError, NotFoundError, StoreError
from .steps import Failed, Scene, drive
from .store import OpenCall
from .store.base import CallState
from .waits import Waits

log = logging.getLogger("edictum_guard")

#: Longest id of a call, in bytes.
MAX_CALL_ID = 1024

#: Milliseconds for which a step has an open call for itself, should its process die.
CLAIM_MS = 120_000

#: Milliseconds that a person has when the engine does not say.
APPROVAL_MS = 300_000

#: What a bare call keeps, and the longest value of it.
_BARE = (
    "tool",
    "session_id",
    "call_id",
    "agent_id",
    "environment",
    "parent_session_id",
    "parent_call_id",
    "tool_use_id",
)
_LONGEST = 64 * 1024

#: The answer to an `ask`: `verdict` (`approved`, `rejected`, `timed_out`, `unreachable`), and what is known beside it.
Approval = Mapping[str, Any]


async def begin(core: Core, waits: Waits, call: Call) -> Decision:
    """Counts the attempt and decides."""
    core.check_open()
    call_id = call.call_id if call.call_id is not None else str(uuid.uuid4())
    if not 1 <= len(call_id.encode("utf-8", "surrogatepass")) <= MAX_CALL_ID:
        raise EdictumConfigError(f"`call_id` must have 1 to {MAX_CALL_ID} bytes")
    session = call.session_id if call.session_id is not None else core.session_id
    text = core.call_text(call, session, call_id)
    async with core.turn(waits, session):
        if call.call_id is not None and await _is_taken(core, waits, call_id):
            raise _taken(call_id)
        policy = core.policy
        scene = Scene(waits, policy, session, text)
        now = core.now()
        try:
            done = await drive(core, scene, "begin", [("call", text), ("now", str(now))])
            decided, kept = decision(call_id, text, done)
        except Failed as failed:
            decided, kept = await _fault(core, scene, call_id, failed.ticket, failed.fault)
        return await _keep_new(core, scene, decided, kept)


async def settle(core: Core, waits: Waits, call_id: str, approval: Approval) -> Decision:
    """Goes on with a call that was asked about. It is judged again under the rules in force now. An answer that comes after the
    deadline gets what the deadline has decided."""
    core.check_open()
    try:
        return await settle_now(core, waits, call_id, approval)
    except (NotFoundError, ConflictError):
        for decided in core.expired:
            if decided.call_id == call_id:
                return decided
        raise


async def settle_now(
    core: Core,
    waits: Waits,
    call_id: str,
    approval: Approval,
    at: int | None = None,
    *,
    overdue: bool = False,
) -> Decision:
    """The same, and nothing else. `at`: the time of the answer, when it is not now. `overdue`: it is the deadline that answers, and
    what it says is remembered."""
    found = await core.in_store(waits, lambda store: store.find(core.name, call_id))
    if found is None:
        raise unknown(call_id)
    async with core.turn(waits, found.session):
        open_call, claim = await claimed(core, waits, call_id, "asking")
        scene = Scene(waits, core.policy, open_call.session, open_call.call)
        parts = [
            ("call", open_call.call),
            ("ticket", open_call.ticket),
            ("approval", raw.printed({name: value for name, value in approval.items() if value is not None})),
            ("now", str(core.now() if at is None else at)),
        ]
        try:
            done = await drive(core, scene, "settle", parts, open_call.ticket)
            decided, kept = decision(call_id, open_call.call, done)
        except Failed as failed:
            decided, kept = await _fault(core, scene, call_id, failed.ticket or open_call.ticket, failed.fault)
        decided = await _keep_settled(core, scene, open_call, claim, decided, kept)
    if core.asker is not None and open_call.approval is not None:
        core.asker.forget(core, call_id, open_call.approval)
    if overdue:
        # Before anybody hears of it.
        core.expired.appendleft(decided)
    if decided.action != "ask":
        with core.lock:
            waiting = core.waiters.pop(call_id, [])
        for waiter in waiting:
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(decided)
    return decided


def listen(core: Core, call_id: str) -> Future[Decision]:
    """What the call is settled with, by whomever in this process, from now on."""
    waiter: Future[Decision] = Future()
    with core.lock:
        waiting = core.waiters.setdefault(call_id, [])
        waiting[:] = [other for other in waiting if not other.done()]
        waiting.append(waiter)
    return waiter


async def settled(core: Core, waits: Waits, call_id: str, waiter: Future[Decision]) -> Decision:
    """Waits for `listen`.

    Raises:
        NotFoundError, ConflictError: there is no such call, or it does not wait for an answer.
        ClosedError: the guard was closed meanwhile.
    """
    try:
        found = await core.in_store(waits, lambda store: store.find(core.name, call_id))
        if not waiter.done():
            core.check_open()
            if found is None:
                raise unknown(call_id)
            if found.state != "asking":
                raise _not_asking(call_id)
        return await waits.future(waiter)
    finally:
        waiter.cancel()
        with core.lock:
            for known in [known for known, waiting in core.waiters.items() if all(each.done() for each in waiting)]:
                del core.waiters[known]


async def _fault(core: Core, scene: Scene, call_id: str, ticket: str | None, fault: Fault) -> tuple[Decision, Kept]:
    """What another instance says to a fault. When the call itself is what it cannot stand, it is told of a bare one; without an
    instance it is a block in every mode."""
    call = scene.call or "{}"
    now = core.now()
    for text, known in ((call, ticket), (_bare(call), None)):

        def work(decider: Decider, policy: Any, text: str = text, known: str | None = known) -> Any:
            return decider.fault(policy, text, known, fault, now)

        try:
            record = await core.host.decide(scene.waits, scene.policy, len(text), work)
        except Abnormal as abnormal:
            reason = abnormal.reason
        else:
            return typed_decision(call_id, text, record)
    log.error("guard `%s`: a fault of call `%s` cannot be logged: %s", core.name, call_id, reason)
    return fixed_decision(call_id, call)


def _bare(call: str) -> str:
    """The same call without arguments, metadata and principal: enough for the log to name it, and small whatever it was."""
    kept = [(name, value) for name, value in raw.members(call) if name in _BARE and len(value) <= _LONGEST]
    return raw.joined([("args", "{}"), *kept])


async def _keep_new(core: Core, scene: Scene, decided: Decision, kept: Kept) -> Decision:
    """Puts a new call into the store, when it goes on, and its events into the log."""
    opening = _open_call(core, scene, decided, kept)
    if opening is None:
        return await _log(core, scene, decided, kept, None)
    try:
        if not await core.in_store(scene.waits, lambda store: store.open(opening)):
            raise _taken(decided.call_id)
    except StoreError as error:
        decided, kept = await _lost(core, scene, opening, error)
        # Only a guard that observes lets it through: then the copy is all there is.
        stranded = _open_call(core, scene, decided, kept)
        if stranded is not None:
            core.copies[stranded.call_id] = Copy(stranded, stranded=True)
            arm(core, stranded.deadline)
        await core.emit_or_log(scene.waits, kept.events)
        return decided
    _remember(core, opening)
    return await _log(core, scene, decided, kept, opening)


async def _keep_settled(
    core: Core, scene: Scene, before: OpenCall, claim: int, decided: Decision, kept: Kept
) -> Decision:
    """The same for a call that was in the store, under this claim."""
    opening = _open_call(core, scene, decided, kept)
    if opening is None:
        await forget(core, scene.waits, before.call_id, claim)
        return await _log(core, scene, decided, kept, None)
    try:
        if not await core.in_store(scene.waits, lambda store: store.update(opening, claim)):
            raise StoreError("the claim has ended")
    except StoreError as error:
        decided, kept = await _lost(core, scene, opening, error)
        await core.emit_or_log(scene.waits, kept.events)
        return decided
    _remember(core, opening)
    return await _log(core, scene, decided, kept, opening)


async def _lost(core: Core, scene: Scene, opening: OpenCall, error: StoreError) -> tuple[Decision, Kept]:
    log.error("guard `%s`: open call `%s` cannot be kept: %s", core.name, opening.call_id, error)
    return await _fault(core, scene, opening.call_id, opening.ticket, "store")


async def _log(core: Core, scene: Scene, decided: Decision, kept: Kept, opening: OpenCall | None) -> Decision:
    """Hands the events on. Where they cannot be kept and must be, the call does not go on."""
    core.notice(decided.detail)
    reason = await core.emit(scene.waits, kept.events)
    if reason is None:
        return decided
    log.error("guard `%s`: events cannot be kept: %s", core.name, reason)
    if not scene.policy.settings.decision_log_required or decided.action == "block":
        return decided
    decided, kept = await _fault(core, scene, decided.call_id, kept.ticket or None, "decision-log")
    if opening is not None and decided.action == "block":
        try:
            _, claim = await claimed(core, scene.waits, opening.call_id, opening.state)
            await forget(core, scene.waits, opening.call_id, claim)
        except (ConflictError, NotFoundError, StoreError) as error:
            log.warning("guard `%s`: a blocked call stays in the store: %s", core.name, error)
    await core.emit_or_log(scene.waits, kept.events)
    return decided


def _open_call(core: Core, scene: Scene, decided: Decision, kept: Kept) -> OpenCall | None:
    """What has to be kept of a decision; none: the call is over."""
    if decided.action == "block":
        return None
    now = core.now()
    state: CallState = "allowed"
    deadline = now + scene.policy.settings.open_call_ttl_ms
    if decided.action == "ask":
        state = "asking"
        until = raw.member(decided.approval or "{}", "deadline_ms")
        deadline = (json.loads(until) if until else now + APPROVAL_MS) + core.grace_ms
    return OpenCall(
        core.name, decided.call_id, scene.session, kept.call, kept.ticket, decided.approval, state, deadline
    )


def _remember(core: Core, opening: OpenCall) -> None:
    """Watches the deadline of a call that is in the store."""
    if core.store.blocks and opening.state == "allowed":
        core.copies[opening.call_id] = Copy(opening, stranded=False)
    arm(core, opening.deadline)
    ask(core, opening)


def ask(core: Core, opening: OpenCall) -> None:
    """Lets people be asked, where that is the server's to do."""
    if core.asker is not None and opening.state == "asking" and opening.approval is not None:
        core.asker.submit(core, opening.call_id, opening.approval)


async def claimed(core: Core, waits: Waits, call_id: str, state: CallState) -> tuple[OpenCall, int]:
    """Takes an open call for a step, when it is in this state."""
    now = core.now()
    taken = await core.in_store(waits, lambda store: store.claim(core.name, call_id, now, now + CLAIM_MS))
    if taken == "busy":
        raise ConflictError(f"call `{call_id}` is being worked on")
    if taken == "missing":
        raise unknown(call_id)
    open_call, claim = taken
    if open_call.state != state:
        await core.in_store(waits, lambda store: store.release(core.name, call_id, claim))
        raise _not_asking(call_id) if state == "asking" else ConflictError(f"call `{call_id}` has not been allowed")
    return open_call, claim


async def forget(core: Core, waits: Waits, call_id: str, claim: int) -> None:
    """Removes a claimed call that is over."""
    core.copies.pop(call_id, None)
    try:
        await core.in_store(waits, lambda store: store.close(core.name, call_id, claim))
    except StoreError as error:
        log.warning("guard `%s`: a call that is over stays in the store: %s", core.name, error)


async def _is_taken(core: Core, waits: Waits, call_id: str) -> bool:
    try:
        return await core.in_store(waits, lambda store: store.find(core.name, call_id)) is not None
    except StoreError:
        return False


def unknown(call_id: str) -> NotFoundError:
    """There is no such call."""
    return NotFoundError(f"there is no open call `{call_id}`")


def _taken(call_id: str) -> ConflictError:
    return ConflictError(f"there is an open call `{call_id}` already")


def _not_asking(call_id: str) -> ConflictError:
    return ConflictError(f"call `{call_id}` does not wait for an approval")


__all__ = ["Approval", "begin", "claimed", "forget", "listen", "settle", "settle_now", "settled", "unknown"]

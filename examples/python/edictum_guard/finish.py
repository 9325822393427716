"""After a tool ran: postconditions, redaction, counters, the end of the call. Nothing that goes wrong here hands the agent an
output that was not judged, but for a guard that observes.
"""

from __future__ import annotations

import logging
from typing import Any

from . import begin, raw
from .core import Core
from .decider import Abnormal, Decider, Fault
from .decision import Conclusion, conclusion, fixed_conclusion, typed_conclusion
from .errors import NotFoundError, StoreError
from .steps import Failed, Scene, drive
from .store import OpenCall
from .waits import Waits

log = logging.getLogger("edictum_guard")


async def finish(core: Core, waits: Waits, call_id: str, output: str, success: bool | None) -> Conclusion:
    """Judges what a tool returned (JSON), by the rules in force now, and ends the call.

    Raises:
        NotFoundError, ConflictError, StoreError: the output must not be used.
    """
    core.check_open()
    # A call that began here has its session here; the claim below reads it from the store in any case.
    copy = core.copies.get(call_id)
    if copy is not None and not copy.stranded:
        session = copy.open.session
    else:
        try:
            found = await core.in_store(waits, lambda store: store.find(core.name, call_id))
        except StoreError as error:
            return await _finish_lost(core, waits, call_id, error)
        if found is None:
            return await _finish_stranded(core, waits, call_id, output, success)
        session = found.session
    async with core.turn(waits, session):
        try:
            open_call, claim = await begin.claimed(core, waits, call_id, "allowed")
        except StoreError as error:
            return await _finish_lost(core, waits, call_id, error)
        except NotFoundError:
            core.copies.pop(call_id, None)
            raise
        ended = await _conclude(core, waits, open_call, output, success)
        await begin.forget(core, waits, call_id, claim)
        return ended


async def fault_finish(core: Core, waits: Waits, open_call: OpenCall, ticket: str, fault: Fault) -> Conclusion:
    """What another instance says to a call that cannot be finished; without one, its output is suppressed in every mode."""
    now = core.now()

    def work(decider: Decider, policy: Any) -> Any:
        return decider.fault_finish(policy, open_call.call, ticket, fault, now)

    try:
        weight = len(open_call.call) + len(ticket)
        ended, events = typed_conclusion(await core.host.decide(waits, core.policy, weight, work))
    except Abnormal as abnormal:
        log.error(
            "guard `%s`: a fault of call `%s` cannot be logged: %s", core.name, open_call.call_id, abnormal.reason
        )
        ended, events = fixed_conclusion()
    return await _logged(core, waits, ended, events)


async def _finish_stranded(core: Core, waits: Waits, call_id: str, output: str, success: bool | None) -> Conclusion:
    """A call that observation let through although the store had failed."""
    copy = core.copies.pop(call_id, None)
    if copy is None or not copy.stranded:
        raise begin.unknown(call_id)
    async with core.turn(waits, copy.open.session):
        return await _conclude(core, waits, copy.open, output, success)


async def _finish_lost(core: Core, waits: Waits, call_id: str, error: StoreError) -> Conclusion:
    """The store is gone. The tool has run, so this goes into the log, by the copy that we kept."""
    log.error("guard `%s`: open call `%s` cannot be read: %s", core.name, call_id, error)
    copy = core.copies.pop(call_id, None)
    if copy is None:
        raise error
    return await fault_finish(core, waits, copy.open, copy.open.ticket, "store")


async def _conclude(core: Core, waits: Waits, open_call: OpenCall, output: str, success: bool | None) -> Conclusion:
    scene = Scene(waits, core.policy, open_call.session, open_call.call)
    outcome = [("output", output)]
    if success is not None:
        outcome.append(("success", "true" if success else "false"))
    parts = [
        ("call", open_call.call),
        ("ticket", open_call.ticket),
        ("outcome", raw.joined(outcome)),
        ("now", str(core.now())),
    ]
    try:
        ended, events = conclusion(await drive(core, scene, "finish", parts, open_call.ticket))
    except Failed as failed:
        return await fault_finish(core, waits, open_call, failed.ticket or open_call.ticket, failed.fault)
    return await _logged(core, waits, ended, events)


async def _logged(core: Core, waits: Waits, ended: Conclusion, events: list[str]) -> Conclusion:
    core.notice(ended.detail)
    await core.emit_or_log(waits, events)
    return ended

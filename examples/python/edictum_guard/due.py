"""Deadlines of open calls: an approval that nobody gave in time is settled so, and a call that was let through and never finished
is closed as abandoned.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .errors import ConflictError, EdictumError, NotFoundError, StoreError

if TYPE_CHECKING:
    from .core import Core
    from .waits import Waits

log = logging.getLogger("edictum_guard")

#: Calls that are looked at together.
BATCH = 64

#: Milliseconds until what failed is tried again.
RETRY_MS = 5_000

#: Milliseconds between two looks into a store that other processes share: one of them may have died.
SHARED_LOOK_MS = 300_000


class Alarm:
    """What the timers call. It must not keep a guard alive, and a guard must keep it alive."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def run_due(self) -> None:
        """Does what is due, on this thread."""
        from .waits import done

        done(run_due(self._core, self._core.host.here))


def arm(core: Core, deadline: int) -> None:
    """Sets a timer, unless an earlier one is set."""
    with core.lock:
        if core.armed is not None and core.armed <= deadline:
            return
        core.armed = deadline
    core.host.timers.arm(core.alarm, deadline)


def arm_from_store(core: Core) -> None:
    """Sets the timer for what is in the store already. May block."""
    try:
        following = core.store.next_deadline(core.name)
        if following is not None:
            arm(core, max(following, core.now()))
    except StoreError as error:
        log.warning("guard `%s`: deadlines cannot be read: %s", core.name, error)
        arm(core, core.now() + RETRY_MS)
    if core.store.shared:
        arm(core, core.now() + SHARED_LOOK_MS)


async def run_due(core: Core, waits: Waits) -> None:
    """Does what is due, and sets the next timer. On a thread that may block."""
    with core.at_work:
        core.armed = None
        while not core.closed:
            try:
                calls = core.store.due(core.name, core.now(), BATCH)
            except StoreError as error:
                log.warning("guard `%s`: deadlines cannot be read: %s", core.name, error)
                return arm(core, core.now() + RETRY_MS)
            if not calls:
                await _close_copies(core, waits)
                return arm_from_store(core)
            for call_id in calls:
                try:
                    await _close(core, waits, call_id)
                except (NotFoundError, ConflictError):
                    # Somebody else was faster.
                    continue
                except EdictumError as error:
                    log.warning("guard `%s`: call `%s` is due and cannot be closed: %s", core.name, call_id, error)
                    return arm(core, core.now() + RETRY_MS)


async def _close_copies(core: Core, waits: Waits) -> None:
    """Copies are not kept for ever; one that never was in the store is closed here."""
    from .finish import fault_finish

    now = core.now()
    for call_id, copy in list(core.copies.items()):
        if copy.open.deadline <= now and core.copies.pop(call_id, None) is not None and copy.stranded:
            await fault_finish(core, waits, copy.open, copy.open.ticket, "abandoned")


async def _close(core: Core, waits: Waits, call_id: str) -> None:
    from . import begin
    from .finish import fault_finish

    open_call = core.store.find(core.name, call_id)
    if open_call is None:
        return
    if open_call.state == "asking":
        await begin.settle_now(core, waits, call_id, {"verdict": "timed_out"}, overdue=True)
        return
    async with core.turn(waits, open_call.session):
        open_call, claim = await begin.claimed(core, waits, call_id, "allowed")
        await fault_finish(core, waits, open_call, open_call.ticket, "abandoned")
        await begin.forget(core, waits, call_id, claim)

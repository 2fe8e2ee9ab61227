"""When it can be said what became of a visit, on whichever way: plain writes are no way round the operations.

says                 staff                                          systems
-------------------  ---------------------------------------------  ------------------------------------------
arrived, checked-in  checkInOpens … checkInCloses, at any time      from checkInOpens on, at any time with a
                     with a reason                                  reason
noshow               from flagAfter after the start on              from the start on
fulfilled            from the start on                              from the start on

Systems tell what happened, as late as they like; nobody tells what cannot have happened yet. The reason is an
*override-reason* that this write brings. A new Appointment may be history: it is never too late for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.access.caller import Caller, Role
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.scheduling.arrival import CHECKED_IN, OUTCOMES, outcome_side
from fhir_server.scheduling.terms import Policy
from fhir_server.services.booking import policy_of
from fhir_server.services.wishes import OVERRIDE_URL, extension_code, of_appointment
from fhir_server.services.world import World

EARLY = {
    "arrived": "it is too early to check in", "checked-in": "it is too early to check in",
    "noshow": "the patient may still come", "fulfilled": "the visit has not begun",
}  # fmt: skip
LATE = "it is too late to check in"
PLACE, CODE = "Appointment.start", "outside-window"


async def check(world: World, caller: Caller, old: Mapping[str, Any] | None, after: Mapping[str, Any]) -> None:
    """Whether the caller can say now what this version says.

    :param old: the version before; None for a new Appointment.
    :raises Problem: 422 ``outside-window``.
    """
    status = after["status"]
    if status not in OUTCOMES or not {"start", "end"} <= after.keys():
        return
    becomes = old is None or old["status"] != status
    if not becomes and old and old.get("start") == after["start"]:
        return
    if status in CHECKED_IN and _reason(after) not in {"", _reason(old or {})}:
        return
    interface = caller.role is Role.SYSTEM
    judged = [after]
    if old and old["status"] == "booked" and status not in CHECKED_IN and not interface and "start" in old:
        judged.append(old)  # its time may be changed in the same write, so that it looks as if it were over
    for one in judged:
        start, end = times(one)
        side = outcome_side(await policy_for(world, one), status, start, end, world.now(), interface=interface)
        if side == "early":
            raise problem(Category.RULE, EARLY[status], PLACE, CODE)
        if side == "late" and old and becomes and not interface:
            raise problem(Category.RULE, LATE, PLACE, CODE)


def _reason(resource: Mapping[str, Any]) -> str:
    return extension_code(resource, OVERRIDE_URL).strip()


async def policy_for(world: World, resource: Mapping[str, Any]) -> Policy:
    """The policy of a stored Appointment; that of nobody where what it was booked on is gone."""
    try:
        return policy_of(await of_appointment(world, resource))
    except Problem:
        return Policy()


def times(resource: Mapping[str, Any]) -> tuple[int, int]:
    """Start and end in seconds; R4's app-3 sees to it that what is booked has them."""
    return instant_seconds(resource["start"]), instant_seconds(resource["end"], floor=False)

"""``Patient/[id]/$break-glass``: a clinician opens a record that they have no relation to, in an emergency.

Who does it says why; it is over after an hour at most; every access in that time is recorded with the purpose *BTG*.
``fhir-server audit emergencies`` lists who did it, with the reasons. 45 CFR 164.312(a)(2)(ii).
"""

from __future__ import annotations

from fhir_server.access.caller import Role
from fhir_server.errors import Category, problem
from fhir_server.log import get_logger
from fhir_server.services.world import World
from fhir_server.store.emergencies import Emergency

MOST_MINUTES = 60
SHORTEST_REASON = 10
MAY = frozenset({Role.PRACTITIONER, Role.ADMINISTRATOR})
PURPOSE = "BTG"

log = get_logger("access")


async def open_record(world: World, patient: str, reason: str, minutes: int | None) -> int:
    """Let the caller see a Patient and their data for a while.

    :param patient: the Patient's id.
    :param reason: why, in words; it is kept with the record of access.
    :returns: epoch seconds until which it holds.
    :raises Problem: 403 for whom it is not, 404 for no such patient, 422 without a reason.
    """
    caller = world.policy.caller
    if caller.role not in MAY or not caller.subject:
        raise problem(Category.FORBIDDEN, "only clinicians and administrators open a record in an emergency", "Patient")
    if len(reason.strip()) < SHORTEST_REASON:
        raise problem(Category.RULE, "say in a few words why this is an emergency", "reason", "param-missing")
    found = await world.store.resources.get("Patient", patient)
    if found is None or found.deleted:
        raise problem(Category.NOT_FOUND, f"Patient/{patient} does not exist", "Patient")
    until = world.now() + 60 * min(minutes or MOST_MINUTES, MOST_MINUTES)
    await world.store.emergencies.add(
        Emergency(caller.subject, caller.fhir_user, f"Patient/{patient}", world.now(), until, reason.strip())
    )
    # Whoever watches the log is told at once; the access record has the rest.
    log.warning("break glass", account=caller.subject, client=caller.client)
    return until

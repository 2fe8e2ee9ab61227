"""An AppointmentResponse to an offer is the answer: it is stored in the transaction that books or lets the time go.

https://hl7.org/fhir/R4/appointmentresponse.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.fhir import references
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.services.actors import reference_of
from fhir_server.services.booking import Already
from fhir_server.services.keyed import Keyed
from fhir_server.services.versions import version_of
from fhir_server.services.waitlist.answer import Named, accept, check, decline
from fhir_server.services.waitlist.entries import WAITING, patients_of, status_of
from fhir_server.services.waitlist.records import is_offer, offers_of
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit


async def respond(
    world: World,
    caller: Caller,
    response: Mapping[str, Any],
    id_: str,
    clinics: Sequence[str],
    before: Stored | None = None,
    keyed: Keyed | None = None,
    method: str = "PUT",
    already: Already | None = None,
) -> Stored | None:
    """Store a response that answers an offer, and do what it says; None for one that answers none.

    :param before: the version of the response that this one replaces.
    :param already: asked first in the transaction; what it finds is the answer (a conditional create).
    :raises Problem: 409 ``hold-expired`` for a *yes* to an offer that is over, and what booking refuses.
    """
    said = response.get("participantStatus")
    if said not in {"accepted", "declined"}:
        return None
    name = reference_of(response.get("appointment"), world.bases)
    found = await world.store.resources.get("Appointment", name.partition("/")[2]) if name else None
    if found is None or found.deleted or not await _is_patients(world, response, found):
        return None
    if not is_offer(found.extra):
        late = said == "accepted" and status_of(found) == WAITING and offers_of(parse(found.body))
        if late and (seen := await world.view.seen(found)):
            check(seen, _named(response))
        return None
    written: list[Stored] = []

    async def also(unit: Unit, at: int) -> None:
        if already and (known := await already(unit)):
            raise _Known(known)
        version = before.version + 1 if before else 1
        after, index = version_of(
            world, dict(response), id_=id_, version=version, at=at, method=method, clinics=clinics
        )
        await unit.write(before, after, index)
        if keyed:
            await keyed.remember(world, unit, after, 201)
        written[:] = [after]

    try:
        if said == "accepted":
            await accept(world, caller, found.id, _named(response), also=also)
        else:
            await decline(world, caller, found.id, _named(response), outcome="declined", also=also)
    except _Known as known:
        return known.found
    return written[0]


class _Known(Exception):  # noqa: N818  a state of the world: the answer was given before
    def __init__(self, found: Stored) -> None:
        super().__init__()
        self.found = found


async def _is_patients(world: World, response: Mapping[str, Any], found: Stored) -> bool:
    """Whether the one who answers is the patient of the Appointment."""
    actor = reference_of(response.get("actor"), world.bases)
    return actor in patients_of(parse(found.body), world.bases)


def _named(response: Mapping[str, Any]) -> Named:
    """The version that the reference names, and the start that the response repeats."""
    start = response.get("start")
    named = references.of(dict(response["appointment"]))
    version = named.version if named and named.version.isdecimal() else ""
    return Named(int(version) if version else None, instant_seconds(start) if start else None)

"""A patient's access report: who saw what of this patient, when and why, the newest first.

It goes back six years: so long a person can ask for an accounting (45 CFR 164.528). Each event is of this patient
alone, and tells nothing of another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fhir_server.access.caller import Role
from fhir_server.access.record import Access
from fhir_server.access.withholding import PEOPLE
from fhir_server.fhir.json import parse
from fhir_server.services.audit.retention import latest
from fhir_server.services.audit.search import Asked, Page, Place, Range, search
from fhir_server.services.world import World

YEARS = 6
NAMED = ("Patient", "Practitioner", "RelatedPerson")
"""Types whose resources have a name."""


async def report(world: World, patient: str, period: Range, count: int, after: Place | None) -> Page:
    """A page of what was done with a patient's data.

    :param patient: ``Patient/1``.
    :param period: ``[low, high)`` in milliseconds, of when it was recorded.
    """
    low, high = period
    first = max(low or 0, latest(world.clock(), YEARS))
    asked = Asked(dates=(((first, high),),), count=count, after=after, about=patient)
    return await search(world.store.audit, asked)


async def names(world: World, accesses: Iterable[Access]) -> Mapping[str, str]:
    """The names of persons by their references, as their resources have them now; one query for each type.

    A patient is told the names of staff and of people whom they see anyway: that another patient tried names nobody.
    """
    open_ = world.policy.caller.role is not Role.PATIENT
    wanted: dict[str, set[str]] = {}
    for one in accesses:
        type_, _, id_ = one.fhir_user.partition("/")
        if type_ in NAMED:
            wanted.setdefault(type_, set()).add(id_)
    found: dict[str, str] = {}
    for type_, ids in wanted.items():
        for stored in await world.store.resources.get_many(type_, sorted(ids)):
            told = open_ or type_ not in PEOPLE or await world.policy.may(world, stored)
            if told and (name := _name(parse(stored.body))):
                found[stored.reference] = name
    return found


def _name(resource: Mapping[str, object]) -> str:
    """``Dr. Jane Adams``: the official name, else the first."""
    given = resource.get("name")
    names_ = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    best = next((one for one in names_ if one.get("use") == "official"), names_[0] if names_ else {})
    if isinstance(best.get("text"), str):
        return str(best["text"])
    parts = [*best.get("prefix", ()), *best.get("given", ()), best.get("family", ""), *best.get("suffix", ())]
    return " ".join(str(part) for part in parts if part)

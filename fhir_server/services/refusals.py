"""From the engine's refusals to a Problem: 409 with the next proposals when only the time is the matter, else 422."""

from __future__ import annotations

from fhir_server.errors import Category, Issue, Problem
from fhir_server.fhir.parameters import Moment
from fhir_server.scheduling.interval import Interval
from fhir_server.services.booking import Refused, Wish
from fhir_server.services.candidates import Candidate, Criteria
from fhir_server.services.free_time import Free, calendars, free
from fhir_server.services.proposals import proposed
from fhir_server.services.world import World

OFFERED = 3
LOOK_DAYS = 14


async def problem_of(
    world: World, refused: Refused, wish: Wish, prefix: str = "Appointment", *, owner: str = "", offer: bool = True
) -> Problem:
    """The Problem for a refusal; alternatives are computed for the same Schedules, service and patients.

    :param prefix: where the refused element lies, such as ``Parameters.parameter[0].resource``.
    :param owner: an Appointment that moves and so does not stand in its own way.
    :param offer: whether to compute alternatives.
    """
    issues = tuple(
        Issue(
            one.text,
            f"{prefix}.{one.element}",
            one.code,
            Category.CONFLICT if one.conflict else Category.RULE,
        )
        for one in refused.refusals
    )
    if not refused.taken:
        return Problem(Category.RULE, issues)
    times = await alternatives(world, wish, owner) if offer else []
    offered = [proposed(one, wish.patients, wish.modality) for one in times]
    return Problem(Category.CONFLICT, issues, alternatives=tuple(one for one in offered if "id" in one))


async def alternatives(world: World, wish: Wish, owner: str = "") -> list[Free]:
    """The next free times from the wish on."""
    if not wish.schedules:
        return []
    offered = wish.service.terms.durations if wish.service else ()
    length = wish.end - wish.start
    end = wish.start + LOOK_DAYS * 86400
    asked = Criteria(
        Moment("", wish.start, None),
        Moment("", end, None),
        modality=wish.modality,
        patients=wish.patients,
        duration=length if length in offered else None,
        channel=wish.channel,
        ignore=frozenset({owner} if owner else ()),
    )
    candidate = Candidate(wish.schedules, wish.service, 0)
    known = calendars(world)
    for days in (2, LOOK_DAYS):
        window = Interval(wish.start, wish.start + days * 86400)
        times = await free(world, asked, [candidate], {candidate.id: window}, known)
        if len(times) >= OFFERED or days == LOOK_DAYS:
            return times[:OFFERED]
    return []

"""Which provider of a pool gets a booking: the policy's ``assignment`` orders what ``first-available`` tries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_ms
from fhir_server.scheduling import ranking
from fhir_server.scheduling.civil import day_interval, local_day
from fhir_server.services.candidates import Criteria
from fhir_server.services.free_time import Free, calendars
from fhir_server.services.wishes import seen_by
from fhir_server.services.world import World

ASKED_MOST = 50
"""Providers whose past is looked at; the earliest ones of a larger pool."""


async def assigned(world: World, asked: Criteria, times: Sequence[Free]) -> list[Free]:
    """First free times of the pool's providers in the order in which they are to be tried."""
    policies = {one.candidate.schedules[0].policy_for(one.candidate.service).assignment for one in times}
    named = policies - {None, "earliest"}
    if len(named) != 1 or len(times) < 2:
        return list(times)
    assignment = named.pop()
    near = list(times[:ASKED_MOST])
    seen: dict[str, int] = {}
    load: dict[str, int] = {}
    turn: dict[str, int] = {}
    if assignment in {"established", "continuity"}:
        seen = await _last(world, near, "fulfilled", asked.patients)
    elif assignment == "round-robin":
        turn = await _last(world, near, "", ())
    elif assignment == "least-loaded":
        load = await _loads(world, near)
    by_candidate = {
        ranking.Candidate(one.start, tuple(facts.id for facts in one.candidate.schedules), one.location): one
        for one in near
    }
    preference = {one.candidate.schedules[0].id: one.preference for one in near}
    ranked = ranking.rank(by_candidate, assignment, seen, load, turn, preference)
    return [by_candidate[one] for one in ranked] + list(times[ASKED_MOST:])


async def _last(world: World, times: Sequence[Free], status: str, patients: Sequence[str]) -> dict[str, int]:
    """By Schedule: epoch of the last fulfilled visit of the patients, or of the last booking made at all."""

    async def one(time: Free) -> tuple[str, int | None]:
        facts = time.candidate.schedules[0]
        where: dict[str, object] = seen_by(world, facts.keys)
        if status:
            where |= {"idx.status": f"={status}", "idx.patient": {"$in": list(patients)}}
            found = await world.store.resources.find(
                "Appointment", where, sort=[("idx.date.l", -1)], limit=1, fields={"idx.date": 1}
            )
            return facts.id, found[0]["idx"]["date"]["l"] // 1000 if found else None
        found = await world.store.resources.find(
            "Appointment", where, sort=[("at", -1)], limit=1, fields={"body": 1, "at": 1}
        )
        if not found:
            return facts.id, None
        created = parse(found[0]["body"]).get("created")
        return facts.id, instant_ms(created) if created and "T" in created else found[0]["at"]

    answers = await asyncio.gather(*(one(time) for time in times))
    return {schedule: at for schedule, at in answers if at is not None}


async def _loads(world: World, times: Sequence[Free]) -> dict[str, int]:
    """By Schedule: bookings on the local day of its first free time."""
    known = calendars(world)
    loads = {}
    for one in times:
        facts = one.candidate.schedules[0]
        day = day_interval(facts.zone, local_day(facts.zone, one.start))
        await known.load(facts.keys, range(day.start // 86400, (day.end - 1) // 86400 + 1))
        loads[facts.id] = len(
            {
                entry.owner
                for entry in known.of(facts.keys[0])
                if entry.kind != "blocked" and day.start <= entry.start < day.end
            }
        )
    return loads

"""Offering a time: the entry itself becomes a ``pending`` Appointment that holds the time for its patient.

One resource is entry and offer, so an entry never has two offers at once, and its history is the patient's story. The
time is taken by the one engine, as every hold is; the timer of its end and the message are written with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.waitlist_terms import Deadline
from fhir_server.services import slot_faces
from fhir_server.services.actors import reference_of, with_own_references
from fhir_server.services.book import turns_of, with_members
from fhir_server.services.booking import Changed, Refused, Wish, claim_of, request_of, take
from fhir_server.services.held import held_until
from fhir_server.services.proposals import compose
from fhir_server.services.versions import version_of
from fhir_server.services.waitlist.entries import WAITING
from fhir_server.services.waitlist.messages import tell
from fhir_server.services.waitlist.records import OFFERED, Record, with_offer
from fhir_server.services.waitlist.times import taken
from fhir_server.services.wishes import CHANNEL_URL, settled
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

TIMER = "waitlist-offer"
"""Kind of work: the end of an offer, under the id of its Appointment."""

NOT_ASKED = frozenset({"Practitioner", "PractitionerRole", "Location", "Device", "HealthcareService"})
"""Participants that an entry wishes for; those of an offer come from who gives the time."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An entry and the time that it is offered. ``by`` is ``rank`` or ``staff``; ``reason`` says why this patient;
    ``freed`` is the time that became free, None where staff chose: then the offer itself is what its end makes free.
    """

    entry: Stored
    wish: Wish
    deadline: Deadline
    by: str
    reason: str = ""
    freed: Interval | None = None


async def offer(world: World, chosen: Chosen) -> Stored:
    """Hold the time for the entry's patient.

    :raises Refused: by the engine: somebody has the time, the patient is elsewhere then, a rule says no.
    :raises Changed: the entry is not what it was.
    :raises Problem: 422 for a patient who is not there any more.
    """
    entry = chosen.entry
    wish = await settled(world, replace(chosen.wish, channel="waitlist"))
    until = chosen.deadline.until
    request = request_of(wish, entry.reference, "hold", expires=until)
    sent = _asked(world, parse(entry.body))
    freed = chosen.freed or taken(wish.start, wish.end, wish.service)
    record = Record(wish.start, wish.end, wish.schedules[0].id, world.now(), until, chosen.by, freed, chosen.reason)

    async def work(unit: Unit) -> Stored:
        at = world.clock()
        current = await unit.get("Appointment", entry.id)
        if current is None or current.version != entry.version or parse(current.body)["status"] != WAITING:
            raise Changed
        decision, days = await take(world, unit, request)
        shown = await slot_faces.show_wish(world, unit, days, wish, at, request.owner)
        composed = with_members(held_until(compose(wish, "pending", sent), until), decision.chosen, "pending")
        composed = with_offer(composed, record)
        if shown:
            composed["slot"] = [{"reference": one} for one in shown]
        written, index = version_of(
            world, composed, id_=entry.id, version=current.version + 1, at=at, method="PUT",
            clinics=wish.clinics or current.extra.get("clinics") or (),
            extra={
                "claim": claim_of(decision.entries), "slots": shown or None, "expires": until, "since": world.now(),
                OFFERED: {"of": current.version},
            },
        )  # fmt: skip
        await unit.replace(current, written, index)
        if wish.strangers:
            await unit.acquaint(wish.strangers, wish.clinics)
        await world.store.work.plan(unit, TIMER, entry.id, until * 1000, {"version": written.version})
        await tell(world, unit, "waitlist-offer", written, chosen.deadline.tell * 1000)
        return written

    return await world.store.units.run(work, now=world.now(), turns=[entry.reference, *turns_of(request)])


def refusal(refused: Refused) -> Problem:
    """What staff are told when the engine refuses."""
    found = [problem(Category.CONFLICT if one.conflict else Category.RULE, one.text, one.element, one.code)
             for one in refused.refusals]  # fmt: skip
    issues = tuple(one.issues[0] for one in found)
    return Problem(Category.CONFLICT if refused.taken else Category.RULE, issues)


def _asked(world: World, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry without what an offer says instead: whom, where and for which of its services."""
    resource: Mapping[str, Any] = with_own_references(entry, world.bases)
    kept = {
        name: value
        for name, value in resource.items()
        if name not in {"start", "end", "slot", "minutesDuration", "serviceType", "serviceCategory", "specialty"}
    }
    kept["participant"] = [
        one
        for one in resource.get("participant", ())
        if reference_of(one.get("actor")).partition("/")[0] not in NOT_ASKED
    ]
    others = [one for one in resource.get("extension", ()) if one.get("url") != CHANNEL_URL]
    kept["extension"] = [*others, {"url": CHANNEL_URL, "valueCode": "waitlist"}]
    return kept

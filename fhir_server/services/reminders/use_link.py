"""A link that somebody opened: what it shows, and what it does once.

state    when
-------  ------------------------------------------------------------------
open     it can be used
used     it was: it says what came of it, as often as it is opened
over     its time is past
changed  the appointment is another one than when the link was made
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from fhir_server.errors import Category, Problem, problem
from fhir_server.messages.facts import Facts, variables
from fhir_server.messages.templates import language_of
from fhir_server.services.free_time import Free
from fhir_server.services.proposals import proposal_id
from fhir_server.services.reminders import acts, links, people
from fhir_server.services.reminders.contents import Clinic, clinic_of, facts_of, zone_of
from fhir_server.services.reminders.people import Person
from fhir_server.services.reminders.visits import Visit
from fhir_server.services.world import World
from fhir_server.store.links import Link

State = Literal["open", "used", "over", "changed"]
BY = "message-link"
OUTCOMES = {
    "confirm": "confirmed", "reschedule": "moved", "cancel": "cancelled", "unsubscribe": "unsubscribed",
    "accept": "accepted", "decline": "declined",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Time:
    """Another time that can be chosen: the proposal's id, and day and time in words."""

    proposal: str
    day: str
    time: str


@dataclass(frozen=True, slots=True)
class Opened:
    """What a page says. ``said`` are date, time, place … of the appointment in words, empty where nothing is shown."""

    link: Link
    state: State
    language: str
    clinic: Clinic
    said: dict[str, str] = field(default_factory=dict)
    times: tuple[Time, ...] = ()


async def look(world: World, text: str, *, network: str = "") -> Opened | None:
    """What a link shows; None for one that never was."""
    link = await links.find(world, text)
    if link is None:
        return None
    who = acts.Patient(link.patient, BY, network)
    visit = await acts.seen(world, who, link.appointment)
    receiver = await people.person(world, world.store.resources, link.patient, visit)
    state = _state(world, link, visit)
    language = language_of(receiver.language) if receiver else people.LANGUAGE
    clinic = await clinic_of(world, visit) if visit else Clinic("", "", {})
    if visit is None or receiver is None:
        unsubscribes = link.act == "unsubscribe" and receiver is not None
        return Opened(link, state if unsubscribes or state in {"used", "over"} else "changed", language, clinic)
    opened = Opened(link, state, language, clinic)
    if link.act == "unsubscribe" or state in {"over", "changed"}:
        return opened
    await acts.show(world, who, visit)
    opened = replace(opened, said=await _words(world, visit, receiver, clinic))
    if link.act == "reschedule" and state == "open":
        found = await acts.times(world, who, visit)
        opened = replace(opened, times=tuple(_times(found, visit, receiver)))
    return opened


async def use(world: World, text: str, act: str, proposal: str = "", *, network: str = "") -> Opened | None:
    """Do what a link is for, if that was not done; what it shows afterwards. None for one that never was.

    :param act: what is wanted, as the page's form says; nothing is done where the link is for something else.
    :param proposal: the time that was chosen.
    :raises Problem: what the use case refuses: too late, somebody was faster; 422 without a choice.
    """
    opened = await look(world, text, network=network)
    if opened is None or opened.state != "open" or act != opened.link.act:
        return opened
    link = opened.link
    who = acts.Patient(link.patient, BY, network)
    if link.act == "confirm":
        await acts.confirm(world, who, link.appointment)
    elif link.act == "cancel":
        await acts.cancel(world, who, link.appointment)
    elif link.act in links.OFFER_ACTS:
        accepts = link.act == "accept"
        await acts.answer_offer(world, who, link.appointment, link.start, accepts=accepts)
    elif link.act == "unsubscribe":
        await acts.opt(world, who, "email", permitted=False)
    else:
        if proposal not in {one.proposal for one in opened.times}:
            if not proposal:
                raise problem(Category.RULE, "a time must be chosen", "time", "param-missing")
            raise problem(Category.CONFLICT, "this time is not free any more", "time", "slot-taken")
        await acts.move(world, who, link.appointment, proposal)
    await world.store.links.used(link, world.now(), OUTCOMES[link.act])
    return await look(world, text, network=network)


def is_late(refused: Problem) -> bool:
    """Whether the clinic's cut-off has passed."""
    return any(one.code == "cutoff-passed" for one in refused.issues)


def is_taken(refused: Problem) -> bool:
    """Whether another time must be chosen."""
    return refused.category is Category.CONFLICT or any(one.code == "param-missing" for one in refused.issues)


def _state(world: World, link: Link, visit: Visit | None) -> State:
    if link.used is not None:
        return "used"
    if link.expires <= world.now():
        return "over"
    if link.act == "unsubscribe":
        return "open"
    wanted = "pending" if link.act in links.OFFER_ACTS else "booked"
    same = visit is not None and visit.status == wanted and visit.start == link.start
    return "open" if same else "changed"


async def _words(world: World, visit: Visit, receiver: Person, clinic: Clinic) -> dict[str, str]:
    facts = await facts_of(world, visit, clinic)
    said = variables(facts, language_of(receiver.language), zone_of(visit, receiver))
    return {name: str(said[name]) for name in ("date", "time", "time_zone", "where", "clinic", "phone")}


def _times(found: Sequence[Free], visit: Visit, receiver: Person) -> list[Time]:
    zone, language = zone_of(visit, receiver), language_of(receiver.language)
    made = []
    for one in found:
        said = variables(Facts("", start=datetime.fromtimestamp(one.start, UTC)), language, zone)
        if id_ := proposal_id(one, (receiver.reference,)):
            made.append(Time(id_, said["date"], said["time"]))
    return made

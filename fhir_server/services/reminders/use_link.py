"""A link that somebody opened: what it shows, and what it does once.

state    when
-------  ------------------------------------------------------------------
open     it can be used
used     it was, and what came of it still stands: it says so, as often as it is opened
over     its time is past
changed  the appointment is another one than when the link was made, or was used
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from fhir_server.errors import Category, Problem, problem
from fhir_server.messages.facts import Facts, variables
from fhir_server.messages.templates import language_of
from fhir_server.scheduling.civil import local_day
from fhir_server.services.free_time import Free
from fhir_server.services.proposals import proposal_id
from fhir_server.services.reminders import acts, links, people
from fhir_server.services.reminders.contents import Clinic, clinic_of, facts_of, zone_of
from fhir_server.services.reminders.people import Person
from fhir_server.services.reminders.visits import Visit
from fhir_server.services.world import World
from fhir_server.store.links import Link

State = Literal["open", "used", "over", "changed"]
Reason = Literal["late", "choose", "not_offered", "taken", "failed"]
DAYS = 14
"""Days that are looked at together for other times."""

CUT_OFFS: Mapping[str, Literal["cancel", "reschedule"]] = {"cancel": "cancel", "reschedule": "reschedule"}
"""Acts for which the clinic may say until when."""

ON = frozenset({"booked", "arrived", "checked-in", "fulfilled"})
"""What becomes of a visit that neither its patient nor the clinic gave up."""

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
class Day:
    """A day with free times: as ``2026-12-14``, and in words."""

    date: str
    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The times of one day, and other days to look at.

    ``days`` have free times, the first one is that of ``times``; ``earlier`` and ``later`` are where to look on, empty
    where there is nothing.
    """

    times: tuple[Time, ...] = ()
    days: tuple[Day, ...] = ()
    earlier: str = ""
    later: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a page says. ``said`` are date, time, place … of the appointment in words, empty where nothing is shown;
    ``late``: the clinic does not allow it any more.
    """

    link: Link
    state: State
    language: str
    clinic: Clinic
    said: dict[str, str] = field(default_factory=dict)
    choice: Choice = Choice()
    late: bool = False


async def look(world: World, text: str, *, day: str = "", network: str = "") -> Opened | None:
    """What a link shows; None for one that never was.

    :param day: from which other times are wanted, ``2026-12-14``; what is no day, or not one that can be booked, is
        the nearest that is.
    """
    return await _look(world, text, day, network, choosing=True)


async def _look(world: World, text: str, day: str, network: str, *, choosing: bool) -> Opened | None:
    """:param choosing: whether other times are wanted, which have to be found."""
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
    if link.act == "decline" and visit.start != link.start:
        return opened  # another time is offered meanwhile
    await acts.show(world, who, visit)
    opened = replace(opened, said=await _words(world, visit, receiver, clinic))
    if not choosing or state != "open":
        return opened
    cut_off = CUT_OFFS.get(link.act)
    if cut_off and await acts.is_late(world, who, visit.id, cut_off):
        return replace(opened, late=True)
    if link.act == "reschedule":
        opened = replace(opened, choice=await _choice(world, who, visit, receiver, day))
    return opened


async def use(
    world: World, text: str, act: str, proposal: str = "", *, day: str = "", network: str = ""
) -> Opened | None:
    """Do what a link is for, if that was not done; what it shows afterwards. None for one that never was.

    :param act: what is wanted, as the page's form says; nothing is done where the link is for something else.
    :param proposal: the time that was chosen.
    :raises Problem: what the use case refuses: too late, somebody was faster; 422 without a choice.
    """
    opened = await _look(world, text, day, network, choosing=False)
    if opened is None or opened.state != "open":
        return opened
    if act != opened.link.act:
        return await look(world, text, day=day, network=network)
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
        if not proposal:
            raise problem(Category.RULE, "a time must be chosen", "time", "param-missing")
        visit = await acts.seen(world, who, link.appointment)
        if visit is None:
            return await look(world, text, network=network)
        await acts.check_offered(world, who, visit, proposal)
        await acts.move(world, who, link.appointment, proposal)
    await world.store.links.used(link, world.now(), OUTCOMES[link.act])
    return await look(world, text, network=network)


def reason(refused: Problem) -> Reason:
    """Why it was not done."""
    codes = {one.code for one in refused.issues}
    if "cutoff-passed" in codes:
        return "late"
    if "param-missing" in codes:
        return "choose"
    if "not-offered" in codes:
        return "not_offered"
    return "taken" if refused.category is Category.CONFLICT else "failed"


def _state(world: World, link: Link, visit: Visit | None) -> State:
    if link.used is not None:
        return "used" if _stands(link, visit) else "changed"
    if link.expires <= world.now():
        return "over"
    if link.act == "unsubscribe":
        return "open"
    wanted = "pending" if link.act in links.OFFER_ACTS else "booked"
    same = visit is not None and visit.status == wanted and visit.start == link.start
    return "open" if same else "changed"


def _stands(link: Link, visit: Visit | None) -> bool:
    """Whether what a used link did is still so."""
    if link.act in {"unsubscribe", "decline"}:
        return True
    if visit is None:
        return False
    if link.act == "cancel":
        return visit.status == "cancelled" or visit.patients.get(link.patient, "declined") == "declined"
    if visit.status not in ON or (link.act != "reschedule" and visit.start != link.start):
        return False
    return link.act != "confirm" or visit.patients.get(link.patient) == "accepted"


async def _words(world: World, visit: Visit, receiver: Person, clinic: Clinic) -> dict[str, str]:
    facts = await facts_of(world, visit, clinic)
    said = variables(facts, language_of(receiver.language), zone_of(visit, receiver))
    return {name: str(said[name]) for name in ("date", "time", "time_zone", "where", "clinic", "phone", "was")}


async def _choice(world: World, who: acts.Patient, visit: Visit, receiver: Person, day: str) -> Choice:
    """The times of a day, or of the next one that has any, and the days after it."""
    zone = zone_of(visit, receiver)
    today, last = local_day(zone, world.now()), local_day(zone, acts.latest(world, visit))
    first = min(max(_date(day) or today, today), last)
    span = timedelta(days=min(DAYS, world.settings.find_window_days))
    end = min(first + span, last + timedelta(days=1))
    found = await acts.times(world, who, visit, _midnight(first, zone), _midnight(end, zone))
    named = {local_day(zone, one.start): one.start for one in reversed(found.times)}
    days = tuple(Day(one.isoformat(), _said(start, receiver, zone)["day"]) for one, start in sorted(named.items()))
    shown = [one for one in found.times if local_day(zone, one.start).isoformat() == days[0].date]
    further = local_day(zone, found.next) if found.next is not None else None
    return Choice(
        tuple(_times(shown, receiver, zone)),
        days,
        max(first - span, today).isoformat() if first > today else "",
        further.isoformat() if further and first < further <= last else "",
    )


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == len("2026-12-14") else None
    except ValueError:
        return None


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp())


def _said(start: int, receiver: Person, zone: ZoneInfo) -> dict[str, str]:
    facts = Facts("", start=datetime.fromtimestamp(start, UTC))
    return variables(facts, language_of(receiver.language), zone)


def _times(found: Sequence[Free], receiver: Person, zone: ZoneInfo) -> list[Time]:
    made = []
    for one in found:
        said = _said(one.start, receiver, zone)
        if id_ := proposal_id(one, (receiver.reference,)):
            made.append(Time(id_, said["date"], said["time"]))
    return made

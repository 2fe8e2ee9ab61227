"""``$offer``: staff offer a time to somebody who waits, whatever their place and whatever they asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fhir_server.access.caller import STAFF, Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.scheduling.waitlist import Entry
from fhir_server.scheduling.waitlist_terms import Deadline, completed, deadline
from fhir_server.services.access import writes
from fhir_server.services.booking import Refused, Wish, afresh, check_years, policy_of
from fhir_server.services.conditions import Condition, check_version
from fhir_server.services.facts import ServiceFacts
from fhir_server.services.waitlist.answer import answer_first
from fhir_server.services.waitlist.entries import WAITING, entry_of
from fhir_server.services.waitlist.offering import Chosen, offer, refusal
from fhir_server.services.waitlist.records import is_offer
from fhir_server.services.wishes import of_proposal, of_slots
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored


@dataclass(frozen=True, slots=True)
class Choice:
    """The time: a proposal's id, Slots, or a Schedule with ``start`` (epoch seconds) and a service; how long it is
    held in seconds, None = as the policy says.
    """

    proposal: str = ""
    slots: tuple[str, ...] = ()
    schedule: str = ""
    start: int | None = None
    service: str = ""
    length: int | None = None
    condition: Condition = field(default_factory=Condition)


async def offer_to(world: World, caller: Caller, id_: str, choice: Choice) -> Stored:
    """Hold the time for the entry's patient; the entry, which is ``pending`` now.

    :raises Problem: 403 for who is no staff, 404, 409 ``offer-open`` for an entry that is offered something, for time
        that is taken; 422 for what is no entry, a rule that refuses, a visit that begins before an answer can come.
    """
    if caller.role not in STAFF | {Role.SYSTEM}:
        raise problem(Category.FORBIDDEN, "only the clinic offers a time", "Appointment", "withheld")

    async def work() -> Stored:
        found = await writes.reached(world, await world.store.resources.get("Appointment", id_), "u")
        if found is None or found.deleted:
            raise problem(Category.NOT_FOUND, "no such entry", "Appointment.id")
        if is_offer(found.extra) and found.extra["expires"] > world.now():
            raise answer_first()
        check_version(choice.condition, found, "Appointment")
        entry = entry_of(found, world.zone, world.bases) if parse(found.body)["status"] == WAITING else None
        if entry is None:
            text = "this is no entry of the waitlist"
            raise problem(Category.RULE, text, "Appointment.status", "illegal-transition")
        wish = replace(await _wish(world, choice, entry), patients=(entry.patient,), channel="waitlist")
        await writes.check_wish(world, caller, wish, "appointment")
        chosen = Chosen(found, wish, _deadline(world, wish, choice.length), "staff")
        try:
            return await offer(world, chosen)
        except Refused as refused:
            raise refusal(refused) from None

    return await afresh(work)


def _deadline(world: World, wish: Wish, length: int | None) -> Deadline:
    """:raises Problem: 422 for a visit that begins before an answer can be waited for."""
    zone = wish.schedules[0].zone if wish.schedules else world.zone
    found = deadline(world.now(), wish.start, completed(policy_of(wish).waitlist), zone, length)
    if found is None:
        text = "the visit begins too soon to wait for an answer; book it instead"
        raise problem(Category.RULE, text, "start", "min-notice")
    return found


async def _wish(world: World, choice: Choice, entry: Entry) -> Wish:
    if choice.proposal:
        return await of_proposal(world, choice.proposal, "appointment")
    if choice.slots:
        return await of_slots(world, choice.slots, "slot")
    if not choice.schedule or choice.start is None:
        text = "appointment, slot, or schedule and start say which time"
        raise problem(Category.REQUIRED, text, "appointment", "param-missing")
    facts = (await world.catalogue.schedules([choice.schedule])).get(choice.schedule)
    if facts is None:
        raise problem(Category.NOT_FOUND, "no such Schedule", "schedule")
    wanted = [choice.service] if choice.service else [one for one in facts.offers if one in entry.services]
    known = await world.catalogue.services(wanted[:1])
    service: ServiceFacts | None = next(iter(known.values()), None)
    if service is None:
        raise problem(Category.RULE, "the Schedule does not offer what the entry waits for", "service", "not-offered")
    lengths = service.terms.durations
    end = choice.start + (entry.duration if entry.duration in lengths else lengths[0])
    check_years(choice.start, end, "start")
    return Wish(choice.start, end, (facts,), service)

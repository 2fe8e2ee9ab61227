"""From a visit and a receiver to the words of a message, with its links and its calendar entry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.messages.facts import Facts
from fhir_server.messages.ics import Entry, calendar, google_link, outlook_link
from fhir_server.messages.rendering import Rendered, render
from fhir_server.messages.templates import Kind, prefixes
from fhir_server.remote.email import Email
from fhir_server.remote.push import Push
from fhir_server.remote.sms import Text
from fhir_server.remote.voice import Call
from fhir_server.scheduling.lifecycle import takes_time
from fhir_server.services.actors import reference_of
from fhir_server.services.message_texts import overrides_of
from fhir_server.services.reminders import communications, links, offers
from fhir_server.services.reminders.delivery import Composed
from fhir_server.services.reminders.notices import NOTICE
from fhir_server.services.reminders.offers import OFFER
from fhir_server.services.reminders.people import Person
from fhir_server.services.reminders.requests import RELEASE, Request
from fhir_server.services.reminders.visits import Visit
from fhir_server.services.waitlist.records import preferred
from fhir_server.services.world import World

UNSUBSCRIBE_SECONDS = 30 * 86400
SOON = 2 * 3600
STATUS_HOOK, VOICE_HOOK = "/hooks/twilio/status", "/hooks/twilio/voice"
_URL = re.compile(r"https?://\S+")
REMOTE = frozenset({"video", "phone"})
CALENDAR: frozenset[Kind] = frozenset({"booked", "moved"})
ENDED: frozenset[Kind] = frozenset({"cancelled", "released"})
WORD: Mapping[str, str] = {"en": "Appointment", "es": "Cita", "de": "Termin"}
"""What an entry in a calendar is called."""

_NOTICES: Mapping[str, Kind] = {"booked": "booked", "moved": "moved", "cancelled": "cancelled", "released": "released"}


@dataclass(frozen=True, slots=True)
class Clinic:
    """Who speaks: name, telephone number, and its own words by the keys of ``messages``."""

    name: str
    phone: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Written:
    """The words of a message that has the id outside."""

    id: str
    said: Rendered
    facts: Facts
    visit: Visit
    receiver: Person
    kind: Kind
    entry: Entry


async def compose(
    world: World, request: Request, visit: Visit, receiver: Person, medium: str, *, was: Visit | None = None
) -> Composed:
    """The message for one channel, in the receiver's language and zone of the visit.

    :param was: the visit before it was moved.
    """
    clinic = await clinic_of(world, visit)
    kind = kind_of(request, visit)
    facts = await _facts(world, request, visit, clinic, was)
    entry = _entry(facts, visit, receiver)
    if kind in CALENDAR and facts.confirm + facts.reschedule:
        facts = replace(facts, google=google_link(entry), outlook=outlook_link(entry))
    said = render(kind, receiver.language, facts, clinic.texts, zone_of(visit, receiver))
    id_ = communications.id_of(request.id, medium)
    build = {"email": _email, "sms": _text, "voice": _call, "push": _push}[medium]
    return build(world, Written(id_, said, facts, visit, receiver, kind, entry))


def zone_of(visit: Visit, receiver: Person) -> ZoneInfo:
    """The zone of the times that are said: where the patient will be."""
    return receiver.zone_for(visit) if visit.modality in REMOTE else visit.zone


def _entry(facts: Facts, visit: Visit, receiver: Person) -> Entry:
    """The appointment in a calendar, without links: calendars are shared, and others' servers keep them."""
    word = next((WORD[one] for one in prefixes(receiver.language) if one in WORD), WORD["en"])
    return Entry(
        _at(visit.start),
        _at(max(visit.end, visit.start + 60)),
        f"{word}: {facts.clinic}" if facts.clinic else word,
        ", ".join(filter(None, (facts.place, facts.address))),
        attendee=next(iter(receiver.emails), ""),
    )


def kind_of(request: Request, visit: Visit) -> Kind:
    """Which text of ``messages`` it is."""
    name, _, number = request.key.rpartition("-")
    if request.kind == NOTICE:
        return _NOTICES[name]
    if request.kind == "confirmation-request":
        return "confirmation-request"
    if request.kind == OFFER:
        return "waitlist-offer-ended" if name == offers.ENDED else "waitlist-offer"
    return "telehealth-soon" if visit.modality == "video" and int(number) <= SOON else "reminder"


async def clinic_of(world: World, visit: Visit) -> Clinic:
    """The Organization of a visit; without one, nobody by name."""
    return await clinic_named(world, visit.clinic)


async def clinic_of_patient(world: World, patient: str) -> Clinic:
    """The first of the clinics that know a patient, where no visit says which one speaks."""
    found = await world.store.resources.get("Patient", patient.partition("/")[2])
    return await clinic_named(world, next(iter((found.extra.get("clinics") or ()) if found else ()), ""))


async def clinic_named(world: World, reference: str) -> Clinic:
    """An Organization as who speaks."""
    found = await world.store.resources.get("Organization", reference.partition("/")[2]) if reference else None
    if found is None or found.deleted:
        return Clinic("", "", {})
    resource = parse(found.body)
    phones = [one["value"] for one in resource.get("telecom", ()) if one.get("system") == "phone" and "value" in one]
    return Clinic(resource.get("name", ""), next(iter(phones), ""), overrides_of(resource))


async def facts_of(world: World, visit: Visit, clinic: Clinic) -> Facts:
    """What is said of a visit, without links: as little as a stranger may read over a shoulder.

    ``was`` is the appointment that an offered time would be taken instead of.
    """
    place, address = await _place(world, visit)
    detail = visit.policy.message_detail is True
    kept = await _given_up(world, visit) if visit.status == "pending" else None
    return Facts(
        clinic.name,
        start=_at(visit.start),
        phone=clinic.phone,
        place=place,
        address=address,
        was=_at(kept) if kept else None,
        service=_service(visit) if detail else "",
        practitioner=await _practitioner(world, visit) if detail else "",
        detail=detail,
    )


async def _given_up(world: World, visit: Visit) -> int | None:
    """When the appointment begins that is kept until an earlier time is accepted; seconds since the epoch."""
    named = next(iter(preferred(visit.resource).get("keepAppointment", ())), None)
    found = await world.store.resources.get("Appointment", reference_of(named, world.bases).partition("/")[2])
    if found is None or found.deleted:
        return None
    kept = parse(found.body)
    return instant_seconds(kept["start"]) if takes_time(kept["status"]) and "start" in kept else None


async def _facts(world: World, request: Request, visit: Visit, clinic: Clinic, was: Visit | None) -> Facts:
    facts = await facts_of(world, visit, clinic)
    about = links.About(request.id, visit.id, request.patient, visit.start)
    kind = kind_of(request, visit)
    end = (offers.until(visit) or visit.start) if kind == "waitlist-offer" else visit.start
    acts: Sequence[str] = ()
    if kind == "waitlist-offer":
        acts = links.OFFER_ACTS
    elif visit.status == "booked" and kind not in ENDED:
        acts = links.BOOKED_ACTS
    wanted = {"unsubscribe": visit.start + UNSUBSCRIBE_SECONDS, **dict.fromkeys(acts, end)}
    made = await links.make_all(world, about, wanted)
    facts = replace(facts, unsubscribe=made["unsubscribe"], was=_at(was.start) if was else facts.was)
    if acts == links.OFFER_ACTS:
        return replace(facts, confirm=made["accept"], cancel=made["decline"], until=_at(end))
    if not acts:
        return facts
    confirmed = visit.patients.get(request.patient) == "accepted"
    asks = request.kind == "confirmation-request" and visit.confirming.release
    planned = await world.store.work.planned(RELEASE, visit.id) if asks else None
    until = planned.due // 1000 if planned else 0
    return replace(
        facts,
        confirm="" if confirmed else made["confirm"],
        reschedule=made["reschedule"],
        cancel=made["cancel"],
        confirmed=confirmed,
        until=_at(until) if until > world.now() else None,
    )


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def _place(world: World, visit: Visit) -> tuple[str, str]:
    """Name and address of where the visit is; of a room those of its site."""
    if visit.modality in REMOTE:
        return "", ""
    name = address = ""
    waiting = [one.partition("/")[2] for one in visit.people("Location")][:1]
    for _ in range(3):
        found = await world.store.resources.get("Location", waiting[0]) if waiting else None
        if found is None or found.deleted:
            break
        resource = parse(found.body)
        name = name or resource.get("name", "")
        address = address or _address(resource.get("address") or {})
        waiting = [one.partition("/")[2] for one in [str((resource.get("partOf") or {}).get("reference", ""))] if one]
        if address:
            break
    return name, address


def _address(address: Mapping[str, Any]) -> str:
    if address.get("text"):
        return str(address["text"])
    town = " ".join(filter(None, (address.get("postalCode", ""), address.get("city", ""))))
    return ", ".join(filter(None, (*address.get("line", ()), town)))


def _service(visit: Visit) -> str:
    for concept in visit.resource.get("serviceType", ()):
        texts = [concept.get("text"), *(one.get("display") for one in concept.get("coding", ()))]
        if said := next(filter(None, texts), ""):
            return str(said)
    return ""


async def _practitioner(world: World, visit: Visit) -> str:
    for one in visit.people("Practitioner"):
        found = await world.store.resources.get("Practitioner", one.partition("/")[2])
        names = parse(found.body).get("name", ()) if found and not found.deleted else ()
        for name in names:
            parts = (*name.get("prefix", ()), *name.get("given", ()), name.get("family", ""))
            return str(name.get("text") or " ".join(filter(None, parts)))
    return ""


def _kept(text: str) -> str:
    """What the record keeps: without links, which are keys."""
    return _URL.sub("…", text)


def _email(world: World, one: Written) -> Composed:
    secure = world.settings.issuer.startswith("https:")
    said = one.said
    ended = one.kind in ENDED
    message = Email(
        one.id,
        one.receiver.emails[0],
        said.subject,
        said.text,
        said.html,
        _calendar(world, one) if ended or one.kind in CALENDAR else b"",
        "CANCEL" if ended else "REQUEST",
        one.facts.unsubscribe if secure else "",
    )
    return Composed((message,), ("",), _kept(f"{said.subject}\n\n{said.text}"))


def _calendar(world: World, one: Written) -> bytes:
    """The same UID for all of an appointment's life; each move counts, and so does its end."""
    ended, host = one.kind in ENDED, urlsplit(world.settings.issuer).hostname or "localhost"
    name, address = parseaddr(world.settings.mail_from)
    return calendar(
        one.entry,
        "CANCEL" if ended else "REQUEST",
        sequence=one.visit.moves + ended,
        uid=f"{one.visit.id}@{host}",
        organizer=(one.facts.clinic or name, address or f"noreply@{host}"),
        zone=one.visit.zone,
        now=_at(world.now()),
    )


def _text(world: World, one: Written) -> Composed:
    callback = f"{world.settings.issuer}{STATUS_HOOK}?id={one.id}"
    return Composed((Text(one.id, one.receiver.texts[0], one.said.sms, callback),), ("",), _kept(one.said.sms))


def _call(world: World, one: Written) -> Composed:
    root, said = world.settings.issuer, one.said
    answer = f"{root}{VOICE_HOOK}?id={one.id}" if one.kind in {"confirmation-request", "waitlist-offer"} else ""
    callback = f"{root}{STATUS_HOOK}?id={one.id}"
    call = Call(one.id, one.receiver.numbers[0], said.voice, said.language, answer, callback)
    return Composed((call,), ("",), said.voice)


def _push(world: World, one: Written) -> Composed:
    said, link = one.said, one.facts.confirm or one.facts.reschedule
    seconds = max(60, min(4 * 3600, one.visit.start - world.now()))
    messages = tuple(
        Push(f"{one.id}.{number}", device.token, said.push_title, said.push_body, link, seconds)
        for number, device in enumerate(one.receiver.devices, 1)
    )
    kinds = tuple(device.kind for device in one.receiver.devices)
    return Composed(messages, kinds, f"{said.push_title}\n{said.push_body}")

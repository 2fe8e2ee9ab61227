"""Answers by text message: what the words mean, which appointment they are about, and what is said back.

A number stands for whoever it was written to, or for whoever states it. Where an answer could mean several
appointments near each other it is asked once which one, and the question is remembered; what is not understood is
asked back once, and then left alone. A message that comes twice gets the same reply and has one effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fhir_server.errors import Problem
from fhir_server.log import get_logger
from fhir_server.messages.facts import Choice, Facts
from fhir_server.messages.rendering import render
from fhir_server.messages.segments import plain
from fhir_server.messages.templates import LANGUAGES, Kind
from fhir_server.remote.reports import InboundText
from fhir_server.search.query import TokenIn
from fhir_server.services.reminders import acts, links, offers
from fhir_server.services.reminders.contents import Clinic, clinic_of, clinic_of_patient, facts_of, zone_of
from fhir_server.services.reminders.people import Person, e164, person, receiver, records
from fhir_server.services.reminders.replies import Reply, reply
from fhir_server.services.reminders.visits import Visit
from fhir_server.services.reminders.words import Act, Answer, answer_of
from fhir_server.services.world import World
from fhir_server.store.conversations import About, Conversation, Question
from fhir_server.store.search import to_filter

NEAR_SECONDS = 7 * 86400
"""Appointments that lie nearer to each other than this can be taken for each other."""

REMEMBERED_SECONDS = 86400
"""How long a question stays open, and after how long somebody is asked back again."""

ABOUT = frozenset({"confirm", "reschedule", "cancel", "decline"})
"""What is answered about an appointment, or a time that is offered."""

AHEAD_SECONDS = 60 * 86400
MOST = 9
BY = "text-message"

log = get_logger("answers")


@dataclass(frozen=True, slots=True)
class Option:
    """An appointment that an answer may be about, and for whom."""

    about: About
    visit: Visit
    person: Person
    clinic: Clinic

    @property
    def offered(self) -> bool:
        """Whether it is a time that is offered from the waitlist, and not booked."""
        return self.visit.status != "booked"

    @property
    def confirmed(self) -> bool:
        """Whether the patient has said already that they come."""
        return not self.offered and self.visit.patients.get(self.person.reference) == "accepted"


@dataclass(frozen=True, slots=True)
class Said:
    """The reply, and what stays open after it."""

    text: str
    question: Question | None = None
    asked: int | None = None


async def hear(world: World, text: InboundText) -> str:
    """What is answered to a text message; empty for nothing."""
    number = e164(text.from_, world.settings.phone_prefix)
    if not number:
        return ""
    async with world.store.units.turns.take([f"text|{number}"]):
        talk = await world.store.conversations.get(number)
        if (known := talk.reply_to(text.message_id)) is not None:
            return known
        said = await _answer(world, talk, number, text)
        await world.store.conversations.answered(
            talk, text.message_id, said.text, world.now(), question=said.question, asked=said.asked
        )
        return said.text


async def _answer(world: World, talk: Conversation, number: str, text: InboundText) -> Said:
    answer = answer_of(text.text)
    people = list(dict.fromkeys([*(one.patient for one in reversed(talk.about)), *await _owners(world, number)]))
    if answer.act == "help":
        return await _help(world, people, answer.language)
    closed = await _closed(world, people)
    if answer.act == "start":
        return await _opt(world, people, answer.language, permitted=True)
    said = (
        await _opt(world, people, answer.language, permitted=False)
        if answer.act == "stop"
        else await _understood(world, talk, people, answer, text.message_id)
    )
    # Whoever wants no texts gets none, not even about what their answer did.
    return Said("", talk.question, talk.asked) if closed else said


async def _understood(world: World, talk: Conversation, people: Sequence[str], answer: Answer, message_id: str) -> Said:
    """What an answer about an appointment does."""
    options = [_spoken(one, answer.language) for one in await _options(world, talk, people)]
    offered = [one for one in options if one.offered]
    question = talk.question
    if question and question.at + REMEMBERED_SECONDS <= world.now():
        question = None
    act: Act = question.act if question and answer.act == "number" else answer.act  # type: ignore[assignment]
    if act in ABOUT and not offered and (over := await _over(world, talk, options, answer, act)):
        return over
    if act == "decline":
        # Nothing but an offer can be declined, whatever else is near.
        if not offered:
            return await _ask_back(world, talk, options)
        options = offered
    if act in ABOUT:
        listed = _listed(question, options) if question and answer.number else None
        return await _choose(world, talk, options, listed, act, answer.number, message_id)
    return await _ask_back(world, talk, options)


async def _choose(
    world: World,
    talk: Conversation,
    options: Sequence[Option],
    listed: Sequence[Option | None] | None,
    act: Act,
    number: int,
    message_id: str,
) -> Said:
    """Do it for the appointment that is meant, or ask which one that is.

    :param listed: what was listed when somebody was asked, None where an appointment is over meanwhile.
    """
    if not options:
        return Said("") if not talk.about else await _nothing(world, talk)
    near = list(options) if act == "decline" else _near(options, act)
    if listed is not None:
        chosen = listed[number - 1] if 0 < number <= len(listed) else None
    else:
        chosen = near[0] if len(near) == 1 else near[number - 1] if 0 < number <= len(near) else None
    if chosen is not None:
        return Said(await _do(world, chosen, act, message_id))
    question = Question(act, tuple(one.about for one in near), world.now())
    return Said(await _which(near, options), question)


async def _do(world: World, option: Option, act: Act, message_id: str) -> str:
    who = acts.Patient(option.person.reference, BY)
    visit = option.visit
    try:
        if option.offered:
            accepts = act == "confirm"
            if act == "reschedule":
                return _reply(option, "failed")
            await acts.answer_offer(world, who, visit.id, visit.start, accepts=accepts)
            return await _said(world, option, "booked") if accepts else _reply(option, "declined")
        if act == "confirm":
            await acts.confirm(world, who, visit.id)
            return await _said(world, option, "confirmed")
        if act == "cancel":
            await acts.cancel(world, who, visit.id)
            return await _said(world, option, "cancelled")
    except Problem as refused:
        code = refused.issues[0].code if refused.issues else ""
        log.info("an answer had no effect", act=act, reason=code or refused.category.issue_code)
        return _reply(option, "too-late" if code == "cutoff-passed" else "failed")
    about = links.About(message_id, visit.id, option.person.reference, visit.start)
    return _reply(option, "other-time", link=await links.make(world, about, "reschedule", visit.start))


def _reply(option: Option, which: Reply, link: str = "") -> str:
    clinic = option.clinic
    return plain(reply(which, option.person.language, clinic=clinic.name, phone=clinic.phone, link=link))


async def _said(world: World, option: Option, kind: Kind) -> str:
    facts = await facts_of(world, option.visit, option.clinic)
    zone = zone_of(option.visit, option.person)
    return render(kind, option.person.language, facts, option.clinic.texts, zone).sms


async def _which(near: Sequence[Option], options: Sequence[Option]) -> str:
    """The question which appointment is meant; whose it is is said only where several people share the number."""
    several = len({one.person.reference for one in options}) > 1
    first = near[0]
    choices = []
    for number, one in enumerate(near, 1):
        name = one.person.given if several else ""
        choices.append(Choice(number, datetime.fromtimestamp(one.visit.start, UTC), name))
    facts = Facts(first.clinic.name, phone=first.clinic.phone, choices=tuple(choices))
    zone = zone_of(first.visit, first.person)
    return render("which-appointment", first.person.language, facts, first.clinic.texts, zone).sms


async def _ask_back(world: World, talk: Conversation, options: Sequence[Option]) -> Said:
    """Once, and with the words of the offer that was told last; somebody who goes on talking talks to nobody."""
    recently = talk.asked is not None and talk.asked + REMEMBERED_SECONDS > world.now()
    if recently or not options:
        return Said("", talk.question, talk.asked)
    latest = max(options, key=lambda one: one.about.at)
    if latest.offered:
        return Said(await _said(world, latest, "waitlist-offer"), talk.question, world.now())
    facts = Facts(latest.clinic.name, phone=latest.clinic.phone)
    text = render("not-understood", latest.person.language, facts, latest.clinic.texts, latest.visit.zone).sms
    return Said(text, talk.question, world.now())


async def _nothing(world: World, talk: Conversation) -> Said:
    """Whoever we wrote to is told that there is nothing to answer any more."""
    last = talk.about[-1]
    who = await person(world, world.store.resources, last.patient)
    if who is None:
        return Said("")
    clinic = await clinic_of_patient(world, last.patient)
    return Said(plain(reply("nothing", who.language, clinic=clinic.name, phone=clinic.phone)))


async def _over(world: World, talk: Conversation, options: Sequence[Option], answer: Answer, act: Act) -> Said | None:
    """What is said to somebody who answers an offer that is over; None if they mean something else.

    With nothing else to answer that is what they mean. Else it is within a day, and said once: whoever then says
    it again means what they have.
    """
    last = talk.about[-1] if talk.about else None
    found = await world.store.resources.get("Appointment", last.appointment) if last else None
    if last is None or found is None or not (outcome := offers.ended(world, found, last.patient)):
        return None
    who = await person(world, world.store.resources, last.patient)
    if who is None:
        return None
    clinic = await clinic_of_patient(world, last.patient)
    language = _language(who.language, answer.language)
    text = plain(reply("offer-over", language, clinic=clinic.name, phone=clinic.phone))
    if options:
        meant = act in {"confirm", "decline"} and not answer.number and outcome != "declined"
        recent = last.at + REMEMBERED_SECONDS > world.now()
        if not meant or not recent or (talk.heard and talk.heard[-1][1] == text):
            return None
    return Said(text, None, talk.asked)


async def _help(world: World, people: Sequence[str], language: str) -> Said:
    """Who writes, which words are understood, and whom to call."""
    for patient in people:
        who = await person(world, world.store.resources, patient)
        if who is not None:
            clinic = await clinic_of_patient(world, patient)
            spoken = _language(who.language, language)
            return Said(plain(reply("help", spoken, clinic=clinic.name, phone=clinic.phone)))
    return Said("")


async def _opt(world: World, people: Sequence[str], language: str, *, permitted: bool) -> Said:
    """No texts any more, or texts again, for everybody at the number.

    :param language: of the word, empty where it may be any.
    """
    text = ""
    for patient in people:
        who = await person(world, world.store.resources, patient)
        if who is None:
            continue
        await acts.opt(world, acts.Patient(patient, BY), "sms", permitted=permitted)
        facts = Facts((await clinic_of_patient(world, patient)).name)
        kind: Kind = "opted-in" if permitted else "opted-out"
        text = text or render(kind, _language(who.language, language), facts, None, world.zone).sms
    return Said(text)


async def _closed(world: World, people: Sequence[str]) -> bool:
    """Whether everybody at the number said that they want no texts."""
    known = await records(world, world.store.resources, people)
    found = [who for one in people if (who := receiver(world, one, known.get(one)))]
    return bool(found) and all("sms" in one.declined for one in found)


def _language(language: str, words: str) -> str:
    """The language to answer somebody in: that of their words where these are of one, if they speak one of ours."""
    return words if words and language in LANGUAGES else language


def _spoken(option: Option, words: str) -> Option:
    """The option for somebody who answered in these words' language."""
    return replace(option, person=replace(option.person, language=_language(option.person.language, words)))


async def _owners(world: World, number: str) -> list[str]:
    """Patients who state the number, written as numbers are written between machines."""
    digits = number.removeprefix("+")
    ways = tuple(f"={one}" for one in (number, digits, f"tel:{number}"))
    clause = TokenIn(world.definitions.of("Patient")["phone"], ways)
    rows = await world.store.resources.find("Patient", to_filter((clause,)), limit=MOST, fields={"_id": 1})
    return [f"Patient/{one['_id']}" for one in rows]


async def _options(world: World, talk: Conversation, people: Sequence[str]) -> list[Option]:
    """Appointments ahead that were written about, the earliest first; else all that these people have."""
    now = world.now()
    found = [option for one in talk.about if (option := await _option(world, one))]
    if not found:
        for patient in people:
            where = {
                "idx.actor": patient, "idx.status": "=booked",
                "idx.date.l": {"$gte": now * 1000, "$lt": (now + AHEAD_SECONDS) * 1000},
            }  # fmt: skip
            rows = await world.store.resources.find("Appointment", where, limit=MOST, fields={"_id": 1})
            abouts = [About(one["_id"], patient, now) for one in rows]
            found += [option for one in abouts if (option := await _option(world, one))]
    return sorted(found, key=lambda one: (one.visit.start, one.about.appointment, one.about.patient))[:MOST]


async def _option(world: World, about: About) -> Option | None:
    visit = await acts.seen(world, acts.Patient(about.patient, BY), about.appointment)
    if visit is None or visit.start <= world.now():
        return None
    offer_ends = offers.until(visit) if visit.status == "pending" else None
    if visit.status != "booked" and (offer_ends is None or offer_ends <= world.now()):
        return None
    who = await person(world, world.store.resources, about.patient, visit)
    return Option(about, visit, who, await clinic_of(world, visit)) if who else None


def _near(options: Sequence[Option], act: Act) -> list[Option]:
    """Those that could be meant: what the last message was about, and what lies near to it.

    A yes to a time that was offered last means that time, where all else is confirmed already.
    """
    latest = max(options, key=lambda one: one.about.at)
    found = [one for one in options if abs(one.visit.start - latest.visit.start) < NEAR_SECONDS]
    if act == "confirm" and latest.offered and all(one.confirmed for one in found if one is not latest):
        return [latest]
    return found


def _listed(question: Question, options: Sequence[Option]) -> list[Option | None]:
    """The options of a question in their order; None for one that is over."""
    known = {(one.about.appointment, one.about.patient): one for one in options}
    return [known.get((one.appointment, one.patient)) for one in question.options]

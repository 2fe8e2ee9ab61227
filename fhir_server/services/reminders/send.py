"""Performer of ``reminder``: what is due is looked at once more, put into words and handed to a channel.

Everything is read anew when it is sent, so nothing goes out for what was moved, cancelled or declined meanwhile. The
try is noted before it is made, under the id that the message has outside: after a crash it is made again under the same
one. A channel that does not take it gives way to the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.log import get_logger
from fhir_server.remote.sending import NotSent, Sent
from fhir_server.scheduling.reminders import LAST_MINUTE, after_quiet
from fhir_server.services.following.performance import Again
from fhir_server.services.reminders import communications, contents, delivery, offers, requests
from fhir_server.services.reminders.notices import NOTICE
from fhir_server.services.reminders.offers import OFFER
from fhir_server.services.reminders.people import Person, person
from fhir_server.services.reminders.requests import TYPE, Request
from fhir_server.services.reminders.visits import Visit, visit_of
from fhir_server.services.world import World
from fhir_server.store.conversations import About
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit
from fhir_server.store.work import Task

TRIES = 4
"""Attempts at one channel that is away, before the next has its turn."""

FIRST_PAUSE_MS = 20_000
LATE = 300
"""Seconds after its time from which a message must look at quiet hours itself."""

log = get_logger("reminders")


@dataclass(frozen=True, slots=True)
class Ready:
    """A message that is to be sent now; ``was`` is the visit before it was moved."""

    request: Request
    visit: Visit
    receiver: Person
    was: Visit | None = None


async def send(world: World, task: Task) -> Again | None:
    """Send one message, if it still holds."""
    found = await world.store.resources.get(TYPE, task.key)
    if found is None or found.deleted:
        return None
    request = requests.read(found)
    if request.status != "active":
        return None
    ready = await _look(world, request)
    if isinstance(ready, Again):
        return ready
    if isinstance(ready, str):
        await _drop(world, task, request, ready)
        return None
    return await _by_channels(world, task, ready)


async def _look(world: World, request: Request) -> Ready | Again | str:
    """The message with everything around it; when to look again; or why it is not sent."""
    found = await _visit(world, request)
    if isinstance(found, str):
        return found
    visit, was = found
    now = world.now()
    if visit.start <= now:
        return "the appointment has begun"
    status = visit.patients.get(request.patient, "declined")
    if status == "declined":
        return "the patient does not take part"
    receiver = await person(world, world.store.resources, request.patient, visit)
    if receiver is None:
        return "the patient's record is not active"
    if request.kind in {NOTICE, OFFER}:
        return Ready(request, visit, receiver, was)
    if request.kind == "confirmation-request" and status == "accepted":
        return "it is confirmed already"
    if now - request.due > LATE:
        if await _is_outdated(world, request, now):
            return "a later message is due as well"
        later = after_quiet(now, visit.quiet, receiver.zone_for(visit))
        if later is None or later > visit.start - LAST_MINUTE:
            return "it is too late, and quiet hours"
        if later > now:
            return Again(later * 1000, reason="quiet hours")
    return Ready(request, visit, receiver)


async def _visit(world: World, request: Request) -> tuple[Visit, Visit | None] | str:
    """The visit that a message speaks of, as it was booked, and the one before it was moved."""
    name, _, version = request.key.rpartition("-")
    current = await world.store.resources.get("Appointment", request.appointment)
    if current is None:
        return "the appointment is not there"
    now = await visit_of(world, current)
    if request.kind == OFFER:
        return await _offer(world, request, current, now)
    if request.kind == NOTICE and name in {"cancelled", "released"}:
        if now is not None and now.status == "booked":
            return "the appointment is booked again"
        booked = await world.store.resources.version("Appointment", request.appointment, int(version) - 1)
        before = await visit_of(world, booked) if booked else None
        return (before, None) if before else "the appointment has no time"
    if now is None or now.status != "booked" or not request.is_for(now.start):
        return "the appointment was moved or is over"
    was = None
    if name == "moved" and request.kind == NOTICE:
        former = await world.store.resources.version("Appointment", request.appointment, int(version) - 1)
        was = await visit_of(world, former) if former else None
    return now, was


async def _offer(
    world: World, request: Request, current: Stored, now: Visit | None
) -> tuple[Visit, Visit | None] | str:
    """The visit that is offered, or was."""
    name, _, version = request.key.rpartition("-")
    if name == offers.ENDED:
        offered = await world.store.resources.version("Appointment", request.appointment, int(version))
        before = await visit_of(world, offered) if offered else None
        return (before, None) if before else "the offer is not there"
    if now is None or not request.is_for(now.start) or not offers.is_open(current, now, now.start, world.now()):
        return "the offer is over"
    return now, None


async def _is_outdated(world: World, request: Request, now: int) -> bool:
    """Whether another message about the appointment was due after this one and before now."""

    async def look(unit: Unit) -> bool:
        others = await requests.of_appointment(world, unit, request.appointment)
        return any(
            one.status == "active" and one.kind != NOTICE and one.patient == request.patient and
            request.due < one.due <= now
            for one in others.values()
        )  # fmt: skip

    return await world.store.units.run(look, now=now)


async def _by_channels(world: World, task: Task, ready: Ready) -> Again | None:
    request = ready.request
    tried = await communications.tries(world, request)
    usable = ready.receiver.usable(ready.visit.policy.consent_required)
    for medium in request.media:
        known = communications.status(tried[medium]) if medium in tried else ""
        if known == "completed":
            return await _done(world, task, ready, medium, None, "")
        if known == "not-done" or medium not in usable or not delivery.is_on(world, medium):
            continue
        await _intend(world, request, medium)
        made = await contents.compose(world, request, ready.visit, ready.receiver, medium, was=ready.was)
        try:
            sent = await delivery.hand_over(world, made)
        except NotSent as refused:
            if not refused.permanent and task.attempts % TRIES:
                return _again(world, task, refused)
            await _failed(world, request, medium, refused)
            continue
        return await _done(world, task, ready, medium, sent, made.said)
    await _drop(world, task, request, "no channel took it")
    return None


def _again(world: World, task: Task, refused: NotSent) -> Again:
    pause = FIRST_PAUSE_MS * 2 ** (task.attempts % TRIES - 1)
    wait = max(pause, min(refused.retry_after or 0, 3600) * 1000)
    return Again(world.clock() + wait, kept=True, reason=refused.reason)


async def _intend(world: World, request: Request, medium: str) -> None:
    async def work(unit: Unit) -> None:
        await communications.intend(world, unit, request, medium, world.clock())

    await world.store.units.run(work, now=world.now())


async def _failed(world: World, request: Request, medium: str, refused: NotSent) -> None:
    id_ = communications.id_of(request.id, medium)
    log.info("a channel did not take a message", medium=medium, reason=refused.reason)

    async def work(unit: Unit) -> None:
        event = "unsubscribed" if refused.reason == "unsubscribed" else "failed"
        await communications.note_failed(world, unit, id_, refused.reason, event, world.clock())

    await world.store.units.run(work, now=world.now())


async def _done(world: World, task: Task, ready: Ready, medium: str, sent: Sent | None, said: str) -> Again | None:
    """Note in one unit that it was sent, and that there is nothing left to do.

    :param sent: None if a former attempt noted it.
    """
    request, now = ready.request, world.now()
    id_ = communications.id_of(request.id, medium)

    async def work(unit: Unit) -> bool:
        if sent is not None:
            at = world.clock()
            if not await communications.note_sent(world, unit, id_, sent.provider, sent.message_id, said, at):
                return False
            if medium == "sms":
                about = About(request.appointment, request.patient, now)
                await world.store.conversations.told(unit, ready.receiver.texts[0], about)
        current = await unit.get(TYPE, request.id)
        # One that was withdrawn while it went out stays withdrawn; that it went out is noted all the same.
        if current is not None and not current.deleted and (read := requests.read(current)).status == "active":
            await requests.end(world, unit, read, "completed", world.clock())
            await world.store.work.settle(unit, task)
        return True

    went = await world.store.units.run(work, now=now)
    return None if went else Again(world.clock(), kept=True, reason="the provider reported that it failed")


async def _drop(world: World, task: Task, request: Request, reason: str) -> None:
    """It is not sent, and why is noted."""
    log.info("a message is not sent", kind=request.kind, reason=reason)

    async def work(unit: Unit) -> None:
        current = await unit.get(TYPE, request.id)
        if current is not None and not current.deleted and (read := requests.read(current)).status == "active":
            await communications.abandon(world, unit, read, world.clock())
            await requests.end(world, unit, read, "revoked", world.clock(), reason)
            await world.store.work.settle(unit, task)

    await world.store.units.run(work, now=world.now())

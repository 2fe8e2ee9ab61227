"""Keys in a call: 1 confirms, 2 asks for another time, 3 cancels; of an offer 1 takes the time, 2 does not."""

from __future__ import annotations

from xml.sax.saxutils import escape

from fhir_server.errors import Problem
from fhir_server.fhir.json import parse
from fhir_server.messages.rendering import render
from fhir_server.messages.segments import plain
from fhir_server.messages.templates import Kind
from fhir_server.remote.reports import Keypress
from fhir_server.remote.sending import NotSent
from fhir_server.remote.sms import Text
from fhir_server.remote.voice import gather, say
from fhir_server.services.reminders import acts, delivery, links, requests
from fhir_server.services.reminders.contents import VOICE_HOOK, Clinic, clinic_of, clinic_of_patient, facts_of, zone_of
from fhir_server.services.reminders.offers import OFFER, ended
from fhir_server.services.reminders.people import Person, person
from fhir_server.services.reminders.replies import Reply, reply
from fhir_server.services.reminders.reports import find, request_of
from fhir_server.services.reminders.visits import Visit
from fhir_server.services.world import World

BY = "telephone-key"
_ACTS = {"1": "confirm", "2": "reschedule", "3": "cancel"}
_OFFERED = {"1": "accept", "2": "decline"}
_NOTHING = "<Response><Hangup/></Response>"


async def pressed(world: World, key: Keypress, id_: str, *, again: bool = False) -> str:
    """What Twilio says next (TwiML); a call of which we know nothing ends.

    A key that means nothing, or none, is asked for once more; then the call ends.

    :param id_: our id of the call, from the URL that it was given.
    :param again: whether it was asked once more, from the same URL, which Twilio signs.
    """
    call = await find(world, "twilio", key.message_id, id_)
    request = await world.store.resources.get(requests.TYPE, request_of(call)) if call else None
    if call is None or request is None or request.deleted or not requests.is_ours(parse(request.body)):
        return _NOTHING
    asked = requests.read(request)
    who = acts.Patient(asked.patient, BY)
    visit = await acts.seen(world, who, asked.appointment)
    receiver = await person(world, world.store.resources, asked.patient, visit)
    if receiver is None:
        return _NOTHING
    if visit is None:
        return await _gone(world, asked, receiver)
    clinic = await clinic_of(world, visit)
    act = (_OFFERED if asked.kind == OFFER else _ACTS).get(key.digits, "")
    if not asked.is_for(visit.start):
        return _last(receiver, _reply("moved-on", receiver, clinic))
    if act:
        return _last(receiver, await _words(world, asked, visit, receiver, clinic, act))
    if again:
        return _last(receiver, _reply("no-key", receiver, clinic))
    said = await _rendered(
        world, "waitlist-offer" if asked.kind == OFFER else "not-understood", visit, receiver, clinic
    )
    url = f"{world.settings.issuer}{VOICE_HOOK}?id={call.id}&again=1"
    return f"<Response>{gather(said, receiver.language, url)}<Redirect>{escape(url)}</Redirect></Response>"


async def _gone(world: World, asked: requests.Request, receiver: Person) -> str:
    """The end of a call about an appointment that has no time any more: an offer that is over is said to be."""
    found = await world.store.resources.get("Appointment", asked.appointment)
    if asked.kind != OFFER or found is None or not ended(world, found, asked.patient):
        return _NOTHING
    return _last(receiver, _reply("offer-over", receiver, await clinic_of_patient(world, asked.patient)))


async def _words(
    world: World, asked: requests.Request, visit: Visit, receiver: Person, clinic: Clinic, act: str
) -> str:
    """Do it; what is said of that."""
    who = acts.Patient(receiver.reference, BY)
    try:
        if act in {"accept", "decline"}:
            accepts = act == "accept"
            await acts.answer_offer(world, who, visit.id, visit.start, accepts=accepts)
            return await _rendered(world, "booked", visit, receiver, clinic) if accepts else _reply(
                "declined", receiver, clinic
            )  # fmt: skip
        if act == "confirm":
            await acts.confirm(world, who, visit.id)
            return await _rendered(world, "confirmed", visit, receiver, clinic)
        if act == "cancel":
            await acts.cancel(world, who, visit.id)
            return await _rendered(world, "cancelled", visit, receiver, clinic)
    except Problem as refused:
        late = any(one.code == "cutoff-passed" for one in refused.issues)
        return _reply("too-late" if late else "failed", receiver, clinic)
    texted = await _text_link(world, asked, visit, receiver, clinic)
    return _reply("texted" if texted else "call-us", receiver, clinic)


async def _rendered(world: World, kind: Kind, visit: Visit, receiver: Person, clinic: Clinic) -> str:
    facts = await facts_of(world, visit, clinic)
    return render(kind, receiver.language, facts, clinic.texts, zone_of(visit, receiver)).voice


def _reply(which: Reply, receiver: Person, clinic: Clinic) -> str:
    return reply(which, receiver.language, clinic=clinic.name, phone=clinic.phone)


async def _text_link(world: World, asked: requests.Request, visit: Visit, receiver: Person, clinic: Clinic) -> bool:
    """Send a link to other times to the phone; False where that cannot be."""
    if "sms" not in receiver.usable(visit.policy.consent_required) or world.channels.sms is None:
        return False
    about = links.About(f"{asked.id}-key", visit.id, receiver.reference, visit.start)
    link = await links.make(world, about, "reschedule", visit.start)
    text = plain(reply("other-time", receiver.language, clinic=clinic.name, phone=clinic.phone, link=link))
    message = Text(f"{asked.id}-key", receiver.texts[0], text)
    try:
        await delivery.hand_over(world, delivery.Composed((message,), ("",), text))
    except NotSent:
        return False
    return True


def _last(receiver: Person, text: str) -> str:
    """What is said before the call ends."""
    return f"<Response>{say(text, receiver.language)}<Hangup/></Response>"

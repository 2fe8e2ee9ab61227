"""What providers report of a message: it is noted with the try, and where it failed the next channel has its turn.

A report that comes again changes nothing, and one that names no message of ours is no fault of whoever sent it.
What was delivered stays so: a failure that is reported later is noted, and sends nothing again.
"""

from __future__ import annotations

from fhir_server.fhir.json import parse
from fhir_server.fhir.types import is_id
from fhir_server.remote.reports import Report
from fhir_server.search.query import TokenIn
from fhir_server.services.reminders import acts, communications, requests
from fhir_server.services.reminders.communications import PROVIDER_SYSTEM, TYPE
from fhir_server.services.reminders.people import MEDIUM_SYSTEM
from fhir_server.services.world import World
from fhir_server.store.resources import Stored, stored
from fhir_server.store.search import to_filter
from fhir_server.store.unit import Unit

ARRIVED = frozenset({"delivered", "opened", "clicked"})


async def note(world: World, report: Report, provider: str, *, id_: str = "") -> bool:
    """Note a report; False if it is about nothing of ours.

    :param id_: our id of the message, where the provider gives it back; else the provider's own is looked up.
    """
    found = await find(world, provider, report.message_id, id_ or report.id)
    if found is None:
        return False
    at = int(report.at.timestamp() * 1000)
    failed = report.status in {"failed", "bounced"} or (report.status == "unsubscribed" and provider == "twilio")

    async def work(unit: Unit) -> None:
        if not failed:
            await communications.note_event(world, unit, found.id, report.status, at, received=report.status in ARRIVED)
            return
        current = await unit.get(TYPE, found.id)
        if current is None or current.deleted or communications.status(current) == "not-done":
            return
        if "received" in parse(current.body):
            await communications.note_event(world, unit, found.id, report.status, at, received=False)
            return
        await communications.note_failed(world, unit, found.id, report.cause, report.status, at)
        await _next(world, unit, found)

    await world.store.units.run(work, now=world.now())
    if report.status == "unsubscribed":
        await _opt_out(world, found)
    return True


async def find(world: World, provider: str, message_id: str, id_: str) -> Stored | None:
    """The try that a report is about."""
    if id_:
        found = await world.store.resources.get(TYPE, id_) if is_id(id_) else None
        return found if found and not found.deleted else None
    if not message_id:
        return None
    value = f"{PROVIDER_SYSTEM}{provider}|{message_id}"
    clause = TokenIn(world.definitions.of(TYPE)["identifier"], (value,))
    rows = await world.store.resources.find(TYPE, to_filter((clause,)), limit=1, fields={"idx": 0})
    return stored(TYPE, rows[0]) if rows else None


async def _next(world: World, unit: Unit, failed: Stored) -> None:
    """Let the message go by its next channel, unless one has it."""
    id_ = request_of(failed)
    request = await unit.get(requests.TYPE, id_) if id_ else None
    if request is None or request.deleted:
        return
    known = requests.read(request)
    if known.status != "completed":
        return
    for medium in known.media:
        other = await unit.get(TYPE, communications.id_of(id_, medium))
        if other is not None and not other.deleted and communications.status(other) == "completed":
            return
    await requests.end(world, unit, known, "active", world.clock())
    about = {"appointment": known.appointment}
    await world.store.work.plan(unit, requests.REMINDER, id_, world.clock(), about)


async def _opt_out(world: World, found: Stored) -> None:
    resource = parse(found.body)
    patient = str((resource.get("subject") or {}).get("reference", ""))
    medium = requests.code_of(resource.get("medium", ()), MEDIUM_SYSTEM)
    if patient.startswith("Patient/") and medium:
        await acts.opt(world, acts.Patient(patient, "provider-report"), medium, permitted=False)


def request_of(found: Stored) -> str:
    """The id of the CommunicationRequest that a try is for."""
    named = [str(one.get("reference", "")) for one in parse(found.body).get("basedOn", ())]
    return next((one.partition("/")[2] for one in named if one.startswith(f"{requests.TYPE}/")), "")

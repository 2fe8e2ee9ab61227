"""Checking in by oneself: a link for a quarter of an hour, for one patient's one visit, and their birth date.

A kiosk or the desk asks for the link and shows it as text or QR code; whoever opens it sees nothing of the visit. The
link is random, kept as a digest (``store/links.py``), used once, and ends after a few wrong birth dates.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Literal

from fhir_server.access.caller import Caller, Role
from fhir_server.access.record import MINOR, Access, Accessed, by, stamp
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.scheduling import arrival
from fhir_server.services import answering, attending, visit_windows
from fhir_server.services.access import writes
from fhir_server.services.access.policy import OWN
from fhir_server.services.actors import reference_of
from fhir_server.services.booking import afresh
from fhir_server.services.world import World
from fhir_server.store.links import Link, digest
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

ACT = "checkin"
LIFETIME = 15 * 60
MOST_TRIES = 5
OPERATION = "$checkin"
CLIENT = "checkin-link"
"""What the access record names as the client of who came by a link."""

Outcome = Literal["done", "wrong", "over", "closed", "desk"]
"""``wrong``: another birth date; ``over``: the link ended; ``closed``: not open now; ``desk``: only the staff can."""


async def make(world: World, caller: Caller, id_: str, patient: str = "") -> tuple[str, str, int]:
    """The text of a link to check in, for whom it is (``Patient/1``), and when it ends (epoch seconds).

    :param patient: the participant (``Patient/1``); may be left out where there is one.
    :raises Problem: 403 for patients, 404, 422 for a visit to which nobody can check in now.
    """
    attending.check_staff(caller, "the clinic gives out links to check in")
    found = await writes.reached(world, await world.store.resources.get("Appointment", id_), "u")
    if found is None or found.deleted:
        raise problem(Category.NOT_FOUND, "no such appointment", "Appointment.id")
    resource = parse(found.body)
    if resource["status"] not in arrival.ARRIVALS:
        text = f"an appointment that is {resource['status']} cannot be checked in"
        raise problem(Category.RULE, text, "Appointment.status", "illegal-transition")
    places = attending.patients_of(world, resource, None, patient)
    if len(places) > 1:
        raise problem(Category.REQUIRED, "several patients take part: say which", "patient", "param-missing")
    start, end = visit_windows.times(resource)
    policy = await visit_windows.policy_for(world.own(), resource)
    if arrival.checkin_side(policy, start, end, world.now()) != "inside":
        text = "check-in is not open for this visit"
        raise problem(Category.RULE, text, "Appointment.start", "outside-window")
    who = reference_of(resource["participant"][places[0]].get("actor"), world.bases)
    text, expires = secrets.token_urlsafe(24), world.now() + LIFETIME
    await world.store.links.put(Link(digest(text), ACT, id_, who, start, "", expires))
    return text, who, expires


async def is_open(world: World, text: str) -> bool:
    """Whether a link can still be used."""
    return _usable(world, await world.store.links.get(text))


def _usable(world: World, link: Link | None) -> bool:
    return link is not None and link.act == ACT and link.used is None and link.expires > world.now()


async def use(world: World, text: str, birth_date: str, network: str = "") -> Outcome:
    """Check in by a link.

    :param birth_date: as the person wrote it, ``1980-03-25``.
    """
    link = await world.store.links.get(text)
    if link is None or not _usable(world, link) or not await world.store.links.tried(link, MOST_TRIES):
        return "over"
    caller = Caller(CLIENT, "online", Role.PATIENT, fhir_user=link.patient, persons=(link.patient,))
    found = await world.store.resources.get("Patient", link.patient.partition("/")[2])
    known = str(parse(found.body).get("birthDate", "")) if found and not found.deleted else ""
    if len(known) < 10:
        return "desk"
    if not hmac.compare_digest(known.encode(), birth_date.strip().encode()):
        await world.record.add(_refused(world, caller, link, network))
        return "wrong"
    stamped = world.under(OWN, stamp(caller, OPERATION, "U", "", process=world.record.process, network=network))
    try:
        written = await afresh(lambda: _check_in(stamped, link))
    except Problem as refused:
        if refused.category is not Category.RULE:
            raise
        return "closed" if refused.issues[0].code == "outside-window" else "over"
    await world.store.links.used(link, world.now(), "done")
    shown = Accessed(
        "Appointment", written.id, written.version, tuple(written.extra.get("patients") or ()), written=True
    )
    await world.record.add(by(caller, OPERATION, at=world.clock(), network=network, objects=(shown,)))
    return "done"


async def _check_in(world: World, link: Link) -> Stored:
    """:raises Problem: 422 where it cannot be any more."""

    async def work(unit: Unit) -> Stored:
        before = await unit.get("Appointment", link.appointment)
        if before is None or before.deleted or visit_windows.times(parse(before.body))[0] != link.start:
            raise problem(Category.RULE, "the visit is another one now", "Appointment", "illegal-transition")
        return await attending.checked_in(answering.inside(world, unit), before, attending.Asked())

    return await world.store.units.run(work, now=world.now())


def _refused(world: World, caller: Caller, link: Link, network: str) -> Access:
    return by(
        caller, OPERATION, at=world.clock(), network=network, outcome=MINOR, reason="withheld",
        patients=(link.patient,), query=f"POST /checkin for Appointment/{link.appointment}".encode(),
    )  # fmt: skip

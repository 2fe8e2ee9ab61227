"""Many callers at once, spread over two server processes, and what must hold when they are done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.services.booking import claimed
from fhir_server.services.rebuild import rebuild_calendar
from fhir_server.services.slot_faces import BUSY
from fhir_server.services.world import World
from fhir_server.store.resources import stored
from tests.builders.clinic import Clinic, parameters

Call = Callable[[Any], Awaitable[Any]]


class Rush:
    """Calls that set off together, every second one to the other server."""

    def __init__(self, doors: tuple[Any, Any]) -> None:
        self.doors = doors

    async def __call__(self, calls: Iterable[Call]) -> list[Any]:
        """The HTTP answers, in the order of the calls."""
        return await asyncio.gather(*(call(self.doors[place % 2]) for place, call in enumerate(calls)))


async def crowd(clinic: Clinic, count: int) -> list[str]:
    """References of so many patients."""
    return list(await asyncio.gather(*(clinic.patient(f"p{one}") for one in range(count))))


def book(proposal: str, patient: str, headers: dict[str, str] | None = None, **more: tuple[str, Any]) -> Call:
    """``$book`` of a proposal id."""
    body = parameters(
        appointment=("Uri", f"Appointment/{proposal}"), patient=("Reference", {"reference": patient}), **more
    )
    return lambda door: door.post("Appointment/$book", json=body, headers=headers)


def hold(proposal: str, patient: str, client: str = "") -> Call:
    body = parameters(appointment=("Uri", f"Appointment/{proposal}"), patient=("Reference", {"reference": patient}))
    headers = {"X-Client-Id": client} if client else None
    return lambda door: door.post("Appointment/$hold", json=body, headers=headers)


def post(resource: dict[str, Any], **headers: str) -> Call:
    """``create`` of a resource; ``If_None_Exist`` is the header If-None-Exist."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda door: door.post(resource["resourceType"], json=resource, headers=named)


def appointment(start: str, end: str, *actors: str, **more: Any) -> dict[str, Any]:
    """A booked Appointment of these actors."""
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "start": start,
        "end": end,
        "participant": [{"actor": {"reference": one}, "status": "accepted"} for one in actors],
        **more,
    }


def codes(answers: Iterable[Any]) -> Counter[int]:
    return Counter(one.status_code for one in answers)


def reasons(answers: Iterable[Any]) -> Counter[str]:
    """The first scheduling-issue code of every refusal."""
    return Counter(one.json()["issue"][0]["details"]["coding"][0]["code"] for one in answers if one.status_code >= 400)


def winners(answers: Iterable[Any]) -> list[dict[str, Any]]:
    return [one.json() for one in answers if one.status_code == 201]


def only_winners(answers: list[Any], count: int) -> list[dict[str, Any]]:
    """So many are served; everybody else hears that the time is taken, with what is free instead."""
    assert codes(answers) == {201: count, 409: len(answers) - count}, [codes(answers), _first_odd(answers)]
    for one in answers:
        if one.status_code == 409:
            outcome = one.json()
            assert outcome["issue"][0]["details"]["coding"][0]["code"] == "slot-taken", one.text
            assert outcome["contained"], "a 409 offers what is free"
    return winners(answers)


def _first_odd(answers: Iterable[Any]) -> str:
    return next((one.text for one in answers if one.status_code not in {201, 409}), "")


async def sound(world: World) -> None:
    """The calendar is what the resources hold, no two live claims of one actor collide, every booking has its Slot."""
    report = await rebuild_calendar(world, verify=True)
    assert report.differences == []
    slots = {one["_id"]: stored("Slot", one) async for one in world.store.resources.every("Slot")}
    shown: set[str] = set()
    async for one in world.store.resources.every("Appointment"):
        booking = stored("Appointment", one)
        if not any(entry.expires is None or entry.expires > world.now() for entry in claimed(booking).values()):
            continue
        for reference in booking.extra.get("slots") or ():
            face = slots[reference.removeprefix("Slot/")]
            shown.add(face.id)
            assert not face.deleted
            seats = max(entry.capacity for entry in claimed(booking).values())
            assert seats > 1 or parse(face.body)["status"] in BUSY, f"{reference} of {booking.reference} is shown free"
    for face in slots.values():
        over = face.extra.get("expires") is not None and face.extra["expires"] <= world.now()
        if face.extra.get("wall") and not face.extra.get("claim") and not over:
            assert face.id in shown, f"Slot/{face.id} is busy and no appointment fills it"

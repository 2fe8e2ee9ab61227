"""``$book`` with ``first-available``: a rush of callers over a pool is served whole while the pool has time."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.clinic import Clinic, availability, parameters
from tests.concurrency.rush import Call, Rush, codes, crowd, reasons, sound, winners


def _any(clinic: Clinic, service: str, patient: str) -> Call:
    body = parameters(
        start=("Date", clinic.first.isoformat()),
        end=("Date", clinic.first.isoformat()),
        service=("Reference", {"reference": service}),
        first_available=("Boolean", True),
        patient=("Reference", {"reference": patient}),
    )
    return lambda door: door.post("Appointment/$book", json=body)


@pytest.mark.parametrize(("callers", "minutes"), [(40, 30), pytest.param(400, 3, marks=pytest.mark.soak)])
async def test_everybody_gets_a_time_while_there_is_one(
    client: Any, rush: Rush, world: World, callers: int, minutes: int
) -> None:
    clinic = Clinic(client)
    service = await clinic.service("visit", minutes)
    for name in ("a", "b", "c"):
        open_ = availability("09:00:00", "16:30:00")
        await clinic.schedule(name, [await clinic.practitioner(name)], [service], open_)
    assert (await clinic.find(service=service))["total"] == 45 * 30 // minutes
    answers = await rush([_any(clinic, service, patient) for patient in await crowd(clinic, callers)])
    assert codes(answers) == {201: callers}, reasons(answers)
    taken = {(one["start"], one["slot"][0]["reference"]) for one in winners(answers)}
    assert len(taken) == callers
    # The earliest times went first: nobody was sent to a later one while an earlier one was free.
    starts = sorted(start for start, _ in taken)
    latest = starts[-1]
    free = await clinic.find(service=service, _count="100")
    assert min(one["resource"]["start"] for one in free["entry"] if one["search"]["mode"] == "match") >= latest
    await sound(world)


async def test_a_pool_that_runs_out_says_so(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    service = await clinic.service("visit", 60)
    for name in ("a", "b"):
        open_ = availability("09:00:00", "12:00:00")
        await clinic.schedule(name, [await clinic.practitioner(name)], [service], open_)
    answers = await rush([_any(clinic, service, patient) for patient in await crowd(clinic, 20)])
    assert codes(answers) == {201: 6, 409: 14}
    assert reasons(answers) == {"no-free-time": 14}
    await sound(world)

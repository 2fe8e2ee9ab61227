"""fhirpy, asynchronous, against a server process: read, search, create, update, patch, ``$find``, ``$book``."""

from __future__ import annotations

from typing import Any

import pytest
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from fhir_server.app import Server
from tests.builders.clinic import parameters
from tests.builders.visits import Visits
from tests.tokens import issuer_for


@pytest.fixture
async def fhir(two_servers: tuple[str, str], app: Server) -> AsyncFHIRClient:
    token = await issuer_for(app, two_servers[0]).backend()
    return AsyncFHIRClient(two_servers[0], authorization=f"Bearer {token}")


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


async def test_create_read_update_patch_delete(fhir: AsyncFHIRClient, clinic: Visits) -> None:
    made = fhir.resource("Patient", name=[{"family": clinic.id("Curie"), "given": ["Marie"]}], gender="female")
    await made.save()
    assert (made["id"], made["meta"]["versionId"]) == (made.id, "1")
    read = await fhir.reference("Patient", made.id).to_resource()
    assert read["name"] == made["name"]
    read["birthDate"] = "1867-11-07"
    await read.save()
    assert read["meta"]["versionId"] == "2"
    patched = await fhir.patch("Patient", made.id, active=True, gender=None)
    assert (patched["active"], "gender" in patched, patched["birthDate"]) == (True, False, "1867-11-07")
    await made.patch(active=False)
    assert made["active"] is False
    await made.refresh()
    assert made["meta"]["versionId"] == "4"
    await made.delete()
    with pytest.raises(ResourceNotFound):
        await fhir.get("Patient", made.id)


async def test_search_with_pages_sort_and_include(fhir: AsyncFHIRClient, clinic: Visits) -> None:
    slots = fhir.resources("Slot").search(schedule=f"Schedule/{clinic.id('s')}", start=clinic.first.isoformat())
    found = await slots.limit(5).sort("start").fetch_all()
    assert [one["start"] for one in found[:2]] == [clinic.at("09:00"), clinic.at("09:30")]
    assert len(found) == 16
    booked = await clinic.booked()
    bundle = (
        await fhir.resources("Appointment")
        .search(patient=f"Patient/{clinic.id('pat')}")
        .include("Appointment", "actor")
        .fetch_raw()
    )
    kinds = [one["resource"]["resourceType"] for one in bundle["entry"]]
    assert kinds[0] == "Appointment"
    assert {"Patient", "Practitioner"} <= set(kinds)
    first = await fhir.resources("Appointment").search(patient=f"Patient/{clinic.id('pat')}").first()
    assert first is not None
    assert first.id == booked["id"]


async def test_the_count_is_asked_for(fhir: AsyncFHIRClient, clinic: Visits) -> None:
    await clinic.booked()
    assert await fhir.resources("Appointment").search(patient=f"Patient/{clinic.id('pat')}").count() == 1


async def test_find_book_and_a_refusal(fhir: AsyncFHIRClient, clinic: Visits) -> None:
    asked = {"start": clinic.at("09:00"), "end": clinic.at("12:00"), "service": clinic.visit}
    found = await fhir.execute("Appointment/$find", method="get", params=asked)
    assert found["total"] == 6
    proposal = found["entry"][0]["resource"]["id"]
    wanted = parameters(appointment=("Uri", f"Appointment/{proposal}"), patient=("Reference", clinic.who()))
    booked = await fhir.execute("Appointment/$book", data=wanted)
    assert (booked["status"], booked["start"]) == ("booked", clinic.at("09:00"))
    with pytest.raises(OperationOutcome) as refusal:
        await fhir.execute("Appointment/$book", data=wanted)
    assert refusal.value.resource["issue"][0]["code"] == "conflict"
    appointment = await fhir.reference("Appointment", booked["id"]).to_resource()
    await appointment.patch(status="cancelled")
    assert appointment["status"] == "cancelled"
    assert "09:00" in await clinic.free()


async def test_a_slot_is_blocked_by_a_partial_resource(fhir: AsyncFHIRClient, clinic: Visits) -> None:
    slot = await fhir.resources("Slot").search(schedule=f"Schedule/{clinic.id('s')}", start=clinic.at("10:00")).first()
    assert slot is not None
    await slot.patch(status="busy-unavailable")
    assert "10:00" not in await clinic.free()

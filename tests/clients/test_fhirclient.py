"""fhirclient (SMART's Python client) against a server process: read, search, create, update, ``$find``, ``$book``."""

from __future__ import annotations

from typing import Any

import pytest
from fhirclient import client as smart
from fhirclient.models.appointment import Appointment
from fhirclient.models.bundle import Bundle
from fhirclient.models.humanname import HumanName
from fhirclient.models.parameters import Parameters
from fhirclient.models.patient import Patient
from fhirclient.models.slot import Slot

from fhir_server.app import Server
from tests.builders.clinic import parameters
from tests.builders.visits import Visits
from tests.tokens import issuer_for


@pytest.fixture
async def server(two_servers: tuple[str, str], app: Server) -> Any:
    made = smart.FHIRClient(settings={"app_id": "tests", "api_base": two_servers[0]})
    made.server.session.trust_env = False
    made.server.session.headers["Authorization"] = f"Bearer {await issuer_for(app, two_servers[0]).backend()}"
    return made.server


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


def test_the_capability_statement_is_understood(server: Any) -> None:
    assert server.capabilityStatement.fhirVersion == "4.0.1"
    assert {"Appointment", "Slot"} <= {one.type for one in server.capabilityStatement.rest[0].resource}


async def test_create_read_update_search_delete(server: Any, clinic: Visits) -> None:
    patient = Patient()
    patient.name = [HumanName({"family": clinic.id("Ångström"), "given": ["Ada"]})]
    made = Patient(patient.create(server))
    assert made.id
    read = Patient.read(made.id, server)
    assert read.name[0].family == clinic.id("Ångström")
    read.active = True
    updated = Patient(read.update(server))
    assert (updated.active, updated.meta.versionId) == (True, "2")
    found = Patient.where(struct={"family": clinic.id("angstrom")}).perform_resources_iter(server)
    assert [one.id for one in found] == [made.id]
    updated.origin_server = server
    updated.delete()
    assert list(Patient.where(struct={"family": clinic.id("Ångström")}).perform_resources_iter(server)) == []


async def test_pages_are_followed(server: Any, clinic: Visits) -> None:
    search = Slot.where(
        struct={"schedule": f"Schedule/{clinic.id('s')}", "start": clinic.first.isoformat(), "_count": "5"}
    )
    slots = list(search.perform_resources_iter(server))
    assert len({one.id for one in slots}) == len(slots) == 16
    assert slots[0].start.isostring == clinic.at("09:00")


async def test_find_and_book(server: Any, clinic: Visits) -> None:
    asked = parameters(
        start=("DateTime", clinic.at("09:00")),
        end=("DateTime", clinic.at("12:00")),
        service=("Reference", {"reference": clinic.visit}),
    )
    answer = server.post_json("Appointment/$find", Parameters(asked).as_json())
    found = Bundle(answer.json())
    proposal = found.entry[0].resource
    assert (found.total, proposal.status) == (6, "proposed")
    wanted = parameters(appointment=("Uri", f"Appointment/{proposal.id}"), patient=("Reference", clinic.who()))
    booked = Appointment(server.post_json("Appointment/$book", Parameters(wanted).as_json()).json())
    assert (booked.status, booked.start.isostring) == ("booked", clinic.at("09:00"))
    read = Appointment.read(booked.id, server)
    read.status = "cancelled"
    cancelled = Appointment(read.update(server))
    assert cancelled.status == "cancelled"
    assert "09:00" in await clinic.free()

"""Compartment search: what belongs to a patient. https://hl7.org/fhir/R4/compartmentdefinition-patient.html"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from fhir_server.fhir.types import HELD
from fhir_server.search.query import IdIn, Or, ReferenceIn
from fhir_server.services.compartments import COMPARTMENTS, membership
from fhir_server.services.world import World
from tests.builders.answers import refused
from tests.builders.clinic import Clinic
from tests.builders.searches import found, link, pages, refs

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest_asyncio.fixture(scope="module")
async def clinic(client: Any) -> Clinic:
    """Patients ``a`` and ``b``, each with one of everything that a patient can have; ``c`` has nothing."""
    made = Clinic(client)
    for name in ("a", "b", "c"):
        await made.patient(name)
    await made.practitioner()
    for name in ("a", "b"):
        for resource in _of(f"Patient/{made.id(name)}", f"Practitioner/{made.id('doc')}"):
            await made.put({"id": made.id(f"{name}{resource['resourceType']}"[:20]), **resource})
    return made


def _of(patient: str, doctor: str) -> list[dict[str, Any]]:
    me, by = {"reference": patient}, {"reference": doctor}
    consent = {"scope": {"text": "x"}, "category": [{"text": "x"}], "policyRule": {"text": "x"}}
    return [
        {"resourceType": "Appointment", "status": "proposed",
         "participant": [{"actor": me, "status": "needs-action"}, {"actor": by, "status": "accepted"}]},
        {"resourceType": "Consent", "status": "active", "patient": me, **consent},
        {"resourceType": "Coverage", "status": "active", "beneficiary": {"display": "x"}, "payor": [me]},
        {"resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"}, "subject": me},
        {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": me},
        {"resourceType": "Group", "type": "person", "actual": True, "member": [{"entity": me}]},
        {"resourceType": "RelatedPerson", "patient": me},
        {"resourceType": "Schedule", "actor": [me]},
        {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "performer": [me],
         "subject": {"reference": "Location/x"}},
    ]  # fmt: skip


MEMBERS = [
    "Appointment", "Consent", "Coverage", "Encounter", "Flag", "Group", "Patient", "RelatedPerson", "Schedule",
    "ServiceRequest",
]  # fmt: skip


@pytest.mark.parametrize("type_", MEMBERS)
async def test_one_type(clinic: Clinic, type_: str) -> None:
    mine = clinic.id("a" if type_ == "Patient" else f"a{type_}")
    bundle = await found(clinic.client, f"Patient/{clinic.id('a')}/{type_}")
    assert refs(bundle) == [f"{type_}/{mine}"]
    assert bundle["total"] == 1
    assert bundle["entry"][0]["fullUrl"] == f"http://fhir.test/fhir/{type_}/{mine}"
    assert link(bundle, "self").startswith(f"http://fhir.test/fhir/Patient/{clinic.id('a')}/{type_}?")


async def test_criteria_narrow_and_never_widen(clinic: Clinic) -> None:
    url = f"Patient/{clinic.id('a')}/Appointment"
    assert refs(await found(clinic.client, url, status="booked")) == []
    assert refs(await found(clinic.client, url, patient=f"Patient/{clinic.id('b')}")) == []
    assert refs(await found(clinic.client, url, _id=clinic.id("bAppointment"))) == []
    posted = await clinic.client.post(f"{url}/_search", data={"status": "proposed"}, headers=FORM)
    assert refs(posted.json()) == [f"Appointment/{clinic.id('aAppointment')}"]
    with_doctor = await found(clinic.client, url, _include="Appointment:practitioner")
    assert refs(with_doctor, "include") == [f"Practitioner/{clinic.id('doc')}"]


async def test_everything(clinic: Clinic) -> None:
    url = f"Patient/{clinic.id('a')}/*"
    bundle = await found(clinic.client, url)
    assert [one.partition("/")[0] for one in refs(bundle)] == MEMBERS
    assert not [one for one in refs(bundle) if one.partition("/")[2] == clinic.id("b")]
    parts = await pages(clinic.client, await found(clinic.client, url, _count=3))
    assert [one for part in parts for one in refs(part)] == refs(bundle)
    assert [len(refs(one)) for one in parts] == [3, 3, 3, 1]
    assert link(parts[0], "next").startswith(f"http://fhir.test/fhir/Patient/{clinic.id('a')}/*?")
    some = await found(clinic.client, url, _type="Flag,Patient", _sort="-_lastUpdated")
    assert [one.partition("/")[0] for one in refs(some)] == ["Flag", "Patient"]
    assert refs(await found(clinic.client, url, _id=clinic.id("aFlag"))) == [f"Flag/{clinic.id('aFlag')}"]
    counted = await clinic.client.post(f"{url}/_search", data={"_summary": "count"}, headers=FORM)
    assert counted.json()["total"] == 10
    refused(await clinic.client.get(f"{url}?_type=Slot"), 400)
    refused(await clinic.client.get(f"{url}?status=active"), 400)


async def test_a_token_of_one_compartment_opens_no_other(clinic: Clinic) -> None:
    url = link(await found(clinic.client, f"Patient/{clinic.id('a')}/*", _count=1), "next")
    refused(await clinic.client.get(url.replace(clinic.id("a"), clinic.id("b"))), 400)


async def test_nothing_is_not_nobody(clinic: Clinic, client: Any) -> None:
    empty = await found(client, f"Patient/{clinic.id('c')}/Appointment")
    assert (empty["total"], refs(empty)) == (0, [])
    assert refs(await found(client, f"Patient/{clinic.id('c')}/*")) == [f"Patient/{clinic.id('c')}"]
    for type_ in ("Appointment", "*"):
        refused(await client.get(f"Patient/{clinic.id('nobody')}/{type_}"), 404)
    await clinic.patient("gone")
    await client.delete(f"Patient/{clinic.id('gone')}")
    refused(await client.get(f"Patient/{clinic.id('gone')}/*"), 410)


@pytest.mark.parametrize("type_", ["Slot", "Location", "Practitioner", "HealthcareService", "Organization", "Device"])
async def test_what_is_in_no_compartment(clinic: Clinic, type_: str) -> None:
    refused(await clinic.client.get(f"Patient/{clinic.id('a')}/{type_}"), 404)
    refused(await clinic.client.post(f"Patient/{clinic.id('a')}/{type_}/_search", headers=FORM), 404)


def test_every_parameter_of_the_table_exists(world: World) -> None:
    for compartment, members in COMPARTMENTS.items():
        assert compartment in HELD
        for type_, codes in members.items():
            known = world.definitions.of(type_)
            for code in codes:
                assert known[code].type == "reference"
                assert compartment in known[code].targets, (compartment, type_, code)
            assert codes or type_ == compartment


def test_membership(world: World) -> None:
    definitions = world.definitions
    assert membership(definitions, "Patient", "1", "Slot") is None
    assert membership(definitions, "Encounter", "1", "Patient") is None
    assert membership(definitions, "Practitioner", "1", "Practitioner") == IdIn(("1",))
    actor = ReferenceIn(definitions.of("Appointment")["actor"], ("Device/1",))
    assert membership(definitions, "Device", "1", "Appointment") == actor
    link_ = ReferenceIn(definitions.of("Patient")["link"], ("Patient/1",))
    assert membership(definitions, "Patient", "1", "Patient") == Or((link_, IdIn(("1",))))

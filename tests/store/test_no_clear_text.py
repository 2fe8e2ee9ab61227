"""A thief with the disk: after a full run neither the files of MongoDB nor a dump hold anything that names a patient.

The mongod of this module compresses nothing and logs every command, so that looking for a text in its files means
something; a name of the directory, which stays readable, proves that.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo  # noqa: TID251  the dump is taken as a thief would, without the store
import pytest
from bson.raw_bson import RawBSONDocument

from fhir_server.access.scopes import parse
from fhir_server.app import Server, create_app
from fhir_server.embedded import mongo
from fhir_server.embedded.address import LOOPBACK, free_port
from fhir_server.embedded.binary import UnusableError, on_path
from fhir_server.remote.http import httpx
from fhir_server.settings import Settings
from fhir_server.store import admin
from fhir_server.store.authorization.grants import Grant
from tests.builders.bundles import create, send, update
from tests.builders.clinic import parameters, proposals
from tests.builders.visits import Visits
from tests.server import FHIR_JSON
from tests.tokens import bearer

FAMILY, GIVEN, CHANGED, CITY, LINE = "Zyxomma", "Quilleth", "Vrankester", "Plinthmouth", "7 Wharfinger Row"
BORN, BORN_LATER, PHONE, EMAIL = "1973-11-29", "1973-11-28", "+15550190743", "zyx.quill@marked.example"
MEMBER, MRN, PLACER, REASON, COMMENT = (
    "MRKD-7741-XQ",
    "MRN-889-ZZQ",
    "PLC-3310-QX",
    "zebrine photophobia",
    "whisperplinth",
)
DISPLAY, FLAG, CANCELLED, BLOCKED, KEY = (
    "marked display",
    "bitey temperament",
    "flooded basement",
    "gone ballooning",
    "idem",
)
STRANGER = "SEC-7754-VX"
"""The number of somebody whom no Patient is stored of."""

CRITERIA = "hyvverine"
"""In the criteria of a scope."""

MARKED = (
    FAMILY, GIVEN, CHANGED, CITY, LINE, BORN, BORN_LATER, PHONE, EMAIL, MEMBER, MRN, PLACER, REASON, COMMENT, DISPLAY,
    FLAG, CANCELLED, BLOCKED, STRANGER, CRITERIA,
)  # fmt: skip
DIRECTORY = "Brobdingnagsworth"
"""Names a practitioner."""

OPTIONS = (
    "--wiredTigerCollectionBlockCompressor", "none", "--wiredTigerJournalCompressor", "none",
    "--wiredTigerIndexPrefixCompression", "false", "--nounixsocket", "--slowms", "0", "--profile", "1",
    "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--setParameter", "diagnosticDataCollectionEnabled=false",
)  # fmt: skip


class Disk:
    """A mongod whose files are looked at when it has ended."""

    def __init__(self, folder: Path) -> None:
        try:
            program = on_path("mongod").path
        except UnusableError:
            program = mongo._wheel().path
        self.folder, port = folder, free_port(None)
        address = ["--port", str(port), "--bind_ip", LOOPBACK, "--replSet", admin.REPLICA_SET]
        place = ["--dbpath", str(folder), "--logpath", str(folder / "log")]
        self.process = subprocess.Popen([program, *place, *address, *OPTIONS], stdout=subprocess.DEVNULL)
        with admin.Node(f"mongodb://{LOOPBACK}:{port}/") as node:
            node.become_primary(f"{LOOPBACK}:{port}", 60)
        self.uri = f"mongodb://{LOOPBACK}:{port}/?replicaSet={admin.REPLICA_SET}"

    def dump(self) -> bytes:
        """Every document of every collection of every database, the oplog included."""
        with pymongo.MongoClient(self.uri, document_class=RawBSONDocument) as client:
            client.admin.command("fsync")
            return b"".join(
                one.raw
                for database in client.list_database_names()
                for collection in client[database].list_collection_names()
                if not collection.startswith("system.views")
                for one in client[database][collection].find()
            )

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)

    def files(self) -> dict[str, bytes]:
        return {one.name: one.read_bytes() for one in self.folder.rglob("*") if one.is_file()}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    if made.process.poll() is None:
        made.end()


def _forms(text: str) -> list[bytes]:
    """A text as it could lie somewhere: as it is, folded, without its marks, in UTF-16."""
    folded = text.casefold()
    return [form.encode() for form in {text, folded, re.sub(r"[\s-]", "", folded)}] + [text.encode("utf-16-le")]


def _found(content: bytes) -> list[str]:
    lower = content.lower()
    return [text for text in MARKED if any(form.lower() in lower for form in _forms(text))]


async def _full_run(client: Any) -> None:
    clinic = await Visits(client).opened()
    mrn = {"system": "urn:mrn", "value": MRN}
    patient = {
        "resourceType": "Patient", "id": clinic.id("pat"), "identifier": [mrn], "birthDate": BORN,
        "name": [{"text": f"{GIVEN} {FAMILY}", "family": FAMILY, "given": [GIVEN]}],
        "telecom": [{"system": "phone", "value": PHONE}, {"system": "email", "value": EMAIL}],
        "address": [{"city": CITY, "line": [LINE]}], "contact": [{"name": {"family": FAMILY}}],
        "meta": {"tag": [{"system": "urn:t", "code": "t", "display": DISPLAY}]},
    }  # fmt: skip
    who, doctor = clinic.who(), {"reference": f"Practitioner/{clinic.id('named')}"}
    await clinic.put({"resourceType": "Practitioner", "id": clinic.id("named"), "name": [{"family": DIRECTORY}]})
    await clinic.put(patient)
    reason = [{"text": REASON, "coding": [{"system": "urn:r", "code": "r", "display": DISPLAY}]}]
    for resource in (
        {"resourceType": "Coverage", "status": "active", "beneficiary": who, "subscriberId": MEMBER, "payor": [who],
         "identifier": [{"value": MEMBER}], "dependent": MEMBER,
         "class": [{"type": {"text": "group"}, "value": MEMBER}]},
        {"resourceType": "RelatedPerson", "patient": who, "name": [{"family": FAMILY}], "birthDate": BORN_LATER,
         "telecom": [{"system": "phone", "value": PHONE}]},
        {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": who, "reasonCode": reason,
         "requisition": {"value": MRN}, "code": {"text": REASON}, "note": [{"text": COMMENT}]},
        {"resourceType": "Flag", "status": "active", "code": {"text": FLAG}, "subject": who, "identifier": [mrn]},
        {"resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"}, "reasonCode": reason,
         "subject": {"identifier": mrn, "display": FAMILY, "type": "Patient"}},
        {"resourceType": "Consent", "status": "active", "scope": {"text": REASON}, "patient": who,
         "category": [{"text": REASON}], "policyRule": {"text": COMMENT}, "identifier": [mrn]},
        {"resourceType": "Group", "type": "person", "actual": True, "name": FAMILY, "identifier": [mrn],
         "member": [{"entity": who}], "code": {"text": REASON}},
    ):  # fmt: skip
        answer = await client.post(resource["resourceType"], json=resource)
        assert answer.status_code == 201, answer.text

    free = await clinic.free()
    wanted = {
        "resourceType": "Appointment", "status": "booked", "reasonCode": reason, "comment": COMMENT,
        "description": f"{REASON} of {FAMILY}", "patientInstruction": COMMENT,
        "identifier": [{"value": PLACER, "type": {"coding": [{"code": "PLAC"}]}}, mrn],
    }  # fmt: skip
    booking = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "appointment", "valueUri": f"Appointment/{free['09:00']}"},
            {"name": "patient", "valueReference": {**who, "display": FAMILY}},
        ],
    }
    keyed = {"Idempotency-Key": f"{KEY}-{MEMBER}"}
    first = await client.post("Appointment/$book", json=booking, headers=keyed)
    assert (first.status_code, (await client.post("Appointment/$book", json=booking, headers=keyed)).content) == (
        201, first.content,
    )  # fmt: skip
    plain = clinic.appointment("10:00", "10:30", **{k: v for k, v in wanted.items() if k != "status"})
    posted = await client.post("Appointment", json=plain, headers={"Idempotency-Key": f"{KEY}-2"})
    assert posted.status_code == 201, posted.text
    again = await client.post("Appointment", json=plain)
    assert again.json()["id"] == posted.json()["id"], "the placer's identifier is known"
    number = {"type": "Patient", "identifier": {"system": "urn:mrn", "value": STRANGER}}
    stranger = {"actor": number, "status": "accepted"}
    known = clinic.appointment("16:00", "16:30")
    known["participant"].append(stranger)
    assert (await client.post("Appointment", json=known)).status_code == 201
    assert (await client.post("Appointment", json={**known, "participant": [stranger]})).status_code == 409
    held = await clinic.held("11:00")
    assert (await clinic.act(held["id"], "$release")).status_code in {200, 204}
    moved = parameters(appointment=("Uri", f"Appointment/{free['13:00']}"))
    assert (await client.post(f"Appointment/{posted.json()['id']}/$reschedule", json=moved)).status_code in {200, 201}
    answer = await clinic.act(first.json()["id"], "$cancel", reason=("String", CANCELLED), comment=("String", COMMENT))
    assert answer.status_code == 200, answer.text
    block = {
        "resourceType": "Slot", "id": clinic.id("block"), "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
        "status": "busy-unavailable", "start": clinic.at("15:00"), "end": clinic.at("15:30"), "comment": BLOCKED,
    }  # fmt: skip
    await clinic.put(block)
    response = {"resourceType": "AppointmentResponse", "actor": who, "participantStatus": "accepted",
                "appointment": {"reference": f"Appointment/{posted.json()['id']}"}, "comment": COMMENT}  # fmt: skip
    assert (await client.post("AppointmentResponse", json=response)).status_code == 201

    url = f"Patient/{clinic.id('pat')}"
    patch = [{"op": "replace", "path": "/name/0/family", "value": CHANGED}]
    form = {"Content-Type": "application/json-patch+json"}
    assert (await client.patch(url, json=patch, headers=form)).status_code == 200
    body = {**patient, "id": clinic.id("two"), "birthDate": BORN_LATER}
    answered = await send(
        client, create({**patient, "identifier": [{"value": MEMBER}]}, ifNoneExist=f"identifier={MEMBER}"),
        update(body), create({**wanted, **clinic.appointment("14:00", "14:30"), "identifier": [mrn]}),
        Idempotency_Key=f"{KEY}-bundle",
    )  # fmt: skip
    assert answered.status_code == 200, answered.text
    assert (await client.delete(f"Patient/{clinic.id('two')}")).status_code == 204
    once = {"If-None-Exist": f"identifier=urn:mrn|{MRN}&birthdate={BORN}&family={CHANGED}"}
    assert (await client.post("Patient", json=patient, headers=once)).status_code == 200

    for query in (
        f"Patient?family={CHANGED}&birthdate={BORN}", f"Patient?name={GIVEN}", f"Patient?phone=%2B{PHONE[1:]}",
        f"Patient?email={EMAIL}", f"Patient?identifier=urn:mrn|{MRN}", f"Patient?address-city={CITY}",
        f"Coverage?class-value={MEMBER}", f"Appointment?reason-code:text={REASON}", f"Flag?identifier={MRN}",
        f"Encounter?patient:identifier=urn:mrn|{MRN}", f"Appointment?patient.family={CHANGED}",
        f"Patient?_tag:text={DISPLAY}",
    ):  # fmt: skip
        found = await client.get(query)
        assert found.status_code == 200, found.text
        assert proposals(found.json()), query
    matched = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient}]}
    assert (await client.post("Patient/$match", json=matched)).json()["entry"]
    paged = (await client.get(f"Patient?family={CHANGED}&_count=1&_total=accurate")).json()
    assert paged["total"] >= 1
    history = (await client.get(f"{url}/_history")).json()
    assert FAMILY in str(history)
    assert CHANGED in str(history)
    await doctor_is_found(client, doctor["reference"])


async def doctor_is_found(client: Any, url: str) -> None:
    assert (await client.get(url)).json()["name"] == [{"family": DIRECTORY}]


async def _granted(app: Server) -> None:
    assert app.door.world
    grants = app.door.world.store.authorization.grants
    scopes = parse(f"user/Appointment.rs?reason-code=urn:r|{CRITERIA}")
    await grants.add(Grant("g", "app", "somebody", scopes))
    found = await grants.get("g")
    assert found
    assert found.scopes == scopes


async def test_nothing_that_names_a_patient_lies_in_clear(disk: Disk, redis_url: str, keys: str) -> None:
    settings = Settings(
        mongo_uri=disk.uri, redis_url=redis_url, mongo_database="stolen", environment="development", keys=keys,
        base_url="http://fhir.test/fhir", log_level="error",
    )  # fmt: skip
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://fhir.test/fhir/", timeout=60, auth=bearer(app)
        ) as client:
            client.headers["Content-Type"] = FHIR_JSON
            await _full_run(client)
        await _granted(app)
    dump = disk.dump()
    disk.end()
    files = disk.files()
    assert DIRECTORY.encode() in dump
    assert any(DIRECTORY.encode() in one for name, one in files.items() if name.endswith(".wt")), "files are readable"
    assert any(DIRECTORY.encode() in one for name, one in files.items() if name.startswith("WiredTigerLog"))
    assert _found(dump) == []
    assert {name: found for name, one in files.items() if (found := _found(one))} == {}

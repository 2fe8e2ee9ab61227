"""``batch``: every entry for itself. https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.fhir.models import issues_of
from tests.builders.answers import expressions, refused
from tests.builders.bundles import create, entry, of, reference, send, sent, statuses, update, urn
from tests.builders.clinic import Clinic, parameters
from tests.builders.visits import Visits


@pytest.fixture
def clinic(client: Any) -> Clinic:
    return Clinic(client)


async def test_the_good_and_the_bad_side_by_side(client: Any, clinic: Clinic) -> None:
    url = await clinic.patient()
    tag = (await client.get(url)).headers["ETag"]
    answered = await sent(
        client,
        create({"resourceType": "Patient", "gender": "odd"}),
        entry("GET", url),
        entry("GET", "Patient/never-seen"),
        entry("DELETE", f"Patient/{clinic.id('none')}"),
        update({"resourceType": "Patient", "id": clinic.id("new")}, ifNoneMatch="*"),
        update({"resourceType": "Patient", "id": clinic.id("new"), "active": True}, ifNoneMatch="*"),
        entry("GET", url, ifNoneMatch=tag),
        entry("GET", url, ifModifiedSince="2999-01-01T00:00:00Z"),
        entry("GET", url, ifModifiedSince="2001-01-01T00:00:00Z"),
        entry("HEAD", url),
        entry("GET", f"Patient?_id={clinic.id('new')}"),
        entry("GET", f"{url}/_history/1"),
        entry("GET", "metadata"),
        entry("PUT", "metadata"),
        entry("POST", "Patient"),
        create({"resourceType": "Patient"}, ifNoneExist=f"_id={clinic.id('new')}"),
        kind="batch",
    )
    assert statuses(answered) == [
        400, 200, 404, 204, 201, 412, 304, 304, 200, 200, 200, 200, 200, 405, 400, 200,
    ]  # fmt: skip
    assert answered[0]["response"]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[0].resource.gender"]
    assert answered[1]["resource"]["id"] == clinic.id("pat")
    assert answered[1]["response"]["lastModified"].endswith("Z")
    assert answered[4]["response"]["status"] == "201 Created"
    assert answered[6]["response"]["status"] == "304 Not Modified"
    assert "resource" not in answered[9]
    assert answered[10]["resource"]["total"] == 1
    assert answered[12]["resource"]["resourceType"] == "CapabilityStatement"
    assert answered[15]["resource"]["id"] == clinic.id("new")
    for place, one in enumerate(answered):
        if statuses([one])[0] >= 400:
            assert one["response"]["outcome"]["resourceType"] == "OperationOutcome"
            assert "resource" not in one
            found = one["response"]["outcome"]
            assert all(each.startswith(f"Bundle.entry[{place}]") for each in expressions(found))
    refused(await client.get(f"Patient/{clinic.id('none')}"), 404)


async def test_an_empty_batch(client: Any) -> None:
    assert await sent(client, kind="batch") == []


async def test_patches_and_preferences(client: Any, clinic: Clinic) -> None:
    url = await clinic.patient()
    binary = {"resourceType": "Binary", "contentType": "application/merge-patch+json", "data": "eyJhY3RpdmUiOnRydWV9"}
    patched, other, missing = await sent(
        client, entry("PATCH", url, binary, ifMatch='W/"1"'), entry("PATCH", url, binary, ifMatch='W/"7"'),
        entry("PATCH", "Patient?_id=never-seen", binary), kind="batch", Prefer="return=minimal",
    )  # fmt: skip
    assert statuses([patched, other, missing]) == [200, 412, 404]
    assert "resource" not in patched
    assert (await client.get(url)).json()["active"] is True
    (made,) = await sent(client, create({"resourceType": "Patient"}), kind="batch", Prefer="return=OperationOutcome")
    assert made["response"]["outcome"]["resourceType"] == "OperationOutcome"


async def test_entries_know_nothing_of_each_other(client: Any, clinic: Clinic) -> None:
    name, other = urn(), urn()
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": name}}
    answered = await sent(
        client, create({"resourceType": "Patient"}, name), create(flag),
        create({**flag, "subject": {"reference": other}}),
        create({**flag, "subject": {"reference": "Patient?name=x"}}), kind="batch",
    )  # fmt: skip
    assert statuses(answered) == [201, 400, 201, 400]
    assert expressions(answered[1]["response"]["outcome"]) == ["Bundle.entry[1].resource.subject.reference"]
    assert (await client.get(reference(answered[0]))).status_code == 200


async def test_operations(client: Any) -> None:
    clinic = await Visits(client).opened()
    free = await clinic.free()
    day = clinic.first.isoformat()
    wanted = parameters(appointment=("Uri", f"Appointment/{free['09:00']}"), patient=("Reference", clinic.who()))
    found, booked, taken, listed = await sent(
        client,
        entry("GET", f"Appointment/$find?start={day}&end={day}&service={clinic.visit}"),
        entry("POST", "Appointment/$book", wanted),
        entry("POST", "Appointment/$book", wanted),
        entry("POST", f"Patient/_search?_id={clinic.id('pat')}"),
        kind="batch",
    )
    assert statuses([found, booked, taken, listed]) == [200, 201, 409, 200]
    assert len(found["resource"]["entry"]) == 16
    assert booked["resource"]["status"] == "booked"
    assert taken["response"]["outcome"]["contained"], "it says what is free instead"
    assert listed["resource"]["total"] == 1
    assert "09:00" not in await clinic.free()


async def test_a_schedule_that_an_entry_writes_counts_for_the_next(client: Any) -> None:
    clinic = await Visits(client).opened()
    schedule = await clinic.read(f"Schedule/{clinic.id('s')}")
    day = clinic.first.isoformat()
    find = entry("GET", f"Appointment/$find?start={day}&end={day}&service={clinic.visit}")
    before, _, after = await sent(client, find, update({**schedule, "active": False}), find, kind="batch")
    assert len(before["resource"]["entry"]) == 16
    assert not [one for one in after["resource"].get("entry", ()) if one["search"]["mode"] == "match"]


@pytest.mark.parametrize(
    "url", ["", "/", "http://fhir.test/fhir", "https://elsewhere.example/fhir/Patient", "../x", "//x/Patient", "a:b"]
)
async def test_a_bundle_in_a_bundle_or_another_server_is_400(client: Any, url: str) -> None:
    nested = entry("POST", url, of("batch", [create({"resourceType": "Patient"})]))
    bad, good = await sent(client, nested, create({"resourceType": "Patient"}), kind="batch")
    assert statuses([bad, good]) == [400, 201]
    assert expressions(bad["response"]["outcome"])[0].startswith("Bundle.entry[0].request")


async def test_what_is_no_batch_is_400(client: Any, world: Any) -> None:
    good = create({"resourceType": "Patient"})
    for entries in ([{"resource": {"resourceType": "Patient"}}], [good, 5], [{**good, "resource": None}]):
        refused(await client.post("", json=of("batch", entries)), 400)
    refused(await send(client, good, entry("GET", "Patient/x", ifModifiedSince="2026"), kind="batch"), 400)
    refused(await send(client, good, kind="batch", Idempotency_Key="x"), 400)
    refused(await send(client, *[good] * (world.settings.bundle_limit + 1), kind="batch"), 413)
    refused(await client.post("", content=b"{}"), 400)
    refused(await client.post("", content=b"x", headers={"Content-Type": "text/plain"}), 415)


async def test_the_answer_is_a_valid_bundle(client: Any, clinic: Clinic) -> None:
    url = await clinic.patient()
    for kind in ("batch", "transaction"):
        answer = await send(client, entry("GET", url), create({"resourceType": "Patient"}),
                            entry("DELETE", f"Patient/{clinic.id('none')}"), kind=kind)  # fmt: skip
        assert issues_of(answer.json()) == []

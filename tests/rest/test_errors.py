"""Every refusal below the base is an OperationOutcome that says what is wrong and gives nothing away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.answers import refused
from tests.builders.clinic import Clinic


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "metadata", "GET, HEAD"), ("POST", "metadata", "GET, HEAD"),
        ("POST", "Patient/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("GET", "Patient/_search", "POST"), ("DELETE", "Patient/1/_history", "GET, HEAD"),
        ("GET", "Appointment/$book", "POST"), ("DELETE", "Appointment/$find", "GET, HEAD, POST"),
        ("OPTIONS", "Patient", "DELETE, GET, HEAD, PATCH, POST, PUT"),
        ("BREW", "Patient", "DELETE, GET, HEAD, PATCH, POST, PUT"),
    ],
)  # fmt: skip
async def test_a_method_that_is_not_offered_is_405_with_those_that_are(
    client: Any, method: str, path: str, allow: str
) -> None:
    answer = await client.request(method, path, json={})
    refused(answer, 405)
    assert answer.headers["Allow"] == allow


async def test_an_outcome_has_words_for_every_reader(client: Any) -> None:
    outcome = refused(await client.get("Patient/none"), 404)
    issue = outcome["issue"][0]
    assert (issue["severity"], issue["code"]) == ("error", "not-found")
    assert issue["diagnostics"] == issue["details"]["text"]


async def test_a_refusal_names_its_request(client: Any) -> None:
    answer = await client.get("Nothing", headers={"X-Request-Id": "abc-1"})
    assert answer.headers["X-Request-Id"] == "abc-1"
    assert answer.headers["Cache-Control"] == "no-store"


HOSTILE = [
    "Patient?name[$ne]=x", "Patient?name=%00", "Patient?name={'$gt':''}", "Patient?_id=$where", "Patient?_id=%24ne",
    "Patient?identifier=" + "x" * 20000, "Patient?" + "&".join(["name=x"] * 101),
    "Patient?name=" + ",".join(["x"] * 1001), "Patient?" + "&".join(["name=x"] * 2000),
    "Patient?family=(a%2B)%2B$", "Patient?_sort=" + ",".join(["name"] * 50), "Patient?_has:" + "a:" * 50 + "b=c",
    "Slot?schedule.schedule.schedule.schedule.schedule.schedule.schedule=1", "Patient/..%2f..",
    "Appointment/$find?start=0000-00-00&end=9999-12-31", "Slot?start=9999-12-31T23:59:59Z", "Slot?start=0001",
    "Slot/0tpbka0-1e0---rfxsnp3kf", "Slot/zzzzzzz-zzz---zzzzzzzzz", "Appointment/slot-", "Appointment/-----",
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_requests_are_no_defects(client: Any, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code < 500, answer.text
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    for word in ("Traceback", "pymongo", "Mongo", "File "):
        assert word not in answer.text


PARAMETERS = [
    {"parameter": 5}, {"parameter": [5]}, {"parameter": [{}]}, {"parameter": [{"name": "start"}]},
    {"parameter": [{"name": "start", "valueDateTime": {}}]}, {"parameter": [{"name": "start", "valueDate": 5}]},
    {"parameter": [{"name": "start", "valueDate": "2026-01-01", "valueString": "x"}]},
    {"parameter": [{"name": "appointment", "valueReference": {}}]},
    {"parameter": [{"name": "appointment", "valueReference": {"reference": 5}}]},
    {"parameter": [{"name": "resource", "resource": {"resourceType": "Patient"}}]},
    {"parameter": [{"name": "resource", "resource": {"resourceType": "Appointment", "participant": 5}}]},
    {"parameter": [{"name": "resource", "resource": {"resourceType": "Appointment", "start": 5, "slot": "x"}}]},
    {"parameter": [{"name": "resource", "resource": {"resourceType": "Appointment", "status": "proposed"}}]},
    {"parameter": [{"name": "appt-resource", "resource": {"resourceType": "Appointment", "slot": [5]}}]},
    {"parameter": [{"name": "appt-resource", "resource": {"resourceType": "Appointment", "id": {}, "slot": {}}}]},
    {"parameter": [{"name": "appointment-resource",
                    "resource": {"resourceType": "Appointment", "status": 5, "id": "x"}}]},
    {"parameter": [{"name": "patient-resource", "resource": {"resourceType": "Patient", "identifier": 5}},
                   {"name": "appointment-reference", "valueReference": {"reference": "Appointment/x"}}]},
    {"parameter": [{"name": "hold-duration", "valueDuration": {"value": "x"}},
                   {"name": "appointment", "valueUri": "x"}]},
    {"parameter": [{"name": "appointment", "valueUri": "Appointment/x"}] * 2},
    {"parameter": [{"name": "slot", "valueReference": {"identifier": {"value": "x"}}}]},
    {"parameter": [{"name": "slot", "part": [{"name": "x"}]}]},
]  # fmt: skip


@pytest.mark.parametrize("operation", ["$find", "$hold", "$book", "x/$cancel", "x/$reschedule", "x/$extend-hold"])
@pytest.mark.parametrize("body", PARAMETERS, ids=range(len(PARAMETERS)))
async def test_malformed_parameters_are_no_defects(client: Any, operation: str, body: dict[str, Any]) -> None:
    answer = await client.post(f"Appointment/{operation}", json={"resourceType": "Parameters", **body})
    refusal = 400 <= answer.status_code < 500
    refusal_of_a_dialect = answer.status_code == 200 and ('"fatal"' in answer.text or '"cancelled"' in answer.text)
    assert refusal or refusal_of_a_dialect, answer.text


async def test_an_operation_on_a_booking_with_odd_arguments(client: Any) -> None:
    clinic = Clinic(client)
    service = await clinic.service()
    await clinic.schedule("s", [await clinic.practitioner()], [service])
    found = (await clinic.find(service=service))["entry"][0]["resource"]
    booked = (await clinic.book(found["id"], await clinic.patient())).json()
    for operation in ("$cancel", "$reschedule"):
        for name, value in (
            ("reason", {"valueQuantity": {}}),
            ("reason", {"valueCode": 5}),
            ("start" if operation == "$reschedule" else "comment", {"valueInteger": 5}),
            ("booking-channel", {"valueCode": "pigeon"}),
        ):
            body = {"resourceType": "Parameters", "parameter": [{"name": name, **value}]}
            refused(await client.post(f"Appointment/{booked['id']}/{operation}", json=body), 400)

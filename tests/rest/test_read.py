"""``read``: headers, conditional read, HEAD, formats, what is absent. https://hl7.org/fhir/R4/http.html#read"""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime
from typing import Any

import pytest

from tests.builders.answers import refused
from tests.builders.clinic import Clinic
from tests.builders.visits import Visits


@pytest.fixture
async def patient(client: Any) -> Any:
    """A Patient's read; the HTTP answer."""
    return await client.get(await Clinic(client).patient())


def _url(answer: Any) -> str:
    return f"Patient/{answer.json()['id']}"


def test_version_id_tag_and_date_agree(patient: Any) -> None:
    meta = patient.json()["meta"]
    assert patient.status_code == 200
    assert patient.headers["ETag"] == f'W/"{meta["versionId"]}"' == 'W/"1"'
    assert parsedate_to_datetime(patient.headers["Last-Modified"]).isoformat()[:19] == meta["lastUpdated"][:19]
    assert patient.headers["Content-Type"] == "application/fhir+json; charset=utf-8"


async def test_absent_is_404_and_deleted_is_410(client: Any, patient: Any) -> None:
    refused(await client.get("Patient/never-was"), 404)
    assert (await client.delete(_url(patient))).status_code == 204
    assert refused(await client.get(_url(patient)), 410)["issue"][0]["code"] == "deleted"


@pytest.mark.parametrize("id_", ["x" * 65, "a b", "a%24b", "a_b", "$x", "a%2Fb", "%00", "%F0%9F%98%80", "%ff"])
async def test_what_is_no_id_is_never_a_fault_of_the_server(client: Any, id_: str) -> None:
    answer = await client.get(f"Patient/{id_}")
    refused(answer, answer.status_code)
    assert answer.status_code in {400, 404}


@pytest.mark.parametrize("path", ["patient/1", "Observation/1", "Nothing/1", "Patient/1/2", "Patient/1/_history/1/x"])
async def test_unknown_types_and_paths_are_404(client: Any, path: str) -> None:
    refused(await client.get(path), 404)


async def test_a_conditional_read_by_version(client: Any, patient: Any) -> None:
    for tag, status in (
        ('W/"1"', 304),
        ('"1"', 304),
        ("1", 304),
        ('W/"9", W/"1"', 304),
        ("*", 304),
        ('W/"2"', 200),
        ('"somebody-elses"', 200),
    ):
        answer = await client.get(_url(patient), headers={"If-None-Match": tag})
        assert answer.status_code == status, tag
        assert answer.headers["ETag"] == 'W/"1"'
        assert bool(answer.content) is (status == 200)


async def test_a_conditional_read_by_date(client: Any, patient: Any) -> None:
    moment = parsedate_to_datetime(patient.headers["Last-Modified"]).timestamp()
    for since, status in (
        (formatdate(moment, usegmt=True), 304),
        (formatdate(moment + 60, usegmt=True), 304),
        (formatdate(moment - 60, usegmt=True), 200),
        ("yesterday", 200),
    ):
        assert (await client.get(_url(patient), headers={"If-Modified-Since": since})).status_code == status, since


async def test_what_is_computed_is_always_answered_anew(client: Any) -> None:
    clinic = await Visits(client).opened()
    url = f"Appointment/{(await clinic.free())['09:00']}"
    tag = (await client.get(url)).headers["ETag"]
    assert (await client.get(url, headers={"If-None-Match": tag})).status_code == 200


@pytest.mark.parametrize("path", ["{}", "Patient?_id=1", "metadata", "{}/_history", "{}/_history/1", "Patient/none"])
async def test_head_is_get_without_a_body(client: Any, patient: Any, path: str) -> None:
    url = path.format(_url(patient))
    got, head = await client.get(url), await client.head(url)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("ETag", "Last-Modified", "Content-Type", "Content-Length"):
        assert head.headers.get(name) == got.headers.get(name)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/fhir+json", 200),
        ("application/json", 200),
        ("application/fhir+json; fhirVersion=4.0", 200),
        ("*/*", 200),
        ("text/html", 200),
        ("text/plain", 406),
        ("application/fhir+xml; fhirVersion=5.0", 406),
        ("application/fhir+json; fhirVersion=5.0", 406),
        ("application/json; fhirVersion=3.0", 406),
    ],
)
async def test_accept(client: Any, patient: Any, accept: str, status: int) -> None:
    answer = await client.get(_url(patient), headers={"Accept": accept})
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    if status == 406:
        refused(answer, 406)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("_format=json", 200),
        ("_format=application/fhir%2Bjson", 200),
        ("_format=application/fhir+json", 200),
        ("_format=bogus", 406),
        ("_format=turtle", 406),
        ("_format=application/fhir%2Bjson;fhirVersion=5.0", 406),
        ("_pretty=true", 200),
        ("_pretty=bogus", 400),
    ],
)
async def test_format_and_pretty(client: Any, patient: Any, query: str, status: int) -> None:
    answer = await client.get(f"{_url(patient)}?{query}", headers={"Accept": "text/plain" if "_f" in query else "*/*"})
    assert answer.status_code == status, answer.text
    assert ("\n" in answer.text) is (query == "_pretty=true")


async def test_the_request_is_named(client: Any) -> None:
    for path in ("Patient/none", "metadata"):
        answer = await client.get(path, headers={"X-Request-Id": "trace-1.2"})
        assert answer.headers["X-Request-Id"] == "trace-1.2"
        forged = await client.get(path, headers={"X-Request-Id": "a b\tc"})
        assert forged.headers["X-Request-Id"] not in {"", "a b\tc"}

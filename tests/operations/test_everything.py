"""``Patient/$everything``: the compartment and what it refers to, nobody else's, in pages that repeat nothing.

https://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.builders.answers import expressions, refused
from tests.builders.clinic import Clinic

BASE = "http://fhir.test/fhir/"


@dataclass
class Chart:
    """One patient's resources in a clinic, and some of another patient."""

    clinic: Clinic

    def ref(self, type_: str, name: str) -> str:
        return f"{type_}/{self.clinic.id(name)}"

    def to(self, type_: str, name: str) -> dict[str, str]:
        return {"reference": self.ref(type_, name)}

    async def put(self, type_: str, name: str, /, **elements: Any) -> str:
        await self.clinic.put({"resourceType": type_, "id": self.clinic.id(name), **elements})
        return self.ref(type_, name)

    async def visit(self, name: str, start: str, end: str, *patients: str, **more: Any) -> str:
        people = [*(self.to("Patient", one) for one in patients), self.to("Practitioner", "doc")]
        participant = [{"actor": one, "status": "accepted"} for one in people]
        clock = {"start": f"{start}T09:00:00Z", "end": f"{end}T10:00:00Z"}
        return await self.put("Appointment", name, status="fulfilled", participant=participant, **clock, **more)

    def url(self, name: str = "me") -> str:
        return f"{self.ref('Patient', name)}/$everything"


@pytest.fixture
async def chart(client: Any) -> Chart:
    made = Chart(Clinic(client))
    to = made.to
    await made.put("Organization", "group", name="Group")
    await made.put("Organization", "org", name="Clinic", partOf=to("Organization", "group"))
    await made.put("Organization", "payer", name="Payer")
    await made.put("Organization", "stranger", name="Stranger")
    await made.put("Location", "room", name="Room", managingOrganization=to("Organization", "org"))
    for name in ("doc", "family-doc", "else-doc"):
        await made.put("Practitioner", name, name=[{"family": name}])
    await made.put("Patient", "other", name=[{"family": "Other"}], generalPractitioner=[to("Practitioner", "else-doc")])
    await made.put(
        "Patient", "me", name=[{"family": "Me"}], generalPractitioner=[to("Practitioner", "family-doc")],
        link=[{"other": to("Patient", "other"), "type": "seealso"}],
    )  # fmt: skip
    await made.put("Patient", "linking", link=[{"other": to("Patient", "me"), "type": "seealso"}])
    await made.put("RelatedPerson", "mother", patient=to("Patient", "me"))
    await made.put("RelatedPerson", "her-mother", patient=to("Patient", "other"))
    await made.put(
        "Encounter", "hers", status="finished", subject=to("Patient", "other"),
        **{"class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}},
    )  # fmt: skip
    await made.put(
        "ServiceRequest", "referral", status="active", intent="order", subject=to("Patient", "me"),
        occurrenceDateTime="2021-05-01", authoredOn="2020-01-01", supportingInfo=[to("Encounter", "hers")],
    )  # fmt: skip
    await made.put(
        "ServiceRequest",
        "undone",
        status="active",
        intent="order",
        subject=to("Patient", "me"),
        authoredOn="2020-01-01",
    )
    await made.visit("early", "2020-03-01", "2020-03-01", "me", basedOn=[to("ServiceRequest", "referral")])
    await made.visit("late", "2021-05-02", "2021-05-02", "me", supportingInformation=[to("Encounter", "hers")])
    await made.visit("together", "2021-06-01", "2021-06-01", "me", "other")
    await made.visit("foreign", "2021-06-02", "2021-06-02", "other")
    await made.put(
        "AppointmentResponse", "answer", appointment=to("Appointment", "early"), actor=to("Patient", "me"),
        participantStatus="accepted",
    )  # fmt: skip
    await made.put(
        "Coverage", "cover", status="active", beneficiary=to("Patient", "me"), payor=[to("Organization", "payer")]
    )
    await made.put(
        "Flag", "flag", status="active", subject=to("Patient", "me"), code={"text": "x"}, period={"start": "2021-01-01"}
    )
    return made


MEMBERS = {
    "Patient/me", "RelatedPerson/mother", "ServiceRequest/referral", "ServiceRequest/undone", "Appointment/early",
    "Appointment/late", "Appointment/together", "AppointmentResponse/answer", "Coverage/cover", "Flag/flag",
}  # fmt: skip
INCLUDED = {"Practitioner/doc", "Practitioner/family-doc", "Organization/payer"}


async def _everything(client: Any, url: str, **query: str) -> dict[str, Any]:
    answer = await client.get(url, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert (found["resourceType"], found["type"]) == ("Bundle", "searchset")
    return found


def _names(chart: Chart, page: dict[str, Any], mode: str = "") -> list[str]:
    """``Patient/me`` …, in the order of the answer."""
    found = []
    for one in page.get("entry", ()):
        reference = f"{one['resource']['resourceType']}/{one['resource'].get('id', '')}"
        if one["search"]["mode"] != "outcome":
            assert one["fullUrl"] == BASE + reference
        if mode in {"", one["search"]["mode"]}:
            found.append(reference.replace(f"{chart.clinic.name}-", ""))
    return found


def _next(page: dict[str, Any]) -> str:
    return next((one["url"] for one in page["link"] if one["relation"] == "next"), "")


async def test_the_compartment_and_what_it_refers_to(client: Any, chart: Chart) -> None:
    page = await _everything(client, chart.url())
    names = _names(chart, page)
    assert names[0] == "Patient/me"
    assert names == ["Patient/me", *sorted(names[1:])]
    assert set(_names(chart, page, "match")) == MEMBERS
    assert set(_names(chart, page, "include")) == INCLUDED
    assert len(names) == len(set(names))
    assert page["total"] == len(MEMBERS)
    assert [one["relation"] for one in page["link"]] == ["self"]


async def test_post_is_the_same(client: Any, chart: Chart) -> None:
    got = await client.post(chart.url(), json={"resourceType": "Parameters"})
    assert got.json() == await _everything(client, chart.url())
    assert (await client.post(chart.url())).json() == got.json()
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "start", "valueDate": "2021"},
            {"name": "_type", "valueCode": "Appointment"},
            {"name": "_type", "valueCode": "Practitioner"},
            {"name": "_count", "valueInteger": 2},
            {"name": "_since", "valueInstant": "2020-01-01T00:00:00Z"},
        ],
    }
    page = (await client.post(chart.url(), json=body)).json()
    assert _names(chart, page) == ["Appointment/late", "Appointment/together"]
    page = (await client.get(_next(page))).json()
    assert _names(chart, page) == ["Practitioner/doc", "Practitioner/family-doc"]


async def test_a_booking_brings_its_slot_schedule_and_place(client: Any, chart: Chart) -> None:
    clinic = chart.clinic
    service = await clinic.service()
    actors = [chart.ref("Practitioner", "doc"), chart.ref("Location", "room")]
    await clinic.schedule("plan", actors, [service])
    found = (await clinic.find(service=service))["entry"][0]["resource"]
    booked = (await clinic.book(found["id"], chart.ref("Patient", "me"))).json()
    page = await _everything(client, chart.url())
    more = set(_names(chart, page)) - MEMBERS - INCLUDED
    slot = booked["slot"][0]["reference"].replace(f"{clinic.name}-", "")
    assert more == {
        f"Appointment/{booked['id']}", slot, "Schedule/plan", "HealthcareService/visit", "Location/room",
        "Organization/org", "Organization/group",
    }  # fmt: skip
    assert page["total"] == len(MEMBERS) + 1


async def test_other_patients_stay_out(client: Any, chart: Chart) -> None:
    names = set(_names(chart, await _everything(client, chart.url("other"))))
    assert names == {
        "Patient/other", "RelatedPerson/her-mother", "Encounter/hers", "Appointment/together", "Appointment/foreign",
        "Practitioner/doc", "Practitioner/else-doc",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "out"),
    [
        ({"start": "2021"}, {"Appointment/early", "AppointmentResponse/answer", "ServiceRequest/undone"}),
        ({"end": "2020-12-31"}, {"Appointment/late", "Appointment/together", "ServiceRequest/referral", "Flag/flag"}),
        ({"start": "2020-03-01", "end": "2020-03-01"}, {"Appointment/late", "Appointment/together", "Flag/flag",
                                                        "ServiceRequest/referral", "ServiceRequest/undone"}),
        ({"start": "2021-06", "end": "2021-06-01T12:00:00Z"}, {"Appointment/early", "Appointment/late",
                                                               "AppointmentResponse/answer", "ServiceRequest/referral",
                                                               "ServiceRequest/undone"}),
        ({"start": "2020", "end": "2021"}, set()),
    ],
)  # fmt: skip
async def test_dates_of_care(client: Any, chart: Chart, query: dict[str, str], out: set[str]) -> None:
    page = await _everything(client, chart.url(), **query)
    referred = {"ServiceRequest/referral"} & out if "Appointment/early" not in out else set()
    assert set(_names(chart, page, "match")) == MEMBERS - out
    # What a visit in time refers to comes along, whenever it was.
    assert set(_names(chart, page, "include")) == INCLUDED | referred


async def test_types(client: Any, chart: Chart) -> None:
    page = await _everything(client, chart.url(), _type="Coverage,Organization")
    assert _names(chart, page) == ["Coverage/cover", "Organization/payer"]
    assert page["total"] == 1
    twice = (await client.get(f"{chart.url()}?_type=Coverage&_type=Patient")).json()
    assert _names(chart, twice) == ["Patient/me", "Coverage/cover"]
    assert "entry" not in await _everything(client, chart.url(), _type="Encounter")


async def test_since(client: Any, chart: Chart) -> None:
    flag = (await client.get(chart.ref("Flag", "flag"))).json()
    at = flag["meta"]["lastUpdated"]
    assert set(_names(chart, await _everything(client, chart.url(), _since=at))) == {"Flag/flag"}
    payer = (await client.get(chart.ref("Organization", "payer"))).json()
    changed = await client.put(chart.ref("Organization", "payer"), json={**payer, "name": "New"})
    now = changed.json()["meta"]["lastUpdated"]
    page = await _everything(client, chart.url(), _since=now)
    assert _names(chart, page) == ["Organization/payer"]
    assert page["total"] == 0
    local = datetime.fromisoformat(now).astimezone().isoformat(timespec="milliseconds")
    assert _names(chart, await _everything(client, chart.url(), _since=local)) == ["Organization/payer"]


@pytest.mark.parametrize("size", ["1", "3", "5", "13", "1000"])
async def test_pages_repeat_nothing_and_lose_nothing(client: Any, chart: Chart, size: str) -> None:
    page = await _everything(client, chart.url(), _count=size, _since="2020-01-01T00:00:00+02:00")
    names = _names(chart, page)
    pages = 1
    while following := _next(page):
        if pages == 2:
            await chart.put("Coverage", "aaa", status="active", beneficiary=chart.to("Patient", "me"),
                            payor=[chart.to("Organization", "payer")])  # fmt: skip
            await client.delete(chart.ref("RelatedPerson", "mother"))
        page = (await client.get(following)).json()
        assert 0 < len(page["entry"]) <= int(size)
        names += _names(chart, page)
        pages += 1
    assert len(names) == len(set(names))
    assert (MEMBERS | INCLUDED) - {"RelatedPerson/mother"} <= set(names)
    assert set(names) <= MEMBERS | INCLUDED | {"Coverage/aaa"}


async def test_count_0_is_the_total(client: Any, chart: Chart) -> None:
    page = await _everything(client, chart.url(), _count="0")
    assert page["total"] == len(MEMBERS)
    assert "entry" not in page
    assert _next(page) == ""


async def test_unknown_parameters(client: Any, chart: Chart) -> None:
    query = "bogus=1&_type=Observation,Coverage"
    lenient = (await client.get(f"{chart.url()}?{query}")).json()
    assert _names(chart, lenient, "match") == ["Coverage/cover"]
    (told,) = [one["resource"] for one in lenient["entry"] if one["search"]["mode"] == "outcome"]
    assert expressions(told) == ["Observation", "bogus"]
    assert "bogus" not in lenient["link"][0]["url"]
    strict = await client.get(f"{chart.url()}?{query}", headers={"Prefer": "handling=strict"})
    assert expressions(refused(strict, 400)) == ["Observation"]


@pytest.mark.parametrize(
    "query",
    ["_count=x", "_count=-1", "start=yesterday", "end=2026-13", "start=2020&start=2021", "_since=2026", "_page=x",
     "_page=WyJQYXRpZW50Il0", "_page=WyJQYXRpZW50IiwiJHgiXQ", "_count=1&_count=2", "_since=x"],
)  # fmt: skip
async def test_malformed_parameters_are_refused_by_name(client: Any, chart: Chart, query: str) -> None:
    found = refused(await client.get(f"{chart.url()}?{query}"), 400)
    assert expressions(found) == [query.partition("=")[0]]


async def test_wrong_kinds_in_a_body(client: Any, chart: Chart) -> None:
    for name, kind, value in (("start", "Boolean", True), ("_since", "Quantity", {"value": 1}),
                              ("_type", "Boolean", True), ("_count", "String", "many")):  # fmt: skip
        wrong = {"resourceType": "Parameters", "parameter": [{"name": name, f"value{kind}": value}]}
        found = refused(await client.post(chart.url(), json=wrong), 400)
        assert expressions(found) == ["Parameters.parameter[0]"]


async def test_absent_deleted_and_elsewhere(client: Any, chart: Chart) -> None:
    refused(await client.get("Patient/never-was/$everything"), 404)
    refused(await client.get("Patient/$everything"), 404)
    refused(await client.get(f"{chart.ref('Practitioner', 'doc')}/$everything"), 404)
    refused(await client.put(chart.url(), json={}), 405)
    lonely = await chart.put("Patient", "lonely")
    assert _names(chart, await _everything(client, f"{lonely}/$everything")) == ["Patient/lonely"]
    await client.delete(lonely)
    refused(await client.get(f"{lonely}/$everything"), 410)
    head = await client.head(chart.url())
    assert (head.status_code, head.content) == (200, b"")

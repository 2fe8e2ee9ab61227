"""What a search matches: strings, tokens, references, dates, chains. https://hl7.org/fhir/R4/search.html#ptypes"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from tests.builders.answers import refused
from tests.builders.clinic import Clinic, proposals

SYSTEM = "urn:kinds"


@pytest_asyncio.fixture(scope="module")
async def clinic(client: Any) -> Clinic:
    """Patients with difficult names; Appointments of two of them on four moments, one without a type."""
    made = Clinic(client)
    for id_, family in (("nunez", "Núñez"), ("obrien", "O'Brien"), ("comma", "a,b"), ("regex", ".*")):
        await made.put(
            {
                "resourceType": "Patient",
                "id": made.id(id_),
                "name": [{"family": f"{made.name}{family}"}],
                "identifier": [{"system": "urn:mrn", "value": made.id(id_)}],
            }
        )
    for id_, patient, status, start, code in (
        ("a", "nunez", "fulfilled", "2020-03-29T00:30:00+01:00", {"system": SYSTEM, "code": "x"}),
        ("b", "nunez", "cancelled", "2020-03-29T09:00:00+02:00", {"code": "x"}),
        ("c", "obrien", "noshow", "2020-03-28T23:59:59.999Z", {"system": "urn:other", "code": "x"}),
        ("d", "obrien", "fulfilled", "2020-04-01T00:00:00Z", None),
    ):
        await made.put(
            {
                "resourceType": "Appointment",
                "id": made.id(id_),
                "identifier": [{"system": "urn:t", "value": made.name}],
                "status": status,
                "start": start,
                "end": start.replace("2020-03", "2020-05").replace("2020-04", "2020-05"),
                "participant": [{"actor": {"reference": f"Patient/{made.id(patient)}"}, "status": "accepted"}],
                **({"serviceType": [{"coding": [code]}]} if code else {}),
            }
        )
    await made.put({"resourceType": "Practitioner", "id": made.id("nunez")})
    return made


async def _found(clinic: Clinic, type_: str, query: str) -> set[str]:
    """Names of what is found among this clinic's."""
    mine = f"identifier=urn:t|{clinic.name}&" if type_ == "Appointment" else ""
    answer = await clinic.client.get(f"{type_}?{mine}{query.replace('{c}', clinic.name)}")
    assert answer.status_code == 200, answer.text
    return {one["id"].rpartition("-")[2] for one in proposals(answer.json())}


STRINGS = [
    ("family={c}nunez", {"nunez"}),
    ("family={c}NÚÑ", {"nunez"}),
    ("family:exact={c}Núñez", {"nunez"}),
    ("family:exact={c}Nunez", set()),
    ("family={c}o'b", {"obrien"}),
    ("family={c}a\\,b", {"comma"}),
    ("family={c}a,{c}.", {"comma", "regex"}),
    ("family={c}.*", {"regex"}),
    ("family={c}", {"nunez", "obrien", "comma", "regex"}),
    ("name={c}NÚÑ", {"nunez"}),
    ("name={c}n&family={c}nu", {"nunez"}),
]

APPOINTMENTS = [
    ("service-type=x", {"a", "b", "c"}),
    (f"service-type={SYSTEM}|x", {"a"}),
    ("service-type=|x", {"b"}),
    (f"service-type={SYSTEM}|", {"a"}),
    ("service-type:not=x", {"d"}),
    (f"service-type:not={SYSTEM}|x", {"b", "c", "d"}),
    ("service-type:missing=true", {"d"}),
    ("service-type:missing=false", {"a", "b", "c"}),
    ("status:not=fulfilled,noshow", {"b"}),
    ("status=fulfilled,noshow", {"a", "c", "d"}),
    ("status=fulfilled&service-type=x", {"a"}),
    ("status=", {"a", "b", "c", "d"}),
    ("patient={c}-nunez", {"a", "b"}),
    ("patient=Patient/{c}-nunez", {"a", "b"}),
    ("patient=http://fhir.test/fhir/Patient/{c}-nunez", {"a", "b"}),
    ("patient:Patient={c}-nunez", {"a", "b"}),
    ("patient=Patient/{c}-nunez/_history/1", {"a", "b"}),
    ("actor=Practitioner/{c}-nunez", set()),
    ("actor={c}-nunez", {"a", "b"}),
    ("actor:Patient={c}-obrien", {"c", "d"}),
    ("actor:Practitioner={c}-nunez", set()),
    ("patient=http://elsewhere.example/fhir/Patient/{c}-nunez", set()),
    ("patient:Patient.family={c}nunez", {"a", "b"}),
    ("patient.identifier=urn:mrn|{c}-obrien", {"c", "d"}),
    ("patient.family={c}none", set()),
    ("date=2020-03", {"a", "b", "c"}),
    ("date=ge2020-03-29&date=lt2020-03-30", {"b"}),
    ("date=ge2020-03-29T00:00:00Z&date=lt2020-03-30T00:00:00Z", {"b"}),
    ("date=2020-03-28", {"a", "c"}),
    ("date=eq2020-03-29T09:00:00%2B02:00", {"b"}),
    ("date=2020-03-29T07:00:00Z", {"b"}),
    ("date=ne2020-03", {"d"}),
    ("date=gt2020-03-29", {"d"}),
    ("date=sa2020-03", {"d"}),
    ("date=eb2020-03-29", {"a", "c"}),
    ("date=le2020-03-28", {"a", "c"}),
    ("_id={c}-a,{c}-a,{c}-d", {"a", "d"}),
    ("_lastUpdated=gt2999", set()),
]


@pytest.mark.parametrize(("query", "expected"), STRINGS, ids=[one[0] for one in STRINGS])
async def test_strings(clinic: Clinic, query: str, expected: set[str]) -> None:
    assert await _found(clinic, "Patient", query) == expected


@pytest.mark.parametrize(("query", "expected"), APPOINTMENTS, ids=[one[0] for one in APPOINTMENTS])
async def test_tokens_references_dates_and_chains(clinic: Clinic, query: str, expected: set[str]) -> None:
    assert await _found(clinic, "Appointment", query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("family={c}&_has:Appointment:patient:status=cancelled", {"nunez"}),
        ("family={c}&_has:Appointment:patient:status=fulfilled", {"nunez", "obrien"}),
        ("family={c}&_has:Appointment:patient:service-type=urn:other|x", {"obrien"}),
    ],
)
async def test_reverse_chains(clinic: Clinic, query: str, expected: set[str]) -> None:
    assert await _found(clinic, "Patient", query) == expected


async def test_a_chain_that_is_none_is_never_ignored(client: Any) -> None:
    for query in ("patient.bogus=x", "patient:Slot.name=x", "status.name=x", "_has:Slot:bogus:x=1"):
        refused(await client.get(f"Appointment?{query}"), 400)


async def test_open_periods_reach_to_infinity(client: Any) -> None:
    clinic = Clinic(client)
    for name, horizon in (("from", {"start": "2020-01-01"}), ("to", {"end": "2020-12-31"})):
        await clinic.put(
            {
                "resourceType": "Schedule",
                "id": clinic.id(name),
                "identifier": [{"system": "urn:t", "value": clinic.name}],
                "actor": [{"reference": "Location/1"}],
                "planningHorizon": horizon,
            }
        )
    for query, expected in (
        ("date=ge2999-01-01", {"from"}),
        ("date=le1900-01-01", {"to"}),
        ("date=ge2020-06-01", {"from", "to"}),
    ):
        answer = await client.get(f"Schedule?identifier=urn:t|{clinic.name}&{query}")
        assert {one["id"].rpartition("-")[2] for one in proposals(answer.json())} == expected, query

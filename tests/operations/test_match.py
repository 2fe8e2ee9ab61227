"""``Patient/$match``: who could be meant, with score and grade, best first.

https://hl7.org/fhir/R4/patient-operation-match.html
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from fhir_server.services.match import _lookups
from fhir_server.services.world import World
from fhir_server.store.search import to_filter
from tests.builders.answers import expressions, outcome_in, refused

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
MEMBER = "https://payer.example/member"
Patient = dict[str, Any]


class People:
    """Patients of one test: their family name and numbers carry its own letters."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.name = "".join(chr(ord("a") + int(sign, 16)) for sign in uuid.uuid4().hex[:10])
        self.ids: dict[str, str] = {}

    def patient(self, given: str = "Ann", born: str = "1980-02-03", member: str = "", **more: Any) -> Patient:
        found: Patient = {"resourceType": "Patient", "name": [{"family": self.name.title(), "given": [given]}]}
        if born:
            found["birthDate"] = born
        if member:
            found["identifier"] = [{"system": MEMBER, "value": f"{self.name}-{member}"}]
        return found | more

    async def put(self, name: str, patient: Patient) -> None:
        id_ = f"{self.name}-{name}"
        answer = await self.client.put(f"Patient/{id_}", json={**patient, "id": id_})
        assert answer.status_code == 201, answer.text

    async def match(self, patient: Patient, **more: Any) -> dict[str, Any]:
        answer = await self.client.post("Patient/$match", json=asked(patient, **more))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert (found["resourceType"], found["type"]) == ("Bundle", "searchset")
        return found

    def told(self, bundle: dict[str, Any]) -> list[tuple[str, float, str]]:
        """Name, score and grade of each match, in the order of the answer."""
        found = []
        for one in bundle.get("entry", ()):
            if one["search"]["mode"] == "match":
                assert one["fullUrl"] == f"http://fhir.test/fhir/Patient/{one['resource']['id']}"
                (extension,) = one["search"]["extension"]
                assert extension["url"] == GRADE
                name = one["resource"]["id"].removeprefix(f"{self.name}-")
                found.append((name, one["search"]["score"], extension["valueCode"]))
        return found


def asked(patient: Patient, **more: Any) -> dict[str, Any]:
    kinds = {bool: "Boolean", int: "Integer", str: "String"}
    entries = [{"name": name, f"value{kinds[type(value)]}": value} for name, value in more.items()]
    return {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient}, *entries]}


@pytest.fixture
async def people(client: Any) -> People:
    made = People(client)
    phone = [{"system": "phone", "value": f"+1 555 {int(made.name.encode().hex(), 16) % 10**7:07}"}]
    await made.put("ann", made.patient(member="1", gender="female", telecom=phone))
    await made.put("twin", made.patient("Eve", member="1", gender="female", telecom=phone))
    await made.put("child", made.patient("Ann", "2010-05-06", member="1", telecom=phone))
    await made.put("namesake", made.patient(gender="female"))
    await made.put("gone", made.patient(member="1", active=False))
    merged = [{"other": {"reference": f"Patient/{made.name}-ann"}, "type": "replaced-by"}]
    await made.put("merged", made.patient(member="1", link=merged))
    await made.put("deleted", made.patient(member="1"))
    await client.delete(f"Patient/{made.name}-deleted")
    return made


async def test_name_birth_date_and_member_number_are_certain(people: People) -> None:
    bundle = await people.match(people.patient(member="1"))
    assert people.told(bundle) == [
        ("ann", 1, "certain"), ("twin", 0.85, "probable"), ("child", 0.49, "possible"), ("namesake", 0.45, "possible"),
    ]  # fmt: skip
    assert bundle["total"] == 4
    assert bundle["link"] == [{"relation": "self", "url": "http://fhir.test/fhir/Patient/$match"}]
    whole = (await people.client.get(f"Patient/{people.name}-ann")).json()
    assert bundle["entry"][0]["resource"] == whole
    assert '"score":1' in (await people.client.post("Patient/$match", json=asked(people.patient(member="1")))).text


async def test_case_and_accents_do_not_matter(people: People) -> None:
    family = people.name.upper().replace("A", "Á").replace("E", "É")
    patient = {"resourceType": "Patient", "name": [{"family": family, "given": ["ÀNN"]}], "birthDate": "1980-02-03",
               "gender": "female"}  # fmt: skip
    assert people.told(await people.match(patient)) == [("ann", 0.5, "probable"), ("namesake", 0.5, "probable"),
                                                        ("twin", 0.3, "possible")]  # fmt: skip


async def test_another_family_name_is_found_by_the_given_name(people: People) -> None:
    married = people.patient(member="1") | {"name": [{"family": "Other", "given": ["Ann"]}]}
    found = people.told(await people.match(married))
    assert found[0] == ("ann", 0.8, "probable")


async def test_a_telephone_finds_those_who_share_it(people: People) -> None:
    ann = (await people.client.get(f"Patient/{people.name}-ann")).json()
    found = people.told(await people.match(people.patient("Eve", born="", telecom=ann["telecom"])))
    assert found == [("twin", 0.4, "possible")]


async def test_nobody(people: People) -> None:
    bundle = await people.match(people.patient("Zoe", born="1901-01-01"))
    assert (bundle["total"], "entry" in bundle) == (0, False)
    assert (
        people.told(await people.match({"resourceType": "Patient", "identifier": [{"value": uuid.uuid4().hex}]})) == []
    )


async def test_only_certain_matches(people: People) -> None:
    found = await people.match(people.patient(member="1"), onlyCertainMatches=True)
    assert people.told(found) == [("ann", 1, "certain")]
    assert found["total"] == 1
    assert people.told(await people.match(people.patient(), onlyCertainMatches=True)) == []
    # Without a given name both twins are certain, so neither is.
    either = people.patient(member="1") | {"name": [{"family": people.name}]}
    assert [one[2] for one in people.told(await people.match(either))][:2] == ["certain", "certain"]
    none = await people.match(either, onlyCertainMatches=True)
    assert (people.told(none), none["total"]) == ([], 0)
    told = outcome_in(none)
    assert told
    assert told["issue"][0]["details"]["coding"][0]["code"] == "multiple-matches"


async def test_count_caps_the_best(people: People) -> None:
    bundle = await people.match(people.patient(member="1"), count=2)
    assert [one[0] for one in people.told(bundle)] == ["ann", "twin"]
    assert bundle["total"] == 4


async def test_a_bare_patient_is_understood(people: People) -> None:
    answer = await people.client.post("Patient/$match?count=1", json=people.patient(member="1"))
    assert people.told(answer.json()) == [("ann", 1, "certain")]


@pytest.mark.parametrize(
    "patient",
    [
        {}, {"name": [{"given": ["Ann"]}]}, {"name": [{"family": "Smith", "given": ["Ann"]}]}, {"gender": "female"},
        {"birthDate": "1980-02-03"}, {"birthDate": "1980-02-03", "name": [{"family": " "}]},
        {"identifier": [{"system": MEMBER}]}, {"telecom": [{"system": "phone"}]},
        {"identifier": [{"system": MEMBER, "value": "1", "use": "old"}]},
        {"address": [{"city": "Boston"}], "gender": "male"},
    ],
)  # fmt: skip
async def test_too_little_is_told(client: Any, patient: Patient) -> None:
    answer = await client.post("Patient/$match", json=asked({"resourceType": "Patient", **patient}))
    found = refused(answer, 422, "param-missing")
    assert expressions(found)[0].startswith("Parameters.parameter[0].resource")


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        ({"resourceType": "Parameters"}, 400, "resource"),
        (asked({"resourceType": "Practitioner"}), 400, "Parameters.parameter[0].resource"),
        ({"resourceType": "Practitioner"}, 400, "Practitioner"),
        (asked({"resourceType": "Patient", "gender": "f"}), 400, "Parameters.parameter[0].resource.gender"),
        (asked({"resourceType": "Patient", "birthDate": "0000-01-01", "name": [{"family": "x"}]}), 400,
         "Parameters.parameter[0].resource.birthDate"),
        (asked({"resourceType": "Patient"}, count=0), 400, "Parameters.parameter[1]"),
        (asked({"resourceType": "Patient"}, count="many"), 400, "Parameters.parameter[1]"),
        (asked({"resourceType": "Patient"}, onlyCertainMatches="yes"), 400, "Parameters.parameter[1]"),
        (asked({"resourceType": "Patient"}, onlyCertainMatches=1), 400, "Parameters.parameter[1]"),
    ],
)  # fmt: skip
async def test_wrong_arguments_are_named(client: Any, body: Any, status: int, place: str) -> None:
    found = refused(await client.post("Patient/$match", json=body), status)
    assert expressions(found) == [place]


async def test_unknown_arguments(people: People) -> None:
    body = asked(people.patient(), bogus="x")
    told = outcome_in((await people.client.post("Patient/$match", json=body)).json())
    assert told
    assert expressions(told) == ["bogus"]
    refused(await people.client.post("Patient/$match", json=body, headers={"Prefer": "handling=strict"}), 400)


async def test_level_and_method(client: Any) -> None:
    answer = await client.get("Patient/$match")
    refused(answer, 405)
    assert answer.headers["Allow"] == "POST"
    refused(await client.post("Patient/1/$match", json={}), 404)
    refused(await client.post("Practitioner/$match", json={}), 404)


async def test_hostile_values_match_nobody(client: Any) -> None:
    for value in ({"$gt": ""}, "$where", ".*", "a,b|c$d\\", "x" * 5000):
        patient = {"resourceType": "Patient", "identifier": [{"system": MEMBER, "value": value}]}
        answer = await client.post("Patient/$match", json=asked(patient))
        if isinstance(value, dict):
            refused(answer, 400)
        else:
            assert answer.json()["total"] == 0


async def test_every_lookup_uses_an_index(world: World) -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": MEMBER, "value": "1"}, {"value": "2"}],
        "name": [{"family": "O'Brien", "given": ["Ann"]}],
        "birthDate": "1980-02-03",
        "telecom": [{"system": "phone", "value": "1234567"}, {"system": "email", "value": "a@x.example"}],
    }
    lookups = _lookups(world, patient)
    assert len(lookups) == 5
    for clauses in lookups:
        where = world.store.vault.where({**to_filter(clauses), "deleted": False})
        plan = await world.store.connection.collection("Patient").find(where).explain()
        assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"]), where
        assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])

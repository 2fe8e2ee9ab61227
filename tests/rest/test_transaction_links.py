"""Links in a transaction: urns, full URLs, conditional references, and conditions. https://hl7.org/fhir/R4/http.html#trules"""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.builders.answers import codes, expressions, refused
from tests.builders.bundles import create, entry, reference, send, sent, statuses, update, urn
from tests.builders.clinic import Clinic

MRN = "urn:mrn"


@pytest.fixture
def clinic(client: Any) -> Clinic:
    return Clinic(client)


def patient(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": MRN, "value": name}], **more}


def flag(subject: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Flag",
        "status": "active",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        **more,
    }


async def test_urns_become_ids_also_in_circles(client: Any, clinic: Clinic) -> None:
    first, second, third = urn(), urn(), urn()
    link = [{"other": {"reference": second}, "type": "seealso"}]
    back = [{"other": {"reference": first}, "type": "seealso"}]
    answered = await sent(
        client,
        create(flag(first, extension=[{"url": "urn:x", "valueUri": second}],
                    text={"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">'
                                                        f'<a href="{second}">x</a></div>'}), third),
        create(patient(clinic.id("a"), link=link), first),
        create(patient(clinic.id("b"), link=back), second),
    )  # fmt: skip
    one, two = reference(answered[1]), reference(answered[2])
    stored = (await client.get(reference(answered[0]))).json()
    assert stored == answered[0]["resource"]
    assert stored["subject"] == {"reference": one}
    assert stored["extension"] == [{"url": "urn:x", "valueUri": two}]
    assert f'<a href="{two}">' in stored["text"]["div"]
    assert answered[1]["resource"]["link"][0]["other"] == {"reference": two}
    assert answered[2]["resource"]["link"][0]["other"] == {"reference": one}
    found = (await client.get("Flag", params={"subject": one})).json()
    assert found["total"] == 1


async def test_full_urls_of_another_server(client: Any, clinic: Clinic) -> None:
    base = f"https://{clinic.name}.example/fhir"
    answered = await sent(
        client,
        create(patient(clinic.id("a")), f"{base}/Patient/1"),
        create(flag("Patient/1"), f"{base}/Flag/1"),
        create(flag(f"{base}/Patient/1"), urn()),
        create(flag("Patient/1"), urn()),
        create(flag(f"{base}/Patient/1/_history/4"), f"{base}/Flag/2"),
    )
    made = reference(answered[0])
    assert [one["resource"]["subject"]["reference"] for one in answered[1:]] == [
        made, made, "Patient/1", f"{base}/Patient/1/_history/4",
    ]  # fmt: skip


async def test_a_urn_may_stand_for_an_update(client: Any, clinic: Clinic) -> None:
    url = await clinic.patient()
    name = urn()
    changed = {**(await client.get(url)).json(), "active": True}
    answered = await sent(client, create(flag(name)), {**update(changed), "fullUrl": name})
    assert answered[0]["resource"]["subject"] == {"reference": url}
    other = {"resourceType": "Patient", "id": clinic.id("pat"), "gender": "male"}
    outcome = refused(await send(client, {**update(changed), "fullUrl": name}, update(other)), 400)
    assert expressions(outcome) == ["Bundle.entry[1]"]


async def test_a_urn_of_nobody_is_400(client: Any, clinic: Clinic) -> None:
    nobody = urn()
    outcome = refused(await send(client, create(patient(clinic.id("a"))), create(flag(nobody))), 400)
    assert expressions(outcome) == ["Bundle.entry[1].resource.subject.reference"]
    assert nobody not in str(outcome)
    assert (await client.get("Patient", params={"identifier": f"{MRN}|{clinic.id('a')}"})).json()["total"] == 0


async def test_a_reference_to_the_wrong_type_is_seen_behind_its_urn(client: Any) -> None:
    name = urn()
    organization = {"resourceType": "Organization", "name": "x"}
    wrong = {"resourceType": "AppointmentResponse", "appointment": {"reference": name}, "participantStatus": "accepted",
             "actor": {"display": "x"}}  # fmt: skip
    outcome = refused(await send(client, create(organization, name), create(wrong)), 400)
    assert expressions(outcome) == ["Bundle.entry[1].resource.appointment.reference"]


BASE = "http://fhir.test/fhir"


@pytest.mark.parametrize(
    "wrong",
    ["#", "a", "Patient?x", "Patient/px2", "http://hl7.org/fhir/sid/us-ssn", "urn:uuid:", "urn:oid:", "urn:uuid:x",
     "urn:isbn:1", "ftp://ehr.example/Patient/1", "https://ehr.example/Practitioner/1",
     "https://ehr.example/Patient/1/_history/1", f"{BASE}/Patient/px2", "http://FHIR.test/fhir/Patient/px2"],
)  # fmt: skip
async def test_a_full_url_is_that_of_its_entry(client: Any, clinic: Clinic, wrong: str) -> None:
    url, id_ = await clinic.patient(), clinic.id("pat")
    changed = {"resourceType": "Patient", "id": id_, "gender": "male"}
    activate = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": "active"}, {"name": "value", "valueBoolean": True}]}]}  # fmt: skip
    for bad in (
        {**update(changed), "fullUrl": wrong},
        entry("PATCH", url, activate, wrong),
        entry("DELETE", url, None, wrong),
        entry("PUT", f"Patient?_id={id_}", changed, wrong),
        create(patient(clinic.id("a")), wrong),
    ):
        outcome = refused(await send(client, create(flag("Patient/px2")), bad), 400)
        assert expressions(outcome) == ["Bundle.entry[1].fullUrl"]
        assert (await client.get(url)).headers["ETag"] == 'W/"1"'
    right = {**update(changed), "fullUrl": f"{BASE}/{url}"}
    answered = await sent(client, right, create(flag(f"{BASE}/{url}"), "urn:oid:1.2.3"))
    assert answered[1]["resource"]["subject"]["reference"] == url
    await sent(client, entry("DELETE", f"Patient?identifier={MRN}|{clinic.id('none')}", None, f"{BASE}/Patient/1"))


async def test_what_is_deleted_is_no_target(client: Any, clinic: Clinic) -> None:
    url, name = await clinic.patient(), urn()
    outcome = refused(await send(client, entry("DELETE", url, None, name), create(flag(name))), 400)
    assert expressions(outcome) == ["Bundle.entry[1].resource.subject.reference"]
    assert (await client.get(url)).status_code == 200


async def test_conditional_references(client: Any, clinic: Clinic) -> None:
    url = (await client.post("Patient", json=patient(clinic.id("there")))).headers["Location"]
    there, new = f"Patient?identifier={MRN}|{clinic.id('there')}", f"Patient?identifier={MRN}|{clinic.id('new')}"
    answered = await sent(
        client,
        create(flag(there, author={"reference": new}, text={
            "status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{there}">x</a></div>'})),
        create(patient(clinic.id("new"))),
    )  # fmt: skip
    made = (await client.get(reference(answered[0]))).json()
    assert made["subject"]["reference"] == "/".join(url.split("/")[-4:-2])
    assert made["author"]["reference"] == reference(answered[1])
    assert f'href="{made["subject"]["reference"]}"' in made["text"]["div"]


@pytest.mark.parametrize(
    ("text", "status"),
    [("Patient?identifier=urn:mrn|{0}-none", 412), ("Patient?identifier=urn:mrn|{0}-twice", 412),
     ("Patient?identifer=x", 400), ("Patient?_sort=name", 400), ("Observation?code=x", 400),
     ("Patient?identifier", 400)],
)  # fmt: skip
async def test_a_conditional_reference_matches_one(client: Any, clinic: Clinic, text: str, status: int) -> None:
    for _ in range(2):
        await client.post("Patient", json=patient(clinic.id("twice")))
    asked = text.format(clinic.name)
    outcome = refused(await send(client, create(patient(clinic.id("a"))), create(flag(asked))), status)
    assert expressions(outcome)[0] == "Bundle.entry[1].resource.subject.reference"
    assert (await client.get("Patient", params={"identifier": f"{MRN}|{clinic.id('a')}"})).json()["total"] == 0
    # Outside of a transaction nothing resolves it.
    refused(await client.post("Flag", json=flag(asked)), 400)


async def test_the_same_bundle_twice(client: Any, clinic: Clinic) -> None:
    mrn, doc, ghost = clinic.id("a"), clinic.id("doc"), urn()
    who = urn()
    entries = [
        create(flag(who, author={"reference": ghost}, identifier=[{"system": MRN, "value": clinic.id("f")}]),
               ifNoneExist=f"identifier={MRN}|{clinic.id('f')}"),
        create(patient(mrn), who, ifNoneExist=f"identifier={MRN}|{mrn}"),
        entry("PUT", f"Practitioner?identifier={MRN}|{doc}", {
            "resourceType": "Practitioner", "identifier": [{"system": MRN, "value": doc}]}, ghost),
        entry("DELETE", f"Patient?identifier={MRN}|{clinic.id('none')}"),
    ]  # fmt: skip
    first = await sent(client, *entries)
    again = await sent(client, *entries)
    assert (statuses(first), statuses(again)) == ([201, 201, 201, 204], [200, 200, 200, 204])
    assert [one["response"].get("etag") for one in again] == ['W/"1"'] * 3 + [None]
    assert again[0]["resource"] == first[0]["resource"]
    assert first[0]["resource"]["subject"]["reference"] == reference(first[1]) == reference(again[1])
    third = await sent(client, *entries[1:], create(flag(who)))
    assert third[-1]["resource"]["subject"]["reference"] == reference(first[1])


async def test_conditions_in_entries(client: Any, clinic: Clinic) -> None:
    mrn = clinic.id("a")
    made = (await client.post("Patient", json=patient(mrn))).json()
    criteria = f"identifier={MRN}|{mrn}"
    good = create(patient(clinic.id("b")))
    for bad, status in (
        (entry("PUT", f"Patient?{criteria}", patient(mrn, id="another-one")), 400),
        (entry("PUT", f"Patient?{criteria}", patient(mrn), ifMatch='W/"2"'), 412),
        (entry("PUT", f"Patient?{criteria}", patient(mrn), ifNoneMatch="*"), 412),
        (entry("DELETE", f"Patient?{criteria}", ifMatch='W/"2"'), 412),
        (entry("DELETE", f"Patient/{made['id']}", ifMatch='W/"2"'), 412),
        (update(patient(mrn, id=made["id"]), ifMatch="W/2"), 400),
        (update(patient(mrn, id=made["id"]), ifNoneMatch="*"), 412),
        (entry("PUT", f"Patient?identifier={MRN}|{mrn}-none", patient(mrn, id=made["id"])), 409),
    ):
        outcome = refused(await send(client, good, bad), status)
        assert all(one.startswith("Bundle.entry[1]") for one in expressions(outcome)), outcome
    # The same resource by its id, by criteria, and by criteria of a create.
    for others in (
        [entry("DELETE", f"Patient/{made['id']}"), entry("PUT", f"Patient?{criteria}", patient(mrn))],
        [create(patient(mrn), ifNoneExist=criteria), update(patient(mrn, id=made["id"]))],
        [entry("PUT", f"Patient?{criteria}", patient(mrn)), entry("DELETE", f"Patient?{criteria}&_id={made['id']}")],
    ):
        refused(await send(client, good, *others), 400)
    await client.post("Patient", json=patient(mrn))
    for several in (
        create(patient(mrn), ifNoneExist=criteria), entry("PUT", f"Patient?{criteria}", patient(mrn)),
        entry("DELETE", f"Patient?{criteria}"),
    ):  # fmt: skip
        assert codes(await send(client, good, several)) == ["multiple-matches"]
    assert (await client.get("Patient", params={"identifier": f"{MRN}|{clinic.id('b')}"})).json()["total"] == 0
    assert (await client.get(f"Patient/{made['id']}")).headers["ETag"] == 'W/"1"'


async def test_the_order_of_the_entries_does_not_matter(client: Any) -> None:
    for seed in range(10):
        clinic = Clinic(client)
        gone, old = await clinic.patient("gone"), await clinic.patient("old")
        site, doc, role, who, seen = (urn() for _ in range(5))
        visit = {
            "resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"},
            "subject": {"reference": f"Patient?identifier={MRN}|{clinic.id('new')}"},
        }  # fmt: skip
        entries = {
            "search": entry("GET", f"Flag?identifier={MRN}|{clinic.id('flag')}&_include=Flag:subject"),
            "read": entry("GET", old),
            "head": entry("HEAD", f"Patient/{clinic.id('put')}"),
            "flag": create(flag(who, identifier=[{"system": MRN, "value": clinic.id("flag")}])),
            "role": create({"resourceType": "PractitionerRole", "practitioner": {"reference": doc},
                            "location": [{"reference": site}]}, role),
            "doc": create({"resourceType": "Practitioner"}, doc),
            "site": create({"resourceType": "Location", "name": "x"}, site),
            "visit": create(visit, seen),
            "who": create(patient(clinic.id("new")), who, ifNoneExist=f"identifier={MRN}|{clinic.id('new')}"),
            "put": update(patient(clinic.id("put"), id=clinic.id("put"), generalPractitioner=[{"reference": role}])),
            "old": update({"resourceType": "Patient", "id": clinic.id("old"), "active": True}, ifMatch='W/"1"'),
            "gone": entry("DELETE", gone),
        }  # fmt: skip
        order = list(entries)
        random.Random(seed).shuffle(order)
        found = dict(zip(order, await sent(client, *(entries[name] for name in order)), strict=True))
        assert statuses([found[name] for name in entries]) == [200] * 3 + [201] * 7 + [200, 204], order
        hits = [one["resource"]["resourceType"] for one in found["search"]["resource"]["entry"]]
        assert hits == ["Flag", "Patient"], order
        assert found["read"]["resource"]["active"] is True
        assert found["head"]["response"]["etag"] == 'W/"1"'
        assert found["flag"]["resource"]["subject"]["reference"] == reference(found["who"])
        assert found["visit"]["resource"]["subject"]["reference"] == reference(found["who"])
        assert found["role"]["resource"]["practitioner"]["reference"] == reference(found["doc"])
        assert found["role"]["resource"]["location"][0]["reference"] == reference(found["site"])
        assert found["put"]["resource"]["generalPractitioner"][0]["reference"] == reference(found["role"])
        refused(await client.get(gone), 410)

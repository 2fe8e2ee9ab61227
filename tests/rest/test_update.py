"""``update``: versions, conditions, update as create, no change. https://hl7.org/fhir/R4/http.html#update"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.builders.answers import expressions, refused
from tests.builders.clinic import Clinic


@pytest.fixture
async def patient(client: Any) -> dict[str, Any]:
    url = await Clinic(client).patient()
    found: dict[str, Any] = (await client.get(url)).json()
    return found


async def _put(client: Any, resource: dict[str, Any], **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource, headers=named)


async def test_the_next_version(client: Any, patient: dict[str, Any]) -> None:
    answer = await _put(client, {**patient, "active": True})
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    assert answer.json()["meta"]["versionId"] == "2"
    assert (await client.get(f"Patient/{patient['id']}")).json() == answer.json()


async def test_update_as_create(client: Any) -> None:
    body = {"resourceType": "Patient", "id": Clinic(client).name}
    answer = await _put(client, body)
    assert (answer.status_code, answer.headers["ETag"]) == (201, 'W/"1"')
    assert answer.headers["Location"].endswith(f"/Patient/{body['id']}/_history/1")


async def test_the_id_of_the_body_is_the_id_of_the_url(client: Any, patient: dict[str, Any]) -> None:
    url = f"Patient/{patient['id']}"
    without = {name: value for name, value in patient.items() if name != "id"}
    assert expressions(refused(await client.put(url, json=without), 400)) == ["Patient.id"]
    refused(await client.put(url, json={**patient, "id": "another"}), 400)
    refused(await client.put(url, json={"resourceType": "Practitioner", "id": patient["id"]}), 400)


async def test_a_deleted_one_comes_back_with_its_versions(client: Any, patient: dict[str, Any]) -> None:
    await client.delete(f"Patient/{patient['id']}")
    answer = await _put(client, patient)
    assert (answer.status_code, answer.headers["ETag"]) == (201, 'W/"3"')
    history = (await client.get(f"Patient/{patient['id']}/_history")).json()
    assert [one["request"]["method"] for one in history["entry"]] == ["PUT", "DELETE", "PUT"]


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ('W/"1"', 200), ('"1"', 200), ('W/"7", W/"1"', 200), ("*", 200),
        ('W/"2"', 412), ('W/"0"', 412), ("abc", 400), ("W/abc", 400), ("1", 400), ('W/"x"', 400),
    ],
)  # fmt: skip
async def test_if_match(client: Any, patient: dict[str, Any], tag: str, status: int) -> None:
    answer = await _put(client, {**patient, "active": True}, If_Match=tag)
    assert answer.status_code == status, answer.text
    after = (await client.get(f"Patient/{patient['id']}")).headers["ETag"]
    assert after == ('W/"2"' if status == 200 else 'W/"1"')


async def test_if_match_of_what_is_not_there(client: Any) -> None:
    body = {"resourceType": "Patient", "id": Clinic(client).name}
    refused(await _put(client, body, If_Match="*"), 412)
    refused(await client.get(f"Patient/{body['id']}"), 404)


async def test_only_if_there_is_none(client: Any) -> None:
    body = {"resourceType": "Patient", "id": Clinic(client).name}
    assert (await _put(client, body, If_None_Match="*")).status_code == 201
    refused(await _put(client, {**body, "active": True}, If_None_Match="*"), 412, "version-conflict")
    refused(await _put(client, body, If_None_Match='W/"1"'), 400)


async def test_one_of_many_with_the_same_version_wins(client: Any, patient: dict[str, Any]) -> None:
    changes = [{**patient, "name": [{"family": str(number)}]} for number in range(20)]
    answers = await asyncio.gather(*(_put(client, one, If_Match='W/"1"') for one in changes))
    assert sorted(one.status_code for one in answers) == [200] + [412] * 19
    winner = next(one for one in answers if one.status_code == 200).json()
    assert (await client.get(f"Patient/{patient['id']}")).json() == winner


async def test_no_change_is_no_version(client: Any, patient: dict[str, Any]) -> None:
    later = {**patient, "meta": {**patient["meta"], "lastUpdated": "2001-01-01T00:00:00Z", "versionId": "9"}}
    for sent in (patient, later):
        answer = await _put(client, sent)
        assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"')
    assert (await client.get(f"Patient/{patient['id']}/_history")).json()["total"] == 1
    tagged = await _put(client, {**patient, "meta": {"tag": [{"code": "x"}]}})
    assert tagged.headers["ETag"] == 'W/"2"'


async def test_a_refused_update_writes_nothing(client: Any, patient: dict[str, Any]) -> None:
    refused(await _put(client, {**patient, "gender": "odd"}), 400)
    assert (await client.get(f"Patient/{patient['id']}")).json() == patient


async def test_prefer_minimal(client: Any, patient: dict[str, Any]) -> None:
    answer = await _put(client, {**patient, "active": True}, Prefer="return=minimal")
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (200, b"", 'W/"2"')

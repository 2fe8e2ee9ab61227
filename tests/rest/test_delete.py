"""``delete``: what is gone, and that saying it twice is no fault. https://hl7.org/fhir/R4/http.html#delete"""

from __future__ import annotations

from typing import Any

from tests.builders.answers import refused
from tests.builders.clinic import Clinic


async def test_gone_everywhere_but_in_the_history(client: Any) -> None:
    clinic = Clinic(client)
    url = await clinic.patient()
    await clinic.put(
        {
            "resourceType": "Flag",
            "id": clinic.id("f"),
            "status": "active",
            "code": {"text": "x"},
            "subject": {"reference": url},
        }
    )
    answer = await client.delete(url)
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (204, b"", 'W/"2"')
    refused(await client.get(url), 410)
    for query in ({"_id": clinic.id("pat")}, {"_id": clinic.id("pat"), "gender:not": "male"}):
        assert (await client.get("Patient", params=query)).json()["total"] == 0
    include = await client.get("Flag", params={"_id": clinic.id("f"), "_include": "Flag:subject"})
    assert [one["search"]["mode"] for one in include.json()["entry"]] == ["match"]
    chained = await client.get("Flag", params={"_id": clinic.id("f"), "subject:Patient.name": "Pat"})
    assert chained.json()["total"] == 0


async def test_what_is_not_there_is_deleted_already(client: Any) -> None:
    url = await Clinic(client).patient()
    assert [(await client.delete(url)).status_code for _ in range(2)] == [204, 204]
    assert (await client.delete("Patient/never-was")).status_code == 204
    assert (await client.get(f"{url}/_history")).json()["total"] == 2


async def test_if_match(client: Any) -> None:
    url = await Clinic(client).patient()
    refused(await client.delete(url, headers={"If-Match": 'W/"2"'}), 412)
    refused(await client.delete(url, headers={"If-Match": "x"}), 400)
    assert (await client.get(url)).status_code == 200
    assert (await client.delete(url, headers={"If-Match": 'W/"1"'})).status_code == 204


async def test_a_whole_type_is_not_deleted(client: Any) -> None:
    url = await Clinic(client).patient()
    for path in ("Patient", "Patient?", "Patient?_count=1"):
        refused(await client.delete(path), 400)
    assert (await client.get(url)).status_code == 200

"""``vread``: every version as it was written. https://hl7.org/fhir/R4/http.html#vread"""

from __future__ import annotations

from typing import Any

from tests.builders.answers import refused
from tests.builders.clinic import Clinic


async def test_each_version_is_kept(client: Any) -> None:
    clinic = Clinic(client)
    url = await clinic.patient()
    stored = (await client.get(url)).json()
    for name in ("second", "third"):
        await clinic.put({**stored, "name": [{"family": name}]})
    await client.delete(url)
    names = []
    for version in ("1", "2", "3"):
        answer = await client.get(f"{url}/_history/{version}")
        assert (answer.status_code, answer.headers["ETag"]) == (200, f'W/"{version}"')
        assert answer.json()["meta"]["versionId"] == version
        names.append(answer.json()["name"][0]["family"])
    assert names == ["Pat", "second", "third"]
    refused(await client.get(f"{url}/_history/4"), 410)
    for version in ("5", "0", "01", "abc", "-1", "9" * 40):
        refused(await client.get(f"{url}/_history/{version}"), 404)


async def test_a_version_of_what_never_was(client: Any) -> None:
    refused(await client.get("Patient/never-was/_history/1"), 404)


async def test_a_version_cannot_be_written(client: Any) -> None:
    url = await Clinic(client).patient()
    for method in ("PUT", "DELETE", "POST", "PATCH"):
        answer = await client.request(method, f"{url}/_history/1", json={})
        refused(answer, 405)
        assert answer.headers["Allow"] == "GET, HEAD"

"""``patch``: JSON Patch (RFC 6902) and merge patch (RFC 7386), all or nothing. https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.builders.answers import refused
from tests.builders.clinic import Clinic

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def url(client: Any) -> str:
    """A Patient with a name, a birth date and a decimal."""
    clinic = Clinic(client)
    body = (
        '{"resourceType":"Patient","id":"%s","name":[{"family":"Pat","given":["A","B"]}],"birthDate":"1980-05-11",'  # noqa: UP031
        '"extension":[{"url":"https://x.example/a~b/c","valueDecimal":1.00}]}' % clinic.id("p")
    )
    answer = await client.put(f"Patient/{clinic.id('p')}", content=body.encode())
    assert answer.status_code == 201, answer.text
    return f"Patient/{clinic.id('p')}"


async def _patch(client: Any, url: str, *operations: dict[str, Any], **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.patch(url, content=json.dumps(operations), headers={"Content-Type": JSON_PATCH, **named})


def _op(op: str, path: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **({} if value is None else {"value": value}), **more}


async def test_every_operation(client: Any, url: str) -> None:
    answer = await _patch(
        client, url,
        _op("test", "/name/0/family", "Pat"),
        _op("add", "/active", True),
        _op("add", "/name/0/given/-", "C"),
        _op("remove", "/name/0/given/0"),
        _op("replace", "/birthDate", "1981-05-11"),
        _op("copy", "/name/1", **{"from": "/name/0"}),
        _op("replace", "/name/1/use", "old") | {"op": "add"},
        _op("move", "/name/0/text", **{"from": "/name/1/family"}),
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    patched = answer.json()
    assert answer.headers["ETag"] == 'W/"2"'
    assert patched["name"] == [
        {"family": "Pat", "given": ["B", "C"], "text": "Pat"},
        {"given": ["B", "C"], "use": "old"},
    ]
    assert (patched["active"], patched["birthDate"]) == (True, "1981-05-11")
    assert '"valueDecimal":1.00' in answer.text


REFUSED = [
    ([_op("test", "/name/0/family", "Other"), _op("add", "/active", True)], 422),
    ([_op("add", "/active", True), _op("test", "/birthDate", "2000-01-01")], 422),
    ([_op("add", "/active", True), _op("test", "/active", 1)], 422),
    ([_op("test", "/gender", "male")], 422),
    ([_op("replace", "/nothing/here", 1)], 400),
    ([_op("remove", "/name/-")], 400),
    ([_op("add", "/name/00/text", "x")], 400),
    ([_op("add", "/name/-1/text", "x")], 400),
    ([_op("add", "/deceasedBoolean", False), _op("add", "/deceasedDateTime", "2020")], 400),
    ([_op("add", "/extension/0/extension", [{"url": "x", "valueCode": "x"}])], 400),
    ([_op("add", "/contact/0/gender", "male")], 400),
    ([_op("remove", "/name/7")], 400),
    ([_op("add", "/name/9", {"family": "x"})], 400),
    ([_op("add", "/name/x", {"family": "x"})], 400),
    ([_op("replace", "/id", "other")], 400),
    ([_op("remove", "/id")], 400),
    ([_op("replace", "/resourceType", "Practitioner")], 400),
    ([_op("replace", "/meta/versionId", "9")], 400),
    ([_op("replace", "/meta/lastUpdated", "2001-01-01T00:00:00Z")], 400),
    ([_op("remove", "/meta")], 400),
    ([_op("add", "/gender", "odd")], 400),
    ([_op("add", "/bogus", 1)], 400),
    ([_op("replace", "", [])], 400),
    ([_op("remove", "")], 400),
    ([_op("explode", "/name")], 400),
    ([{"op": "add"}], 400),
    ([{"op": "add", "path": "name", "value": 1}], 400),
    ([{"op": "add", "path": 5, "value": 1}], 400),
    ([{"op": "add", "path": "/active"}], 400),
    ([{"op": "move", "path": "/name/0/given", "from": "/name"}], 400),
    ([{"op": "copy", "path": "/name", "from": "/none"}], 400),
    ([5], 400),
    ({"op": "add"}, 400),
    ([_op("add", "/active", True)] * 1001, 413),
]


@pytest.mark.parametrize(("patch", "status"), REFUSED, ids=[str(one[0])[:60] for one in REFUSED])
async def test_a_patch_that_does_not_fit_changes_nothing(client: Any, url: str, patch: Any, status: int) -> None:
    before = (await client.get(url)).text
    answer = await client.patch(url, content=json.dumps(patch), headers={"Content-Type": JSON_PATCH})
    refused(answer, status)
    assert (await client.get(url)).text == before


@pytest.mark.parametrize(
    ("type_", "body", "status"),
    [
        (JSON_PATCH, b"", 400),
        (JSON_PATCH, b"[", 400),
        (MERGE, b"", 400),
        (MERGE, b"[]", 400),
        (MERGE, b'"x"', 400),
        (MERGE, b'{"active":NaN}', 400),
        (MERGE, b'{"active":true,"active":false}', 400),
        (MERGE, b'{"language":"\\ud800"}', 400),
        (MERGE, b'{"id":"other"}', 400),
        (MERGE, b'{"gender":"odd"}', 400),
        (MERGE, b'{"multipleBirthInteger":' + b"9" * 5000 + b"}", 400),
        ("text/plain", b"[]", 415),
        ("application/xml-patch+xml", b"<diff/>", 415),
        ("application/fhir+json; fhirVersion=5.0", b"{}", 415),
        ("application/json-patch+json; charset=latin-1", b"[]", 415),
    ],
)
async def test_a_body_that_is_no_patch(client: Any, url: str, type_: str, body: bytes, status: int) -> None:
    refused(await client.patch(url, content=body, headers={"Content-Type": type_}), status)
    assert (await client.get(url)).headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize("type_", [MERGE, "application/json", "application/fhir+json"])
async def test_a_merge_patch(client: Any, url: str, type_: str) -> None:
    body = b'{"birthDate":null,"active":true,"name":[{"family":"New"}],"maritalStatus":{"text":"x"}}'
    answer = await client.patch(url, content=body, headers={"Content-Type": type_})
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"'), answer.text
    patched = answer.json()
    assert "birthDate" not in patched
    assert (patched["active"], patched["name"], patched["maritalStatus"]) == (True, [{"family": "New"}], {"text": "x"})
    more = await client.patch(url, content=b'{"maritalStatus":{"text":null,"coding":[{"code":"M"}]}}',
                              headers={"Content-Type": type_})  # fmt: skip
    assert more.json()["maritalStatus"] == {"coding": [{"code": "M"}]}


async def test_a_merge_patch_keeps_decimals(client: Any) -> None:
    clinic = Clinic(client)
    await clinic.put({"resourceType": "Location", "id": clinic.id("l"), "name": "L"})
    answer = await client.patch(
        f"Location/{clinic.id('l')}", content=b'{"position":{"latitude":1.00,"longitude":-0.50}}',
        headers={"Content-Type": MERGE},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert '"latitude":1.00' in answer.text
    assert '"longitude":-0.50' in answer.text


async def test_operations_are_counted_in_a_refusal(client: Any, url: str) -> None:
    outcome = refused(await _patch(client, url, _op("add", "/active", True), _op("remove", "/gender")), 400)
    assert "operation 1 " in outcome["issue"][0]["diagnostics"]


async def test_a_patch_does_not_nest_deeper_than_a_resource_may(client: Any, url: str) -> None:
    deep: Any = [{"url": "urn:end", "valueCode": "x"}]
    for _ in range(25):
        deep = [{"url": "urn:deep", "extension": deep}]
    path = "/extension/1" + "/extension/0" * 24 + "/extension"
    refused(await _patch(client, url, _op("add", "/extension/-", deep[0]), _op("add", path, deep)), 400)
    assert (await client.get(url)).headers["ETag"] == 'W/"1"'


async def test_escaped_paths(client: Any) -> None:
    clinic = Clinic(client)
    await clinic.put({"resourceType": "Location", "id": clinic.id("l"), "name": "L"})
    url = f"Location/{clinic.id('l')}"
    refused(await _patch(client, url, _op("add", "/a~0b~1c", "x")), 400)
    refused(await _patch(client, url, _op("test", "/name~2", "x")), 400)


async def test_if_match(client: Any, url: str) -> None:
    refused(await _patch(client, url, _op("add", "/active", True), If_Match='W/"9"'), 412)
    refused(await _patch(client, url, _op("add", "/active", True), If_Match="nonsense"), 400)
    answer = await _patch(client, url, _op("add", "/active", True), If_Match='W/"1"')
    assert answer.status_code == 200
    refused(await _patch(client, url, _op("add", "/active", False), If_Match='W/"1"'), 412)


async def test_no_change_is_no_version(client: Any, url: str) -> None:
    answer = await _patch(client, url, _op("replace", "/birthDate", "1980-05-11"))
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"')


async def test_what_is_not_there_is_not_patched(client: Any, url: str) -> None:
    refused(await _patch(client, "Patient/never-was", _op("add", "/active", True)), 404)
    await client.delete(url)
    refused(await _patch(client, url, _op("add", "/active", True)), 410)


async def test_patches_of_different_elements_are_both_kept(client: Any, url: str) -> None:
    async def change(path: str) -> None:
        for number in range(10):
            answer = await _patch(client, url, _op("add", path, f"{path[1:]} {number}"))
            assert answer.status_code == 200, answer.text

    await asyncio.gather(change("/language"), change("/implicitRules"))
    patched = (await client.get(url)).json()
    assert (patched["language"], patched["implicitRules"]) == ("language 9", "implicitRules 9")
    assert patched["meta"]["versionId"] == "21"


async def test_prefer_minimal(client: Any, url: str) -> None:
    answer = await _patch(client, url, _op("add", "/active", True), Prefer="return=minimal")
    assert (answer.status_code, answer.content) == (200, b"")

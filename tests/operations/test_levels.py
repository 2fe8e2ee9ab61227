"""Every operation at every level and method: what changes state is never done by GET, and nothing is where it is not.

https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.rest.operations.table import ANY, OPERATIONS
from tests.builders.answers import refused

_OFFERED = [(kind if kind != ANY else "Patient", name, one) for (kind, name), one in OPERATIONS.items()]


@pytest.mark.parametrize(("type_", "name", "one"), _OFFERED, ids=[f"{kind}-{name}" for kind, name, _ in _OFFERED])
async def test_methods_and_levels(client: Any, type_: str, name: str, one: Any) -> None:
    for path, offered in ((f"{type_}/${name}", one.type), (f"{type_}/none/${name}", one.instance)):
        allowed = "GET, HEAD, POST" if one.safe else "POST"
        for method in ("PUT", "PATCH", "DELETE", *(() if one.safe else ("GET", "HEAD"))):
            answer = await client.request(method, path, json={})
            assert answer.status_code == (405 if offered else 404), (method, path)
            assert answer.headers.get("Allow") == (allowed if offered else None)
        if not offered:
            for method in ("GET", "POST"):
                refused(await client.request(method, path, json={"resourceType": "Parameters"}), 404)
    refused(await client.post(f"${name}", json={"resourceType": "Parameters"}), 404)


@pytest.mark.parametrize("type_", RESOURCE_TYPES)
async def test_unknown_operations_are_404(client: Any, type_: str) -> None:
    for path in (f"{type_}/$no-such", f"{type_}/none/$no-such", f"{type_}/$", f"{type_}/none/_history/1/$meta"):
        for method in ("GET", "POST"):
            refused(await client.request(method, path, json={"resourceType": "Parameters"}), 404)


@pytest.mark.parametrize("path", ["Patient/none/$meta-add", "Patient/$match", "Patient/none/$everything"])
@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"x", b'{"resourceType":"Parameters","parameter":{}}', b'{"resourceType":"Parameters","parameter":[1]}',
        b'{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":{},"valueString":"x"}]}',
        b'{"resourceType":"Parameters","parameter":[{"valueString":"x"}]}', b'{"parameter":[]}',
    ],
)  # fmt: skip
async def test_malformed_parameters_are_400(client: Any, path: str, body: bytes) -> None:
    refused(await client.post(path, content=body), 400)

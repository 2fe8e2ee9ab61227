"""``capabilities``: what the server says of itself; whether it is true is asked by ``test_truth``."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.fhir.types import AUDIT_EVENT, CONFORMANCE_TYPES, RESOURCE_TYPES
from tests.builders.answers import refused


@pytest.fixture
async def statement(client: Any) -> dict[str, Any]:
    answer = await client.get("metadata")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_what_it_says_of_itself(statement: dict[str, Any]) -> None:
    assert (statement["resourceType"], statement["fhirVersion"], statement["kind"]) == (
        "CapabilityStatement",
        "4.0.1",
        "instance",
    )
    assert statement["implementation"]["url"] == "http://fhir.test/fhir"
    assert "application/fhir+json" in statement["format"]
    assert "application/json-patch+json" in statement["patchFormat"]
    types = [one["type"] for one in statement["rest"][0]["resource"]]
    assert types == sorted([*RESOURCE_TYPES, *CONFORMANCE_TYPES, AUDIT_EVENT])


async def test_its_tag(client: Any) -> None:
    tag = (await client.get("metadata")).headers["ETag"]
    answer = await client.get("metadata", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert (await client.get("metadata", headers={"If-None-Match": 'W/"other"'})).status_code == 200
    refused(await client.get("metadata?mode=terminology"), 400)

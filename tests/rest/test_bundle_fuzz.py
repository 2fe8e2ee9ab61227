"""Bundles that are broken anywhere are refused, and never a defect."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.builders.bundles import create, entry, of, update, urn
from tests.builders.visits import Visits

JUNK: list[Any] = [
    None, True, 0, -1, 1e999, "", " ", "x", [], {}, [[]], [None], {"x": 1}, "urn:uuid:x", "Patient?", "Patient?a=b",
    "?", "/", "//", "..", "#", "http://", "http://fhir.test/fhir/", "$", "Patient/$x", "POST", "BREW", "*", 'W/"1"',
    "Slot/1/_history/1", "Patient?_id=" + "x" * 5000, "%00", "%", "\ud800", "\u0000", "2026",
    {"reference": "urn:uuid:x"},
    "Appointment?patient.name=x&_has:Slot:schedule:_id=1", "busy", "free", "cancelled",
]  # fmt: skip


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value: its container and its key."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _nodes(value[key])


def _broken(bundle: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    made = copy.deepcopy(bundle)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        holder, key = chance.choice(list(_nodes(made)))
        act = chance.random()
        if act < 0.2:
            del holder[key]
        elif act < 0.3 and isinstance(holder, dict):
            holder[f"_{key}"] = holder.pop(key)
        elif act < 0.4 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(chance.choice(JUNK))
    return made


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_no_broken_bundle_is_a_defect(client: Any, kind: str) -> None:
    clinic = await Visits(client).opened()
    who, patch = urn(), base64.b64encode(json.dumps([{"op": "add", "path": "/active", "value": True}]).encode())
    slot = {"resourceType": "Slot", "schedule": {"reference": f"Schedule/{clinic.id('s')}"}, "status": "busy",
            "start": clinic.at("15:00"), "end": clinic.at("15:30")}  # fmt: skip
    booked = clinic.appointment()
    booked["participant"][0]["actor"] = {"reference": who if kind == "transaction" else f"Patient/{clinic.id('pat')}"}
    whole = of(kind, [
        create({"resourceType": "Patient", "name": [{"family": "x"}]}, who, ifNoneExist=f"_id={clinic.id('new')}"),
        create(booked), create(slot, urn()),
        update({"resourceType": "Patient", "id": clinic.id("other"), "active": True}, ifMatch='W/"1"'),
        entry("PATCH", f"Patient/{clinic.id('pat')}", {
            "resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch.decode()}),
        entry("DELETE", f"Flag/{clinic.id('none')}"), entry("DELETE", f"Flag?identifier=urn:x|{clinic.id('none')}"),
        entry("PUT", f"Flag?identifier=urn:y|{clinic.id('none')}", {
            "resourceType": "Flag", "status": "active", "code": {"text": "x"},
            "subject": {"reference": f"Patient/{clinic.id('pat')}"}}),
        entry("GET", f"Patient/{clinic.id('pat')}", ifModifiedSince="2001-01-01T00:00:00Z"),
        entry("GET", f"Slot?schedule=Schedule/{clinic.id('s')}&_count=1"),
    ])  # fmt: skip
    chance = random.Random(7)
    for _ in range(250):
        body = json.dumps(_broken(whole, chance)).encode()
        answer = await client.post("", content=body)
        assert answer.status_code < 500, (body, answer.text)
        if answer.status_code == 200:
            for one in answer.json().get("entry", ()):
                assert not one["response"]["status"].startswith("5"), (body, one)
        else:
            assert answer.json()["resourceType"] == "OperationOutcome"

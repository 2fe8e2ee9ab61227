"""Messages to patients: theirs to read, the clinic's to see, and the server's alone to write."""

from __future__ import annotations

import pytest

from fhir_server.services.world import World
from tests.access.callers import Callers
from tests.builders.town import Town


@pytest.mark.parametrize("name", ["app", "parent", "practitioner", "desk", "administrator"])
@pytest.mark.parametrize("type_", ["Communication", "CommunicationRequest"])
async def test_read_and_not_written(callers: Callers, town: Town, name: str, type_: str) -> None:
    caller = await callers(name)
    person = {"parent": "ben"}.get(name, "ann")
    found = await caller.get(town.own(person, type_))
    assert found.status_code == 200, found.text
    assert found.json()["payload"][0]["contentString"] == town.word(person)
    new = {"resourceType": type_, "status": "active" if type_.endswith("Request") else "completed"}
    new["subject"] = {"reference": town.own(person)}
    assert (await caller.post(type_, new)).status_code == 403
    changed = await caller.ask("PUT", town.own(person, type_), json={**found.json(), "status": "unknown"})
    assert changed.status_code == 403
    assert (await caller.ask("DELETE", town.own(person, type_))).status_code == 403


async def test_clinics_follow_the_sender_else_the_patient(town: Town, world: World) -> None:
    """A message that a person sent lies inside the walls of the patient's clinics."""
    north = f"Organization/{town.id('north')}"
    for sender in ({"reference": f"Practitioner/{town.id('adams')}"}, {"reference": north}):
        await town.put({
            "resourceType": "Communication", "id": town.id("said"), "status": "completed", "sender": sender,
            "subject": {"reference": town.own("ann")},
        })  # fmt: skip
        found = await world.store.resources.get("Communication", town.id("said"))
        assert found is not None
        assert north in found.extra["clinics"]

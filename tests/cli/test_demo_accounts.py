"""The demo clinic's accounts: everybody of the README is there, and the parent acts for a child."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio

from fhir_server.access.caller import Role
from fhir_server.bootstrap import open_world
from fhir_server.cli.clinic import clinic
from fhir_server.cli.clinic_people import clinicians
from fhir_server.cli.seed import clinic_date
from fhir_server.services import resources
from fhir_server.services.authorization import accounts, demo_accounts, patients
from fhir_server.services.authorization.patients import Sought
from fhir_server.services.world import World
from fhir_server.settings import Settings


@pytest_asyncio.fixture(loop_scope="session")
async def demo(settings: Settings) -> AsyncIterator[World]:
    """A database of its own with the demo clinic in it."""
    alone = settings.model_copy(update={"mongo_database": f"{settings.mongo_database}_demo_{os.getpid()}"})
    async with open_world(alone) as opened:
        for one in clinic(3, 12, 2, 7, clinic_date()):
            await opened.put(one)
        yield opened.world


async def test_everybody_logs_in_and_may_choose_whom_they_should(demo: World) -> None:
    made = await demo_accounts.demo_accounts(demo, clinicians())
    assert set(made) == {
        "patient1", "patient2", "parent1", "frontdesk1", "admin1", "auditor1", "dr-adams", "dr-baker", "dr-chen",
    }  # fmt: skip
    assert await demo_accounts.demo_accounts(demo, clinicians()) == made
    parent = await accounts.authenticate(demo, "parent1", demo_accounts.PASSWORD)
    assert parent is not None
    (child,) = await patients.choices(demo, parent, Sought())
    assert child.label[-10:] >= "2012"
    desk = await accounts.authenticate(demo, "frontdesk1", demo_accounts.PASSWORD)
    assert desk is not None
    assert await patients.may_choose(demo, desk, "Patient/patient-9")
    found = await patients.choices(demo, desk, Sought(identifier="MRN-000009"))
    assert [one.reference for one in found] == ["Patient/patient-9"]
    stranger = replace(desk, clinics=frozenset({"Organization/demo-payer"}))
    assert await patients.choices(demo, stranger, Sought(identifier="MRN-000009")) == []
    assert {one.role for one in await accounts.every(demo)} == set(Role) - {Role.SYSTEM}


async def test_only_the_clinicians_of_the_seed_get_an_account_whatever_is_written_about_them(demo: World) -> None:
    for id_ in ("dr-ns", "dr-adams"):
        await resources.put(demo, {"resourceType": "Practitioner", "id": id_, "name": [{"family": "NS"}]})
    made = await demo_accounts.demo_accounts(demo, clinicians())
    assert "dr-adams" in made
    assert "dr-ns" not in made
    assert await accounts.named(demo, "dr-ns") is None

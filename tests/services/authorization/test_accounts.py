"""Accounts: made by role, proved by a password, ended at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from argon2 import PasswordHasher

from fhir_server.access.caller import Role
from fhir_server.errors import Category, Problem
from fhir_server.services.authorization import accounts, demo_accounts, passwords, sessions
from fhir_server.services.world import World
from tests.builders.people import PASSWORD, people


async def test_whoever_knows_the_password_is_the_account(world: World) -> None:
    clinic = await people(world)
    made = await clinic.account(username=f"Ana-{clinic.tag}")
    assert await accounts.authenticate(world, made.username, PASSWORD) == made
    assert await accounts.authenticate(world, f"  ANA-{clinic.tag} ", PASSWORD) == made
    assert await accounts.account(world, made.id) == made
    for username, password in (
        (made.username, PASSWORD + "x"), (made.username, ""), (f"nobody-{clinic.tag}", PASSWORD), ("", ""),
        ("x" * 5000, PASSWORD), (made.username, "x" * 100_000),
    ):  # fmt: skip
        assert await accounts.authenticate(world, username, password) is None


async def test_a_username_is_taken_once_also_in_another_spelling(world: World) -> None:
    clinic = await people(world)
    patients = [await clinic.patient(str(number)) for number in range(4)]
    names = [f"Zoë-{clinic.tag}", f"zoë-{clinic.tag}", f"ZOE\u0308-{clinic.tag}", f" zoë-{clinic.tag}"]
    made = await asyncio.gather(
        *(clinic.account(Role.PATIENT, one, username=name) for one, name in zip(patients, names, strict=True)),
        return_exceptions=True,
    )
    refused = [one for one in made if isinstance(one, Problem)]
    assert [one.category for one in refused] == [Category.CONFLICT] * 3


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 257])
async def test_a_password_has_a_length(world: World, password: str) -> None:
    with pytest.raises(Problem, match="12 to 256"):
        await accounts.add(world, username="anybody", password=password, role=Role.AUDITOR)


async def test_a_password_is_not_the_username(world: World) -> None:
    with pytest.raises(Problem, match="not the username"):
        await accounts.add(world, username="long-username", password="LONG-username", role=Role.AUDITOR)


@pytest.mark.parametrize(
    ("role", "fhir_user", "clinics", "words"),
    [
        (Role.PATIENT, "", False, "patient is the role of a Patient or RelatedPerson"),
        (Role.PATIENT, "Practitioner/1", False, "patient is not a role of Practitioner/1"),
        (Role.PATIENT, "Patient/absent", False, "Patient/absent does not exist"),
        (Role.PRACTITIONER, "Patient/1", True, "practitioner is not a role of Patient/1"),
        (Role.PRACTITIONER, "", True, "practitioner is the role of a Practitioner"),
        (Role.FRONT_DESK, "", False, "front-desk is a role in a clinic"),
        (Role.SYSTEM, "", False, "nobody logs in as system"),
    ],
)
async def test_a_role_says_who_somebody_can_be(
    world: World, role: Role, fhir_user: str, clinics: bool, words: str
) -> None:
    clinic = await people(world)
    with pytest.raises(Problem) as refused:
        await accounts.add(
            world,
            username=clinic.id("x"),
            password=PASSWORD,
            role=role,
            fhir_user=fhir_user,
            clinics=(clinic.clinic,) if clinics else (),
        )
    assert words in str(refused.value)


async def test_disabling_ends_sessions_and_logins_at_once_and_moves_the_epoch(world: World) -> None:
    clinic = await people(world)
    made = await clinic.account()
    opened = await sessions.open_session(world, made.id, complete=True)
    before = await world.store.access_epoch.current()
    await accounts.disable(world, made.id)
    assert not await sessions.alive(world, opened.session.id)
    assert await accounts.authenticate(world, made.username, PASSWORD) is None
    assert await world.store.access_epoch.current() != before
    await accounts.enable(world, made.id)
    assert await accounts.authenticate(world, made.username, PASSWORD) == made
    assert not await sessions.alive(world, opened.session.id)


async def test_another_password_ends_sessions(world: World) -> None:
    clinic = await people(world)
    made = await clinic.account()
    opened = await sessions.open_session(world, made.id, complete=True)
    await accounts.set_password(world, made.id, "another long password")
    assert not await sessions.alive(world, opened.session.id)
    assert await accounts.authenticate(world, made.username, PASSWORD) is None
    assert await accounts.authenticate(world, made.username, "another long password") == made


async def test_a_change_keeps_what_is_not_given(world: World) -> None:
    clinic = await people(world)
    child = await clinic.patient("child")
    made = await clinic.account(Role.PATIENT, await clinic.parent("parent", child), persons=[child])
    before = await world.store.access_epoch.current()
    changed = await accounts.change(world, made.id, name="Robin")
    assert changed == replace(made, name="Robin")
    assert (await accounts.change(world, made.id, persons=[])).persons == made.persons[:1]
    assert await world.store.access_epoch.current() != before


async def test_a_hash_of_other_parameters_is_made_anew_at_a_login(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic = await people(world)
    with monkeypatch.context() as weaker:
        weaker.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=1024))
        made = await clinic.account()
    before = await world.store.accounts.get(made.id)
    assert await accounts.authenticate(world, made.username, PASSWORD) == made
    after = await world.store.accounts.get(made.id)
    assert before is not None
    assert after is not None
    assert passwords.is_outdated(before.password)
    assert not passwords.is_outdated(after.password)
    assert await accounts.authenticate(world, made.username, PASSWORD) == made


async def test_the_database_holds_no_password_and_no_session_that_can_be_used(world: World) -> None:
    clinic = await people(world)
    made = await clinic.account()
    opened = await sessions.open_session(world, made.id, complete=True)
    kept = await world.store.connection.collection("accounts").find_one({"_id": made.id})
    assert PASSWORD not in str(kept)
    assert kept["password"].startswith("$argon2id$")
    assert opened.cookie not in str(await world.store.connection.collection("sessions").find({}).to_list(None))


async def test_demo_accounts_are_made_once_and_only_for_people_who_are_there(world: World) -> None:
    clinic = await people(world)
    first = await demo_accounts.demo_accounts(world, {})
    assert await demo_accounts.demo_accounts(world, {}) == first
    assert clinic.tag not in str(first)

"""One-time codes: the RFC's values, each once, one step of drift, recovery codes for a lost device."""

from __future__ import annotations

import asyncio
import base64

import pytest

from fhir_server.access.caller import Role
from fhir_server.services.authorization import accounts, second_factor
from fhir_server.services.world import World
from tests.builders.people import people
from tests.services.authorization.test_logins import later


@pytest.mark.parametrize(
    ("second", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_codes_are_those_of_the_rfc(second: int, code: str) -> None:
    secret = base64.b32encode(b"12345678901234567890").decode()
    assert second_factor.code_at(secret, second // 30) == code
    assert second_factor.step_of(secret, code, second + 29) is not None
    assert second_factor.step_of(secret, code, second + 61) is None


def code(secret: str, world: World, steps: int = 0) -> str:
    return second_factor.code_at(secret, world.now() // 30 + steps)


async def test_enrolment_needs_a_code_and_gives_recovery_codes_once(world: World) -> None:
    account = await (await people(world)).account(Role.PRACTITIONER)
    secret = await second_factor.offer(world, account)
    assert await second_factor.offer(world, account) == secret
    assert await second_factor.enroll(world, account, "000000x") == ()
    codes = await second_factor.enroll(world, account, code(secret, world))
    assert len(set(codes)) == 10
    enrolled = await accounts.account(world, account.id)
    assert enrolled is not None
    assert enrolled.second_factor
    assert await second_factor.offer(world, enrolled) == "", "who only knows the password gets no other"
    kept = await world.store.connection.collection("accounts").find_one({"_id": account.id})
    assert not any(one in str(kept) for one in codes)


async def test_a_code_is_good_once_also_for_two_at_the_same_moment(world: World) -> None:
    account = await (await people(world)).account(Role.PRACTITIONER)
    secret = await second_factor.offer(world, account)
    first = code(secret, world)
    assert await second_factor.enroll(world, account, first)
    assert not await second_factor.prove(world, account, first), "enrolment used it"
    after = later(world, 1)
    next_ = f"{code(secret, after)[:3]} {code(secret, after)[3:]}"
    proofs = await asyncio.gather(*(second_factor.prove(after, account, next_) for _ in range(8)))
    assert sorted(proofs) == [False] * 7 + [True]
    assert not await second_factor.prove(after, account, code(secret, after, -1)), "older than the one that was used"


async def test_a_recovery_code_is_good_once(world: World) -> None:
    account = await (await people(world)).account(Role.PRACTITIONER)
    secret = await second_factor.offer(world, account)
    codes = await second_factor.enroll(world, account, code(secret, world))
    proofs = await asyncio.gather(*(second_factor.prove(world, account, codes[0].upper()) for _ in range(4)))
    assert sorted(proofs) == [False] * 3 + [True]
    assert await second_factor.prove(world, account, codes[1].replace("-", " "))
    assert not await second_factor.prove(world, account, "")


async def test_reset_leads_to_another_enrolment(world: World) -> None:
    account = await (await people(world)).account(Role.PRACTITIONER)
    secret = await second_factor.offer(world, account)
    codes = await second_factor.enroll(world, account, code(secret, world))
    await accounts.reset_second_factor(world, account.id)
    assert not await second_factor.prove(world, account, codes[0])
    assert not await second_factor.prove(world, account, code(secret, later(world, 1)))
    again = await second_factor.offer(world, account)
    assert again not in {"", secret}


async def test_staff_need_one_by_setting_and_patients_if_they_want(world: World) -> None:
    clinic = await people(world)
    assert accounts.needs_second_factor(world, await clinic.account(Role.FRONT_DESK))
    assert accounts.needs_second_factor(world, await clinic.account(Role.AUDITOR))
    assert not accounts.needs_second_factor(world, await clinic.account())

"""Access tokens: what opens the server, what does not, and that an ended access ends at once (S19-S21, V19)."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from fhir_server.access.caller import Role
from fhir_server.access.scopes import parse
from fhir_server.bootstrap import open_world
from fhir_server.services.authorization import clients, keys, revocation, tokens
from fhir_server.services.authorization.context import NoContextError
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World
from tests.builders.smart import app, backend, disable, person


def _b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def _reason(world: World, token: str) -> str:
    with pytest.raises(InvalidToken) as refused:
        await tokens.caller_of(world, token)
    return refused.value.reason


async def _claims(world: World, **more: Any) -> tuple[dict[str, Any], keys.SigningKey]:
    client = await backend(world)
    now = world.now()
    said = {
        "iss": world.settings.issuer, "aud": "http://fhir.test/fhir", "sub": client.id, "client_id": client.id,
        "scope": "system/*.rs", "jti": "x", "iat": now, "exp": now + 60, **more,
    }  # fmt: skip
    return said, await keys.signing(world, "access")


def _signed(claims: dict[str, Any], key: keys.SigningKey, **header: Any) -> str:
    head = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid, **header}
    return jwt.encode(head, claims, key.key, algorithms=["ES256"])


async def test_a_backend_is_a_caller_with_its_walls(world: World) -> None:
    client = await backend(world, clinics=frozenset({"Organization/1"}))
    issued = await tokens.issue(world, client=client, scopes=parse("system/Patient.rs"))
    assert issued.expires_in == 300
    caller = await tokens.caller_of(world, issued.token)
    assert (caller.client, caller.role, caller.channel, caller.subject) == (client.id, Role.SYSTEM, "interface", "")
    assert (caller.clinics, str(caller.scopes), caller.token) == ({"Organization/1"}, "system/Patient.rs", issued.id)
    assert caller.expires == issued.expires


async def test_a_person_is_a_caller_with_role_context_and_clinics(world: World) -> None:
    client, _ = await app(world)
    staff = await person(world, Role.FRONT_DESK, "Practitioner/2", clinics=frozenset({"Organization/7"}))
    issued = await tokens.issue(
        world, client=client, scopes=parse("openid user/*.rs patient/*.rs"), account=staff, patient="Patient/9"
    )
    assert issued.expires_in <= 3600
    caller = await tokens.caller_of(world, issued.token)
    assert (caller.role, caller.channel, caller.subject) == (Role.FRONT_DESK, "staff", staff.id)
    assert (caller.fhir_user, caller.patient, caller.clinics) == ("Practitioner/2", "Patient/9", {"Organization/7"})
    patient = await person(world)
    mine = await tokens.issue(world, client=client, scopes=parse("patient/*.rs"), account=patient, patient="Patient/1")
    assert (await tokens.caller_of(world, mine.token)).clinics is None


@pytest.mark.parametrize(
    ("scopes", "with_person", "patient"),
    [
        ("patient/*.rs", True, ""), ("user/*.rs", False, ""), ("system/*.rs", True, ""),
        ("system/*.rs patient/*.rs", False, "Patient/1"), ("system/*.rs user/*.rs", True, "Patient/1"),
    ],
)  # fmt: skip
async def test_scopes_without_their_context_are_not_issued(
    world: World, scopes: str, with_person: bool, patient: str
) -> None:
    account = await person(world, fhir_user="Patient/1") if with_person else None
    client, _ = await app(world)
    with pytest.raises(NoContextError):
        await tokens.issue(world, client=client, scopes=parse(scopes), account=account, patient=patient)


@pytest.mark.parametrize("scope", ["patient/*.rs", "user/*.rs", "system/*.rs patient/*.rs"])
async def test_scopes_without_their_context_are_not_believed(world: World, scope: str) -> None:
    client = await backend(world, scopes="system/*.cruds patient/*.cruds user/*.cruds")
    claims, key = await _claims(world, sub=client.id, client_id=client.id, scope=scope)
    assert await _reason(world, _signed(claims, key)) == "context"


async def test_a_patient_that_is_no_id_is_no_context(world: World) -> None:
    client, _ = await app(world)
    account = await person(world)
    claims, key = await _claims(
        world, sub=account.id, client_id=client.id, scope="patient/*.rs", patient="1/../../Patient/2"
    )
    assert await _reason(world, _signed(claims, key)) == "context"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"iss": "https://evil.example"}, "issuer"),
        ({"aud": "https://other.example/fhir"}, "audience"),
        ({"aud": None}, "audience"),
        ({"exp": 1}, "expired"),
        ({"exp": "never"}, "claims"),
        ({"exp": True}, "claims"),
        ({"nbf": 4102444800}, "early"),
        ({"iat": 4102444800}, "early"),
        ({"client_id": "nobody"}, "client"),
        ({"client_id": {"$gt": ""}}, "claims"),
        ({"sub": "nobody"}, "account"),
        ({"sub": {"$ne": ""}}, "claims"),
        ({"grant": "gone"}, "revoked"),
    ],
)
async def test_a_claim_that_is_not_ours(world: World, change: dict[str, Any], reason: str) -> None:
    claims, key = await _claims(world, **change)
    assert await _reason(world, _signed(claims, key)) == reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"typ": "JWT"}, "type"), ({"kid": "../../dev/null"}, "key"), ({"kid": ""}, "key"),
        ({"jku": "http://127.0.0.1:1/keys"}, "header"), ({"x5u": "http://127.0.0.1:1/x"}, "header"),
    ],
)  # fmt: skip
async def test_a_header_that_is_not_ours(world: World, header: dict[str, Any], reason: str) -> None:
    claims, key = await _claims(world)
    assert await _reason(world, _signed(claims, key, **header)) == reason


async def test_forged_tokens(world: World) -> None:
    claims, key = await _claims(world)
    none = f"{_b64({'alg': 'none', 'typ': 'at+jwt', 'kid': key.kid})}.{_b64(claims)}."
    assert await _reason(world, none) == "malformed"
    assert await _reason(world, none + "AA") == "algorithm"
    pem = key.key.as_pem(private=False)
    shared = OctKey.import_key(base64.urlsafe_b64encode(pem).decode())
    mixed = jwt.encode({"alg": "HS256", "typ": "at+jwt", "kid": key.kid}, claims, shared, algorithms=["HS256"])
    assert await _reason(world, mixed) == "algorithm"
    own = ECKey.generate_key("P-256")
    head = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    assert await _reason(world, jwt.encode(head, claims, own, algorithms=["ES256"])) == "signature"
    brought = {**head, "jwk": own.as_dict(private=False)}
    assert await _reason(world, jwt.encode(brought, claims, own, algorithms=["ES256"])) == "header"
    critical = f"{_b64({**head, 'crit': ['b64'], 'b64': False})}.{_b64(claims)}.AAAA"
    assert await _reason(world, critical) == "header"
    for text in ("", "a.b", "a.b.c.d", "é.é.é", "A" * 17_000, f"{_b64([1])}.{_b64(claims)}.AA", "\udcff.a.a"):
        assert await _reason(world, text) == "malformed"


async def test_an_id_token_is_no_access_token(world: World) -> None:
    claims, _ = await _claims(world)
    key = await keys.signing(world, "id")
    token = jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": key.kid}, claims, key.key, algorithms=["RS256"])
    assert await _reason(world, token) == "algorithm"


async def test_the_end_of_a_client_an_account_and_a_registered_scope_is_effective_at_once(world: World) -> None:
    client, _ = await app(world)
    account = await person(world)
    issued = await tokens.issue(
        world, client=client, scopes=parse("patient/*.cruds"), account=account, patient="Patient/1"
    )
    assert (await tokens.caller_of(world, issued.token)).scopes.permit("Patient", "u")
    await clients.change(world, replace(client, scopes=parse("patient/*.rs")))
    assert not (await tokens.caller_of(world, issued.token)).scopes.permit("Patient", "u")
    await clients.change(world, client)
    await clients.disable(world, client.id)
    assert await _reason(world, issued.token) == "client"
    await clients.change(world, client)
    await tokens.caller_of(world, issued.token)
    await disable(world, account)
    assert await _reason(world, issued.token) == "account"


@pytest.mark.parametrize("end", ["token", "client", "disabled"])
async def test_another_process_that_remembers_a_token_has_forgotten_it_when_the_end_is_confirmed(
    world: World, end: str
) -> None:
    client = await backend(world)
    issued = await tokens.issue(world, client=client, scopes=parse("system/*.rs"))
    async with open_world(world.settings) as opened:
        other = opened.world
        remembered = asyncio.Event()
        asking = asyncio.create_task(_asked_until_refused(other, issued.token, remembered))
        await remembered.wait()
        if end == "token":
            await revocation.revoke(world, client, issued.token)
        elif end == "client":
            await clients.remove(world, client.id)
        else:
            await clients.disable(world, client.id)
        with pytest.raises(InvalidToken):
            await tokens.caller_of(other, issued.token)
        await asking


async def _asked_until_refused(world: World, token: str, remembered: asyncio.Event) -> None:
    while True:
        try:
            await tokens.caller_of(world, token)
        except InvalidToken:
            return
        remembered.set()
        await asyncio.sleep(0.002)


async def test_a_remembered_caller_costs_next_to_nothing(world: World) -> None:
    client = await backend(world)
    issued = await tokens.issue(world, client=client, scopes=parse("system/*.rs"))
    first = await tokens.caller_of(world, issued.token)
    assert await tokens.caller_of(world, issued.token) is first


async def test_keys_are_published_before_they_sign_and_verify_after(world: World) -> None:
    client = await backend(world)
    issued = await tokens.issue(world, client=client, scopes=parse("system/*.rs"))
    before = await keys.signing(world, "access")
    await keys.rotate(world, "access")
    shown = {one["kid"] for one in (await keys.published(world))["keys"]}
    fresh = (await keys.all_keys(world, anew=True))[-1]
    assert fresh.kid in shown
    assert fresh.kid != before.kid
    assert (await keys.signing(world, "access")).kid == before.kid
    world.memory.callers.clear()
    await tokens.caller_of(world, issued.token)
    assert not any("d" in one for one in (await keys.published(world))["keys"])


async def test_a_key_whose_time_is_over_signs_no_more(world: World) -> None:
    now, day = world.clock(), 86400_000
    before = await keys.signing(world, "id")
    later = replace(world, clock=lambda: now + 29 * day + 23 * 3600_000 + 1800_000)
    assert (await keys.signing(later, "id")).kid == before.kid
    shown = [one["kid"] for one in (await keys.published(later))["keys"]]
    much_later = replace(world, clock=lambda: now + 30 * day + 3600_000)
    after = await keys.signing(much_later, "id")
    assert after.kid != before.kid
    assert after.kid in shown
    assert await keys.verifying(much_later, "id", before.kid) is not None
    at_last = replace(world, clock=lambda: now + 30 * day + 3 * 3600_000)
    assert await keys.verifying(at_last, "id", before.kid) is None
    # Other tests go on with tokens of the keys that there were.
    await world.store.connection.collection("signing_keys").delete_many({"created": {"$gt": world.now()}})
    world.memory.keys, world.memory.keys_read = (), 0
    await keys.published(world)


async def test_two_processes_make_the_same_key(world: World) -> None:
    await asyncio.gather(*(keys.rotate(world, "access") for _ in range(3)))
    serials = [one.serial for one in await keys.all_keys(world, anew=True) if one.use == "access"]
    assert len(serials) == len(set(serials))

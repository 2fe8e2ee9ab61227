"""The second factor: one-time codes of an authenticator app (TOTP), and recovery codes for a lost one.

https://www.rfc-editor.org/rfc/rfc6238 with HMAC-SHA-1, six digits and 30 seconds, as authenticator apps know it. A code
is accepted one step early or late, and each step once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import replace
from urllib.parse import quote, urlencode

from fhir_server.access.account import Account
from fhir_server.services.world import World
from fhir_server.store.accounts import Record

STEP_SECONDS = 30
DIGITS = 6
DRIFT = 1
"""Steps that a clock may be off."""
SECRET_BYTES = 20
RECOVERY_CODES = 10
ISSUER = "FHIR scheduling"
_TRIES = 8


def code_at(secret: str, step: int) -> str:
    """The code of a step (seconds since the epoch // 30) for a base32 secret."""
    mac = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    place = mac[-1] & 15
    number = int.from_bytes(mac[place : place + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_of(secret: str, code: str, now: int) -> int | None:
    """The step near ``now`` whose code it is."""
    present = now // STEP_SECONDS
    found = None
    for step in range(present - DRIFT, present + DRIFT + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            found = step
    return found


def otpauth(secret: str, username: str) -> str:
    """What an authenticator app reads. https://github.com/google/google-authenticator/wiki/Key-Uri-Format."""
    query = urlencode({"secret": secret, "issuer": ISSUER, "digits": DIGITS, "period": STEP_SECONDS}, quote_via=quote)
    return f"otpauth://totp/{quote(ISSUER)}:{quote(username, safe='')}?{query}"


async def offer(world: World, account: Account) -> str:
    """A secret for somebody who has no second factor yet: the same until it is proved.

    Empty where one is enrolled: who only knows the password does not get another.
    """
    for _ in range(_TRIES):
        found = await world.store.accounts.get(account.id)
        if found is None or found.account.second_factor:
            return ""
        if found.offered:
            return found.offered
        made = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()
        if await world.store.accounts.replace(replace(found, offered=made)):
            return made
    return ""


async def enroll(world: World, account: Account, code: str) -> tuple[str, ...]:
    """Take the offered secret into use, once a code proves that the app has it.

    :returns: recovery codes, shown once; none where the code is not right.
    """
    found = await world.store.accounts.get(account.id)
    if found is None or found.account.second_factor or not found.offered:
        return ()
    step = step_of(found.offered, _plain(code), world.now())
    if step is None:
        return ()
    codes = tuple(_recovery_code() for _ in range(RECOVERY_CODES))
    enrolled = replace(
        found,
        account=replace(found.account, second_factor=True),
        totp=found.offered,
        offered="",
        step=step,
        recovery=tuple(_digest(one) for one in codes),
    )
    return codes if await world.store.accounts.replace(enrolled) else ()


async def prove(world: World, account: Account, code: str) -> bool:
    """Whether it is a code of now that was not used before, or an unused recovery code; either is used then."""
    found = await world.store.accounts.get(account.id)
    if found is None or not found.account.second_factor or found.account.disabled:
        return False
    plain = _plain(code)
    if len(plain) == DIGITS:
        return await _prove_code(world, found, plain)
    return await world.store.accounts.use_recovery(account.id, _digest(plain))


async def _prove_code(world: World, found: Record, code: str) -> bool:
    step = step_of(found.totp, code, world.now())
    return step is not None and await world.store.accounts.use_step(found.account.id, step)


def _recovery_code() -> str:
    """80 bits, readable: ``abcd-efgh-ijkl-mnop`` in base32."""
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[place : place + 4] for place in range(0, len(text), 4))


def _plain(code: str) -> str:
    """A code as somebody types it, without spaces and hyphens."""
    return "".join(code.split()).replace("-", "").lower()


def _digest(code: str) -> str:
    return hashlib.sha256(_plain(code).encode()).hexdigest()

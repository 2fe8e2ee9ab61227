"""The token response. https://hl7.org/fhir/smart-app-launch/app-launch.html#response-6"""

from __future__ import annotations

import secrets
from typing import Any

from authlib.oidc.core.util import create_half_hash
from joserfc import jwt

from fhir_server.access.account import Account
from fhir_server.access.client import Client
from fhir_server.access.scopes import Scopes
from fhir_server.services.authorization import keys, style, tokens
from fhir_server.services.authorization.tokens import Issued
from fhir_server.services.world import World
from fhir_server.store.authorization.grants import Grant

ID_TOKEN_SECONDS = 600
ONLINE_SECONDS = 86400
OFFLINE_SECONDS = 90 * 86400
"""A refresh token that nobody uses for so long is over."""


def refreshable(client: Client, grant_scopes: Scopes) -> bool:
    """Whether a refresh token goes with it."""
    return "refresh_token" in client.grant_types and bool(grant_scopes.others & {"offline_access", "online_access"})


def lasts_until(world: World, client: Client, grant: Grant) -> int:
    """Until when a grant stands if nobody uses it again."""
    now = world.now()
    if not refreshable(client, grant.scopes):
        return now + world.settings.access_token_minutes * 60
    return now + (OFFLINE_SECONDS if grant.offline else ONLINE_SECONDS)


async def of_grant(world: World, client: Client, account: Account, grant: Grant, scopes: Scopes) -> dict[str, Any]:
    """Access token, and refresh token where one belongs to it, with the context of the launch."""
    said = _context(grant)
    claims: dict[str, Any] = {name: said[name] for name in ("encounter", "fhirContext") if name in said}
    patient = grant.patient if scopes_need(scopes) else ""
    issued = await tokens.issue(
        world, client=client, scopes=scopes, account=account, patient=patient, grant=grant.id, session=grant.session,
        context=claims,
    )  # fmt: skip
    found = bearer(issued) | said
    if patient:
        found["patient"] = patient.removeprefix("Patient/")
    if said or patient:
        found["need_patient_banner"] = grant.context.get("need_patient_banner", True)
        found["smart_style_url"] = style.url(world)
    if refreshable(client, grant.scopes):
        found["refresh_token"] = secrets.token_urlsafe(32)
        content = {"client": client.id, "grant": grant.id, "account": account.id}
        until = lasts_until(world, client, grant)
        await world.store.authorization.refresh_tokens.put(found["refresh_token"], content, expires=until)
    return found


def scopes_need(scopes: Scopes) -> bool:
    """Whether scopes speak of a patient in context."""
    return "patient" in scopes.contexts or bool(scopes.others & {"launch", "launch/patient"})


def bearer(issued: Issued) -> dict[str, Any]:
    """What every token response holds."""
    return {
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": str(issued.scopes),
    }


def _context(grant: Grant) -> dict[str, Any]:
    """The launch context as responses say it: ids, and an Appointment as fhirContext."""
    found: dict[str, Any] = {}
    if grant.context.get("encounter"):
        found["encounter"] = grant.context["encounter"].removeprefix("Encounter/")
    if grant.context.get("appointment"):
        found["fhirContext"] = [{"reference": grant.context["appointment"]}]
    if grant.context.get("intent"):
        found["intent"] = grant.context["intent"]
    return found


async def id_token(
    world: World, client: Client, account: Account, scopes: Scopes, *, nonce: str, authenticated: int, access: str
) -> str:
    """Who the person is, for the app. https://openid.net/specs/openid-connect-core-1_0.html#IDToken"""
    now = world.now()
    key = await keys.signing(world, "id")
    claims: dict[str, Any] = {
        "iss": world.settings.issuer,
        "sub": account.id,
        "aud": client.id,
        "iat": now,
        "exp": now + ID_TOKEN_SECONDS,
        "auth_time": authenticated,
        "at_hash": create_half_hash(access, key.algorithm).decode("ascii"),
    }
    if nonce:
        claims["nonce"] = nonce
    if account.fhir_user and scopes.others & {"fhirUser", "profile"}:
        claims["fhirUser"] = f"{tokens.audience(world)}/{account.fhir_user}"
        claims["profile"] = claims["fhirUser"]
    if "profile" in scopes.others:
        claims["name"] = account.name
    header = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid}
    return jwt.encode(header, claims, key.key, algorithms=[key.algorithm])

"""Who owns a Subscription: what is kept of the caller who made it, and what that is worth whenever something is sent.

Nothing of a token is kept but what it stood for. The client must still be registered and enabled, the account enabled,
the grant not revoked, a login that the grant depends on still alive; scopes are cut to those that the client has now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fhir_server.access.caller import CHANNELS, Caller, Role
from fhir_server.access.scopes import parse, within
from fhir_server.services.access.policy import AccessPolicy
from fhir_server.services.authorization import sessions, tokens
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World

Owner = Mapping[str, Any]


def owner_of(caller: Caller, *, token: bool = False) -> dict[str, Any]:
    """What is kept of a caller.

    :param token: also the token's id, so that revoking this token ends what is made with it.
    """
    return {
        "client": caller.client, "channel": caller.channel, "role": caller.role.value, "scopes": str(caller.scopes),
        "subject": caller.subject, "issuer": caller.issuer, "fhir_user": caller.fhir_user,
        "persons": list(caller.persons), "patient": caller.patient,
        "clinics": None if caller.clinics is None else sorted(caller.clinics), "session": caller.session,
        "grant": caller.grant, "token": caller.token if token else "",
    }  # fmt: skip


async def policy_of(world: World, owner: Owner) -> AccessPolicy | None:
    """What the owner may see now, ready to show something; None when their access is over."""
    policy = await policy_within(world, owner)
    if policy is not None:
        await policy.begin(world)
    return policy


async def policy_within(world: World, owner: Owner) -> AccessPolicy | None:
    """As :func:`policy_of`, inside of a unit, where nothing else may be written: it judges, and shows nothing."""
    caller = await _caller(world, owner)
    return None if caller is None else AccessPolicy(caller)


async def _caller(world: World, owner: Owner) -> Caller | None:
    if not owner or not owner.get("client"):
        return None
    if owner["issuer"] != world.settings.issuer:
        return _outside(world, owner)
    if not await _logged_in(world, owner):
        return None
    claims = {
        "client_id": owner["client"], "sub": owner["subject"] or owner["client"], "jti": owner["token"],
        "grant": owner["grant"], "patient": owner["patient"].removeprefix("Patient/"),
        "scope": owner["scopes"], "exp": 0,
    }  # fmt: skip
    try:
        caller = await tokens.caller_from(world.unmoved(), claims)
    except InvalidToken:
        return None
    if owner["clinics"] is not None and not owner["subject"]:
        # Walls that were there when it was made stay, should the client lose its own.
        walls = frozenset(owner["clinics"])
        caller = replace(caller, clinics=walls if caller.clinics is None else caller.clinics & walls)
    return replace(caller, token="")


async def _logged_in(world: World, owner: Owner) -> bool:
    """Whether the login lasts that the grant depends on; an offline grant depends on none."""
    if not owner["session"]:
        return True
    grant = await world.store.authorization.grants.get(owner["grant"]) if owner["grant"] else None
    return (grant is not None and grant.offline) or await sessions.lasts(world.unmoved(), owner["session"])


def _outside(world: World, owner: Owner) -> Caller | None:
    """Of somebody whom another issuer vouches for we know what their token said, and whether we still believe it."""
    issuer = world.memory.issuers.get(owner["issuer"])
    if issuer is None:
        return None
    role = Role(owner["role"])
    return Caller(
        client=owner["client"],
        channel=owner["channel"] or CHANNELS[role],
        role=role,
        scopes=within(parse(owner["scopes"]), issuer.scopes),
        subject=owner["subject"],
        issuer=owner["issuer"],
        fhir_user=owner["fhir_user"],
        persons=tuple(owner["persons"]),
        patient=owner["patient"],
        clinics=None if owner["clinics"] is None else frozenset(owner["clinics"]),
    )


def party_of(owner: Owner) -> str:
    """The party that the owner is, as it stands beside the Subscription."""
    return f"{owner['client']}|{owner['subject']}" if owner["subject"] else str(owner["client"])

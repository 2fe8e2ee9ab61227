"""What an endpoint of the authorization server did, told once for every request, allowed or refused."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from fhir_server.access.caller import Caller
from fhir_server.access.record import MINOR, Access, outcome_of
from fhir_server.log import get_logger
from fhir_server.services.authorization import compact
from fhir_server.services.world import World

log = get_logger("smart")


@dataclass(slots=True)
class Happening:
    """``interaction`` is authorize, token, refresh, introspect, revoke, register or launch; empty: nothing to tell.

    ``client`` is the OAuth client, ``subject`` the person as ``issuer`` knows them, ``fhir_user`` their reference,
    ``token`` a ``jti``, ``patients`` those that are in context, ``reason`` the OAuth error of a refusal.
    """

    interaction: str
    client: str = ""
    subject: str = ""
    issuer: str = ""
    fhir_user: str = ""
    role: str = ""
    token: str = ""
    patients: tuple[str, ...] = ()
    reason: str = ""


def of(request: Request) -> Happening:
    """What this request did up to now; endpoints complete it."""
    found: Happening = request.state.happening
    return found


def by(request: Request, caller: Caller) -> None:
    """Note who asked with a bearer token."""
    mine = of(request)
    mine.client, mine.subject, mine.issuer = caller.client, caller.subject, caller.issuer
    mine.fhir_user, mine.role, mine.token = caller.fhir_user, caller.role.value, caller.token


def issued(request: Request, access_token: str) -> None:
    """Note an access token that was issued."""
    mine, claims = of(request), compact.claims_of(access_token)
    mine.client, mine.token, mine.issuer = claims["client_id"], claims["jti"], claims["iss"]
    if claims["sub"] != claims["client_id"]:
        mine.subject = claims["sub"]
    mine.fhir_user = "/".join(claims.get("fhirUser", "").split("/")[-2:])
    mine.patients = (f"Patient/{claims['patient']}",) if "patient" in claims else ()


async def tell(world: World, request: Request, status: int) -> None:
    """Record what a request did; it is durable when this returns.

    :raises Problem: UNAVAILABLE when it could not be recorded.
    """
    mine = of(request)
    if not mine.interaction:
        return
    log.info("authorization", interaction=mine.interaction, client=mine.client, status=status, reason=mine.reason)
    await world.record.add(
        Access(
            at=world.clock(),
            action="E",
            interaction=mine.interaction,
            outcome=MINOR if mine.reason and status < 500 else outcome_of(status),
            client=mine.client,
            subject=mine.subject,
            issuer=mine.issuer,
            fhir_user=mine.fhir_user,
            role=mine.role,
            token=mine.token,
            network=request.client.host if request.client else "",
            patients=mine.patients,
            reason=mine.reason,
        )
    )

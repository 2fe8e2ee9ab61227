"""How a client proves who it is at the token, introspection and revocation endpoints.

none                                   a public client names itself, or its refresh token does
client_secret_basic, client_secret_post  https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1
private_key_jwt                        https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError

from fhir_server.access.client import Client, Kind
from fhir_server.remote.jwks import KeysNotReachedError
from fhir_server.services.authorization import clients, compact, jwks, secrets
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World

BEARER_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS384", "ES384")
LONGEST_LIFE = 300
SKEW = 5
"""Seconds by which another clock may differ from ours."""
LONGEST_JTI = 255


async def authenticate(
    world: World, authorization: str, form: Mapping[str, str], *, path: str = "/auth/token", public: bool = True
) -> Client:
    """The client of a request, enabled and proved.

    :param authorization: the Authorization header, or empty.
    :param path: the endpoint; an assertion may be meant for it or for the token endpoint.
    :param public: whether a public client, which proves nothing, will do.
    :raises InvalidClientError: status 401.
    :raises InvalidRequestError: more than one proof.
    """
    ways = [bool(authorization), "client_secret" in form, "client_assertion" in form or "client_assertion_type" in form]
    if sum(ways) > 1:
        raise InvalidRequestError("more than one proof of the client")
    if authorization:
        return await _by_basic(world, authorization, form)
    if ways[2]:
        return await _by_assertion(world, form, audiences(world, path))
    if ways[1]:
        return await _by_secret(world, form.get("client_id", ""), form["client_secret"])
    client = await clients.get(world, form.get("client_id", "") or await _holder(world, form))
    if client is None or client.disabled or client.kind is not Kind.PUBLIC or not public:
        raise unproved()
    return client


async def _holder(world: World, form: Mapping[str, str]) -> str:
    """Whose refresh token is sent: SMART's own client sends a public app's without a client_id."""
    if form.get("grant_type") != "refresh_token" or not form.get("refresh_token"):
        return ""
    found = await world.store.authorization.refresh_tokens.get(form["refresh_token"])
    return str(found["client"]) if found else ""


def unproved() -> InvalidClientError:
    """The one answer to every client that is not who it says."""
    return InvalidClientError("the client is not known or does not prove who it is", status_code=401)


async def _by_basic(world: World, authorization: str, form: Mapping[str, str]) -> Client:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise unproved()
    try:
        id_, colon, secret = base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        raise unproved() from None
    id_ = unquote_plus(id_)
    if not colon or form.get("client_id", id_) != id_:
        raise unproved()
    return await _by_secret(world, id_, unquote_plus(secret))


async def _by_secret(world: World, id_: str, secret: str) -> Client:
    client = await clients.get(world, id_)
    symmetric = client is not None and client.kind is Kind.SYMMETRIC and not client.disabled
    proved = await secrets.matches(client.secret if client is not None and symmetric else "", secret)
    if client is None or not proved:
        raise unproved()
    return client


async def _by_assertion(world: World, form: Mapping[str, str], accepted: Collection[str]) -> Client:
    assertion = form.get("client_assertion", "")
    if form.get("client_assertion_type") != BEARER_ASSERTION or not assertion:
        raise unproved()
    try:
        claimed = compact.claims_of(assertion)
        client = await clients.get(world, compact.text(claimed, "iss"))
        if client is None or client.disabled or client.kind is not Kind.ASYMMETRIC:
            raise unproved()
        claims = await _verified(world, client, assertion)
        _check_names(client, claims, form, accepted)
        now = world.now()
        expires = compact.check_times(claims, now)
        jti = compact.text(claims, "jti")
    except InvalidToken:
        raise unproved() from None
    if expires > now + LONGEST_LIFE + SKEW or not 0 < len(jti) <= LONGEST_JTI:
        raise unproved()
    if not await world.store.authorization.token_ids.first(f"assertion:{client.id}", jti, expires):
        raise unproved()
    return client


async def _verified(world: World, client: Client, assertion: str) -> compact.Claims:
    header = compact.header_of(assertion, allowed=("jku",))
    algorithm, kid = header["alg"], header.get("kid", "")
    if algorithm not in ALGORITHMS or not kid or str(header.get("typ", "JWT")).upper() != "JWT":
        raise InvalidToken("algorithm")
    if "jku" in header and (not client.jwks_uri or header["jku"] != client.jwks_uri):
        raise InvalidToken("header")
    try:
        keys = client.jwks if client.jwks is not None else await world.memory.key_sets.get(client.jwks_uri, kid)
    except KeysNotReachedError:
        raise InvalidToken("key") from None
    return compact.verified(assertion, jwks.key_of(keys, kid, algorithm), algorithm)


def _check_names(client: Client, claims: compact.Claims, form: Mapping[str, str], accepted: Collection[str]) -> None:
    same = claims.get("iss") == claims.get("sub") == client.id == form.get("client_id", client.id)
    audience = claims.get("aud")
    single = audience[0] if isinstance(audience, list) and len(audience) == 1 else audience
    if not same or not isinstance(single, str) or single not in accepted:
        raise InvalidToken("audience")


def audiences(world: World, path: str) -> frozenset[str]:
    """What an assertion for an endpoint may name: the endpoint, or the token endpoint, under any of our names."""
    roots = [base.rstrip("/").removesuffix("/fhir") for base in world.bases]
    return frozenset(f"{root}{end}" for root in roots for end in {path, "/auth/token"})

"""Registered clients: who may ask for tokens, and for which.

What a registration may say is checked here, wherever it comes from: the command line, the demo, an app that registers
itself.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

from fhir_server.access.client import Client, Kind
from fhir_server.remote.jwks import KeysNotReachedError, check_url
from fhir_server.services.authorization import jwks, secrets
from fhir_server.services.world import World

GRANT_TYPES = frozenset({"authorization_code", "refresh_token", "client_credentials"})
LOOPBACK = re.compile(r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::(?P<port>\d{1,5}))?(?P<path>/[^?#]*)?")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~\-]{0,99}")
_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")
_ORGANIZATION = re.compile(r"Organization/[A-Za-z0-9\-.]{1,64}")


class UnfitClientError(ValueError):
    """A registration that cannot be: one sentence, and the member of RFC 7591 that is wrong."""

    def __init__(self, text: str, member: str = "") -> None:
        super().__init__(text)
        self.member = member


async def register(world: World, client: Client) -> tuple[Client, str]:
    """A new client; the secret of a symmetric one is returned and never seen again.

    :raises UnfitClientError: what cannot be registered, or an id that is taken.
    """
    client = check(world, client)
    secret = ""
    if client.kind is Kind.SYMMETRIC and not client.secret:
        secret, hashed = await secrets.make()
        client = replace(client, secret=hashed)
    if not await world.store.authorization.clients.insert(client):
        raise UnfitClientError("there is a client of that id", "client_id")
    return client, secret


async def change(world: World, client: Client) -> Client:
    """Another registration of the same client, effective at once.

    :raises UnfitClientError: what cannot be registered, or no such client.
    """
    client = check(world, client)
    if not await world.store.authorization.clients.replace(client):
        raise UnfitClientError("there is no client of that id", "client_id")
    await world.store.access_epoch.moved()
    return client


async def disable(world: World, id_: str) -> Client:
    """A client that gets no token, and whose tokens open nothing.

    :raises UnfitClientError: no such client.
    """
    return await change(world, replace(await _known(world, id_), disabled=True))


async def enable(world: World, id_: str) -> Client:
    """A client that gets tokens again.

    :raises UnfitClientError: no such client.
    """
    return await change(world, replace(await _known(world, id_), disabled=False))


async def rotate_secret(world: World, id_: str) -> str:
    """A new secret of a symmetric client; the old one is void.

    :raises UnfitClientError: no such client, or one without a secret.
    """
    client = await _known(world, id_)
    if client.kind is not Kind.SYMMETRIC:
        raise UnfitClientError("only a symmetric client has a secret")
    secret, hashed = await secrets.make()
    await change(world, replace(client, secret=hashed))
    return secret


async def remove(world: World, id_: str) -> bool:
    """Whether there was such a client; what people allowed it is revoked."""
    there = await world.store.authorization.clients.remove(id_)
    await world.store.authorization.grants.revoke_all(client=id_)
    await world.store.access_epoch.moved()
    return there


async def get(world: World, id_: str) -> Client | None:
    """The client with that id, disabled or not."""
    return await world.store.authorization.clients.get(id_) if _ID.fullmatch(id_) else None


async def every(world: World) -> list[Client]:
    """All clients by their id."""
    return await world.store.authorization.clients.all()


async def _known(world: World, id_: str) -> Client:
    client = await get(world, id_)
    if client is None:
        raise UnfitClientError("there is no client of that id", "client_id")
    return client


def check(world: World, client: Client) -> Client:
    """The client, whose registration fits together; a public app may call from the origins of its redirects.

    :raises UnfitClientError: with what does not fit.
    """
    _check_grants(client)
    _check_keys(client, loopback=world.settings.environment == "development")
    if not _ID.fullmatch(client.id):
        raise UnfitClientError("a client id is letters, digits and . _ ~ -, at most 100", "client_id")
    if not client.name or len(client.name) > 200 or not client.name.isprintable():
        raise UnfitClientError("a client has a name of one line", "client_name")
    for uri in client.redirect_uris:
        check_redirect(uri)
    if client.launch_uri:
        check_redirect(client.launch_uri)
    if not (client.scopes.resources or client.scopes.others):
        raise UnfitClientError("a client has scopes", "scope")
    if not all(_ORIGIN.fullmatch(one) for one in client.origins):
        raise UnfitClientError("an origin is such as https://app.example", "origins")
    if client.clinics is not None and not all(_ORGANIZATION.fullmatch(one) for one in client.clinics):
        raise UnfitClientError("clinics are such as Organization/1", "clinics")
    if client.kind is Kind.PUBLIC and not client.origins:
        return replace(client, origins=_origins(client.redirect_uris))
    return client


def _check_grants(client: Client) -> None:
    if not client.grant_types or not client.grant_types <= GRANT_TYPES:
        raise UnfitClientError(f"grant types are of {', '.join(sorted(GRANT_TYPES))}", "grant_types")
    if client.grant_types == {"refresh_token"}:
        raise UnfitClientError("refresh_token goes with authorization_code", "grant_types")
    if "authorization_code" in client.grant_types and not client.redirect_uris:
        raise UnfitClientError("authorization_code needs a redirect URI", "redirect_uris")
    if "client_credentials" in client.grant_types and client.kind is not Kind.ASYMMETRIC:
        raise UnfitClientError("client_credentials is for clients with keys", "grant_types")


def _check_keys(client: Client, *, loopback: bool) -> None:
    if (client.kind is Kind.ASYMMETRIC) != bool(client.jwks or client.jwks_uri) or (client.jwks and client.jwks_uri):
        raise UnfitClientError("an asymmetric client, and no other, has jwks or jwks_uri", "jwks")
    if client.jwks is not None and (fault := jwks.fault_of(client.jwks)):
        raise UnfitClientError(fault, "jwks")
    if client.jwks_uri:
        try:
            check_url(client.jwks_uri, loopback=loopback)
        except KeysNotReachedError as failed:
            raise UnfitClientError(str(failed), "jwks_uri") from None


def check_redirect(uri: str) -> None:
    """:raises UnfitClientError: neither https nor loopback, or not one exact address."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        raise UnfitClientError("a redirect URI is an absolute URL", "redirect_uris") from None
    plain = uri.isascii() and uri.isprintable() and " " not in uri and "*" not in uri and "\\" not in uri
    if not plain or not parts.hostname or parts.username is not None or "#" in uri or len(uri) > 2000:
        raise UnfitClientError(
            "a redirect URI is one absolute URL without fragment, user and wildcard", "redirect_uris"
        )
    if parts.scheme != "https" and not LOOPBACK.fullmatch(uri.partition("?")[0]):
        raise UnfitClientError("a redirect URI is https, or http to loopback", "redirect_uris")


def _origins(redirects: tuple[str, ...]) -> tuple[str, ...]:
    found = (urlsplit(one) for one in redirects)
    return tuple(dict.fromkeys(f"{one.scheme}://{one.netloc.lower()}" for one in found))

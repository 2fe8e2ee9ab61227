"""Apps that register themselves, where the setting lets them. https://www.rfc-editor.org/rfc/rfc7591

Such an app acts for people only: no ``client_credentials``, no user/ or system/ scopes, no trust. People see it on the
consent page under the name that it gave itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from fhir_server.access.client import Client, Kind
from fhir_server.access.scopes import Scopes, parse, within
from fhir_server.services.authorization import clients
from fhir_server.services.authorization.clients import UnfitClientError
from fhir_server.services.world import World

MOST = parse(
    "openid fhirUser profile launch launch/patient launch/encounter launch/appointment offline_access online_access "
    "patient/*.cruds"
)
METHODS = {
    "none": Kind.PUBLIC,
    "client_secret_basic": Kind.SYMMETRIC,
    "client_secret_post": Kind.SYMMETRIC,
    "private_key_jwt": Kind.ASYMMETRIC,
}
GRANT_TYPES = frozenset({"authorization_code", "refresh_token"})
MOST_REDIRECTS = 10


async def register(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The registration of a new app, with the secret where it has one.

    :raises UnfitClientError: what cannot be registered.
    """
    method = _text(asked, "token_endpoint_auth_method", "client_secret_basic")
    if method not in METHODS:
        raise UnfitClientError(f"token_endpoint_auth_method is of {', '.join(METHODS)}", "token_endpoint_auth_method")
    grant_types = frozenset(_texts(asked, "grant_types", ("authorization_code",)))
    if not grant_types <= GRANT_TYPES or "authorization_code" not in grant_types:
        raise UnfitClientError("grant_types are authorization_code and refresh_token", "grant_types")
    if set(_texts(asked, "response_types", ("code",))) != {"code"}:
        raise UnfitClientError("response_types is code", "response_types")
    redirects = tuple(dict.fromkeys(_texts(asked, "redirect_uris")))
    if not 0 < len(redirects) <= MOST_REDIRECTS:
        raise UnfitClientError(f"redirect_uris are one to {MOST_REDIRECTS}", "redirect_uris")
    jwks = asked.get("jwks")
    if jwks is not None and not isinstance(jwks, dict):
        raise UnfitClientError("jwks is an object", "jwks")
    client = Client(
        id=f"app-{secrets.token_urlsafe(12)}",
        name=_text(asked, "client_name") or "An app that registered itself",
        kind=METHODS[method],
        scopes=_scopes(asked),
        grant_types=grant_types,
        redirect_uris=redirects,
        launch_uri=_text(asked, "initiate_login_uri"),
        jwks=jwks,
        jwks_uri=_text(asked, "jwks_uri"),
    )
    made, secret = await clients.register(world, client)
    return _registered(world, made, method, secret)


def _scopes(asked: Mapping[str, Any]) -> Scopes:
    text = _text(asked, "scope")
    kept = within(parse(text), MOST) if text else MOST
    if not kept.resources and not kept.others:
        raise UnfitClientError("none of the scopes can be had by registration", "scope")
    return kept


def _registered(world: World, client: Client, method: str, secret: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "client_id": client.id,
        "client_id_issued_at": world.now(),
        "client_name": client.name,
        "redirect_uris": list(client.redirect_uris),
        "grant_types": sorted(client.grant_types),
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "scope": str(client.scopes),
    }
    optional = {"initiate_login_uri": client.launch_uri, "jwks": client.jwks, "jwks_uri": client.jwks_uri}
    found |= {name: value for name, value in optional.items() if value}
    if secret:
        found |= {"client_secret": secret, "client_secret_expires_at": 0}
    return found


def _text(asked: Mapping[str, Any], name: str, default: str = "") -> str:
    found = asked.get(name, default)
    if not isinstance(found, str) or len(found) > 4000:
        raise UnfitClientError(f"{name} is text", name)
    return found


def _texts(asked: Mapping[str, Any], name: str, default: tuple[str, ...] = ()) -> list[str]:
    found = asked.get(name, list(default))
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise UnfitClientError(f"{name} is a list of texts", name)
    return found

"""A server that runs on this machine, and what it says of itself: where people and programs get tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fhir_server.embedded.refused import Refused
from fhir_server.remote.http import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable

SMART = "/fhir/.well-known/smart-configuration"


@dataclass(frozen=True, slots=True)
class Running:
    """``authorize`` and ``token`` are URLs by which we reach the endpoints.

    ``audience`` is what the server calls the token endpoint, ``base`` its FHIR base as it knows it.
    """

    issuer: str
    base: str
    authorize: str
    token: str
    audience: str


@dataclass(frozen=True, slots=True)
class Granted:
    """A token, its life in seconds and its scopes."""

    token: str
    seconds: int
    scopes: frozenset[str]


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    from fhir_server.cli.start import is_loopback_host

    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return is_loopback_host(host)


def browser() -> Any:
    """An HTTP client for this machine alone: no proxy, and cookies marked *Secure* are sent to loopback as well."""
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
    return httpx.AsyncClient(trust_env=False, timeout=30.0, cookies=jar)


async def find(http: Any, root: str) -> Running:
    """The server whose addresses begin with ``root``.

    :raises Refused: none answers, or it is not one of ours.
    """
    try:
        said = await http.get(root + SMART)
        statement = await http.get(f"{root}/fhir/metadata")
        told, base = said.json(), statement.json()["implementation"]["url"]
        issuer, authorize, token = (told[name] for name in ("issuer", "authorization_endpoint", "token_endpoint"))
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise Refused(
            f"No server answers at {root} ({type(fault).__name__}).", "start it: fhir-server dev", "or say its --port"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise Refused(f"What answers at {root} gives no tokens: it is no fhir-server, or still starting.") from None
    place, exchange = (f"{root}{str(one).removeprefix(issuer)}" for one in (authorize, token))
    return Running(issuer, str(base).rstrip("/"), place, exchange, token)


def proposals(answer: Any) -> list[str]:
    """Ids of the Appointments that ``$find`` answered; beside them, or instead, may be an OperationOutcome."""
    entries = answer.json().get("entry", []) if answer.status_code == httpx.codes.OK else []
    return [one["resource"]["id"] for one in entries if one["resource"]["resourceType"] == "Appointment"]


async def grant(http: Any, server: Running, fields: dict[str, str]) -> Granted:
    """What the token endpoint gives for a form.

    :raises Refused: with the reason that it says.
    """
    answer = await http.post(server.token, data=fields)
    try:
        told = answer.json()
    except ValueError:
        told = {}
    if answer.status_code != 200 or "access_token" not in told:
        text = told.get("error_description") or told.get("error") or f"status {answer.status_code}"
        raise Refused(f"The server gives no token: {text}.")
    return Granted(told["access_token"], int(told.get("expires_in", 60)), frozenset(told.get("scope", "").split()))


def check_scopes(granted: Granted, asked: Iterable[str]) -> str:
    """The token.

    :raises Refused: one of the asked scopes was not granted.
    """
    missing = [one for one in dict.fromkeys(asked) if one not in granted.scopes]
    if missing:
        those = f"scope {missing[0]}" if len(missing) == 1 else f"scopes {', '.join(missing)}"
        raise Refused(f"The server does not grant the {those}.", f"it grants {' '.join(sorted(granted.scopes))}")
    return granted.token

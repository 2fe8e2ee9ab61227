"""Log somebody in as a browser does, and get the token of the command line's own client ``demo-cli``.

SMART's standalone launch with PKCE: authorize, then the pages one after the other (login, patient, consent), then the
code against a token. https://hl7.org/fhir/smart-app-launch/app-launch.html
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from fhir_server.cli.forms import Page
from fhir_server.cli.running import Granted, Running, grant
from fhir_server.embedded.refused import Refused
from fhir_server.services.authorization.demo import CALLBACK, CLI

if TYPE_CHECKING:
    from fhir_server.cli.forms import Fields, Form

_MOST_STEPS = 12
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Person:
    """Who logs in; ``patient`` (``Patient/1``) is chosen where the server asks for one."""

    username: str
    password: str
    patient: str = ""


async def log_in(http: Any, server: Running, person: Person, scopes: str) -> Granted:
    """The token that the server gives to the command line for a person.

    :param http: a client without cookies of an earlier login.
    :raises Refused: with what the server says against it.
    """
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "response_type": "code",
        "client_id": CLI,
        "redirect_uri": CALLBACK,
        "scope": scopes,
        "state": state,
        "aud": server.base,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    found = await _walk(http, person, await http.get(f"{server.authorize}?{urlencode(asked)}"))
    if "error" in found:
        text = found.get("error_description") or found["error"].replace("_", " ")
        raise Refused(f"The server does not let {person.username} in: {text}.")
    if found.get("state") != state or found.get("iss", server.issuer) != server.issuer or "code" not in found:
        raise Refused("The server's answer is not to what was asked.")
    form = {
        "grant_type": "authorization_code",
        "code": found["code"],
        "redirect_uri": CALLBACK,
        "client_id": CLI,
        "code_verifier": verifier,
    }
    return await grant(http, server, form)


async def _walk(http: Any, person: Person, answer: Any) -> dict[str, str]:
    """Go through the pages; the parameters with which the last of them sends the browser back."""
    tried = False
    for _ in range(_MOST_STEPS):
        place = answer.headers.get("location", "")
        if place.startswith(f"{CALLBACK}?"):
            return {name: values[0] for name, values in parse_qs(urlsplit(place).query).items()}
        if place:
            answer = await http.get(urljoin(str(answer.url), place))
            continue
        page = Page(answer.text)
        login = page.form("/auth/login")
        if login and tried:
            raise Refused(f"{person.username} cannot log in: {page.fault[:1].lower()}{page.fault[1:]}")
        if answer.status_code >= 400:
            raise Refused(page.fault)
        form, fields = _next(page, login, person)
        tried = tried or form is login
        answer = await http.post(urljoin(str(answer.url), form.action), content=urlencode(fields), headers=_FORM)
    raise Refused("The server's pages do not come to an end.")


def _next(page: Page, login: Form | None, person: Person) -> tuple[Form, Fields]:
    """Which form of a page to send, and filled with what.

    :raises Refused: the page wants something that the command does not have.
    """
    if login:
        return login, login.filled(username=person.username, password=person.password)
    if consent := page.form("/auth/consent"):
        return consent, consent.filled(decision="allow")
    if page.form("/auth/second-factor"):
        raise Refused(f"{person.username} logs in with a one-time code, which this command does not have.")
    if choice := page.form("/auth/patient", "cancel"):
        if not person.patient:
            offered = [value for name, value in choice.buttons if name == "patient"]
            raise Refused(
                f"These scopes are about one patient, and {person.username} may choose several: say --patient.",
                *([f"--patient {' or '.join(offered)}"] if offered else []),
            )
        return choice, choice.filled(patient=person.patient)
    raise Refused(page.fault)

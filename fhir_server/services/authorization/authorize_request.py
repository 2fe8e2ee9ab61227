"""The authorization request, checked. https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code

First client and redirect URI, for without them nobody is told anything; then the rest, whose faults the app hears of.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from fhir_server.access.client import Client
from fhir_server.access.scopes import Scopes, parse, within
from fhir_server.services.authorization import clients, launches
from fhir_server.services.authorization.clients import LOOPBACK
from fhir_server.services.authorization.launches import Launch
from fhir_server.services.authorization.redirects import Redirected, Unredirectable, answer_url
from fhir_server.services.world import World

Pairs = Sequence[tuple[str, str]]

LONGEST_STATE = 8192
LONGEST = 4096
_CHALLENGE = re.compile(r"[A-Za-z0-9\-_]{43}")
_PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_TITLE = "This app cannot be opened"


@dataclass(frozen=True, slots=True)
class Checked:
    """A request in which everything fits; ``launch_id`` is the digest of the launch text."""

    client: Client
    scopes: Scopes
    redirect_uri: str
    state: str
    nonce: str
    code_challenge: str
    launch: Launch | None
    launch_id: str
    prompt: str
    max_age: int | None


async def check(world: World, pairs: Pairs) -> Checked:
    """:raises Unredirectable: no client and redirect URI that belong together.

    :raises Redirected: any other fault.
    """
    counts = Counter(name for name, _ in pairs)
    given = {name: value for name, value in pairs if value}
    client = await _client(world, given, counts)
    return await _Check(world, client, given["redirect_uri"], given).run(counts)


async def _client(world: World, given: Mapping[str, str], counts: Counter[str]) -> Client:
    if counts["client_id"] > 1 or counts["redirect_uri"] > 1:
        raise Unredirectable(_TITLE, "The request names an app or an address twice.")
    client = await clients.get(world, given.get("client_id", ""))
    if client is None or client.disabled or "authorization_code" not in client.grant_types:
        raise Unredirectable(_TITLE, "The app that sent you here is not registered with this server.")
    if not any(matches(one, given.get("redirect_uri", "")) for one in client.redirect_uris):
        raise Unredirectable(_TITLE, "The app that sent you here wants the answer at an address that it never named.")
    return client


def matches(registered: str, asked: str) -> bool:
    """Whether it is the registered URI, character by character; a bare loopback one has any port.

    https://www.rfc-editor.org/rfc/rfc8252#section-7.3
    """
    if registered == asked:
        return True
    mine, theirs = LOOPBACK.fullmatch(registered), LOOPBACK.fullmatch(asked)
    if mine is None or theirs is None or mine["port"] or not theirs["port"] or not 0 < int(theirs["port"]) < 65536:
        return False
    return registered == asked.replace(f":{theirs['port']}{theirs['path'] or ''}", theirs["path"] or "", 1)


@dataclass(frozen=True, slots=True)
class _Check:
    world: World
    client: Client
    redirect_uri: str
    given: Mapping[str, str]

    async def run(self, counts: Counter[str]) -> Checked:
        given = self.given
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            self._refuse("invalid_request", "a parameter is there twice")
        if any(len(value) > (LONGEST_STATE if name == "state" else LONGEST) for name, value in given.items()):
            self._refuse("invalid_request", "a parameter is too long")
        self._flow()
        launch, launch_id = await self._launch()
        max_age = given.get("max_age")
        if max_age is not None and not re.fullmatch(r"\d{1,9}", max_age, re.ASCII):
            self._refuse("invalid_request", "max_age is a number of seconds")
        return Checked(
            self.client, self._scopes(launch), self.redirect_uri, given["state"], given.get("nonce", ""),
            given["code_challenge"], launch, launch_id, self._prompt(), None if max_age is None else int(max_age),
        )  # fmt: skip

    def _flow(self) -> None:
        given = self.given
        if given.get("response_type") != "code":
            there = "response_type" in given
            self._refuse("unsupported_response_type" if there else "invalid_request", "response_type is code")
        if "request" in given or "request_uri" in given:
            error = "request_not_supported" if "request" in given else "request_uri_not_supported"
            self._refuse(error, "request objects are not read here")
        if given.get("response_mode", "query") != "query":
            self._refuse("invalid_request", "response_mode is query")
        if not given.get("state"):
            self._refuse("invalid_request", "state is missing")
        if given.get("code_challenge_method") != "S256":
            self._refuse("invalid_request", "code_challenge_method is S256")
        if not _CHALLENGE.fullmatch(given.get("code_challenge", "")):
            self._refuse("invalid_request", "code_challenge is missing or none")
        aud = given.get("aud", "")
        if not aud or f"{aud.removesuffix('/')}/" not in self.world.bases:
            self._refuse("invalid_request", "aud is the FHIR base of this server")
        if not _plain(given.get("nonce", "")):
            self._refuse("invalid_request", "nonce is no text")

    def _scopes(self, launch: Launch | None) -> Scopes:
        limit = self.client.scopes
        # A person never grants what belongs to a backend.
        limit = replace(limit, resources=tuple(one for one in limit.resources if one.context != "system"))
        text = self.given.get("scope", "")
        asked = parse(text) if _plain(text) else Scopes()
        if "launch" in asked.others and launch is None:
            self._refuse("invalid_request", "the scope launch needs the parameter launch")
        kept = within(asked, limit)
        if not kept.resources and not kept.others:
            self._refuse("invalid_scope", "none of the scopes can be granted to this app")
        return kept

    async def _launch(self) -> tuple[Launch | None, str]:
        text = self.given.get("launch")
        if text is None:
            return None, ""
        if "launch" not in self.given.get("scope", "").split():
            self._refuse("invalid_request", "the parameter launch needs the scope launch")
        found = await launches.find(self.world, self.client, text)
        if found is None:
            self._refuse("invalid_request", "this launch is not known, over, or was used")
        return found

    def _prompt(self) -> str:
        words = self.given.get("prompt", "").split()
        if not set(words) <= _PROMPTS or ("none" in words and len(words) > 1):
            self._refuse("invalid_request", "prompt is none, login, consent or select_account")
        return " ".join(words)

    def _refuse(self, error: str, text: str) -> NoReturn:
        state = self.given.get("state", "")[:LONGEST_STATE]
        raise Redirected(answer_url(self.world, self.redirect_uri, state, error=error, error_description=text))


def _plain(text: str) -> bool:
    """Whether it is text that can be stored."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)

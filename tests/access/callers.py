"""Who calls in these tests: real tokens, and ears that hear what a caller may not be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from fhir_server.access.caller import Role
from fhir_server.remote.http import httpx
from tests.builders.clinic import parameters
from tests.builders.town import OF_PATIENTS, PATIENTS, Town
from tests.tokens import Issuer, account

ALL_USER = "openid fhirUser user/*.cruds"
SEES: dict[str, set[str]] = {
    "app": {"ann"}, "user": {"ann"}, "parent": {"ben"}, "delegate": {"cia"}, "practitioner": {"ann"},
    "desk": {"ann", "ben"}, "administrator": {"ann", "ben"}, "auditor": set(), "walled": {"ann", "ben"},
    "unlimited": set(PATIENTS),
}  # fmt: skip
"""Caller → patients whose data they see."""

PERSONS = ("app", "user", "parent", "delegate")
STAFF = ("practitioner", "desk", "administrator")
NO_REASONS = frozenset({"desk", "administrator"})
CLOSED: dict[str, frozenset[str]] = {
    "desk": frozenset({"Flag"}), "administrator": frozenset({"Flag"}), "auditor": frozenset(OF_PATIENTS),
}  # fmt: skip
"""Caller → types of patient data that their role never reads."""


@dataclass
class Asker:
    """One caller. Every answer is searched for what must not be in it; what a request itself says may come back."""

    name: str
    town: Town
    http: Any
    token: str
    hidden: set[str] = field(default_factory=set)

    async def ask(self, method: str, url: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        answer = await self.http.request(method, url, headers=headers, **more)
        self.check(answer)
        return answer

    def check(self, answer: Any) -> None:
        said = answer.text + " ".join(f"{name}: {value}" for name, value in answer.headers.items())
        url = str(answer.request.url)
        asked = url + unquote(url) + answer.request.content.decode("utf-8", "replace")
        names = self.town.names
        heard = sorted(names[one] for one in self.hidden if one in said and one not in asked)
        assert not heard, f"{self.name}: {answer.request.method} {answer.request.url} says {heard}: {said[:2000]}"

    async def get(self, url: str, **more: Any) -> Any:
        return await self.ask("GET", url, **more)

    async def post(self, url: str, body: Any, **more: Any) -> Any:
        return await self.ask("POST", url, json=body, **more)

    async def put(self, resource: dict[str, Any], **more: Any) -> Any:
        return await self.ask("PUT", f"{resource['resourceType']}/{resource['id']}", json=resource, **more)

    async def call(self, url: str, *, headers: Any = None, **arguments: tuple[str, Any]) -> Any:
        """An operation with parameters as :func:`parameters` takes them."""
        return await self.post(url, parameters(**arguments), headers=headers or {})

    async def found(self, url: str, **more: Any) -> dict[str, Any]:
        """A search that succeeds."""
        answer = await self.get(url, **more)
        assert answer.status_code == 200, f"{self.name} {url}: {answer.text}"
        bundle: dict[str, Any] = answer.json()
        return bundle

    async def ids(self, url: str) -> set[str]:
        """``Type/id`` of everything that a search brings, on all of its pages."""
        ids: set[str] = set()
        while url:
            bundle = await self.found(url)
            ids |= {references(one) for one in bundle.get("entry", ()) if one["search"]["mode"] != "outcome"}
            url = next((one["url"] for one in bundle["link"] if one["relation"] == "next"), "")
        return ids


def references(entry: dict[str, Any]) -> str:
    return f"{entry['resource']['resourceType']}/{entry['resource']['id']}"


@dataclass
class Callers:
    """The callers of a town, each made when somebody first needs them."""

    town: Town
    http: Any
    issuer: Issuer
    _made: dict[str, Asker] = field(default_factory=dict)

    async def __call__(self, name: str) -> Asker:
        if name not in self._made:
            self._made[name] = self.asker(name, await self._token(name))
        return self._made[name]

    def asker(self, name: str, token: str) -> Asker:
        """Somebody who sees what that caller sees, by another token."""
        return Asker(name, self.town, self.http, token, self.hidden(name))

    def hidden(self, name: str) -> set[str]:
        """The words that a caller must never hear."""
        town, found = self.town, set[str]()
        for person in PATIENTS:
            if person not in SEES[name]:
                found |= town.about(person)
            elif name in NO_REASONS:
                found.add(town.why(person))
        if name in PERSONS:
            found |= {town.staff, town.why("together")}
        if name in NO_REASONS or name == "auditor":
            found.add(town.why("together"))
        if name == "practitioner":
            # A clinician sees by their ids who else is in a visit of their patient, and no more of them.
            found.discard(town.mark("id ben"))
        return found

    async def acting_as(self, person: str) -> str:
        """The token of somebody new who is that person."""
        return await self.issuer.person(account(Role.PATIENT, person), ALL_USER)

    async def _token(self, name: str) -> str:
        town, north = self.town, frozenset({f"Organization/{self.town.id('north')}"})
        if name == "walled":
            return await self.issuer.backend(town.id("walled"), "system/*.cruds", clinics=north)
        if name == "unlimited":
            return await self.issuer.backend(town.id("unlimited"), "system/*.cruds")
        if name == "app":
            who = account(Role.PATIENT, town.own("ann"))
            return await self.issuer.person(who, "patient/*.cruds launch/patient", town.own("ann"))
        roles = {
            "user": (Role.PATIENT, town.own("ann")), "parent": (Role.PATIENT, f"RelatedPerson/{town.id('mother')}"),
            "delegate": (Role.PATIENT, f"RelatedPerson/{town.id('aunt')}"),
            "practitioner": (Role.PRACTITIONER, f"Practitioner/{town.id('adams')}"),
            "desk": (Role.FRONT_DESK, f"Practitioner/{town.id('desk')}"),
            "administrator": (Role.ADMINISTRATOR, f"Practitioner/{town.id('boss')}"),
            "auditor": (Role.AUDITOR, f"Practitioner/{town.id('auditor')}"),
        }  # fmt: skip
        role, person = roles[name]
        clinics = north if name in STAFF else frozenset[str]()
        return await self.issuer.person(account(role, person, clinics=clinics), ALL_USER)


async def settled(town: Town) -> Town:
    """The town with those who act for others: Ben's mother, and an aunt whom Cia lets act for her."""
    await town.opened()
    await town.related("mother", "ben", active=True)
    await town.related("aunt", "ben", active=False)
    await town.consent("delegation", "cia", f"RelatedPerson/{town.id('aunt')}")
    return town


def client_of(app: Any, token: str = "") -> Any:
    """An HTTP client of the FHIR base in this process."""
    headers = {"Content-Type": "application/fhir+json", **({"Authorization": f"Bearer {token}"} if token else {})}
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://fhir.test/fhir/", timeout=60, headers=headers)

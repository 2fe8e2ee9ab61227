"""A clinic whose patients wait: a doctor, a clinician's, a front desk's and the patients' tokens."""

from __future__ import annotations

from typing import Any

from fhir_server.access.caller import Role
from tests.builders.clinic import OWN, parameters, part
from tests.builders.visits import Visits
from tests.tokens import Issuer, account

PERSON = "openid fhirUser user/*.cruds"
PREFERENCE = f"{OWN}waitlist-preference"
OFFER = f"{OWN}waitlist-offer"


def reference(value: str) -> tuple[str, Any]:
    return "Reference", {"reference": value}


def waitlist_policy(*ordering: str, **said: Any) -> dict[str, Any]:
    """Part ``waitlist`` of a booking policy: lengths in minutes, times as text, the rest as they are."""
    parts = [part("ordering", "Code", one) for one in ordering]
    for name, value in said.items():
        if name in {"offerDuration", "stopBefore"}:
            length = {"value": value, "unit": "min", "system": "http://unitsofmeasure.org", "code": "min"}
            parts.append(part(name, "Duration", length))
        elif name in {"quietStart", "quietEnd"}:
            parts.append(part(name, "Time", value))
        elif name == "maxOffers":
            parts.append(part(name, "PositiveInt", value))
        elif isinstance(value, bool):
            parts.append(part(name, "Boolean", value))
        else:
            parts.append(part(name, "Code", value))
    return {"url": f"{OWN}booking-policy", "extension": [{"url": "waitlist", "extension": parts}]}


def preference(entry: dict[str, Any]) -> dict[str, list[Any]]:
    """Values of the extension *waitlist-preference* by part."""
    found: dict[str, list[Any]] = {}
    for extension in entry.get("extension", ()):
        if extension["url"] == PREFERENCE:
            for one in extension["extension"]:
                value = next(value for name, value in one.items() if name.startswith("value"))
                found.setdefault(one["url"], []).append(value)
    return found


def outcomes(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """``(start, outcome)`` of every offer that an entry had."""
    found = []
    for extension in entry.get("extension", ()):
        if extension["url"] == OFFER:
            parts = {one["url"]: one for one in extension["extension"]}
            found.append((parts["start"]["valueInstant"], parts["outcome"]["valueCode"]))
    return found


class Waiting(Visits):
    """As :class:`Visits`; nobody is told at night unless a policy says otherwise."""

    issuer: Issuer

    async def token(self, role: Role, who: str = "", **more: Any) -> dict[str, str]:
        """The header of a person: ``token(Role.PATIENT, "Patient/1")``; one account for each call."""
        return {"Authorization": f"Bearer {await self.issuer.person(account(role, who, **more), PERSON)}"}

    async def join(self, who: str = "pat", headers: Any = None, **arguments: Any) -> Any:
        """``$join-waitlist`` for the visit; the HTTP answer."""
        said = {"patient": reference(f"Patient/{self.id(who)}"), "service": reference(self.visit), **arguments}
        body = parameters(**{name: value for name, value in said.items() if value is not None})
        return await self.client.post("Appointment/$join-waitlist", json=body, headers=headers or {})

    async def joined(self, who: str = "pat", headers: Any = None, **arguments: Any) -> dict[str, Any]:
        answer = await self.join(who, headers, **arguments)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def waitlist(self, headers: Any = None, **query: Any) -> dict[str, Any]:
        """``$waitlist``; the Bundle."""
        answer = await self.client.get("Appointment/$waitlist", params=query, headers=headers or {})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def order(self, headers: Any = None, **query: Any) -> list[str]:
        """Ids of the entries for the visit in the order of the waitlist."""
        query.setdefault("service", self.visit)
        return [one["resource"]["id"] for one in (await self.waitlist(headers, **query)).get("entry", ())]


def ranks(bundle: dict[str, Any]) -> list[tuple[int, str] | None]:
    """Place and reason of each entry of a ``$waitlist``."""
    found: list[tuple[int, str] | None] = []
    for entry in bundle.get("entry", ()):
        extension = next(iter(entry["search"].get("extension", ())), None)
        parts = {one["url"]: one for one in extension["extension"]} if extension else {}
        found.append((parts["place"]["valuePositiveInt"], parts["reason"]["valueString"]) if extension else None)
    return found

"""A clinic whose patients wait: a doctor, a clinician's, a front desk's and the patients' tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.access.caller import Role
from fhir_server.services.following.drain import drain
from fhir_server.services.reminders.requests import GROUP_SYSTEM
from fhir_server.services.world import World
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


NO_NIGHT = {"quietStart": "00:00:00", "quietEnd": "00:00:00"}
"""Tests run at night too."""


class Waiting(Visits):
    """As :class:`Visits`, with what follows from a write on demand; no hours are quiet."""

    issuer: Issuer
    world: World

    async def opened(self, *extensions: dict[str, Any], minutes: int = 30, parts: tuple[Any, ...] = ()) -> Waiting:
        if not any(one["url"].endswith("/booking-policy") for one in extensions):
            extensions = (*extensions, waitlist_policy(**NO_NIGHT))
        await super().opened(*extensions, minutes=minutes, parts=parts)
        await self.follow()
        return self

    async def follow(self, minutes: int = 0) -> None:
        """Everything that is due, in so many minutes."""
        clock = self.world.clock
        await drain(replace(self.world, clock=lambda: clock() + minutes * 60_000))

    async def freed(self, clock: str = "09:00", day: int = 0, patient: str = "pat") -> None:
        """A visit is booked and cancelled, and what follows from it is done."""
        visit = self.appointment(patient=patient) | {"start": self.at(clock, day), "end": self.at(_later(clock), day)}
        answer = await self.client.post("Appointment", json=visit)
        assert answer.status_code == 201, answer.text
        await self.follow()
        assert (await self.act(answer.json()["id"], "$cancel")).status_code == 200
        await self.follow()

    async def entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry as it is now."""
        return await self.read(f"Appointment/{entry['id']}")

    async def states(self, *entries: dict[str, Any]) -> list[str]:
        return [(await self.entry(one))["status"] for one in entries]

    async def respond(
        self, entry: dict[str, Any], said: str, who: str = "pat", headers: Any = None, **more: Any
    ) -> Any:
        """An AppointmentResponse of a patient; the HTTP answer."""
        response = {
            "resourceType": "AppointmentResponse", "participantStatus": said, "actor": self.who(who),
            "appointment": {"reference": f"Appointment/{entry['id']}"}, **more,
        }  # fmt: skip
        return await self.client.post("AppointmentResponse", json=response, headers=headers or {})

    async def told(self, entry: dict[str, Any]) -> list[str]:
        """Kinds of the messages that are planned, or were made into messages of the patient's channels."""
        keys = [(version, kind) for version in range(1, 12) for kind in ("waitlist-offer", "waitlist-offer-ended")]
        plans = [await self.world.store.work.planned("message", f"{kind}/{entry['id']}/{version}")
                 for version, kind in keys]  # fmt: skip
        query = {"group-identifier": f"{GROUP_SYSTEM}|{entry['id']}", "_count": "100"}
        found = (await self.client.get("CommunicationRequest", params=query)).json().get("entry", ())
        names = {one["resource"]["identifier"][0]["value"].rpartition("/")[2] for one in found}
        return [kind for (version, kind), plan in zip(keys, plans, strict=True) if plan or f"{kind}-{version}" in names]

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


def _later(clock: str) -> str:
    hour, minute = divmod(int(clock[:2]) * 60 + int(clock[3:]) + 30, 60)
    return f"{hour:02}:{minute:02}"


def ranks(bundle: dict[str, Any]) -> list[tuple[int, str] | None]:
    """Place and reason of each entry of a ``$waitlist``."""
    found: list[tuple[int, str] | None] = []
    for entry in bundle.get("entry", ()):
        extension = next(iter(entry["search"].get("extension", ())), None)
        parts = {one["url"]: one for one in extension["extension"]} if extension else {}
        found.append((parts["place"]["valuePositiveInt"], parts["reason"]["valueString"]) if extension else None)
    return found

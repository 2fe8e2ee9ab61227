"""A small clinic of a test's own: every id carries the clinic's name, so that tests do not meet."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.settings import CANONICAL

OWN = f"{CANONICAL}StructureDefinition/"
TIMEZONE = "http://hl7.org/fhir/StructureDefinition/timezone"
UCUM = "http://unitsofmeasure.org"
SERVICE_SYSTEM = "https://clinic.example/service-type"
NEW_YORK = "America/New_York"


def duration(minutes: int) -> dict[str, Any]:
    return {"value": minutes, "unit": "min", "system": UCUM, "code": "min"}


def part(url: str, kind: str, value: Any) -> dict[str, Any]:
    return {"url": url, f"value{kind}": value}


def availability(
    start: str = "09:00:00", end: str = "17:00:00", days: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """Extension ``availability``; every day without ``days``."""
    parts = [part("daysOfWeek", "Code", day) for day in days]
    parts += [part("startTime", "Time", start), part("endTime", "Time", end)]
    parts += more.get("parts", [])
    return {"url": f"{OWN}availability", "extension": parts}


def policy(*limits: tuple[str, str, int], **lengths: int) -> dict[str, Any]:
    """Extension ``booking-policy``: limits as ``(scope, per, count)``; lengths in minutes, counts as they are."""
    counts = {"maxHolds", "maxReschedules", "overbooking"}
    parts = [
        part(name, "PositiveInt", value) if name in counts else part(name, "Duration", duration(value))
        for name, value in lengths.items()
    ]
    parts += [
        {
            "url": "limit",
            "extension": [part("scope", "Code", scope), part("per", "Code", per), part("count", "PositiveInt", count)],
        }
        for scope, per, count in limits
    ]
    return {"url": f"{OWN}booking-policy", "extension": parts}


@dataclass
class Clinic:
    """Resources of one clinic, put over HTTP. Days are counted from ``first``, a Monday a few weeks ahead."""

    client: Any
    name: str = field(default_factory=lambda: "c" + uuid.uuid4().hex[:8])
    zone: str = NEW_YORK

    @property
    def first(self) -> date:
        today = datetime.now(ZoneInfo(self.zone)).date()
        return today + timedelta(days=14 - today.weekday())

    def at(self, clock: str, day: int = 0) -> str:
        """A local time as FHIR dateTime: ``at("09:00")``."""
        local = datetime.combine(self.first + timedelta(days=day), time.fromisoformat(clock))
        return local.replace(tzinfo=ZoneInfo(self.zone)).isoformat()

    def id(self, name: str) -> str:
        return f"{self.name}-{name}"

    async def put(self, resource: dict[str, Any]) -> dict[str, Any]:
        url = f"{resource['resourceType']}/{resource['id']}"
        answer = await self.client.put(url, json=resource, headers={"Content-Type": "application/fhir+json"})
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    async def service(self, name: str = "visit", minutes: int = 30, *parts: dict[str, Any], **more: Any) -> str:
        """A HealthcareService; its reference."""
        lengths = [part("duration", "Duration", duration(minutes))]
        resource = {
            "resourceType": "HealthcareService",
            "id": self.id(name),
            "extension": [
                {"url": f"{OWN}service-parameters", "extension": [*lengths, *parts]},
                *more.get("extension", []),
            ],
            "type": [{"coding": [{"system": SERVICE_SYSTEM, "code": self.id(name)}]}],
        }
        await self.put(resource)
        return f"HealthcareService/{self.id(name)}"

    async def practitioner(self, name: str = "doc") -> str:
        await self.put(
            {"resourceType": "Practitioner", "id": self.id(name), "name": [{"family": name.title(), "prefix": ["Dr."]}]}
        )
        return f"Practitioner/{self.id(name)}"

    async def patient(self, name: str = "pat") -> str:
        await self.put({"resourceType": "Patient", "id": self.id(name), "name": [{"family": name.title()}]})
        return f"Patient/{self.id(name)}"

    async def schedule(
        self, name: str, actors: list[str], services: list[str], *extensions: dict[str, Any], open_: bool = True
    ) -> str:
        """A Schedule open from 09:00 to 17:00 every day unless extensions say otherwise."""
        stated = [{"url": TIMEZONE, "valueCode": self.zone}]
        stated += [part(f"{OWN}offers", "Reference", {"reference": one}) for one in services]
        if open_ and not any(one["url"].endswith("/availability") for one in extensions):
            stated.append(availability())
        resource = {
            "resourceType": "Schedule",
            "id": self.id(name),
            "extension": [*stated, *extensions],
            "actor": [{"reference": one} for one in actors],
        }
        await self.put(resource)
        return f"Schedule/{self.id(name)}"

    async def find(self, **arguments: Any) -> dict[str, Any]:
        """``$find`` by GET over the clinic's first day unless start and end are given."""
        arguments.setdefault("start", self.first.isoformat())
        arguments.setdefault("end", self.first.isoformat())
        query = {name.replace("_", "-") if name != "_count" else name: value for name, value in arguments.items()}
        answer = await self.client.get("Appointment/$find", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def book(self, proposal: str, patient: str, **headers: str) -> Any:
        """``$book`` by proposal id; the HTTP answer."""
        body = parameters(appointment=("Uri", f"Appointment/{proposal}"), patient=("Reference", {"reference": patient}))
        return await self.client.post("Appointment/$book", json=body, headers=headers)


def parameters(**arguments: tuple[str, Any]) -> dict[str, Any]:
    """A Parameters resource: ``parameters(start=("DateTime", "…"))``; ``_`` in a name is ``-``."""
    entries = [
        {"name": name.replace("_", "-"), ("resource" if kind == "resource" else f"value{kind}"): value}
        for name, (kind, value) in arguments.items()
    ]
    return {"resourceType": "Parameters", "parameter": entries}


def proposals(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == "match"]

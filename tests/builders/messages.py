"""A clinic whose patients get messages: what is sent is kept by recording twins, and the clock can be moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from fhir_server.app import Server
from fhir_server.fhir.json import parse
from fhir_server.remote.channels import Channels
from fhir_server.services.following.drain import drain
from fhir_server.services.reminders.communications import events
from fhir_server.services.reminders.requests import KIND_SYSTEM, MEDIUM_SYSTEM, code_of
from fhir_server.services.world import World
from tests.builders.clinic import OWN, TIMEZONE, Clinic, duration, parameters, part, proposals

ISSUER = "http://fhir.test"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@dataclass
class Practice(Clinic):
    """One provider, one service, an Organization that speaks. ``app`` serves it by a clock that :meth:`until` moves."""

    app: Server | None = None
    channels: Channels = field(default_factory=Channels.recording)
    number: str = ""

    async def opened(self, *policy: dict[str, Any], modality: str = "", **organization: Any) -> Practice:
        assert self.app is not None
        self.number = f"+1555{int(self.name[1:], 16) % 10**7:07d}"
        stated = [{"url": f"{OWN}booking-policy", "extension": list(policy)}] if policy else []
        await self.put({
            "resourceType": "Organization", "id": self.id("org"), "name": f"Clinic {self.name}",
            "telecom": [{"system": "phone", "value": "+1 555 201 0199"}],
            **organization, "extension": [
                {"url": TIMEZONE, "valueCode": self.zone}, *stated, *organization.get("extension", [])
            ],
        })  # fmt: skip
        await self.put({
            "resourceType": "Location", "id": self.id("site"), "name": "Main Street Practice",
            "managingOrganization": {"reference": f"Organization/{self.id('org')}"},
            "address": {"line": ["1 Main Street"], "city": "Springfield"},
        })  # fmt: skip
        await self.put({
            "resourceType": "PractitionerRole", "id": self.id("role"),
            "practitioner": {"reference": await self.practitioner()},
            "organization": {"reference": f"Organization/{self.id('org')}"},
            "location": [{"reference": f"Location/{self.id('site')}"}],
        })  # fmt: skip
        self._service = await self.service()
        await self.schedule("cal", [f"Practitioner/{self.id('doc')}"], [self._service])
        return self

    async def person(self, name: str = "pat", **more: Any) -> str:
        """A patient with a mobile number, an e-mail address and a device."""
        made = {
            "resourceType": "Patient", "id": self.id(name), "name": [{"family": "Sample", "given": [name.title()]}],
            "telecom": [
                {"system": "phone", "use": "mobile", "value": self.number},
                {"system": "email", "value": f"{self.id(name)}@example.org"},
            ],
            **more,
        }  # fmt: skip
        await self.put({name: value for name, value in made.items() if value != []})
        return f"Patient/{self.id(name)}"

    async def booked(self, clock: str = "14:00", patient: str = "", day: int = 0, **more: Any) -> dict[str, Any]:
        """An appointment at a local time of one of the clinic's days; ``more`` goes into ``$find``."""
        who = patient or f"Patient/{self.id('pat')}"
        start = self.at(clock, day)
        found = await self.find(
            start=start, end=self.at("23:59", day), schedule=f"Schedule/{self.id('cal')}", _count="1", **more
        )
        (first,) = proposals(found)
        assert first["start"] == start
        answer = await self.book(first["id"], who)
        assert answer.status_code == 201, answer.text
        booked: dict[str, Any] = answer.json()
        return booked

    async def act(self, id_: str, operation: str, **arguments: Any) -> Any:
        answer = await self.client.post(f"Appointment/{id_}/{operation}", json=parameters(**arguments))
        assert answer.status_code == 200, answer.text
        return answer.json()

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def world(self) -> World:
        assert self.app is not None
        assert self.app.door.world is not None
        return self.app.door.world

    def go(self, text: str) -> None:
        """Move the clock of the server to an instant."""
        assert self.app is not None
        at = int(datetime.fromisoformat(text).timestamp() * 1000)
        world = self.world
        self.app.door.world = replace(world, clock=lambda: at, wall=world.wall or world.clock)

    async def drained(self) -> None:
        """Everything that is due by the server's clock is done."""
        await drain(self.world)

    async def until(self, text: str) -> None:
        """Move the clock on from one piece of work to the next, up to an instant, as a worker would meet them."""
        end = int(datetime.fromisoformat(text).timestamp() * 1000)
        await self.drained()
        while (due := await self._next(end)) is not None:
            self.go(datetime.fromtimestamp(due / 1000, UTC).isoformat())
            await self.drained()
        self.go(text)
        await self.drained()

    async def _next(self, end: int) -> int | None:
        where = {"state": "waiting", "due": {"$gt": self.world.clock(), "$lte": end}}
        rows = (
            await self.world.store.connection.collection("work").find(where, sort=[("due", 1)], limit=1).to_list(None)
        )
        return int(rows[0]["due"]) if rows else None

    # -- what was planned and sent -----------------------------------------------------------------------------------

    async def requests(self, appointment: str, *status: str) -> list[dict[str, Any]]:
        """CommunicationRequests of an appointment, the next one first."""
        system = "https://fhir-scheduling.example/fhir/identifier/appointment-messages"
        query = {"group-identifier": f"{system}|{appointment}", "_count": "100"}
        if status:
            query["status"] = ",".join(status)
        found = (await self.client.get("CommunicationRequest", params=query)).json()
        listed = [one["resource"] for one in found.get("entry", ())]
        return sorted(listed, key=lambda one: one["occurrenceDateTime"])

    async def planned(self, appointment: str, *status: str) -> list[tuple[str, str, tuple[str, ...]]]:
        """Kind, local time and channels of the requests that wait (or have these states), without notices."""
        zone = datetime.fromisoformat(self.at("12:00")).tzinfo
        return [
            (
                code_of(one["category"], KIND_SYSTEM),
                datetime.fromisoformat(one["occurrenceDateTime"]).astimezone(zone).strftime("%d %H:%M"),
                tuple(code_of([medium], MEDIUM_SYSTEM) for medium in one["medium"]),
            )
            for one in await self.requests(appointment, *(status or ("active",)))
            if code_of(one["category"], KIND_SYSTEM) != "notice"
        ]

    async def communications(self, appointment: str) -> list[dict[str, Any]]:
        """Every try to send something about an appointment, in the order of its events."""
        found = []
        for one in await self.requests(appointment):
            answer = await self.client.get("Communication", params={"based-on": f"CommunicationRequest/{one['id']}"})
            found += [entry["resource"] for entry in answer.json().get("entry", ())]
        return sorted(found, key=lambda one: [at for _, at in events(one)])

    def sent(self, medium: str) -> list[Any]:
        """What a recording channel was given."""
        channel = getattr(self.channels, medium)
        return list(channel.given)

    def texts(self) -> list[str]:
        """Text messages to the clinic's patients."""
        return [one.body for one in self.sent("sms") if one.to == self.number]

    def subjects(self, *names: str) -> list[str]:
        """Subjects of e-mails to patients of these names, everybody's without."""
        known = [f"{self.id(name)}@example.org" for name in names]
        return [one.subject for one in self.sent("email") if not known or one.to in known]


def rule(kind: str, amount: int, unit: str, *media: str, modality: Sequence[str] = ()) -> dict[str, Any]:
    """Part ``reminder`` of a booking policy."""
    before = {"value": amount, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
    parts = [part("kind", "Code", kind), part("before", "Duration", before)]
    parts += [part("channel", "Code", one) for one in media]
    parts += [part("modality", "Code", one) for one in modality]
    return {"url": "reminder", "extension": parts}


def confirmation(*, follow_up: int = 0, cutoff: int = 0, release: bool = False) -> dict[str, Any]:
    """Part ``confirmation`` of a booking policy; lengths in minutes."""
    parts = [part("release", "Boolean", release)]
    if follow_up:
        parts.append(part("followUp", "Duration", duration(follow_up)))
    if cutoff:
        parts.append(part("cutoff", "Duration", duration(cutoff)))
    return {"url": "confirmation", "extension": parts}


def body_of(stored: Any) -> dict[str, Any]:
    """The resource of a stored version."""
    found: dict[str, Any] = parse(stored.body)
    return found

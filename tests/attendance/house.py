"""A clinic with people who log in, and a clock that a test moves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from fhir_server.access.account import Account
from fhir_server.access.caller import Role
from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.services.following.drain import drain
from fhir_server.services.world import World
from tests.builders.clinic import OWN, TIMEZONE, Clinic, availability, parameters, part, proposals
from tests.tokens import Issuer, account, issuer_for

UCUM = "http://unitsofmeasure.org"
ALL = "openid fhirUser user/*.cruds"
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@dataclass
class Clock:
    """Milliseconds since the epoch, ``offset`` ms from real."""

    offset: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset

    def to(self, instant: str, minutes: float = 0) -> None:
        """Let it be so many minutes after an instant now."""
        wanted = datetime.fromisoformat(instant).timestamp() * 1000 + minutes * 60_000
        self.offset = int(wanted) - time.time_ns() // 1_000_000


@dataclass
class Callers:
    """Tokens of everybody, good at the time that the clock shows."""

    app: Server
    clock: Clock
    accounts: dict[str, Account] = field(default_factory=dict)
    _issuers: dict[int, Issuer] = field(default_factory=dict)

    async def token(self, name: str) -> str:
        hour = self.clock.offset // 60_000
        issuer = self._issuers.setdefault(hour, issuer_for(self.app))
        if name == "system":
            return await issuer.backend("attendance", "system/*.cruds")
        return await issuer.person(self.accounts[name], ALL)


class _As(httpx.Auth):
    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def async_auth_flow(self, request: Any) -> Any:
        name = request.headers.pop("X-Caller", "system")
        request.headers["Authorization"] = f"Bearer {await self._callers.token(name)}"
        yield request


def client_of(app: Server, callers: Callers) -> Any:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://fhir.test/fhir/", timeout=60, auth=_As(callers),
        headers={"Content-Type": "application/fhir+json"},
    )  # fmt: skip


class House(Clinic):
    """``org`` with ``doc``, who gives half-hour visits at any hour. Patients ``pat`` and ``other``, and an account for
    each of: ``pat``, ``other``, ``doc``, ``colleague``, ``desk``, and ``far``, the desk of another clinic.
    """

    def __init__(self, client: Any, callers: Callers, clock: Clock) -> None:
        super().__init__(client)
        self.callers, self.clock = callers, clock

    async def opened(self, *parts: dict[str, Any], policy: tuple[dict[str, Any], ...] = ()) -> House:
        """With parts of the service's parameters, and of the clinic's booking policy."""
        stated = [{"url": f"{OWN}booking-policy", "extension": list(policy)}] if policy else []
        for name in ("org", "elsewhere"):
            await self.put({"resourceType": "Organization", "id": self.id(name), "name": name,
                            **({"extension": stated} if stated and name == "org" else {})})  # fmt: skip
        org = {"reference": f"Organization/{self.id('org')}"}
        await self.service("visit", 30, *parts)
        service = await self.read(self.visit)
        await self.put({**service, "providedBy": org})
        for name in ("doc", "colleague", "desk-person", "far-person"):
            await self.practitioner(name)
        for name in ("doc", "colleague"):
            await self.put({"resourceType": "PractitionerRole", "id": self.id(f"{name}-role"), "organization": org,
                            "practitioner": {"reference": f"Practitioner/{self.id(name)}"}})  # fmt: skip
        for name in ("pat", "other"):
            await self.put({"resourceType": "Patient", "id": self.id(name), "birthDate": "1980-03-25",
                            "name": [{"family": name.title()}], "managingOrganization": org})  # fmt: skip
            self.callers.accounts[name] = account(Role.PATIENT, f"Patient/{self.id(name)}")
        for name in ("doc", "colleague"):
            await self.put({
                "resourceType": "Schedule", "id": self.id(f"{name}-days"),
                "extension": [{"url": TIMEZONE, "valueCode": self.zone}, availability("00:00:00", "00:00:00"),
                              part(f"{OWN}offers", "Reference", {"reference": self.visit})],
                "actor": [{"reference": f"Practitioner/{self.id(name)}"},
                          {"reference": f"PractitionerRole/{self.id(f'{name}-role')}"}],
            })  # fmt: skip
        here = frozenset({f"Organization/{self.id('org')}"})
        for name, role, person in (("doc", Role.PRACTITIONER, "doc"), ("colleague", Role.PRACTITIONER, "colleague"),
                                   ("desk", Role.FRONT_DESK, "desk-person")):  # fmt: skip
            self.callers.accounts[name] = account(role, f"Practitioner/{self.id(person)}", clinics=here)
        there = frozenset({f"Organization/{self.id('elsewhere')}"})
        self.callers.accounts["far"] = account(Role.FRONT_DESK, f"Practitioner/{self.id('far-person')}", clinics=there)
        return self

    @property
    def visit(self) -> str:
        return f"HealthcareService/{self.id('visit')}"

    def ref(self, name: str, type_: str = "Patient") -> dict[str, Any]:
        return {"reference": f"{type_}/{self.id(name)}"}

    async def ask(self, caller: str, method: str, url: str, body: Any = None, **headers: str) -> Any:
        """One request; the HTTP answer."""
        return await self.client.request(method, url, json=body, headers={"X-Caller": caller, **headers})

    async def act(self, caller: str, id_: str, operation: str, headers: Any = None, **arguments: Any) -> Any:
        """An operation on an Appointment; the HTTP answer."""
        return await self.ask(
            caller, "POST", f"Appointment/{id_}/{operation}", parameters(**arguments), **(headers or {})
        )

    async def patch(self, caller: str, reference: str, *changes: tuple[str, Any]) -> Any:
        body = [{"op": "replace", "path": path, "value": value} for path, value in changes]
        return await self.ask(caller, "PATCH", reference, body, **JSON_PATCH)

    async def read(self, reference: str, caller: str = "system") -> dict[str, Any]:
        answer = await self.ask(caller, "GET", reference)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def state(self, id_: str) -> tuple[str, dict[str, str]]:
        """Status of an Appointment, and participation by the last part of the actor's id."""
        found = await self.read(f"Appointment/{id_}")
        return found["status"], {
            one["actor"]["reference"].rpartition("-")[2]: one["status"] for one in found["participant"]
        }

    @property
    def world(self) -> World:
        """The server's own world, on the test's clock."""
        assert self.callers.app.door.world is not None
        return self.callers.app.door.world.own()

    async def drained(self) -> None:
        """Everything that follows has followed."""
        await drain(self.world)

    async def missed(self, count: int, patient: str = "pat") -> list[str]:
        """So many no-shows of one day; their ids. The clock stands behind them."""
        clocks = [f"{8 + number // 2:02}:{'30' if number % 2 else '00'}" for number in range(count)]
        visits = [await self.booked(clock, patient) for clock in clocks]
        self.clock.to(visits[-1]["end"], 30)
        for one in visits:
            answer = await self.act("desk", one["id"], "$noshow")
            assert answer.status_code == 200, answer.text
        await self.drained()
        return [one["id"] for one in visits]

    async def flags(self, patient: str = "pat", caller: str = "doc") -> list[dict[str, Any]]:
        answer = await self.ask(caller, "GET", f"Flag?patient=Patient/{self.id(patient)}")
        assert answer.status_code == 200, answer.text
        return [one["resource"] for one in answer.json().get("entry", ()) if one["search"]["mode"] == "match"]

    async def booked(self, clock: str = "09:00", patient: str = "pat", caller: str = "system", day: int = 0) -> Any:
        """``$book`` at doc's; the Appointment."""
        found = await self.find(
            service=self.visit, practitioner=f"Practitioner/{self.id('doc')}", _count="1000",
            start=self.at("00:00", day), end=self.at("00:00", day + 1),
        )  # fmt: skip
        free = next(one["id"] for one in proposals(found) if one["start"] == self.at(clock, day))
        body = parameters(appointment=("Uri", f"Appointment/{free}"), patient=("Reference", self.ref(patient)))
        answer = await self.ask(caller, "POST", "Appointment/$book", body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def appointment(self, clock: str = "09:00", end: str = "09:30", **more: Any) -> dict[str, Any]:
        """An Appointment as plain REST sends it."""
        actors = [self.ref("pat"), self.ref("doc", "Practitioner")]
        return {
            "resourceType": "Appointment", "status": "booked", "start": self.at(clock), "end": self.at(end),
            "participant": [{"actor": one, "status": "accepted"} for one in actors], **more,
        }  # fmt: skip

    async def answer(self, caller: str, appointment: str, actor: dict[str, Any], status: str, **more: Any) -> Any:
        """An AppointmentResponse; the HTTP answer."""
        return await self.ask(caller, "POST", "AppointmentResponse", {
            "resourceType": "AppointmentResponse", "appointment": {"reference": f"Appointment/{appointment}"},
            "actor": actor, "participantStatus": status, **more,
        })  # fmt: skip


def minutes(name: str, count: int) -> dict[str, Any]:
    """A part of a booking policy that is a length."""
    return part(name, "Duration", {"value": count, "unit": "min", "system": UCUM, "code": "min"})


def with_clock(world: World, clock: Clock) -> World:
    return replace(world, clock=clock)

"""A clinic with one doctor who gives half-hour visits, and what its callers ask of it."""

from __future__ import annotations

from typing import Any

from tests.builders.clinic import Clinic, parameters, proposals

UCUM = "http://unitsofmeasure.org"


def seconds(count: int) -> dict[str, Any]:
    return {"value": count, "unit": "s", "system": UCUM, "code": "s"}


class Visits(Clinic):
    """``doc`` from nine to five, patients ``pat`` and ``other``, service ``visit``."""

    async def opened(self, *extensions: dict[str, Any], minutes: int = 30, parts: tuple[Any, ...] = ()) -> Visits:
        """With extensions on the Schedule and parts of the service's parameters."""
        service = await self.service("visit", minutes, *parts)
        await self.practitioner()
        await self.patient()
        await self.patient("other")
        await self.schedule("s", [f"Practitioner/{self.id('doc')}"], [service], *extensions)
        return self

    @property
    def visit(self) -> str:
        return f"HealthcareService/{self.id('visit')}"

    def who(self, name: str = "pat") -> dict[str, Any]:
        return {"reference": f"Patient/{self.id(name)}"}

    async def free(self, **more: Any) -> dict[str, Any]:
        """Proposal id by local time of day: ``free()["09:00"]``."""
        found = await self.find(service=self.visit, _count="1000", **more)
        return {one["start"][11:16]: one["id"] for one in proposals(found)}

    async def booked(self, clock: str = "09:00", patient: str = "pat", **headers: str) -> dict[str, Any]:
        answer = await self.book((await self.free())[clock], f"Patient/{self.id(patient)}", **headers)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def hold(self, clock: str = "09:00", patient: str = "pat", client: str = "", **more: tuple[str, Any]) -> Any:
        """``$hold``; the HTTP answer."""
        body = parameters(
            appointment=("Uri", f"Appointment/{(await self.free())[clock]}"),
            patient=("Reference", self.who(patient)),
            **more,
        )
        return await self.client.post("Appointment/$hold", json=body, headers=_as(client))

    async def held(self, clock: str = "09:00", patient: str = "pat", client: str = "", **more: Any) -> dict[str, Any]:
        answer = await self.hold(clock, patient, client, **more)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def act(self, id_: str, operation: str, client: str = "", **arguments: tuple[str, Any]) -> Any:
        """An instance operation: ``act(id, "$release")``; the HTTP answer."""
        return await self.client.post(
            f"Appointment/{id_}/{operation}", json=parameters(**arguments), headers=_as(client)
        )

    async def read(self, reference: str) -> dict[str, Any]:
        answer = await self.client.get(reference)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def appointment(
        self, clock: str = "09:00", end: str = "09:30", patient: str = "pat", **more: Any
    ) -> dict[str, Any]:
        """An Appointment as plain REST sends it."""
        actors = [self.who(patient), {"reference": f"Practitioner/{self.id('doc')}"}]
        return {
            "resourceType": "Appointment",
            "status": "booked",
            "start": self.at(clock),
            "end": self.at(end),
            "participant": [{"actor": one, "status": "accepted"} for one in actors],
            **more,
        }


def _as(client: str) -> dict[str, str]:
    return {"X-Client-Id": client} if client else {}

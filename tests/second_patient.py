"""A second patient, whom nobody in the suite may see: their data lie in the database while the tests over HTTP run.

The suite's own client has the scope ``system/*.cruds?_security:not=…``: it sees everything but what carries the label,
which what follows from the second patient's appointments inherits. So every query of every test passes the access
policy, and every byte that is sent is searched for the mark that all of the second patient's data bear: names,
identifiers, comments, and the ids themselves.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.services import resources
from fhir_server.services.world import World

LABEL = {"system": "urn:tests", "code": "second-patient"}
SCOPE = f"system/*.cruds?_security:not={LABEL['system']}|{LABEL['code']}"


@dataclass
class SecondPatient:
    """Stores the data once, and judges what is sent."""

    mark: str = field(default_factory=lambda: "zq" + secrets.token_hex(6))
    leaks: list[str] = field(default_factory=list)
    start: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0) + timedelta(days=20))

    def id(self, name: str) -> str:
        return f"{self.mark}-{name}"

    async def hear(self, response: Any) -> None:
        """Look for the mark in everything that a response says."""
        await response.aread()
        said = response.text + " ".join(f"{name}: {value}" for name, value in response.headers.items())
        asked = str(response.request.url) + response.request.content.decode("utf-8", "replace")
        if self.mark in said.lower() and self.mark not in asked.lower():
            self.leaks.append(f"{response.request.method} {response.request.url}")
        if self.leaks:
            leaks, self.leaks = self.leaks, []
            raise AssertionError(leaks)

    async def settle(self, world: World) -> None:
        """Store everything, in several versions, some of it deleted."""
        own = world.own()
        for resource in self.data():
            await resources.put(own, resource)
        for resource in self.data():
            later = {**resource, "language": "en"}
            await resources.put(own, later)
        gone = {**self._base("Patient", "gone"), "name": [{"family": self.mark}]}
        await resources.put(own, gone)
        await resources.delete(own, own.policy.caller, "Patient", gone["id"])

    def data(self) -> list[dict[str, Any]]:
        """What is known of the second patient, in an order in which it can be stored."""
        patient = {"reference": f"Patient/{self.id('pat')}"}
        start = self.start
        visits = [
            {
                **self._base("Appointment", f"visit-{status}"), "status": status, "comment": self.mark,
                "start": (start + timedelta(days=days, hours=at)).isoformat(),
                "end": (start + timedelta(days=days, hours=at, minutes=30)).isoformat(),
                "reasonCode": [{"text": self.mark}], "description": self.mark,
                "participant": [{"actor": patient, "status": "accepted"}],
            }
            for at, (status, days) in enumerate((
                ("booked", 0), ("cancelled", 0), ("fulfilled", -60), ("noshow", -60), ("waitlist", 0), ("proposed", 0)
            ))
        ]  # fmt: skip
        return [
            {
                **self._base("Patient", "pat"), "active": True, "gender": "female", "birthDate": "1980-05-12",
                "name": [{"family": "Pat", "given": [self.mark]}, {"family": self.mark}],
                "telecom": [{"system": "email", "value": f"{self.mark}@example.org"}],
            },
            {
                **self._base("RelatedPerson", "mother"), "patient": patient, "active": True,
                "name": [{"family": "Pat", "given": [self.mark]}],
            },
            {
                **self._base("Coverage", "cover"), "status": "active", "beneficiary": patient,
                "subscriberId": self.mark, "payor": [patient],
            },
            {
                **self._base("ServiceRequest", "referral"), "status": "active", "intent": "order", "subject": patient,
                "code": {"text": self.mark}, "authoredOn": "2026-01-01",
            },
            {**self._base("Flag", "flag"), "status": "active", "code": {"text": self.mark}, "subject": patient},
            {
                **self._base("Consent", "consent"), "status": "active", "patient": patient,
                "scope": {"text": "treatment"},
                "category": [{"text": self.mark}], "policyRule": {"text": self.mark},
            },
            {
                **self._base("Group", "family"), "type": "person", "actual": True, "name": self.mark,
                "member": [{"entity": patient}],
            },
            {**self._base("Schedule", "own"), "actor": [patient], "comment": self.mark},
            {
                **self._base("Slot", "slot"), "schedule": {"reference": f"Schedule/{self.id('own')}"}, "status": "free",
                "start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat(), "comment": self.mark,
            },
            *visits,
            {
                **self._base("AppointmentResponse", "answer"), "actor": patient, "participantStatus": "accepted",
                "appointment": {"reference": f"Appointment/{self.id('visit-booked')}"}, "comment": self.mark,
            },
            {
                **self._base("Encounter", "encounter"), "status": "finished", "subject": patient,
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "appointment": [{"reference": f"Appointment/{self.id('visit-fulfilled')}"}],
            },
        ]  # fmt: skip

    def _base(self, type_: str, name: str) -> dict[str, Any]:
        return {"resourceType": type_, "id": self.id(name), "meta": {"security": [LABEL]}}

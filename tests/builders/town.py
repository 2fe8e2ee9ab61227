"""A town with two clinics, north and south, and people of whom each has secret words that only some may read.

who       where   seen by dr. adams (north)        words
--------  ------  -------------------------------  ---------------------------------------------------------------
ann       north   yes: her booked visit            ``id(ann)`` is in ids, ``word(ann)`` in names, numbers and texts,
ben       north   no: dr. clark sees him           ``why(ann)`` in reasons and notes, ``staff`` in what a clinic
cia       south   no                               writes for itself
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from tests.builders.clinic import OWN, SERVICE_SYSTEM, Clinic, availability, part

PATIENTS = {"ann": "north", "ben": "north", "cia": "south"}
DOCTORS = {"ann": "adams", "ben": "clark", "cia": "baker"}
CLOCKS = {"ann": "09:00", "ben": "10:00", "cia": "09:00"}
OF_PATIENTS = (
    "Patient", "RelatedPerson", "Coverage", "ServiceRequest", "Flag", "Appointment", "AppointmentResponse",
    "Encounter", "Consent", "CommunicationRequest", "Communication",
)  # fmt: skip
"""Types of which each patient has one resource, ``Town.own(person, type)``."""
SHARED = ("Group", "Device", "Schedule", "Slot")
"""Types that are shared, of which each patient has one that is their own."""

Resource = dict[str, Any]


class Town(Clinic):
    """Built over HTTP by a backend without walls."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, name="t" + secrets.token_hex(5))
        self._marks: dict[str, str] = {}

    def mark(self, name: str) -> str:
        """A word that stands nowhere else: it begins as no id of the town does."""
        return self._marks.setdefault(name, "zq" + secrets.token_hex(6))

    @property
    def names(self) -> dict[str, str]:
        """What each mark stands for."""
        return {mark: name for name, mark in self._marks.items()}

    def word(self, person: str) -> str:
        return self.mark(f"word {person}")

    def why(self, person: str) -> str:
        return self.mark(f"why {person}")

    @property
    def staff(self) -> str:
        return self.mark("staff")

    def own_id(self, person: str, type_: str) -> str:
        return f"{self.mark(f'id {person}')}-{type_.lower()}"

    def own(self, person: str, type_: str = "Patient") -> str:
        """The reference of what a patient has of a type."""
        return f"{type_}/{self.own_id(person, type_)}"

    def ref(self, type_: str, name: str) -> Resource:
        return {"reference": f"{type_}/{self.id(name)}"}

    def about(self, person: str) -> set[str]:
        """Every mark of a person."""
        return {self.mark(f"id {person}"), self.word(person), self.why(person)}

    async def opened(self) -> Town:
        for side in ("north", "south"):
            await self._clinic(side)
        for doctor, side in {"adams": "north", "clark": "north", "baker": "south"}.items():
            await self._doctor(doctor, side)
        for person in PATIENTS:
            for resource in self._data(person):
                await self.put(resource)
            await self.put({**self._data(person)[0], "language": "en"})
        await self.put(self.family_visit())
        await self.put(self._family("family", "ann", "ben"))
        return self

    async def _clinic(self, side: str) -> None:
        await self.put({"resourceType": "Organization", "id": self.id(side), "name": side})
        await self.put({
            "resourceType": "Location", "id": self.id(f"{side}-room"), "status": "active", "name": f"Room {side}",
            "managingOrganization": self.ref("Organization", side),
        })  # fmt: skip
        await self.put({
            "resourceType": "HealthcareService", "id": self.id(f"{side}-visit"),
            "providedBy": self.ref("Organization", side),
            "extension": [{"url": f"{OWN}service-parameters", "extension": [part("duration", "Duration", {
                "value": 30, "unit": "min", "system": "http://unitsofmeasure.org", "code": "min"})]}],
            "type": [{"coding": [{"system": SERVICE_SYSTEM, "code": self.id(side)}]}],
        })  # fmt: skip

    async def _doctor(self, name: str, side: str) -> None:
        await self.put({"resourceType": "Practitioner", "id": self.id(name), "name": [{"family": name.title()}]})
        await self.put({
            "resourceType": "PractitionerRole", "id": self.id(f"{name}-role"), "active": True,
            "practitioner": self.ref("Practitioner", name), "organization": self.ref("Organization", side),
            "healthcareService": [self.ref("HealthcareService", f"{side}-visit")],
        })  # fmt: skip
        away = {"url": f"{OWN}availability-override", "extension": [
            part("kind", "Code", "closed"), part("period", "Period", {"start": "2020-01-01", "end": "2020-01-02"}),
            part("reason", "CodeableConcept", {"text": self.staff}),
        ]}  # fmt: skip
        await self.put({
            "resourceType": "Schedule", "id": self.id(f"{name}-days"), "comment": self.staff,
            "extension": [
                {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": self.zone},
                part(f"{OWN}offers", "Reference", self.ref("HealthcareService", f"{side}-visit")),
                availability(), away,
            ],
            "actor": [self.ref("Practitioner", name), self.ref("PractitionerRole", f"{name}-role")],
        })  # fmt: skip
        for kind, clock, end in (("free", "12:00", "12:30"), ("busy-unavailable", "13:00", "13:30")):
            await self.put({
                "resourceType": "Slot", "id": self.id(f"{name}-{kind}"), "status": kind, "comment": self.staff,
                "schedule": self.ref("Schedule", f"{name}-days"), "start": self.at(clock), "end": self.at(end),
            })  # fmt: skip

    def visit(self, person: str, clock: str, end: str, **more: Any) -> Resource:
        """A visit of a patient at their own doctor's."""
        return {
            "resourceType": "Appointment", "status": "booked", "start": self.at(clock), "end": self.at(end),
            "reasonCode": [{"text": self.why(person)}], "comment": self.why(person), "description": self.why(person),
            "identifier": [{"system": "urn:visits", "value": self.word(person)}],
            "participant": [
                {"actor": {"reference": self.own(person)}, "status": "accepted"},
                {"actor": self.ref("Practitioner", DOCTORS[person]), "status": "accepted"},
                {"actor": self.ref("Location", f"{PATIENTS[person]}-room"), "status": "accepted"},
            ],
            **more,
        }  # fmt: skip

    def family_visit(self) -> Resource:
        """Ann and Ben together at Dr. Clark's."""
        found = self.visit("ben", "15:00", "15:30", id=self.id("together"))
        found["identifier"] = [{"system": "urn:visits", "value": self.id("together")}]
        why = self.why("together")
        found |= {"reasonCode": [{"text": why}], "comment": why, "description": why}
        found["participant"].insert(0, {"actor": {"reference": self.own("ann")}, "status": "accepted"})
        found["participant"].append({"actor": {"reference": self.own("ben", "RelatedPerson")}, "status": "tentative"})
        return found

    def _family(self, name: str, *people: str) -> Resource:
        return {
            "resourceType": "Group", "id": self.id(name), "type": "person", "actual": True,
            "member": [{"entity": {"reference": self.own(one)}} for one in people],
        }  # fmt: skip

    def _data(self, person: str) -> list[Resource]:
        """Everything of one patient, the Patient first."""
        side, doctor, word, why = PATIENTS[person], DOCTORS[person], self.word(person), self.why(person)
        who = {"reference": self.own(person)}

        def base(type_: str, **content: Any) -> Resource:
            return {"resourceType": type_, "id": self.own_id(person, type_), **content}

        return [
            base("Patient", active=True, birthDate="1980-05-12", gender="female",
                 name=[{"family": word, "given": ["Pat"]}], identifier=[{"system": "urn:mrn", "value": word}],
                 telecom=[{"system": "email", "value": f"{word}@example.org"}],
                 address=[{"city": word}], managingOrganization=self.ref("Organization", side)),
            base("RelatedPerson", active=True, patient=who, name=[{"family": word}]),
            base("Coverage", status="active", beneficiary=who, subscriberId=word, payor=[who]),
            base("ServiceRequest", status="active", intent="order", subject=who, code={"text": word},
                 reasonCode=[{"text": why}], note=[{"text": why}], authoredOn="2026-01-01",
                 performer=[self.ref("Practitioner", doctor)]),
            base("Flag", status="active", subject=who, code={"text": word}),
            self.visit(person, CLOCKS[person], f"{CLOCKS[person][:3]}30", id=self.own_id(person, "Appointment"),
                       extension=[part(f"{OWN}override-reason", "String", self.staff)]),
            base("AppointmentResponse", actor=who, participantStatus="accepted", comment=why,
                 appointment={"reference": self.own(person, "Appointment")}),
            base("Encounter", status="finished", subject=who, identifier=[{"system": "urn:e", "value": word}],
                 **{"class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}},
                 reasonCode=[{"text": why}], serviceProvider=self.ref("Organization", side),
                 appointment=[{"reference": self.own(person, "Appointment")}]),
            base("Consent", status="active", patient=who, scope={"text": "privacy"}, category=[{"text": word}],
                 policyRule={"text": word}),
            base("CommunicationRequest", status="active", subject=who, recipient=[who], note=[{"text": why}],
                 payload=[{"contentString": word}], identifier=[{"system": "urn:c", "value": word}]),
            base("Communication", status="completed", subject=who, recipient=[who], note=[{"text": why}],
                 payload=[{"contentString": word}],
                 basedOn=[{"reference": self.own(person, "CommunicationRequest")}]),
            base("Group", type="person", actual=True, name=word, member=[{"entity": who}]),
            base("Device", patient=who, deviceName=[{"name": word, "type": "user-friendly-name"}]),
            base("Schedule", actor=[who], comment=word),
            base("Slot", schedule={"reference": self.own(person, "Schedule")}, status="free", comment=word,
                 start=self.at("09:00"), end=self.at("10:00")),
        ]  # fmt: skip

    def stolen(self, type_: str, base: Resource) -> Resource:
        """Valid content about Ann, to be stored under somebody else's id."""
        found = next(one for one in self._data("ann") if one["resourceType"] == type_)
        return {**found, **base}

    async def related(self, name: str, person: str, **more: Any) -> str:
        """Somebody who stands to a patient in a relation; a reference without marks in it."""
        await self.put({
            "resourceType": "RelatedPerson", "id": self.id(name), "patient": {"reference": self.own(person)}, **more,
        })  # fmt: skip
        return f"RelatedPerson/{self.id(name)}"

    async def consent(self, name: str, person: str, grantee: str, **more: Any) -> Mapping[str, Any]:
        """A patient lets somebody act or look."""
        actor = {"role": {"text": "delegate"}, "reference": {"reference": grantee}}
        provision = {"type": "permit", "actor": [actor], **more.pop("provision", {})}
        return await self.put({
            "resourceType": "Consent", "id": self.id(name), "status": "active", "scope": {"text": "privacy"},
            "category": [{"text": "delegation"}], "policyRule": {"text": "x"},
            "patient": {"reference": self.own(person)}, "provision": provision, **more,
        })  # fmt: skip

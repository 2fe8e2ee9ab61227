"""Clinics follow: after any writes they stand beside everything as a rebuild of the index would compute them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.fhir.json import parse
from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.services.access import followers
from fhir_server.services.access.about import clinics_now
from fhir_server.services.world import World
from fhir_server.store.resources import history_id, old, stored
from tests.builders.clinic import Clinic, proposals

Resource = dict[str, Any]
STEPS = 70
FAR = 2**53


class Village:
    """A few resources of each type, written at random."""

    def __init__(self, clinic: Clinic, chance: random.Random) -> None:
        self.clinic = clinic
        self.chance = chance

    def ref(self, type_: str, most: int = 2) -> Resource:
        return {"reference": f"{type_}/{self.clinic.id(str(self.chance.randrange(most)))}"}

    def maybe(self, name: str, type_: str, most: int = 3) -> Resource:
        return {name: self.ref(type_, most)} if self.chance.random() < 0.75 else {}

    def some(self, *types: str) -> list[Resource]:
        return [self.ref(one) for one in types if self.chance.random() < 0.6]

    def base(self, type_: str, most: int = 2, **elements: Any) -> Resource:
        return {"resourceType": type_, "id": self.clinic.id(str(self.chance.randrange(most))), **elements}

    def identified(self, most: int = 3) -> list[Resource]:
        return [{"system": "urn:n", "value": self.clinic.id(str(self.chance.randrange(most)))}]

    def patient(self) -> Resource:
        return self.base("Patient", 3, **self.maybe("managingOrganization", "Organization"))

    def location(self) -> Resource:
        part = {"partOf": {"reference": f"Location/{self.clinic.id('0')}"}} if self.chance.random() < 0.4 else {}
        found = self.base(
            "Location", 3, identifier=self.identified(), **self.maybe("managingOrganization", "Organization")
        )
        return found if found["id"].endswith("-0") else {**found, **part}

    def role(self) -> Resource:
        return self.base(
            "PractitionerRole", practitioner=self.ref("Practitioner"), location=self.some("Location"),
            **self.maybe("organization", "Organization"),
        )  # fmt: skip

    def service(self) -> Resource:
        return self.base(
            "HealthcareService", location=self.some("Location"), **self.maybe("providedBy", "Organization")
        )

    def schedule(self) -> Resource:
        actors = self.some("Practitioner", "PractitionerRole", "Location", "HealthcareService")
        if self.chance.random() < 0.2:
            actors.append({"type": "Location", "identifier": self.identified()[0]})
        return self.base("Schedule", active=self.chance.random() < 0.8, actor=actors or [self.ref("Practitioner")])

    def slot(self) -> Resource:
        clock = self.chance.randrange(9, 17)
        return self.base(
            "Slot", 4, schedule=self.ref("Schedule"), status="free", start=self.clinic.at(f"{clock:02}:00"),
            end=self.clinic.at(f"{clock:02}:30"),
        )  # fmt: skip

    def appointment(self) -> Resource:
        people = self.some("Patient", "Patient", "Practitioner", "Location", "HealthcareService", "PractitionerRole")
        clock = self.chance.randrange(9, 17)
        status = self.chance.choice(["booked", "proposed", "cancelled", "fulfilled"])
        day = -400 if status == "fulfilled" else 0
        booked = {"start": self.clinic.at(f"{clock:02}:00", day), "end": self.clinic.at(f"{clock:02}:30", day)}
        return self.base(
            "Appointment", 5, status=status,
            participant=[{"actor": one, "status": "accepted"} for one in people or [self.ref("Patient")]], **booked,
            **({"slot": [self.ref("Slot", 4)]} if self.chance.random() < 0.4 else {}),
        )  # fmt: skip

    def coverage(self) -> Resource:
        return self.base(
            "Coverage", status="active", beneficiary=self.ref("Patient", 3), payor=[self.ref("Patient", 3)]
        )

    def encounter(self) -> Resource:
        class_ = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
        return self.base(
            "Encounter", status="finished", subject=self.ref("Patient", 3), **{"class": class_},
            **self.maybe("serviceProvider", "Organization"),
        )  # fmt: skip

    def device(self) -> Resource:
        return self.base("Device", patient=self.ref("Patient", 3), **self.maybe("owner", "Organization"))

    def related(self) -> Resource:
        return self.base("RelatedPerson", patient=self.ref("Patient", 3))

    def flag(self) -> Resource:
        return self.base("Flag", status="active", subject=self.ref("Patient", 3), code={"text": "x"})

    def order(self) -> Resource:
        return self.base("ServiceRequest", status="active", intent="order", subject=self.ref("Patient", 3))

    def answer(self) -> Resource:
        return self.base(
            "AppointmentResponse", actor=self.ref("Patient", 3), participantStatus="accepted",
            appointment=self.ref("Appointment", 5),
        )  # fmt: skip

    def any(self) -> Resource:
        roots: list[Callable[[], Resource]] = [self.patient, self.location, self.role, self.service, self.schedule]
        others = [
            self.slot, self.appointment, self.appointment, self.coverage, self.encounter, self.device, self.related,
            self.flag, self.order, self.answer,
        ]  # fmt: skip
        return self.chance.choice(roots if self.chance.random() < 0.5 else others)()

    async def step(self) -> str:
        """One write; what was written and how it was answered."""
        client, dice = self.clinic.client, self.chance.random()
        if dice < 0.15:
            one = self.any()
            answer = await client.delete(f"{one['resourceType']}/{one['id']}")
            return f"DELETE {one['resourceType']}/{one['id']} {answer.status_code}"
        if dice < 0.35:
            found = {f"{one['resourceType']}/{one['id']}": one for one in (self.any() for _ in range(4))}
            entry = [{"resource": one, "request": {"method": "PUT", "url": url}} for url, one in found.items()]
            answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entry})
            return f"Bundle {sorted(found)} {answer.status_code}"
        if dice < 0.42:
            answer = await client.get("Appointment/$find", params={
                "schedule": self.ref("Schedule")["reference"], "start": self.clinic.first.isoformat(),
                "end": self.clinic.first.isoformat(),
            })  # fmt: skip
            free = proposals(answer.json()) if answer.status_code == 200 else []
            if not free:
                return f"$find {answer.status_code}"
            booked = await self.clinic.book(self.chance.choice(free)["id"], self.ref("Patient", 3)["reference"])
            return f"$book {booked.status_code}"
        one = self.any()
        answer = await client.put(f"{one['resourceType']}/{one['id']}", json=one)
        return f"PUT {one['resourceType']}/{one['id']} {answer.status_code}"


async def _differences(world: World, clinic: Clinic, *, former: bool = True) -> list[str]:
    """What of a clinic has other clinics beside it than it would get now."""
    found = []
    for type_ in RESOURCE_TYPES:
        where = {"_id": {"$regex": f"^{clinic.name}-"}}
        rows = [stored(type_, one) for one in await world.store.resources.rows(type_, where, fields={"idx": 0})]
        rows = [one for one in rows if not one.deleted]
        # Former versions follow where a search of the history asks for clinics: of what is about patients.
        if former and type_ in followers.ABOUT_PATIENTS and type_ != "Appointment":
            for one in list(rows):
                low, high = history_id(type_, one.id, 0), history_id(type_, one.id, one.version)
                rows += [old(each) for each in await world.store.resources.rows(
                    "history", {"_id": {"$gte": low, "$lt": high}, "deleted": False}
                ) if f"Patient/{clinic.name}" in str(each.get("patients"))]  # fmt: skip
        world.catalogue.begin()
        for one in rows:
            wanted = await clinics_now(world, one, parse(one.body))
            if set(wanted) != set(one.extra.get("clinics") or ()):
                found.append(f"{one.reference}/{one.version}: {one.extra.get('clinics')} is not {wanted}")
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_after_any_writes_clinics_are_what_a_rebuild_would_compute(seed: int, client: Any, world: World) -> None:
    clinic = Clinic(client)
    village = Village(clinic, random.Random(seed))
    for name in range(3):
        await clinic.put({"resourceType": "Organization", "id": clinic.id(str(name)), "name": f"Clinic {name}"})
    for name in range(2):
        await clinic.put({"resourceType": "Practitioner", "id": clinic.id(str(name))})
    done = []
    for _ in range(STEPS):
        done.append(await village.step())
        assert not await _differences(world, clinic, former=False), done[-12:]
    assert await _differences(world, clinic) == []
    await followers.settle(world, FAR)
    assert await _differences(world, clinic) == []
    assert await world.store.moves.due(FAR) == []

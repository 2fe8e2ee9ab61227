"""When clinics change, what takes its clinics from there follows: the former clinic sees nothing of it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fhir_server.app import Server
from fhir_server.services.access import followers
from fhir_server.services.world import World
from fhir_server.store import moves
from tests.access.callers import client_of
from tests.builders.clinic import Clinic, proposals
from tests.tokens import Issuer

Resource = dict[str, Any]
AMB = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
FAR = 2**53


class Two(Clinic):
    """Two clinics, ``a`` and ``b``, with a backend behind the walls of each, and one backend without walls."""

    a: Any
    b: Any

    def ref(self, type_: str, name: str) -> Resource:
        return {"reference": f"{type_}/{self.id(name)}"}

    async def make(self, type_: str, name: str, /, **elements: Any) -> str:
        await self.put({"resourceType": type_, "id": self.id(name), **elements})
        return f"{type_}/{self.id(name)}"

    async def patch(self, reference: str, path: str, value: Any) -> None:
        headers = {"Content-Type": "application/json-patch+json"}
        change = [{"op": "replace", "path": path, "value": value}]
        answer = await self.client.patch(reference, json=change, headers=headers)
        assert answer.status_code == 200, answer.text

    async def bundle(self, *entries: tuple[str, Resource | None, str]) -> None:
        """``(method, content, url)`` in one transaction."""
        entry = [
            {"request": {"method": method, "url": url}, **({"resource": content} if content else {})}
            for method, content, url in entries
        ]
        answer = await self.client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entry})
        assert answer.status_code == 200, answer.text

    async def patient_of(self, name: str, side: str) -> str:
        return await self.make("Patient", name, managingOrganization=self.ref("Organization", side))

    async def data(self, name: str) -> list[str]:
        """What is about a patient and names no clinic, one of each type."""
        who, at = self.ref("Patient", name), f"of-{name}"
        visit = {
            "participant": [{"actor": who, "status": "accepted"}],
            "start": self.at("09:00"),
            "end": self.at("09:30"),
        }
        consent = {"scope": {"text": "x"}, "category": [{"text": "x"}], "policyRule": {"text": "x"}}
        return [
            await self.make("Coverage", at, status="active", beneficiary=who, payor=[who]),
            await self.make("RelatedPerson", at, patient=who),
            await self.make("Flag", at, status="active", subject=who, code={"text": "x"}),
            await self.make("ServiceRequest", at, status="active", intent="order", subject=who),
            await self.make("Consent", at, status="active", patient=who, **consent),
            await self.make("Device", at, patient=who),
            await self.make("Encounter", at, status="finished", subject=who, **{"class": AMB}),
            await self.make("Appointment", at, status="proposed", **visit),
            await self.make("AppointmentResponse", at, actor=who, participantStatus="accepted",
                            appointment=self.ref("Appointment", at)),
        ]  # fmt: skip

    async def calendar(self, name: str, side: str, **role: Any) -> tuple[str, str]:
        """A practitioner's calendar in a clinic: a published Slot, and a visit that names people alone."""
        await self.make("Location", f"{name}-room", managingOrganization=self.ref("Organization", side))
        doctor = await self.practitioner(f"{name}-doc")
        if role:
            await self.make("PractitionerRole", f"{name}-role", practitioner={"reference": doctor}, **role)
        actors = [doctor] if role else [doctor, f"Location/{self.id(f'{name}-room')}"]
        await self.schedule(f"{name}-days", actors, [await self.service(f"{name}-visit")])
        slot = await self.make("Slot", f"{name}-slot", schedule=self.ref("Schedule", f"{name}-days"), status="free",
                               start=self.at("18:00"), end=self.at("18:30"))  # fmt: skip
        visit = await self.make(
            "Appointment", f"{name}-visit", status="fulfilled",
            start=self.at("07:00", -400), end=self.at("07:30", -400),
            participant=[{"actor": {"reference": doctor}, "status": "accepted"}],
        )  # fmt: skip
        return slot, visit

    async def inside(self, caller: Any, reference: str) -> set[str]:
        """By which ways a caller finds a resource."""
        type_, _, id_ = reference.partition("/")
        found = set()
        for url in (reference, f"{reference}/_history/1", f"{reference}/_history"):
            answer = await caller.get(url)
            assert answer.status_code in {200, 404}, (url, answer.text)
            if answer.status_code == 200:
                found.add(url.removeprefix(reference) or "read")
        for url in (f"{type_}?_id={id_}", f"{type_}/_history?_count=500"):
            answer = await caller.get(url)
            assert answer.status_code == 200, answer.text
            if any(one["fullUrl"].endswith(reference) for one in answer.json().get("entry", ())):
                found.add(url.partition("?")[0].removeprefix(type_) or "search")
        return found

    async def moved(self, *references: str) -> None:
        """The former clinic sees nothing of these in any way; the new one everything."""
        for one in references:
            assert await self.inside(self.a, one) == set(), one
            assert await self.inside(self.b, one) == EVERY_WAY | {"/_history"}, one


EVERY_WAY = {"read", "/_history/1", "search"}


@pytest.fixture
async def two(client: Any, app: Server, issuer: Issuer) -> Any:
    made = Two(client)
    tokens = []
    for side in ("a", "b"):
        await made.make("Organization", side, name=side)
        clinics = frozenset({f"Organization/{made.id(side)}"})
        tokens.append(await issuer.backend(made.id(side), "system/*.cruds", clinics=clinics))
    async with client_of(app, tokens[0]) as made.a, client_of(app, tokens[1]) as made.b:
        yield made


async def _sees(caller: Any, *references: str) -> set[int]:
    return {(await caller.get(one)).status_code for one in references}


@pytest.mark.parametrize("way", ["put", "patch", "bundle"])
async def test_a_new_clinic_of_a_patient_sees_what_is_theirs(two: Two, way: str) -> None:
    patient = await two.patient_of("p", "a")
    data = await two.data("p")
    assert (await _sees(two.a, *data), await _sees(two.b, *data)) == ({200}, {404})
    there = two.ref("Organization", "b")
    content = {"resourceType": "Patient", "id": two.id("p"), "managingOrganization": there}
    if way == "put":
        await two.put(content)
    elif way == "patch":
        await two.patch(patient, "/managingOrganization", there)
    else:
        flag = {"resourceType": "Flag", "id": two.id("new"), "status": "active", "code": {"text": "x"},
                "subject": {"reference": patient}}  # fmt: skip
        await two.bundle(("PUT", flag, f"Flag/{two.id('new')}"), ("PUT", content, patient))
        data.append(f"Flag/{two.id('new')}")
    assert await _sees(two.b, *data) == {200}
    for one in data:
        assert await two.inside(two.b, one) >= EVERY_WAY, one


@pytest.mark.parametrize("way", ["put", "bundle"])
async def test_a_patient_who_is_deleted_and_comes_to_another_clinic_leaves_the_former(two: Two, way: str) -> None:
    patient = await two.patient_of("p", "a")
    data = await two.data("p")
    assert await _sees(two.a, *data) == {200}
    assert (await two.client.delete(patient)).status_code == 204
    content = {"resourceType": "Patient", "id": two.id("p"), "managingOrganization": two.ref("Organization", "b")}
    await (two.put(content) if way == "put" else two.bundle(("PUT", content, patient)))
    await two.moved(*data)


async def test_a_deleted_resource_is_the_new_clinics_to_know_of(two: Two) -> None:
    patient = await two.patient_of("p", "a")
    coverage = (await two.data("p"))[0]
    assert (await two.client.delete(coverage)).status_code == 204
    assert await _sees(two.a, coverage) == {410}
    assert (await two.client.delete(patient)).status_code == 204
    await two.patient_of("p", "b")
    assert (await _sees(two.a, coverage), await _sees(two.b, coverage)) == ({404}, {410})


async def test_a_booking_elsewhere_makes_a_patient_known_there_with_what_is_theirs(two: Two) -> None:
    patient = await two.patient_of("p", "a")
    data = await two.data("p")
    await two.calendar("x", "b")
    found = proposals(await two.find(schedule=f"Schedule/{two.id('x-days')}"))
    assert await _sees(two.b, patient, *data) == {404}
    booked = await two.book(found[0]["id"], patient)
    assert booked.status_code == 201, booked.text
    visit = f"Appointment/{booked.json()['id']}"
    assert (await _sees(two.b, patient, visit, *data), await _sees(two.a, visit)) == ({200}, {404})


async def _room(two: Two) -> None:
    await two.patch(f"Location/{two.id('x-room')}", "/managingOrganization", two.ref("Organization", "b"))


async def _room_in_a_bundle(two: Two) -> None:
    room = {"resourceType": "Location", "id": two.id("x-room"), "managingOrganization": two.ref("Organization", "b")}
    await two.bundle(("PUT", room, f"Location/{two.id('x-room')}"))


async def _schedule(two: Two) -> None:
    await two.make("Location", "there", managingOrganization=two.ref("Organization", "b"))
    await two.patch(f"Schedule/{two.id('x-days')}", "/actor/1", two.ref("Location", "there"))


async def _room_by_criteria(two: Two) -> None:
    room = {"resourceType": "Location", "managingOrganization": two.ref("Organization", "b")}
    answer = await two.client.put(f"Location?_id={two.id('x-room')}", json=room)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("move", [_room, _room_in_a_bundle, _schedule, _room_by_criteria])
async def test_a_calendar_moves_with_its_room(two: Two, move: Callable[[Two], Awaitable[None]]) -> None:
    slot, visit = await two.calendar("x", "a")
    patient = await two.patient_of("p", "a")
    found = proposals(await two.find(schedule=f"Schedule/{two.id('x-days')}"))
    booked = await two.book(found[0]["id"], patient)
    taken = booked.json()["slot"][0]["reference"]
    schedule = f"Schedule/{two.id('x-days')}"
    assert (await _sees(two.a, slot, visit, taken, schedule), await _sees(two.b, slot, visit, taken)) == ({200}, {404})
    await move(two)
    await two.moved(slot, visit, taken)
    assert (await _sees(two.a, schedule), await _sees(two.b, schedule)) == ({404}, {200})
    appointment = f"Appointment/{booked.json()['id']}"
    # It names the room: where the Schedule alone moved, it stays there as well.
    assert await _sees(two.b, appointment) == {200}
    assert await _sees(two.a, appointment) == ({200} if move is _schedule else {404})


async def test_a_calendar_moves_with_its_practitioners_role_and_with_the_room_of_it(two: Two) -> None:
    await two.make("Location", "hall")
    slot, visit = await two.calendar(
        "x", "a", organization=two.ref("Organization", "a"), location=[two.ref("Location", "hall")]
    )
    assert await _sees(two.a, slot, visit) == {200}
    await two.patch(f"PractitionerRole/{two.id('x-role')}", "/organization", two.ref("Organization", "b"))
    await two.moved(slot, visit)
    await two.make("Location", "hall", managingOrganization=two.ref("Organization", "a"))
    assert await _sees(two.a, slot, visit) == await _sees(two.b, slot, visit) == {200}
    assert (await two.client.delete(f"PractitionerRole/{two.id('x-role')}")).status_code == 204
    other = {"practitioner": two.ref("Practitioner", "x-doc"), "organization": two.ref("Organization", "b")}
    made = await two.client.post("PractitionerRole", json={"resourceType": "PractitionerRole", **other})
    assert made.status_code == 201, made.text
    await two.moved(slot, visit)


async def test_an_appointment_follows_the_slot_and_the_place_that_it_names(two: Two) -> None:
    await two.calendar("x", "a")
    await two.calendar("y", "b")
    patient = await two.patient_of("p", "b")
    slot = {"resourceType": "Slot", "id": two.id("s"), "schedule": two.ref("Schedule", "x-days"), "status": "free",
            "start": two.at("19:00"), "end": two.at("19:30")}  # fmt: skip
    await two.put(slot)
    person = [{"actor": {"reference": patient}, "status": "needs-action"}]
    wish = await two.make("Appointment", "wish", status="proposed", participant=person, slot=[two.ref("Slot", "s")])
    assert (await _sees(two.a, wish), await _sees(two.b, wish)) == ({200}, {404})
    assert (await two.client.delete(f"Slot/{two.id('s')}")).status_code == 204
    await two.moved(wish)
    await two.put(slot)
    assert (await _sees(two.a, wish), await _sees(two.b, wish)) == ({200}, {404})
    await two.put({**slot, "schedule": two.ref("Schedule", "y-days")})
    await two.moved(wish)


async def test_nobody_in_the_former_clinic_sees_anything_when_the_process_of_the_write_dies(
    two: Two, app: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, visit = await two.calendar("x", "a")
    assert app.door.world is not None
    monkeypatch.setattr(app.door.world.store.units, "after", None)
    await _room(two)
    assert [one.reference for one in await app.door.world.store.moves.due() if not one.look] == [
        f"Location/{two.id('x-room')}"
    ]
    await two.moved(slot, visit)
    await _move_back(two)
    # Nor when the server starts anew before anybody asks.
    await followers.settle(app.door.world)
    assert (await _sees(two.b, slot, visit), await _sees(two.a, slot, visit)) == ({404}, {200})


async def _move_back(two: Two) -> None:
    await two.patch(f"Location/{two.id('x-room')}", "/managingOrganization", two.ref("Organization", "a"))


async def test_what_is_written_while_its_patient_moves_does_not_stay_behind(
    two: Two, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = await two.patient_of("p", "a")
    reached, go = asyncio.Event(), asyncio.Event()
    put = followers.put

    async def slow(world: World, before: Any, after: Any, index: Any) -> bool:
        if after.type == "Coverage":
            reached.set()
            await go.wait()
        return await put(world, before, after, index)

    monkeypatch.setattr(followers, "put", slow)
    who = {"reference": patient}
    content = {"status": "active", "beneficiary": who, "payor": [who]}
    writing = asyncio.create_task(two.make("Coverage", "late", **content))
    await reached.wait()
    assert (await two.client.delete(patient)).status_code == 204
    await two.patient_of("p", "b")
    go.set()
    coverage = await writing
    (move,) = await _of(world, patient)
    assert (move["look"], move["due"]) == (1, pytest.approx(moves.now_ms(), abs=moves.LOOKS_MS[1]))
    # As when the moment of the second look has come.
    await world.store.connection.collection(moves.EPOCH).update_one({"_id": move["_id"]}, {"$set": {"due": 1}})
    assert (await _sees(two.a, coverage), await _sees(two.b, coverage)) == ({404}, {200})
    (move,) = await _of(world, patient)
    assert move["look"] == 2
    await followers.settle(world, FAR)
    assert await _of(world, patient) == []


async def _of(world: World, reference: str) -> list[dict[str, Any]]:
    """What is noted of the moves of a resource."""
    found: list[dict[str, Any]] = (
        await world.store.connection.collection(moves.EPOCH).find({"ref": reference}).to_list(None)
    )
    return found


async def test_a_move_that_is_made_again_is_looked_at_again(two: Two, world: World) -> None:
    patient = await two.patient_of("p", "a")
    (first,) = await _of(world, patient)
    await two.patch(patient, "/managingOrganization", two.ref("Organization", "b"))
    (noted,) = await _of(world, patient)
    assert noted["token"] != first["token"]
    await world.store.moves.looked([moves.read(first)])
    assert await _of(world, patient) == [noted]


async def test_a_write_that_changes_no_clinic_moves_nothing(two: Two, world: World) -> None:
    patient = await two.patient_of("p", "a")
    await two.calendar("x", "a")
    found = proposals(await two.find(schedule=f"Schedule/{two.id('x-days')}"))
    await followers.settle(world, FAR)
    await two.make("Patient", "p", managingOrganization=two.ref("Organization", "a"), gender="female")
    await two.make("Location", "x-room", managingOrganization=two.ref("Organization", "a"), name="Room")
    await two.patch(f"Schedule/{two.id('x-days')}", "/extension/0/valueCode", "Europe/Paris")
    assert (await two.book(found[0]["id"], patient)).status_code in {201, 409, 422}
    await two.data("p")
    for type_ in ("Patient", "Location"):
        made = {"resourceType": type_, "managingOrganization": two.ref("Organization", "b")}
        assert (await two.client.post(type_, json=made)).status_code == 201
    assert await world.store.moves.due(FAR) == []

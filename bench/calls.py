"""What a caller does, case by case; ``n`` never repeats within a case and decides everything."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from bench.clinic import (
    HOUSEHOLD,
    PAGE,
    PATIENTS,
    PUBLISHED_SCHEDULES,
    RULED,
    SLOTS_EACH,
    Clinic,
    appointment,
    cells,
    household,
    patient,
    published_slot,
    service_name,
    slot_and_appointment,
    slot_name,
    utc,
)
from bench.http import Http, Reply

BOOKED_AFTER = 20
"""Working days from the first: plain bookings begin behind the searched fortnight."""
FOUND_AFTER = 1000
"""Working days from the first: ``$find`` and ``$book`` begin where no plain booking comes."""
WORKING_FORTNIGHT = 10
VISITS = 20


class Unexpected(Exception):  # noqa: N818  it ends the run
    """The server's answer is not the one that the case measures."""


@dataclass(slots=True)
class Caller:
    """One caller's connection, the clinic, and the versions of the Slots that this process updated."""

    http: Http
    clinic: Clinic
    etags: dict[str, str] = field(default_factory=dict)


Call = Callable[[Caller, int], Awaitable[None]]


def expect(reply: Reply, status: int) -> Reply:
    if reply.status != status:
        raise Unexpected(f"{reply.status} instead of {status}: {reply.body[:400]!r}")
    return reply


async def read(caller: Caller, n: int) -> None:
    expect(await caller.http.ask("GET", f"Slot/{_slot(n)}"), 200)


async def read_patient(caller: Caller, n: int) -> None:
    expect(await caller.http.ask("GET", f"Patient/patient-{n % PATIENTS:04d}"), 200)


async def search_visits(caller: Caller, n: int) -> None:
    """A page of 20 of the Appointments of a provider."""
    start, _ = caller.clinic.window
    reply = await caller.http.ask(
        "GET", f"Appointment?actor=Practitioner/doctor-{n % RULED:03d}&date=ge{start}&_count={VISITS}"
    )
    _page(reply, VISITS)


async def search(caller: Caller, n: int) -> None:
    """One page of a Schedule without rules: 50 of its 250 Slots."""
    schedule = n % PUBLISHED_SCHEDULES
    reply = await caller.http.ask(
        "GET", f"Slot?schedule=Schedule/published-{schedule:02d}&start=ge{caller.clinic.window[0]}&_count={PAGE}"
    )
    _page(reply)


async def search_computed(caller: Caller, n: int) -> None:
    """One page of a Schedule with rules over its fortnight: computed and stored Slots."""
    start, end = caller.clinic.window
    reply = await caller.http.ask(
        "GET", f"Slot?schedule=Schedule/ruled-{n % RULED:03d}&start=ge{start}&start=le{end}&_count={PAGE}"
    )
    _page(reply)


async def search_chained(caller: Caller, n: int) -> None:
    """One page of the Slots of a provider, through the Schedule."""
    actor = f"Practitioner/locum-{n % PUBLISHED_SCHEDULES:02d}"
    reply = await caller.http.ask("GET", f"Slot?schedule.actor={actor}&start=ge{caller.clinic.window[0]}&_count={PAGE}")
    _page(reply)


async def search_include(caller: Caller, n: int) -> None:
    """One page of Slots with their Schedule and its provider: two levels of includes."""
    schedule = f"Schedule/published-{n % PUBLISHED_SCHEDULES:02d}"
    reply = await caller.http.ask(
        "GET",
        f"Slot?schedule={schedule}&start=ge{caller.clinic.window[0]}&_count={PAGE}"
        "&_include=Slot:schedule&_include:iterate=Schedule:actor",
    )
    _page(reply, PAGE + 2)


def _page(reply: Reply, rows: int = PAGE) -> None:
    if expect(reply, 200).body.count(b'"fullUrl"') != rows:
        raise Unexpected(f"not {rows} resources: {reply.body[:300]!r}")


async def create_patient(caller: Caller, n: int) -> None:
    expect(await caller.http.ask("POST", "Patient", json.dumps(patient(100_000 + n)).encode()), 201)


async def create_appointment(caller: Caller, n: int) -> None:
    """A booking by plain POST: another Schedule each time, cell after cell."""
    schedule = n % RULED
    number = BOOKED_AFTER * cells(schedule) + n // RULED
    body = json.dumps(appointment(caller.clinic, schedule, number, n % PATIENTS))
    expect(await caller.http.ask("POST", "Appointment", body.encode()), 201)


async def transaction(caller: Caller, n: int) -> None:
    """20 entries: ten Patients and the ten RelatedPersons that refer to them by ``urn:uuid:``."""
    body = json.dumps(household(n)).encode()
    reply = expect(await caller.http.ask("POST", "", body), 200)
    if reply.body.count(b'"201 Created"') != 2 * HOUSEHOLD:
        raise Unexpected(f"not {2 * HOUSEHOLD} created: {reply.body[:300]!r}")


async def bundle_book(caller: Caller, n: int) -> None:
    """A Slot and the Appointment that fills it, in one transaction Bundle."""
    body = json.dumps(slot_and_appointment(caller.clinic, n)).encode()
    reply = expect(await caller.http.ask("POST", "", body), 200)
    if reply.body.count(b'"201 Created"') != 2:
        raise Unexpected(f"not booked: {reply.body[:300]!r}")


async def update(caller: Caller, n: int) -> None:
    """Another comment on a free Slot, where its version is the one known."""
    name = _slot(n)
    tag = caller.etags.get(name, 'W/"1"')
    schedule, number = n % PUBLISHED_SCHEDULES, n // PUBLISHED_SCHEDULES % SLOTS_EACH
    body = json.dumps(published_slot(caller.clinic, schedule, number, f"change {n}")).encode()
    reply = expect(await caller.http.ask("PUT", f"Slot/{name}", body, headers=f"If-Match: {tag}\r\n"), 200)
    caller.etags[name] = reply.header(b"etag").decode()


async def find(caller: Caller, n: int) -> None:
    """Free times of one provider over 14 days, a page of 20."""
    start, end = caller.clinic.window
    reply = await caller.http.ask(
        "GET", f"Appointment/$find?start={start}&end={end}&practitioner=Practitioner/doctor-{n % RULED:03d}"
    )
    _some(reply)


async def first_available(caller: Caller, n: int) -> None:
    """The first free time of each of 200 providers within 14 days, a page of 20."""
    del n
    start, end = caller.clinic.window
    reply = await caller.http.ask(
        "GET", f"Appointment/$find?start={start}&end={end}&service-type=follow-up&first-available=true"
    )
    if b'"total":200' not in _some(reply).body:
        raise Unexpected(f"not every provider has a time: {reply.body[:200]!r}")


async def find_and_book(caller: Caller, n: int) -> None:
    """A fortnight of one provider, then its first time: two requests."""
    schedule, day = n % RULED, FOUND_AFTER + n // RULED
    start, end = (utc(caller.clinic.cell(0, one * cells(0))[0]) for one in (day, day + WORKING_FORTNIGHT))
    reply = await caller.http.ask(
        "GET",
        f"Appointment/$find?start={start}&end={end}&practitioner=Practitioner/doctor-{schedule:03d}"
        f"&service=HealthcareService/{service_name(schedule)}",
    )
    proposal = json.loads(_some(reply).body)["entry"][0]["resource"]["id"]
    parameters = [
        {"name": "appointment", "valueUri": f"Appointment/{proposal}"},
        {"name": "patient", "valueReference": {"reference": f"Patient/patient-{n % PATIENTS:04d}"}},
    ]
    body = json.dumps({"resourceType": "Parameters", "parameter": parameters}).encode()
    expect(await caller.http.ask("POST", "Appointment/$book", body), 201)


def _some(reply: Reply) -> Reply:
    if b'"match"' not in expect(reply, 200).body:
        raise Unexpected(f"nothing was found: {reply.body[:300]!r}")
    return reply


def _slot(n: int) -> str:
    return slot_name(n % PUBLISHED_SCHEDULES, n // PUBLISHED_SCHEDULES % SLOTS_EACH)


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table. ``aim``: the most that server and database may cost as a multiple of the floor's CPU."""

    title: str
    call: Call
    aim: float | None = None
    aim_ms: float | None = None


CASES: Mapping[str, Case] = {
    "read": Case("read Slot", read, 2),
    "read-patient": Case("read Patient", read_patient, 2),
    "search-visits": Case("search, 20 Appointments", search_visits, 2),
    "search": Case("search, 50 stored Slots", search, 2),
    "search-computed": Case("search, 50 Slots of rules", search_computed, 2),
    "search-chained": Case("search, 50 Slots by chain", search_chained, 2),
    "search-include": Case("search, 50 Slots, 2 includes", search_include, 2),
    "create-patient": Case("create Patient", create_patient),
    "create-appointment": Case("create Appointment", create_appointment, 2.5),
    "transaction": Case("transaction, 20 entries", transaction),
    "bundle-book": Case("Slot + Appointment, 1 Bundle", bundle_book, 2.5),
    "update": Case("update Slot, If-Match", update),
    "find": Case("$find, 1 provider, 14 days", find),
    "first-available": Case("first available, 200 providers", first_available, aim_ms=60),
    "find-book": Case("$find + $book", find_and_book, 2.5),
}

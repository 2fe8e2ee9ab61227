"""Calendar days: what is written comes back, over midnight too, and only where nobody else wrote first."""

from __future__ import annotations

import uuid

import pytest

from fhir_server.scheduling.calendar_day import Entry
from fhir_server.store.calendar_days import StaleCalendar, from_document, to_document
from fhir_server.store.database import Store
from fhir_server.store.driver import BulkWriteError
from fhir_server.store.unit import Unit

MIDNIGHT = 20_000 * 86400

FULL = Entry(
    "Appointment/1", "hold", MIDNIGHT - 600, MIDNIGHT + 600, MIDNIGHT - 900, MIDNIGHT + 900, MIDNIGHT, "Schedule/1",
    "HealthcareService/1", ("Patient/1", "Patient/2"), "online", True, "share", 3, True,
)  # fmt: skip


@pytest.mark.parametrize("entry", [FULL, Entry("Slot/1", "blocked", 1, 2, 1, 2)])
def test_an_entry_survives_being_written(entry: Entry) -> None:
    assert from_document(to_document(entry)) == entry


async def test_an_entry_over_midnight_stands_in_both_days_and_counts_once(store: Store) -> None:
    key = uuid.uuid4().hex

    async def enter(unit: Unit) -> None:
        (await unit.days([(key, 19_999), (key, 20_000)])).put(key, FULL)

    await store.units.run(enter, now=0)
    for days in ([19_999], [20_000], [19_999, 20_000], [19_998, 20_000]):
        assert await store.calendar.on([(key, day) for day in days]) == {key: [FULL]}
    assert await store.calendar.on([(key, 20_001)]) == {}

    async def leave(unit: Unit) -> bool:
        return (await unit.days([(key, 19_999), (key, 20_000)])).remove("Appointment/1")

    assert await store.units.run(leave, now=0)
    assert not await store.units.run(leave, now=0)
    assert (await store.calendar.on([(key, 19_999), (key, 20_000)])).get(key, []) == []


async def test_a_day_that_was_not_read_is_never_written(store: Store) -> None:
    key = uuid.uuid4().hex
    days = await store.calendar.read([(key, 20_000)])
    with pytest.raises(LookupError):
        days.put(key, FULL)


@pytest.mark.parametrize("there", [False, True])
async def test_somebody_else_was_faster(store: Store, *, there: bool) -> None:
    key = uuid.uuid4().hex
    mine = Entry("Appointment/mine", "booked", MIDNIGHT, MIDNIGHT + 60, MIDNIGHT, MIDNIGHT + 60)
    theirs = Entry("Appointment/theirs", "booked", MIDNIGHT, MIDNIGHT + 60, MIDNIGHT, MIDNIGHT + 60)
    if there:
        first = await store.calendar.read([(key, 20_000)])
        first.touch(key, 20_000)
        await store.calendar.write(first, None)
    read = await store.calendar.read([(key, 20_000)])
    other = await store.calendar.read([(key, 20_000)])
    other.put(key, theirs)
    await store.calendar.write(other, None)
    read.put(key, mine)
    with pytest.raises(StaleCalendar if there else BulkWriteError):
        await store.calendar.write(read, None)
    assert await store.calendar.on([(key, 20_000)]) == {key: [theirs]}


async def test_mending_writes_only_the_day_that_was_read(store: Store) -> None:
    key = uuid.uuid4().hex
    id_ = f"{key}|2024-10-04"
    assert await store.calendar.mend(id_, 0, [FULL])
    assert not await store.calendar.mend(id_, 0, [])
    assert not await store.calendar.mend(id_, 7, [])
    assert await store.calendar.mend(id_, 1, [])
    assert (await store.calendar.every())[id_] == (2, [])

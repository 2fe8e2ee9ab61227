"""What a process had written when it died is recorded by another one, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fhir_server.access.caller import Caller, Role
from fhir_server.access.record import Access, Accessed, by, outcome_of, recovered, stamp
from fhir_server.services.audit.recorder import Recorder
from fhir_server.services.audit.recovery import Versions, Written, recover
from fhir_server.store.audit.markers import CLAIM_MS, DEAD_MS, MARGIN_MS
from fhir_server.store.database import Store
from tests.audit.records import access, faults
from tests.builders.persistence import until

CALLER = Caller("ehr", role=Role.PRACTITIONER, subject="s", issuer="i", token="j", fhir_user="Practitioner/1")
NOW = 1_000_000_000


def written(version: int, process: str = "dead", at: int = NOW) -> Written:
    by = stamp(CALLER, "update", "U", f"r{version}", process=process, network="10.0.0.1")
    return Written(f"Appointment/a1/{version}", by, ("Patient/p1",), at)


def versions(*found: Written) -> Versions:
    async def since(moment: int) -> AsyncIterator[Written]:
        for one in found:
            if one.at >= moment:
                yield one

    return since


async def entries(store: Store) -> list[Access]:
    return [one for batch in await store.audit.found({}, 0) for one in batch.entries]


async def die(store: Store, process: str = "dead", at: int = NOW) -> None:
    await store.markers.remove(process)
    await store.markers.move(process, at)


def test_a_stamp_tells_the_access() -> None:
    found = recovered(written(3).by, "Appointment/a1/3", ("Patient/p1",), 5)
    assert found == Access(
        at=5, action="U", interaction="update", client="ehr", subject="s", issuer="i", fhir_user="Practitioner/1",
        role="practitioner", token="j", network="10.0.0.1", request_id="r3", recovered=True,
        objects=(Accessed("Appointment", "a1", 3, ("Patient/p1",), written=True),),
    )  # fmt: skip
    assert found.wrote == ["Appointment/a1/3"]


def test_what_a_caller_did() -> None:
    found = by(CALLER, "update", at=5, network="10.0.0.1", request_id="r")
    assert (found.action, found.client, found.subject, found.role, found.token) == (
        "U",
        "ehr",
        "s",
        "practitioner",
        "j",
    )
    assert (by(CALLER, "$book", at=5).action, by(CALLER, "search", at=5).action) == ("E", "E")
    assert [outcome_of(one) for one in (200, 304, 404, 503)] == [0, 0, 4, 8]


async def test_has_written(store: Store) -> None:
    await store.audit.add(access())
    await store.audit.add(access(action="U", interaction="update"))
    await store.audit.add(access(action="U", interaction="update", outcome=4, objects=(Accessed("Slot", "s", 1),)))
    booked = (Accessed("Appointment", "b", 1, written=True), Accessed("Slot", "read", 2))
    await store.audit.add(access(action="E", interaction="$book", objects=booked))
    asked = ["Appointment/a1/3", "Appointment/a1/2", "Slot/s/1", "Appointment/b/1", "Slot/read/2"]
    assert await store.audit.has_written(asked) == {"Appointment/a1/3", "Appointment/b/1"}


async def test_what_is_missing_is_recorded_once(store: Store) -> None:
    await die(store)
    await store.audit.add(access(action="U", interaction="update", objects=(Accessed("Appointment", "a1", 1),)))
    found = versions(*(written(one) for one in (1, 2, 3)), written(4, "alive"), written(5, at=NOW - MARGIN_MS - 1))
    later = NOW + DEAD_MS + 1
    done = await asyncio.gather(*(recover(store.audit, store.markers, found, later) for _ in range(4)))
    assert sum(done) == 2
    assert await recover(store.audit, store.markers, found, later) == 0
    assert sorted(one.objects[0].version for one in await entries(store) if one.recovered) == [2, 3]
    assert await faults(store) == []


async def test_the_living_are_left_alone(store: Store) -> None:
    await die(store)
    assert await recover(store.audit, store.markers, versions(written(1)), NOW + DEAD_MS - 1) == 0
    await store.markers.remove("dead")


async def test_a_recovery_that_died_too_is_done_again(store: Store) -> None:
    await die(store)
    later = NOW + DEAD_MS + 1
    assert await store.markers.claim(later) is not None
    assert await recover(store.audit, store.markers, versions(written(1)), later) == 0
    assert await recover(store.audit, store.markers, versions(written(1)), later + CLAIM_MS + 1) == 1


async def _is_recovered(store: Store) -> bool:
    return any(one.recovered for one in await entries(store))


async def test_a_recorder_shows_that_it_lives_signs_its_end_and_recovers(store: Store) -> None:
    await die(store)
    clock = iter(range(NOW + DEAD_MS + 1, NOW * 2))
    recorder = Recorder(store.audit, store.markers, lambda: next(clock))
    recorder.versions = versions(written(7))
    await recorder.start()
    await recorder.add(access())
    await until(lambda: _is_recovered(store), "what the dead process left")
    assert [one.objects[0].version for one in await entries(store) if one.recovered] == [7]
    collection = store.connection.collection("recorders")
    assert await collection.find_one({"_id": recorder.process}) is not None
    await recorder.stop()
    assert await collection.find_one({"_id": recorder.process}) is None
    (chain,) = await store.audit.chains()
    assert [one["kind"] for one in await store.audit.checkpoints_of(chain)] == ["final"]
    assert await faults(store) == []


async def test_a_recorder_ends_without_its_database(store: Store) -> None:
    recorder = Recorder(store.audit, store.markers, lambda: NOW)
    await recorder.start()

    class Away:
        async def remove(self, _: str) -> None:
            raise ConnectionError

    recorder._markers = Away()  # type: ignore[assignment]
    await recorder.stop()
    await store.markers.remove(recorder.process)

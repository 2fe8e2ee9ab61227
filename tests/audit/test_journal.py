"""Group commit: durable before the answer, few inserts, in order, once, and refused when it cannot be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from fhir_server.access.record import Access, Accessed
from fhir_server.errors import Category, Problem
from fhir_server.settings import Settings
from fhir_server.store.audit.entries import LONGEST_QUERY
from fhir_server.store.database import Store
from fhir_server.store.driver import ConnectionFailure
from tests.audit.records import AT, access, faults


async def entries(store: Store) -> list[Access]:
    batches = await store.audit.found({}, 0)
    return [one for batch in reversed(batches) for one in batch.entries]


async def test_what_is_recorded_comes_back(both: Store) -> None:
    thing = access(
        query=b"GET /fhir/Patient?name=\xff\x00", reason="not-found", outcome=4, purpose="BTG", recovered=True,
        patients=("Patient/p2",),
    )  # fmt: skip
    name = await both.audit.add(thing)
    assert await entries(both) == [thing]
    chain, n, entry = name.split("-")
    found = await both.audit.batch(chain, int(n))
    assert found is not None
    assert found.entries[int(entry)] == thing
    assert await faults(both) == []


async def test_many_at_once_share_few_inserts_and_keep_their_order(both: Store) -> None:
    await asyncio.gather(*(both.audit.add(access(request_id=f"r{at}")) for at in range(200)))
    assert await both.audit.count() <= 4
    assert [one.request_id for one in await entries(both)] == [f"r{at}" for at in range(200)]
    assert await faults(both) == []


async def test_callers_who_come_one_after_the_other_share_inserts(store: Store) -> None:
    async def caller() -> None:
        for _ in range(20):
            await store.audit.add(access())

    await asyncio.gather(*(caller() for _ in range(16)))
    assert await store.audit.count() <= 60
    assert len(await entries(store)) == 320


async def test_a_batch_is_bounded(store: Store) -> None:
    crowd = tuple(Accessed("Appointment", f"a{at}", 1, (f"Patient/p{at}",)) for at in range(9_000))
    await asyncio.gather(*(store.audit.add(access(objects=crowd)) for _ in range(5)))
    await asyncio.gather(*(store.audit.add(access()) for _ in range(1100)))
    sizes = [len(one.entries) for one in await store.audit.found({}, 0)]
    assert max(sizes) == 500
    assert min(sizes) <= 2
    assert await faults(store) == []


async def test_time_does_not_go_back(store: Store) -> None:
    moments = iter([5000, 4000, 6000])
    store.audit.journal._clock = lambda: next(moments)
    for _ in range(3):
        await store.audit.add(access())
    assert [one.at for one in reversed(await store.audit.found({}, 0))] == [5000, 5000, 6000]
    assert await faults(store) == []


async def test_a_caller_who_goes_away_leaves_the_entry_and_the_others_alone(store: Store) -> None:
    callers = [asyncio.create_task(store.audit.add(access(request_id=f"r{at}"))) for at in range(3)]
    await asyncio.sleep(0)
    callers[1].cancel()
    assert [isinstance(one, str) for one in await asyncio.gather(*callers, return_exceptions=True)] == [
        True,
        False,
        True,
    ]
    assert len(await entries(store)) == 3


async def test_only_the_beginning_of_a_long_query_is_kept(store: Store) -> None:
    await store.audit.add(access(query=b"x" * 100_000))
    assert len((await entries(store))[0].query) == LONGEST_QUERY


async def test_a_secret_in_a_query_is_not_kept(store: Store) -> None:
    query = b"POST /fhir/Patient/_search?access_token=abc&code=x&Client_Secret=y&token=&name=z\n\npassword=q&a=1"
    await store.audit.add(access(query=query))
    kept = (await entries(store))[0].query
    assert kept == b"POST /fhir/Patient/_search?access_token=&code=x&Client_Secret=&token=&name=z\n\npassword=&a=1"


class Faulty:
    """The collection of batches, whose inserts fail before or after they happened."""

    def __init__(self, collection: Any, faults: list[str]) -> None:
        self._collection = collection
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def insert_one(self, document: Any) -> Any:
        fault = self._faults.pop(0) if self._faults else ""
        if fault == "before":
            msg = "lost on its way there"
            raise ConnectionFailure(msg)
        done = await self._collection.insert_one(document)
        if fault == "after":
            msg = "lost on its way back"
            raise ConnectionFailure(msg)
        return done


@pytest.mark.parametrize("faulty", [["before"], ["after"], ["before", "after"], ["before", "before", "before"]])
async def test_an_insert_of_unknown_fate_is_there_once(store: Store, faulty: list[str]) -> None:
    await store.audit.add(access(request_id="r0"))
    store.audit.journal._batches = Faulty(store.audit.batches, faulty)
    await store.audit.add(access(request_id="r1"))
    await store.audit.add(access(request_id="r2"))
    assert [one.request_id for one in await entries(store)] == ["r0", "r1", "r2"]
    assert await faults(store) == []


async def test_it_fails_closed_and_goes_on_in_another_chain(store: Store) -> None:
    await store.audit.add(access(request_id="r0"))
    store.audit.journal._batches = Faulty(store.audit.batches, ["before"] * 6)
    calls = await asyncio.gather(*(store.audit.add(access()) for _ in range(3)), return_exceptions=True)
    assert [one.category for one in calls if isinstance(one, Problem)] == [Category.UNAVAILABLE] * 3
    await store.audit.add(access(request_id="r1"))
    assert {one.request_id for one in await entries(store)} == {"r0", "r1"}
    assert len(await store.audit.chains()) == 2
    assert await faults(store) == []


CHILD = """
import asyncio, os, sys
from fhir_server.access.record import Access
from fhir_server.remote import kms
from fhir_server.settings import Settings
from fhir_server.store.database import open_store
from tests.builders.search import DEFINITIONS

async def main():
    settings = Settings(mongo_uri=sys.argv[1], audit_database=sys.argv[2], mongo_database=sys.argv[3], keys=sys.argv[4])
    store = open_store(settings, kms.of(settings.keys), DEFINITIONS)
    await store.keys.open(sealed=False)
    answered = []
    async def caller(at):
        await store.audit.add(Access(at=1, action="R", interaction="read", request_id=f"r{at}"))
        answered.append(f"r{at}")
        if len(answered) == 7:
            print(" ".join(answered), flush=True)
            os.kill(os.getpid(), 9)
    await asyncio.gather(*(caller(at) for at in range(20)))

asyncio.run(main())
"""


async def test_what_was_answered_survives_the_death_of_the_process(store: Store, settings: Settings) -> None:
    command = [sys.executable, "-c", CHILD, settings.mongo_uri, store.audit.connection.database.name]
    command += [settings.mongo_database, settings.keys]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    answered = set(done.stdout.split())
    assert len(answered) == 7
    assert answered <= {one.request_id for one in await entries(store)}
    await store.audit.add(access(at=AT))
    assert await faults(store) == []

"""Verification finds what was done to the record behind the server's back."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.record import Accessed
from fhir_server.store.audit import checkpoints
from fhir_server.store.audit.batches import START, Head, digest, mac, made, place
from fhir_server.store.audit.checkpoints import RUNNING, Signer
from fhir_server.store.audit.entries import packed
from fhir_server.store.audit.prune import prune
from fhir_server.store.database import Store
from tests.audit.records import access, faults, verified


async def chain_of(store: Store, length: int, *, end: bool = True) -> str:
    """A chain of so many batches with two entries each; its name."""
    for at in range(length):
        await store.audit.journal._put([access(request_id=f"r{at}"), access(objects=(Accessed("Slot", f"s{at}", 1),))])
    head = store.audit.journal.head
    assert head is not None
    if end:
        await store.audit.checkpoint(final=True)
    return head.chain


async def change(store: Store, key: str, **values: Any) -> None:
    await store.audit.batches.update_one({"_id": key}, {"$set": values})


async def get(store: Store, key: str) -> dict[str, Any]:
    found: dict[str, Any] = await store.audit.batches.find_one({"_id": key})
    return found


async def places(store: Store, **options: Any) -> set[str]:
    return {where for where, _ in await faults(store, **options)}


async def test_a_whole_record_is_found_whole(store: Store) -> None:
    first, second = await chain_of(store, 3), await chain_of(store, 2)
    report = await verified(store)
    assert (report.batches, report.entries, report.checkpoints, report.faults) == (5, 10, 2, [])
    assert {(one.chain, one.n) for one in report.heads} == {(first, 3), (second, 2)}


async def test_a_changed_byte(store: Store) -> None:
    chain = await chain_of(store, 3)
    body = (await get(store, place(chain, 2)))["body"]
    await change(store, place(chain, 2), body=body[:40] + bytes([body[40] ^ 1]) + body[41:])
    assert await places(store) == {place(chain, 2)}


@pytest.mark.parametrize(
    "values", [{"about": []}, {"who": ["|x"]}, {"at": 1}, {"count": 1}, {"worst": 8}, {"wrote": ["a"]}, {"opens": []},
               {"mac": bytes(16)}, {"form": 2}, {"prev": bytes(32)}],
)  # fmt: skip
async def test_a_changed_value_beside_the_bytes(store: Store, values: dict[str, Any]) -> None:
    chain = await chain_of(store, 3)
    await change(store, place(chain, 2), **values)
    assert place(chain, 2) in await places(store)


async def test_a_removed_entry(store: Store) -> None:
    chain = await chain_of(store, 3)
    await change(store, place(chain, 2), body=packed([access(request_id="r1")]), count=1)
    assert await places(store) == {place(chain, 2)}


async def test_two_entries_in_the_other_order(store: Store) -> None:
    chain = await chain_of(store, 3)
    document = await get(store, place(chain, 3))
    entries = [access(objects=(Accessed("Slot", "s2", 1),)), access(request_id="r2")]
    await change(store, place(chain, 3), body=packed(entries))
    assert document["body"] != packed(entries)
    assert await places(store) == {place(chain, 3)}


async def test_a_batch_changed_with_its_hash_made_anew(store: Store) -> None:
    chain = await chain_of(store, 3, end=False)
    document = await get(store, place(chain, 3))
    document["about"] = []
    document["hash"] = digest(document)
    await store.audit.batches.replace_one({"_id": document["_id"]}, document)
    assert await faults(store) == [(place(chain, 3), "the batch was not made by this server")]


@pytest.mark.parametrize("n", [1, 2, 3])
async def test_a_removed_batch(store: Store, n: int) -> None:
    chain = await chain_of(store, 3)
    await store.audit.batches.delete_one({"_id": place(chain, n)})
    assert await faults(store) != []
    assert {where.partition("|")[0] for where in await places(store)} == {chain}


async def test_two_swapped_batches(store: Store) -> None:
    chain = await chain_of(store, 4)
    second, third = await get(store, place(chain, 2)), await get(store, place(chain, 3))
    for one, other in ((second, third), (third, second)):
        await store.audit.batches.replace_one({"_id": one["_id"]}, {**other, "_id": one["_id"]})
    assert await places(store) >= {place(chain, 2), place(chain, 3)}


async def test_a_batch_put_in_between_and_one_put_behind(store: Store) -> None:
    chain = await chain_of(store, 3, end=False)
    document = await get(store, place(chain, 3))
    between = made(Head(chain, 1, document["prev"]), [access()], document["at"], b"guess", store.audit.envelope, None)
    await store.audit.batches.replace_one({"_id": between["_id"]}, between)
    assert await places(store) >= {place(chain, 2)}
    await store.audit.batches.insert_one(
        made(Head(chain, 3, document["hash"]), [access()], document["at"], b"guess", store.audit.envelope, None)
    )
    assert place(chain, 4) in await places(store)


async def test_even_whoever_knows_the_secret_cannot_follow_an_end(store: Store) -> None:
    chain = await chain_of(store, 2)
    document = await get(store, place(chain, 2))
    secret = await store.audit.mac_secret()
    more = made(Head(chain, 2, document["hash"]), [access()], document["at"], secret, store.audit.envelope, None)
    await store.audit.batches.insert_one(more)
    assert await faults(store) == [(place(chain, 3), "batches follow the end of the chain")]


async def test_a_tail_removed_before_a_checkpoint(store: Store) -> None:
    chain = await chain_of(store, 4, end=False)
    await store.audit.checkpoint()
    await store.audit.batches.delete_one({"_id": place(chain, 4)})
    found = await faults(store)
    assert found == [(place(chain, 4), "batches up to 4 were removed: a checkpoint names them")]


async def test_a_tail_removed_that_a_later_chain_names(store: Store) -> None:
    chain = await chain_of(store, 4, end=False)
    store.audit.journal.leave()
    later = await chain_of(store, 1, end=False)
    await store.audit.batches.delete_one({"_id": place(chain, 4)})
    assert await faults(store) == [(place(chain, 4), f"batches up to 4 were removed: chain {later} names them")]


async def test_a_tail_remade_by_whoever_knows_the_secret(store: Store) -> None:
    chain = await chain_of(store, 2, end=False)
    await store.audit.checkpoint()
    document = await get(store, place(chain, 2))
    document["about"] = []
    document["hash"] = digest(document)
    document["mac"] = mac(document["hash"], await store.audit.mac_secret())
    await store.audit.batches.replace_one({"_id": document["_id"]}, document)
    assert await faults(store) == [(place(chain, 2), "the batch is not the one that a checkpoint names")]


@pytest.mark.parametrize("also", [False, True])
async def test_a_removed_chain(store: Store, also: bool) -> None:
    chain = await chain_of(store, 2)
    later = await chain_of(store, 1, end=False)
    await store.audit.batches.delete_many({"chain": chain})
    if also:
        await store.audit.checkpoints.delete_many({"chain": chain})
    assert await faults(store) == [(chain, f"batches up to 2 were removed: chain {later} names them")]


async def test_a_chain_is_named_until_its_end_is_known(store: Store) -> None:
    first = await chain_of(store, 2)
    await chain_of(store, 1, end=False)
    store.audit.journal.leave()
    third = await chain_of(store, 1)
    opening = await get(store, place(third, 1))
    # The second one died without an end: it is named again; the first one has been.
    assert first not in {one[0] for one in opening["opens"]}
    assert len(opening["opens"]) == 1


async def test_a_forged_checkpoint(store: Store) -> None:
    chain = await chain_of(store, 2, end=False)
    forger = Signer(bytes(32))
    await store.audit.put(forger.sign(Head(chain, 9, START), 1, RUNNING, 0))
    assert [text for _, text in await faults(store)] == [
        "the checkpoint is forged: its signature is not of this server's key"
    ]
    await store.audit.checkpoints.delete_many({})
    await store.audit.checkpoint()
    await store.audit.checkpoints.update_one({}, {"$set": {"at": 5}})
    assert len(await faults(store)) == 1
    await store.audit.checkpoints.update_one({}, {"$unset": {"at": ""}})
    assert [text for _, text in await faults(store)] == ["this is no checkpoint"]


async def test_a_removed_checkpoint(store: Store) -> None:
    chain = await chain_of(store, 1, end=False)
    for _ in range(2):
        await store.audit.checkpoint()
        await store.audit.journal._put([access()])
    await store.audit.checkpoint()
    await store.audit.checkpoints.delete_one({"n": 2})
    assert await faults(store) == [(place(chain, 2), "the checkpoint of this place was removed")]


async def test_a_checkpoint_kept_elsewhere_shows_what_the_database_hides(store: Store) -> None:
    chain = await chain_of(store, 3, end=False)
    kept = await store.audit.checkpoint()
    assert kept is not None
    await store.audit.batches.delete_many({})
    await store.audit.checkpoints.delete_many({})
    assert await faults(store) == []
    found = await faults(store, against=[checkpoints.document(kept)])
    assert found == [(chain, "batches up to 3 were removed: a checkpoint kept elsewhere names them")]


async def test_what_is_young_is_verified_alone(store: Store) -> None:
    moments = iter(range(1000, 9000, 1000))
    store.audit.journal._clock = lambda: next(moments)
    chain = await chain_of(store, 4)
    await change(store, place(chain, 1), count=9)
    assert await places(store) == {place(chain, 1)}
    report = await verified(store, since=3000)
    assert (report.batches, report.faults) == (2, [])
    report = await verified(store, since=99_000)
    assert (report.batches, report.faults, [one.n for one in report.heads]) == (0, [], [4])
    await store.audit.batches.delete_one({"_id": place(chain, 4)})
    assert len(await faults(store, since=3000)) == 1


async def test_what_is_over_is_pruned_and_the_rest_is_whole(store: Store) -> None:
    moments = iter(range(1000, 99_000, 1000))
    store.audit.journal._clock = lambda: next(moments)
    old = await chain_of(store, 3)
    chain = await chain_of(store, 4, end=False)
    await store.audit.checkpoint()
    done = await prune(store.audit, 6000, 100_000)
    assert (done.batches, done.chains) == (5, 2)
    assert await store.audit.count() == 2
    assert await faults(store) == []
    assert (await prune(store.audit, 6000, 100_001)).batches == 0
    # Who takes away more than the signed place is found, and who takes away the signed statement too.
    await store.audit.batches.delete_one({"_id": place(chain, 3)})
    assert await places(store) == {place(chain, 4)}
    await store.audit.checkpoints.delete_many({"kind": "pruned"})
    assert await places(store) >= {old}
    await chain_of(store, 1)


async def test_a_pruning_that_was_interrupted_is_no_fault(store: Store) -> None:
    chain = await chain_of(store, 3)
    removed = await get(store, place(chain, 1))
    await prune(store.audit, removed["at"] + 60_000, 1)
    await store.audit.batches.insert_one(removed)
    assert await faults(store) == []
    await change(store, place(chain, 1), count=9)
    assert await places(store) == {place(chain, 1)}

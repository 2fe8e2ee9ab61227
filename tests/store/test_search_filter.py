"""The evaluators of the search tree agree: MongoDB with ``to_filter``, ``matches`` on one resource, and the oracle."""

from __future__ import annotations

from random import Random

import pymongo  # noqa: TID251  the translation is tried on a real MongoDB, without the store around it
import pytest

from fhir_server.search.match import matches
from fhir_server.search.query import Chain, Has, IdIn, ReferenceIn
from fhir_server.store.indexes import models
from fhir_server.store.search import resolve, seek, sort_values, to_filter, to_sort
from tests.builders.sealing import VAULT, stored
from tests.builders.search import BUILDERS, NOW_MS, criteria, document, order, read
from tests.unit.search.search_oracle import holds, place

DOCUMENTS, SEARCHES = 250, 400
KINDS = tuple(BUILDERS)


@pytest.fixture(scope="module")
def database(mongo_uri):
    with pymongo.MongoClient(mongo_uri) as client:
        name = "search_filter_test"
        client.drop_database(name)
        yield client[name]
        client.drop_database(name)


@pytest.fixture(scope="module")
def resources():
    """Random resources by type; their place in the list is their id."""
    rng = Random(11)
    return {kind: [build(rng) for _ in range(DOCUMENTS)] for kind, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def documents(database, resources):
    """Their documents, stored under the indexes that the server creates."""
    found = {}
    for kind, each in resources.items():
        database[kind].create_indexes(models()[kind])
        found[kind] = [document(resource, number) for number, resource in enumerate(each)]
        database[kind].insert_many([stored(kind, one) for one in found[kind]])
    return found


def sent(clauses):
    """The filter as the store sends it."""
    return VAULT.where(to_filter(clauses))


@pytest.mark.parametrize("kind", KINDS)
def test_all_evaluators_find_the_same(database, resources, documents, kind):
    rng = Random(7)
    met = 0
    modifiers = set()
    for _ in range(SEARCHES):
        pairs = criteria(rng, kind)
        clauses = read(kind, *pairs).query.clauses
        expected = {doc["_id"] for doc in documents[kind] if matches(clauses, doc)}
        in_store = {doc["_id"] for doc in database[kind].find(sent(clauses), {"_id": 1})}
        naive = {
            doc["_id"]
            for doc, resource in zip(documents[kind], resources[kind], strict=True)
            if all(holds(doc, resource, name, value, NOW_MS) for name, value in pairs)
        }
        assert in_store == expected == naive, pairs
        met += 0 < len(expected) < DOCUMENTS
        modifiers |= {name.partition(":")[2] for name, _ in pairs}
    assert met > SEARCHES // 10
    assert {"", "missing"} < modifiers or kind == "Location"


def _in_order(rows, order_by):
    """Resources sorted by each key from the last to the first: stable, missing first, reversed for a descending key."""
    for code, descending in reversed(order_by):
        rows = sorted(rows, key=lambda row, code=code: _key(place(*row, code)), reverse=descending)
    return [doc["_id"] for doc, _ in rows]


def _key(value):
    return (value is not None, value if value is not None else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_random_orders_are_those_of_the_oracle(database, resources, documents, kind):
    rng = Random(5)
    rows = list(zip(documents[kind], resources[kind], strict=True))
    for _ in range(40):
        sort = order(rng, kind)
        query = read(kind, ("_sort", sort)).query
        keys = [(key.definition.code, key.descending) for key in query.sort]
        keys += [] if any(code == "_id" for code, _ in keys) else [("_id", keys[-1][1])]
        found = [doc["_id"] for doc in database[kind].find({}, {"_id": 1}).sort(to_sort(query))]
        assert found == _in_order(rows, keys), sort


@pytest.mark.parametrize(
    ("kind", "sort"),
    [
        ("Appointment", "date"),
        ("Appointment", "-date"),
        ("Appointment", "status,-date"),
        ("Appointment", "-status,date,_lastUpdated"),
        ("Appointment", "service-type"),
        ("Appointment", "-actor,date"),
        ("Appointment", "patient,-location,service-type,-part-status,date"),
        ("Location", "name"),
        ("Patient", "-active,deceased"),
        ("Slot", "_profile,-_source,-specialty"),
        ("Group", "-characteristic,value,exclude"),
        ("Appointment", "-_id"),
        ("Appointment", "-_lastUpdated"),
        ("Location", "-name,_lastUpdated"),
        ("Patient", "deceased,-_lastUpdated"),
        ("Encounter", "location-period"),
        ("Encounter", "-location-period,length"),
        ("Encounter", "-length"),
        ("Appointment", ""),
    ],
)
def test_pages_join_to_the_whole(database, documents, kind, sort):
    query = read(kind, ("_sort", sort)).query
    order = to_sort(query)
    whole = [doc["_id"] for doc in database[kind].find({}).sort(order)]
    assert len(whole) == DOCUMENTS
    walked, place = [], {}
    while page := list(database[kind].find(place).sort(order).limit(17)):
        walked += [doc["_id"] for doc in page]
        place = seek(query, sort_values(query, page[-1]))
    assert walked == whole


def test_a_page_is_found_after_writes_in_between(database, documents):
    query = read("Appointment", ("_sort", "status,date")).query
    scratch = database["pages"]
    scratch.insert_many(documents["Appointment"])
    order = to_sort(query)
    first = list(scratch.find({}).sort(order).limit(100))
    rest = {doc["_id"] for doc in documents["Appointment"]} - {doc["_id"] for doc in first}
    scratch.delete_one({"_id": first[-1]["_id"]})
    scratch.insert_one(first[0] | {"_id": "new"})
    found = [doc["_id"] for doc in scratch.find(seek(query, sort_values(query, first[-1]))).sort(order)]
    assert set(found) == rest


def test_the_slots_of_a_schedule_come_from_an_index_in_order(database):
    scratch = database["slots"]
    scratch.create_indexes(models()["Slot"])
    slots = [
        {
            "resourceType": "Slot",
            "schedule": {"reference": f"Schedule/{n % 20}"},
            "start": f"2026-11-{n % 28 + 1:02}T09:00:00Z",
        }
        for n in range(2000)
    ]
    scratch.insert_many(document(slot, number) for number, slot in enumerate(slots))
    query = read(
        "Slot", ("schedule", "Schedule/3"), ("start", "ge2026-11-10"), ("start", "lt2026-11-20"), ("_sort", "start")
    ).query
    cursor = scratch.find(to_filter(query.clauses)).sort(to_sort(query))
    explained = cursor.explain()
    assert "SORT" not in str(explained["queryPlanner"]["winningPlan"])
    assert explained["executionStats"]["totalKeysExamined"] <= len(list(cursor)) + 2


class _Database:
    """A lookup that reads the documents of this test."""

    def __init__(self, database):
        self.database = database

    async def ids(self, kind, clauses):
        return [doc["_id"] for doc in self.database[kind].find(sent(clauses), {"_id": 1})]

    async def referred(self, kind, clauses, definition):
        return self.database[kind].distinct(definition.field, sent(clauses))


async def test_chains_and_reverse_chains_resolve(database, documents):
    query = read("Appointment", ("patient.name", "ad"), ("_has:Encounter:appointment:status", "planned")).query
    chain, has = query.clauses
    assert isinstance(chain, Chain)
    assert isinstance(has, Has)
    resolved = await resolve(query, _Database(database))
    reference, ids = resolved.clauses
    assert isinstance(reference, ReferenceIn)
    expected = {doc["_id"] for doc in documents["Patient"] if matches(chain.clauses, doc)}
    assert set(reference.values) == {f"Patient/{found}" for found in expected}
    assert ids == IdIn(())
    query = read("Patient", ("_has:Appointment:patient:status", "booked")).query
    (ids,) = (await resolve(query, _Database(database))).clauses
    booked = [doc for doc in documents["Appointment"] if doc["idx"]["status"] == "=booked"]
    assert isinstance(ids, IdIn)
    assert set(ids.ids) == {
        text.removeprefix("Patient/")
        for doc in booked
        for text in doc["idx"].get("patient", [])
        if text.startswith("Patient/")
    }


def test_an_unresolved_chain_is_refused():
    (chain,) = read("Slot", ("schedule.actor", "Practitioner/1")).query.clauses
    with pytest.raises(TypeError, match="resolve it first"):
        to_filter([chain])


def test_values_are_never_operators():
    for name, value in (
        ("name", "$where"),
        ("name:contains", "$name"),
        ("name:exact", "$idx.name"),
        ("gender", "$ne"),
        ("_source:below", "http://$x"),
        ("communication:text", "$regex"),
    ):
        text = str(to_filter(read("Practitioner", (name, value.replace("$", "\\$"))).query.clauses))
        assert f"'{value}'" in text or f"'={value}'" in text

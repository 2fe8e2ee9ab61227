"""The two evaluators of the search tree agree: MongoDB with ``to_filter`` and ``matches`` on one resource."""

from __future__ import annotations

from random import Random

import pymongo  # noqa: TID251  the translation is tried on a real MongoDB, without the store around it
import pytest

from fhir_server.search.match import matches
from fhir_server.search.query import Chain, Has, IdIn, ReferenceIn
from fhir_server.store.search import resolve, seek, sort_values, to_filter, to_sort
from fhir_server.store.search_indexes import indexes
from tests.builders.search import BUILDERS, DEFINITIONS, criteria, document, read

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
def documents(database):
    """Random documents by type, stored under the indexes that the server creates."""
    rng = Random(11)
    found = {}
    for kind, build in BUILDERS.items():
        for keys in indexes()[kind]:
            database[kind].create_index(list(keys))
        found[kind] = [document(build(rng), number) for number in range(DOCUMENTS)]
        database[kind].insert_many(found[kind])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_both_evaluators_find_the_same(database, documents, kind):
    rng = Random(7)
    met = 0
    for _ in range(SEARCHES):
        pairs = criteria(rng, kind)
        clauses = read(kind, *pairs).query.clauses
        expected = {doc["_id"] for doc in documents[kind] if matches(clauses, doc)}
        stored = {doc["_id"] for doc in database[kind].find(to_filter(clauses), {"_id": 1})}
        assert stored == expected, pairs
        met += 0 < len(expected) < DOCUMENTS
    assert met > SEARCHES // 10


@pytest.mark.parametrize(
    ("kind", "sort"),
    [
        ("Appointment", "date"),
        ("Appointment", "-date"),
        ("Appointment", "status,-date"),
        ("Appointment", "-status,date,_lastUpdated"),
        ("Appointment", "service-type"),
        ("Appointment", "-actor,date"),
        ("Appointment", "-_id"),
        ("Appointment", "-_lastUpdated"),
        ("Patient", "name,birthdate"),
        ("Patient", "-name,-birthdate"),
        ("Patient", "birthdate,-family"),
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


def _plan(explained):
    stages, todo = [], [explained["queryPlanner"]["winningPlan"]]
    while todo:
        stage = todo.pop()
        stages.append(stage["stage"])
        todo += [stage["inputStage"]] if "inputStage" in stage else stage.get("inputStages", [])
    return stages


def test_the_slots_of_a_schedule_come_from_an_index_in_order(database):
    for keys in indexes()["Slot"]:
        database["Slot"].create_index(list(keys))
    slots = [
        {
            "resourceType": "Slot",
            "schedule": {"reference": f"Schedule/{n % 20}"},
            "start": f"2026-11-{n % 28 + 1:02}T09:00:00Z",
        }
        for n in range(2000)
    ]
    database["Slot"].insert_many(document(slot, number) for number, slot in enumerate(slots))
    query = read(
        "Slot", ("schedule", "Schedule/3"), ("start", "ge2026-11-10"), ("start", "lt2026-11-20"), ("_sort", "start")
    ).query
    cursor = database["Slot"].find(to_filter(query.clauses)).sort(to_sort(query))
    assert {"SORT", "COLLSCAN"}.isdisjoint(_plan(cursor.explain()))
    assert cursor.explain()["executionStats"]["totalKeysExamined"] <= len(list(cursor)) + 2


def test_a_prefix_comes_from_an_index(database, documents):
    (clause,) = read("Patient", ("family", "ad")).query.clauses
    assert "COLLSCAN" not in _plan(database["Patient"].find(to_filter([clause])).explain())


class _Database:
    """A lookup that reads the documents of this test."""

    def __init__(self, database):
        self.database = database

    async def ids(self, kind, clauses):
        return [doc["_id"] for doc in self.database[kind].find(to_filter(clauses), {"_id": 1})]

    async def referred(self, kind, clauses, definition):
        return self.database[kind].distinct(definition.field, to_filter(clauses))


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
    for name, value in (("name", "$where"), ("name:contains", "$name"), ("name:exact", "$idx.name"), ("gender", "$ne")):
        text = str(to_filter(read("Patient", (name, value.replace("$", "\\$"))).query.clauses))
        assert f"'{value}'" in text or f"'={value}'" in text


def test_every_index_names_parameters_and_one_list_at_most():
    assert set(indexes()) == set(DEFINITIONS.types)
    for kind, specs in indexes().items():
        assert len(specs) <= (8 if kind in ("Appointment", "Slot") else 12)
        for keys in specs:
            fields = [field.removeprefix("idx.").split(".")[0] for field, _ in keys if field.startswith("idx.")]
            definitions = [DEFINITIONS.of(kind)[field] for field in fields]
            assert sum(not definition.scalar for definition in definitions) <= 1

"""Every search that is sent to MongoDB walks an index: each parameter with each modifier and prefix, explained.

What only excludes (``:not``, ``:not-in``, ``:missing``) or looks inside texts (``:contains``, ``:text``) may walk a
whole index, in the order of the page and no further than its end. Everything else begins where the values are.
"""

from __future__ import annotations

import pymongo  # noqa: TID251  plans are asked of a real MongoDB, without the store around it
import pytest

from fhir_server.search.query import Query, ReferenceIn, SortKey
from fhir_server.store.indexes import create, models
from fhir_server.store.search import seek, sort_values, to_filter, to_sort
from fhir_server.store.search_indexes import indexes, wildcards
from tests.builders.sealing import VAULT, stored
from tests.builders.search import DEFINITIONS, NOW_MS, PREFIXES, TERMINOLOGY, read

KINDS = DEFINITIONS.types
DEFAULT_SORT = {"Slot": "start", "Appointment": "date", "Encounter": "date"}
WALKS = frozenset({"not", "not-in", "missing", "contains", "text"})
DOCUMENTS = 40
DAY_MS = 86_400_000
DAY = NOW_MS // DAY_MS * DAY_MS


def _stored(definition, number):
    """A value as the index holds it, a list where there may be several."""
    one = {
        "token": f"={number}" if definition.coded else f"http://s|{number}",
        "reference": f"{definition.targets[0] if definition.targets else 'X'}/{number}",
        "string": f"name {number}",
        "uri": f"http://u/{number}",
        "date": {"l": DAY + number * DAY_MS, "h": DAY + (number + 1) * DAY_MS},
        "number": {"v": float(number)},
        "quantity": {"v": float(number), "u": ["=min"]},
        "special": {"type": "Point", "coordinates": [number, number]},
        "composite": {"c1": [f"=a{number}"], "c2": [f"=b{number}"]},
    }[definition.type]
    return one if definition.scalar or definition.type == "special" else [one, one]


def _document(kind, number):
    definitions = DEFINITIONS.of(kind).values()
    idx = {one.code: _stored(one, number) for one in definitions if one.indexed}
    idx |= {
        f"{one.code}:sort": idx[one.code][0] for one in definitions if one.indexed and one.sortable and not one.scalar
    }
    found = {"_id": f"{number}", "at": NOW_MS + number, "deleted": False, "body": b"{}", "idx": idx}
    return stored(kind, found)


@pytest.fixture(scope="module")
def database(mongo_uri):
    with pymongo.MongoClient(mongo_uri) as client:
        name = "search_plans_test"
        client.drop_database(name)
        for kind in KINDS:
            client[name][kind].create_indexes(models()[kind])
            client[name][kind].insert_many([_document(kind, number) for number in range(DOCUMENTS)])
        yield client[name]
        client.drop_database(name)


def _searches(definition):
    """``(modifier, value)`` of every way to search by a parameter."""
    kind = definition.type
    values = {
        "token": ["a"] if definition.coded else ["a", "http://s|a", "|a", "http://s|", "a,b"],
        "reference": [f"{definition.targets[0]}/1" if definition.targets else "http://c", "1,2"],
        "string": ["Na", "na,nb"],
        "uri": ["http://u/1"],
        "date": [f"{prefix}2026-11-23" for prefix in PREFIXES] + ["2026,2027", "ge2026,lt2025"],
        "number": [f"{prefix}5" for prefix in PREFIXES],
        "quantity": [f"{prefix}5{unit}" for prefix in PREFIXES for unit in ("", "||min")],
        "special": ["1|1|5|km"],
        "composite": ["a$b", "http://s|a$|b,c$d"],
    }[kind]
    found = [("", value) for value in values]
    special = {"missing": ["true", "false"], "of-type": ["http://t|MR|5"], "in": ["http://v"], "not-in": ["http://v"]}
    special |= {"above": ["http://s|b"], "below": ["http://s|b"]} if kind == "token" else {}
    special |= {"identifier": ["http://s|5", "5"]}
    if definition.sealed and kind == "date":
        values = ["2026", "2026-11", "2026-11-23", "2026,2027-01"]
        found = [("", value) for value in values]
    found += [
        (modifier, value) for modifier in sorted(definition.modifiers) for value in special.get(modifier, values[:1])
    ]
    return found + [(target, "1") for target in definition.targets[:1]]


def _plan(collection, where, sort=None):
    asked = {"find": collection.name, "filter": VAULT.where({**where, "deleted": False}), "limit": 51}
    if sort:
        asked["sort"] = dict(sort)
    explained = collection.database.command("explain", asked, verbosity="queryPlanner")
    stages, todo = [], [explained["queryPlanner"]["winningPlan"]]
    while todo:
        stage = todo.pop()
        stages.append(stage)
        todo += [stage["inputStage"]] if "inputStage" in stage else stage.get("inputStages", [])
    return stages


def _names(stages):
    return {stage["stage"] for stage in stages}


def _begins(stages):
    """Whether every index scan begins and ends at values of a parameter."""
    scans = [stage for stage in stages if stage["stage"] in ("IXSCAN", "IDHACK")]
    for scan in scans:
        if scan["stage"] == "IDHACK":
            continue
        bounds = dict(scan["indexBounds"])
        bounds.pop("$_path", None)
        first = next(iter(bounds.values()))
        if any(one in ("[MinKey, MaxKey]", '["", {})') for one in first):
            return False
    return bool(scans)


@pytest.mark.parametrize("kind", KINDS)
def test_every_search_walks_an_index(database, kind):
    collection = database[kind]
    default = DEFAULT_SORT.get(kind)
    order = to_sort(read(kind, *([("_sort", default)] if default else [])).query)
    for definition in DEFINITIONS.of(kind).values():
        for modifier, value in _searches(definition):
            name = f"{definition.code}:{modifier}" if modifier else definition.code
            where = to_filter(read(kind, (name, value), terminology=TERMINOLOGY).query.clauses)
            page, whole = _plan(collection, where, order), _plan(collection, where)
            assert "COLLSCAN" not in _names(page) | _names(whole), (name, value)
            if modifier not in WALKS:
                assert _begins(whole), (name, value, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_walk_an_index_stops_at_the_end_of_the_page(database, kind):
    """In the order that a page has by default no sorting stands between the index and the limit."""
    default = DEFAULT_SORT.get(kind)
    order = to_sort(read(kind, *([("_sort", default)] if default else [])).query)
    for name, value in (("_tag:not", "a"), ("_tag:missing", "true"), ("_source:missing", "true")):
        where = to_filter(read(kind, (name, value)).query.clauses)
        names = _names(_plan(database[kind], where, order))
        assert {"SORT", "COLLSCAN"}.isdisjoint(names), (name, names)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_without_criteria_comes_from_an_index_in_order(database, kind):
    default = DEFAULT_SORT.get(kind, "_id")
    for sort in (default, f"-{default}", "_lastUpdated", "-_lastUpdated", "_id"):
        query = read(kind, ("_sort", sort)).query
        last = database[kind].find_one({}, sort=to_sort(query))
        for where in ({}, seek(query, sort_values(query, last))):
            names = _names(_plan(database[kind], where, to_sort(query)))
            assert {"SORT", "COLLSCAN"}.isdisjoint(names), (sort, where, names)


@pytest.mark.parametrize(("kind", "sort"), [("Patient", "_lastUpdated"), ("Encounter", "-date"), ("Slot", "-start")])
def test_common_orders_come_from_an_index(database, kind, sort):
    assert {"SORT", "COLLSCAN"}.isdisjoint(
        _names(_plan(database[kind], {}, to_sort(read(kind, ("_sort", sort)).query)))
    )


@pytest.mark.parametrize(
    ("kind", "pairs", "first"),
    [
        ("Appointment", [("patient", "1"), ("date", "ge2026-11-01"), ("date", "lt2026-12-01")], "idx.actor"),
        ("Appointment", [("practitioner", "7"), ("date", "ge2026-11-01")], "idx.actor"),
        ("Appointment", [("location", "1"), ("status:not", "cancelled")], "idx.actor"),
        ("Slot", [("schedule", "1"), ("start", "ge2026-11-01"), ("status:not", "busy")], "idx.schedule"),
        ("Encounter", [("patient", "1"), ("date", "lt2026-11-01")], "idx.subject"),
        ("ServiceRequest", [("patient", "1"), ("authored", "ge2026")], "idx.subject"),
    ],
)
def test_daily_questions_begin_at_the_person(database, kind, pairs, first):
    where = to_filter(read(kind, *pairs).query.clauses)
    scans = [stage for stage in _plan(database[kind], where) if stage["stage"] == "IXSCAN"]
    assert {next(iter(scan["indexBounds"])) for scan in scans} == {first}
    assert _begins(scans)


def test_what_refers_to_a_page_is_found_by_an_index(database):
    """Reverse includes: each reference parameter of each type with the ids of a page."""
    for kind in KINDS:
        for definition in DEFINITIONS.of(kind).values():
            if definition.type == "reference":
                values = tuple(f"{definition.targets[0]}/{number}" for number in range(50))
                assert _begins(_plan(database[kind], to_filter([ReferenceIn(definition, values)]))), definition


def test_the_indexes_name_parameters_and_one_list_at_most():
    assert set(indexes()) == set(wildcards()) == set(KINDS)
    for kind, specs in indexes().items():
        for keys in specs:
            fields = [field.removeprefix("idx.") for field, _ in keys if field.startswith("idx.")]
            definitions = [DEFINITIONS.of(kind)[field.split(".")[0].partition(":")[0]] for field in fields]
            lists = [one for one, field in zip(definitions, fields, strict=True) if not one.scalar and ":" not in field]
            assert len(lists) <= 1, keys


@pytest.mark.parametrize("kind", ["Appointment", "Slot", "Patient"])
def test_types_with_many_writes_have_few_indexes(kind):
    """With those of the booking engine, of access (patients, clinics), outbox, waitlist and wildcard, no ``_id``."""
    assert len(models()[kind]) <= 13


def test_every_parameter_is_in_one_index():
    for kind in KINDS:
        own = {keys[0][0] for keys in indexes()[kind]}
        shared = wildcards()[kind]
        assert len(shared) == len(set(shared))
        assert own.isdisjoint(shared), own & set(shared)
        named = {field.removeprefix("idx.").partition(".")[0].partition(":")[0] for field in own | set(shared)}
        covered = {one.code for one in DEFINITIONS.of(kind).values() if one.cover or not one.indexed}
        assert named - {"at"} | covered == set(DEFINITIONS.of(kind)), named ^ set(DEFINITIONS.of(kind))


def test_a_query_without_clauses_has_no_filter():
    assert to_filter(()) == {}
    assert to_sort(Query("Slot", sort=(SortKey(DEFINITIONS.of("Slot")["start"], True),)))[0] == ("idx.start.l", -1)


async def test_search_indexes_of_former_versions_are_dropped(store):
    slots = store.connection.collection("Slot")
    await slots.create_index([("idx.former", 1)])
    await slots.create_index([("$**", 1)], name="search_former", wildcardProjection={"idx.former": 1})
    await slots.create_index([("foreign", 1)])
    await create(store.connection)
    present = set(await slots.index_information())
    assert present == {"_id_", "foreign_1", *(model.document["name"] for model in models()["Slot"])}
    await slots.drop_index("foreign_1")

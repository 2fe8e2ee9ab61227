"""Bundles from bytes."""

from __future__ import annotations

from fhir_server.fhir.bundle import HistoryEntry, Response, history_bytes, response_bytes, searchset_bytes
from fhir_server.fhir.json import parse
from fhir_server.fhir.models import issues_of

SLOT = (
    b'{"resourceType":"Slot","id":"1","schedule":{"reference":"Schedule/1"},"status":"free",'
    b'"start":"2026-01-01T00:00:00Z","end":"2026-01-01T01:00:00Z"}'
)


def test_a_searchset_holds_the_bodies_as_they_are():
    raw = searchset_bytes(
        [("https://a/Slot/1", SLOT, "match"), ("", SLOT, "include")], 1, [("self", 'https://a/Slot?x="y"')], "b-1"
    )
    assert raw.count(SLOT) == 2
    bundle = parse(raw)
    assert bundle["link"] == [{"relation": "self", "url": 'https://a/Slot?x="y"'}]
    assert (bundle["id"], bundle["type"], bundle["total"]) == ("b-1", "searchset", 1)
    assert [entry["search"]["mode"] for entry in bundle["entry"]] == ["match", "include"]
    assert "fullUrl" not in bundle["entry"][1]
    assert issues_of(bundle) == []


def test_nothing_found_is_a_bundle_without_entries():
    assert parse(searchset_bytes([], 0, [])) == {"resourceType": "Bundle", "type": "searchset", "total": 0}
    assert parse(searchset_bytes([], None, [])) == {"resourceType": "Bundle", "type": "searchset"}


def test_a_history_tells_how_each_version_came_about():
    response = Response("200 OK", etag='W/"2"', last_modified="2026-01-01T00:00:00Z")
    raw = history_bytes(
        [
            HistoryEntry("https://a/Slot/1", None, "DELETE", "Slot/1", Response("204 No Content")),
            HistoryEntry("https://a/Slot/1", SLOT, "PUT", "Slot/1", response),
        ],
        2,
        [],
    )
    bundle = parse(raw)
    assert "resource" not in bundle["entry"][0]
    assert bundle["entry"][1]["request"] == {"method": "PUT", "url": "Slot/1"}
    assert bundle["entry"][1]["response"] == {
        "status": "200 OK",
        "etag": 'W/"2"',
        "lastModified": "2026-01-01T00:00:00Z",
    }
    assert issues_of(bundle) == []


def test_a_batch_response_carries_outcomes():
    outcome = b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid"}]}'
    bundle = parse(
        response_bytes(
            "batch-response",
            [
                ("https://a/Slot/1", SLOT, Response("201 Created", location="Slot/1/_history/1")),
                ("", None, Response("400 Bad Request", outcome=outcome)),
            ],
        )
    )
    assert bundle["entry"][0]["response"]["location"] == "Slot/1/_history/1"
    assert bundle["entry"][1] == {"response": {"status": "400 Bad Request", "outcome": parse(outcome)}}
    assert issues_of(bundle) == []

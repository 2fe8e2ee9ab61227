"""Reads by id: what is hidden is answered as what was never there, on every route (V1, V9, V27, C8)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.access.callers import CLOSED, NO_REASONS, PERSONS, SEES, Asker, Callers
from tests.builders.town import OF_PATIENTS, PATIENTS, SHARED, Town

ROUTES = ("", "/_history", "/_history/1")
NAMES = tuple(SEES)
LATER = "Wed, 21 Oct 2037 07:28:00 GMT"
ASKED: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "", {}), ("GET", "", {"If-None-Match": 'W/"1"'}), ("GET", "", {"If-Modified-Since": LATER}),
    ("GET", "/_history", {}), ("GET", "/_history/1", {}), ("HEAD", "", {}), ("HEAD", "/_history/1", {}),
    ("PUT", "", {}), ("PUT", "", {"If-Match": 'W/"9"'}), ("PATCH", "", {}), ("PATCH", "", {"If-Match": 'W/"1"'}),
    ("DELETE", "", {}), ("DELETE", "", {"If-Match": 'W/"9"'}),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_each_sees_their_own_and_nobody_elses(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for type_ in OF_PATIENTS:
        for person in PATIENTS:
            for route in ROUTES:
                answer = await caller.get(f"{town.own(person, type_)}{route}")
                wanted = 403 if type_ in CLOSED.get(name, ()) else 200 if person in SEES[name] else 404
                assert answer.status_code == wanted, (type_, person, route, answer.text)
                if wanted == 200 and type_ != "AppointmentResponse":
                    shown = town.word(person) in answer.text
                    assert shown, (type_, person, answer.text)


@pytest.mark.parametrize("name", NAMES)
async def test_hidden_is_told_as_absent(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person in sorted(set(PATIENTS) - SEES[name])[-1:]:
        for type_ in ("Patient", "Appointment", "Coverage", "Consent"):
            for method, route, headers in ASKED:
                if method == "PUT" and name == "walled":
                    continue  # machines choose ids: see test_a_machine_learns_no_more_than_that_an_id_is_taken
                hidden, absent = [
                    await _asked(caller, method, type_, id_, route, headers)
                    for id_ in (town.own_id(person, type_), town.id("nothing"))
                ]
                assert hidden == absent, (method, type_, person, route, headers)


async def test_a_machine_learns_no_more_than_that_an_id_is_taken(callers: Callers, town: Town) -> None:
    walled = await callers("walled")
    for type_ in ("Patient", "Coverage", "Flag"):
        url, body = town.own("cia", type_), {"resourceType": type_, "id": town.own_id("cia", type_)}
        before = (await town.client.get(url)).content
        for headers in ({}, {"If-None-Match": "*"}, {"If-Match": 'W/"1"'}):
            answer = await walled.ask("PUT", url, json=town.stolen(type_, body), headers=headers)
            assert answer.status_code == (412 if "If-Match" in headers else 404), (url, headers, answer.text)
        assert (await town.client.get(url)).content == before


async def _asked(caller: Asker, method: str, type_: str, id_: str, route: str, headers: dict[str, str]) -> Any:
    """An answer without the id that was asked for and without what every answer has of its own."""
    body: dict[str, Any] = {"json": {"resourceType": type_, "id": id_}} if method == "PUT" else {}
    if method == "PATCH":
        body = {"json": [{"op": "add", "path": "/language", "value": "de"}]}
        headers = {**headers, "Content-Type": "application/json-patch+json"}
    answer = await caller.ask(method, f"{type_}/{id_}{route}", headers=headers, **body)
    kept = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "content-length"}}
    return answer.status_code, kept, re.sub(re.escape(id_), "ID", answer.text)


@pytest.mark.parametrize("name", PERSONS)
async def test_what_is_shared_but_somebodys_is_theirs(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for type_ in SHARED:
        for person in PATIENTS:
            answer = await caller.get(town.own(person, type_))
            assert answer.status_code == (200 if person in SEES[name] else 404), (type_, person, answer.text)


@pytest.mark.parametrize("name", NAMES)
async def test_old_versions_are_judged_by_whom_they_were_about(name: str, callers: Callers, town: Town) -> None:
    """A Flag that was Ben's and is now Ann's: its past is still Ben's."""
    id_ = town.id(f"moved-{name}")
    flag = {"resourceType": "Flag", "id": id_, "status": "active"}
    for person in ("ben", "ann"):
        await town.put({**flag, "subject": {"reference": town.own(person)}, "code": {"text": town.word(person)}})
    caller = await callers(name)
    if "Flag" in CLOSED.get(name, ()):
        return
    for version, person in ((1, "ben"), (2, "ann")):
        answer = await caller.get(f"Flag/{id_}/_history/{version}")
        assert answer.status_code == (200 if person in SEES[name] else 404), (name, person)
    history = await caller.get(f"Flag/{id_}/_history")
    if "ann" in SEES[name]:
        assert history.json()["total"] == len({"ann", "ben"} & SEES[name])
    else:
        assert history.status_code == 404


@pytest.mark.parametrize("name", sorted(NO_REASONS))
async def test_the_desk_sees_that_something_was_left_out(name: str, callers: Callers, town: Town) -> None:
    seen = (await (await callers(name)).get(town.own("ann", "Appointment"))).json()
    assert {"reasonCode", "comment", "description"}.isdisjoint(seen)
    assert [one["code"] for one in seen["meta"]["security"]] == ["REDACTED"]


async def test_who_has_no_token_sees_nothing(http: Any, town: Town) -> None:
    for url in (town.own("ann"), "Patient", "Appointment/_history", "_history", "Slot", "?_type=Patient"):
        answer = await http.get(url)
        assert answer.status_code == 401, url
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await http.get("metadata")).status_code == 200


@pytest.mark.parametrize("name", ["app", "walled", "practitioner"])
async def test_deleted_is_gone_for_who_saw_it_and_absent_for_the_others(
    name: str, callers: Callers, town: Town
) -> None:
    for person in PATIENTS:
        id_ = town.id(f"gone-{name}-{person}")
        await town.put({
            "resourceType": "Coverage", "id": id_, "status": "active", "payor": [{"reference": town.own(person)}],
            "beneficiary": {"reference": town.own(person)}, "subscriberId": town.word(person),
        })  # fmt: skip
        assert (await town.client.delete(f"Coverage/{id_}")).status_code == 204
        caller = await callers(name)
        seen = person in SEES[name]
        assert (await caller.get(f"Coverage/{id_}")).status_code == (410 if seen else 404), person
        assert (await caller.get(f"Coverage/{id_}/_history")).status_code == (200 if seen else 404), person
        assert (await caller.get(f"Coverage/{id_}/_history/2")).status_code == (410 if seen else 404), person

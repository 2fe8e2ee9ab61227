"""Batches, transactions, criteria: each entry is judged like a request of its own (V6, S16); page tokens (V7)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.access.callers import CLOSED, SEES, Asker, Callers
from tests.builders.town import PATIENTS, Town

READERS = tuple(one for one in SEES if one not in {"auditor", "unlimited"})
TYPES = ("Patient", "Appointment", "Coverage", "Consent", "RelatedPerson", "Encounter")


def _entry(method: str, url: str, resource: Any = None, **request: str) -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    return made if resource is None else {**made, "resource": resource}


def _bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


async def _statuses(caller: Asker, *entries: dict[str, Any]) -> list[str]:
    answer = await caller.post("", _bundle("batch", *entries))
    assert answer.status_code == 200, answer.text
    return [one["response"]["status"][:3] for one in answer.json()["entry"]]


@pytest.mark.parametrize("name", READERS)
async def test_reads_in_a_batch(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person in PATIENTS:
        entries = [_entry("GET", f"{town.own(person, one)}{route}") for one in TYPES for route in ("", "/_history/1")]
        entries.append(_entry("GET", f"Coverage?beneficiary={town.own(person)}"))
        entries.append(_entry("GET", f"{town.own(person)}/Coverage"))
        wanted = ["200" if person in SEES[name] else "404"] * (2 * len(TYPES))
        assert (await _statuses(caller, *entries))[: len(wanted)] == wanted
        told = await caller.post("", _bundle("transaction", _entry("GET", town.own(person))))
        assert told.status_code == (200 if person in SEES[name] else 404), told.text


@pytest.mark.parametrize("name", READERS)
async def test_writes_in_bundles(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person in sorted(set(PATIENTS) - SEES[name]):
        before = {one: (await town.client.get(town.own(person, one))).content for one in TYPES}
        for type_ in TYPES:
            id_ = town.own_id(person, type_)
            for entry in (
                _entry("PUT", f"{type_}/{id_}", {**before_of(before[type_]), "language": "fr"}),
                _entry("DELETE", f"{type_}/{id_}"),
                _entry("DELETE", f"{type_}?_id={id_}"),
                _entry("PUT", f"{type_}?_id={id_}", {**before_of(before[type_]), "language": "fr"}),
                _entry("PATCH", f"{type_}/{id_}", _patch("language", "fr")),
                _entry("PATCH", f"{type_}?_id={id_}", _patch("language", "fr")),
            ):
                (alone,) = await _statuses(caller, entry)
                nothing = {"204"} if entry["request"]["method"] == "DELETE" else set()
                # A machine may choose ids, and is told when one is in use.
                taken = {"409"} if name == "walled" and "?" in entry["request"]["url"] else set()
                assert alone in {"403", "404"} | nothing | taken, (entry, alone)
                whole = await caller.post("", _bundle("transaction", entry))
                assert whole.status_code in {200, 403, 404} | {int(one) for one in taken}, (entry, whole.text)
        after = {one: (await town.client.get(town.own(person, one))).content for one in TYPES}
        assert after == before


def before_of(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(content)
    return found


def _patch(name: str, value: str) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": name}, {"name": "value", "valueCode": value}]}]}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
async def test_criteria_select_nothing_hidden(name: str, callers: Callers, town: Town) -> None:
    """Conditional create, update, patch and delete by somebody's own number."""
    caller = await callers(name)
    for person in sorted(set(PATIENTS) - SEES[name]):
        number = f"identifier=urn:mrn|{town.word(person)}"
        before = (await town.client.get(f"{town.own(person)}/_history?_count=0")).json()["total"]
        answer = await caller.ask("DELETE", f"Patient?{number}")
        assert answer.status_code in {204, 403}, answer.text
        patch = [{"op": "add", "path": "/language", "value": "fr"}]
        answer = await caller.ask(
            "PATCH", f"Patient?{number}", json=patch, headers={"Content-Type": "application/json-patch+json"}
        )
        assert answer.status_code in {403, 404}, answer.text
        new = {"resourceType": "Coverage", "status": "active", "payor": [{"reference": town.own(person)}],
               "beneficiary": {"reference": town.own(person)}}  # fmt: skip
        query = f"beneficiary={town.own(person)}"
        answer = await caller.post("Coverage", new, headers={"If-None-Exist": query})
        assert answer.status_code == 403, answer.text
        answer = await caller.ask("PUT", f"Coverage?{query}", json=new)
        assert answer.status_code in {403, 404}, answer.text
        assert (await town.client.get(f"{town.own(person)}/_history?_count=0")).json()["total"] == before


@pytest.mark.parametrize("name", ["app", "user", "parent", "practitioner", "desk", "walled"])
async def test_conditional_references_find_nobody_hidden(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person in sorted(set(PATIENTS) - SEES[name]):
        hidden, absent = [
            (await caller.post("", _bundle("transaction", _entry("POST", "AppointmentResponse", {
                "resourceType": "AppointmentResponse", "participantStatus": "accepted",
                "actor": {"reference": f"Patient?identifier=urn:mrn|{number}"},
                "appointment": {"reference": town.own(min(SEES[name]), "Appointment")},
            })))).status_code
            for number in (town.word(person), "nobody")
        ]  # fmt: skip
        assert (hidden, absent) == (412, 412), (name, person)


async def test_a_page_is_of_its_caller(callers: Callers, town: Town) -> None:
    pages: dict[str, str] = {}
    for name in ("unlimited", "walled", "desk", "app"):
        caller = await callers(name)
        for url in ("Appointment?_count=1", "Appointment/_history?_count=1", f"{town.own('ann')}/*?_count=1",
                    f"{town.own('ann')}/$everything?_count=1"):  # fmt: skip
            answer = await caller.get(url)
            if answer.status_code != 200:
                continue
            links = {one["relation"]: one["url"] for one in answer.json()["link"]}
            assert "next" in links, (name, url)
            pages[f"{name} {url}"] = links["next"]
            assert (await caller.get(links["next"])).status_code == 200
    for key, url in pages.items():
        for other in ("unlimited", "walled", "desk", "app", "user", "parent", "delegate", "practitioner"):
            if not key.startswith(f"{other} "):
                answer = await (await callers(other)).get(url)
                assert answer.status_code in {400, 403, 404}, (key, other, answer.text)


async def test_a_page_goes_on_only_as_long_as_the_caller_may_see(callers: Callers, town: Town) -> None:
    """The next page is judged when it is asked for."""
    relative = await town.related("neighbour", "ben", active=True)
    asker = callers.asker("parent", await callers.acting_as(relative))
    found = await asker.found("Appointment?_count=1")
    assert len(found.get("entry", ())) == 1, found
    onward = next(one["url"] for one in found["link"] if one["relation"] == "next")
    await town.related("neighbour", "ben", active=False)
    asker.hidden |= town.about("ben")
    later = await asker.get(onward)
    assert later.status_code == 200
    assert not later.json().get("entry")


@pytest.mark.parametrize("name", READERS)
async def test_scopes_of_each_entry(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    entries = [_entry("GET", "Device"), _entry("DELETE", f"Organization/{town.id('south')}"),
               _entry("PUT", f"Organization/{town.id('south')}", {"resourceType": "Organization", "name": "x",
                                                                   "id": town.id("south")})]  # fmt: skip
    told = await _statuses(caller, *entries)
    assert told[2] in {"403", "404"}, told
    assert told[1] in {"403", "404"}, told
    assert "Flag" not in CLOSED.get(name, ()) or (await _statuses(caller, _entry("GET", "Flag"))) == ["403"]

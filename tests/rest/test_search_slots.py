"""Computed Slots take part in every kind of search; where they cannot, the answer says so."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from fhir_server.services import slot_search
from tests.builders.answers import outcome_in, refused
from tests.builders.clinic import SERVICE_SYSTEM
from tests.builders.searches import found, refs
from tests.builders.visits import Visits


@pytest_asyncio.fixture(scope="module")
async def clinic(client: Any) -> Visits:
    """Sixteen half hours a day; 09:00 of the first day is booked, 10:00 is blocked."""
    made = await Visits(client).opened()
    await made.booked("09:00")
    blocked = next(iter(await _ids(made, start=made.at("10:00"))))
    patch = [{"op": "replace", "path": "/status", "value": "busy-unavailable"}]
    answer = await client.patch(blocked, json=patch, headers={"Content-Type": "application/json-patch+json"})
    assert answer.status_code == 200, answer.text
    return made


def _mine(clinic: Visits, **more: Any) -> dict[str, Any]:
    return {"schedule": f"Schedule/{clinic.id('s')}", "start": clinic.first.isoformat(), **more}


async def _ids(clinic: Visits, **query: Any) -> list[str]:
    return refs(await found(clinic.client, "Slot", **{**_mine(clinic), **query}))


def _clocks(bundle: dict[str, Any]) -> list[str]:
    return [one["resource"]["start"][11:16] for one in bundle["entry"] if one["search"]["mode"] == "match"]


async def test_by_status(clinic: Visits) -> None:
    for status, count in (
        ("free", 14),
        ("busy", 1),
        ("busy-unavailable", 1),
        ("free,busy", 15),
        ("entered-in-error", 0),
    ):
        bundle = await found(clinic.client, "Slot", **_mine(clinic), status=status)
        assert (bundle["total"], len(refs(bundle))) == (count, count), status
    assert len(await _ids(clinic, status__not="free")) == 2
    assert len(await _ids(clinic, status__not="busy")) == 15


@pytest.mark.parametrize(
    ("criteria", "count"),
    [
        ({"schedule.actor:Practitioner": "Practitioner/{doc}"}, 16),
        ({"schedule.actor:Practitioner.family": "Doc", "service-type": "{visit}"}, 16),
        ({"schedule.actor": "Practitioner/{doc}"}, 16),
        ({"service-type": "{visit}"}, 16),
        ({"service-type": SERVICE_SYSTEM + "|{visit}"}, 16),
        ({"service-type": "{visit},other"}, 16),
        ({"service-type": "{visit}", "status": "free"}, 14),
        ({"schedule.actor:Practitioner": "Practitioner/nobody"}, 0),
        ({"service-type": "{visit}", "identifier": "x"}, 0),
        ({"_has:Appointment:slot:patient": "Patient/{pat}"}, 1),
    ],
)
async def test_without_a_schedule(clinic: Visits, criteria: dict[str, str], count: int) -> None:
    names = {name: clinic.id(name) for name in ("doc", "visit", "pat")}
    query = {name: value.format(**names) for name, value in criteria.items()}
    bundle = await found(clinic.client, "Slot", **query, start=clinic.first.isoformat())
    assert (bundle["total"], len(refs(bundle))) == (count, count)
    assert outcome_in(bundle) is None


async def test_times(clinic: Visits) -> None:
    at = clinic.at
    for start, clocks in (
        ([f"ge{at('15:30')}", f"lt{at('23:00')}"], ["15:30", "16:00", "16:30"]),
        ([f"gt{at('15:30')}", f"le{at('16:00')}"], ["16:00"]),
        ([f"{at('16:00')},{at('09:00')}"], ["09:00", "16:00"]),
        ([f"lt{at('10:00')}", f"ge{clinic.first.isoformat()}"], ["09:00", "09:30"]),
        ([f"{at('09:15')}"], []),
    ):
        bundle = await found(clinic.client, "Slot", **{**_mine(clinic), "start": start})
        assert _clocks({"entry": bundle.get("entry", [])}) == clocks, start
        assert outcome_in(bundle) is None


async def test_an_open_end_is_said(clinic: Visits) -> None:
    bundle = await found(clinic.client, "Slot", **_mine(clinic, start=f"ge{clinic.at('09:00')}"), _count=3)
    outcome = outcome_in(bundle)
    assert outcome is not None
    assert [one["severity"] for one in outcome["issue"]] == ["information"]
    alone = await found(clinic.client, "Slot", **_mine(clinic, start=f"ge{clinic.at('09:00')}"), status="busy")
    assert outcome_in(alone) is None, "no computed Slot is busy"


async def test_by_id(clinic: Visits) -> None:
    ids = [one.partition("/")[2] for one in await _ids(clinic)]
    bundle = await found(clinic.client, "Slot", _id=",".join([*ids[:4], "nothing", ids[0]]))
    assert [one.partition("/")[2] for one in refs(bundle)] == ids[:4]
    assert bundle["total"] == 4
    free = await found(clinic.client, "Slot", _id=",".join(ids[:4]), status="free", _include="Slot:schedule")
    assert [one.partition("/")[2] for one in refs(free)] == [ids[1], ids[3]]
    assert refs(free, "include") == [f"Schedule/{clinic.id('s')}"]
    both = await found(clinic.client, "Slot", **_mine(clinic), _id=ids[5])
    assert [one.partition("/")[2] for one in refs(both)] == [ids[5]]
    assert refs(await found(clinic.client, "Slot", **_mine(clinic), _id="other")) == []
    assert len(await _ids(clinic, _id__not=ids[5])) == 15


async def test_last_updated_is_now(clinic: Visits) -> None:
    assert len(await _ids(clinic, _lastUpdated="ge2020-01-01")) == 16
    assert len(await _ids(clinic, _lastUpdated="lt2020-01-01")) == 0
    assert len(await _ids(clinic, _lastUpdated="ge2100-01-01")) == 0


async def test_totals_and_sorts(clinic: Visits) -> None:
    counted = await found(clinic.client, "Slot", **_mine(clinic), _summary="count")
    assert (counted["total"], "entry" in counted) == (16, False)
    some = await found(clinic.client, "Slot", **_mine(clinic), _count=3)
    assert "total" not in some
    assert (await found(clinic.client, "Slot", **_mine(clinic), _count=3, _total="accurate"))["total"] == 16
    backwards = await found(clinic.client, "Slot", **_mine(clinic), _sort="-start")
    assert _clocks(backwards) == sorted(_clocks(backwards), reverse=True)
    by_status = await found(clinic.client, "Slot", **_mine(clinic), _sort="-status,start")
    states = [one["resource"]["status"] for one in by_status["entry"]]
    assert states == ["free"] * 14 + ["busy-unavailable", "busy"]


@pytest.mark.parametrize(("clock", "count"), [("09:00", 1), ("11:00", 1), ("11:10", 0)])
async def test_a_schedule_by_its_slots(clinic: Visits, clock: str, count: int) -> None:
    query = {"actor": f"Practitioner/{clinic.id('doc')}", "_has:Slot:schedule:start": clinic.at(clock)}
    bundle = await found(clinic.client, "Schedule", **query)
    assert refs(bundle) == [f"Schedule/{clinic.id('s')}"] * count


async def test_too_much_is_refused_or_said(clinic: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_search, "LITTLE_WORK", 0)
    bundle = await found(clinic.client, "Slot", **{"service-type": clinic.id("visit")}, start=clinic.first.isoformat())
    assert {one["resource"]["status"] for one in bundle["entry"] if one["search"]["mode"] == "match"} == {
        "busy", "busy-unavailable",
    }  # fmt: skip
    outcome = outcome_in(bundle)
    assert outcome is not None
    assert [one["severity"] for one in outcome["issue"]] == ["warning"]
    assert len(await _ids(clinic)) == 16, "a named Schedule is no such work"
    refused(await clinic.client.get(f"Schedule?_has:Slot:schedule:start={clinic.first.isoformat()}"), 400, "too-costly")
    monkeypatch.setattr(slot_search, "MOST_WORK", 0)
    refused(await clinic.client.get("Slot", params=_mine(clinic)), 400, "too-costly")
    counted = await found(clinic.client, "Slot", **_mine(clinic), status="busy")
    assert counted["total"] == 1


async def test_a_window_that_is_too_long(clinic: Visits) -> None:
    long = [f"ge{clinic.first.isoformat()}", "lt2199-01-01"]
    refused(await clinic.client.get("Slot", params=_mine(clinic, start=long)), 400, "too-costly")
    bundle = await found(clinic.client, "Slot", **{"service-type": clinic.id("visit")}, start=long)
    assert bundle["total"] == 2
    assert outcome_in(bundle) is not None


async def test_a_written_slot_is_the_truth(client: Any) -> None:
    clinic = await Visits(client).opened()
    first = (await _ids(clinic))[0]
    slot = (await client.get(first)).json()
    await clinic.put({**slot, "serviceType": [{"coding": [{"code": clinic.id("changed")}]}]})
    query = {**_mine(clinic), "service-type": clinic.id("visit")}
    assert first not in refs(await found(client, "Slot", **query)), "stored otherwise than computed"
    assert refs(await found(client, "Slot", **{"service-type": clinic.id("changed")})) == [first]
    assert len(await _ids(clinic)) == 16


async def test_rules_that_change_take_free_slots_away(client: Any) -> None:
    clinic = await Visits(client).opened()
    slot = (await client.get((await _ids(clinic))[0])).json()
    await clinic.put({**slot, "comment": "touched"})
    assert len(await _ids(clinic, status="free")) == 16
    schedule = (await client.get(f"Schedule/{clinic.id('s')}")).json()
    text = client.build_request("PUT", "x", json=schedule).content.decode().replace("09:00:00", "12:00:00")
    answer = await client.put(f"Schedule/{clinic.id('s')}", content=text)
    assert answer.status_code == 200, answer.text
    left = await found(client, "Slot", **_mine(clinic), status="free", _total="accurate", _count=3)
    assert (left["total"], _clocks(left)) == (10, ["12:00", "12:30", "13:00"])

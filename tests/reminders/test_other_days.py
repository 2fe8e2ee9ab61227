"""The page of other times: any day within the horizon can be chosen, without a script, and GET changes nothing."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest

from tests.builders.clinic import duration, part, proposals
from tests.builders.messages import Practice, rule
from tests.reminders.test_links import _asked, _links, _press

DAY = re.compile(r'<li><a href="\?from=([0-9-]{10})"( aria-current="true")?>([^<]+)</a></li>')
EARLIER, LATER = "Earlier days", "Later days"


def _days(page: Any) -> list[str]:
    """The days that can be chosen, but for earlier and later ones."""
    return [day for day, _, name in DAY.findall(page.text) if name not in {EARLIER, LATER}]


def _current(page: Any) -> str:
    (found,) = [day for day, current, _ in DAY.findall(page.text) if current]
    return str(found)


def _towards(page: Any, name: str) -> str:
    """Where *earlier* or *later* leads; empty where there is no such link."""
    return next((day for day, _, said in DAY.findall(page.text) if said == name), "")


def _times(page: Any) -> list[str]:
    return re.findall(r'name="time" value="([^"]+)"', page.text)


def _iso(practice: Practice, day: int) -> str:
    return practice.at("12:00", day)[:10]


async def test_another_day_with_many_short_steps(practice: Practice, http: Any) -> None:
    """The appointment is on day 10, and today is day 7 at 14:01."""
    booked = await _asked(practice)
    await practice.service("visit", 30, part("alignment", "Duration", duration(10)))
    path = _links(practice)["reschedule"]
    page = await http.get(path)
    assert _days(page) == [_iso(practice, day) for day in range(7, 21)]
    assert (_current(page), len(_times(page))) == (_iso(practice, 7), 15), "14:10 to 16:30"
    assert "<script" not in page.text
    other = await http.get(f"{path}?from={_iso(practice, 9)}")
    assert (other.status_code, _current(other), len(_times(other))) == (200, _iso(practice, 9), 46)
    same = await http.get(f"{path}?from={_iso(practice, 10)}")
    assert len(_times(same)) == 45, "without the time that it has"
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["meta"]["versionId"] == "1"
    done = await _press(http, f"{path}?from={_iso(practice, 9)}", "reschedule", time=_times(other)[-1])
    assert (done.status_code, "at this time now" in done.text) == (200, True), done.text
    moved = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    assert moved["start"] == practice.at("16:30", 9)


async def test_later_and_earlier_days(practice: Practice, http: Any) -> None:
    await _asked(practice)
    path = _links(practice)["reschedule"]
    page = await http.get(path)
    assert _towards(page, EARLIER) == ""
    later = await http.get(f"{path}?from={_towards(page, LATER)}")
    assert (_current(later), _days(later)[-1]) == (_iso(practice, 21), _iso(practice, 34))
    back = await http.get(f"{path}?from={_towards(later, EARLIER)}")
    assert _days(back) == _days(page)


async def test_the_horizon_bounds_them(practice: Practice, http: Any) -> None:
    await _asked(practice)
    reminded = (rule("confirmation-request", 3, "d", "email"), part("notices", "Boolean", False))
    await practice.opened(*reminded, part("horizon", "Duration", duration(4 * 1440)))
    path = _links(practice)["reschedule"]
    page = await http.get(path)
    assert _days(page) == [_iso(practice, day) for day in range(7, 12)]
    assert _towards(page, LATER) == ""
    beyond = await http.get(f"{path}?from={_iso(practice, 30)}")
    assert (beyond.status_code, _current(beyond), _towards(beyond, LATER)) == (200, _iso(practice, 11), "")
    assert _towards(beyond, EARLIER) == _iso(practice, 7)


@pytest.mark.parametrize("said", ["", "soon", "2026-13-40", "0001-01-01", "20261201", "2000-01-01", "9" * 5000, "%00"])
async def test_what_is_no_day_is_today(practice: Practice, http: Any, said: str) -> None:
    await _asked(practice)
    page = await http.get(f"{_links(practice)['reschedule']}?from={said}")
    assert (page.status_code, _current(page)) == (200, _iso(practice, 7))
    assert "9999" not in page.text


@pytest.mark.parametrize("day", ["9999-12-31", "2199-01-01"])
async def test_a_day_that_is_too_far_is_the_last_one(practice: Practice, http: Any, day: str) -> None:
    await _asked(practice)
    page = await http.get(f"{_links(practice)['reschedule']}?from={day}")
    last = date.fromisoformat(_iso(practice, 7)) + timedelta(days=180)
    assert (page.status_code, _current(page), _towards(page, LATER)) == (200, last.isoformat(), "")


async def test_weeks_without_a_free_time_are_passed(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    await practice.act(booked["id"], "$reschedule", start=("DateTime", practice.at("14:00", 40)))
    await practice.until(practice.at("14:01", 37))
    away = {
        "resourceType": "Slot", "schedule": {"reference": f"Schedule/{practice.id('cal')}"},
        "status": "busy-unavailable", "start": practice.at("00:00", 41), "end": practice.at("00:00", 61),
    }  # fmt: skip
    answer = await practice.client.post("Slot", json=away)
    assert answer.status_code == 201, answer.text
    page = await http.get(f"{_links(practice)['reschedule']}?from={_iso(practice, 42)}")
    assert (page.status_code, _times(page), "<button" in page.text) == (200, [], False)
    assert "no time is free" in page.text
    assert _towards(page, LATER) == _iso(practice, 61)
    later = await http.get(f"{_links(practice)['reschedule']}?from={_iso(practice, 61)}")
    assert _current(later) == _iso(practice, 61)


async def test_a_time_of_something_else_is_not_offered(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    path = _links(practice)["reschedule"]
    other = await practice.service("other", 30)
    await practice.practitioner("second")
    await practice.schedule("cal", [f"Practitioner/{practice.id('doc')}"], [practice._service, other])
    await practice.schedule("cal2", [f"Practitioner/{practice.id('second')}"], [practice._service])
    window = {"start": practice.at("09:00", 9), "end": practice.at("17:00", 9), "_count": "1"}
    patient = f"Patient/{practice.id('pat')}"
    strange = [
        await practice.find(**window, service=other, schedule=f"Schedule/{practice.id('cal')}", patient=patient),
        await practice.find(**window, service=practice._service, schedule=f"Schedule/{practice.id('cal2')}"),
        await practice.find(
            start=practice.at("09:00", 300), end=practice.at("17:00", 300), _count="1",
            service=practice._service, schedule=f"Schedule/{practice.id('cal')}", patient=patient,
        ),
    ]  # fmt: skip
    for found in strange:
        refused = await _press(http, path, "reschedule", time=proposals(found)[0]["id"])
        assert (refused.status_code, "This time is not offered" in refused.text) == (422, True), refused.text
        assert "just taken" not in refused.text
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["start"] == booked["start"]


@pytest.mark.parametrize(("code", "words"), [("es", "Días con horas libres"), ("de", "Tage mit freien Zeiten")])
async def test_in_the_patients_language(practice: Practice, http: Any, code: str, words: str) -> None:
    await practice.opened(rule("confirmation-request", 3, "d", "email"), part("notices", "Boolean", False))
    await practice.person(communication=[{"language": {"coding": [{"code": code}]}}])
    await practice.booked("14:00", day=10)
    await practice.until(practice.at("14:01", 7))
    paths = re.findall(r"http://fhir\.test(/a/[\w-]{24})", practice.sent("email")[-1].text)
    pages = [(await http.get(path)).text for path in paths]
    assert sum(words in page for page in pages) == 1

"""``$no-show-report``: counts and rates inside the walls, and no patient in them."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.services.no_show import report
from tests.attendance.house import House
from tests.builders.answers import refused


def _numbers(one: dict[str, Any]) -> tuple[int, int, int]:
    counts = [each["count"] for each in one["population"]]
    return counts[0], counts[1], counts[2]


def _rows(report: dict[str, Any], group: str) -> dict[str, tuple[int, int, int]]:
    found: dict[str, tuple[int, int, int]] = {}
    for stratifier in report["group"][0].get("stratifier", ()):
        if stratifier["code"][0]["text"] == group:
            for one in stratifier["stratum"]:
                value = one["value"]
                found[value.get("text") or value["coding"][0]["code"]] = _numbers(one)
    return found


async def _asked(house: House, caller: str, **more: str) -> Any:
    query = {"start": house.first.isoformat(), "end": house.first.isoformat(), **more}
    return await house.client.get(
        "Appointment/$no-show-report", params={name.replace("_", "-"): text for name, text in query.items()},
        headers={"X-Caller": caller},
    )  # fmt: skip


async def _day(house: House) -> None:
    """Four visits of pat's: two came, one of them had confirmed; one was missed, of one nobody knows."""
    await house.opened()
    visits = [await house.booked(clock) for clock in ("08:00", "08:30", "09:00", "09:30", "12:00")]
    for one in visits[:2]:
        await house.act("pat", one["id"], "$confirm")
    house.clock.to(visits[0]["start"], 1)
    await house.act("desk", visits[0]["id"], "$checkin")
    house.clock.to(visits[2]["start"], 1)
    await house.act("desk", visits[2]["id"], "$checkin")
    await house.patch("doc", f"Appointment/{visits[2]['id']}", ("/status", "fulfilled"))
    house.clock.to(visits[3]["start"], 20)
    await house.drained()
    await house.act("desk", visits[1]["id"], "$noshow")


async def test_counts_by_every_group(house: House) -> None:
    await _day(house)
    answer = await _asked(house, "desk")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["resourceType"], told["type"]) == ("MeasureReport", "summary")
    assert _numbers(told["group"][0]) == (3, 1, 1)
    assert _rows(told, "confirmation") == {"confirmed": (2, 1, 0), "not-confirmed": (1, 0, 1)}
    assert _rows(told, "provider") == {"Dr. Doc": (3, 1, 1)}
    assert _rows(told, "appointment-type") == {house.id("visit"): (3, 1, 1)}
    assert _rows(told, "reminder-channel") == {"none": (3, 1, 1)}
    for word in ("Patient", house.id("pat"), house.id("other"), "Pat"):
        assert word not in answer.text
    assert "measureScore" not in answer.text, "three visits have no rate"


@pytest.mark.parametrize(("caller", "total"), [("desk", 3), ("doc", 3), ("colleague", 0), ("far", 0)])
async def test_everybody_counts_what_they_see(house: House, caller: str, total: int) -> None:
    await _day(house)
    answer = await _asked(house, caller)
    assert answer.status_code == 200, answer.text
    assert _numbers(answer.json()["group"][0])[0] == total


async def test_patients_do_not_ask(house: House) -> None:
    await house.opened()
    refused(await _asked(house, "pat"), 403)


async def test_narrowed(house: House) -> None:
    await _day(house)
    for question, total in (
        ({"practitioner": f"Practitioner/{house.id('doc')}"}, 3),
        ({"practitioner": f"Practitioner/{house.id('colleague')}"}, 0),
        ({"organization": f"Organization/{house.id('org')}"}, 3),
        ({"organization": f"Organization/{house.id('elsewhere')}"}, 0),
        ({"start": house.at("08:15"), "end": house.at("08:45")}, 1),
    ):
        answer = await _asked(house, "system", **{"practitioner": f"Practitioner/{house.id('doc')}", **question})
        assert answer.status_code == 200, answer.text
        assert _numbers(answer.json()["group"][0])[0] == total, question


async def test_a_rate_needs_eleven_visits_and_small_rows_are_put_together(house: House) -> None:
    await house.opened()
    visits = [await house.booked(f"{hour:02}:{minute}") for hour in range(6, 12) for minute in ("00", "30")]
    house.clock.to(visits[-1]["start"], 20)
    for number, one in enumerate(visits):
        status = "noshow" if number < 3 else "fulfilled"
        done = await house.patch("system", f"Appointment/{one['id']}", ("/status", status))
        assert done.status_code == 200, done.text
    await house.patch("system", f"Appointment/{visits[-1]['id']}", ("/participant/0/status", "accepted"))
    told = (await _asked(house, "desk")).json()
    assert told["group"][0]["measureScore"] == {"value": 0.25}
    least = (await _asked(house, "desk", minimum_cell="5")).json()
    assert list(_rows(least, "confirmation").values()) == [(11, 3, 0), (1, 0, 0)]
    assert "others, with fewer than 5 visits each" in _rows(least, "confirmation")


@pytest.mark.parametrize("question", [{"start": "nonsense"}, {"start": "2026-01-02", "end": "2026-01-01"},
                                      {"start": "2020-01-01", "end": "2026-01-01"}, {"minimum_cell": "-1"},
                                      {"end": "9999-12-31"}, {"start": "9999-12-31", "end": "9999-12-31"},
                                      {"end": "0001-01-01"}, {"start": "0001-01-01", "end": "0001-02-01"},
                                      {"surprise": "x"}])  # fmt: skip
async def test_what_cannot_be_asked(house: House, question: dict[str, str]) -> None:
    await house.opened()
    refused(await _asked(house, "desk", **question), 400)


def _message(house: House, visit: str, medium: str, status: str = "completed", number: int = 0) -> list[dict[str, Any]]:
    """A message about a visit, as the reminders write them: the request, and what was sent."""
    own = "https://fhir-scheduling.example/fhir"
    about = {"subject": house.ref("pat"), "about": [{"reference": f"Appointment/{visit}"}],
             "sender": {"reference": f"Organization/{house.id('org')}"}}  # fmt: skip
    coded = [{"coding": [{"system": f"{own}/CodeSystem/reminder-channel", "code": medium}]}]
    name = f"{visit}-{medium}-{number}"
    return [
        {"resourceType": "CommunicationRequest", "id": name, "status": "completed", "medium": coded, **about,
         "groupIdentifier": {"system": f"{own}/identifier/appointment-messages", "value": visit}},
        {"resourceType": "Communication", "id": f"{name}-sent", "status": status, "medium": coded, **about,
         "basedOn": [{"reference": f"CommunicationRequest/{name}"}]},
    ]  # fmt: skip


async def _sent(house: House, messages: list[dict[str, Any]]) -> None:
    for start in range(0, len(messages), 300):
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in messages[start : start + 300]
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = await house.ask("system", "POST", "", bundle)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("visits", "values"), [(report.AT_ONCE, report.VALUES), (2, 1), (1, 2)])
async def test_counts_by_the_channels_that_got_out(
    house: House, monkeypatch: pytest.MonkeyPatch, visits: int, values: int
) -> None:
    """However few are asked for at once."""
    monkeypatch.setattr(report, "AT_ONCE", visits)
    monkeypatch.setattr(report, "VALUES", values)
    await house.opened()
    first, second, third = [(await house.booked(clock))["id"] for clock in ("08:00", "09:00", "10:00")]
    await _sent(house, [
        *_message(house, first, "sms"), *_message(house, first, "email"), *_message(house, second, "email"),
        *_message(house, third, "sms", "not-done"),
    ])  # fmt: skip
    house.clock.to(house.at("10:00"), 20)
    await house.act("desk", first, "$noshow")
    for one in (second, third):
        await house.patch("doc", f"Appointment/{one}", ("/status", "fulfilled"))
    answer = await _asked(house, "desk")
    assert answer.status_code == 200, answer.text
    assert _rows(answer.json(), "reminder-channel") == {"email": (2, 1, 0), "sms": (1, 1, 0), "none": (1, 0, 0)}


async def test_more_messages_than_a_search_takes_values(house: House) -> None:
    await house.opened()
    visits = [(await house.booked(clock))["id"] for clock in ("08:00", "09:00", "10:00")]
    media = ("sms", "email", "voice")
    await _sent(house, [
        one for visit, medium in zip(visits, media, strict=True) for number in range(360)
        for one in _message(house, visit, medium, "completed" if number == 359 else "not-done", number)
    ])  # fmt: skip
    house.clock.to(house.at("10:00"), 20)
    for one in visits:
        assert (await house.act("desk", one, "$noshow")).status_code == 200
    answer = await _asked(house, "desk")
    assert answer.status_code == 200, answer.text
    assert _rows(answer.json(), "reminder-channel") == dict.fromkeys(media, (1, 1, 0))

"""What is planned for an appointment, moved with it and withdrawn with it."""

from __future__ import annotations

from tests.builders.messages import Practice


async def test_booked_by_default(practice: Practice) -> None:
    await practice.opened()
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.drained()
    days = [practice.at("00:00", 10 - before)[8:10] for before in (7, 3, 2, 1, 0)]
    assert await practice.planned(booked["id"]) == [
        ("reminder", f"{days[0]} 14:00", ("email",)),
        ("confirmation-request", f"{days[1]} 14:00", ("sms", "email")),
        ("reminder", f"{days[2]} 14:00", ("email", "sms")),
        ("reminder", f"{days[3]} 14:00", ("sms", "email")),
        ("reminder", f"{days[4]} 12:00", ("sms", "email")),
    ]
    assert len(practice.subjects()) == 1

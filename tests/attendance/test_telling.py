"""The provider hears of a visit that nobody came to: once, without a word about the patient."""

from __future__ import annotations

from typing import Any

from fhir_server.remote.sending import NotSent
from tests.attendance.house import House


async def _suspected(house: House, *telecom: dict[str, Any]) -> str:
    await house.opened()
    doctor = await house.read(f"Practitioner/{house.id('doc')}")
    await house.put({**doctor, "telecom": list(telecom)} if telecom else doctor)
    visit = await house.booked()
    await house.drained()
    house.clock.to(visit["start"], 16)
    _mails(house).clear()
    id_: str = visit["id"]
    return id_


def _mails(house: House) -> Any:
    channel: Any = house.world.channels.email
    return channel.given


def _mail(value: str, use: str = "work") -> dict[str, Any]:
    return {"system": "email", "value": value, "use": use}


async def test_the_provider_is_told_once(house: House) -> None:
    await _suspected(house, _mail("old@clinic.example", "old"), _mail("home@x.example", "home"),
                     _mail("doc@clinic.example"))  # fmt: skip
    for _ in range(3):
        await house.drained()
    (mail,) = [one for one in _mails(house) if one.to == "doc@clinic.example"]
    assert "09:00 (America/New_York)" in mail.text
    for word in ("Pat", house.id("pat"), "1980"):
        assert word not in mail.text + mail.subject
    assert not [one for one in _mails(house) if one.to.startswith(("old", "home"))]


async def test_without_an_address_nobody_is_told(house: House) -> None:
    id_ = await _suspected(house)
    await house.drained()
    assert not [one for one in _mails(house) if one.id.startswith(f"no-show-{id_}")]
    assert await house.world.store.work.planned("no-show-told", f"{id_}.{house.id('doc')}") is None


async def test_who_came_meanwhile_is_no_news(house: House) -> None:
    """The channel is away at first; until it is back, the patient has checked in."""
    id_ = await _suspected(house, _mail("doc@clinic.example"))
    channel: Any = house.world.channels.email
    channel.faults.append(NotSent("unavailable", permanent=False))
    await house.drained()
    key = f"{id_}.{house.id('doc')}"
    assert await house.world.store.work.planned("no-show-told", key) is not None, "it is tried again"
    assert (await house.act("desk", id_, "$checkin")).status_code == 200
    house.clock.offset += 60_000
    await house.drained()
    assert not [one for one in _mails(house) if one.to == "doc@clinic.example"]
    assert await house.world.store.work.planned("no-show-told", key) is None

"""Handshake, events and their order, failures and what becomes of them."""

from __future__ import annotations

from typing import Any

from tests.builders.subscriber import Subscriber
from tests.builders.visits import Visits


async def test_a_booking_is_told(emr: Subscriber, clinic: Visits) -> None:
    made = await emr.subscribe()
    assert made["status"] == "requested"
    await emr.settle()
    (handshake,) = emr.notes
    assert (handshake.kind, handshake.said("status"), handshake.events) == ("handshake", "requested", [])
    assert (await emr.read(made["id"]))["status"] == "active"
    booked = await clinic.booked()
    await emr.settle()
    (note,) = emr.told
    assert note.numbers == [1]
    assert note.foci == [f"Appointment/{booked['id']}"]
    assert note.said("events-since-subscription-start") == "1"
    assert [one["response"]["status"] for one in note.shown] == ["201"]
    assert "resource" not in note.shown[0]
    # Nothing more is sent, for nothing more happened.
    await emr.settle()
    assert len(emr.notes) == 2

"""What the time-lapse takes for a free time, and what it says when it ends before its time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.cli import time_lapse
from fhir_server.cli.running import proposals
from fhir_server.remote.http import httpx

OUTCOME = {"resource": {"resourceType": "OperationOutcome", "issue": []}, "search": {"mode": "outcome"}}
PROPOSAL = {"resource": {"resourceType": "Appointment", "id": "p1"}, "search": {"mode": "match"}}


@pytest.mark.parametrize(
    ("status", "entries", "found"),
    [
        (200, [OUTCOME], []),
        (200, [PROPOSAL, OUTCOME], ["p1"]),
        (200, [], []),
        (422, [PROPOSAL], []),
    ],
)
def test_an_outcome_is_no_proposal(status: int, entries: list[Any], found: list[str]) -> None:
    """A day without hours is answered with an outcome alone."""
    assert proposals(httpx.Response(status, json={"resourceType": "Bundle", "entry": entries})) == found


async def test_a_fault_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(time_lapse, "log", type("Log", (), {"error": lambda _, text, **__: said.append(text)})())

    async def fails() -> None:
        raise KeyError("id")

    async def waits() -> None:
        await asyncio.Event().wait()

    failing, cut = asyncio.create_task(fails()), asyncio.create_task(waits())
    await asyncio.wait([failing])
    cut.cancel()
    await asyncio.wait([cut])
    time_lapse.tell(failing)
    time_lapse.tell(cut)
    assert said == ["the week is not shown to its end"]

"""A server process is killed in the middle of a rush: what it acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.builders.clinic import Clinic, proposals
from tests.concurrency.rush import book, crowd, sound
from tests.server import FHIR_JSON, await_ready, environment
from tests.tokens import bearer


@contextmanager
def doomed(settings: Settings) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server process to be killed, and its FHIR base."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [
        sys.executable, "-m", "uvicorn", "--factory", "fhir_server.app:from_environment", "--port", str(port),
        "--log-level", "warning", "--no-access-log",
    ]  # fmt: skip
    with subprocess.Popen(command, env=environment(settings, FHIR_PORT=str(port))) as process:
        try:
            await_ready(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}/fhir", process
        finally:
            process.kill()


async def _served(clinic: Clinic, proposal: str, patient: str) -> Any:
    """The answer of a client that does as Retry-After says, for at most a quarter of a minute."""
    until = time.monotonic() + 15
    while True:
        answer = await clinic.book(proposal, patient)
        if answer.status_code != 503 or time.monotonic() > until:
            return answer
        assert int(answer.headers["Retry-After"]) == 1


@pytest.mark.parametrize("callers", [50, pytest.param(500, marks=pytest.mark.soak)])
async def test_what_was_acknowledged_is_there_whole(
    client: Any, app: Server, settings: Settings, world: World, callers: int
) -> None:
    clinic = Clinic(client)
    service = await clinic.service()
    people = [await clinic.practitioner(f"d{at}") for at in range((callers + 15) // 16)]
    for at, person in enumerate(people):
        await clinic.schedule(f"s{at}", [person], [service])
    times = [one["id"] for one in proposals(await clinic.find(service=service, _count="1000"))]
    patients = await crowd(clinic, callers)
    acknowledged: list[dict[str, Any]] = []
    first = asyncio.Event()
    with doomed(settings) as (base, process):
        options: dict[str, Any] = {"headers": {"Content-Type": FHIR_JSON}, "timeout": 20, "trust_env": False}
        async with httpx.AsyncClient(base_url=f"{base}/", auth=bearer(app, base), **options) as door:

            async def caller(proposal: str, patient: str) -> None:
                try:
                    answer = await book(proposal, patient)(door)
                except httpx.TransportError:
                    return
                assert answer.status_code == 201, answer.text
                acknowledged.append(answer.json())
                if len(acknowledged) > callers // 10:
                    first.set()

            calls = asyncio.gather(*(caller(*one) for one in zip(times, patients, strict=False)))
            await asyncio.wait_for(first.wait(), 20)
            process.send_signal(signal.SIGKILL)
            await calls
    assert 0 < len(acknowledged) < callers
    for one in acknowledged:
        assert (await client.get(f"Appointment/{one['id']}")).json() == one
    await sound(world)
    # What is not booked can be booked by somebody else, as soon as the database has noticed the death.
    booked = 0
    for proposal, patient in zip(times[:callers], patients, strict=True):
        answer = await _served(clinic, proposal, patient)
        booked += answer.status_code == 201
        assert answer.status_code in {201, 409}, answer.text
    found = [await client.get("Appointment", params={"patient": one, "_summary": "count"}) for one in patients]
    assert {one.json()["total"] for one in found} == {1}
    assert booked <= callers - len(acknowledged)
    await sound(world)

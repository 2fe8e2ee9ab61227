"""Real exports that nobody here wrote, where a checkout has them beside it: loaded whole, booked to the last seat."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fhir_server.bootstrap import open_world
from fhir_server.remote.http import httpx
from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.builders.clinic import parameters
from tests.server import serving
from tests.tokens import Bearer, Issuer

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason="the sample exports are not beside this checkout")
async def test_both_sets_are_taken_whole_and_a_slot_of_100_takes_100(settings: Settings) -> None:
    lines = sum(1 for path in DATA.rglob("*.ndjson") for line in path.read_text().splitlines() if line.strip())
    own = settings.model_copy(update={"mongo_database": f"{settings.mongo_database}_real"})
    async with open_world(own) as opened:
        await _take_and_book(own, opened.world, lines)


async def _take_and_book(own: Settings, world: World, lines: int) -> None:
    with serving(own) as base:
        issuer = Issuer(lambda: world, base)
        token = await issuer.backend()
        done = await asyncio.to_thread(_load, base, token)
        assert done.returncode == 0, done.stderr
        assert f" {lines} " in done.stdout
        again = await asyncio.to_thread(_load, base, token)
        assert again.returncode == 0, again.stderr
        async with httpx.AsyncClient(base_url=f"{base}/", timeout=60, auth=Bearer(issuer)) as client:
            role = (await client.get("PractitionerRole?_count=1")).json()["entry"][0]["resource"]
            assert "reference" not in role["practitioner"]
            assert role["practitioner"]["identifier"]["value"]
            patients = [one["resource"]["id"] for one in (await client.get("Patient?_count=101")).json()["entry"]]
            assert len(patients) == 101
            answers = await asyncio.gather(*(_book(client, one) for one in patients))
            assert Counter(answers) == {201: 100, 409: 1}
            assert (await client.get("Slot/20")).json()["status"] == "busy"


def _load(base: str, token: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fhir_server.cli.main", "load", str(DATA), "--base", base],
        env={**os.environ, "FHIR_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def _book(client: Any, patient: str) -> int:
    body = parameters(
        slot=("Reference", {"reference": "Slot/20"}), patient=("Reference", {"reference": f"Patient/{patient}"})
    )
    answer = await client.post("Appointment/$book", json=body)
    return int(answer.status_code)

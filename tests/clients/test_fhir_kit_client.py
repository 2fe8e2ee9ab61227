"""fhir-kit-client (JavaScript) against a server process, where Node is installed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fhir_server.app import Server
from tests.builders.visits import Visits
from tests.tokens import issuer_for

VERSION = "2.0.3"
SCRIPT = Path(__file__).parent / "fhir_kit" / "clinic_day.mjs"


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script in a folder with fhir-kit-client of the pinned version."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node is not installed")
    folder = tmp_path_factory.mktemp("fhir-kit")
    done = subprocess.run(
        ["npm", "install", "--no-save", "--no-audit", "--no-fund", f"fhir-kit-client@{VERSION}"],
        cwd=folder, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"fhir-kit-client cannot be installed: {done.stderr[-200:]}")
    return Path(shutil.copy(SCRIPT, folder))


async def test_a_clinics_day(two_servers: tuple[str, str], client: Any, app: Server, script: Path) -> None:
    clinic = await Visits(client).opened()
    environment = {**os.environ, "FHIR_TOKEN": await issuer_for(app, two_servers[0]).backend()}
    arguments = (clinic.visit, f"Patient/{clinic.id('pat')}", clinic.at("09:00"), clinic.at("12:00"))
    process = await asyncio.create_subprocess_exec(
        "node", str(script), two_servers[0], *arguments, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    seen, faults = await asyncio.wait_for(process.communicate(), timeout=30)
    assert process.returncode == 0, faults.decode()
    assert json.loads(seen) == {
        "fhirVersion": "4.0.1",
        "patient": ["other", True, "unknown", "other", 3],
        "gone": 410,
        "found": [6, 2, 2],
        "booked": ["booked", clinic.at("09:00")],
        "refused": [409, "slot-taken"],
        "searched": [1, 1],
        "cancelled": "cancelled",
    }
    assert "09:00" in await clinic.free()

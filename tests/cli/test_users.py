"""``fhir-server user`` as an operator uses it."""

from __future__ import annotations

import subprocess
import sys

from fhir_server.services.authorization import accounts
from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.builders.people import PASSWORD, people
from tests.server import environment


def user(settings: Settings, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fhir_server.cli.main", "user", *words],
        env=environment(settings),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_life_of_an_account(settings: Settings, world: World) -> None:
    clinic = await people(world)
    username, patient = clinic.id("ana"), await clinic.patient("ana")
    made = user(
        settings, "add", username, "--role", "patient", "--fhir-user", patient, "--name", "Ana", typed=f"{PASSWORD}\n"
    )
    assert made.returncode == 0, made.stderr
    assert await accounts.authenticate(world, username, PASSWORD) is not None
    assert username in user(settings, "list").stdout
    changed = user(settings, "set-password", username, typed="another long password\n")
    assert changed.returncode == 0, changed.stderr
    assert await accounts.authenticate(world, username, "another long password") is not None
    assert user(settings, "change", username, "--name", "Ana B").returncode == 0
    assert user(settings, "disable", username).stdout.rstrip().endswith("disabled")
    shown = user(settings, "show", username).stdout
    assert patient in shown
    assert "Ana B" in shown
    assert await accounts.authenticate(world, username, "another long password") is None


async def test_a_refusal_is_a_sentence(settings: Settings, world: World) -> None:
    short = user(settings, "add", "somebody", "--role", "auditor", typed="short\n")
    assert (short.returncode, short.stdout) == (2, "")
    assert short.stderr == "A password has 12 to 256 characters.\n"
    absent = user(settings, "disable", "nobody-of-that-name")
    assert absent.returncode == 2
    assert absent.stderr.startswith("There is no account nobody-of-that-name.")

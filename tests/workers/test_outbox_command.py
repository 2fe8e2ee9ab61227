"""``fhir-server outbox``: an operator sees what is behind and what was given up, and has it tried anew."""

from __future__ import annotations

import secrets
import subprocess
import sys
from typing import Any

import pytest

from fhir_server.services.following.drain import drain
from fhir_server.services.following.performance import DeadError
from fhir_server.services.following.performing import perform
from fhir_server.services.following.table import PERFORMERS
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.store.outbox import TOLD
from tests.builders.clinic import Clinic
from tests.server import environment


def _outbox(settings: Settings, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fhir_server.cli.main", "outbox", *words], env=environment(settings),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


async def _hopeless(_: World, __: Any) -> None:
    msg = "the receiver is gone"
    raise DeadError(msg)


async def test_what_was_given_up_is_shown_and_tried_anew(
    client: Any, world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drain(world)
    key = secrets.token_hex(4)
    await Clinic(client).patient()
    assert "1 versions to tell" in _outbox(settings, "status")
    assert "1 in the first stage: does a worker, or worker --only events, run?" in _outbox(settings, "status")
    await drain(world)
    await world.store.connection.collection(TOLD).insert_one({"_id": key, "waits": True, "at": 0})
    shown = _outbox(settings, "status")
    await world.store.connection.collection(TOLD).delete_one({"_id": key})
    assert "outbox  1 versions to tell" in shown
    assert "1 in the second, where messages are planned: does a worker, or worker --only messages, run?" in shown
    assert "in the first" not in shown
    monkeypatch.setitem(PERFORMERS, "deed", _hopeless)
    await world.store.work.plan(None, "deed", key, 0)
    assert await perform(world, "deed", key) == "dead"
    shown = _outbox(settings, "status")
    assert "outbox  empty" in shown
    assert f"dead    deed/{key}  after 1 attempts: the receiver is gone" in shown
    assert "1 of 1 tried anew" in _outbox(settings, "retry", f"deed/{key}")
    assert "1 due" in _outbox(settings, "status")
    assert "say --all" in _outbox(settings, "retry", status=2)
    assert "Nothing of that name" in _outbox(settings, "retry", "deed/none", status=2)
    assert await perform(world, "deed", key) == "dead"
    assert "tried anew" in _outbox(settings, "retry", "--all")
    assert await perform(world, "deed", key) == "dead"
    assert "1 of 1 discarded" in _outbox(settings, "discard", f"deed/{key}")


async def test_monitoring_sees_lag_and_queues(app: Any, client: Any, world: World) -> None:
    key = secrets.token_hex(4)
    await world.store.work.plan(None, "deed", key, 0)
    await Clinic(client).patient()
    answer = await client.get("http://fhir.test/metrics")
    assert answer.status_code == 200
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert float(lines["fhir_outbox_versions"]) >= 1
    assert float(lines["fhir_outbox_lag_seconds"]) >= 0
    assert float(lines['fhir_work{kind="deed",state="due"}']) >= 1
    await world.store.work.withdraw(None, "deed", key)

"""``fhir-server audit``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fhir_server.cli.audit import audit_app
from fhir_server.embedded.refused import Refused
from fhir_server.settings import Settings
from fhir_server.store.audit.batches import place
from fhir_server.store.database import Store
from tests.audit.records import access


@pytest.fixture
def run(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command on the record of this test; it has an event loop of its own, as it has in a shell."""
    monkeypatch.setenv("FHIR_MONGO_URI", settings.mongo_uri)
    monkeypatch.setenv("FHIR_MONGO_DATABASE", settings.mongo_database)
    monkeypatch.setenv("FHIR_KEYS", settings.keys)
    monkeypatch.setenv("FHIR_AUDIT_DATABASE", store.audit.connection.database.name)

    async def call(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, audit_app, list(arguments))

    return call


async def test_verify_key_and_checkpoints(store: Store, run: Callable[..., Any], tmp_path: Path) -> None:
    for _ in range(3):
        await store.audit.add(access())
    made = await store.audit.checkpoint()
    assert made is not None
    done = await run("verify")
    assert (done.exit_code, done.stdout) == (0, "3 entries in 3 batches of 1 chains, 1 checkpoints, 0 faults\n")
    assert (await run("key")).stdout.strip() == made.key
    kept = tmp_path / "kept.ndjson"
    kept.write_text((await run("checkpoints", "--since", "2020")).stdout)
    assert json.loads(kept.read_text())["n"] == 3
    assert (await run("verify", "--against", str(kept), "--key", made.key)).exit_code == 0
    await store.audit.batches.delete_one({"_id": place(made.head.chain, 2)})
    await store.audit.checkpoints.delete_many({})
    done = await run("verify")
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{place(made.head.chain, 3)}: the batch before was removed")
    report = json.loads((await run("verify", "--json", "--against", str(kept))).stdout)
    assert (report["entries"], len(report["faults"]), report["heads"][0]["n"]) == (2, 1, 3)
    assert (await run("verify", "--key", "00" * 32, "--against", str(kept))).exit_code == 1


async def test_what_cannot_be_read_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("{")
    for arguments in (
        ("verify", "--since", "soon"), ("verify", "--against", str(broken)),
        ("verify", "--against", str(tmp_path / "x")), ("prune", "--before", "2099", "--yes"),
    ):  # fmt: skip
        assert isinstance((await run(*arguments)).exception, Refused), arguments


async def test_prune_keeps_the_years_of_the_policy(store: Store, run: Callable[..., Any]) -> None:
    year = datetime.now(UTC).year
    old = int(datetime(year - 7, 1, 1, tzinfo=UTC).timestamp() * 1000)
    moments = iter([old, old + 1, int(datetime(year - 5, 1, 1, tzinfo=UTC).timestamp() * 1000)])
    store.audit.journal._clock = lambda: next(moments)
    for _ in range(3):
        await store.audit.add(access())
    assert isinstance((await run("prune", "--before", str(year - 5), "--yes")).exception, Refused)
    assert (await run("prune")).exit_code == 1, "nobody said yes"
    done = await run("prune", "--yes")
    assert done.stdout == "2 batches of 1 chains removed\n"
    assert (await run("verify")).exit_code == 0
    left = [one.interaction for batch in await store.audit.found({}, 0) for one in batch.entries]
    assert left == ["$audit-prune", "read"]


async def test_export(store: Store, run: Callable[..., Any]) -> None:
    for _ in range(3):
        await store.audit.add(access(query=b"GET /x"))
    lines = (await run("export", "--patient", "p1", "--since", "2020")).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert len(events) == 4
    assert {one["resourceType"] for one in events} == {"AuditEvent"}
    assert events[0]["subtype"][1]["code"] == "$audit-export"
    assert "query" not in str(events)
    assert len((await run("export")).stdout.splitlines()) == 5
    assert (await run("export", "--since", "2099")).stdout == ""

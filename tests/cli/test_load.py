"""``load`` and ``seed`` against a small FHIR server of this test on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typer.testing import CliRunner

from fhir_server.cli.backend import MARGIN_SECONDS, Renewed, bearer
from fhir_server.cli.load import load
from fhir_server.cli.running import Granted
from fhir_server.cli.seed import seed, seed_demo
from fhir_server.cli.upload import Upload, update
from fhir_server.embedded.refused import Refused
from fhir_server.errors import Category, problem
from fhir_server.services.authorization.demo import KEY_FILE

app = typer.Typer()
app.command()(load)
app.command()(seed)


class Recorder:
    """Keeps resources by type and id; refuses a Flag; is busy once for each Slot; checks nothing else."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.order: list[str] = []
        self.busy: set[str] = set()
        self.tokens: set[str | None] = set()
        routes = [
            Route("/fhir/metadata", self.metadata),
            Route("/fhir/{type}", self.create, methods=["POST"]),
            Route("/fhir/{type}/{id}", self.update, methods=["PUT"]),
        ]
        self.asgi = Starlette(routes=routes)
        self.base = ""

    async def metadata(self, _: Request) -> Response:
        return JSONResponse({"resourceType": "CapabilityStatement"})

    async def create(self, request: Request) -> Response:
        return await self._keep(request, f"{request.path_params['type']}?{request.headers['if-none-exist']}")

    async def update(self, request: Request) -> Response:
        type_, id_ = request.path_params["type"], request.path_params["id"]
        if type_ == "Slot" and id_ not in self.busy:
            self.busy.add(id_)
            return Response(status_code=503 if len(self.busy) % 2 else 429, headers={"Retry-After": "0"})
        if type_ == "Flag":
            issues = [
                {"severity": "error", "code": "invalid", "diagnostics": "no [bold] flags", "expression": ["Flag.code"]},
                {"severity": "error", "code": "invalid", "details": {"text": "none at all"}},
            ]
            return JSONResponse({"resourceType": "OperationOutcome", "issue": issues}, 422)
        assert json.loads(await request.body())["id"] == id_
        return await self._keep(request, f"{type_}/{id_}")

    async def _keep(self, request: Request, name: str) -> Response:
        self.tokens.add(request.headers.get("authorization"))
        known = name in self.kept
        self.kept[name] = await request.body()
        self.order.append(name)
        return Response(status_code=200 if known else 201)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token nothing is sent."""
    monkeypatch.setenv("FHIR_TOKEN", "secret")


@pytest.fixture
def server() -> Iterator[Recorder]:
    recorder = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        recorder.base = f"http://127.0.0.1:{listening.getsockname()[1]}/fhir"
        running = uvicorn.Server(uvicorn.Config(recorder.asgi, log_level="error", ws="none", lifespan="off"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        # uvicorn answers only once it runs, and the port already listens: no wait is needed.
        yield recorder
        running.should_exit = True
        thread.join()


def write(path: Path, *resources: Any) -> Path:
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in resources))
    return path


def resource(type_: str, id_: str | None = None, **more: Any) -> dict[str, Any]:
    return {"resourceType": type_, **({"id": id_} if id_ else {}), **more}


def rows(output: str) -> dict[str, list[int]]:
    """The summary table: type → created, present, refused."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if "│" in line]
    return {name: [int(one) for one in counts] for name, *counts in cells}


def test_everything_is_counted_and_a_second_run_changes_nothing(server: Recorder, tmp_path: Path):
    write(
        tmp_path / "a.ndjson",
        resource("Slot", "s1", schedule={"reference": "Schedule/1"}),
        resource("Slot", "s2", schedule={"reference": "Schedule/1"}),
        resource("Patient", identifier=[{"system": "urn:x", "value": "ü 1"}]),
        resource("Patient", active=True),
        "{",
        resource("Flag", "f"),
        resource("Patient", ".."),
    )
    entries = [{"resource": resource("Practitioner", "p")}, {"resource": resource("Schedule", "1")}]
    write(tmp_path / "b.json", resource("Bundle", entry=entries))
    result = CliRunner().invoke(app, ["load", str(tmp_path), "--base", server.base + "/"])
    assert result.exit_code == 1, result.output
    assert rows(result.stdout) == {
        "(unreadable)": [0, 0, 1],
        "Practitioner": [1, 0, 0],
        "Patient": [2, 0, 1],
        "Schedule": [1, 0, 0],
        "Slot": [2, 0, 0],
        "Flag": [0, 0, 1],
        "all": [6, 0, 3],
    }
    source = tmp_path / "a.ndjson"
    assert f"{source}:5: not JSON" in result.stderr
    assert f"{source}:6: Flag: 422 no [bold] flags (Flag.code); none at all\n" in result.stderr
    assert f"{source}:7: the id cannot be part of a URL" in result.stderr
    assert [name.split("/")[0].split("?")[0] for name in server.order] == [
        *("Practitioner", "Patient", "Patient", "Schedule", "Slot", "Slot")
    ]
    before = dict(server.kept)
    again = CliRunner().invoke(app, ["load", str(tmp_path), "--base", server.base])
    assert rows(again.stdout)["all"] == [0, 6, 3]
    assert server.kept == before


def test_success_ends_with_0_and_the_token_goes_along(server: Recorder, tmp_path: Path):
    path = write(tmp_path / "a.ndjson", *(resource("Patient", str(number)) for number in range(500)))
    result = CliRunner().invoke(app, ["load", str(path), "--base", server.base])
    assert result.exit_code == 0
    assert result.stderr == ""
    assert rows(result.stdout) == {"Patient": [500, 0, 0], "all": [500, 0, 0]}
    assert server.tokens == {"Bearer secret"}
    assert len(server.kept) == 500


async def test_a_token_is_renewed_before_it_is_over(server: Recorder, tmp_path: Path):
    """Of many requests at once one asks; the others wait and use what it got."""
    now, asked = 0.0, 0

    async def ask() -> Granted:
        nonlocal asked
        await asyncio.sleep(0.01)
        asked += 1
        return Granted(f"token-{asked}", 300, frozenset())

    async with Upload(server.base) as upload:
        upload.authorize(Renewed(ask, lambda: now))

        async def send() -> None:
            await asyncio.gather(*(upload.send(update(resource("Patient", str(number)))) for number in range(20)))

        await send()
        now = 300.0 - MARGIN_SECONDS - 1
        await send()
        assert server.tokens == {"Bearer token-1"}
        now += 1
        await send()
    assert server.tokens == {"Bearer token-1", "Bearer token-2"}
    assert asked == 2


def test_without_a_token_and_away_from_this_machine_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("FHIR_TOKEN")
    (tmp_path / KEY_FILE).write_text("a key")
    for base, folder in (
        ("https://ehr.example/fhir", tmp_path),
        ("http://[", tmp_path),
        ("http://127.0.0.1:8080/fhir", tmp_path / "none"),
    ):
        with pytest.raises(Refused, match="A token is needed"):
            bearer(base, folder)
    assert isinstance(bearer("http://127.0.0.1:8080/fhir", tmp_path), Renewed)


def test_the_last_of_two_lines_with_one_id_wins(server: Recorder, tmp_path: Path):
    lines = [resource("Patient", str(number % 10), active=number >= 190) for number in range(200)]
    CliRunner().invoke(app, ["load", str(write(tmp_path / "a.ndjson", *lines)), "--base", server.base])
    assert all(json.loads(body)["active"] for body in server.kept.values())


def test_what_is_not_there_is_said_in_one_sentence(server: Recorder, tmp_path: Path):
    path = write(tmp_path / "a.ndjson", resource("Patient", "1"))
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/fhir"
    for arguments, words in (
        ([str(tmp_path / "nowhere")], "no file or folder"),
        ([str(path), "--base", closed], f"No FHIR server answers at {closed}"),
        ([str(path), "--base", "nonsense"], "No FHIR server answers at nonsense"),
        ([str(path), "--base", server.base + "/other"], "is not the base of a FHIR server"),
    ):
        result = CliRunner().invoke(app, ["load", *arguments])
        assert isinstance(result.exception, Refused)
        assert words in result.exception.sentence


def test_seed_puts_the_clinic_and_finds_it_there_again(server: Recorder):
    arguments = ["seed", "--practitioners", "3", "--patients", "20", "--days", "2", "--base", server.base]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    counts = rows(first.stdout)
    assert counts["Schedule"] == [3, 0, 0]
    assert counts["Patient"] == [20, 0, 0]
    assert counts["Appointment"][0] > 5
    assert b'"longitude":-73.9972' in server.kept["Location/demo-downtown"]
    before = dict(server.kept)
    assert rows(CliRunner().invoke(app, arguments).stdout)["all"] == [0, len(before), 0]
    assert server.kept == before


async def test_seed_demo_puts_every_resource_and_counts_refusals(capsys: pytest.CaptureFixture[str]):
    class World:
        def __init__(self) -> None:
            self.kept: dict[str, dict[str, Any]] = {}

        async def put(self, resource: dict[str, Any]) -> None:
            if resource["id"] == "coverage-3":
                raise problem(Category.RULE, "not today")
            self.kept[f"{resource['resourceType']}/{resource['id']}"] = resource

    world = World()
    tally = await seed_demo(world, practitioners=2, patients=10, days=1)
    assert tally.total("refused") == 1
    assert tally.total("created") == len(world.kept)
    assert "Coverage/coverage-3: rule: not today" in capsys.readouterr().err

"""`fhir-server dev`: databases, demo clinic and server on one machine with one command."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.start import bind, end_on_sigterm, read_settings, require_loopback
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractContextManager

    import uvicorn

    from fhir_server.embedded.folder import Folder
    from fhir_server.settings import Settings

SERVICE = "HealthcareService/follow-up"
PATIENT = "Patient/patient-1"

_READY_POLL_SECONDS = 0.02


def data_folder() -> Path:
    """Where `dev` keeps its data unless told otherwise. https://specifications.freedesktop.org/basedir-spec/latest/."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "fhir-server" / "dev"


def dev(
    *,
    host: Annotated[str, typer.Option(envvar="FHIR_HOST", help="Address to listen on; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="FHIR_PORT", min=0, max=65535, help="Port; 0 picks one.")] = 8080,
    data: Annotated[Path | None, typer.Option(help="Data folder; without it ~/.local/share/fhir-server/dev.")] = None,
    mongo_uri: Annotated[
        str | None, typer.Option(envvar="FHIR_MONGO_URI", help="Use this MongoDB replica set.", show_envvar=True)
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(envvar="FHIR_REDIS_URL", help="Use this Redis or Valkey.", show_envvar=True)
    ] = None,
    seed: Annotated[bool, typer.Option("--seed/--no-seed", help="Fill an empty database with a demo clinic.")] = True,
    reset: Annotated[bool, typer.Option("--reset", help="Delete the data folder's data first.")] = False,
) -> None:
    """Start everything on this machine: databases, a demo clinic, the server."""
    from fhir_server import log
    from fhir_server.embedded import databases

    if sys.platform == "win32":
        raise Refused("fhir-server dev needs Linux or macOS; on Windows it runs in WSL.")
    require_loopback(host)
    read_settings()
    end_on_sigterm()
    folder = data or data_folder()
    with bind(host, port) as listener:
        with _status("Starting MongoDB and Redis …"):
            running = databases.start(folder, mongo_uri, redis_url, reset=reset)
        with running:
            settings = read_settings(
                mongo_uri=running.mongo_uri,
                redis_url=running.redis_url,
                host=host,
                port=listener.getsockname()[1],
                environment="development",
                workers=1,
                require_second_factor=False,
            )
            log.configure(settings.log_level, human=True)
            server = _server(settings)
            with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
                runner.run(_prepare(settings, running.folder, seed=seed))
                runner.run(_serve(server, listener, settings, (f"data       {folder}", *running.notes)))


def curl_lines(base: str, *, proposal: str = "<proposal-id>", today: date | None = None) -> tuple[str, str]:
    """Two shell lines for the FHIR base ``base``: find three free times from tomorrow on, and book ``proposal``."""
    tomorrow = (today or datetime.now(UTC).astimezone().date()) + timedelta(days=1)
    window = f"start={tomorrow}&end={tomorrow + timedelta(days=6)}"
    find = f"curl -s '{base}/Appointment/$find?{window}&service={SERVICE}&_count=3'"
    body = (
        '{"resourceType":"Parameters","parameter":['
        f'{{"name":"appointment","valueUri":"Appointment/{proposal}"}},'
        f'{{"name":"patient","valueReference":{{"reference":"{PATIENT}"}}}}]}}'
    )
    book = f"curl -s -X POST '{base}/Appointment/$book' -H 'Content-Type: application/fhir+json' -d '{body}'"
    return find, book


def _server(settings: Settings) -> uvicorn.Server:
    import uvicorn

    from fhir_server.app import create_app

    app = create_app(settings)
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10))


async def _prepare(settings: Settings, folder: Folder, *, seed: bool) -> None:
    """Create what is missing; with ``seed`` fill an empty database, and finish what an interrupted run began."""
    from fhir_server.bootstrap import open_world
    from fhir_server.cli.seed import seed_demo
    from fhir_server.services.authorization.demo import demo_clients
    from fhir_server.services.authorization.demo_accounts import demo_accounts

    async with open_world(settings) as world:
        if not seed:
            return
        if folder.recall("seed") == "begun" or await world.is_empty():
            folder.remember("seed", "begun")
            await seed_demo(world)
            folder.remember("seed", "done")
        await demo_accounts(world.world)
        await demo_clients(world.world, folder.path)


async def _serve(server: uvicorn.Server, listener: socket.socket, settings: Settings, notes: tuple[str, ...]) -> None:
    """Serve until a signal; say where, once the server answers. Raises Refused where it does not start."""
    base = settings.base_url or _base(listener)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn tells in no other way
        await asyncio.sleep(_READY_POLL_SECONDS)
    if server.started:
        lines = await _first_steps(base)
        print(f"FHIR base  {base}", *notes, *lines, "Ctrl-C stops everything and keeps the data.", sep="\n", flush=True)
    await serving
    if not server.started:
        raise Refused("The server did not start; the lines above say why.")


def _status(words: str) -> AbstractContextManager[object]:
    """A line on a terminal while something starts; silent elsewhere."""
    from rich.console import Console

    return Console(stderr=True).status(words)


def _base(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/fhir"


async def _first_steps(base: str) -> tuple[str, ...]:
    """The two lines that find and book, with a proposal that is free now; the first alone where nothing is."""
    from fhir_server.remote.http import httpx

    find, _ = curl_lines(base)
    # The one who is to be booked may be elsewhere at the first time.
    url = find.split("'")[1] + f"&patient={PATIENT}"
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
            answer = await client.get(url)
        entries = answer.json().get("entry", []) if answer.status_code == httpx.codes.OK else []
    except (httpx.HTTPError, ValueError):
        entries = []
    proposals = [entry["resource"]["id"] for entry in entries if entry.get("resource", {}).get("id")]
    if not proposals:
        return ("No free time to show yet: load a Schedule with fhir-server load, or start with --seed.",)
    find, book = curl_lines(base, proposal=proposals[0])
    return ("", "Find a free time:", find, "", "Book it:", book, "")

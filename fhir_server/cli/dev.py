"""`fhir-server dev`: databases, demo clinic and server on one machine with one command."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from fhir_server.cli.dev_settings import data_folder, told
from fhir_server.cli.following import following
from fhir_server.cli.start import (
    behind_proxy,
    bind,
    end_on_sigterm,
    read_settings,
    require_encryption,
    require_loopback,
    root_of,
)
from fhir_server.embedded import mail_sink
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

    import uvicorn

    from fhir_server.embedded.folder import Folder
    from fhir_server.settings import Settings

SERVICE = "HealthcareService/follow-up"
PATIENT = "Patient/patient-1"
USER = "patient1"
DEFAULT_PORT = 8080
NO_DEMO = "This database holds no demo clinic: register clients and accounts with fhir-server client and user."

LAST = "Ctrl-C stops everything and keeps the data."
LAST_OF_TIME_LAPSE = "Ctrl-C stops everything; the next time-lapse run begins afresh."

_READY_POLL_SECONDS = 0.02


def dev(
    *,
    host: Annotated[str, typer.Option(envvar="FHIR_HOST", help="Address to listen on; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="FHIR_PORT", min=0, max=65535, help="Port; 0 picks one.")] = DEFAULT_PORT,
    data: Annotated[
        Path | None, typer.Option(help="Data folder; else ~/.local/share/fhir-server/dev or …/time-lapse.")
    ] = None,
    mongo_uri: Annotated[
        str | None, typer.Option(envvar="FHIR_MONGO_URI", help="Use this MongoDB replica set.", show_envvar=True)
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(envvar="FHIR_REDIS_URL", help="Use this Redis or Valkey.", show_envvar=True)
    ] = None,
    seed: Annotated[bool, typer.Option("--seed/--no-seed", help="Fill an empty database with a demo clinic.")] = True,
    workers: Annotated[
        bool, typer.Option("--workers/--no-workers", help="Start a worker and beat, for what follows from a booking.")
    ] = True,
    time_lapse: Annotated[
        bool,
        typer.Option(
            "--time-lapse", help="Let a week pass in a minute, in a folder of its own, and show what a booking sends."
        ),
    ] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Delete the data folder's data first.")] = False,
) -> None:
    """Start everything on this machine: databases, a demo clinic, the server, a worker and beat."""
    from fhir_server import log
    from fhir_server.cli import time_lapse as lapse
    from fhir_server.embedded import databases

    if sys.platform == "win32":
        raise Refused("fhir-server dev needs Linux or macOS; on Windows it runs in WSL.")
    require_loopback(host)
    stated = read_settings(environment="development", **({"mongo_uri": mongo_uri} if mongo_uri else {}))
    require_encryption(stated)
    end_on_sigterm()
    folder = data or data_folder(time_lapse=time_lapse)
    with bind(host, port) as listener, bind("127.0.0.1", 0) as mail:
        reset = lapse.afresh(folder, time_lapse=time_lapse, reset=reset)
        with _status("Starting MongoDB and Redis …"):
            running = databases.start(folder, mongo_uri and stated.mongo_address, redis_url, reset=reset)
        if reset:
            shutil.rmtree(folder / "outbox", ignore_errors=True)
        with running:
            folder = running.folder.path
            settings = read_settings(
                mongo_uri=running.mongo_uri,
                redis_url=running.redis_url,
                host=host,
                port=listener.getsockname()[1],
                environment="development",
                workers=1,
                outbox_folder=str(folder / "outbox"),
                clock=lapse.clock(running.folder) if time_lapse else stated.clock,
                **_mail(mail, stated),
                require_second_factor=False,
                keys=stated.keys or f"file:{folder / 'key'}",
            )
            # What is printed for the newcomer shall stay in sight: less is logged unless the environment says how much.
            log.configure(settings.log_level if "log_level" in stated.model_fields_set else "warning", human=True)
            server = _server(settings)
            with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
                demo = runner.run(_prepare(settings, running.folder, seed=seed, own=not mongo_uri, lapse=time_lapse))
                with told(settings, folder) as file, following(settings, running.folder) if workers else nullcontext():
                    notes = (f"data       {folder}", *running.notes, f"settings   {file} for commands beside this one")
                    runner.run(
                        _serve(server, listener, mail, settings, notes, demo=demo, lapse=time_lapse, folder=data)
                    )


def token_line(user: str, root: str = "", data: Path | None = None) -> str:
    """The shell line that logs a demo user in and keeps the token: the command that runs now, for its own server."""
    program = Path(sys.argv[0]).absolute()
    words = [str(program)] if os.access(program, os.X_OK) else [sys.executable, "-m", "fhir_server.cli.main"]
    words += ["token", "--user", user]
    parts = urlsplit(root)
    if parts.hostname not in {None, "127.0.0.1"}:
        words += ["--host", str(parts.hostname)]
    if parts.port not in {None, DEFAULT_PORT}:
        words += ["--port", str(parts.port)]
    if data is not None:
        words += ["--data", str(data.absolute())]
    return f"TOKEN=$({shlex.join(words)})"


def curl_lines(base: str, *, proposal: str = "<proposal-id>", today: date | None = None) -> tuple[str, str]:
    """Two shell lines for the FHIR base ``base``: find three free times from tomorrow on, and book ``proposal``.

    Both send the token that the shell holds in ``TOKEN``.
    """
    tomorrow = (today or datetime.now(UTC).astimezone().date()) + timedelta(days=1)
    window = f"start={tomorrow}&end={tomorrow + timedelta(days=6)}"
    sent = '-H "Authorization: Bearer $TOKEN"'
    find = f"curl -s '{base}/Appointment/$find?{window}&service={SERVICE}&_count=3' {sent}"
    body = (
        '{"resourceType":"Parameters","parameter":['
        f'{{"name":"appointment","valueUri":"Appointment/{proposal}"}},'
        f'{{"name":"patient","valueReference":{{"reference":"{PATIENT}"}}}}]}}'
    )
    json = "-H 'Content-Type: application/fhir+json'"
    book = f"curl -s -X POST '{base}/Appointment/$book' {sent} {json} -d '{body}'"
    return find, book


def _server(settings: Settings) -> uvicorn.Server:
    import uvicorn

    from fhir_server.app import create_app

    app = create_app(settings)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            proxy_headers=behind_proxy(),
            timeout_graceful_shutdown=10,
        )
    )


async def _prepare(settings: Settings, folder: Folder, *, seed: bool, own: bool, lapse: bool) -> bool:
    """Create what is missing; with ``seed`` fill an empty database, and finish what an interrupted run began.

    :param own: the database is the folder's.
    :param lapse: for a time-lapse run: a small clinic, and never a database that somebody else filled.
    :returns: whether the demo's users and clients are there: never put into a database that somebody else filled, for
        their password is known to everybody.
    """
    from fhir_server.bootstrap import open_world
    from fhir_server.cli.clinic_people import clinicians
    from fhir_server.cli.seed import Size, clinic_date, seed_demo
    from fhir_server.cli.time_lapse import CLINIC
    from fhir_server.services.authorization import clients
    from fhir_server.services.authorization.demo import EHR, demo_clients
    from fhir_server.services.authorization.demo_accounts import demo_accounts

    async with open_world(settings) as opened:
        if lapse and not own and not await opened.is_empty():
            raise Refused("A time-lapse run fills a database with times to come: give it an empty one.")
        demo = own or await clients.get(opened.world, EHR) is not None
        if seed and ((demo and folder.recall("seed") == "begun") or await opened.is_empty()):
            demo = True
            folder.remember("seed", "begun")
            size: Size = CLINIC if lapse else {}
            await demo_clients(opened.world, folder.path)
            await seed_demo(opened, today=clinic_date(opened.world.clock()), **size)
            folder.remember("seed", "done")
        if demo:
            await demo_clients(opened.world, folder.path)
            await demo_accounts(opened.world, clinicians())
        return demo


def _mail(listener: socket.socket, stated: Settings) -> dict[str, str]:
    """Settings by which e-mail goes to our own mail server, unless the environment names another."""
    if stated.smtp_url.get_secret_value() or stated.sendgrid_key.get_secret_value() or not mail_sink.is_there():
        return {}
    sender = stated.mail_from or "Demo clinic <clinic@demo.example>"
    return {"smtp_url": f"smtp://127.0.0.1:{listener.getsockname()[1]}", "mail_from": sender}


@asynccontextmanager
async def _mail_taken(listener: socket.socket, settings: Settings) -> AsyncIterator[None]:
    """E-mail that comes to our own mail server goes into the outbox folder."""
    from fhir_server.clock import clock_of
    from fhir_server.remote.kept import keep

    clock, folder = clock_of(settings.clock), Path(settings.outbox_folder)
    if not mail_sink.is_there():
        yield
        return
    async with mail_sink.mail_sink(listener, lambda said: keep(folder, "email", said, clock())):
        yield


async def _serve(
    server: uvicorn.Server,
    listener: socket.socket,
    mail: socket.socket,
    settings: Settings,
    notes: tuple[str, ...],
    *,
    demo: bool,
    lapse: bool,
    folder: Path | None,
) -> None:
    """Serve until a signal; say where, once the server answers. Raises Refused where it does not start."""
    host, port, *_ = listener.getsockname()
    root = root_of(host, port)
    base = settings.base_url.rstrip("/") or f"{root}/fhir"
    async with _mail_taken(mail, settings):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn tells in no other way
            await asyncio.sleep(_READY_POLL_SECONDS)
        runs = lapse and demo
        if server.started:
            outbox = f"outbox     {root}/dev/outbox shows what is sent to people"
            lines = () if runs else await _first_steps(base, root, settings, folder) if demo else (NO_DEMO,)
            print(
                f"FHIR base  {base}",
                *notes,
                outbox,
                *lines,
                LAST_OF_TIME_LAPSE if lapse else LAST,
                sep="\n",
                flush=True,
            )
        if runs:
            from fhir_server.cli import time_lapse

            watching = asyncio.create_task(time_lapse.watch(settings, root, USER, SERVICE, PATIENT))
            watching.add_done_callback(time_lapse.tell)
            serving.add_done_callback(lambda _: watching.cancel())
        await serving
    if not server.started:
        raise Refused("The server did not start; the lines above say why.")


def _status(words: str) -> AbstractContextManager[object]:
    """A line on a terminal while something starts; silent elsewhere."""
    from rich.console import Console

    return Console(stderr=True).status(words)


async def _first_steps(base: str, root: str, settings: Settings, folder: Path | None) -> tuple[str, ...]:
    """Who can log in, and lines that get a token, find and book, with a proposal that is free now."""
    from fhir_server.cli.running import proposals
    from fhir_server.cli.token import granted_to
    from fhir_server.clock import clock_of
    from fhir_server.remote.http import httpx
    from fhir_server.services.authorization.demo_accounts import PASSWORD

    today = datetime.fromtimestamp(clock_of(settings.clock)() / 1000, UTC).astimezone().date()
    find, _ = curl_lines(base, today=today)
    # The one who is to be booked may be elsewhere at the first time.
    url = find.split("'")[1].replace(base, f"{root}/fhir", 1) + f"&patient={PATIENT}"
    try:
        granted = await granted_to(root, USER)
        async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
            answer = await client.get(url, headers={"Authorization": f"Bearer {granted.token}"})
        found = proposals(answer)
    except (Refused, httpx.HTTPError, ValueError):
        found = []
    if not found:
        return ("No free time to show yet: load a clinic with fhir-server load or seed, and start again.",)
    find, book = curl_lines(base, proposal=found[0], today=today)
    people = f"My apps    {base.removesuffix('/fhir')}/auth/apps"
    users = f"users      patient1, parent1, dr-adams, frontdesk1, admin1, auditor1 …, password {PASSWORD}"
    token = token_line(USER, root, folder)
    return (people, users, "", "Get a token:", token, "", "Find a free time:", find, "", "Book it:", book, "")

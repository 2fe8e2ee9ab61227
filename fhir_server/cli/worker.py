"""`fhir-server worker` and `fhir-server beat`: what follows from a write; settings from the environment or a `dev`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.dev_settings import HELP, settings_beside
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from fhir_server.settings import Settings

Data = Annotated[Path | None, typer.Option(help=HELP)]


def worker(
    only: Annotated[
        str,
        typer.Option(help="events (relay, notifications, timers) or messages (what people are sent); else both."),
    ] = "",
    data: Data = None,
) -> None:
    """Relay what is written and do what is due: notifications, reminders, offers; start as many as you like."""
    from fhir_server.store.driver import PyMongoError
    from workers.app import QUEUES
    from workers.run import work

    if only and only not in QUEUES:
        msg = f"--only {only}: it is one of {', '.join(QUEUES)}."
        raise Refused(msg)
    settings = _settings(data)
    print("worker  relays what is written and does what is due", flush=True)
    try:
        work(settings, only)
    except PyMongoError as failed:
        raise Refused("MongoDB does not answer; check FHIR_MONGO_URI or start it.") from failed


def beat(data: Data = None) -> None:
    """Tick: let the workers look once a second for what is due; one is enough, two do no harm."""
    from workers.run import beat as run

    settings = _settings(data)
    print("beat  asks for what is due", flush=True)
    run(settings)


def _settings(data: Path | None) -> Settings:
    from fhir_server import log

    settings = settings_beside(data)
    log.configure(settings.log_level)
    return settings

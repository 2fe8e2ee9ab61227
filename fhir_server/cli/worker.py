"""`fhir-server worker` and `fhir-server beat`: what follows from a write, its settings from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from fhir_server.settings import Settings


def worker(
    only: Annotated[
        str,
        typer.Option(help="events (relay, notifications, timers) or messages (what people are sent); else both."),
    ] = "",
) -> None:
    """Relay what is written and do what is due: notifications, reminders, offers; start as many as you like."""
    from fhir_server.store.driver import PyMongoError
    from workers.app import QUEUES
    from workers.run import work

    if only and only not in QUEUES:
        msg = f"--only {only}: it is one of {', '.join(QUEUES)}."
        raise Refused(msg)
    settings = _settings()
    print("worker  relays what is written and does what is due", flush=True)
    try:
        work(settings, only)
    except PyMongoError as failed:
        raise Refused("MongoDB does not answer; check FHIR_MONGO_URI or start it.") from failed


def beat() -> None:
    """Tick: let the workers look once a second for what is due; one is enough, two do no harm."""
    from workers.run import beat as run

    settings = _settings()
    print("beat  asks for what is due", flush=True)
    run(settings)


def _settings() -> Settings:
    from fhir_server import log
    from fhir_server.cli.start import read_settings

    settings = read_settings()
    log.configure(settings.log_level)
    return settings

"""`fhir-server rebuild`: calendar days and search values, made anew from the resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fhir_server.services.rebuild import Report
    from fhir_server.services.world import World

rebuild_app = typer.Typer(
    help="Make calendar days or search values anew from the resources; report every difference.", no_args_is_help=True
)

Verify = Annotated[bool, typer.Option("--verify", help="Only compare and report; change nothing.")]
Uri = Annotated[str | None, typer.Option(envvar="FHIR_MONGO_URI", help="MongoDB connection string.")]
SHOWN = 50


@rebuild_app.command("calendar")
def calendar(*, verify: Verify = False, mongo_uri: Uri = None) -> None:
    """Compare every calendar day with what Appointments and Slots hold, and mend it."""
    from fhir_server.services.rebuild import rebuild_calendar

    _run("calendar", rebuild_calendar, mongo_uri, verify=verify)


@rebuild_app.command("index")
def index(*, verify: Verify = False, mongo_uri: Uri = None) -> None:
    """Compare the search values of every resource with what its body gives, and mend them."""
    from fhir_server.services.rebuild import rebuild_index

    _run("index", rebuild_index, mongo_uri, verify=verify)


def _run(what: str, work: Callable[..., Awaitable[Report]], mongo_uri: str | None, *, verify: bool) -> None:
    """Exit code 1 if ``--verify`` found a difference."""
    import asyncio

    from rich.console import Console
    from rich.progress import Progress

    from fhir_server.bootstrap import open_world
    from fhir_server.cli.start import read_settings
    from fhir_server.embedded.refused import Refused
    from fhir_server.services.rebuild import count
    from fhir_server.store.driver import PyMongoError

    settings = read_settings(**({"mongo_uri": mongo_uri} if mongo_uri else {}))

    async def run() -> Report:
        async with open_world(settings) as opened:
            world: World = opened.world
            with Progress(console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task(f"rebuild {what}", total=await count(world))

                def advance(steps: int) -> Any:
                    bar.advance(task, steps)

                return await work(world, verify=verify, progress=advance)

    try:
        report = asyncio.run(run())
    except PyMongoError as failed:
        msg = "MongoDB does not answer; check FHIR_MONGO_URI or start it."
        raise Refused(msg) from failed
    for line in report.differences[:SHOWN]:
        print(line)
    if len(report.differences) > SHOWN:
        print(f"… and {len(report.differences) - SHOWN} more")
    print(f"{report.looked_at} resources, {len(report.differences)} differences, {report.mended} mended")
    if verify and report.differences:
        raise typer.Exit(1)

"""`fhir-server rebuild`: calendar days and search values, made anew from the resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

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
    from rich.console import Console
    from rich.progress import Progress

    from fhir_server.cli.opened import run
    from fhir_server.services.rebuild import count

    async def rebuilt(world: World) -> Report:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"rebuild {what}", total=await count(world))
            return await work(world, verify=verify, progress=lambda steps: bar.advance(task, steps))

    report = run(rebuilt, mongo_uri)
    for line in report.differences[:SHOWN]:
        print(line)
    if len(report.differences) > SHOWN:
        print(f"… and {len(report.differences) - SHOWN} more")
    print(f"{report.looked_at} resources, {len(report.differences)} differences, {report.mended} mended")
    if verify and report.differences:
        raise typer.Exit(1)

"""`fhir-server outbox status|retry|discard`: how far behind the relay is, what was given up, and trying that anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.dev_settings import HELP, settings_beside
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from fhir_server.services.world import World
    from fhir_server.store.work import Dead

outbox_app = typer.Typer(
    help="What follows from a write: how far behind it is, and what was given up.", no_args_is_help=True
)

Uri = Annotated[str | None, typer.Option(envvar="FHIR_MONGO_URI", help="MongoDB connection string.")]
Data = Annotated[Path | None, typer.Option(help=HELP)]
MOST = 10_000
SHOWN = 100


@outbox_app.command()
def status(
    *,
    mongo_uri: Uri = None,
    data: Data = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many of what was given up.")] = SHOWN,
) -> None:
    """Versions that nobody was told of yet and for how long, due and planned work by kind, and what was given up."""
    from fhir_server.cli.opened import run
    from fhir_server.services.following.status import status as of

    async def look(world: World) -> None:
        found = await of(world)
        counts = found.work
        if not found.untold:
            print("outbox  empty: everything that was written was told")
        else:
            print(f"outbox  {_some_of(found.untold)} versions to tell, the oldest for {_ago(found.lag)}")
            if found.first:
                print(f"        {_some_of(found.first)} in the first stage: {_who('events')}")
            if found.second:
                print(f"        {_some_of(found.second)} in the second, where messages are planned: {_who('messages')}")
        for kind in sorted({kind for kind, _ in counts}):
            states = [f"{counts[kind, state]} {state}" for state in STATES if (kind, state) in counts]
            print(f"work    {kind}: {', '.join(states)}")
        for one in await world.store.work.dead(limit=limit):
            print(_shown(one))

    run(look, settings=settings_beside(data, mongo_uri))


STATES = ("due", "running", "waiting", "dead")


@outbox_app.command()
def retry(
    ids: Annotated[list[str] | None, typer.Argument(help="What `outbox status` names dead, e.g. delivery/abc.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Everything that was given up.")] = False,
    mongo_uri: Uri = None,
    data: Data = None,
) -> None:
    """Let what was given up be tried anew, at once."""
    wanted = _chosen(ids, everything=everything)
    from fhir_server.cli.opened import run

    async def again(world: World) -> int:
        return await world.store.work.revive(wanted, world.clock())

    print(f"{_some(run(again, settings=settings_beside(data, mongo_uri)), wanted)} tried anew")


@outbox_app.command()
def discard(
    ids: Annotated[list[str], typer.Argument(help="What `outbox status` names dead, e.g. delivery/abc.")],
    *,
    mongo_uri: Uri = None,
    data: Data = None,
) -> None:
    """Delete what was given up: it will not be done."""
    from fhir_server.cli.opened import run

    async def delete(world: World) -> int:
        return await world.store.work.discard(ids)

    print(f"{_some(run(delete, settings=settings_beside(data, mongo_uri)), ids)} discarded")


def _chosen(ids: list[str] | None, *, everything: bool) -> list[str]:
    if bool(ids) == everything:
        raise Refused("Name what is to be tried anew, or say --all.", "fhir-server outbox status")
    return list(ids or ())


def _some(count: int, wanted: list[str]) -> str:
    """Raises Refused where something was named and nothing was found."""
    if wanted and not count:
        raise Refused("Nothing of that name was given up.", "fhir-server outbox status")
    return f"{count} of {len(wanted)}" if wanted else str(count)


def _shown(one: Dead) -> str:
    return f"dead    {one.id}  after {one.attempts} attempts: {one.error}"


def _some_of(count: int) -> str:
    return f"at least {count}" if count >= MOST else str(count)


def _who(kind: str) -> str:
    return f"does a worker, or worker --only {kind}, run?"


def _ago(milliseconds: int) -> str:
    seconds = max(0, milliseconds) // 1000
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"

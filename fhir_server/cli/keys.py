"""`fhir-server keys`: the keys of data at rest, shown and replaced while servers run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhir_server.cli import opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhir_server.services.world import World

keys_app = typer.Typer(help="Show and replace the keys of data at rest.", no_args_is_help=True)

Uri = Annotated[str | None, typer.Option(envvar="FHIR_MONGO_URI", help="MongoDB connection string.")]
SHOWN = 20


@keys_app.command("status")
def status(*, mongo_uri: Uri = None) -> None:
    """Which data keys there are, what wraps them, and how much each has sealed."""
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    from fhir_server.store import resealing

    async def work(world: World) -> None:
        store = world.store
        used = await resealing.use(store)
        table = Table("key", "made", "state", "documents", title=f"wrapped by {await store.keys.kek()}")
        for one in await store.keys.state():
            made = datetime.fromtimestamp(one.made / 1000, UTC)
            state = "seals" if one.primary else "opens" if one.retired is None else "retired"
            table.add_row(one.id, f"{made:%Y-%m-%d %H:%M}Z", state, str(used.get(one.id, 0)))
        Console().print(table)
        if await resealing.is_stopped(store):
            print("A rotation was stopped: fhir-server keys rotate goes on with it.")

    opened.run(work, mongo_uri)


@keys_app.command("rotate")
def rotate(
    *,
    kek: Annotated[bool, typer.Option("--kek", help="Wrap the keys by another service or file; see --to.")] = False,
    to: Annotated[str, typer.Option(help="With --kek: the FHIR_KEYS from now on.")] = "",
    mongo_uri: Uri = None,
) -> None:
    """Make a new data key and seal everything under it; a rotation that was stopped goes on.

    With --kek --to FHIR_KEYS the same keys are wrapped anew: restart the servers with that setting afterwards.
    """
    from fhir_server.embedded.refused import Refused

    if kek != bool(to):
        msg = "--kek and --to belong together: --kek --to vault:https://vault.example:8200/transit/fhir"
        raise Refused(msg)
    opened.run(_rewrap(to) if kek else _rotate, mongo_uri)


@keys_app.command("rotate-signing")
def rotate_signing(*, mongo_uri: Uri = None) -> None:
    """Publish new keys for tokens, which sign an hour from now. Every thirty days that happens by itself."""
    from fhir_server.services.authorization import keys

    async def work(world: World) -> None:
        await keys.rotate(world, "access")
        await keys.rotate(world, "id")
        print("New keys are in the JWKS; they sign an hour from now.")

    opened.run(work, mongo_uri)


def _rewrap(to: str) -> Callable[[World], Awaitable[None]]:
    async def work(world: World) -> None:
        from fhir_server.remote import kms

        wrapped = await world.store.keys.rewrap(kms.of(to))
        print(f"{wrapped} keys are wrapped by the new FHIR_KEYS; restart the servers with it.")

    return work


async def _rotate(world: World) -> None:
    """Exit code 1 if something could not be read."""
    from rich.console import Console
    from rich.progress import Progress

    from fhir_server.store import resealing

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("seal anew", total=await resealing.count(world.store))

        def advance(steps: int) -> Any:
            bar.advance(task, steps)

        done = await resealing.rotate(world.store, advance)
    went_on = " (went on with one that was stopped)" if done.resumed else ""
    print(f"{done.resealed} documents sealed under key {done.primary}{went_on}; {done.retired} old keys retired")
    if done.forgotten:
        print(f"{done.forgotten} keys that were retired before are forgotten")
    for one in done.unreadable[:SHOWN]:
        print(f"{one} does not open")
    if done.unreadable:
        print(f"{len(done.unreadable)} documents do not open; no key is retired")
        raise typer.Exit(1)

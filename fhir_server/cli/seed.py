"""``fhir-server seed``: fill a FHIR server with the demo clinic; ``seed_demo`` does the same without HTTP."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypedDict

import typer

from fhir_server.cli.load import DEFAULT_BASE

if TYPE_CHECKING:
    from fhir_server.cli.delivery import Answer, Tally


class ResourceStore(Protocol):
    """Where ``seed_demo`` puts resources: each is stored under its own id, or a ``Problem`` is raised."""

    async def put(self, resource: dict[str, Any]) -> object: ...


class Size(TypedDict, total=False):
    """How large a clinic is: see the options of ``seed``."""

    practitioners: int
    patients: int
    days: int


def seed(
    practitioners: Annotated[int, typer.Option(min=1, max=2000, help="practitioners, one Schedule each")] = 12,
    patients: Annotated[int, typer.Option(min=1, max=1_000_000, help="patients")] = 200,
    days: Annotated[int, typer.Option(min=0, max=120, help="working days with bookings")] = 30,
    seed_: Annotated[int, typer.Option("--seed", help="another number, another clinic")] = 7,
    base: Annotated[str, typer.Option(help="base URL of the FHIR server")] = DEFAULT_BASE,
    data: Annotated[Path | None, typer.Option(help="data folder of fhir-server dev: the demo EHR's key")] = None,
) -> None:
    """Fill a server with an invented clinic: the same numbers and the same day give the same clinic.

    A bearer token is read from FHIR_TOKEN; without it, on this machine, the demo EHR of fhir-server dev sends it.
    Ends with 1 if a resource is refused, with 2 if the server or a token is not there.
    """
    refused = asyncio.run(_seed(practitioners, patients, days, seed_, base, data))
    raise typer.Exit(1 if refused else 0)


async def _seed(practitioners: int, patients: int, days: int, seed_: int, base: str, data: Path | None) -> int:
    from fhir_server.cli.backend import bearer
    from fhir_server.cli.clinic import clinic
    from fhir_server.cli.delivery import Account, Item, deliver
    from fhir_server.cli.upload import Upload, update

    made = [update(resource) for resource in clinic(practitioners, patients, days, seed_, clinic_date())]
    items = (Item(request.path.partition("/")[0], request.path, request.lane, request) for request in made)
    async with Upload(base) as upload:
        await upload.check()
        upload.authorize(bearer(upload.base, data))
        with Account(len(made)) as account:
            await deliver(items, upload.send, account.note)
        account.summary()
    return account.tally.total("refused")


async def seed_demo(
    world: ResourceStore,
    *,
    practitioners: int = 12,
    patients: int = 200,
    days: int = 30,
    seed: int = 7,
    progress: bool = True,
    today: date | None = None,
) -> Tally:
    """Store the demo clinic through ``world.put``, 16 resources at a time, with a progress bar on a terminal.

    A resource that ``put`` refuses with a ``Problem`` is named on stderr and counted; any other error ends the seeding.
    """
    from fhir_server.cli.clinic import clinic
    from fhir_server.cli.delivery import Account, Answer, Item, deliver, lane_of
    from fhir_server.errors import Problem

    async def put(resource: dict[str, Any]) -> Answer:
        try:
            await world.put(resource)
        except Problem as problem:
            return Answer("refused", str(problem))
        return Answer("created")

    made = list(clinic(practitioners, patients, days, seed, today or clinic_date()))
    items = (Item(one["resourceType"], f"{one['resourceType']}/{one['id']}", lane_of(one), one) for one in made)
    with Account(len(made), bar=progress) as account:
        await deliver(items, put, account.note, lanes=16)
    return account.tally


def clinic_date(now: int | None = None) -> date:
    """The present date in the demo clinic's zone; ``now`` in milliseconds where it is not the real one."""
    from fhir_server.cli.clinic_places import ZONE
    from fhir_server.clock import real

    return datetime.fromtimestamp((real() if now is None else now) / 1000, tz=ZONE).date()

"""`fhir-server audit`: verify, export and prune the access record, and show the key of its checkpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from fhir_server.services.world import World
    from fhir_server.store.audit.verify import Report

T = TypeVar("T")

audit_app = typer.Typer(help="The access record: who saw and changed what.", no_args_is_help=True)

Uri = Annotated[str | None, typer.Option(envvar="FHIR_MONGO_URI", help="MongoDB connection string.")]
Since = Annotated[str, typer.Option(help="Only what was recorded on this date, or at this time, or later.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SHOWN = 50


@audit_app.command("verify")
def verify(
    *,
    since: Since = "",
    json: Json = False,
    public_key: Annotated[str, typer.Option("--key", help="Public key as it was kept, in hex.")] = "",
    against: Annotated[Path | None, typer.Option(help="Checkpoints that were kept elsewhere, one JSON a line.")] = None,
    mongo_uri: Uri = None,
) -> None:
    """Find one changed, removed, reordered or inserted entry. Exit code 1 if there is one."""
    from fhir_server.store.audit import verify as work

    kept = _kept(against)

    async def run(world: World, progress: Callable[[int], None]) -> Report:
        audit = world.store.audit
        key = public_key or (await audit.signer()).public
        secret, start = await audit.mac_secret(), _moment(world, since)
        return await work.verify(audit, public=key, secret=secret, since=start, against=kept, progress=progress)

    report = _run(run, mongo_uri, "verify", count=True)
    if json:
        _print(_as_json(report))
    else:
        for fault in report.faults[:SHOWN]:
            print(f"{fault.place}: {fault.text}")
        if len(report.faults) > SHOWN:
            print(f"… and {len(report.faults) - SHOWN} more")
        print(
            f"{report.entries} entries in {report.batches} batches of {len(report.heads)} chains, "
            f"{report.checkpoints} checkpoints, {len(report.faults)} faults"
        )
    if report.faults:
        raise typer.Exit(1)


@audit_app.command("key")
def key(*, mongo_uri: Uri = None) -> None:
    """Print the public key of the checkpoints (Ed25519, hex). Keep it where the database cannot change it."""

    async def run(world: World, _: Callable[[int], None]) -> str:
        return (await world.store.audit.signer()).public

    print(_run(run, mongo_uri, "key"))


@audit_app.command("checkpoints")
def checkpoints(*, since: Since = "", mongo_uri: Uri = None) -> None:
    """Print the signed checkpoints, one JSON a line, to be kept elsewhere for `verify --against`."""

    async def run(world: World, _: Callable[[int], None]) -> list[dict[str, Any]]:
        start, audit = _moment(world, since), world.store.audit
        return [
            one for chain in await audit.chains() for one in await audit.checkpoints_of(chain) if one["at"] >= start
        ]

    for one in _run(run, mongo_uri, "checkpoints"):
        _print(one)


@audit_app.command("prune")
def prune(
    *,
    before: Annotated[
        str, typer.Option(help="Remove what was recorded before this date; the default is the policy's.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    mongo_uri: Uri = None,
) -> None:
    """Remove what is older than FHIR_AUDIT_YEARS; a signed checkpoint says up to where. Refuses younger entries."""
    from datetime import UTC, datetime

    from fhir_server.embedded.refused import Refused
    from fhir_server.services.audit.retention import latest
    from fhir_server.store.audit import prune as work

    async def run(world: World, _: Callable[[int], None]) -> work.Pruned:
        limit = latest(world.clock(), world.settings.audit_years)
        wanted = _moment(world, before) or limit
        if wanted > limit:
            years = world.settings.audit_years
            msg = f"The access record is kept for {years} years (FHIR_AUDIT_YEARS); that date is younger."
            raise Refused(msg)
        day = datetime.fromtimestamp(wanted / 1000, UTC).date()
        if not yes:
            typer.confirm(f"Remove every entry recorded before {day}?", abort=True, err=True)
        done = await work.prune(world.store.audit, wanted, world.clock())
        await _recorded(world, "prune")
        return done

    done = _run(run, mongo_uri, "prune")
    print(f"{done.batches} batches of {done.chains} chains removed")


@audit_app.command("export")
def export(
    *,
    patient: Annotated[str, typer.Option(help="Only what concerns this patient, by id or reference.")] = "",
    since: Since = "",
    mongo_uri: Uri = None,
) -> None:
    """Print AuditEvents as NDJSON, the newest first."""
    from fhir_server.services.audit import export as work

    reference = patient if not patient or "/" in patient else f"Patient/{patient}"

    async def run(world: World, _: Callable[[int], None]) -> None:
        await _recorded(world, "export", *([reference] if reference else []))
        async for event in work.export(world, patient=reference, since=_moment(world, since)):
            _print(event)

    _run(run, mongo_uri, "export")


@audit_app.command("emergencies")
def emergencies(*, since: Since = "", mongo_uri: Uri = None) -> None:
    """Print who opened whose record by break-glass, when, until when and why; one JSON a line, the newest first."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    async def run(world: World, _: Callable[[int], None]) -> list[dict[str, Any]]:
        found = await world.store.emergencies.since(_moment(world, since) // 1000)
        await _recorded(world, "emergencies", *dict.fromkeys(one.patient for one in found))
        moments = ("at", "until")
        return [
            {**asdict(one), **{name: datetime.fromtimestamp(getattr(one, name), UTC).isoformat() for name in moments}}
            for one in found
        ]

    for one in _run(run, mongo_uri, "emergencies"):
        _print(one)


def _run(
    work: Callable[[World, Callable[[int], None]], Awaitable[T]],
    mongo_uri: str | None,
    what: str,
    *,
    count: bool = False,
) -> T:
    """Run ``work`` in an open world; with ``count`` behind a bar of so many batches as there are."""
    from rich.console import Console
    from rich.progress import Progress

    from fhir_server.cli import opened

    async def counted(world: World) -> T:
        if not count:
            return await work(world, lambda _: None)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"audit {what}", total=await world.store.audit.count())
            return await work(world, lambda steps: bar.advance(task, steps))

    return opened.run(counted, mongo_uri)


async def _recorded(world: World, what: str, *patients: str) -> None:
    """Whoever uses the record from here is in it."""
    from getpass import getuser

    from fhir_server.access.record import Access

    access = Access(
        at=world.clock(), action="E", interaction=f"$audit-{what}", client="fhir-server", subject=getuser(),
        role="operator", patients=patients,
    )  # fmt: skip
    await world.record.add(access)
    await world.store.audit.checkpoint(final=True)


def _moment(world: World, text: str) -> int:
    """The first millisecond of a date or time; 0 for none."""
    from fhir_server.embedded.refused import Refused
    from fhir_server.fhir.temporal import date_range

    try:
        return date_range(text, world.zone)[0] if text else 0
    except (ValueError, OverflowError):
        msg = "That is no date: YYYY, YYYY-MM, YYYY-MM-DD or a time with an offset is needed."
        raise Refused(msg) from None


def _kept(path: Path | None) -> list[dict[str, Any]]:
    """Checkpoints of a file."""
    from json import JSONDecodeError, loads

    from fhir_server.embedded.refused import Refused

    try:
        found = [loads(line) for line in path.read_text().splitlines() if line.strip()] if path else []
    except (OSError, UnicodeDecodeError, JSONDecodeError):
        msg = "The file of checkpoints cannot be read: one JSON object a line is needed."
        raise Refused(msg) from None
    return [one if isinstance(one, dict) else {} for one in found]


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "entries": report.entries,
        "batches": report.batches,
        "checkpoints": report.checkpoints,
        "faults": [{"place": one.place, "text": one.text} for one in report.faults],
        "heads": [{"chain": one.chain, "n": one.n, "hash": one.hash.hex()} for one in report.heads],
    }


def _print(value: dict[str, Any]) -> None:
    from fhir_server.fhir.json import dump

    print(dump(value).decode())

"""``fhir-server load``: send NDJSON files, Bundles, single resources and folders of them to a FHIR server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from fhir_server.cli.delivery import Account, Item
    from fhir_server.cli.input_files import InputFiles
    from fhir_server.cli.upload import Request

DEFAULT_BASE = "http://127.0.0.1:8080/fhir"


def load(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="NDJSON, Bundle or resource; .gz; or a folder")],
    base: Annotated[str, typer.Option(help="base URL of the FHIR server")] = DEFAULT_BASE,
    data: Annotated[Path | None, typer.Option(help="data folder of fhir-server dev: the demo EHR's key")] = None,
) -> None:
    """Load resources in the order of their dependencies; running it twice changes nothing.

    A bearer token is read from FHIR_TOKEN; without it, on this machine, the demo EHR of fhir-server dev sends them.
    Ends with 1 if a resource is refused, with 2 if a path, the server or a token is not there.
    """
    from fhir_server.cli.input_files import InputFiles, files_in

    with InputFiles() as inputs:
        try:
            files = list(files_in(paths))
        except FileNotFoundError as fault:
            msg = f"There is no file or folder {fault.args[0]}."
            raise Refused(msg) from None
        for file in files:
            inputs.add(file)
        refused = asyncio.run(_load(inputs, base, data))
    raise typer.Exit(1 if refused else 0)


async def _load(inputs: InputFiles, base: str, data: Path | None) -> int:
    from fhir_server.cli.backend import bearer
    from fhir_server.cli.delivery import Account, Answer, deliver
    from fhir_server.cli.upload import Upload

    async with Upload(base) as upload:
        await upload.check()
        upload.authorize(bearer(upload.base, data))
        with Account(len(inputs) + len(inputs.unreadable)) as account:
            for one in inputs.unreadable:
                account.note(one.type, one.place, Answer("refused", one.reason))
            await deliver(_items(inputs, account), upload.send, account.note)
        account.summary()
    return account.tally.total("refused")


def _items(inputs: InputFiles, account: Account) -> Iterator[Item[Request]]:
    from fhir_server.cli.delivery import Answer, Item
    from fhir_server.cli.upload import request_for

    for found in inputs.found():
        try:
            request = request_for(found.raw, found.given_id, inputs.urns)
        except ValueError as fault:
            account.note(found.type, found.place, Answer("refused", str(fault)))
        else:
            yield Item(found.type, f"{found.place}: {found.type}", request.lane, request)

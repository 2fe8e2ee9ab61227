"""The command `fhir-server`: one file a command, imports of weight inside the commands so that ``--help`` is quick."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from fhir_server.cli.audit import audit_app
from fhir_server.cli.clients import clients_app
from fhir_server.cli.dev import dev
from fhir_server.cli.doctor import doctor
from fhir_server.cli.keys import keys_app
from fhir_server.cli.load import load
from fhir_server.cli.outbox import outbox_app
from fhir_server.cli.rebuild import rebuild_app
from fhir_server.cli.seed import seed
from fhir_server.cli.serve import serve
from fhir_server.cli.token import token
from fhir_server.cli.users import user_app
from fhir_server.cli.worker import beat, worker
from fhir_server.embedded.refused import Refused
from fhir_server.errors import KeysError, NewerDataError, SettingsError

app = typer.Typer(
    name="fhir-server",
    help="A FHIR R4 server for appointment scheduling.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables would show patient data
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        print(f"fhir-server {version('fhir-server')}")
    except PackageNotFoundError:
        print("fhir-server, not installed as a package")
    raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


app.command()(dev)
app.command()(serve)
app.command()(worker)
app.command()(beat)
app.command()(doctor)
app.command()(load)
app.command()(seed)
app.command()(token)
app.add_typer(audit_app, name="audit")
app.add_typer(outbox_app, name="outbox")
app.add_typer(rebuild_app, name="rebuild")
app.add_typer(clients_app, name="client")
app.add_typer(user_app, name="user")
app.add_typer(keys_app, name="keys")


def main() -> None:
    """Run the command line; a refusal is one sentence on stderr and status 2."""
    try:
        app()
    except (NewerDataError, KeysError, SettingsError) as refused:
        print(refused, file=sys.stderr)
        sys.exit(2)
    except Refused as refused:
        print(refused.sentence, *(f"  {fix}" for fix in refused.fixes), sep="\n", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""`fhir-server client`: registered OAuth clients."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fhir_server.access.client import Client
    from fhir_server.services.world import World

clients_app = typer.Typer(help="Register OAuth clients: EHR backends and apps.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The client's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Uri = Annotated[str | None, typer.Option(envvar="FHIR_MONGO_URI", help="MongoDB connection string.")]
Many = list[str] | None


@clients_app.command("add")
def add(
    id_: Id,
    *,
    name: Annotated[str, typer.Option(help="What people read on the consent page.")] = "",
    kind: Annotated[str, typer.Option(help="public, symmetric or asymmetric.")] = "public",
    scope: Annotated[Many, typer.Option(help="A scope that it may be granted; again for more.")] = None,
    grant: Annotated[Many, typer.Option(help="A grant type; again for more. By kind when none is given.")] = None,
    redirect: Annotated[Many, typer.Option(help="A redirect URI; again for more.")] = None,
    launch_uri: Annotated[str, typer.Option(help="Where an EMR starts the app.")] = "",
    jwks: Annotated[Path | None, typer.Option(help="File with its public keys.", exists=True, dir_okay=False)] = None,
    jwks_uri: Annotated[str, typer.Option(help="Address of its public keys.")] = "",
    clinic: Annotated[Many, typer.Option(help="Organization/ID that walls it in; again for more.")] = None,
    origin: Annotated[Many, typer.Option(help="Web origin that may call the token endpoint.")] = None,
    channel: Annotated[str, typer.Option(help="Booking channel that a backend stands for: online, staff, phone…")] = "",
    trusted: Annotated[bool, typer.Option("--trusted", help="An app of the clinic: no consent page.")] = False,
    introspects: Annotated[bool, typer.Option("--introspects", help="May ask about tokens of any client.")] = False,
    as_json: AsJson = False,
    mongo_uri: Uri = None,
) -> None:
    """Register a client; the secret of a symmetric one is the only line on stdout, once."""
    from fhir_server.access.client import Client, Kind
    from fhir_server.access.scopes import parse
    from fhir_server.embedded.refused import Refused
    from fhir_server.services.authorization import clients

    if kind not in {one.value for one in Kind}:
        raise Refused(f"{kind} is no kind of client.", "public, symmetric or asymmetric")
    scopes = parse(scope or ())
    if len(scopes.resources) + len(scopes.others) != len(dict.fromkeys(scope or ())):
        raise Refused("One of the scopes is none.", "such as system/*.cruds, patient/Appointment.rs, openid")
    backend = kind == "asymmetric" and not redirect
    usual = ("client_credentials",) if backend else ("authorization_code", "refresh_token")
    client = Client(
        id=id_,
        name=name or id_,
        kind=Kind(kind),
        scopes=scopes,
        grant_types=frozenset(grant or usual),
        redirect_uris=tuple(redirect or ()),
        launch_uri=launch_uri,
        jwks=json.loads(jwks.read_text(encoding="utf-8")) if jwks else None,
        jwks_uri=jwks_uri,
        clinics=frozenset(clinic) if clinic else None,
        origins=tuple(origin or ()),
        channel=channel,
        trusted=trusted,
        introspects=introspects,
    )
    made, secret = _run(mongo_uri, lambda world: clients.register(world, client))
    if as_json:
        print(json.dumps({**_shown(made), **({"client_secret": secret} if secret else {})}))
    elif secret:
        print(secret)


@clients_app.command("list")
def list_(*, as_json: AsJson = False, mongo_uri: Uri = None) -> None:
    """Show all clients, a line each."""
    from fhir_server.services.authorization import clients

    found: list[Client] = _run(mongo_uri, clients.every)
    if as_json:
        print(json.dumps([_shown(one) for one in found]))
        return
    for one in found:
        print(f"{one.id}  {one.kind.value}  {'disabled' if one.disabled else 'enabled'}  {one.name}")


@clients_app.command("show")
def show(id_: Id, *, as_json: AsJson = False, mongo_uri: Uri = None) -> None:
    """Show a client."""
    from fhir_server.embedded.refused import Refused
    from fhir_server.services.authorization import clients

    found: Client | None = _run(mongo_uri, lambda world: clients.get(world, id_))
    if found is None:
        raise Refused("There is no client of that id.")
    shown = _shown(found)
    if as_json:
        print(json.dumps(shown))
        return
    for name, value in shown.items():
        print(f"{name:14} {value if isinstance(value, str) else json.dumps(value)}")


@clients_app.command("disable")
def disable(id_: Id, *, mongo_uri: Uri = None) -> None:
    """Give a client no more tokens, and let those it has open nothing, from now on."""
    from fhir_server.services.authorization import clients

    _run(mongo_uri, lambda world: clients.disable(world, id_))


@clients_app.command("enable")
def enable(id_: Id, *, mongo_uri: Uri = None) -> None:
    """Give a client tokens again."""
    from fhir_server.services.authorization import clients

    _run(mongo_uri, lambda world: clients.enable(world, id_))


@clients_app.command("rotate-secret")
def rotate_secret(id_: Id, *, as_json: AsJson = False, mongo_uri: Uri = None) -> None:
    """Make a new secret, the only line on stdout, once; the old one is void."""
    from fhir_server.services.authorization import clients

    secret = _run(mongo_uri, lambda world: clients.rotate_secret(world, id_))
    print(json.dumps({"client_id": id_, "client_secret": secret}) if as_json else secret)


@clients_app.command("remove")
def remove(id_: Id, *, mongo_uri: Uri = None) -> None:
    """Remove a client and everything that people allowed it."""
    from fhir_server.embedded.refused import Refused
    from fhir_server.services.authorization import clients

    if not _run(mongo_uri, lambda world: clients.remove(world, id_)):
        raise Refused("There is no client of that id.")


def _shown(client: Client) -> dict[str, Any]:
    """A registration without what proves the client."""
    return {
        "client_id": client.id,
        "client_name": client.name,
        "kind": client.kind.value,
        "scope": str(client.scopes),
        "grant_types": sorted(client.grant_types),
        "redirect_uris": list(client.redirect_uris),
        "launch_uri": client.launch_uri,
        "jwks": dict(client.jwks) if client.jwks else None,
        "jwks_uri": client.jwks_uri,
        "clinics": None if client.clinics is None else sorted(client.clinics),
        "origins": list(client.origins),
        "channel": client.channel,
        "trusted": client.trusted,
        "introspects": client.introspects,
        "disabled": client.disabled,
    }


def _run(mongo_uri: str | None, work: Callable[[World], Awaitable[Any]]) -> Any:
    """What the work gives. Raises Refused with the sentence of what it refuses."""
    from fhir_server.cli import opened
    from fhir_server.embedded.refused import Refused
    from fhir_server.services.authorization.clients import UnfitClientError

    try:
        return opened.run(work, mongo_uri)
    except UnfitClientError as unfit:
        raise Refused(f"{str(unfit)[:1].upper()}{str(unfit)[1:]}.") from unfit

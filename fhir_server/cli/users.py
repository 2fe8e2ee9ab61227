"""`fhir-server user`: accounts of people who log in. Passwords come from a prompt or from standard input."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from fhir_server.access.caller import Role
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from fhir_server.access.account import Account
    from fhir_server.services.world import World

_T = TypeVar("_T")

user_app = typer.Typer(help="Make, show, change and disable accounts of people who log in.", no_args_is_help=True)

Username = Annotated[str, typer.Argument(help="The username.")]
Uri = Annotated[str | None, typer.Option(envvar="FHIR_MONGO_URI", help="MongoDB connection string.")]
RoleOption = Annotated[Role | None, typer.Option("--role", help="What the person is to the clinic.")]
Name = Annotated[str | None, typer.Option(help="The person's name as pages show it.")]
FhirUser = Annotated[str | None, typer.Option(help="The person's resource, e.g. Patient/1.")]
Persons = Annotated[list[str] | None, typer.Option("--person", help="Another resource that the person is; repeatable.")]
Clinics = Annotated[list[str] | None, typer.Option("--clinic", help="Organization/… they work in; repeatable.")]


@user_app.command("add")
def add(
    username: Username,
    *,
    role: Annotated[Role, typer.Option(help="What the person is to the clinic.")],
    name: Name = None,
    fhir_user: FhirUser = None,
    person: Persons = None,
    clinic: Clinics = None,
    mongo_uri: Uri = None,
) -> None:
    """Make an account. The password is asked for; without a terminal it is the first line of standard input."""
    from fhir_server.services.authorization import accounts

    password = _password()

    async def work(world: World) -> Account:
        return await accounts.add(
            world,
            username=username,
            password=password,
            role=role,
            name=name or "",
            fhir_user=fhir_user or "",
            persons=person or (),
            clinics=clinic or (),
        )

    print(_line(_run(work, mongo_uri)))


@user_app.command("list")
def list_(*, mongo_uri: Uri = None) -> None:
    """Show all accounts, one a line."""
    from fhir_server.services.authorization import accounts

    for one in _run(accounts.every, mongo_uri):
        print(_line(one))


@user_app.command("show")
def show(username: Username, *, mongo_uri: Uri = None) -> None:
    """Show one account."""
    one = _run(lambda world: _named(world, username), mongo_uri)
    for label, value in (
        ("username", one.username),
        ("id", one.id),
        ("name", one.name),
        ("role", one.role.value),
        ("fhirUser", one.fhir_user or "-"),
        ("stands for", ", ".join(one.persons) or "-"),
        ("clinics", ", ".join(sorted(one.clinics)) or "-"),
        ("second factor", "enrolled" if one.second_factor else "no"),
        ("disabled", "yes" if one.disabled else "no"),
    ):
        print(f"{label:14} {value}")


@user_app.command("change")
def change(
    username: Username,
    *,
    role: RoleOption = None,
    name: Name = None,
    fhir_user: FhirUser = None,
    person: Persons = None,
    clinic: Clinics = None,
    mongo_uri: Uri = None,
) -> None:
    """Change what is given; --person and --clinic replace all that were there."""
    from fhir_server.services.authorization import accounts

    async def work(world: World) -> Account:
        found = await _named(world, username)
        return await accounts.change(
            world, found.id, role=role, name=name, fhir_user=fhir_user, persons=person, clinics=clinic
        )

    print(_line(_run(work, mongo_uri)))


@user_app.command("disable")
def disable(username: Username, *, mongo_uri: Uri = None) -> None:
    """End all access of an account at once."""
    from fhir_server.services.authorization import accounts

    _on(username, accounts.disable, mongo_uri)


@user_app.command("enable")
def enable(username: Username, *, mongo_uri: Uri = None) -> None:
    """Let a disabled account log in again."""
    from fhir_server.services.authorization import accounts

    _on(username, accounts.enable, mongo_uri)


@user_app.command("set-password")
def set_password(username: Username, *, mongo_uri: Uri = None) -> None:
    """Give an account another password; whoever is logged in with it is logged off."""
    from fhir_server.services.authorization import accounts

    password = _password()
    _on(username, lambda world, id_: accounts.set_password(world, id_, password), mongo_uri)


@user_app.command("reset-second-factor")
def reset_second_factor(username: Username, *, mongo_uri: Uri = None) -> None:
    """Forget the second factor of somebody who lost it; staff enrol another at the next login."""
    from fhir_server.services.authorization import accounts

    _on(username, accounts.reset_second_factor, mongo_uri)


def _on(username: str, work: Callable[[World, str], Awaitable[None]], mongo_uri: str | None) -> None:
    async def found(world: World) -> Account:
        id_ = (await _named(world, username)).id
        await work(world, id_)
        return await _named(world, username)

    print(_line(_run(found, mongo_uri)))


async def _named(world: World, username: str) -> Account:
    from fhir_server.services.authorization import accounts

    found = await accounts.named(world, username)
    if found is None:
        msg = f"There is no account {username}."
        raise Refused(msg, "fhir-server user list shows all")
    return found


def _line(one: Account) -> str:
    marks = [*(["second factor"] if one.second_factor else []), *(["disabled"] if one.disabled else [])]
    return "  ".join([one.username, one.role.value, ", ".join(one.persons) or "-", *marks])


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _run(work: Callable[[World], Awaitable[_T]], mongo_uri: str | None) -> _T:
    """Raises Refused with what the accounts refuse."""
    from fhir_server.cli import opened
    from fhir_server.errors import Problem

    try:
        return opened.run(work, mongo_uri)
    except Problem as refused:
        first, *more = (issue.text for issue in refused.issues)
        raise Refused(f"{first[:1].upper()}{first[1:]}.", *more) from refused

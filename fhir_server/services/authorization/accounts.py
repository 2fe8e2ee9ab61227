"""Accounts of people who log in: made, changed, disabled, and proved by a password.

role            fhir_user may be                      clinics
--------------  ------------------------------------  -----------
patient         Patient, RelatedPerson                none
practitioner    Practitioner                          one or more
front-desk      Practitioner                          one or more
administrator   Practitioner                          one or more
auditor         Practitioner                          any

Staff who treat nobody are Practitioners too (https://hl7.org/fhir/R4/practitioner.html#bnr): a token that says what a
person may do names the person's resource.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from fhir_server.access.account import Account
from fhir_server.access.caller import STAFF, Role
from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.services.authorization import passwords
from fhir_server.services.world import World
from fhir_server.store.accounts import Record, folded

_PERSONS = {
    Role.PATIENT: ("Patient", "RelatedPerson"),
    Role.PRACTITIONER: ("Practitioner",),
    Role.FRONT_DESK: ("Practitioner",),
    Role.ADMINISTRATOR: ("Practitioner",),
    Role.AUDITOR: ("Practitioner",),
}
_TRIES = 8
_LONGEST = 100
"""Characters of a username or a name."""


async def account(world: World, id_: str) -> Account | None:
    """The account of an id (a token's ``sub``), disabled or not."""
    found = await world.store.accounts.get(id_)
    return found.account if found else None


async def named(world: World, username: str) -> Account | None:
    found = await world.store.accounts.named(username)
    return found.account if found else None


async def every(world: World) -> list[Account]:
    """All accounts in the order of their usernames."""
    return sorted((one.account for one in await world.store.accounts.every()), key=lambda one: folded(one.username))


async def add(
    world: World,
    *,
    username: str,
    password: str,
    role: Role,
    name: str = "",
    fhir_user: str = "",
    persons: Sequence[str] = (),
    clinics: Iterable[str] = (),
) -> Account:
    """Make an account; ``persons`` are others that it stands for beside ``fhir_user``.

    :raises Problem: 422 with everything that its role does not allow, 409 for a username that is taken.
    """
    made = _account(secrets.token_hex(16), username.strip(), name, role, fhir_user, persons, clinics)
    passwords.check(password, made.username)
    await _check(world, made)
    if not await world.store.accounts.insert(Record(made, await passwords.hashed(password))):
        raise problem(Category.CONFLICT, "this username is taken", "username")
    return made


async def change(
    world: World,
    id_: str,
    *,
    name: str | None = None,
    role: Role | None = None,
    fhir_user: str | None = None,
    persons: Sequence[str] | None = None,
    clinics: Iterable[str] | None = None,
) -> Account:
    """Change what is given. The next request with a token of the account is judged by it.

    :raises Problem: 404 for an unknown account, 422 as :func:`add`.
    """
    before = (await _record(world, id_)).account
    given = before.persons[1:] if persons is None and fhir_user is None else tuple(persons or ())
    wanted = _account(
        id_,
        before.username,
        before.name if name is None else name,
        role or before.role,
        before.fhir_user if fhir_user is None else fhir_user,
        given,
        before.clinics if clinics is None else clinics,
    )
    await _check(world, wanted)
    after = await _written(
        world,
        id_,
        lambda one: replace(
            one,
            account=replace(wanted, second_factor=one.account.second_factor, disabled=one.account.disabled),
        ),
    )
    await world.store.access_epoch.moved()
    return after.account


async def disable(world: World, id_: str) -> None:
    """End all access of an account: its sessions now, its tokens at their next use.

    :raises Problem: 404 for an unknown account.
    """
    await _written(world, id_, lambda one: replace(one, account=replace(one.account, disabled=True)))
    await _end_sessions(world, id_)


async def enable(world: World, id_: str) -> None:
    """Let an account log in again; former sessions stay ended.

    :raises Problem: 404 for an unknown account.
    """
    await _written(world, id_, lambda one: replace(one, account=replace(one.account, disabled=False)))
    await world.store.access_epoch.moved()


async def set_password(world: World, id_: str, password: str) -> None:
    """Give an account another password; whoever is logged in with it is logged off.

    :raises Problem: 404 for an unknown account, 422 for a password that is not accepted.
    """
    passwords.check(password, (await _record(world, id_)).account.username)
    kept = await passwords.hashed(password)
    await _written(world, id_, lambda one: replace(one, password=kept))
    await _end_sessions(world, id_)


async def reset_second_factor(world: World, id_: str) -> None:
    """Forget the second factor, for somebody who lost it; whoever is logged in with the account is logged off.

    :raises Problem: 404 for an unknown account.
    """
    await _written(
        world,
        id_,
        lambda one: replace(
            one, account=replace(one.account, second_factor=False), totp="", offered="", step=0, recovery=()
        ),
    )
    await _end_sessions(world, id_)


async def authenticate(world: World, username: str, password: str) -> Account | None:
    """The account whose username and password these are; None if they are not or it is disabled.

    Unknown usernames, wrong passwords and disabled accounts take the same work.
    """
    found = await world.store.accounts.named(username) if len(username) <= _LONGEST else None
    if not await passwords.verified(found.password if found else "", password) or found is None:
        return None
    if found.account.disabled:
        return None
    if passwords.is_outdated(found.password):
        await world.store.accounts.replace(replace(found, password=await passwords.hashed(password)))
    return found.account


def needs_second_factor(world: World, of: Account) -> bool:
    """Whether a login is complete only with a one-time code: staff by setting, everybody who enrolled one."""
    by_role = of.role in STAFF or of.role is Role.AUDITOR
    return of.second_factor or (by_role and world.settings.require_second_factor)


def _account(
    id_: str, username: str, name: str, role: Role, fhir_user: str, persons: Sequence[str], clinics: Iterable[str]
) -> Account:
    stood_for = tuple(dict.fromkeys(one for one in (fhir_user, *persons) if one))
    return Account(id_, username, name.strip() or username, role, fhir_user, stood_for, frozenset(clinics))


async def _check(world: World, made: Account) -> None:
    issues = _issues(made)
    for reference in (*made.persons, *sorted(made.clinics)):
        type_, _, id_ = reference.partition("/")
        if id_ and not await world.store.resources.get_many(type_, [id_]):
            issues.append(Issue(f"{reference} does not exist", "persons" if reference in made.persons else "clinics"))
    if issues:
        raise Problem(Category.RULE, tuple(issues))


def _issues(made: Account) -> list[Issue]:
    issues = []
    if not 1 <= len(made.username) <= _LONGEST or not made.username.isprintable():
        issues.append(Issue(f"a username has 1 to {_LONGEST} printable characters", "username"))
    if len(made.name) > _LONGEST or not made.name.isprintable():
        issues.append(Issue(f"a name has at most {_LONGEST} printable characters", "name"))
    allowed = _PERSONS.get(made.role)
    if allowed is None:
        return [*issues, Issue(f"nobody logs in as {made.role}", "role")]
    if not made.fhir_user:
        issues.append(Issue(f"{made.role} is the role of a {' or '.join(allowed)}", "fhir_user"))
    issues += [
        Issue(f"{made.role} is not a role of {one[:80]}", "persons")
        for one in made.persons
        if one.partition("/")[0] not in allowed or not one.partition("/")[2]
    ]
    issues += [
        Issue(f"{one[:80]} is no Organization", "clinics")
        for one in made.clinics
        if not one.startswith("Organization/")
    ]
    if made.role in STAFF and not made.clinics:
        issues.append(Issue(f"{made.role} is a role in a clinic", "clinics"))
    if made.role is Role.PATIENT and made.clinics:
        issues.append(Issue("a patient works in no clinic", "clinics"))
    return issues


async def _record(world: World, id_: str) -> Record:
    found = await world.store.accounts.get(id_)
    if found is None:
        raise problem(Category.NOT_FOUND, "there is no such account")
    return found


async def _written(world: World, id_: str, made: Callable[[Record], Record]) -> Record:
    """Write what ``made`` makes of the present record, again where somebody else was faster."""
    for _ in range(_TRIES):
        after = made(await _record(world, id_))
        if await world.store.accounts.replace(after):
            return after
    raise problem(Category.CONFLICT, "this account is being changed by others")


async def _end_sessions(world: World, id_: str) -> None:
    await world.store.sessions.remove_all(id_)
    await world.store.access_epoch.moved()

"""To whom e-mail of Subscriptions may go: persons subscribe to addresses of their own record, systems to any.

caller                    addresses
------------------------  ------------------------------------------------------------------------------
patient                   ``telecom`` of those whom they act for, and of the persons that their account stands for
staff                     ``telecom`` of their Practitioner or PractitionerRole
system, no account        any; the operator who registered it answers for it

It is looked up at each sending too: an address that left the record gets nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.access.caller import Caller, Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.services.subscriptions.terms import Terms
from fhir_server.services.world import World

ENDPOINT = "Subscription.channel.endpoint"
PERSONS = frozenset({"Patient", "RelatedPerson", "Practitioner", "PractitionerRole"})


def is_person(caller: Caller) -> bool:
    """Whether somebody logged in, as opposed to a system on its own behalf."""
    return bool(caller.subject) or caller.role is not Role.SYSTEM


async def check_mailbox(world: World, terms: Terms) -> None:
    """:raises Problem: 422 for an address that is not the caller's own."""
    if not await is_own(world, terms):
        text = "e-mail of a person goes to an address of their own record (telecom), and this is none"
        raise problem(Category.RULE, text, ENDPOINT)


async def is_own(world: World, terms: Terms) -> bool:
    """Whether the world's caller may have notifications sent there."""
    caller = world.policy.caller
    if terms.channel != "email" or not is_person(caller):
        return True
    names = {*caller.persons, caller.fhir_user}
    if caller.role is Role.PATIENT:
        names |= await world.policy.people(world)
    wanted = terms.endpoint.removeprefix("mailto:").casefold()
    for one in sorted(names):
        type_, _, id_ = one.partition("/")
        found = await world.store.resources.get(type_, id_) if type_ in PERSONS else None
        if found is not None and not found.deleted and wanted in _mailboxes(parse(found.body)):
            return True
    return False


def _mailboxes(resource: Mapping[str, Any]) -> Iterator[str]:
    for one in resource.get("telecom", ()):
        if one.get("system") == "email" and one.get("use") != "old" and one.get("value"):
            yield str(one["value"]).removeprefix("mailto:").casefold()

"""Whether a Subscription may be had: its receiver may be reached, and its owner may read what it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import urlsplit

from fhir_server.access.scopes import Scope
from fhir_server.errors import Category, problem
from fhir_server.remote import egress, webhook
from fhir_server.remote.egress import Networks
from fhir_server.remote.email import Email
from fhir_server.remote.sending import Channel
from fhir_server.search.query import All, Clause, Or, ReferenceIn
from fhir_server.services.access import looks, writes
from fhir_server.services.access.policy import READING, forbidden
from fhir_server.services.subscriptions.terms import Terms
from fhir_server.services.world import World

ENDPOINT = "Subscription.channel.endpoint"
CRITERIA = "Subscription.criteria"
_MAIL = re.compile(r"(?:mailto:)?[^@\s:/?&,;<>]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)


def check_channel(world: World, terms: Terms) -> None:
    """:raises Problem: 400 for headers and 422 for receivers that nothing is sent to."""
    if terms.channel != "rest-hook" and terms.headers:
        raise problem(Category.RULE, "only a rest-hook has headers", "Subscription.channel.header")
    webhook.check_headers(terms.headers)
    if terms.channel == "email" and not _MAIL.fullmatch(terms.endpoint):
        raise problem(Category.RULE, "the endpoint of e-mail is mailto:name@host", ENDPOINT)
    if terms.channel == "email" and mail_of(world) is None:
        raise problem(Category.RULE, "this server does not send e-mail at present", "Subscription.channel.type")
    if terms.channel == "websocket" and terms.endpoint:
        raise problem(Category.RULE, "a websocket is opened by the client: no endpoint", ENDPOINT)
    if terms.channel != "rest-hook":
        return
    egress.check_url(terms.endpoint, networks(world), place=ENDPOINT)
    target = urlsplit(terms.endpoint)
    local = world.settings.environment == "development" and target.hostname in {"127.0.0.1", "localhost", "::1"}
    if target.scheme == "http" and terms.content == "full-resource" and not local:
        raise problem(Category.RULE, "full-resource goes over https alone", ENDPOINT)


def networks(world: World) -> Networks:
    """What notifications may reach beyond the public internet."""
    settings = world.settings
    return _networks(settings.egress_allow, settings.environment == "development", settings.egress_ca)


@lru_cache(maxsize=8)
def _networks(allow: str, loopback: bool, authorities: str) -> Networks:
    return egress.networks_of(allow, loopback=loopback, authorities=authorities)


def mail_of(world: World) -> Channel[Email] | None:
    """The channel for e-mail; None where the operator has not set one up."""
    return world.channels.email


async def check_rights(world: World, terms: Terms) -> None:
    """Whether the caller may read what would be told, and may ask by what it is filtered.

    :raises Problem: 403.
    """
    policy = world.policy
    for type_ in sorted(terms.types):
        if not policy.permits(type_):
            raise forbidden(type_, "r")
        clauses = list(asked(terms, type_))
        for clause in clauses:
            looks.check(policy.caller.role, type_, clause)
        named = {one for clause in clauses for one in _patients(clause)}
        await writes.check_patients(world, named, CRITERIA)
        if not any(_covers(world, scope, type_, clauses, named) for scope in policy.scopes(type_, READING)):
            raise problem(Category.FORBIDDEN, "the token's scopes do not reach what the filter asks for", CRITERIA,
                          "withheld")  # fmt: skip


def asked(terms: Terms, type_: str) -> Iterator[Clause]:
    """The criteria of a type that the subscriber wrote: filters, or the classic search."""
    yield from terms.filtered(type_)
    if not terms.topic:
        for trigger in terms.triggers:
            yield from trigger.current or ()


def _covers(world: World, scope: Scope, type_: str, clauses: Iterable[Clause], named: Iterable[str]) -> bool:
    """Whether a scope lets through what is asked for: not another patient, nor other values than its own criteria."""
    if scope.context == "patient" and any(one != world.policy.caller.patient for one in named):
        return False
    if not scope.query:
        return True
    granted = world.policy.asked(world, scope, type_)
    if granted is None:
        return False
    return all(_implied(one, granted) for one in clauses)


def _implied(clause: Clause, granted: Iterable[Clause]) -> bool:
    """Whether a filter asks for no other values of a parameter than those that a scope grants."""
    values = getattr(clause, "values", None)
    code = getattr(getattr(clause, "definition", None), "code", "")
    for one in granted:
        if code and getattr(getattr(one, "definition", None), "code", "") == code:
            allowed = getattr(one, "values", None)
            if values is None or allowed is None or not set(values) <= set(allowed):
                return False
    return True


def _patients(clause: Clause) -> Iterator[str]:
    match clause:
        case Or(clauses=several) | All(clauses=several):
            for one in several:
                yield from _patients(one)
        case ReferenceIn(values=values):
            yield from (one for one in values if one.startswith("Patient/"))
        case _:
            return

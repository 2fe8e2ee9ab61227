"""The search parameters of AuditEvent, read. https://hl7.org/fhir/R4/auditevent.html#search

parameter  type       values
---------  ---------  ------------------------------------------------------------------------------
patient    reference  Patient/1, 1, [base]/Patient/1
entity     reference  Appointment/1: a resource that was shown or written, or the patient
agent      reference  Practitioner/1, 1; ``:identifier`` issuer|subject, |client, or one of both
date       date       eq ne gt lt ge le sa eb ap: when it was recorded
action     token      C R U D E
subtype    token      read, search, $book, 110122 …, with or without the system
type       token      rest, 110114
outcome    token      0 4 8 12
_id        token
_count     number     events on a page; _sort is -date alone

Repeats are AND, commas are OR.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fhir_server.fhir.temporal import date_range
from fhir_server.fhir.types import is_id
from fhir_server.rest.context import Context
from fhir_server.search.references import base_forms, comparable
from fhir_server.search.syntax import invalid, plain, split, token, unsupported
from fhir_server.services.audit.search import Asked, Range

PARAMETERS: Mapping[str, str] = {
    "action": "token", "agent": "reference", "date": "date", "entity": "reference", "outcome": "token",
    "patient": "reference", "subtype": "token", "type": "token",
}  # fmt: skip
"""Name and type of R4's parameters that are offered; ``_id`` besides."""

SILENT = frozenset({"_format", "_pretty", "_page", "_total"})
AGENTS = ("Practitioner", "PractitionerRole", "Organization", "Device", "Patient", "RelatedPerson")
_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_SPACED_OFFSET = re.compile(r"(T[0-9:.]+) (\d\d:\d\d)")
_ACTIONS = {"action": frozenset("CRUDE"), "outcome": frozenset({"0", "4", "8", "12"})}


@dataclass(frozen=True, slots=True)
class Read:
    """What is asked, the pairs in effect, and the names that were not understood."""

    asked: Asked
    used: list[tuple[str, str]]
    unknown: tuple[str, ...]


def read(context: Context, pairs: Sequence[tuple[str, str]]) -> Read:
    """Read decoded pairs.

    :raises Problem: 400 for a malformed value, a modifier that is not offered, another order than ``-date``.
    """
    settings = context.world.settings
    asked, used, unknown = Asked(count=settings.page_size), list[tuple[str, str]](), []
    for name, text in pairs:
        code, _, modifier = name.partition(":")
        if code in SILENT or not text:
            continue
        if code == "_count":
            asked = replace(asked, count=_counted(text, settings.page_limit))
            used.append((name, str(asked.count)))
        elif code == "_sort":
            if text != "-date":
                raise unsupported("_sort", "AuditEvents come the newest first: _sort is -date")
            used.append((name, text))
        elif code == "_id" or code in PARAMETERS:
            if modifier and (code, modifier) != ("agent", "identifier"):
                raise unsupported(name, "this modifier is not supported for this parameter")
            values = [value for value in split(text, ",") if value]
            asked = _with(asked, context, code, name, values) if values else asked
            used.append((name, text))
        else:
            unknown.append(name)
    return Read(asked, used, tuple(dict.fromkeys(unknown)))


def _with(asked: Asked, context: Context, code: str, name: str, values: list[str]) -> Asked:
    """What is asked with one parameter more."""
    if code == "patient":
        return replace(asked, patients=(*asked.patients, _references(context, values, ("Patient",))))
    if code == "entity":
        return replace(asked, entities=(*asked.entities, _references(context, values, ("Patient",))))
    if code == "agent":
        found = _identified(context, values) if ":" in name else _references(context, values, AGENTS)
        return replace(asked, agents=(*asked.agents, found))
    if code == "date":
        ranges = tuple(one for value in values for one in dates(context, value, name))
        return replace(asked, dates=(*asked.dates, ranges))
    if code == "_id":
        return replace(asked, ids=(*asked.ids, frozenset(plain(value) for value in values)))
    tokens = frozenset(token(value) for value in values)
    if code == "type":
        return replace(asked, types=(*asked.types, tokens))
    if code == "subtype":
        return replace(asked, subtypes=(*asked.subtypes, tokens))
    # The system of a code is implied by its element.
    codes = frozenset(one for _, one in tokens)
    if not codes <= _ACTIONS[code]:
        raise invalid(name, f"{code} is one of {', '.join(sorted(_ACTIONS[code]))}")
    if code == "action":
        return replace(asked, actions=(*asked.actions, codes))
    return replace(asked, outcomes=(*asked.outcomes, codes))


def _references(context: Context, values: Iterable[str], targets: Sequence[str]) -> frozenset[str]:
    bases = base_forms((context.base, *context.world.bases))
    found: set[str] = set()
    for value in values:
        text = comparable(plain(value), bases)
        found.update(f"{target}/{text}" for target in targets) if is_id(text) else found.add(text)
    return frozenset(found)


def _identified(context: Context, values: Iterable[str]) -> frozenset[str]:
    """``issuer|subject`` and ``|client``; without an issuer a client, or a person whom this server vouches for."""
    found: set[str] = set()
    for value in values:
        system, code = token(value)
        found |= {f"|{code}", f"{context.world.settings.issuer}|{code}"} if system is None else {f"{system}|{code}"}
    return frozenset(found)


def dates(context: Context, text: str, name: str) -> list[Range]:
    """The ranges that a date with its prefix means.

    :raises Problem: 400 for what is no date.
    """
    found = _PREFIXED.fullmatch(text)
    assert found is not None
    prefix = found[1] or "eq"
    try:
        # A form decodes the + of an offset to a space.
        low, high = date_range(_SPACED_OFFSET.sub(r"\1+\2", found[2]), context.world.zone)
    except (ValueError, OverflowError):
        raise invalid(name, "a date is needed: YYYY, YYYY-MM, YYYY-MM-DD or a dateTime with an offset") from None
    gap = abs(context.world.clock() - low) // 10
    meant: Mapping[str, list[Range]] = {
        "eq": [(low, high)], "ne": [(None, low), (high, None)], "gt": [(high, None)], "sa": [(high, None)],
        "ge": [(low, None)], "lt": [(None, low)], "eb": [(None, low)], "le": [(None, high)],
        "ap": [(low - gap, high + gap)],
    }  # fmt: skip
    return meant[prefix]


def _counted(text: str, limit: int) -> int:
    if not _COUNT.fullmatch(text):
        raise invalid("_count", "a whole number from 0 up is needed")
    return min(int(text), limit)


def described() -> list[tuple[str, str, str]]:
    """Name, type and canonical URL of what is offered."""
    url = "http://hl7.org/fhir/SearchParameter/AuditEvent-"
    return [
        *((code, kind, f"{url}{code}") for code, kind in PARAMETERS.items()),
        ("_id", "token", "http://hl7.org/fhir/SearchParameter/Resource-id"),
    ]

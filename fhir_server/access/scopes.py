"""SMART scopes, read and written, https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html.

scope                                means
-----------------------------------  ------------------------------------------------------------------------
patient/Appointment.rs               v2: permissions are a subset of ``cruds`` in that order
patient/Appointment.rs?status=booked the same, only where the search criteria are true
user/*.cruds                         every type
patient/Appointment.read             v1: ``.read`` is ``rs``, ``.write`` is ``cud``, ``.*`` is ``cruds``
openid, launch/patient …             no resource: kept as they are

A text that is none of this (``.sr``, ``.dus``, an unknown context) is no scope and grants nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

OTHERS = frozenset({
    "openid", "fhirUser", "profile", "launch", "launch/patient", "launch/encounter", "launch/appointment",
    "offline_access", "online_access",
})  # fmt: skip
"""Scopes that name no resource."""

CONTEXTS = ("patient", "user", "system")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_GRAMMAR = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]{1,63})"
    r"\.(?:(?P<v1>read|write|\*)|(?P<v2>c?r?u?d?s?))(?:\?(?P<query>.+))?"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope on resources: ``context`` patient, user or system; ``type`` a resource type or ``*``.

    ``permissions`` are letters of ``cruds``; ``query`` holds the decoded search criteria that restrict it.
    ``text`` is the scope as it was written.
    """

    context: str
    type: str
    permissions: str
    query: tuple[tuple[str, str], ...]
    text: str

    def covers(self, type_: str, permission: str) -> bool:
        """Whether it speaks of a type and allows one of ``cruds``, apart from its criteria."""
        return self.type in {"*", type_} and permission in self.permissions

    def includes(self, other: Scope) -> bool:
        """Whether whoever has this one may have the other too: its types and permissions at least, no criteria more."""
        return (
            self.context == other.context
            and self.type in {"*", other.type}
            and set(other.permissions) <= set(self.permissions)
            and (not self.query or self.query == other.query)
        )


def read(text: str) -> Scope | None:
    """A scope on resources; None for every other text."""
    found = _GRAMMAR.fullmatch(text)
    if found is None or (found["v2"] == "" and not found["v1"]) or (found["v1"] and found["query"]):
        return None
    query = tuple(parse_qsl(found["query"] or "", keep_blank_values=True))
    if found["query"] and (not query or any(not name or not value for name, value in query)):
        return None
    return Scope(found["context"], found["type"], _V1.get(found["v1"] or "", found["v2"] or ""), query, text)


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a token grants: scopes on resources, and the others by name."""

    resources: tuple[Scope, ...] = ()
    others: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """The scopes as a token response says them."""
        return " ".join([*sorted(self.others), *(one.text for one in self.resources)])

    def permit(self, type_: str, permission: str) -> bool:
        """Whether one of ``cruds`` is granted on a type at all, on whichever resources."""
        return any(one.covers(type_, permission) for one in self.resources)

    @property
    def contexts(self) -> frozenset[str]:
        """Which of patient, user and system occur."""
        return frozenset(one.context for one in self.resources)


NONE = Scopes()


def parse(text: str | Iterable[str]) -> Scopes:
    """Scopes of a space-separated text; what is no scope is left out, each once, in their order."""
    words = dict.fromkeys(text.split() if isinstance(text, str) else text)
    found = [one for word in words if (one := read(word))]
    return Scopes(tuple(found), frozenset(words) & OTHERS)


def within(asked: Scopes, limit: Scopes) -> Scopes:
    """The asked scopes that a limit (a client's registration, an earlier grant) includes."""
    kept = tuple(one for one in asked.resources if any(most.includes(one) for most in limit.resources))
    return Scopes(kept, asked.others & limit.others)

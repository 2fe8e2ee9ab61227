"""Search parameters whose stored values are keyed hashes: they say who somebody is, or why somebody comes.

A hash can be equal and nothing else. So a sealed parameter is found

    token   by its value, ``:not``, ``:of-type``; ``:text`` by the beginning of a text
    string  by the beginning of a text, of at most ``LONGEST`` characters, and ``:exact``
    date    by year, month or day, without a prefix
    uri     by its value
    any     by ``:missing``

and never by ranges, ``:contains`` or an order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_server.fhir.types import SEALED_TYPES

PERSONAL = SEALED_TYPES - {"Schedule", "Slot"}
"""Types of which the texts beside codes and the identifiers of logical references are hashed as well.

Schedules and Slots say in their search values what is offered, not to whom.
"""

LONGEST = 32
"""Characters of the longest beginning that a text is found by: each length has a hash of its own."""

_TABLE = """
Appointment: identifier reason-code
AppointmentResponse: identifier
Communication: identifier
CommunicationRequest: group-identifier identifier
Consent: identifier
Coverage: class-value dependent identifier
Encounter: identifier reason-code
Flag: identifier
Group: identifier
Patient: address address-city<address address-country<address address-postalcode<address address-state<address
Patient: birthdate death-date email<telecom family<name given<name identifier mothersMaidenName name phone<telecom
Patient: telecom
RelatedPerson: address address-city<address address-country<address address-postalcode<address address-state<address
RelatedPerson: birthdate email<telecom identifier name phone<telecom telecom
ServiceRequest: code identifier requisition
Subscription: contact criteria url
"""
"""``narrow<wide``: every value of the narrow parameter is one of the wide one, whose index serves both."""


def _read(table: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in table.strip().splitlines():
        kind, _, names = line.partition(": ")
        for name in names.split():
            code, _, wider = name.partition("<")
            found.setdefault(kind, {})[code] = wider
    return found


SEALED = _read(_TABLE)
"""Type → sealed parameter → the wider parameter that has all of its values, or empty."""

ANSWERS = {
    "token": "Sealed: found by its value; it gives no order.",
    "string": f"Sealed: found by the beginning of a text, of at most {LONGEST} characters, and by :exact; no order.",
    "date": "Sealed: found by a year, a month or a day, without a prefix; it gives no order.",
    "uri": "Sealed: found by its value; it gives no order.",
}
"""What the CapabilityStatement says of a sealed parameter, by its type."""


def beginnings(texts: Iterable[str]) -> Iterator[str]:
    """What texts are found by: each of their beginnings, some of them several times."""
    return (text[:end] for text in texts for end in range(1, min(len(text), LONGEST) + 1))

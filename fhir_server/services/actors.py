"""Who is busy: which participants and Schedule actors have a calendar of their own, and under which key.

Practitioners, devices, rooms, patients and related persons are one at a time. A site or a service is where or what, not
who: a Schedule that names nobody else keeps a calendar of its own (``Schedule/1``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Resource = Mapping[str, Any]

EXCLUSIVE_TYPES = frozenset({"Practitioner", "Device", "Patient", "RelatedPerson"})
PATIENT_TYPES = frozenset({"Patient"})
ROOM_TYPES = frozenset({"ro", "bd", "ve"})
"""Location.physicalType codes of places that one visit fills: room, bed, vehicle."""


def reference_of(reference: Any, bases: Iterable[str] = ()) -> str:
    """``Type/id`` of a Reference, ``#system|value`` of a logical one, or empty.

    :param bases: our own FHIR base, which is cut off absolute references.
    """
    if not isinstance(reference, Mapping):
        return ""
    literal = reference.get("reference")
    if isinstance(literal, str) and literal and not literal.startswith("#"):
        return _cut(literal, bases).split("/_history/", 1)[0]
    identifier = reference.get("identifier")
    if isinstance(identifier, Mapping) and identifier.get("value"):
        return f"#{identifier.get('system', '')}|{identifier['value']}"
    return ""


def _cut(literal: str, bases: Iterable[str]) -> str:
    # Scheme and host of a URL are the same in capitals. https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.1
    return next((literal[len(base) :] for base in bases if literal[: len(base)].lower() == base.lower()), literal)


def with_own_references(node: Any, bases: Sequence[str]) -> Any:
    """A resource in which references to our own base are relative, for the engine; what is stored stays as sent."""
    if isinstance(node, Mapping):
        return {
            name: _cut(value, bases)
            if name == "reference" and isinstance(value, str)
            else with_own_references(value, bases)
            for name, value in node.items()
        }
    return [with_own_references(one, bases) for one in node] if isinstance(node, list) else node


def tokens_of(concepts: Iterable[Any]) -> frozenset[str]:
    """``=code`` and ``system|code`` of CodeableConcepts, as the search index writes them."""
    found: set[str] = set()
    for concept in concepts:
        for coding in concept.get("coding", ()) if isinstance(concept, Mapping) else ():
            code = coding.get("code")
            if code:
                found.add(f"={code}")
                found.add(f"{coding.get('system', '')}|{code}")
    return frozenset(found)


def is_room(location: Resource | None) -> bool:
    codings = ((location or {}).get("physicalType") or {}).get("coding", ())
    return any(coding.get("code") in ROOM_TYPES for coding in codings)


def actor_key(reference: str, around: Mapping[str, Resource]) -> str:
    """Whose calendar one actor fills, or empty if it is a place or a service; ``Vault.calendar_key`` makes the key.

    A PractitionerRole is its practitioner: one human has one calendar, whatever the hat.
    """
    type_ = reference.partition("/")[0]
    if type_ in EXCLUSIVE_TYPES:
        return reference
    if type_ == "PractitionerRole":
        return reference_of((around.get(reference) or {}).get("practitioner")) or reference
    if type_ == "Location":
        return reference if is_room(around.get(reference)) else ""
    return reference if reference.startswith("#") else ""


def actor_keys(schedule: Resource, around: Mapping[str, Resource], sealed: Callable[[str], str]) -> tuple[str, ...]:
    """The calendars that a booking on this Schedule fills, by key.

    :param sealed: ``Vault.calendar_key``.
    """
    names = (actor_key(reference_of(actor), around) for actor in schedule.get("actor", ()))
    found = dict.fromkeys(sealed(name) for name in names if name)
    return tuple(found) or (f"Schedule/{schedule['id']}",)

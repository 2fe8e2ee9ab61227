"""Search values as they are stored: those that say who somebody is are keyed hashes, everything else is as it was.

    plain (``search/extract.py``)              stored
    -----------------------------------------  -------------------------------------------------------------
    token, its ``:of-type``, ``:exact`` text   one hash each
    string, ``:text``                          one hash for each beginning of 1 to 32 characters
    date ``{l, h}``                            one hash each for its year, month and day, as far as they hold it
    reference ``#system|value``                ``#`` and a hash; all other references as they are

A hash is bound to type and parameter; a parameter that another one covers shares the hashes of that one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from fhir_server.fhir.temporal import date_range
from fhir_server.search.definitions import Definition, Definitions
from fhir_server.search.sealed import PERSONAL, beginnings
from fhir_server.store.sealing import Sealer

Known = dict[tuple[str, str], bytes]
"""Hashes of one resource: what is a part of a name is a beginning in several of its parameters."""

Seal = Callable[[Any, Known], Any]


@dataclass(frozen=True, slots=True)
class Hashed:
    """A value in a filter for which the store puts the keyed hash; ``reference``: as it stands in references."""

    domain: str
    text: str
    reference: bool = False


def domain_of(definition: Definition, part: str = "") -> str:
    """Within what hashes of equal texts are equal; ``part`` is ``:exact``, ``:text``, ``:of-type`` or empty."""
    return f"{definition.base}.{definition.domain}{part}"


def day_text(low: int, high: int) -> str:
    """A year, month or day, in milliseconds, as it is hashed."""
    return f"{low}/{high}"


class SealedIndex:
    """Turns plain search values into stored ones, type by type."""

    def __init__(self, sealer: Sealer, definitions: Definitions, zone: tzinfo) -> None:
        """``zone`` is the one in which dates without an offset are read."""
        self._sealer = sealer
        self._zone = zone
        self._by_type = {
            kind: {name: seal for one in definitions.of(kind).values() for name, seal in self._seals(one)}
            for kind in PERSONAL
            if kind in definitions.types
        }

    def of(self, type_: str, index: Mapping[str, Any]) -> dict[str, Any]:
        """The stored form of a resource's search values."""
        seals = self._by_type.get(type_)
        if not seals:
            return dict(index)
        known: Known = {}
        return {name: seals[name](value, known) if name in seals else value for name, value in index.items()}

    def value(self, hashed: Hashed) -> Any:
        """The stored form of one searched value."""
        if hashed.reference:
            return self._reference(hashed.domain, hashed.text)
        return self._sealer.hashed(hashed.domain, hashed.text)

    def _seals(self, one: Definition) -> list[tuple[str, Seal]]:
        """What happens to the values of one parameter, by their names in ``idx``."""
        texts = [(f"{one.code}:text", self._beginnings(domain_of(one, ":text")))]
        if one.type == "reference":
            each = self._each_reference(domain_of(one))
            return [(one.code, each), (f"{one.code}:sort", each)]
        if not one.sealed:
            return texts if one.type == "token" else []
        if one.type == "string":
            return [
                (one.code, self._beginnings(domain_of(one))),
                (f"{one.code}:exact", self._each(domain_of(one, ":exact"))),
            ]
        if one.type == "date":
            return [(one.code, self._days(domain_of(one)))]
        return [
            *texts,
            (one.code, self._each(domain_of(one))),
            (f"{one.code}:of-type", self._each(domain_of(one, ":of-type"))),
        ]

    def _hashes(self, domain: str, texts: Iterable[str], known: Known) -> list[bytes]:
        """Of each text once."""
        found: list[bytes] = []
        for text in dict.fromkeys(texts):
            key = (domain, text)
            hashed = known.get(key)
            if hashed is None:
                hashed = known[key] = self._sealer.hashed(domain, text)
            found.append(hashed)
        return found

    def _each(self, domain: str) -> Seal:
        return lambda value, known: self._hashes(domain, _listed(value), known)

    def _beginnings(self, domain: str) -> Seal:
        return lambda value, known: self._hashes(domain, beginnings(_listed(value)), known)

    def _days(self, domain: str) -> Seal:
        return lambda value, known: self._hashes(
            domain, (day for one in _listed(value) for day in self._holding(one)), known
        )

    def _holding(self, span: Mapping[str, int]) -> list[str]:
        """The year, the month and the day in which a time lies wholly."""
        try:
            began = (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=span["l"])).astimezone(self._zone)
            day = began.date().isoformat()
            wider = [date_range(text, self._zone) for text in (day, day[:7], day[:4])]
        except (ValueError, OverflowError):
            return []
        return [day_text(low, high) for low, high in wider if low <= span["l"] and span["h"] <= high]

    def _each_reference(self, domain: str) -> Seal:
        def one(value: str) -> str:
            return self._reference(domain, value) if value.startswith("#") else value

        return lambda value, _: [one(each) for each in value] if isinstance(value, list) else one(value)

    def _reference(self, domain: str, text: str) -> str:
        return f"#{base64.urlsafe_b64encode(self._sealer.hashed(domain, text)).decode()}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

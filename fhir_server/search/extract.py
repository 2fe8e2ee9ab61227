"""Index values of a resource: what a search compares, extracted when the resource is written.

    type        one value                                       stored as
    ----------  ----------------------------------------------  ----------------------------------------------
    token       Coding, each of a CodeableConcept, Identifier,  "=code", "system|code", "system|"
                ContactPoint                                    ("|code" without a system); what is displayed,
                                                                normalised, under "<code>:text"; of Identifiers with
                                                                a type "system|code|value" under "<code>:of-type"
                code, boolean, id                               "=value"
    reference   Reference, canonical                            see references.py
    string      string, HumanName, Address                      normalised; the originals under "<code>:exact"
    date        date, dateTime, instant, Period, Timing         {"l": ms, "h": ms}, half-open
    quantity    Quantity                                        {"v": float, "u": ["=unit", "system|code"]}
    number      decimal, integer                                {"v": float}
    uri         uri, canonical                                  the text; a canonical also without its version
    special     Location.position                               GeoJSON Point
    composite   an element                                      {"c1": [values], "c2": [values]}, both present

A value that is there but has nothing to compare (a concept of text only) is stored as "": it is not missing.
A parameter with one value at most is a scalar, any other a list, whose first value stands under "<code>:sort"; without
a value it is absent.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fhir_server.fhir.temporal import date_range
from fhir_server.search.references import base_forms, comparable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fhir_server.search.definitions import Definition

EARLIEST, LATEST = -62135596800000, 253402300800000
"""Milliseconds that stand for the open ends of a Period: 0001-01-01 and 10000-01-01."""

_PARTS = (
    "text", "family", "given", "prefix", "suffix", "line", "city", "district", "state", "postalCode", "country",
)  # fmt: skip


def index_values(
    resource: dict[str, Any],
    definitions: Mapping[str, Definition],
    bases: Iterable[str] = (),
    zone: tzinfo = UTC,
) -> dict[str, Any]:
    """The ``idx`` sub-document of a resource, in the shapes of the table above.

    ``bases`` are the URLs under which this server is known; they are cut off references. Dates without an offset are
    read in ``zone``. ``_id`` and ``_lastUpdated`` are not here: the stored document has fields for them.
    """
    reading = _Reading(base_forms(bases), zone)
    found: dict[str, Any] = {}
    for code, definition in definitions.items():
        if not definition.indexed or not (nodes := definition.select(resource)):
            continue
        values = _values(definition, nodes, reading)
        if definition.type == "string":
            exact = list(dict.fromkeys(unicodedata.normalize("NFC", text) for text in _strings(nodes)))
            if exact:
                found[f"{code}:exact"] = exact[0] if definition.single and len(exact) == 1 else exact
        elif definition.type == "token":
            if "text" in definition.modifiers and (shown := _displayed(nodes)):
                found[f"{code}:text"] = shown
            if "of-type" in definition.modifiers and (typed := _typed(nodes)):
                found[f"{code}:of-type"] = typed
        if values:
            found[code] = values[0] if definition.single and len(values) == 1 else values
            if definition.sortable and not definition.scalar:
                found[f"{code}:sort"] = values[0]
    return found


@dataclass(frozen=True, slots=True)
class _Reading:
    bases: tuple[str, ...]
    zone: tzinfo


def _values(definition: Definition, nodes: list[Any], reading: _Reading) -> list[Any]:
    """Index values of the elements that a parameter names, each once."""
    kind = definition.type
    if kind == "string":
        return list(dict.fromkeys(map(normalised, _strings(nodes))))
    if kind == "reference":
        return _references(nodes, reading.bases)
    if kind == "date":
        return _ranges(nodes, reading.zone)
    if kind == "composite":
        return _composites(definition, nodes, reading)
    return _VALUES[kind](nodes)


def _composites(definition: Definition, nodes: list[Any], reading: _Reading) -> list[Any]:
    found: list[Any] = []
    for node in nodes:
        if isinstance(node, dict):
            parts = {part.code: _values(part, part.select(node), reading) for part in definition.components}
            if all(parts.values()) and parts not in found:
                found.append(parts)
    return found


def normalised(text: str) -> str:
    """Text as string search compares it: no case, no accents, single spaces."""
    if not text.isascii():
        # Folding a case can bring forth new marks, which a second round takes away.
        text = _unmarked(_unmarked(text).casefold())
    return " ".join(text.casefold().split())


def _unmarked(text: str) -> str:
    return "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))


def _tokens(nodes: list[Any]) -> list[Any]:
    found: dict[str, None] = {}
    for node in nodes:
        if isinstance(node, str):
            found[f"={node}"] = None
        elif isinstance(node, bool):
            found["=true" if node else "=false"] = None
        elif isinstance(node, dict):
            codings = node["coding"] if isinstance(node.get("coding"), list) else (node,)
            before = len(found)
            for coding in codings:
                if isinstance(coding, dict):
                    found.update(_token(coding))
            if len(found) == before:
                found[""] = None
    return list(found)


def _displayed(nodes: list[Any]) -> list[str]:
    """What a person reads: text and displays of concepts, the type of Identifiers; normalised."""
    found: dict[str, None] = {}
    for node in nodes:
        if not isinstance(node, dict):
            continue
        concept = node["type"] if isinstance(node.get("type"), dict) else node
        codings = concept.get("coding")
        shown = [concept.get("text"), node.get("display")]
        if concept is node and isinstance(codings, list):
            shown += [coding.get("display") for coding in codings if isinstance(coding, dict)]
        found |= {normalised(text): None for text in shown if isinstance(text, str)}
    return list(found)


def _typed(nodes: list[Any]) -> list[str]:
    """``system|code|value`` of every Identifier with a type."""
    found: dict[str, None] = {}
    for node in nodes:
        kind = node.get("type") if isinstance(node, dict) else None
        codings = kind.get("coding") if isinstance(kind, dict) else None
        for coding in codings if isinstance(codings, list) else ():
            if isinstance(coding, dict) and "code" in coding and "value" in node:
                found[f"{coding.get('system', '')}|{coding['code']}|{node['value']}"] = None
    return list(found)


def _token(node: dict[str, Any]) -> dict[str, None]:
    """Index strings of a Coding, Identifier or ContactPoint."""
    system, code = node.get("system"), node.get("code") or node.get("value")
    found: dict[str, None] = {}
    if isinstance(code, str):
        found[f"={code}"] = None
        found[f"{system or ''}|{code}"] = None
    if system:
        found[f"{system}|"] = None
    return found


def _references(nodes: list[Any], bases: tuple[str, ...]) -> list[Any]:
    found: dict[str, None] = {}
    for node in nodes:
        if isinstance(node, str):
            found.update(dict.fromkeys(_with_unversioned(node)))
        elif isinstance(node, dict):
            text, identifier = node.get("reference"), node.get("identifier")
            if isinstance(text, str):
                found["" if text.startswith("#") else comparable(text, bases)] = None
            if isinstance(identifier, dict):
                found.update((f"#{value}", None) for value in _token(identifier))
            if text is None and identifier is None and "display" in node:
                found[""] = None
    return list(found)


def _uris(nodes: list[Any]) -> list[Any]:
    return list(dict.fromkeys(text for node in nodes if isinstance(node, str) for text in _with_unversioned(node)))


def _with_unversioned(uri: str) -> tuple[str, ...]:
    """A canonical with and without its version."""
    url, bar, _ = uri.partition("|")
    return (uri, url) if bar else (uri,)


def _strings(nodes: list[Any]) -> list[str]:
    found: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            found.append(node)
        elif isinstance(node, dict):
            for part in _PARTS:
                value = node.get(part)
                if isinstance(value, str):
                    found.append(value)
                elif isinstance(value, list):
                    found += [item for item in value if isinstance(item, str)]
    return found


def _ranges(nodes: list[Any], zone: tzinfo) -> list[Any]:
    found: list[Any] = []
    for node in nodes:
        try:
            ends = date_range(node, zone) if isinstance(node, str) else _outer(node, zone)
        except (ValueError, OverflowError):
            # The validator refuses such a value; one that is stored all the same is found by no date.
            continue
        if ends is not None:
            found.append({"l": ends[0], "h": ends[1]})
    return found


def _outer(node: Any, zone: tzinfo) -> tuple[int, int] | None:
    """The outer limits of a Period or a Timing; ``None`` when it names no time."""
    if not isinstance(node, dict):
        return None
    if "start" in node or "end" in node:
        low = date_range(node["start"], zone)[0] if "start" in node else EARLIEST
        return low, date_range(node["end"], zone)[1] if "end" in node else LATEST
    ends = [date_range(event, zone) for event in node.get("event", ()) if isinstance(event, str)]
    repeat = node.get("repeat")
    bounds = _outer(repeat.get("boundsPeriod"), zone) if isinstance(repeat, dict) else None
    if bounds is not None:
        ends.append(bounds)
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def _quantities(nodes: list[Any]) -> list[Any]:
    found: list[Any] = []
    for node in nodes:
        if isinstance(node, dict) and isinstance(node.get("value"), str | bool | None) is False:
            units = [f"={node[key]}" for key in ("code", "unit") if isinstance(node.get(key), str)]
            if "code" in node:
                units.append(f"{node.get('system', '')}|{node['code']}")
            found.append({"v": float(node["value"]), "u": list(dict.fromkeys(units))})
    return found


def _numbers(nodes: list[Any]) -> list[Any]:
    found = (float(node) for node in nodes if isinstance(node, int | float | Decimal) and not isinstance(node, bool))
    return [{"v": value} for value in dict.fromkeys(found)]


def _points(nodes: list[Any]) -> list[Any]:
    """Positions as GeoJSON; one outside the globe cannot be indexed and is left out."""
    found: list[Any] = []
    for node in nodes:
        if isinstance(node, dict) and "latitude" in node and "longitude" in node:
            latitude, longitude = float(node["latitude"]), float(node["longitude"])
            if abs(latitude) <= 90 and abs(longitude) <= 180:
                found.append({"type": "Point", "coordinates": [longitude, latitude]})
    return found


_VALUES: dict[str, Callable[[list[Any]], list[Any]]] = {
    "token": _tokens,
    "uri": _uris,
    "quantity": _quantities,
    "number": _numbers,
    "special": _points,
}

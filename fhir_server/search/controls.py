"""Search result parameters: ``_count _sort _include _revinclude _summary _elements _total``.

https://hl7.org/fhir/R4/search.html#return
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast, get_args

from fhir_server.search.query import Include, SortKey, Summary, Total
from fhir_server.search.syntax import invalid, sealed, unsupported

if TYPE_CHECKING:
    from fhir_server.search.definitions import Definition, Definitions

SORT_KEYS = 5
"""The most keys that one ``_sort`` may have."""

_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_ELEMENT = re.compile(r"[A-Za-z_][\w.]{0,127}(\[x\])?", re.ASCII)


class UnknownError(Exception):
    """A parameter that this server does not know: refused when strict, listed when lenient."""


def count(text: str, limit: int) -> int:
    """The page size, at most ``limit``; 0 asks for the total alone."""
    if _WHOLE.fullmatch(text) is None:
        raise invalid("_count", "a whole number from 0 up is needed")
    return min(int(text), limit)


def total(text: str) -> Total:
    if text not in get_args(Total):
        raise invalid("_total", "none, estimate or accurate is needed")
    return cast("Total", text)


def summary(text: str) -> Summary:
    if text not in get_args(Summary):
        raise invalid("_summary", "true, false, count, data or text is needed")
    return cast("Summary", text)


def elements(text: str) -> tuple[str, ...]:
    """Names of top-level elements."""
    names = tuple(name for name in text.split(",") if name)
    if not all(_ELEMENT.fullmatch(name) for name in names):
        raise invalid("_elements", "names of elements of the resource are needed, joined by commas")
    return names


def sort(text: str, kind: str, definitions: Definitions) -> tuple[SortKey, ...]:
    """Sort keys; raises ``UnknownError`` for an unknown one."""
    keys: list[SortKey] = []
    for part in filter(None, text.split(",")):
        # The name of a parameter may itself begin with a hyphen.
        definition = definitions.of(kind).get(part) or definitions.of(kind).get(part.removeprefix("-"))
        if definition is None:
            raise UnknownError
        if definition.sealed:
            raise sealed("_sort", f"{definition.code} gives no order")
        if not definition.sortable:
            raise unsupported("_sort", "sorting by a distance or by a composite parameter is not supported")
        keys.append(SortKey(definition, part != definition.code))
    if len(keys) > SORT_KEYS:
        raise unsupported("_sort", f"at most {SORT_KEYS} keys are supported")
    return tuple(keys)


def includes(name: str, text: str, kind: str, definitions: Definitions) -> tuple[Include, ...]:
    """``_include=Slot:schedule``, ``Schedule:actor:Practitioner``, ``Slot:*`` or ``*``, with or without ``:iterate``.

    A source that is not the searched type can only be reached through another include: it counts as iterated. ``*``
    is one Include a type: of ``_include`` the searched one, with ``:iterate`` all; of ``_revinclude`` those that can
    refer to it. Raises ``UnknownError`` for a type or parameter that is not held.
    """
    key, _, modifier = name.partition(":")
    if modifier not in ("", "iterate"):
        raise unsupported(name, "only the modifier :iterate is supported")
    iterate = bool(modifier)
    if text == "*":
        sources: tuple[str, ...] = (kind,)
        if key == "_revinclude":
            sources = tuple(one for one in definitions.types if iterate or _refers(one, kind, definitions))
        elif iterate:
            sources = definitions.types
        return tuple(Include(one, None, None, iterate=iterate) for one in sources)
    source, code, target = _parts(name, text)
    if source not in definitions.types:
        raise UnknownError
    definition = None if code == "*" else _reference(source, code, definitions)
    if target is not None and definition is not None and target not in definition.targets:
        raise invalid(name, "the parameter does not refer to this type")
    reached = source != kind if key == "_include" else definition is not None and kind not in definition.targets
    return (Include(source, definition, target, iterate=iterate or reached),)


def _refers(source: str, kind: str, definitions: Definitions) -> bool:
    return any(kind in definition.targets for definition in definitions.of(source).values())


def _parts(name: str, text: str) -> tuple[str, str, str | None]:
    source, *rest = text.split(":")
    if not source or len(rest) not in (1, 2) or not all(rest):
        raise invalid(name, "Type:parameter or Type:parameter:TargetType is needed")
    return source, rest[0], rest[1] if len(rest) == 2 else None


def _reference(source: str, code: str, definitions: Definitions) -> Definition:
    definition = definitions.of(source).get(code)
    if definition is None or definition.type != "reference":
        raise UnknownError
    return definition

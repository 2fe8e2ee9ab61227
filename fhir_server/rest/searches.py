"""Search requests as they are in effect: queries, the parameters of the self link, and warnings about the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhir_server.errors import Category, Issue, problem
from fhir_server.fhir.subset import Subset
from fhir_server.fhir.types import HELD, RESOURCE_TYPES
from fhir_server.rest.context import Context
from fhir_server.rest.subsets import subset_of
from fhir_server.search.parser import Parsed, parse
from fhir_server.search.query import Query
from fhir_server.services.search import DEFAULT_SORT

Pairs = Sequence[tuple[str, str]]
COMMON_SORTS = frozenset({"_id", "_lastUpdated"})


@dataclass(frozen=True, slots=True)
class Search:
    """A request that is understood.

    ``path`` stands behind the base, ``used`` are the parameters in effect, defaults included; ``queries`` differ in
    their type and what depends on it.
    """

    path: str
    queries: Sequence[Query]
    used: list[tuple[str, str]]
    subset: Subset
    warnings: list[Issue]


def read(context: Context, type_: str, pairs: Pairs, path: str = "") -> Search:
    """A search on one type.

    :raises Problem: 400 with everything that is malformed, and for what is unknown if the client is strict.
    """
    return _search(context, path or type_, [_parsed(context, type_, pairs)], [])


def read_several(context: Context, path: str, types: Sequence[str], pairs: Pairs) -> Search:
    """A search on several types, by parameters that they share.

    :raises Problem: as :func:`read`, and 400 for a parameter that only some of the types have and for other sorts than
        ``_lastUpdated`` and ``_id``.
    """
    stated = [(name, text) for name, text in pairs if name == "_type"]
    rest = [(name, text) for name, text in pairs if name != "_type"]
    found = [_parsed(context, type_, rest) for type_ in types]
    for name in dict.fromkeys(name for one in found for name in one.unknown):
        lacking = [one.query.type for one in found if name in one.unknown]
        if len(lacking) < len(found):
            text = f"only parameters that all types share can be used: {', '.join(lacking)} lack it"
            raise problem(Category.NOT_SUPPORTED, text, name[:64], "param-invalid")
    if any(key.definition.code not in COMMON_SORTS for one in found for key in one.query.sort):
        text = "a search on several types is sorted by _lastUpdated and _id"
        raise problem(Category.NOT_SUPPORTED, text, "_sort", "param-invalid")
    return _search(context, path, found, stated)


def types_in(pairs: Pairs, possible: Sequence[str] = RESOURCE_TYPES) -> list[str]:
    """The types that ``_type`` names; every possible one where it may be absent: in a compartment.

    :raises Problem: 400 where it is absent but needed, given twice or names another type.
    """
    given = [text for name, text in pairs if name == "_type" and text]
    if not given and possible is not RESOURCE_TYPES:
        return list(possible)
    listed = ", ".join(possible)
    if not given:
        raise problem(Category.REQUIRED, f"_type is needed, some of {listed}", "_type", "param-missing")
    types = sorted({one.strip() for one in given[0].split(",") if one.strip()})
    if len(given) > 1 or not types or not HELD.issuperset(types) or not set(possible).issuperset(types):
        text = f"_type is given once and names some of {listed}"
        raise problem(Category.INVALID, text, "_type", "param-invalid")
    return types


def _parsed(context: Context, type_: str, pairs: Pairs) -> Parsed:
    world = context.world
    return parse(
        type_,
        pairs,
        world.definitions,
        strict=context.strict,
        zone=world.zone,
        page_size=world.settings.page_size,
        page_limit=world.settings.page_limit,
        now_ms=world.clock(),
        bases=(context.base, *world.bases),
        terminology=world.terminology,
    )


def _search(context: Context, path: str, found: Sequence[Parsed], stated: list[tuple[str, str]]) -> Search:
    queries = [one.query for one in found]
    first = queries[0]
    if first.summary == "text" and (first.includes or first.revincludes):
        text = "_summary=text cannot be combined with _include and _revinclude"
        raise problem(Category.INVALID, text, "_summary", "param-invalid")
    subset, strange = subset_of(first.summary, first.elements, [one.type for one in queries])
    if strange and context.strict:
        raise problem(Category.NOT_SUPPORTED, "no searched type has such an element", "_elements", "param-invalid")
    used = [*stated, *_with_elements(found[0].used, [one for one in first.elements if one not in strange])]
    warnings = [_left_out(f"unknown search parameter {name[:64]} was left out", name) for name in found[0].unknown]
    warnings += [_left_out(f"unknown element {name[:64]} was left out", "_elements") for name in strange]
    return Search(path, queries, _with_defaults(used, queries), subset, warnings)


def _with_elements(used: Iterable[tuple[str, str]], elements: Sequence[str]) -> list[tuple[str, str]]:
    """The parameters with those elements that exist."""
    pairs = [(name, ",".join(elements) if name == "_elements" else text) for name, text in used]
    return [(name, text) for name, text in pairs if text]


def _with_defaults(used: list[tuple[str, str]], queries: Sequence[Query]) -> list[tuple[str, str]]:
    """The parameters with the order and the page size that are in effect without being stated."""
    first = queries[0]
    if first.counts_only:
        return used
    names = {name for name, _ in used}
    if len(queries) == 1 and "_sort" not in names and first.type in DEFAULT_SORT:
        used = [*used, ("_sort", DEFAULT_SORT[first.type])]
    return used if "_count" in names else [*used, ("_count", str(first.count))]


def _left_out(text: str, name: str) -> Issue:
    return Issue(text, name[:64], "param-ignored", severity="warning")

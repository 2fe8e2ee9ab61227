"""Translation by concept maps, https://hl7.org/fhir/R4/conceptmap.html."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_server.errors import Category, problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Resource = dict[str, Any]

_TURNED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
_NO_MATCH = frozenset({"unmatched", "disjoint"})


@dataclass(frozen=True, slots=True)
class Match:
    """One translation; ``code`` is empty where a map says that there is none. ``source`` is the URL of the map."""

    equivalence: str
    system: str
    code: str
    display: str
    source: str

    @property
    def found(self) -> bool:
        """Whether something is translated by it."""
        return self.equivalence not in _NO_MATCH


class ConceptMaps:
    """The concept maps that this server holds."""

    __slots__ = ("_by_url",)

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self._by_url = resources

    def need(self, canonical: str, place: str, version: str = "") -> Resource:
        """:raises Problem: 404 for a map that is not held."""
        url, _, stated = canonical.partition("|")
        found = self._by_url.get(url)
        wanted = version or stated
        if found is None or (wanted and found.get("version") != wanted):
            raise problem(Category.NOT_FOUND, "this concept map, or this version of it, is not held here", place)
        return found

    def between(self, source: str, target: str, *, reverse: bool) -> list[Resource]:
        """The maps of two value sets; an empty URL is any."""
        first, second = ("target", "source") if reverse else ("source", "target")
        return [
            one
            for one in self._by_url.values()
            if (not source or source in _scope(one, first)) and (not target or target in _scope(one, second))
        ]


def translations(
    maps: Iterable[Resource], codings: Iterable[tuple[str, str]], *, target: str = "", reverse: bool = False
) -> list[Match]:
    """What ``(system, code)`` becomes by some maps; ``target`` is a code system, empty for any.

    Reversed, the targets of the maps are read as sources, and wider and narrower change places.
    """
    wanted = list(codings)
    return list(dict.fromkeys(match for one in maps for match in _translated(one, wanted, target, reverse=reverse)))


def _scope(one: Resource, side: str) -> tuple[str, ...]:
    return tuple(str(one[key]) for key in (f"{side}Canonical", f"{side}Uri") if key in one)


def _translated(one: Resource, codings: list[tuple[str, str]], wanted: str, *, reverse: bool) -> Iterator[Match]:
    url = one.get("url", "")
    for group in one.get("group", ()):
        source, target = group.get("source", ""), group.get("target", "")
        if reverse:
            source, target = target, source
        if wanted not in {"", target}:
            continue
        for system, code in codings:
            if system != source:
                continue
            mapped = False
            for element, said in _pairs(group):
                equivalence = said.get("equivalence", "relatedto")
                if (said.get("code") if reverse else element.get("code")) != code:
                    continue
                mapped = True
                if reverse:
                    turned = str(_TURNED.get(equivalence, equivalence))
                    yield Match(turned, target, element.get("code", ""), element.get("display", ""), url)
                else:
                    yield Match(equivalence, target, said.get("code", ""), said.get("display", ""), url)
            if not mapped and not reverse and (rest := group.get("unmapped")):
                yield from _unmapped(rest, target, code, url)


def _pairs(group: Resource) -> Iterator[tuple[Resource, Resource]]:
    for element in group.get("element", ()):
        for said in element.get("target", ()):
            yield element, said


def _unmapped(rest: Resource, target: str, code: str, url: str) -> Iterator[Match]:
    """``group.unmapped``: the same code, or a fixed one; another map is not followed."""
    if rest["mode"] == "provided":
        yield Match("equal", target, code, "", url)
    elif rest["mode"] == "fixed":
        yield Match("relatedto", target, rest.get("code", ""), rest.get("display", ""), url)

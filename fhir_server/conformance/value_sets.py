"""Expansion of value sets, https://hl7.org/fhir/R4/valueset.html#expansion.

compose          codes
---------------  ----------------------------------------------------------------------
include          of a system, all or listed or filtered, and in every imported value set
several          of any of them
exclude          read as include, taken away

filter           concept is-a | is-not-a | descendent-of | in | not-in; parent and child =;
                 any other property = | in | not-in | exists
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhir_server.errors import Category, Issue, Problem, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fhir_server.conformance.code_systems import CodeSystem, CodeSystems, Concept

Resource = dict[str, Any]
Key = tuple[str, str]
Expanded = dict[Key, "Concept"]
"""Concepts by ``(system, code)`` in their order."""

PARTS = 500
"""Most includes, excludes, filters and imports of one value set that is sent along."""


class ValueSets:
    """The value sets that this server holds, and the expansion of these and of others that are sent along."""

    __slots__ = ("_by_url", "_expanded", "_systems")

    def __init__(self, resources: Mapping[str, Resource], systems: CodeSystems) -> None:
        self._by_url = resources
        self._systems = systems
        self._expanded: dict[str, Expanded] = {}

    def get(self, canonical: str, version: str = "") -> Resource | None:
        """The resource of ``url`` or ``url|version``; None when it is not held."""
        url, _, stated = canonical.partition("|")
        found = self._by_url.get(url)
        wanted = version or stated
        return None if found is None or (wanted and found.get("version") != wanted) else found

    def need(self, canonical: str, place: str, version: str = "") -> Resource:
        """:raises Problem: 404 for a value set that is not held."""
        found = self.get(canonical, version)
        if found is None:
            raise problem(Category.NOT_FOUND, "this value set, or this version of it, is not held here", place)
        return found

    def held(self, resource: Resource) -> Expanded:
        """The expansion of a held value set, made once."""
        url = resource["url"]
        if url not in self._expanded:
            self._expanded[url] = self.expand(resource)
        return self._expanded[url]

    def expand(self, resource: Resource, seen: tuple[str, ...] = ()) -> Expanded:
        """Every concept of a value set; ``seen`` are the value sets that import it.

        :raises Problem: 422 for what cannot be expanded: a system, import or filter that is not held here.
        """
        compose = resource.get("compose")
        if not isinstance(compose, dict) or not compose.get("include"):
            raise _refused(Category.NOT_SUPPORTED, "a value set with a compose is needed", "ValueSet.compose")
        includes, excludes = compose["include"], compose.get("exclude", [])
        if sum(1 + len(one.get("filter", ())) + len(one.get("valueSet", ())) for one in includes + excludes) > PARTS:
            text = f"a value set of more than {PARTS} parts is too costly"
            raise _refused(Category.TOO_LARGE, text, "ValueSet.compose")
        found: Expanded = {}
        for index, include in enumerate(includes):
            for key, concept in self._included(include, f"ValueSet.compose.include[{index}]", seen).items():
                found.setdefault(key, concept)
        for index, exclude in enumerate(excludes):
            for key in self._included(exclude, f"ValueSet.compose.exclude[{index}]", seen):
                found.pop(key, None)
        if compose.get("inactive") is False:
            found = {key: concept for key, concept in found.items() if not concept.inactive}
        return found

    def _included(self, include: Resource, place: str, seen: tuple[str, ...]) -> Expanded:
        found = self._of_system(include, place) if "system" in include else None
        for index, canonical in enumerate(include.get("valueSet", ())):
            imported = self._imported(canonical, f"{place}.valueSet[{index}]", seen)
            if found is None:
                found = dict(imported)
            else:
                found = {key: concept for key, concept in found.items() if key in imported}
        if found is None:
            raise _refused(Category.INVALID, "an include names a system or a value set", place)
        return found

    def _imported(self, canonical: str, place: str, seen: tuple[str, ...]) -> Expanded:
        resource = self.get(canonical)
        if resource is None:
            raise _refused(Category.NOT_FOUND, "this value set, or this version of it, is not held here", place)
        url = resource["url"]
        if url in seen:
            raise _refused(Category.INVALID, "these value sets import each other", place)
        if url not in self._expanded:
            self._expanded[url] = self.expand(resource, (*seen, url))
        return self._expanded[url]

    def _of_system(self, include: Resource, place: str) -> Expanded:
        url = include["system"]
        system = self._systems.get(url, include.get("version", ""))
        if system is None:
            raise _refused(
                Category.NOT_FOUND, "this code system, or this version of it, is not held here", f"{place}.system"
            )
        if "concept" in include:
            listed = [
                replace(known, display=one.get("display", known.display), designations=_designations(one, known))
                for one in include["concept"]
                if (known := system.concepts.get(one["code"])) is not None
            ]
            return {(url, concept.code): concept for concept in listed}
        wanted = [
            _filter(system, one, f"{place}.filter[{index}]") for index, one in enumerate(include.get("filter", ()))
        ]
        return {
            (url, code): concept for code, concept in system.concepts.items() if all(test(concept) for test in wanted)
        }


def matching(concepts: Iterable[Concept], text: str) -> list[Concept]:
    """Concepts of which each word of the text begins a word of a display, or the code."""
    words = text.casefold().split()
    return [
        concept
        for concept in concepts
        if any(
            all(any(part.startswith(word) for part in _words(said, concept.code)) for word in words)
            for said in concept.displays()
        )
    ]


def _words(display: str, code: str) -> list[str]:
    return [*"".join(mark if mark.isalnum() else " " for mark in display.casefold()).split(), code.casefold()]


def _designations(listed: Resource, known: Concept) -> tuple[Resource, ...]:
    return (*listed.get("designation", ()), *known.designations)


def _filter(system: CodeSystem, one: Resource, place: str) -> Callable[[Concept], bool]:
    name, operator, value = one["property"], one["op"], one["value"]
    values = frozenset(part.strip() for part in value.split(","))
    below = system.below(value)
    if name in {"concept", "code"}:
        codes: dict[str, frozenset[str]] = {
            "=": frozenset({value}),
            "in": values,
            "is-a": below,
            "descendent-of": below - {value},
            "generalizes": system.above(value),
        }
        if operator in codes:
            return lambda concept: concept.code in codes[operator]
        if operator == "is-not-a":
            return lambda concept: concept.code not in below
        if operator == "not-in":
            return lambda concept: concept.code not in values
    elif operator == "=":
        return lambda concept: value in _property(system, concept, name)
    elif operator == "in":
        return lambda concept: not values.isdisjoint(_property(system, concept, name))
    elif operator == "not-in":
        return lambda concept: values.isdisjoint(_property(system, concept, name))
    elif operator == "exists":
        return lambda concept: bool(_property(system, concept, name)) is (value == "true")
    raise _refused(Category.NOT_SUPPORTED, "this filter is not supported", place)


def _property(system: CodeSystem, concept: Concept, name: str) -> list[str]:
    if name == "parent":
        return list(concept.parents)
    if name == "child":
        return list(system.children(concept.code))
    found: list[str] = []
    for one in concept.properties:
        if one["code"] == name:
            value = next((said for key, said in one.items() if key.startswith("value")), "")
            coded = value.get("code", "") if isinstance(value, dict) else value
            found.append(str(coded).lower() if isinstance(coded, bool) else str(coded))
    return found


def _refused(reason: Category, text: str, place: str) -> Problem:
    """What cannot be expanded is answered with 422; the issue says why."""
    return Problem(Category.RULE, (Issue(text, place, category=reason),))

"""The terminology service over what ``terminology/`` holds, https://hl7.org/fhir/R4/terminology-service.html."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_server.conformance.code_systems import CodeSystem, CodeSystems, Concept
from fhir_server.conformance.concept_maps import ConceptMaps
from fhir_server.conformance.value_sets import ValueSets
from fhir_server.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from fhir_server.conformance.artifacts import Artifacts

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Coded:
    """A code to check: ``display`` and ``version`` as the client states them, or empty."""

    system: str
    code: str
    display: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a code is valid, why not, and how it is displayed."""

    valid: bool
    message: str = ""
    display: str = ""


class Terminology:
    """Code systems, value sets and concept maps of this server."""

    __slots__ = ("_members", "concept_maps", "systems", "value_sets")

    def __init__(self, artifacts: Artifacts) -> None:
        self.systems = CodeSystems(artifacts.code_systems)
        self.value_sets = ValueSets(artifacts.value_sets, self.systems)
        self.concept_maps = ConceptMaps(artifacts.concept_maps)
        self._members: dict[str, frozenset[tuple[str, str]] | None] = {}

    def members(self, value_set_url: str) -> Collection[tuple[str, str]] | None:
        """``(system, code)`` of every member; None for a value set that is not held or cannot be expanded."""
        resource = self.value_sets.get(value_set_url)
        if resource is None:
            return None
        url = resource["url"]
        if url not in self._members:
            try:
                self._members[url] = frozenset(self.value_sets.held(resource))
            except Problem:
                self._members[url] = None
        return self._members[url]

    def below(self, system: str, code: str) -> Collection[str] | None:
        """The code and all that it subsumes; None for a system that is not held."""
        found = self.systems.get(system)
        return found.below(code) | {code} if found else None

    def above(self, system: str, code: str) -> Collection[str] | None:
        """The code and all that subsumes it; None for a system that is not held."""
        found = self.systems.get(system)
        return found.above(code) | {code} if found else None

    def in_value_set(self, resource: Resource, codings: Iterable[Coded], *, language: str = "") -> Verdict:
        """Whether one of the codings is in a value set, held or sent along.

        :raises Problem: 422 for a value set that cannot be expanded.
        """
        held = self.value_sets.get(resource.get("url", "")) is resource
        expanded = self.value_sets.held(resource) if held else self.value_sets.expand(resource)

        def find(coding: Coded) -> Concept | None:
            found = expanded.get((coding.system, coding.code))
            return found if found and coding.version in {"", found.version} else None

        return self._verdict(codings, find, "the value set", language)

    def in_code_system(self, system: CodeSystem, codings: Iterable[Coded], *, language: str = "") -> Verdict:
        """Whether one of the codings is a code of a system, held or sent along."""

        def find(coding: Coded) -> Concept | None:
            fits = coding.system in {"", system.url} and coding.version in {"", system.version}
            return system.concepts.get(coding.code) if fits else None

        what = "the code system" if system.complete else "the part of the code system that is held here"
        return self._verdict(codings, find, what, language)

    def _verdict(
        self, codings: Iterable[Coded], find: Callable[[Coded], Concept | None], what: str, language: str
    ) -> Verdict:
        wrong: Verdict | None = None
        for coding in codings:
            concept = find(coding)
            if concept is None:
                continue
            display = concept.shown(language)
            if not coding.display or _same(coding.display, concept):
                return Verdict(valid=True, display=display)
            wrong = Verdict(valid=False, message="the display is not one of this code", display=display)
        return wrong or Verdict(valid=False, message=f"the code is not in {what}")


def _same(display: str, concept: Concept) -> bool:
    said = " ".join(display.casefold().split())
    return any(" ".join(one.casefold().split()) == said for one in concept.displays())

"""The code systems that this server holds, https://hl7.org/fhir/R4/codesystem.html: concepts and their hierarchy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_server.errors import Category, problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Concept:
    """One code with everything its system says of it; ``parents`` are the codes directly above it."""

    system: str
    version: str
    code: str
    display: str
    definition: str = ""
    designations: tuple[Resource, ...] = ()
    properties: tuple[Resource, ...] = ()
    parents: tuple[str, ...] = ()

    @property
    def inactive(self) -> bool:
        """Whether it is retired: R4's properties ``inactive`` and ``status``."""
        return any(
            (one["code"] == "inactive" and one.get("valueBoolean") is True)
            or (one["code"] == "status" and one.get("valueCode") in {"retired", "inactive"})
            for one in self.properties
        )

    def shown(self, language: str = "") -> str:
        """The display in a language, else in that of the system: ``es`` fits ``es-MX``."""
        wanted = language.lower()
        for one in self.designations if wanted else ():
            said = str(one.get("language", "")).lower()
            if said == wanted or wanted.startswith(f"{said}-") or said.startswith(f"{wanted}-"):
                return str(one["value"])
        return self.display

    def displays(self) -> Iterator[str]:
        """Every way to say it."""
        yield self.display
        yield from (str(one["value"]) for one in self.designations if "value" in one)


class CodeSystem:
    """The concepts of one CodeSystem resource by code, in its order."""

    __slots__ = ("_children", "concepts", "resource", "url", "version")

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.url: str = resource.get("url", "")
        self.version: str = resource.get("version", "")
        self.concepts: dict[str, Concept] = {}
        self._children: dict[str, list[str]] = {}
        level: list[tuple[Resource, str]] = [(one, "") for one in reversed(resource.get("concept", ()))]
        while level:
            node, parent = level.pop()
            concept = self._concept(node, parent)
            self.concepts[concept.code] = concept
            for above in concept.parents:
                self._children.setdefault(above, []).append(concept.code)
            level += [(one, concept.code) for one in reversed(node.get("concept", ()))]

    @property
    def complete(self) -> bool:
        """Whether a code that is not here does not exist."""
        return bool(self.resource.get("content") == "complete")

    def children(self, code: str) -> tuple[str, ...]:
        """Codes directly below."""
        return tuple(self._children.get(code, ()))

    def below(self, code: str) -> frozenset[str]:
        """The code and everything under it; empty for an unknown code."""
        return self._walk(code, self.children)

    def above(self, code: str) -> frozenset[str]:
        """The code and everything over it; empty for an unknown code."""
        return self._walk(code, lambda one: self.concepts[one].parents)

    def _walk(self, code: str, further: Any) -> frozenset[str]:
        found: set[str] = set()
        level = [code] if code in self.concepts else []
        while level:
            one = level.pop()
            if one not in found and one in self.concepts:
                found.add(one)
                level += further(one)
        return frozenset(found)

    def _concept(self, node: Resource, parent: str) -> Concept:
        properties = tuple(node.get("property", ()))
        stated = [str(one["valueCode"]) for one in properties if one["code"] == "parent" and "valueCode" in one]
        return Concept(
            self.url,
            self.version,
            node["code"],
            str(node.get("display", node["code"])),
            node.get("definition", ""),
            tuple(node.get("designation", ())),
            properties,
            tuple(dict.fromkeys([parent, *stated] if parent else stated)),
        )


class CodeSystems:
    """Every code system by its URL."""

    __slots__ = ("_by_url",)

    def __init__(self, resources: Mapping[str, Resource] | Iterable[Resource]) -> None:
        values = resources.values() if hasattr(resources, "values") else resources
        self._by_url = {one["url"]: CodeSystem(one) for one in values}

    def get(self, system: str, version: str = "") -> CodeSystem | None:
        """The system of a canonical URL, ``url`` or ``url|version``; None when it is not held."""
        url, _, stated = system.partition("|")
        found = self._by_url.get(url)
        wanted = version or stated
        return None if found is None or (wanted and found.version != wanted) else found

    def need(self, system: str, place: str, version: str = "") -> CodeSystem:
        """:raises Problem: 404 for a system that is not held."""
        found = self.get(system, version)
        if found is None:
            raise problem(Category.NOT_FOUND, "this code system, or this version of it, is not held here", place)
        return found

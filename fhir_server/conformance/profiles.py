"""Does a resource follow a profile of ours? https://hl7.org/fhir/R4/profiling.html

Cardinality, types, fixed and pattern values, required bindings and slicing, as the differential states them. What the
base definition says is checked by ``shape`` and the models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.conformance.constraints import UNSTATED, Constraint, constraint_tree
from fhir_server.errors import Category, Issue
from fhir_server.fhir import references

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    Members = Callable[[str], Collection[tuple[str, str]] | None]

Resource = dict[str, Any]
Item = tuple[str, str, Any]
"""JSON name, place, and value of one occurrence of an element; the value is None where only extensions are."""


class Profiles:
    """The StructureDefinitions of this server, ready to be applied.

    ``members`` gives the ``(system, code)`` pairs of a value set, or None when it is not known.
    """

    __slots__ = ("_bases", "_members", "_trees", "_versions")

    def __init__(self, definitions: Mapping[str, Resource], members: Members) -> None:
        self._trees = {url: constraint_tree(one) for url, one in definitions.items()}
        self._bases = {url: one.get("baseDefinition", "") for url, one in definitions.items()}
        self._versions = {url: one.get("version", "") for url, one in definitions.items()}
        self._members = members

    def known(self, canonical: str) -> bool:
        """Whether ``url`` or ``url|version`` is a profile that is checked here."""
        url, _, version = canonical.partition("|")
        return url in self._trees and version in {"", self._versions[url]}

    def issues(self, resource: Resource, canonicals: Iterable[str]) -> list[Issue]:
        """Every fault against the known ones of some profiles; the others are not checked."""
        found: list[Issue] = []
        for url in dict.fromkeys(one.partition("|")[0] for one in canonicals if self.known(one)):
            found += self._faults(resource, url)
        return found

    def _faults(self, resource: Resource, url: str) -> list[Issue]:
        tree, kind = self._trees[url], resource["resourceType"]
        if tree.name != kind:
            return [_issue(f"this profile is one of {tree.name}", f"{kind}.meta.profile")]
        walk = _Walk(self._trees, self._members, url.rpartition("/")[2])
        while url in self._trees:
            walk.object(self._trees[url], resource, kind)
            url = self._bases[url]
        return walk.found


def _issue(text: str, place: str) -> Issue:
    return Issue(text, place, category=Category.RULE)


class _Walk:
    """One profile on one resource."""

    def __init__(self, trees: Mapping[str, Constraint], members: Members, name: str) -> None:
        self.trees = trees
        self.members = members
        self.name = name
        self.found: list[Issue] = []

    def add(self, text: str, place: str) -> None:
        self.found.append(_issue(f"{self.name}: {text}", place))

    def object(self, constraint: Constraint, node: Resource, place: str) -> None:
        for child in constraint.children.values():
            items = list(_items(node, child.name, place))
            where = f"{place}.{child.name.removesuffix('[x]')}"
            self.count(child, len(items), child.name, where)
            for item in items:
                self.item(child, item)
            if child.slices:
                self.sliced(child, items, where)

    def count(self, constraint: Constraint, number: int, name: str, place: str) -> None:
        if constraint.low and number < constraint.low:
            self.add(f"at least {constraint.low} {name} is needed", place)
        if constraint.high is not None and 0 <= constraint.high < number:
            self.add(f"at most {constraint.high} {name} is allowed", place)

    def sliced(self, constraint: Constraint, items: list[Item], place: str) -> None:
        left = list(items)
        for slice_name, one in constraint.slices.items():
            mine = [item for item in left if all(self.belongs(one, each, item) for each in constraint.discriminators)]
            left = [item for item in left if item not in mine]
            self.count(one, len(mine), f"{constraint.name}:{slice_name}", place)
            for item in mine:
                self.item(one, item)
        if constraint.closed:
            for _, where, _ in left:
                self.add(f"no slice of {constraint.name} fits", where)

    def belongs(self, one: Constraint, discriminator: Mapping[str, str], item: Item) -> bool:
        path = discriminator["path"]
        stated = one.at(path)
        values = _at(item[2], path)
        if discriminator["type"] == "exists":
            return bool(values) is not (stated is not None and stated.high == 0)
        if stated is not None and stated.fixed is not UNSTATED:
            return any(value == stated.fixed for value in values)
        if stated is not None and stated.pattern is not UNSTATED:
            return any(_fits(value, stated.pattern) for value in values)
        if stated is not None and stated.value_set:
            return any(self.bound(value, stated.value_set) for value in values)
        return path == "url" and any(value in one.profiles for value in values)

    def item(self, constraint: Constraint, item: Item) -> None:
        name, place, value = item
        if value is None:
            return
        if constraint.types and constraint.name.endswith("[x]"):
            kind = name.removeprefix(constraint.name.removesuffix("[x]"))
            if kind not in {one[0].upper() + one[1:] for one in constraint.types}:
                self.add(f"one of the types {', '.join(constraint.types)} is needed", place)
        if constraint.fixed is not UNSTATED and value != constraint.fixed:
            self.add("the value is not the fixed one", place)
        if constraint.pattern is not UNSTATED and not _fits(value, constraint.pattern):
            self.add("the value does not fit the pattern", place)
        if constraint.value_set and not self.bound(value, constraint.value_set):
            self.add(f"a code of {constraint.value_set} is needed", place)
        if constraint.targets and isinstance(value, dict) and not _refers(value, constraint.targets):
            self.add(f"a reference to {' or '.join(sorted(constraint.targets))} is needed", place)
        if isinstance(value, dict):
            for profile in constraint.profiles:
                if profile in self.trees:
                    self.object(self.trees[profile], value, place)
            self.object(constraint, value, place)

    def bound(self, value: Any, value_set: str) -> bool:
        """Whether a code, Coding or CodeableConcept is of a value set; one that is not known here binds nothing."""
        members = self.members(value_set)
        if members is None:
            return True
        if isinstance(value, str):
            return any(code == value for _, code in members)
        if not isinstance(value, dict):
            return True
        codings = value.get("coding", ()) if "coding" in value or "text" in value else (value,)
        return any((one.get("system", ""), one.get("code", "")) in members for one in codings)


def _items(node: Resource, name: str, place: str) -> Iterator[Item]:
    """Occurrences of an element; ``value[x]`` is any of its names."""
    stem = name.removesuffix("[x]")
    if stem == name:
        names = [name] if name in node or f"_{name}" in node else []
    else:
        plain = dict.fromkeys(key.removeprefix("_") for key in node)
        names = [key for key in plain if key.startswith(stem) and key[len(stem) : len(stem) + 1].isupper()]
    for key in names:
        value = node.get(key)
        if value is None and isinstance(node.get(f"_{key}"), list):
            value = [None] * len(node[f"_{key}"])
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield key, f"{place}.{key}[{index}]", item
        else:
            yield key, f"{place}.{key}", value


def _at(value: Any, path: str) -> list[Any]:
    """The values at a path below a value."""
    level = [value]
    for name in path.split(".") if path != "$this" else ():
        level = [item for node in level if isinstance(node, dict) for _, _, item in _items(node, name, "")]
    return [item for item in level if item is not None]


def _fits(value: Any, pattern: Any) -> bool:
    """Whether everything of a pattern is in the value, https://hl7.org/fhir/R4/elementdefinition-definitions.html."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and _fits(value[name], said) for name, said in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(_fits(one, said) for one in value) for said in pattern)
    return bool(value == pattern)


def _refers(value: Resource, targets: frozenset[str]) -> bool:
    """Whether a reference may name one of the types; one whose type cannot be seen may."""
    try:
        found = references.of(value)
    except ValueError:
        return True
    return found is None or not found.type or found.type in targets

"""The shape of a resource, https://hl7.org/fhir/R4/json.html: elements, JSON types, cardinality, bindings, targets.

One walk over the JSON along the element tables of ``fhir.models``. The models themselves check the values; they are
lenient where JSON is not (``"5"`` for 5, empty arrays), and that is what this walk adds.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fhir_server.conformance.datatypes import DATATYPES
from fhir_server.conformance.narrative import narrative_fault
from fhir_server.errors import Category, Issue, problem
from fhir_server.fhir import references
from fhir_server.fhir.models import Element, elements, is_resource_type
from fhir_server.fhir.types import is_id

# A place is (parent place, name, index or -1) and becomes FHIRPath only when an issue needs it.
Place = tuple[Any, str, int]

_MAX_STRING = 1_048_576
_INTEGERS = frozenset(("integer", "positiveInt", "unsignedInt"))
_WORDS = {"boolean": "true or false", "decimal": "a number", **dict.fromkeys(_INTEGERS, "an integer")}


MOST_FAULTS = 100
MOST_PARTS = 25_000


class TooManyFaultsError(Exception):
    """The walk stopped: there is little point in naming more faults."""


@dataclass(slots=True)
class Shape:
    """What a walk found.

    ``broken``: JSON types are wrong, so nothing that reads elements may go on. ``unreadable``: something contained is
    of no known type, so that the models cannot read it.
    """

    issues: list[Issue] = field(default_factory=list)
    broken: bool = False
    unreadable: bool = False
    fragments: set[str] = field(default_factory=set)
    contained: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def count(self, more: int) -> None:
        """:raises Problem: 413 for more than a resource may hold; reading it all would keep everybody waiting."""
        self.size += more
        if self.size > MOST_PARTS:
            raise problem(Category.TOO_LARGE, f"a resource has at most {MOST_PARTS} objects and listed values")

    def add(self, category: Category, text: str, place: Place) -> None:
        """:raises TooManyFaultsError: nobody reads further."""
        self.broken = self.broken or category is Category.STRUCTURE
        self.issues.append(Issue(text, path(place), category=category))
        if len(self.issues) >= MOST_FAULTS:
            raise TooManyFaultsError


@dataclass(frozen=True, slots=True)
class _Table:
    elements: dict[str, Element]
    required: tuple[Element, ...]
    choices: frozenset[str]


def shape_of(resource: dict[str, Any], type_name: str) -> Shape:
    """Walk one resource of a known type."""
    found = Shape()
    root: Place = (None, type_name, -1)
    contained = resource.get("contained")
    if isinstance(contained, list):
        found.contained = {
            inner["id"]: str(inner.get("resourceType"))
            for inner in contained
            if isinstance(inner, dict) and isinstance(inner.get("id"), str)
        }
    try:
        _object(found, resource, type_name, root)
        if contained is not None and not found.broken:
            _contained(found, contained, root)
    except TooManyFaultsError:
        found.broken = found.unreadable = True
        found.issues.append(
            Issue(f"only the first {MOST_FAULTS} faults are named", type_name, category=Category.STRUCTURE)
        )
    return found


def path(place: Place) -> str:
    """FHIRPath of a place."""
    parent, name, index = place
    own = name if index < 0 else f"{name}[{index}]"
    return f"{path(parent)}.{own}" if parent is not None else own


@functools.cache
def _table(type_name: str) -> _Table:
    known = elements(type_name)
    return _Table(
        known,
        tuple(element for element in known.values() if element.required),
        frozenset(element.name for element in known.values() if element.choice),
    )


def _object(found: Shape, node: dict[str, Any], type_name: str, place: Place) -> None:
    found.count(1)
    table = _table(type_name)
    for name, value in node.items():
        element = table.elements.get(name)
        if element is None:
            if name == "resourceType" and is_resource_type(type_name):
                continue
            if name[:1] == "_" and (element := table.elements.get(name[1:])) is not None and element.primitive:
                _primitive_extension(found, value, element, node, (place, name, -1))
            else:
                found.add(Category.STRUCTURE, "unknown element", (place, name, -1))
        elif not element.many:
            if element.primitive:
                _primitive(found, value, element, (place, name, -1))
            else:
                _complex(found, value, element, (place, name, -1))
        elif not isinstance(value, list):
            found.add(Category.STRUCTURE, "an array is needed", (place, name, -1))
        elif not value:
            found.add(Category.STRUCTURE, "an array is not empty; leave it out instead", (place, name, -1))
        elif element.primitive:
            found.count(len(value))
            for index, item in enumerate(value):
                if item is not None:
                    _primitive(found, item, element, (place, name, index))
                elif not isinstance(node.get(f"_{name}"), list):
                    found.add(Category.STRUCTURE, "null stands only where an extension does", (place, name, index))
        else:
            for index, item in enumerate(value):
                _complex(found, item, element, (place, name, index))
    for element in table.required:
        if element.name not in node and not (element.primitive and f"_{element.name}" in node):
            found.add(Category.REQUIRED, "a mandatory element is missing", (place, element.name, -1))
    if table.choices:
        _choice(found, node, table, place)


def _choice(found: Shape, node: dict[str, Any], table: _Table, place: Place) -> None:
    seen: set[str] = set()
    for name in node:
        if name in table.choices:
            stem = table.elements[name].choice
            if stem in seen:
                found.add(Category.STRUCTURE, f"only one {stem}[x] is allowed", (place, name, -1))
            seen.add(stem)


def _primitive(found: Shape, value: Any, element: Element, place: Place) -> None:
    kind = element.type
    if kind in _WORDS:
        right = (
            isinstance(value, bool)
            if kind == "boolean"
            else not isinstance(value, bool) and isinstance(value, int if kind in _INTEGERS else int | Decimal)
        )
        if not right:
            found.add(Category.STRUCTURE, f"{_WORDS[kind]} is needed", place)
    elif not isinstance(value, str):
        found.add(Category.STRUCTURE, "a string is needed", place)
    elif element.codes is not None:
        if value not in element.codes:
            found.add(Category.INVALID, f"not one of {', '.join(sorted(element.codes))}", place)
    elif kind == "id":
        if not is_id(value):
            found.add(Category.INVALID, "an id is 1 to 64 letters, digits, '-' and '.'", place)
    elif kind == "xhtml":
        if fault := narrative_fault(value):
            found.add(Category.INVALID, fault, place)
    elif len(value) > _MAX_STRING:
        found.add(Category.INVALID, "a string has at most 1,048,576 characters", place)


def _primitive_extension(found: Shape, value: Any, element: Element, node: dict[str, Any], place: Place) -> None:
    """``_name``: id and extensions of a primitive, https://hl7.org/fhir/R4/json.html#primitive."""
    if isinstance(value, list) != element.many:
        text = "an array is needed" if element.many else "an object is needed"
        found.add(Category.STRUCTURE, text, place)
        return
    beside = node.get(element.name)
    if isinstance(value, list) and isinstance(beside, list) and len(beside) != len(value):
        found.add(Category.STRUCTURE, f"{element.name} and _{element.name} have the same length", place)
    for index, item in enumerate(value if isinstance(value, list) else (value,)):
        where = (place[0], place[1], index) if isinstance(value, list) else place
        if isinstance(item, dict) and item:
            _object(found, item, "Element", where)
        elif item is not None or not isinstance(value, list):
            found.add(Category.STRUCTURE, "an object with an extension or an id is needed", where)


def _complex(found: Shape, value: Any, element: Element, place: Place) -> None:
    if not isinstance(value, dict):
        found.add(Category.STRUCTURE, "an object is needed", place)
        return
    if not value:
        found.add(Category.STRUCTURE, "an object is not empty; leave it out instead", place)
        return
    kind = element.type
    if kind == "Resource":
        kind = value.get("resourceType", "")
        if not isinstance(kind, str) or not is_resource_type(kind):
            found.unreadable = True
            found.add(Category.STRUCTURE, "a resourceType of FHIR is needed", place)
            return
    _object(found, value, kind, place)
    if kind == "Reference":
        _reference(found, value, element.targets, place)
    elif kind == "Extension":
        valued = any(name.startswith(("value", "_value")) for name in value)
        if valued == ("extension" in value):
            found.add(Category.INVALID, "ext-1: an extension has either a value or extensions", place)
    elif kind in DATATYPES and not found.broken and (fault := DATATYPES[kind](value)):
        found.add(Category.RULE, fault, place)


def _reference(found: Shape, value: dict[str, Any], targets: frozenset[str], place: Place) -> None:
    try:
        reference = references.of(value)
    except ValueError as fault:
        found.add(Category.INVALID, str(fault), (place, "reference", -1))
        return
    if reference is None:
        return
    named, stated = reference.type, value.get("type")
    if reference.kind == "contained":
        found.fragments.add(reference.id)
        if not reference.id:
            return
        named = found.contained.get(reference.id, "")
        if not named:
            found.add(Category.RULE, "ref-1: no such contained resource", (place, "reference", -1))
    elif reference.kind == "conditional":
        found.add(Category.INVALID, "a conditional reference has no place outside a Bundle", (place, "reference", -1))
    if stated is not None and named and named != stated:
        found.add(Category.INVALID, "type and reference disagree", (place, "type", -1))
    if named and targets and named not in targets and "Resource" not in targets:
        text = f"a reference to {' or '.join(sorted(targets))} is needed"
        found.add(Category.INVALID, text, place if reference.kind == "logical" else (place, "reference", -1))


def _contained(found: Shape, contained: list[dict[str, Any]], root: Place) -> None:
    for index, inner in enumerate(contained):
        place = (root, "contained", index)
        meta = inner.get("meta", {})
        if "id" not in inner:
            found.add(Category.INVALID, "a contained resource needs an id", place)
        elif inner["id"] not in found.fragments and "" not in found.fragments:
            found.add(Category.RULE, "dom-3: nothing refers to this contained resource", place)
        if "contained" in inner:
            found.add(Category.RULE, "dom-2: a contained resource contains none", place)
        if "versionId" in meta or "lastUpdated" in meta:
            found.add(Category.RULE, "dom-4: a contained resource has no version", place)
        if "security" in meta:
            found.add(Category.RULE, "dom-5: a contained resource has no security label", place)

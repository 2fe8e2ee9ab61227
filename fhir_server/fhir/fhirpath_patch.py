"""FHIRPath Patch, https://hl7.org/fhir/R4/fhirpatch.html: operations in a Parameters resource that change another one.

type     parts                      does
-------  -------------------------  ---------------------------------------------------------------------
add      path, name, value          adds to a list, or sets what is not there yet
insert   path, index, value         inserts into the list that the path names
delete   path                       takes one element out, if it is there, and what is empty without it
replace  path, value                puts a value in the place of one element, with the extensions it had
move     path, source, destination  moves within the list that the path names; both count from 0
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir import tree
from fhir_server.fhir.fhirpath import Path, compile_path
from fhir_server.fhir.fhirpath_steps import Budget
from fhir_server.fhir.models import Element
from fhir_server.fhir.patch_value import Part, element_of, refusal, value_of
from fhir_server.fhir.tree import Node

MOST_OPERATIONS = 1000

_PARTS = {
    "add": frozenset(("path", "name", "value")),
    "insert": frozenset(("path", "index", "value")),
    "delete": frozenset(("path",)),
    "replace": frozenset(("path", "value")),
    "move": frozenset(("path", "source", "destination")),
}
_COUNTED = ("index", "source", "destination")
_NUMBERS = ("valueInteger", "valueUnsignedInt", "valuePositiveInt")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it was read; ``places`` says where each part of it stands."""

    type: str
    path: Path
    places: dict[str, str]
    name: str = ""
    value: Part = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


def operations_of(parameters: dict[str, Any]) -> list[Operation]:
    """The operations of a Parameters resource in their order.

    :raises Problem: INVALID, naming the place such as ``Parameters.parameter[2].part[1]``; 413 when they are too many.
    """
    found = parameters.get("parameter", [])
    if parameters.get("resourceType") != "Parameters" or not isinstance(found, list):
        raise refusal("a FHIRPath Patch is a Parameters resource", "Parameters")
    if len(found) > MOST_OPERATIONS:
        raise problem(Category.TOO_LARGE, f"a patch has at most {MOST_OPERATIONS} operations", "Parameters.parameter")
    return [_operation(one, f"Parameters.parameter[{index}]") for index, one in enumerate(found)]


def apply(operations: list[Operation], before: dict[str, Any]) -> dict[str, Any]:
    """A changed copy of a resource; all operations or none.

    :raises Problem: INVALID for an operation that does not fit the resource, with its place.
    """
    root = tree.root(copy.deepcopy(before))
    budget = Budget()
    for operation in operations:
        try:
            _DO[operation.type](operation, root, budget)
        except ValueError as fault:
            raise refusal(str(fault), operation.places["path"]) from None
    changed: dict[str, Any] = root.value
    return changed


def _operation(entry: Any, place: str) -> Operation:
    if not isinstance(entry, dict) or entry.get("name") != "operation" or not isinstance(entry.get("part"), list):
        raise refusal("a parameter of a patch is an operation with parts", place)
    parts: dict[str, Part] = {}
    places: dict[str, str] = {"": place}
    for index, part in enumerate(entry["part"]):
        name = part.get("name") if isinstance(part, dict) else None
        where = f"{place}.part[{index}]"
        if not isinstance(name, str) or name in parts:
            raise refusal("a part has a name, and each comes once", where)
        parts[name], places[name] = part, where
    type_ = _text(parts, places, "type")
    if type_ not in _PARTS:
        raise refusal(f"the type is {', '.join(_PARTS)}", places["type"])
    for name in parts:
        if name != "type" and name not in _PARTS[type_]:
            raise refusal(f"{type_} has no such part", places[name])
    for name in sorted(_PARTS[type_] - parts.keys()):
        raise problem(Category.REQUIRED, f"{type_} needs the part {name}", place)
    try:
        path = compile_path(_text(parts, places, "path"))
    except ValueError as fault:
        raise refusal(str(fault), places["path"]) from None
    numbers = {one: _number(parts[one], places[one]) for one in _COUNTED if one in _PARTS[type_]}
    name = _text(parts, places, "name") if "name" in parts else ""
    return Operation(type_, path, places, name, parts.get("value", {}), numbers)


def _text(parts: dict[str, Part], places: dict[str, str], name: str) -> str:
    if name not in parts:
        raise problem(Category.REQUIRED, f"an operation needs the part {name}", places[""])
    value = parts[name].get("valueString", parts[name].get("valueCode"))
    if not isinstance(value, str) or not value:
        raise refusal(f"{name} is a string or a code", places[name])
    return value


def _number(part: Part, place: str) -> int:
    value = next((part[key] for key in _NUMBERS if key in part), None)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refusal("an integer from 0 up is needed", place)
    return value


def _add(operation: Operation, root: Node, budget: Budget) -> None:
    parent = _one(operation, root, budget)
    place = operation.places["value"]
    kind = _kind(parent)
    element = element_of(kind, operation.name, operation.value, _name_place(operation, kind))
    if not element.many and tree.children(parent, element.choice or element.name):
        raise refusal("the element is there already; replace it", operation.places["name"])
    at = tree.count(parent, element) if element.many else tree.SINGLE
    tree.put(parent, element, *value_of(element, operation.value, place), at)


def _insert(operation: Operation, root: Node, budget: Budget) -> None:
    parent, element, length = _list(operation, root, budget)
    index, place = operation.numbers["index"], operation.places["value"]
    if index > length:
        raise refusal(f"the list has {length} elements", operation.places["index"])
    tree.put(parent, element, *value_of(element, operation.value, place), index)


def _delete(operation: Operation, root: Node, budget: Budget) -> None:
    found = operation.path.select(root, budget)
    if len(found) > 1:
        raise refusal(f"the path selects {len(found)} elements, not one", operation.places["path"])
    if found:
        tree.remove(_inside(found[0], operation))


def _replace(operation: Operation, root: Node, budget: Budget) -> None:
    node = _inside(_one(operation, root, budget), operation)
    assert node.parent is not None
    assert node.element is not None
    element, place = node.element, operation.places["value"]
    if element.choice:
        element = element_of(_kind(node.parent), element.choice, operation.value, place)
    tree.replace(node, element, *value_of(element, operation.value, place))


def _move(operation: Operation, root: Node, budget: Budget) -> None:
    parent, element, length = _list(operation, root, budget)
    for name, number in operation.numbers.items():
        if number >= length:
            raise refusal(f"the list has {length} elements", operation.places[name])
    tree.move(parent, element, operation.numbers["source"], operation.numbers["destination"])


_DO: dict[str, Callable[[Operation, Node, Budget], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


def _kind(node: Node) -> str:
    """The type that says which parts an element has."""
    return "Element" if node.primitive else node.type


def _name_place(operation: Operation, kind: str) -> str:
    """An unknown name is the fault of the name, a wrong type that of the value."""
    try:
        tree.named(kind, operation.name)
    except ValueError:
        return operation.places["name"]
    return operation.places["value"]


def _one(operation: Operation, root: Node, budget: Budget) -> Node:
    found = operation.path.select(root, budget)
    if len(found) != 1:
        raise refusal(f"the path selects {len(found)} elements, not one", operation.places["path"])
    return found[0]


def _inside(node: Node, operation: Operation) -> Node:
    if node.parent is None:
        raise refusal("the path selects the whole resource", operation.places["path"])
    return node


def _list(operation: Operation, root: Node, budget: Budget) -> tuple[Node, Element, int]:
    """The list that a path names: what has it, its element, and how many there are."""
    parents = operation.path.parents(root, budget) if operation.path.last else []
    element = tree.named(_kind(parents[0]), operation.path.last)[0] if len(parents) == 1 else None
    if element is None or not element.many:
        raise refusal("the path does not name one list", operation.places["path"])
    return parents[0], element, tree.count(parents[0], element)

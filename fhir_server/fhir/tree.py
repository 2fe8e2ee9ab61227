"""A resource as a tree of typed elements, walked by name and changed in place.

A primitive has two halves in JSON, its value and beside it (``_name``) its id and extensions; in a list both halves
keep step. A tree that loses its last part loses the element too: FHIR has no empty elements.
https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.fhir.models import Element, elements, is_resource_type

SINGLE = -1
"""The index of an element that does not repeat."""


@dataclass(slots=True)
class Node:
    """One element where it stands; the root has no parent.

    ``type`` is its FHIR type (of a contained resource its own), ``value`` its JSON, None for a primitive that has
    extensions only, ``beside`` the other half of a primitive.
    """

    type: str
    value: Any
    beside: dict[str, Any] | None = None
    parent: Node | None = None
    element: Element | None = None
    index: int = SINGLE

    @property
    def primitive(self) -> bool:
        return self.element is not None and self.element.primitive

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object with the parts of this element; empty and apart for a primitive without any."""
        found = self.beside if self.primitive else self.value
        return found if found is not None else {}


def root(resource: dict[str, Any]) -> Node:
    return Node(resource["resourceType"], resource)


def named(type_name: str, name: str) -> list[Element]:
    """The elements of a type that a name means: one, or every type of a choice; ``ValueError`` when there is none."""
    known = elements(type_name)
    found = [known[name]] if name in known else [one for one in known.values() if one.choice == name]
    if not found:
        msg = "the type has no such element"
        raise ValueError(msg)
    return found


def children(node: Node, name: str) -> list[Node]:
    """The elements of this name in their order.

    Raises ``ValueError`` when the type has no such element, or where a part of the resource is not as FHIR has it.
    """
    type_name = "Element" if node.primitive else node.type
    return [child for element in named(type_name, name) for child in _values(node, element)]


def _values(node: Node, element: Element) -> list[Node]:
    content = node.content
    value, beside = content.get(element.name), content.get(f"_{element.name}") if element.primitive else None
    if value is None and beside is None:
        return []
    if not element.many:
        return [_child(node, element, value, beside, SINGLE)]
    values, sides = _padded(value, beside)
    return [
        _child(node, element, one, side, index) for index, (one, side) in enumerate(zip(values, sides, strict=True))
    ]


def _child(node: Node, element: Element, value: Any, beside: Any, index: int) -> Node:
    kind = element.type
    if not element.primitive and not isinstance(value, dict):
        raise ValueError(_MALFORMED)
    if kind == "Resource":
        kind = value.get("resourceType", "")
        if not isinstance(kind, str) or not is_resource_type(kind):
            raise ValueError(_MALFORMED)
    if isinstance(value, dict | list) == element.primitive or not isinstance(beside, dict | None):
        raise ValueError(_MALFORMED)
    return Node(kind, value, beside, node, element, index)


def _padded(value: Any, beside: Any) -> tuple[list[Any], list[Any]]:
    """Both halves of a list at the same length."""
    if not isinstance(value, list | None) or not isinstance(beside, list | None):
        raise ValueError(_MALFORMED)  # noqa: TRY004  a fault of the resource, not of the caller's types
    values, sides = value or [], beside or []
    length = max(len(values), len(sides))
    return values + [None] * (length - len(values)), sides + [None] * (length - len(sides))


def count(node: Node, element: Element) -> int:
    """How many there are of a repeating element."""
    return len(_halves(node, element)[0])


def put(node: Node, element: Element, value: Any, beside: dict[str, Any] | None, index: int = SINGLE) -> None:
    """Set a single element, or insert into a list before ``index``."""
    if not element.many:
        _write(_content_of(node), element, value, beside)
        return
    values, sides = _halves(node, element)
    values.insert(index, value)
    sides.insert(index, beside)
    _write_list(_content_of(node), element, values, sides)


def move(node: Node, element: Element, source: int, destination: int) -> None:
    """Take one out of a list and put it back where it then is the one at ``destination``."""
    values, sides = _halves(node, element)
    values.insert(destination, values.pop(source))
    sides.insert(destination, sides.pop(source))
    _write_list(node.content, element, values, sides)


def remove(node: Node) -> None:
    """Take an element out, and whatever is empty without it."""
    parent = node.parent
    _take_out(node)
    if parent is None or parent.content:
        return
    if parent.primitive and parent.value is not None:
        assert parent.parent is not None
        assert parent.element is not None
        _replace_at(parent, parent.element, parent.value, None)
    elif parent.parent is not None:
        remove(parent)


def replace(node: Node, element: Element, value: Any, beside: dict[str, Any] | None) -> None:
    """Put something else where an element is; ``element`` may be another type of the same choice."""
    assert node.parent is not None
    if element is not node.element:
        _take_out(node)
        put(node.parent, element, value, beside)
    else:
        _replace_at(node, element, value, beside)


def _replace_at(node: Node, element: Element, value: Any, beside: dict[str, Any] | None) -> None:
    assert node.parent is not None
    content = node.parent.content
    if node.index == SINGLE:
        _write(content, element, value, beside)
        return
    values, sides = _halves(node.parent, element)
    values[node.index], sides[node.index] = value, beside
    _write_list(content, element, values, sides)


def _take_out(node: Node) -> None:
    assert node.parent is not None
    assert node.element is not None
    if node.index == SINGLE:
        _write(node.parent.content, node.element, None, None)
        return
    values, sides = _halves(node.parent, node.element)
    del values[node.index], sides[node.index]
    _write_list(node.parent.content, node.element, values, sides)


def _halves(node: Node, element: Element) -> tuple[list[Any], list[Any]]:
    beside = node.content.get(f"_{element.name}") if element.primitive else None
    return _padded(node.content.get(element.name), beside)


def _content_of(node: Node) -> dict[str, Any]:
    """The object to write parts of an element into; a primitive gets its other half now if it has none."""
    if node.primitive and node.beside is None:
        assert node.element is not None
        node.beside = {}
        _replace_at(node, node.element, node.value, node.beside)
    return node.content


def _write(content: dict[str, Any], element: Element, value: Any, beside: Any) -> None:
    _set(content, element.name, value)
    if element.primitive:
        _set(content, f"_{element.name}", beside)


def _write_list(content: dict[str, Any], element: Element, values: list[Any], sides: list[Any]) -> None:
    """Lists that hold nothing are left out."""
    _write(content, element, *(half if half.count(None) < len(half) else None for half in (values, sides)))


def _set(content: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        content.pop(name, None)
    else:
        content[name] = value


_MALFORMED = "a part of the resource does not have the form of its type"

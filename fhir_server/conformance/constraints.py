"""A StructureDefinition's differential as a tree of constraints, https://hl7.org/fhir/R4/elementdefinition.html.

Appointment
  extension          slicing by url
    :bookingChannel  0..1, profile booking-channel
    :modality        0..1, profile modality
  participant
    actor            1..
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Resource = dict[str, Any]

UNSTATED: Any = object()
"""Stands for a fixed or pattern value that is not there."""

_DISCRIMINATORS = frozenset(("value", "pattern", "exists"))
_BY_URL = ({"type": "value", "path": "url"},)


@dataclass(slots=True)
class Constraint:
    """What a profile says of one element, or of one slice of it.

    ``low`` and ``high`` are None where the base decides; ``high`` is -1 for ``*``. ``targets`` are the types that a
    Reference may name, ``value_set`` a required binding.
    """

    name: str
    low: int | None = None
    high: int | None = None
    types: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    targets: frozenset[str] = frozenset()
    fixed: Any = UNSTATED
    pattern: Any = UNSTATED
    value_set: str = ""
    discriminators: tuple[dict[str, str], ...] = ()
    closed: bool = False
    children: dict[str, Constraint] = field(default_factory=dict)
    slices: dict[str, Constraint] = field(default_factory=dict)

    def at(self, path: str) -> Constraint | None:
        """The constraint of an element below, by its path: ``url``, ``coding.code``, or ``$this``: itself."""
        found: Constraint | None = self
        for name in path.split(".") if path != "$this" else ():
            found = found.children.get(name) if found else None
        return found


def constraint_tree(definition: Resource) -> Constraint:
    """Read a differential.

    Raises ``ValueError`` naming the definition when it uses what is not evaluated: another discriminator than value,
    pattern and exists, or a slice of a slice.
    """
    root = Constraint(definition["type"])
    for element in definition["differential"]["element"]:
        node = root
        for step in element["id"].split(".")[1:]:
            name, _, slice_name = step.partition(":")
            node = node.children.setdefault(name, Constraint(name))
            if slice_name:
                if "/" in slice_name:
                    raise _unread(definition, element)
                node = node.slices.setdefault(slice_name, Constraint(name))
        _read(node, element, definition)
    _imply_urls(root)
    return root


def _read(node: Constraint, element: Resource, definition: Resource) -> None:
    node.low = element.get("min", node.low)
    if "max" in element:
        node.high = -1 if element["max"] == "*" else int(element["max"])
    kinds = element.get("type", ())
    node.types = tuple(kind["code"] for kind in kinds)
    node.profiles = tuple(profile for kind in kinds for profile in kind.get("profile", ()))
    node.targets = frozenset(
        target.rsplit("/", 1)[1]
        for kind in kinds
        if kind["code"] == "Reference"
        for target in kind.get("targetProfile", ())
    )
    for key, value in element.items():
        if key.startswith("fixed"):
            node.fixed = value
        elif key.startswith("pattern"):
            node.pattern = value
    binding = element.get("binding", {})
    if binding.get("strength") == "required":
        node.value_set = binding.get("valueSet", "")
    slicing = element.get("slicing")
    if slicing:
        node.discriminators = tuple(slicing.get("discriminator", ()))
        node.closed = slicing["rules"] == "closed"
        if not node.discriminators or any(one["type"] not in _DISCRIMINATORS for one in node.discriminators):
            raise _unread(definition, element)


def _imply_urls(node: Constraint) -> None:
    """Extensions are sliced by their URL, whether a profile says so or not."""
    for child in (*node.children.values(), *node.slices.values()):
        if child.name in {"extension", "modifierExtension"} and child.slices and not child.discriminators:
            child.discriminators = _BY_URL
        _imply_urls(child)


def _unread(definition: Resource, element: Resource) -> ValueError:
    return ValueError(f"{definition['url']}: the slicing at {element['id']} is not evaluated")

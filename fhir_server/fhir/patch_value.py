"""The value of a patch operation as an element: ``value[x]``, a resource, or parts for what has no type of its own.

https://hl7.org/fhir/R4/fhirpatch.html#concept
"""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.models import Element, elements
from fhir_server.fhir.tree import named

Part = dict[str, Any]

_FAMILIES = {"boolean": bool, "decimal": Decimal} | dict.fromkeys(("integer", "positiveInt", "unsignedInt"), int)
_QUANTITIES = frozenset(("Quantity", "Age", "Count", "Distance", "Duration"))


def element_of(type_name: str, name: str, part: Part, place: str) -> Element:
    """The element ``name`` of a type that takes this value; of a choice the one of the value's type.

    :raises Problem: INVALID when there is none.
    """
    try:
        found = named(type_name, name)
    except ValueError:
        raise refusal("the type has no element of this name", place) from None
    key = _value_key(part, place)
    if found[0].choice:
        wanted = f"{found[0].choice}{key[5:]}" if key else name
        found = [one for one in found if one.name == wanted]
        if not found:
            raise refusal("the element does not take a value of this type", place)
    return found[0]


def value_of(element: Element, part: Part, place: str) -> tuple[Any, dict[str, Any] | None]:
    """What the part holds as JSON of the element, and the other half of a primitive.

    :raises Problem: INVALID when it does not fit the element's type.
    """
    key = _value_key(part, place)
    if element.type == "Resource":
        resource = part.get("resource")
        if not isinstance(resource, dict):
            raise refusal("a resource is needed", place)
        return copy.deepcopy(resource), None
    if key:
        value, beside = copy.deepcopy(part.get(key)), copy.deepcopy(part.get(f"_{key}"))
        known = elements("ParametersParameter").get(key)
        if known is None or not _fits(element, known) or not _is_whole(known, value, beside):
            raise refusal("the element does not take a value of this type", place)
        return value, beside
    inner = part.get("part")
    if element.primitive or not isinstance(inner, list) or not inner:
        raise refusal("the element does not take a value of this type", place)
    return _assembled(element.type, inner, place), None


def _assembled(type_name: str, parts: list[Any], place: str) -> dict[str, Any]:
    """An object of its parts; a name that comes again is a list's next."""
    made: dict[str, Any] = {}
    for index, part in enumerate(parts):
        where = f"{place}.part[{index}]"
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise refusal("a part with a name is needed", where)
        element = element_of(type_name, part["name"], part, where)
        value, beside = value_of(element, part, where)
        name, other = element.name, f"_{element.name}"
        if not element.many:
            if name in made or other in made:
                raise refusal("only one is allowed", where)
            made |= {key: one for key, one in ((name, value), (other, beside)) if one is not None}
            continue
        made.setdefault(name, []).append(value)
        if beside is not None or other in made:
            made.setdefault(other, [None] * (len(made[name]) - 1)).append(beside)
    return made


def _value_key(part: Part, place: str) -> str:
    """``valueDate`` or the like, empty for a resource or parts."""
    held = {key.removeprefix("_") for key in part if key not in {"name", "id", "extension"}}
    if len(held) != 1:
        raise refusal("a part holds exactly one of value[x], resource and part", place)
    key = held.pop()
    if key not in {"resource", "part"} and not (key.startswith("value") and len(key) > 5):
        raise refusal("a part holds exactly one of value[x], resource and part", place)
    return "" if key in {"resource", "part"} else key


def _fits(element: Element, value: Element) -> bool:
    if element.primitive != value.primitive:
        return False
    if not element.primitive:
        return element.type == value.type or {element.type, value.type} <= _QUANTITIES
    wanted, given = _FAMILIES.get(element.type, str), _FAMILIES.get(value.type, str)
    return wanted is given or (wanted is Decimal and given is int)


def _is_whole(known: Element, value: Any, beside: Any) -> bool:
    """Whether a value has the JSON type of its own."""
    if not known.primitive:
        return isinstance(value, dict) and bool(value) and beside is None
    if not isinstance(beside, dict | None) or (value is None and not beside):
        return False
    family = _FAMILIES.get(known.type, str)
    if value is None or family is bool:
        return isinstance(value, bool | None)
    return isinstance(value, int | Decimal if family is Decimal else family) and not isinstance(value, bool)


def refusal(text: str, place: str) -> Problem:
    return problem(Category.INVALID, text, place)

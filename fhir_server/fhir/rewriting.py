"""Links between the entries of a Bundle become ``Type/id``, https://hl7.org/fhir/R4/http.html#trules.

Reference.reference          rewritten
uri, url                     rewritten where it is a full URL, also as the value of an extension
href and src of a narrative  rewritten
canonical                    stays
oid, uuid                    stays: ``Type/id`` is no value of these types
a version (…/_history/2)     stays
"""

from __future__ import annotations

import functools
import html
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_server.fhir import references
from fhir_server.fhir.models import Element, elements, is_resource_type

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARKUP = re.compile(
    r"""<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<\?.*?(?:\?>|\Z)"""
    r"""|(?P<tag><[A-Za-z](?:[^"'<>]++|"[^"<]*"|'[^'<]*')*+>)""",
    re.DOTALL,
)
_VALUE = re.compile(r"""(\s(?:href|src)\s*=\s*)?("[^"]*"|'[^']*')""")
_URNS = ("urn:uuid:", "urn:oid:")
_FULL_URLS = (*_URNS, "http://", "https://")
_RESTFUL = re.compile(r"(https?://[^\s?#]+/)([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Open:
    """A reference that no entry answers: ``urn`` or ``conditional``, with its FHIRPath."""

    place: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Names:
    """What links stand for: ``targets`` by full URL (or by any other text), ``base`` completes relative ones."""

    targets: Mapping[str, str]
    base: str = ""
    open: list[Open] = field(default_factory=list)

    def of(self, text: str) -> str | None:
        """``Type/id`` for a link, with its fragment; None for one that leads elsewhere."""
        if found := self.targets.get(text):
            return found
        link, mark, fragment = text.partition("#")
        found = self.targets.get(link) or (self.targets.get(self.base + link) if self.base else None)
        return found + mark + fragment if found else None


def restful(full_url: str) -> tuple[str, str, str] | None:
    """Base with its slash, type and id of a RESTful full URL (``https://ehr.example/fhir/Slot/1``), else None."""
    found = _RESTFUL.fullmatch(full_url)
    return (found[1], found[2], found[3]) if found else None


def base_of(full_url: str) -> str:
    """The base, with its slash, of a RESTful full URL, else empty."""
    found = restful(full_url)
    return found[0] if found else ""


def rewritten(resource: dict[str, Any], names: Names) -> dict[str, Any]:
    """The resource with its links rewritten; what is not touched is shared with the original.

    References that wait for an answer (a urn, conditional criteria) are added to ``names.open``. The resource need not
    be valid: what has no place in FHIR stays as it is.
    """
    type_ = resource.get("resourceType")
    if not isinstance(type_, str) or not is_resource_type(type_):
        return resource
    return _object(resource, type_, names, type_)


@functools.cache
def _linked(type_name: str) -> dict[str, Element]:
    """The elements of a type that can hold a link, by JSON name."""
    return {
        name: one
        for name, one in elements(type_name).items()
        if not one.primitive or one.type in {"uri", "url", "xhtml"}
    }


def _object(node: dict[str, Any], type_name: str, names: Names, place: str) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    known = _linked(type_name)
    for name, value in node.items():
        element = known.get(name)
        if element is not None:
            after = _value(value, element, names, f"{place}.{name}")
        elif name[:1] == "_":
            after = _extended(value, names, f"{place}.{name[1:]}")
        else:
            continue
        if after is not value:
            changed[name] = after
    if type_name == "Reference" and isinstance(node.get("reference"), str):
        text = _reference(node["reference"], names, f"{place}.reference")
        if text != node["reference"]:
            changed["reference"] = text
    return {**node, **changed} if changed else node


def _value(value: Any, element: Element, names: Names, place: str) -> Any:
    if isinstance(value, list):
        after = [_one(item, element, names, f"{place}[{index}]") for index, item in enumerate(value)]
        return after if any(new is not old for new, old in zip(after, value, strict=True)) else value
    return _one(value, element, names, place)


def _one(value: Any, element: Element, names: Names, place: str) -> Any:
    if element.primitive:
        if not isinstance(value, str):
            return value
        if element.type == "xhtml":
            return _narrative(value, names)
        return names.targets.get(value, value) if value.startswith(_FULL_URLS) else value
    if not isinstance(value, dict):
        return value
    if element.type == "Resource":
        kind = value.get("resourceType")
        known = isinstance(kind, str) and is_resource_type(kind)
        return _object(value, str(kind), names, place) if known else value
    return _object(value, element.type, names, place)


def _extended(value: Any, names: Names, place: str) -> Any:
    """Extensions of a primitive: ``_name`` is an object, or a list of objects and null."""
    if isinstance(value, list):
        after = [_extended(item, names, f"{place}[{index}]") for index, item in enumerate(value)]
        return after if any(new is not old for new, old in zip(after, value, strict=True)) else value
    return _object(value, "Element", names, place) if isinstance(value, dict) else value


def _reference(text: str, names: Names, place: str) -> str:
    found = names.of(text)
    if found:
        return found
    if text.startswith(_URNS):
        names.open.append(Open(place, "urn", text))
    elif "?" in text:
        try:
            kind = references.parse(text).kind
        except ValueError:
            return text
        if kind == "conditional":
            names.open.append(Open(place, kind, text))
    return text


def _narrative(div: str, names: Names) -> str:
    """XHTML with the links of its start tags rewritten; text, comments and other attributes stay."""

    def link(found: re.Match[str]) -> str:
        if not found[1]:
            return found[0]
        quote, text = found[2][0], html.unescape(found[2][1:-1])
        target = names.of(text)
        return f"{found[1]}{quote}{html.escape(target)}{quote}" if target else found[0]

    after = _MARKUP.sub(lambda found: _VALUE.sub(link, found[0]) if found["tag"] else found[0], div)
    return div if after == div else after

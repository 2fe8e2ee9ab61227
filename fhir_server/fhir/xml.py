"""FHIR XML, https://hl7.org/fhir/R4/xml.html: a resource as XML and back, by the same dict that JSON gives.

JSON                                       XML
-----------------------------------------  ------------------------------------------------------------
``"resourceType": "Patient"``              ``<Patient xmlns="http://hl7.org/fhir">``
``"gender": "male"``                       ``<gender value="male"/>``
``"_gender": {"id": …, "extension": […]}`` ``<gender id="…"><extension url="…">…</extension></gender>``
``"id"`` of an element, ``Extension.url``  attributes; the ``id`` of a resource is an element
``"contained": [{"resourceType": "X"}]``   ``<contained><X>…</X></contained>``
``"div": "<div …>"``                       ``<div xmlns="http://www.w3.org/1999/xhtml">…</div>``

Elements are written in the order of the specification and read in any order.
"""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Any

from defusedxml import DefusedXmlException  # type: ignore[import-untyped]  # it ships no types
from defusedxml.ElementTree import DefusedXMLParser, ParseError  # type: ignore[import-untyped]  # as above

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import check_depth
from fhir_server.fhir.models import Element, elements, is_resource_type
from fhir_server.fhir.xhtml import attribute, division
from fhir_server.fhir.xml_reader import NAMESPACE, Reader, refusal

MOST_ATTRIBUTES = 10_000
"""Attributes of one element that the parser is let near to: it collects all of them before anybody can refuse."""

_LARGE = 1024 * 1024
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_BOM = "\ufeff"


def from_xml(raw: bytes) -> dict[str, Any]:
    """Read one resource in UTF-8.

    Refused as ``Category.STRUCTURE``, with its place: what is not well-formed, a DOCTYPE, entities, processing
    instructions, other namespaces, unknown elements and attributes, text between elements, an element twice where one
    is allowed, nesting deeper than ``fhir.json.MAX_DEPTH``; as TOO_LARGE what has more than ``MOST_NODES`` elements and
    attributes. Values are read by the types of their elements; whether they are valid is for the validator, as with
    JSON.
    """
    if len(raw) > _LARGE and any(part.count(b"=") > MOST_ATTRIBUTES for part in raw.split(b"<")):
        raise problem(Category.TOO_LARGE, f"an element has more than {MOST_ATTRIBUTES} attributes")
    reader = Reader()
    parser = DefusedXMLParser(target=reader, forbid_dtd=True)
    parser.parser.XmlDeclHandler = reader.declaration
    try:
        parser.feed(raw.decode().removeprefix(_BOM))
        resource: dict[str, Any] = parser.close()
    except UnicodeDecodeError:
        raise refusal("the body is not UTF-8") from None
    except DefusedXmlException:
        raise refusal("the body has a document type or entities of its own") from None
    except ParseError as fault:
        line, column = fault.position
        raise refusal(f"the body is not well-formed XML, line {line} column {column + 1}") from None
    check_depth(resource)
    return resource


def to_xml(resource: dict[str, Any], *, pretty: bool = False) -> bytes:
    """Write a resource in UTF-8; ``pretty`` puts elements on lines of their own, narratives stay as they are.

    :raises ValueError: the dict is no FHIR resource.
    """
    writer = _Writer(pretty)
    writer.resource(resource, 0, f' xmlns="{NAMESPACE}"')
    return (_DECLARATION + "".join(writer.parts)).encode()


@functools.cache
def _ranks(type_name: str) -> tuple[dict[str, int], tuple[Element, ...]]:
    """The elements of a type in their order, and the place of each name in it."""
    found = elements(type_name)
    return {name: rank for rank, name in enumerate(found)}, tuple(found.values())


class _Writer:
    def __init__(self, pretty: bool) -> None:
        self.parts: list[str] = []
        self._pretty = pretty

    def resource(self, resource: dict[str, Any], depth: int, attributes: str = "") -> None:
        name = resource.get("resourceType", "")
        if not is_resource_type(name):
            raise ValueError(_NO_RESOURCE)
        self._element(name, attributes, resource, name, depth)

    def _element(self, name: str, attributes: str, node: dict[str, Any], type_name: str, depth: int) -> None:
        """An element with what is in it."""
        ranks, known = _ranks(type_name)
        names = {key.removeprefix("_") for key in node if key != "resourceType"}
        if not names <= ranks.keys():
            raise ValueError(_NO_RESOURCE)
        if "resourceType" not in node:
            for key in ("id", "url") if type_name == "Extension" else ("id",):
                names.discard(key)
                if key in node:
                    attributes += f' {key}="{_text(node[key])}"'
        inside = [known[rank] for rank in sorted(ranks[name] for name in names)]
        self._line(depth)
        if not inside:
            self.parts.append(f"<{name}{attributes}/>")
            return
        self.parts.append(f"<{name}{attributes}>")
        for element in inside:
            self._child(element, node, depth + 1)
        self._line(depth)
        self.parts.append(f"</{name}>")

    def _child(self, element: Element, node: dict[str, Any], depth: int) -> None:
        value = node.get(element.name)
        if element.type == "xhtml":
            if value is not None:
                self._line(depth)
                self.parts.append(division(value))
        elif element.primitive:
            beside = node.get(f"_{element.name}")
            values, extras = (value or [], beside or []) if element.many else ([value], [beside])
            for index in range(max(len(values), len(extras))):
                self._primitive(element.name, _at(values, index), _at(extras, index), depth)
        else:
            for one in value if isinstance(value, list) else [value]:
                self._complex(element, one, depth)

    def _primitive(self, name: str, value: Any, extra: Any, depth: int) -> None:
        said = "" if value is None else f' value="{_text(value)}"'
        if extra:
            self._element(name, said, extra, "Element", depth)
        elif said:
            self._line(depth)
            self.parts.append(f"<{name}{said}/>")

    def _complex(self, element: Element, value: Any, depth: int) -> None:
        if not isinstance(value, dict):
            raise ValueError(_NO_RESOURCE)  # noqa: TRY004  a fault of the resource, not of the caller's types
        if element.type != "Resource":
            self._element(element.name, "", value, element.type, depth)
            return
        self._line(depth)
        self.parts.append(f"<{element.name}>")
        self.resource(value, depth + 1)
        self._line(depth)
        self.parts.append(f"</{element.name}>")

    def _line(self, depth: int) -> None:
        if self._pretty:
            self.parts.append("\n" + "  " * depth)


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return attribute(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    raise ValueError(_NO_RESOURCE)


_NO_RESOURCE = "not a FHIR resource"

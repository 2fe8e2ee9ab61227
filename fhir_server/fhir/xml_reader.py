"""The events of an XML parser become a resource in the shape of JSON, with every refusal at its place.

One frame stands for one open element; what it may hold is told by the element tables of ``fhir.models``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import MAX_DEPTH, number
from fhir_server.fhir.models import Element, elements, is_resource_type
from fhir_server.fhir.xhtml import XHTML, Division

NAMESPACE = "http://hl7.org/fhir"

MOST_NODES = 400_000
"""Elements and attributes that one document may have: each costs some microseconds, and a Bundle has many bytes."""

_SCHEMA_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_INTEGERS = frozenset(("integer", "positiveInt", "unsignedInt"))
_INTEGER = re.compile(r"\+?(-?(?:0|[1-9][0-9]*))", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_LONGEST_NAME = 64


@dataclass(slots=True)
class _Frame:
    """An open element.

    ``type`` is the FHIR type that says what it may hold, empty where one resource is expected. ``node`` is the JSON
    object that its content goes to: for a primitive that of its id and extensions, beside ``value``.
    """

    place: str
    type: str
    node: dict[str, Any]
    element: Element | None = None
    value: Any = None
    # Names of the lists of primitives in this object, which are evened out at its end.
    lists: set[str] = field(default_factory=set)


class Reader:
    """A target for the parser: ``close`` gives the resource. Every method raises a Problem for what FHIR has not."""

    def __init__(self) -> None:
        self._stack = [_Frame("", "", {})]
        self._left = MOST_NODES
        self._division: Division | None = None

    def declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        """``<?xml version="1.0" encoding="UTF-8"?>``."""
        del standalone
        if version != "1.0" or (encoding or "utf-8").lower() != "utf-8":
            raise refusal("the body must be XML 1.0 in UTF-8")

    def pi(self, target: str, data: str = "") -> None:
        del target, data
        raise refusal("a processing instruction has no place in a resource", self._stack[-1].place)

    def comment(self, text: str) -> None:
        if self._division:
            self._division.comment(text)

    def data(self, text: str) -> None:
        if self._division:
            self._division.data(text)
        elif text.strip(" \t\r\n"):
            raise refusal("text stands between elements; a value is an attribute", self._stack[-1].place)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._left -= 1 + len(attributes)
        if self._left < 0:
            raise problem(Category.TOO_LARGE, f"the body has more than {MOST_NODES} elements and attributes")
        depth = len(self._stack) + (self._division.depth if self._division else 0)
        if depth > MAX_DEPTH:
            raise refusal(f"the body is nested deeper than {MAX_DEPTH} levels")
        parent = self._stack[-1]
        if self._division:
            self._narrate(tag, attributes, f"{parent.place}.div")
            return
        namespace, _, name = tag[1:].rpartition("}") if tag[0] == "{" else ("", "", tag)
        if not parent.type:
            self._resource(parent, namespace, name, attributes)
        else:
            self._child(parent, namespace, name, tag, attributes)

    def end(self, tag: str) -> None:
        if self._division:
            self._division.end(tag)
            if not self._division.depth:
                self._stack[-1].node["div"] = self._division.close()
                self._division = None
            return
        frame = self._stack.pop()
        _even(frame)
        if frame.element is None:
            return
        if frame.element.type == "Resource":
            if "resourceType" not in frame.node:
                raise refusal("a resource is needed", frame.place)
        elif frame.element.primitive:
            self._primitive_ends(frame, frame.element)
        elif not frame.node:
            raise refusal("an element is not empty; leave it out instead", frame.place)

    def close(self) -> dict[str, Any]:
        return self._stack[0].node

    def _resource(self, parent: _Frame, namespace: str, name: str, attributes: dict[str, str]) -> None:
        """The one resource of the document, of ``contained``, of an entry or of a parameter."""
        if namespace != NAMESPACE or not is_resource_type(name):
            raise refusal(f"a resource of FHIR in the namespace {NAMESPACE} is needed", parent.place)
        if "resourceType" in parent.node:
            raise refusal("only one resource is allowed", parent.place)
        parent.node["resourceType"] = name
        for key in attributes:
            if key != _SCHEMA_LOCATION:
                raise refusal("a resource has no attributes", f"{parent.place or name}.{_said(key)}")
        self._stack.append(_Frame(parent.place or name, name, parent.node))

    def _child(self, parent: _Frame, namespace: str, name: str, tag: str, attributes: dict[str, str]) -> None:
        place = f"{parent.place}.{_said(name)}"
        element = elements(parent.type).get(name)
        if element is None:
            raise refusal("unknown element", place)
        if _is_attribute(parent, name):
            raise refusal("an attribute, not an element", place)
        if element.type == "xhtml":
            if name in parent.node:
                raise refusal("only one is allowed", place)
            self._division = Division()
            self._narrate(tag, attributes, place)
            return
        if namespace != NAMESPACE:
            raise refusal(f"an element in the namespace {NAMESPACE} is needed", place)
        if element.many:
            place += f"[{len(parent.node.get(name, ()))}]"
        elif name in parent.node or f"_{name}" in parent.node:
            raise refusal("only one is allowed", place)
        if element.primitive:
            self._stack.append(_primitive(element, attributes, place))
            return
        frame = _Frame(place, "" if element.type == "Resource" else element.type, {}, element)
        _attributes(frame, attributes, element.type)
        if element.many:
            parent.node.setdefault(name, []).append(frame.node)
        else:
            parent.node[name] = frame.node
        self._stack.append(frame)

    def _primitive_ends(self, frame: _Frame, element: Element) -> None:
        if frame.value is None and not frame.node:
            raise refusal("an element has a value or an extension", frame.place)
        parent = self._stack[-1]
        name, beside = element.name, f"_{element.name}"
        if not element.many:
            if frame.value is not None:
                parent.node[name] = frame.value
            if frame.node:
                parent.node[beside] = frame.node
            return
        parent.lists.add(name)
        parent.node.setdefault(name, []).append(frame.value)
        parent.node.setdefault(beside, []).append(frame.node or None)

    def _narrate(self, tag: str, attributes: dict[str, str], place: str) -> None:
        assert self._division is not None
        try:
            self._division.start(tag, attributes)
        except ValueError as fault:
            raise refusal(f"{fault} in the namespace {XHTML}", place) from None


def refusal(text: str, place: str = "") -> Problem:
    return problem(Category.STRUCTURE, text, place)


def _said(name: str) -> str:
    """A name from the body, without its namespace, in a place."""
    return name.rpartition("}")[2][:_LONGEST_NAME]


def _is_attribute(parent: _Frame, name: str) -> bool:
    """Whether this part of an object is an attribute in XML: the id of what is no resource, the url of an extension."""
    return (name == "id" and "resourceType" not in parent.node) or (name == "url" and parent.type == "Extension")


def _attributes(frame: _Frame, attributes: dict[str, str], type_name: str) -> None:
    for key, value in attributes.items():
        if type_name == "Resource" or (key != "id" and (key != "url" or type_name != "Extension")):
            raise refusal("unknown attribute", f"{frame.place}.{_said(key)}")
        if not value:
            raise refusal("an attribute is not empty; leave it out instead", f"{frame.place}.{key}")
        frame.node[key] = value


def _primitive(element: Element, attributes: dict[str, str], place: str) -> _Frame:
    frame = _Frame(place, "Element", {}, element)
    rest = dict(attributes)
    text = rest.pop("value", None)
    _attributes(frame, rest, "Element")
    if text is not None:
        frame.value = _value(element.type, text, place)
    return frame


def _value(kind: str, text: str, place: str) -> Any:
    """The JSON value of a primitive."""
    if not text:
        raise refusal("a value is not empty; leave it out instead", place)
    if kind == "boolean":
        if text not in {"true", "false"}:
            raise refusal("true or false is needed", place)
        return text == "true"
    if kind in _INTEGERS:
        found = _INTEGER.fullmatch(text)
        if found is None:
            raise refusal("an integer is needed", place)
        return _number(found[1], place)
    if kind == "decimal":
        if not _DECIMAL.fullmatch(text):
            raise refusal("a number is needed", place)
        return _number(text, place)
    return text


def _number(text: str, place: str) -> Any:
    try:
        return number(text)
    except Problem as fault:
        raise refusal(fault.issues[0].text, place) from None


def _even(frame: _Frame) -> None:
    """Leave out lists of values or extensions that hold nothing. https://hl7.org/fhir/R4/json.html#primitive"""
    for name in frame.lists:
        for key in (name, f"_{name}"):
            if all(one is None for one in frame.node[key]):
                del frame.node[key]

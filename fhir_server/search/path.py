"""The part of FHIRPath that search expressions use, compiled once into closures, https://hl7.org/fhir/R4/fhirpath.html.

expression = branch { "|" branch } | path ".exists() and" path "!= false"
branch     = path | "(" path "as" Type ")"
path       = Type { "." step }
step       = name | "where(" name "='text')" | "where(resolve() is " Type ")"
           | "as(" Type ")" | "ofType(" Type ")" | "extension('url')"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhir_server.search.elements import CHOICES
from fhir_server.search.references import type_of

Step = Callable[[list[Any]], list[Any]]
Select = Callable[[dict[str, Any]], list[Any]]

_PRESENT = re.compile(r"(?P<path>[\w.]+)\.exists\(\) and (?P=path) != false")
_TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z_]\w*)|(?P<text>'(?:[^'\\]|\\.)*')|(?P<mark>[.()|=]))")


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled expression: ``select`` gives the elements of a resource, ``elements`` their paths, one a branch."""

    select: Select
    elements: tuple[str, ...]


def compile_path(expression: str, base: str, element: str = "") -> Path:
    """Compile a search expression whose branches all start at ``base``; raises ``ValueError`` for other syntax.

    ``element`` is the path of ``base`` where that is not a resource but a part of one.
    """
    if present := _PRESENT.fullmatch(expression):
        return _presence(_Reader(present["path"], base, element).expression())
    return _Reader(expression, base, element).expression()


def _presence(path: Path) -> Path:
    """True where there is a value other than false, else false."""
    return Path(lambda resource: [any(node is not False for node in path.select(resource))], path.elements)


class _Reader:
    def __init__(self, expression: str, base: str, element: str) -> None:
        self.source = expression
        self.base = base
        self.element = element or base
        self.tokens: list[str] = []
        at = 0
        while at < len(expression.rstrip()):
            found = _TOKEN.match(expression, at)
            if found is None:
                raise self.refused()
            self.tokens.append(found.group().strip())
            at = found.end()
        self.tokens.append("")
        self.at = 0

    def refused(self) -> ValueError:
        return ValueError(f"search expression not understood: {self.source}")

    def take(self, wanted: str = "") -> str:
        token = self.tokens[self.at]
        if not token or (wanted and token != wanted):
            raise self.refused()
        self.at += 1
        return token

    def next_is(self, wanted: str) -> bool:
        if self.tokens[self.at] != wanted:
            return False
        self.at += 1
        return True

    def name(self) -> str:
        token = self.take()
        if not (token[0].isalpha() or token[0] == "_"):
            raise self.refused()
        return token

    def text(self) -> str:
        token = self.take()
        if token[0] != "'":
            raise self.refused()
        return token[1:-1]

    def expression(self) -> Path:
        branches = [self.branch()]
        while self.next_is("|"):
            branches.append(self.branch())
        if self.tokens[self.at]:
            raise self.refused()
        selects = [_chain(steps) for steps, _ in branches]
        elements = tuple(element for _, element in branches)
        return Path(selects[0] if len(selects) == 1 else _union(selects), elements)

    def branch(self) -> tuple[list[Step], str]:
        if not self.next_is("("):
            return self.path()
        steps, element = self.path()
        self.take("as")
        steps[-1] = self.choice(element, self.name())
        self.take(")")
        return steps, element

    def path(self) -> tuple[list[Step], str]:
        if self.name() != self.base:
            raise self.refused()
        element, steps = self.element, list[Step]()
        while self.next_is("."):
            name = self.name()
            if not self.next_is("("):
                if name == "value" and element.endswith(".extension"):
                    steps.append(_any_value)
                else:
                    element = f"{element}.{name}"
                    endings = CHOICES.get(element)
                    steps.append(_fields(tuple(name + ending for ending in endings)) if endings else _field(name))
                continue
            if name == "extension":
                element = f"{element}.extension"
                steps += [_field("extension"), _where("url", self.text())]
            elif name in ("as", "ofType"):
                steps[-1] = self.choice(element, self.name())
            elif name == "where":
                steps.append(self.where())
            else:
                raise self.refused()
            self.take(")")
        if not steps:
            raise self.refused()
        return steps, element

    def where(self) -> Step:
        name = self.name()
        if name == "resolve":
            self.take("(")
            self.take(")")
            self.take("is")
            return _refers_to(self.name())
        self.take("=")
        return _where(name, self.text())

    def choice(self, element: str, kind: str) -> Step:
        ending = kind[0].upper() + kind[1:]
        if ending not in CHOICES.get(element, ()):
            raise self.refused()
        return _field(element.rsplit(".", 1)[1] + ending)


def _chain(steps: list[Step]) -> Select:
    first, *others = steps
    if not others:
        return lambda resource: first([resource])

    def select(resource: dict[str, Any]) -> list[Any]:
        nodes = first([resource])
        for step in others:
            if not nodes:
                return nodes
            nodes = step(nodes)
        return nodes

    return select


def _union(selects: list[Select]) -> Select:
    return lambda resource: [node for select in selects for node in select(resource)]


def _field(name: str) -> Step:
    def step(nodes: list[Any]) -> list[Any]:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, dict):
                value = node.get(name)
                if isinstance(value, list):
                    found += [item for item in value if item is not None]
                elif value is not None:
                    found.append(value)
        return found

    return step


def _fields(names: tuple[str, ...]) -> Step:
    steps = [_field(name) for name in names]
    return lambda nodes: [node for step in steps for node in step(nodes)]


def _any_value(nodes: list[Any]) -> list[Any]:
    """``value[x]`` of extensions."""
    return [
        value
        for node in nodes
        if isinstance(node, dict)
        for key, value in node.items()
        if key.startswith("value") and len(key) > 5
    ]


def _where(name: str, text: str) -> Step:
    return lambda nodes: [node for node in nodes if isinstance(node, dict) and node.get(name) == text]


def _refers_to(kind: str) -> Step:
    return lambda nodes: [node for node in nodes if isinstance(node, dict) and type_of(node) == kind]

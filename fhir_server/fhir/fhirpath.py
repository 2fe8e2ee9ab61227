"""The part of FHIRPath that finds elements of one resource, https://hl7.org/fhir/R4/fhirpath.html.

path        = start { "." step | "[" integer "]" }
start       = name | function | "$this" | "(" path "as" Type ")"
step        = name | function
function    = "where(" criteria ")" | "first()" | "last()" | "single()" | "ofType(" Type ")" | "as(" Type ")"
            | "extension('url')"
criteria    = conjunction { "or" conjunction }
conjunction = comparison { "and" comparison }
comparison  = operand [ ( "=" | "!=" ) operand ]
operand     = 'text' | number | "true" | "false" | "@" date | ( path | "(" criteria ")" ) { "." verdict }
verdict     = "exists()" | "empty()" | "not()" | "startsWith('x')" | "endsWith('x')" | "contains('x')"

Comparisons with nothing are nothing, and ``where`` keeps what is true. Dates are compared as they are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from fhir_server.fhir import fhirpath_steps as steps
from fhir_server.fhir.fhirpath_steps import Budget, Step
from fhir_server.fhir.models import elements
from fhir_server.fhir.tree import Node

_LONGEST = 2000
_DEEPEST = 16
_TOKEN = re.compile(
    r"\s*(?:(?P<name>\$this|[A-Za-z_]\w*|`[A-Za-z_]\w*`)|(?P<text>'(?:[^'\\]|\\.)*')|(?P<date>@[0-9T:.Z+-]+)"
    r"|(?P<number>-?[0-9]+(?:\.[0-9]+)?)|(?P<mark>!=|[.()\[\]=]))",
    re.ASCII | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_PRIMITIVE_NAMES = (
    "base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid positiveInt string time "
    "unsignedInt uri url uuid xhtml"
)
_PRIMITIVES = frozenset(_PRIMITIVE_NAMES.split())
_VERDICTS = frozenset(("exists", "empty", "not", *steps.TESTS))
_UNREADABLE = "not a path of names, indexes, where(), first(), last(), ofType() and extension()"


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path; ``last`` is the name of the element that it ends with, empty if it ends otherwise."""

    steps: tuple[Step, ...]
    last: str

    def select(self, resource: Node, budget: Budget) -> list[Node]:
        """The elements that the path means; ``ValueError`` when it does not fit the resource."""
        return steps.nodes(steps.run(self.steps, [resource], budget))

    def parents(self, resource: Node, budget: Budget) -> list[Node]:
        """What may have the elements named ``last``, whether there are any or not; ``ValueError`` as above."""
        return steps.nodes(steps.run(self.steps[:-1], [resource], budget))


def compile_path(text: str) -> Path:
    """Compile a path; raises ``ValueError`` for anything beyond the syntax above."""
    reader = _Reader(text)
    path = reader.path()
    if reader.coming != _END:
        raise ValueError(_UNREADABLE)
    return path


_END = ("", "")


class _Reader:
    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            msg = f"a path has at most {_LONGEST} characters"
            raise ValueError(msg)
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        self._depth = 0
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise ValueError(_UNREADABLE)
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()

    @property
    def coming(self) -> tuple[str, str]:
        """Kind and text of what comes next."""
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def path(self) -> Path:
        last = self.coming[1].strip("`") if self.coming[1][:1].islower() else ""
        found = [self._start()]
        if self._tokens[self._at - 1] == ("mark", ")"):
            last = ""
        while True:
            if self._took("["):
                found.append(steps.indexed(self._integer()))
                self._need("]")
                last = ""
            elif self.coming[1] == "." and not self._is_verdict():
                self._need(".")
                last = self._name()
                if self.coming[1] == "(":
                    found.append(self._function(last))
                    last = ""
                else:
                    found.append(steps.named(last))
            else:
                return Path(tuple(found), last)

    def _is_verdict(self) -> bool:
        following = self._tokens[self._at + 1 : self._at + 3]
        return len(following) == 2 and following[0][1] in _VERDICTS and following[1][1] == "("

    def _start(self) -> Step:
        if self._took("("):
            self._deeper()
            path = self.path()
            self._need("as")
            found = steps.chained(*path.steps, steps.of_type(self._type()))
            self._need(")")
            self._depth -= 1
            return found
        if self._took("$this"):
            return steps.this
        name = self._name()
        return self._function(name) if self.coming[1] == "(" else steps.started(name)

    def _function(self, name: str) -> Step:
        self._need("(")
        if name == "where":
            step = steps.where(self._criteria())
        elif name in {"first", "last", "single"}:
            step = {"first": steps.first, "last": steps.last, "single": steps.single}[name]
        elif name in {"ofType", "as"}:
            step = steps.of_type(self._type())
        elif name == "extension":
            step = steps.extension(self._text())
        else:
            raise ValueError(_UNREADABLE)
        self._need(")")
        return step

    def _criteria(self) -> Step:
        self._deeper()
        terms = [self._conjunction()]
        while self._took("or"):
            terms.append(self._conjunction())
        self._depth -= 1
        return terms[0] if len(terms) == 1 else steps.either(*terms)

    def _conjunction(self) -> Step:
        terms = [self._comparison()]
        while self._took("and"):
            terms.append(self._comparison())
        return terms[0] if len(terms) == 1 else steps.both(*terms)

    def _comparison(self) -> Step:
        left = self._operand()
        for mark in ("=", "!="):
            if self._took(mark):
                return steps.equal(left, self._operand(), same=mark == "=")
        return left

    def _operand(self) -> Step:
        kind, said = self.coming
        if kind == "text":
            return steps.constant(self._text())
        if kind in {"number", "date"} or said in {"true", "false"}:
            self._at += 1
            return steps.constant(Decimal(said) if kind == "number" else said[1:] if kind == "date" else said == "true")
        if said == "(" and not self._is_cast():
            self._need("(")
            found = self._criteria()
            self._need(")")
        else:
            found = steps.chained(*self.path().steps)
        while self._took("."):
            found = self._verdict(found)
        return found

    def _is_cast(self) -> bool:
        """Whether the bracket that opens here is ``(path as Type)``."""
        closing = self._tokens.index(("mark", ")"), self._at) if ("mark", ")") in self._tokens[self._at :] else 0
        return ("name", "as") in self._tokens[self._at : closing]

    def _verdict(self, of: Step) -> Step:
        name = self._name()
        self._need("(")
        if name in steps.TESTS:
            found = steps.tested(of, name, self._text())
        elif name == "not":
            found = steps.negated(of)
        elif name in {"exists", "empty"}:
            found = steps.exists(of, wanted=name == "exists")
        else:
            raise ValueError(_UNREADABLE)
        self._need(")")
        return found

    def _took(self, text: str) -> bool:
        if self.coming[1] != text:
            return False
        self._at += 1
        return True

    def _need(self, text: str) -> None:
        if not self._took(text):
            raise ValueError(_UNREADABLE)

    def _name(self) -> str:
        kind, said = self.coming
        if kind != "name" or said == "$this":
            raise ValueError(_UNREADABLE)
        self._at += 1
        return said.strip("`")

    def _type(self) -> str:
        name = self._name()
        if name in {"FHIR", "System"} and self._took("."):
            name = self._name()
        if name not in _PRIMITIVES:
            elements(name)
        return name

    def _integer(self) -> int:
        kind, said = self.coming
        if kind != "number" or not said.isdecimal():
            raise ValueError(_UNREADABLE)
        self._at += 1
        return int(said)

    def _text(self) -> str:
        kind, said = self.coming
        if kind != "text":
            raise ValueError(_UNREADABLE)
        self._at += 1
        return _ESCAPE.sub(_unescaped, said[1:-1])

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            msg = f"a path is nested deeper than {_DEEPEST} levels"
            raise ValueError(msg)


def _unescaped(found: re.Match[str]) -> str:
    said = found[1]
    return chr(int(said[1:], 16)) if len(said) == 5 else _ESCAPES.get(said, said)

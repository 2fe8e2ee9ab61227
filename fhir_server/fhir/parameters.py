"""The arguments of an operation, https://hl7.org/fhir/R4/operations.html: a Parameters resource, a query or a body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir import references, temporal
from fhir_server.fhir.references import Reference
from fhir_server.fhir.types import is_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

QUERY = "query"
"""The kind of an argument that came as text in the URL."""

_DURATION = re.compile(r"(?P<value>\d{1,9})(?P<unit>s|min|h|d|wk)?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,10}", re.ASCII)
_TEXT_KINDS = frozenset((QUERY, "string", "code", "uri", "url", "canonical", "id", "markdown", "oid", "uuid"))
_INTEGER_KINDS = frozenset(("integer", "positiveInt", "unsignedInt"))


class Token(NamedTuple):
    """A coded value to look for: ``system`` None = any system, empty = a code that has none; ``code`` empty = any."""

    system: str | None
    code: str


class Moment(NamedTuple):
    """A point in time as it was said: an instant in epoch seconds, or a whole local day. Exactly one is set."""

    text: str
    seconds: int | None
    day: date | None


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: ``kind`` is the FHIR type of its value, ``resource``, ``part`` or ``query`` (text from a URL).

    ``place`` names it in a refusal: ``Parameters.parameter[2]``, or the parameter's name in a query.
    """

    name: str
    kind: str
    value: Any
    place: str


class Arguments:
    """Named arguments and typed readers; a reader refuses what it cannot read (INVALID, naming the place).

    Readers for one value answer None when the argument is absent and refuse a second one. In a query a comma separates
    values, and an empty value is none.
    """

    __slots__ = ("_all",)

    def __init__(self, arguments: Iterable[Argument]) -> None:
        self._all: dict[str, list[Argument]] = {}
        for argument in arguments:
            self._all.setdefault(argument.name, []).append(argument)

    @classmethod
    def from_parameters(cls, resource: dict[str, Any]) -> Arguments:
        """Read a Parameters resource; refused as STRUCTURE when it is not one."""
        found = resource.get("parameter", [])
        if resource.get("resourceType") != "Parameters" or not isinstance(found, list):
            raise problem(Category.STRUCTURE, "a Parameters resource is needed", "Parameters")
        return cls(_argument(entry, f"Parameters.parameter[{index}]") for index, entry in enumerate(found))

    @classmethod
    def from_query(cls, pairs: Iterable[tuple[str, str]]) -> Arguments:
        """Read decoded query pairs."""
        return cls(Argument(name, QUERY, value, name) for name, value in pairs if value)

    @classmethod
    def from_resource(cls, resource: dict[str, Any], name: str = "resource") -> Arguments:
        """Read a bare resource sent as the body: it is the argument ``name``."""
        return cls((Argument(name, "resource", resource, str(resource.get("resourceType", name))),))

    def __contains__(self, name: str) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __add__(self, other: Arguments) -> Arguments:
        return Arguments([argument for side in (self, other) for name in side for argument in side.given(name)])

    def given(self, name: str) -> tuple[Argument, ...]:
        """Every argument of this name as it came."""
        return tuple(self._all.get(name, ()))

    def get(self, name: str) -> Argument | None:
        """The one argument of this name; refused when it is given more than once."""
        found = self._all.get(name)
        if found is None:
            return None
        if len(found) > 1:
            raise problem(Category.INVALID, f"{name} is given more than once", found[1].place, "param-invalid")
        return found[0]

    def all(self, name: str) -> tuple[Argument, ...]:
        """Every argument of this name, comma-separated query values one by one."""
        return tuple(
            Argument(name, QUERY, value, argument.place) if argument.kind == QUERY else argument
            for argument in self._all.get(name, ())
            for value in (argument.value.split(",") if argument.kind == QUERY else ("",))
            if value or argument.kind != QUERY
        )

    def require(self, *names: str) -> None:
        """Refuse (REQUIRED, all missing names together) unless each name is given."""
        missing = [name for name in names if name not in self._all]
        if missing:
            raise Problem(
                Category.REQUIRED, tuple(Issue(f"{name} is required", name, "param-missing") for name in missing)
            )

    def string(self, name: str) -> str | None:
        """Text of a string, code, uri, id or query value."""
        argument = self.get(name)
        return None if argument is None else _text(argument)

    def strings(self, name: str) -> tuple[str, ...]:
        """Texts, in a query the values as they are: a comma may belong to them."""
        return tuple(_text(argument) for argument in self.given(name))

    def boolean(self, name: str) -> bool | None:
        argument = self.get(name)
        if argument is None:
            return None
        if argument.kind == QUERY and argument.value in {"true", "false"}:
            return bool(argument.value == "true")
        if argument.kind != "boolean" or not isinstance(argument.value, bool):
            _refuse(argument, "true or false")
        return argument.value

    def integer(self, name: str, minimum: int | None = None) -> int | None:
        """A 32-bit integer of at least ``minimum``."""
        argument = self.get(name)
        if argument is None:
            return None
        value = argument.value
        if argument.kind in _TEXT_KINDS and isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        elif argument.kind not in _INTEGER_KINDS or isinstance(value, bool) or not isinstance(value, int):
            _refuse(argument, "an integer")
        if (minimum is not None and value < minimum) or not -(2**31) <= value < 2**31:
            _refuse(argument, "an integer" if minimum is None else f"an integer from {minimum} up")
        return int(value)

    def instant_or_date(self, name: str) -> Moment | None:
        """A dateTime with an offset, an instant or a full date."""
        argument = self.get(name)
        if argument is None:
            return None
        # A '+' of an offset that was not escaped arrives as a space.
        text = _text(argument, {"dateTime", "instant", "date"})
        text = text.replace(" ", "+") if argument.kind == QUERY else text
        try:
            if len(text) <= 10:
                return Moment(text, None, temporal.calendar_date(text))
            return Moment(text, temporal.instant_seconds(text), None)
        except ValueError:
            _refuse(argument, "a date YYYY-MM-DD or a dateTime with seconds and an offset")

    def duration(self, name: str) -> int | None:
        """Seconds of a Duration, or of text such as ``30`` (minutes), ``30min``, ``1h``; more than zero."""
        argument = self.get(name)
        if argument is None:
            return None
        value = argument.value
        if argument.kind in _INTEGER_KINDS and isinstance(value, int) and not isinstance(value, bool):
            value = {"value": value, "code": "min"}
        elif argument.kind in _TEXT_KINDS and isinstance(value, str) and (found := _DURATION.fullmatch(value)):
            value = {"value": int(found["value"]), "code": found["unit"] or "min"}
        elif argument.kind not in {"Duration", "Quantity"} or not isinstance(value, dict):
            _refuse(argument, "a Duration in s, min, h, d or wk")
        try:
            seconds = temporal.duration_seconds(value)
        except ValueError:
            seconds = 0
        if seconds == 0:
            _refuse(argument, "a Duration of more than zero in s, min, h, d or wk")
        return seconds

    def tokens(self, name: str) -> tuple[Token, ...]:
        """Codes from ``system|code`` text, code, Coding, CodeableConcept or Identifier, all of them alternatives."""
        return tuple(token for argument in self.all(name) for token in _tokens(argument))

    def token(self, name: str) -> Token | None:
        """The first of :meth:`tokens`; refused when the argument is given more than once."""
        argument = self.get(name)
        return None if argument is None else _tokens(argument)[0]

    def references(self, name: str, *types: str) -> tuple[Reference, ...]:
        """References from a Reference, uri, string or Identifier; ``types`` are the types allowed, none = any.

        ``system|value`` text and an Identifier are logical references. A bare id is read as one of the only type.
        """
        return tuple(_reference(argument, types) for argument in self.all(name))

    def reference(self, name: str, *types: str) -> Reference | None:
        """The one reference of this name; see :meth:`references`."""
        argument = self.get(name)
        return None if argument is None else _reference(argument, types)

    def resource(self, name: str, *types: str) -> dict[str, Any] | None:
        """A resource of one of ``types``, none = any."""
        argument = self.get(name)
        if argument is None:
            return None
        value = argument.value
        if argument.kind != "resource" or not isinstance(value, dict) or (types and value["resourceType"] not in types):
            _refuse(argument, f"a resource {' or '.join(types)}".rstrip())
        return value

    def element(self, name: str, kind: str) -> dict[str, Any] | None:
        """A value of one complex type as it was sent, such as ``Timing``, ``Identifier`` or ``CodeableConcept``."""
        argument = self.get(name)
        if argument is None:
            return None
        if argument.kind != kind or not isinstance(argument.value, dict):
            _refuse(argument, f"a value of type {kind}")
        return argument.value


def parameters(*entries: tuple[str, str, Any]) -> dict[str, Any]:
    """A Parameters resource of ``(name, kind, value)``; kind is a FHIR type, ``resource`` or ``part``."""
    found = [
        {"name": name, (kind if kind in {"resource", "part"} else f"value{kind[0].upper()}{kind[1:]}"): value}
        for name, kind, value in entries
    ]
    return {"resourceType": "Parameters", "parameter": found} if found else {"resourceType": "Parameters"}


def _refuse(argument: Argument, wanted: str) -> NoReturn:
    raise problem(Category.INVALID, f"{argument.name} is not {wanted}", argument.place, "param-invalid")


def _argument(entry: Any, place: str) -> Argument:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise problem(Category.STRUCTURE, "a parameter with a name is needed", place)
    held = [key for key in entry if key not in {"name", "id", "extension"}]
    key = held[0] if len(held) == 1 else ""
    value = entry.get(key)
    if key == "resource":
        if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
            raise problem(Category.STRUCTURE, "a resource with a resourceType is needed", f"{place}.resource")
        return Argument(entry["name"], "resource", value, f"{place}.resource")
    if key == "part" and isinstance(value, list):
        return Argument(entry["name"], "part", value, place)
    if not key.startswith("value") or len(key) < 6:
        raise problem(Category.STRUCTURE, "a parameter holds exactly one of value[x], resource and part", place)
    kind = key[5:]
    primitive = not isinstance(value, dict | list)
    return Argument(entry["name"], kind[0].lower() + kind[1:] if primitive else kind, value, place)


def _text(argument: Argument, kinds: Iterable[str] = ()) -> str:
    if (argument.kind in _TEXT_KINDS or argument.kind in kinds) and isinstance(argument.value, str) and argument.value:
        return argument.value
    _refuse(argument, "text")


def _tokens(argument: Argument) -> list[Token]:
    value, kind = argument.value, argument.kind
    found: list[Token] = []
    if kind in _TEXT_KINDS and isinstance(value, str):
        system, bar, code = value.partition("|")
        found = [Token(system, code) if bar else Token(None, value)]
    elif isinstance(value, dict):
        codings = {"CodeableConcept": value.get("coding"), "Coding": [value], "Identifier": [value]}.get(kind)
        found = [
            Token(coding.get("system"), coding.get("value" if kind == "Identifier" else "code", ""))
            for coding in (codings if isinstance(codings, list) else [])
            if isinstance(coding, dict)
        ]
    if not found or any(not (token.code or token.system) for token in found) or not _are_texts(found):
        _refuse(argument, "a code, system|code, Coding or CodeableConcept")
    return found


def _are_texts(tokens: list[Token]) -> bool:
    return all(isinstance(token.code, str) and isinstance(token.system, str | None) for token in tokens)


def _reference(argument: Argument, types: tuple[str, ...]) -> Reference:
    value, kind = argument.value, argument.kind
    wanted = f"a reference to {' or '.join(types)}" if types else "a reference"
    found: Reference | None = None
    try:
        if kind == "Reference" and isinstance(value, dict):
            found = references.of(value)
        elif kind == "Identifier" and isinstance(value, dict):
            found = references.of({"identifier": value})
        elif kind in _TEXT_KINDS and isinstance(value, str):
            found = _reference_text(value, types)
    except ValueError:
        _refuse(argument, wanted)
    if found is None or (types and found.type and found.type not in types):
        _refuse(argument, wanted)
    return found


def _reference_text(text: str, types: tuple[str, ...]) -> Reference:
    system, bar, value = text.partition("|")
    if bar and value:
        return Reference("logical", type=types[0] if len(types) == 1 else "", system=system, value=value)
    if len(types) == 1 and is_id(text):
        return Reference("relative", f"{types[0]}/{text}", types[0], text)
    return references.parse(text)

"""Search parameters, loaded from SearchParameter resources, https://hl7.org/fhir/R4/searchparameter.html."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fhir_server.fhir.types import HELD
from fhir_server.search.elements import CODED, DATES, IDENTIFIERS, INSTANTS, PARTED, PLAIN, REPEATING
from fhir_server.search.path import Path, Select, compile_path
from fhir_server.search.sealed import PERSONAL, SEALED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path as Directory

TYPES = frozenset({"token", "reference", "string", "date", "number", "quantity", "uri", "composite", "special"})
"""Parameter types that this server evaluates; ``special`` is ``near`` alone."""

_FIELDS = {"_id": "_id", "_lastUpdated": "at"}

_SECOND_MS, _YEAR_MS = 1000, 367 * 86_400_000
_NEED_TEXT = {"string": frozenset({"contains"}), "uri": frozenset({"above", "below"})}
"""Modifiers that a keyed hash cannot answer."""

_MODIFIERS = {"string": ("exact", "contains"), "reference": ("identifier",), "uri": ("above", "below")}


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """One search parameter of one resource type, or one component of a composite one.

    ``single``: a resource has one value at most, stored as a scalar (a reference with an identifier is a list all the
    same). ``coded``: the element is a code, boolean or id. ``longest``: how long a date lasts at most in milliseconds,
    0 for any time. ``modifiers``: those that apply, besides the target types of a reference. ``cover``: the field of a
    parameter that has all values of this one. ``field`` is the path in a stored document, of a component the path in
    an element. ``select`` gives the elements of a resource. ``sealed``: its stored values are keyed hashes.
    """

    base: str
    code: str
    type: str
    expression: str
    targets: tuple[str, ...]
    url: str
    text: str
    single: bool
    coded: bool
    longest: int
    modifiers: frozenset[str]
    field: str
    select: Select = dataclasses.field(compare=False, repr=False)
    cover: str = ""
    components: tuple[Definition, ...] = ()
    sealed: bool = False

    @property
    def personal(self) -> bool:
        """Whether texts beside its codes, and identifiers in its references, are stored as keyed hashes."""
        return self.base in PERSONAL

    @property
    def domain(self) -> str:
        """The parameter within which hashes of equal values are equal: its own, or the one that covers it."""
        return self.cover.removeprefix("idx.") or self.code

    @property
    def indexed(self) -> bool:
        """Whether its values live under ``idx``; ``_id`` and ``_lastUpdated`` have fields of their own."""
        return self.code not in _FIELDS

    @property
    def scalar(self) -> bool:
        """Whether its stored value is never a list."""
        return self.single and self.type != "reference"

    @property
    def sortable(self) -> bool:
        return self.type not in {"special", "composite"} and not self.sealed


class Definitions:
    """The search parameters of every held type, those of all resources included."""

    def __init__(self, by_type: Mapping[str, Mapping[str, Definition]]) -> None:
        self._by_type = {kind: MappingProxyType(dict(codes)) for kind, codes in by_type.items()}

    @property
    def types(self) -> tuple[str, ...]:
        """The resource types that can be searched."""
        return tuple(self._by_type)

    def of(self, kind: str) -> Mapping[str, Definition]:
        """Code → definition; raises ``KeyError`` for a type that is not held."""
        return self._by_type[kind]


def load(directory: Directory, types: Collection[str] = HELD) -> Definitions:
    """Read ``<Type>.json`` of the given types and ``Resource.json``, Bundles of SearchParameters.

    Raises ``ValueError`` naming the parameter whose type or expression cannot be evaluated.
    """
    bundles = {file.stem: json.loads(file.read_bytes()) for file in sorted(directory.glob("*.json"))}
    common = bundles.pop("Resource")
    return Definitions({kind: _codes(kind, (common, bundle)) for kind, bundle in bundles.items() if kind in types})


def _codes(kind: str, bundles: tuple[dict[str, Any], ...]) -> dict[str, Definition]:
    parameters = [entry["resource"] for bundle in bundles for entry in bundle["entry"]]
    types = {parameter["url"]: parameter["type"] for parameter in parameters}
    found = {parameter["code"]: _definition(kind, parameter, types) for parameter in parameters}
    return {code: dataclasses.replace(one, cover=_cover(one, found)) for code, one in found.items()}


def _cover(definition: Definition, known: Mapping[str, Definition]) -> str:
    """``Appointment.participant.actor`` covers that ``.where(resolve() is Patient)``; of equals the first the rest."""
    if wider := SEALED.get(definition.base, {}).get(definition.code):
        return known[wider].field
    if definition.type != "reference":
        return ""
    whole = definition.expression.partition(".where(resolve()")[0]
    first = next((one for one in known.values() if one.expression == whole), definition)
    return "" if first == definition else first.field


def _definition(kind: str, parameter: dict[str, Any], types: Mapping[str, str]) -> Definition:
    code, style, (base,) = parameter["code"], parameter["type"], parameter["base"]
    parts = parameter.get("component", ())
    if base not in (kind, "Resource") or style not in TYPES or (style == "composite") != (len(parts) > 1):
        msg = f"SearchParameter {parameter['url']}: base {base} or type {style} cannot be evaluated for {kind}"
        raise ValueError(msg)
    path = compile_path(parameter["expression"], base)
    coded = _coded(style, path)
    sealed = code in SEALED.get(kind, {})
    return Definition(
        base=kind,
        code=code,
        type=style,
        expression=parameter["expression"],
        targets=tuple(parameter.get("target", ())),
        url=parameter["url"],
        text=parameter["description"],
        single=_single(path) and (coded or style not in {"token", "composite"}),
        coded=coded,
        longest=_longest(path),
        modifiers=_modifiers(style, path) - (_NEED_TEXT.get(style, frozenset()) if sealed else frozenset()),
        field=_FIELDS.get(code, f"idx.{code}"),
        select=path.select,
        components=tuple(
            _component(kind, number, component, path.elements[0], types) for number, component in enumerate(parts, 1)
        ),
        sealed=sealed,
    )


def _component(kind: str, number: int, component: dict[str, str], element: str, types: Mapping[str, str]) -> Definition:
    style = types.get(component["definition"], "")
    if style not in TYPES - {"composite", "special"}:
        msg = f"component {component['definition']} of a composite SearchParameter of {kind} cannot be evaluated"
        raise ValueError(msg)
    whole = " | ".join(f"it.{branch.strip()}" for branch in component["expression"].split("|"))
    path = compile_path(whole, "it", element)
    name = f"c{number}"
    return Definition(
        base=kind,
        code=name,
        type=style,
        expression=component["expression"],
        targets=(),
        url=component["definition"],
        text="",
        single=False,
        coded=_coded(style, path),
        longest=_longest(path),
        modifiers=frozenset(),
        field=name,
        select=path.select,
    )


def _coded(style: str, path: Path) -> bool:
    return style == "token" and CODED.issuperset(path.elements)


def _longest(path: Path) -> int:
    if INSTANTS.issuperset(path.elements):
        return _SECOND_MS
    return _YEAR_MS if (INSTANTS | DATES).issuperset(path.elements) else 0


def _modifiers(style: str, path: Path) -> frozenset[str]:
    """The modifiers of https://hl7.org/fhir/R4/search.html#modifiers that apply."""
    if style != "token":
        return frozenset({"missing", *_MODIFIERS.get(style, ())})
    found = {"missing", "not"}
    if not PLAIN.isdisjoint(path.elements):
        return frozenset(found)
    if IDENTIFIERS.issuperset(path.elements):
        return frozenset(found | {"text", "of-type"})
    found |= {"in", "not-in", "above", "below"}
    return frozenset(found if CODED.issuperset(path.elements) else found | {"text"})


def _single(path: Path) -> bool:
    """Whether a resource has one value at most."""
    if len(path.elements) > 1:
        return False
    (element,) = path.elements
    if element in PARTED:
        return False
    steps = element.split(".")
    return "extension" not in steps and not any(
        ".".join(steps[:length]) in REPEATING for length in range(2, len(steps) + 1)
    )

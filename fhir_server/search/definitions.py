"""Search parameters, loaded from SearchParameter resources, https://hl7.org/fhir/R4/searchparameter.html."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fhir_server.search.elements import CODED, INSTANTS, PARTED, REPEATING
from fhir_server.search.path import Path, Select, compile_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as Directory

TYPES = frozenset({"token", "reference", "string", "date", "quantity", "uri", "special"})
"""Parameter types that this server evaluates; ``special`` is ``near`` alone."""

_FIELDS = {"_id": "_id", "_lastUpdated": "at"}


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """One search parameter of one resource type.

    ``single``: a resource has one value at most, stored as a scalar (a reference with an identifier is a list all the
    same). ``coded``: the element is a code, boolean or id. ``instant``: a value lasts a second at most. ``field`` is
    the path in a stored document, ``select`` gives the elements of a resource.
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
    instant: bool
    field: str
    select: Select = dataclasses.field(compare=False, repr=False)

    @property
    def indexed(self) -> bool:
        """Whether its values live under ``idx``; ``_id`` and ``_lastUpdated`` have fields of their own."""
        return self.code not in _FIELDS

    @property
    def scalar(self) -> bool:
        """Whether its stored value is never a list."""
        return self.single and self.type != "reference"


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


def load(directory: Directory) -> Definitions:
    """Read ``<Type>.json`` and ``Resource.json``, Bundles of SearchParameters.

    Raises ``ValueError`` naming the parameter whose type or expression cannot be evaluated.
    """
    bundles = {file.stem: json.loads(file.read_bytes()) for file in sorted(directory.glob("*.json"))}
    common = bundles.pop("Resource")
    return Definitions({kind: _codes(kind, (common, bundle)) for kind, bundle in bundles.items()})


def _codes(kind: str, bundles: tuple[dict[str, Any], ...]) -> dict[str, Definition]:
    parameters = [entry["resource"] for bundle in bundles for entry in bundle["entry"]]
    return {parameter["code"]: _definition(kind, parameter) for parameter in parameters}


def _definition(kind: str, parameter: dict[str, Any]) -> Definition:
    code, style, (base,) = parameter["code"], parameter["type"], parameter["base"]
    if base not in (kind, "Resource") or style not in TYPES:
        msg = f"SearchParameter {parameter['url']}: base {base} or type {style} cannot be evaluated for {kind}"
        raise ValueError(msg)
    path = compile_path(parameter["expression"], base)
    coded = style == "token" and CODED.issuperset(path.elements)
    return Definition(
        base=kind,
        code=code,
        type=style,
        expression=parameter["expression"],
        targets=tuple(parameter.get("target", ())),
        url=parameter["url"],
        text=parameter["description"],
        single=_single(path) and (coded or style != "token"),
        coded=coded,
        instant=INSTANTS.issuperset(path.elements),
        field=_FIELDS.get(code, f"idx.{code}"),
        select=path.select,
    )


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

"""The syntax tree of a FHIR search, https://hl7.org/fhir/R4/search.html: the parser builds it, two evaluators read it.

    clause         true for a resource when …
    -------------  ---------------------------------------------------------------------------
    TokenIn        one of its index strings is one of ``values``; so ReferenceIn and UriIn
    StringStarts   one of its normalised strings starts with one of ``values``
    StringContains … contains one of ``values``
    StringExact    one of its original strings is one of ``values``
    TokenText      one of the normalised texts of its codes starts with one of ``values``
    OfType         one of its identifiers is one of ``values``: type's system, type's code and value
    UriBelow       one of its URLs is one of ``values`` or continues it after a ``/``
    Together       one and the same element makes all ``clauses`` true, one a component
    DateCompare    one of its ranges stands to [low, high) as ``prefix`` says
    QuantityCompare one of its quantities (numbers) has the unit and stands to [low, high) and value as ``prefix`` says
    Missing        it has no value (``missing``) or has one
    IdIn           its id is one of ``ids``
    Near           its position is within ``metres``
    Not            the clause is not true, no value included
    Or             one of the clauses is true
    All            every one of the clauses is true
    Chain          it refers to a ``target`` for which all ``clauses`` are true
    Has            a resource of type ``kind`` for which all ``clauses`` are true refers to it

``clauses`` of a query are all to be true. Chain and Has look at other resources: ``fhir_server.store.search.resolve``
replaces them by ReferenceIn and IdIn before a tree is evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from fhir_server.search.definitions import Definition

Prefix: TypeAlias = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
Summary: TypeAlias = Literal["true", "false", "count", "data", "text"]
Total: TypeAlias = Literal["none", "estimate", "accurate"]


@dataclass(frozen=True, slots=True)
class TokenIn:
    definition: Definition
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReferenceIn:
    definition: Definition
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UriIn:
    definition: Definition
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StringStarts:
    definition: Definition
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StringContains:
    definition: Definition
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StringExact:
    definition: Definition
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokenText:
    definition: Definition
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OfType:
    definition: Definition
    values: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class UriBelow:
    definition: Definition
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DateCompare:
    """``[low, high)`` in milliseconds; for ``ap`` already widened."""

    definition: Definition
    prefix: Prefix
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class QuantityCompare:
    """``value`` as sent, ``[low, high)`` its implicit precision; ``unit`` an index string, empty for any."""

    definition: Definition
    prefix: Prefix
    value: float
    low: float
    high: float
    unit: str


@dataclass(frozen=True, slots=True)
class Together:
    definition: Definition
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    definition: Definition
    missing: bool


@dataclass(frozen=True, slots=True)
class IdIn:
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """Degrees (WGS84) and metres."""

    definition: Definition
    latitude: float
    longitude: float
    metres: float


@dataclass(frozen=True, slots=True)
class Not:
    clause: Clause


@dataclass(frozen=True, slots=True)
class Or:
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class All:
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    definition: Definition
    target: str
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """``definition`` is the reference parameter of ``kind`` that points here."""

    kind: str
    definition: Definition
    clauses: tuple[Clause, ...]


Clause: TypeAlias = (
    TokenIn
    | ReferenceIn
    | UriIn
    | StringStarts
    | StringContains
    | StringExact
    | TokenText
    | OfType
    | UriBelow
    | DateCompare
    | QuantityCompare
    | Together
    | Missing
    | IdIn
    | Near
    | Not
    | Or
    | All
    | Chain
    | Has
)


@dataclass(frozen=True, slots=True)
class SortKey:
    definition: Definition
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """``_include`` and ``_revinclude``: follow ``definition`` (``None``: every reference parameter) of ``source``.

    ``target`` limits the referred type. ``iterate``: also from resources that were included themselves.
    """

    source: str
    definition: Definition | None
    target: str | None
    iterate: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A search on one type; ``count`` is the page size in effect, ``page`` the opaque place where the page begins."""

    type: str
    clauses: tuple[Clause, ...] = ()
    sort: tuple[SortKey, ...] = ()
    count: int = 50
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    total: Total | None = None
    summary: Summary | None = None
    elements: tuple[str, ...] = ()
    page: str = ""

    @property
    def counts_only(self) -> bool:
        """Whether only the total is asked for: ``_count=0`` is ``_summary=count``."""
        return self.count == 0 or self.summary == "count"

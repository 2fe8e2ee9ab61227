"""What the modifiers ``:in :not-in :above :below`` of tokens ask of terminology, as clauses on index strings.

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fhir_server.search.query import TokenIn
from fhir_server.search.syntax import invalid, plain, token, unsupported

if TYPE_CHECKING:
    from collections.abc import Collection

    from fhir_server.search.definitions import Definition

MEMBERS = 10_000
"""The most codes that one search is made of."""


class Terminology(Protocol):
    """Value sets and code systems that are known here."""

    def members(self, value_set: str, /) -> Collection[tuple[str, str]] | None:
        """``(system, code)`` of every member; ``None`` for an unknown value set."""
        ...

    def below(self, system: str, code: str, /) -> Collection[str] | None:
        """The code and those that it subsumes; ``None`` for an unknown code system."""
        ...

    def above(self, system: str, code: str, /) -> Collection[str] | None:
        """The code and those that subsume it; ``None`` for an unknown code system."""
        ...


def member_of(definition: Definition, values: list[str], name: str, terminology: Terminology | None) -> TokenIn:
    """Codes of the value sets whose URLs are ``values``; raises ``Problem`` for one that is unknown."""
    known = _known(terminology, name)
    found: dict[str, None] = {}
    for value in values:
        members = known.members(plain(value))
        if members is None:
            raise invalid(name, "the value set is not known here")
        found |= {_index_string(definition, system, code): None for system, code in members}
    return _codes(definition, found, name)


def related(
    definition: Definition, modifier: str, values: list[str], name: str, terminology: Terminology | None
) -> TokenIn:
    """Codes ``above`` or ``below`` each ``system|code``; raises ``Problem`` for a code system that is unknown."""
    known = _known(terminology, name)
    found: dict[str, None] = {}
    for value in values:
        system, code = token(value)
        if not system or not code:
            raise invalid(name, "system|code is needed")
        codes = known.above(system, code) if modifier == "above" else known.below(system, code)
        if codes is None:
            raise invalid(name, "the code system is not known here")
        found |= {_index_string(definition, system, each): None for each in codes}
    return _codes(definition, found, name)


def _known(terminology: Terminology | None, name: str) -> Terminology:
    if terminology is None:
        raise unsupported(name, "this modifier needs terminology, which is not at hand here")
    return terminology


def _index_string(definition: Definition, system: str, code: str) -> str:
    return f"={code}" if definition.coded else f"{system}|{code}"


def _codes(definition: Definition, found: dict[str, None], name: str) -> TokenIn:
    if len(found) > MEMBERS:
        raise invalid(name, f"more than {MEMBERS} codes are meant")
    return TokenIn(definition, tuple(found))

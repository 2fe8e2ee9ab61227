"""Search requests read into the syntax tree, https://hl7.org/fhir/R4/search.html.

date=ge2026-11-01&date=lt2026-12-01        repeats are AND
status=booked,arrived                      commas are OR
actor:Practitioner.name=adams              chain; several levels: slot.schedule.actor:Location.name=…
Schedule.actor:HealthcareService=follow-up chain by the name of the type that only one parameter refers to
_has:Appointment:patient:status=booked     reverse chain; nested: _has:Slot:schedule:_has:Appointment:slot:status=…
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhir_server.errors import Category, Issue, Problem
from fhir_server.fhir.types import HELD
from fhir_server.search import controls
from fhir_server.search.controls import UnknownError
from fhir_server.search.query import Chain, Clause, Has, Or, Query
from fhir_server.search.references import base_forms
from fhir_server.search.syntax import SealedError, invalid, unsupported
from fhir_server.search.values import Reading, clause

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import tzinfo

    from fhir_server.search.definitions import Definition, Definitions
    from fhir_server.search.terminology import Terminology

PARAMETERS, VALUES, LEVELS = 100, 1000, 5
"""Limits of one request: parameters, values of one parameter, chained levels."""

LONGEST = 100_000
"""Characters of one value."""

_ALIASES = {("Slot", "-location"): "schedule.actor:Location"}
"""Parameters of EHRs in R4's words."""

_SILENT = frozenset({"_format", "_pretty"})
_ONCE = frozenset({"_count", "_summary", "_elements", "_total", "_page"})
_REFUSED = frozenset({"_text", "_content", "_list", "_filter", "_query"})


@dataclass(frozen=True, slots=True)
class Parsed:
    """A query, the names of parameters that were not understood, and the pairs in effect for the self link.

    ``used`` keeps the order and spelling of the request; ``_count`` is the size in effect; ``_page``, ``_format``,
    ``_pretty``, empty and unknown parameters are not in it.
    """

    query: Query
    unknown: tuple[str, ...]
    used: list[tuple[str, str]]


def parse(
    kind: str,
    pairs: Sequence[tuple[str, str]],
    definitions: Definitions,
    *,
    strict: bool,
    zone: tzinfo,
    page_size: int,
    page_limit: int,
    now_ms: int,
    bases: Iterable[str] = (),
    terminology: Terminology | None = None,
) -> Parsed:
    """Read decoded ``(name, value)`` pairs of a search on ``kind``; ``bases`` are the URLs of this server.

    Without ``terminology`` the modifiers that need it are not supported.

    Raises one ``Problem`` with every issue: INVALID for malformed values, NOT_SUPPORTED for modifiers and chains that
    this server does not have and, when ``strict``, for unknown parameters; else these are listed in ``unknown``.
    """
    if len(pairs) > PARAMETERS:
        raise invalid("", f"at most {PARAMETERS} search parameters are accepted")
    reader = _Reader(definitions, Reading(zone, now_ms, base_forms(bases), terminology))
    query = Query(kind, count=min(page_size, page_limit))
    seen: set[str] = set()
    unknown: list[str] = []
    used: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for said, text in pairs:
        name = _ALIASES.get((kind, said), said)
        if len(text) > LONGEST:
            problems.append(invalid(name[:64], f"a value has at most {LONGEST} characters"))
            continue
        if not text or name in _SILENT:
            continue
        try:
            if not _is_unicode(name) or not _is_unicode(text):
                raise invalid("", "a name or a value is no Unicode text")
            if name in _ONCE and name in seen:
                raise invalid(name, "this parameter is accepted once")
            seen.add(name)
            if name == "_count":
                query = replace(query, count=controls.count(text, page_limit))
                used.append((name, str(query.count)))
                continue
            after = _controlled(query, name, text, definitions)
            if after is None:
                found = reader.criterion(kind, name, text, name, 0)
                if found is None:
                    continue
                after = replace(query, clauses=(*query.clauses, found))
            query = after
        except UnknownError:
            if strict:
                problems.append(unsupported(name, "unknown search parameter"))
            unknown.append(name)
        except Problem as found_problem:
            problems.append(found_problem)
        else:
            if name != "_page":
                used.append((said, text))
    if problems:
        raise _together(problems)
    return Parsed(query, tuple(dict.fromkeys(unknown)), used)


def criteria(
    kind: str,
    pairs: Sequence[tuple[str, str]],
    definitions: Definitions,
    *,
    zone: tzinfo,
    now_ms: int,
    bases: Iterable[str] = (),
    terminology: Terminology | None = None,
) -> tuple[Clause, ...]:
    """Clauses of conditional criteria (``If-None-Exist``, conditional update …): strict, no result parameters.

    Raises ``Problem`` as :func:`parse` does, and INVALID when nothing selects: that would match every resource.
    """
    if any(name == "_page" for name, _ in pairs):
        raise invalid("_page", "criteria have no pages")
    parsed = parse(
        kind, pairs, definitions, strict=True, zone=zone, page_size=2, page_limit=2, now_ms=now_ms, bases=bases,
        terminology=terminology,
    )  # fmt: skip
    if not parsed.query.clauses:
        raise invalid("", "criteria with at least one search parameter are needed")
    return parsed.query.clauses


def _controlled(query: Query, name: str, text: str, definitions: Definitions) -> Query | None:
    """The query with one result parameter applied; ``None`` for any other name."""
    key = name.partition(":")[0]
    if key == "_include":
        found = controls.includes(name, text, query.type, definitions)
        return replace(query, includes=(*query.includes, *found))
    if key == "_revinclude":
        found = controls.includes(name, text, query.type, definitions)
        return replace(query, revincludes=(*query.revincludes, *found))
    if name == "_sort":
        return replace(query, sort=controls.sort(text, query.type, definitions))
    if name == "_summary":
        return replace(query, summary=controls.summary(text))
    if name == "_elements":
        return replace(query, elements=controls.elements(text))
    if name == "_total":
        return replace(query, total=controls.total(text))
    if name == "_page":
        return replace(query, page=text)
    if key in _REFUSED:
        raise unsupported(name, "this search parameter is not supported")
    return None


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can say it: lone surrogates it cannot."""
    return text.isascii() or not any("\ud800" <= mark <= "\udfff" for mark in text)


def _together(problems: list[Problem]) -> Problem:
    issues: list[Issue] = []
    for found in problems:
        issues += (replace(issue, category=found.category) for issue in found.issues)
    only = {found.category for found in problems}
    return Problem(only.pop() if len(only) == 1 else Category.INVALID, tuple(issues))


@dataclass(frozen=True, slots=True)
class _Reader:
    definitions: Definitions
    reading: Reading

    def criterion(self, kind: str, name: str, text: str, sent: str, level: int) -> Clause | None:
        """The clause of one parameter of ``kind``; ``sent`` is the whole name as the client wrote it."""
        if level > LEVELS:
            raise unsupported(sent, f"at most {LEVELS} chained levels are supported")
        if text.count(",") >= VALUES:
            raise invalid(sent, f"at most {VALUES} values are accepted")
        if name.startswith("_has:"):
            return self.reverse(kind, name, text, sent, level)
        if "." in name:
            return self.chain(kind, name, text, sent, level)
        code, _, modifier = name.partition(":")
        definition = self.definitions.of(kind).get(code)
        if definition is None:
            raise UnknownError
        return clause(definition, modifier, text, sent, self.reading)

    def reverse(self, kind: str, name: str, text: str, sent: str, level: int) -> Clause | None:
        parts = name.split(":", 3)
        if len(parts) < 4 or not all(parts):
            raise invalid(sent, "_has:Type:reference:parameter is needed")
        _, source, code, rest = parts
        definition = self.definitions.of(source).get(code) if source in self.definitions.types else None
        if definition is None or definition.type != "reference" or kind not in definition.targets:
            raise unsupported(sent, "no such reference from this type")
        found = self.further(source, rest, text, sent, level)
        return None if found is None else Has(source, definition, (found,))

    def chain(self, kind: str, name: str, text: str, sent: str, level: int) -> Clause | None:
        head, _, rest = name.partition(".")
        definition, targets = self.link(kind, head, sent)
        found: list[Clause] = []
        refused: Problem | None = None
        for target in targets:
            try:
                inner = self.further(target, rest, text, sent, level)
            except Problem as wrong:
                # A type that does not know the parameter cannot match; the value may still be malformed for all.
                # One whose values are sealed could match, if it could be asked.
                if wrong.category is not Category.NOT_SUPPORTED or isinstance(wrong, SealedError):
                    raise
                refused = wrong
            else:
                if inner is None:
                    return None
                found.append(Chain(definition, target, (inner,)))
        if not found:
            raise refused or unsupported(sent, "no type that this reference can lead to is held here")
        return found[0] if len(found) == 1 else Or(tuple(found))

    def link(self, kind: str, head: str, sent: str) -> tuple[Definition, list[str]]:
        """The reference parameter that a chain goes through, and the held types that it may lead to."""
        code, _, named = head.partition(":")
        known = self.definitions.of(kind)
        definition = known.get(code)
        if definition is None and code in HELD:
            # BaRS writes the type instead of the parameter: Schedule.actor on Slot.
            only = [found for found in known.values() if found.targets == (code,)]
            definition = only[0] if len(only) == 1 else None
        if definition is None:
            raise UnknownError
        if definition.type != "reference" or (named and named not in definition.targets):
            raise unsupported(sent, "no such chain from this parameter")
        wanted = (named,) if named else definition.targets
        return definition, [target for target in wanted if target in self.definitions.types]

    def further(self, kind: str, name: str, text: str, sent: str, level: int) -> Clause | None:
        try:
            return self.criterion(kind, name, text, sent, level + 1)
        except UnknownError:
            raise unsupported(sent, "the chained parameter is unknown") from None

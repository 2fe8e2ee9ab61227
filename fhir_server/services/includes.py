"""``_include`` and ``_revinclude``: one query for each level and type, https://hl7.org/fhir/R4/search.html#revinclude.

An include whose source is another type than the searched one follows what was included before it, with or without
``:iterate``: EHRs send it so. A reference that names a version brings that version as long as it is known, else the
current one. What is deleted or was never here is absent; what is a match or was included already comes once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fhir_server.errors import Issue, Problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.references import of as reference_of
from fhir_server.fhir.references import references_in
from fhir_server.search.definitions import Definition
from fhir_server.search.extract import index_values
from fhir_server.search.match import matches
from fhir_server.search.query import Clause, IdIn, Include, Or, Query, ReferenceIn, SortKey
from fhir_server.services.access.questions import followed, narrowed
from fhir_server.services.listing import HOLDING_TYPES, Document, Listing, references
from fhir_server.services.slot_search import Computed, computed, document_of
from fhir_server.services.upkeep import settle_this_second
from fhir_server.services.world import World

MOST_INCLUDED = 1_000

Level = Mapping[str, Sequence[Document]]
"""Documents by type, each with ``_id``, ``v``, ``at``, ``idx`` and ``body``."""


@dataclass(slots=True)
class _Wanted:
    """What one level asks for: by type ids and store filters, versions, and Schedules whose Slots are wanted."""

    ids: dict[str, set[str]] = field(default_factory=dict)
    versions: set[tuple[str, str, str]] = field(default_factory=set)
    pointing: dict[str, list[Clause]] = field(default_factory=dict)
    schedules: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Including:
    """What a search includes; ``types`` are those that it matches, ``at`` is when it began (ms).

    ``warnings`` says afterwards what was left out because it is too much.
    """

    world: World
    types: Collection[str]
    includes: Sequence[Include]
    revincludes: Sequence[Include]
    at: int
    warnings: list[Issue] = field(default_factory=list)

    async def of(self, matches: Level) -> list[tuple[str, Document]]:
        """Everything that the matches bring along, with its type, level by level."""
        if not self.includes and not self.revincludes:
            return []
        seen = {(type_, one["_id"], one["v"]) for type_, documents in matches.items() for one in documents}
        known = {one[:2] for one in seen}
        found: list[tuple[str, Document]] = []
        level, first = matches, True
        while any(level.values()):
            following: dict[str, list[Document]] = {}
            wanted = self._wanted(level, first=first)
            versions = await self._versions(wanted)
            current = await self._current(wanted, known)
            known |= {(type_, one["_id"]) for type_, one in current}
            for type_, one in [*current, *versions]:
                version = (type_, one["_id"], one["v"])
                if version not in seen:
                    seen.add(version)
                    found.append((type_, one))
                    following.setdefault(type_, []).append(one)
            if len(found) > MOST_INCLUDED:
                self._warn(f"only {MOST_INCLUDED} resources are included; ask for fewer matches a page")
                return found[:MOST_INCLUDED]
            level, first = following, False
        return found

    def _warn(self, text: str) -> None:
        self.warnings.append(Issue(text, "_include", "too-costly", severity="warning"))

    def _wanted(self, level: Level, *, first: bool) -> _Wanted:
        wanted = _Wanted()
        for one in self.includes:
            if first or one.iterate or one.source not in self.types:
                self._follow(wanted, one, level)
        for one in self.revincludes:
            if first or one.iterate or (one.target is not None and one.target not in self.types):
                self._point(wanted, one, level)
        return wanted

    def _follow(self, wanted: _Wanted, include: Include, level: Level) -> None:
        """What documents of the include's source refer to."""
        for source in self._sources(include):
            for document in level.get(source, ()):
                pinned = _pinned(document)
                for definition in self._definitions(include, source):
                    for reference in references(document, definition):
                        type_, _, id_ = reference.partition("/")
                        if type_ not in self.world.definitions.types or include.target not in {None, type_}:
                            continue
                        if reference in pinned:
                            wanted.versions.add((type_, id_, pinned[reference]))
                        else:
                            wanted.ids.setdefault(type_, set()).add(id_)

    def _point(self, wanted: _Wanted, include: Include, level: Level) -> None:
        """What refers to the documents of a level."""
        for source in self._sources(include):
            for definition in self._definitions(include, source):
                targets = [
                    f"{type_}/{one['_id']}"
                    for type_, documents in level.items()
                    if include.target in {None, type_} and type_ in definition.targets
                    for one in documents
                ]
                if targets and (source, definition.code) == ("Slot", "schedule"):
                    wanted.schedules.update(targets)
                elif targets:
                    wanted.pointing.setdefault(source, []).append(ReferenceIn(definition, tuple(targets)))

    def _sources(self, include: Include) -> Sequence[str]:
        types = self.world.definitions.types
        return (include.source,) if include.source in types else types

    def _definitions(self, include: Include, source: str) -> Iterable[Definition]:
        if include.definition is not None:
            return (include.definition,)
        every = [one for one in self.world.definitions.of(source).values() if one.type == "reference"]
        return followed(self.world.policy, include, every)

    async def _versions(self, wanted: _Wanted) -> list[tuple[str, Document]]:
        """Versions that references name; for one that is not known any more the current one becomes wanted."""
        found: list[tuple[str, Document]] = []
        for type_, id_, version in sorted(wanted.versions):
            stored = await self.world.store.resources.version(type_, id_, int(version)) if version.isdecimal() else None
            stored = await self.world.view.seen(stored) if stored else None
            if stored is None or stored.deleted:
                wanted.ids.setdefault(type_, set()).add(id_)
                continue
            index = index_values(
                parse(stored.body), self.world.definitions.of(type_), self.world.bases, self.world.zone
            )
            row = {"_id": id_, "v": stored.version, "at": stored.at, "body": stored.body}
            row["patients"] = stored.extra.get("patients") or ()
            found.append((type_, {**row, "idx": index}))
        return found

    async def _current(self, wanted: _Wanted, known: Collection[tuple[str, str]]) -> list[tuple[str, Document]]:
        found: list[tuple[str, Document]] = []
        for type_ in sorted({*wanted.ids, *wanted.pointing}):
            missing = sorted(id_ for id_ in wanted.ids.get(type_, ()) if (type_, id_) not in known)
            ways: list[Clause] = [*([IdIn(tuple(missing))] if missing else []), *wanted.pointing.get(type_, ())]
            if not ways:
                continue
            if type_ in HOLDING_TYPES:
                await settle_this_second(self.world, type_)
            documents: list[Document] = list(
                await self.world.view.find(
                    type_,
                    (Or(tuple(ways)) if len(ways) > 1 else ways[0],),
                    limit=MOST_INCLUDED + 1 + len(known),
                    fields={"v": 1, "body": 1, "at": 1, "idx": 1, "patients": 1},
                )
            )
            if type_ == "Slot":
                absent = sorted(set(missing) - {one["_id"] for one in documents})
                documents += [one for id_ in absent if (one := await self._computed(id_))]
            found += [(type_, one) for one in sorted(documents, key=lambda one: str(one["_id"]))]
        if wanted.schedules:
            found += [("Slot", one) for one in await self._slots(sorted(wanted.schedules))]
        return found

    async def _computed(self, id_: str) -> Document | None:
        """A computed Slot, if the caller sees it."""
        seen = await narrowed(self.world, "Slot", ())
        found = await document_of(self.world, id_, self.at) if seen is not None else None
        return found if found and matches(seen or (), found) else None

    async def _slots(self, schedules: Sequence[str]) -> list[Document]:
        """Stored and computed Slots of Schedules; the computed ones are left out when they are too much work."""
        definitions = self.world.definitions.of("Slot")
        asked = await narrowed(self.world, "Slot", (ReferenceIn(definitions["schedule"], tuple(schedules)),))
        if asked is None:
            return []
        query = Query(
            "Slot",
            asked,
            sort=(SortKey(definitions["start"], descending=False),),
            count=MOST_INCLUDED,
            revincludes=tuple(self.revincludes),
        )
        await settle_this_second(self.world, "Slot")
        try:
            made = await computed(self.world, query, self.at)
        except Problem:
            self._warn("computed Slots are not included: they are too many; search Slot by schedule and start")
            made = Computed()
        self.warnings.extend(made.warnings)
        return [one for _, one in await Listing(self.world, query, made).page(None)]


def _pinned(document: Document) -> dict[str, str]:
    """References of a document that name a version: ``Type/id`` → version."""
    body = document["body"]
    if not isinstance(body, bytes) or b"/_history/" not in body:
        return {}
    found = {}
    for _, element in references_in(parse(body)):
        try:
            reference = reference_of(element)
        except ValueError:
            continue
        if reference is not None and reference.version:
            found[reference.key] = reference.version
    return found

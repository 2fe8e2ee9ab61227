"""``transaction``: all writes of a Bundle or none, in one MongoDB transaction. https://hl7.org/fhir/R4/http.html#trules

1. every entry gets its identity, and all conditions are judged by the state before;
2. links between entries are rewritten and every content is checked;
3. the writes happen in the order of :mod:`order`, Appointments and Slots through the booking engine;
4. the caller's ``finish`` reads and writes the answer, still inside, so that it shows the new state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from fhir_server.fhir.json import parse
from fhir_server.services import conditional, resources
from fhir_server.services.access import followers
from fhir_server.services.booking import Changed
from fhir_server.services.bundles.contents import Act, Contents, answered, local_links
from fhir_server.services.bundles.entries import Entry, placed
from fhir_server.services.bundles.identities import Known, asked, identify
from fhir_server.services.bundles.order import Step
from fhir_server.services.conditional import ALONE_TYPES, ENGINE_TYPES, Criteria
from fhir_server.services.conditions import Condition
from fhir_server.services.keyed import Key, once
from fhir_server.services.resources import Written
from fhir_server.services.versions import new_id, same_content, version_of
from fhir_server.services.world import Caller, World
from fhir_server.store.epoch import ACCESS_TYPES, CATALOGUE_TYPES
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Overtaken, Unit

Finish = Callable[[World, Mapping[int, "Outcome"]], Awaitable[bytes]]
"""Makes the answer from the world inside the transaction and the outcomes by place."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write did: the version it left (None where there was nothing to delete) and its HTTP status."""

    stored: Stored | None
    status: int


async def transaction(
    world: World, caller: Caller, entries: Sequence[Entry], finish: Finish, key: Key | None = None
) -> bytes:
    """Write everything; the answer that ``finish`` makes.

    :raises Problem: of the first entry that is refused, its place in the Bundle named; nothing is written then.
    """
    running = _Running(world, caller, entries, finish, key, asked(world, entries))
    for type_ in sorted({one.type for one in entries} & ENGINE_TYPES):
        await conditional.settle(world, type_)

    async def work() -> bytes:
        # Whoever changes one resource waits for that first and for calendars later: nobody waits for ever.
        async with world.store.units.turns.take(running.turns()):
            return await world.store.units.run(running.once, now=world.now(), turns=running.calendars())

    written = {one.type for one in entries}
    try:
        catalogue, access = (next(iter(sorted(written & types)), "") for types in (CATALOGUE_TYPES, ACCESS_TYPES))
        async with world.store.epoch.moving(catalogue), world.store.epoch.moving(access):
            answer: bytes = await once(world, key, work)
            return answer
    finally:
        world.catalogue.begin()


@dataclass
class _Running:
    """One transaction and what is kept while it runs again: ids for what is new, and contents that were checked."""

    world: World
    caller: Caller
    entries: Sequence[Entry]
    finish: Finish
    key: Key | None
    criteria: Mapping[int, Criteria]
    contents: Contents = field(default_factory=Contents)
    placers: dict[int, str] = field(default_factory=dict)
    fresh: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.entries:
            stated = (entry.resource or {}).get("id") if entry.method == "PUT" else None
            self.fresh[entry.place] = str(stated or new_id())

    def turns(self) -> set[str]:
        """What callers of this process queue for: the resources and the criteria that are named."""
        named = {f"change|{one.type}/{one.id}" for one in self.entries if one.id}
        return named | {one.guard for one in self.criteria.values()}

    def calendars(self) -> set[str]:
        """As :meth:`turns`: the people and Slots of what is booked."""
        return {
            name
            for one in self.entries
            if one.type in ENGINE_TYPES and one.resource
            for name in local_links(one.resource)
        }

    async def once(self, unit: Unit) -> bytes:
        """The whole of it in an open unit."""
        self.world.catalogue.begin()
        catalogue = any(one.type in CATALOGUE_TYPES for one in self.entries)
        inner = self.world.within(unit, catalogue=catalogue)
        found = await identify(inner, unit, self.entries, self.criteria, self.fresh, self.placers)
        outcomes = {one.entry.place: _untouched(one) for one in found}
        acts = self.contents.acts(inner, found)
        references: dict[str, str] = {}
        for (_, plain), group in groupby(acts, key=lambda act: (act.key[:2], _is_plain(act))):
            if catalogue:
                inner.catalogue.begin()
            if plain:
                outcomes |= await self._together(inner, unit, list(group), references)
            else:
                for act in group:
                    place = act.known.entry.place
                    with placed(place):
                        outcomes[place] = await self._one(inner, act, references, outcomes[place])
        self._check_ids(found, outcomes)
        if catalogue:
            inner.catalogue.begin()
        answer = await self.finish(inner, outcomes)
        if self.key:
            await self.key.keep(inner, unit, 200, {}, answer)
        return answer

    async def _together(
        self, inner: World, unit: Unit, acts: Sequence[Act], references: dict[str, str]
    ) -> dict[int, Outcome]:
        """Writes of one type that only store, together."""
        writes, outcomes = [], {}
        for act in acts:
            known, place = act.known, act.known.entry.place
            with placed(place):
                after = await answered(inner, act, references)
                before = known.before
                exists = before is not None and not before.deleted
                if before and exists:
                    after = inner.view.rest(before, after)
                permission = "c" if known.entry.method == "POST" else "u"
                clinics = await resources.permitted(inner, after, known.id, permission, before if exists else None)
                await resources.check_zone(inner, after)
                if before and exists and same_content(parse(before.body), after):
                    outcomes[place] = Outcome(before, 200)
                    continue
                method = "POST" if known.entry.method == "POST" else "PUT"
                version = before.version + 1 if before else 1
                written, index = version_of(
                    inner, after, id_=known.id, version=version, at=inner.clock(), method=method, clinics=clinics
                )
                writes.append((before, written, index))
                outcomes[place] = Outcome(written, 200 if exists else 201)
        await unit.write_many(acts[0].known.entry.type, writes)
        # What has open references is written after what refers to it: its id is no news to these.
        new = acts[0].step is Step.PLAIN
        for before, written, _ in writes:
            if followers.moves(before, written, fresh=new and followers.is_fresh(before, written)):
                await unit.moved(written.reference)
        return outcomes

    async def _one(self, inner: World, act: Act, references: dict[str, str], done: Outcome) -> Outcome:
        """A deletion, or a write that acts, on the state that earlier writes left.

        :param done: what an earlier act of the same entry did.
        """
        known = act.known
        if act.after is not None and known.entry.method == "POST" and done.stored is None:
            after = await answered(inner, act, references)
            try:
                return Outcome(await resources.insert(inner, self.caller, after, known.id), 201)
            except Changed:
                raise Overtaken from None
        if act.after is None and known.before is None:
            return Outcome(None, 204)  # absent, or hidden from the caller
        before = await resources.current(inner, known.entry.type, known.id)
        if act.after is None:
            return Outcome(await self._deleted(inner, before) if before and not before.deleted else None, 204)
        after = await answered(inner, act, references)
        outcome = _outcome(await self._changed(inner, known, before, after))
        # A Slot that was created is created, whatever it became then.
        return Outcome(outcome.stored, 201) if done.status == 201 else outcome

    async def _changed(self, inner: World, known: Known, before: Stored | None, after: dict[str, object]) -> Written:
        written = await resources.changed(
            inner, self.caller, known.entry.type, known.id, before, lambda _: after, Condition(), creates=True
        )
        if written is None:
            raise Overtaken
        return written

    async def _deleted(self, inner: World, before: Stored) -> Stored:
        marker = await resources.mark(inner, self.caller, before)
        if marker is None:
            raise Overtaken
        return marker

    def _check_ids(self, found: Sequence[Known], outcomes: Mapping[int, Outcome]) -> None:
        """An Appointment that was booked before under its placer's identifier keeps its id: again, with that id.

        :raises Overtaken: there is such an Appointment.
        """
        other = {
            one.entry.place: stored.id
            for one in found
            if one.id and (stored := outcomes[one.entry.place].stored) and stored.id != one.id
        }
        if other:
            self.placers |= other
            raise Overtaken


def _is_plain(act: Act) -> bool:
    return act.after is not None and act.known.entry.type not in ALONE_TYPES


def _untouched(one: Known) -> Outcome:
    """The outcome of an entry that writes nothing."""
    return Outcome(one.before if one.exists else None, 200 if one.exists else 204)


def _outcome(written: Written) -> Outcome:
    return Outcome(written.stored, 201 if written.created else 200)

"""What each write of a transaction stores: links between entries rewritten, patches applied, everything checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.rewriting import Names, Open, base_of, rewritten
from fhir_server.fhir.types import HELD
from fhir_server.services import conditional, resources
from fhir_server.services.actors import reference_of
from fhir_server.services.bundles.entries import check_full_url, placed
from fhir_server.services.bundles.identities import Known, raise_together
from fhir_server.services.bundles.order import Step, order_of, step_of
from fhir_server.services.slot_faces import BUSY
from fhir_server.services.world import World


@dataclass(frozen=True, slots=True)
class Act:
    """One write, ready but for its conditional references: ``after`` is None for a deletion."""

    known: Known
    after: dict[str, Any] | None
    step: Step
    waiting: tuple[Open, ...] = ()

    @property
    def key(self) -> tuple[int, int, int, str]:
        entry = self.known.entry
        return order_of(self.step, entry.type, entry.method, self.known.id)


@dataclass
class Contents:
    """Makes the acts; what does not depend on the database is kept for when the transaction runs again."""

    _targets: dict[str, str] = field(default_factory=dict)
    _kept: dict[tuple[int, str], tuple[dict[str, Any], tuple[Open, ...]]] = field(default_factory=dict)

    def acts(self, world: World, found: Sequence[Known]) -> list[Act]:
        """The writes in their order.

        :raises Problem: with the faults of all entries.
        """
        _check_full_urls(world, found)
        targets = {
            one.entry.full_url: one.reference
            for one in found
            if one.entry.full_url and one.id and one.entry.method != "DELETE"
        }
        if targets != self._targets:
            self._targets, self._kept = targets, {}
        acts, faults = [], []
        for one in found:
            if one.exists or not one.id:
                continue
            try:
                with placed(one.entry.place):
                    acts.append(self._act(world, one))
            except Problem as fault:
                faults.append(fault)
        raise_together(faults)
        return sorted([*acts, *_opened(world, acts)], key=lambda act: act.key)

    def _act(self, world: World, one: Known) -> Act:
        entry = one.entry
        if entry.method == "DELETE":
            return Act(one, None, step_of(entry.type, "DELETE", "", "", referring=False))
        after, waiting = self._kept.get((entry.place, one.id)) or self._content(world, one)
        if entry.method != "PATCH":
            self._kept[entry.place, one.id] = (after, waiting)
        old = str(parse(one.seen.body).get("status", "")) if one.seen and entry.type == "Appointment" else ""
        new = str(after.get("status", ""))
        return Act(one, after, step_of(entry.type, entry.method, old, new, referring=bool(waiting)), waiting)

    def _content(self, world: World, one: Known) -> tuple[dict[str, Any], tuple[Open, ...]]:
        """What a write leaves, and the conditional references in it; checked unless there are some."""
        entry = one.entry
        content = _patched(one) if entry.change else dict(entry.resource or {})
        if entry.method == "PUT":
            content["id"] = one.id
        names = Names(self._targets, base_of(entry.full_url))
        after = rewritten(content, names)
        urns = [Issue(_NO_ENTRY, each.place) for each in names.open if each.kind == "urn"]
        if urns:
            raise Problem(Category.INVALID, tuple(urns))
        waiting = tuple(each for each in names.open if each.kind == "conditional")
        if not waiting:
            resources.check(world, after, entry.type)
        return after, waiting


def _check_full_urls(world: World, found: Iterable[Known]) -> None:
    faults = []
    for one in found:
        try:
            check_full_url(one.entry, one.id, world.bases)
        except Problem as fault:
            faults.append(fault)
    raise_together(faults)


_NO_ENTRY = "no entry of the Bundle has this full URL"


def _patched(one: Known) -> dict[str, Any]:
    entry = one.entry
    if one.seen is None:
        raise resources.gone(entry.type, one.id) if one.before else resources.absent(entry.type, one.id)
    before: dict[str, Any] = parse(one.seen.body)
    assert entry.change is not None
    after = entry.change(before)
    resources.check_identity(before, after, entry.type, one.id)
    return after


def _opened(world: World, acts: Iterable[Act]) -> list[Act]:
    """A new busy Slot that an Appointment of the same transaction fills is open time first, or it would be a block."""
    filled = {
        reference_of(slot, world.bases)
        for act in acts
        if act.step in {Step.TAKE, Step.MOVE} and act.after
        for slot in _objects(act.after.get("slot"))
    }
    return [
        replace(act, after={**act.after, "status": "free"}, step=Step.OPEN)
        for act in acts
        if act.after and act.after.get("status") in BUSY and not act.known.seen and act.known.reference in filled
    ]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


async def answered(world: World, act: Act, known: dict[str, str]) -> dict[str, Any]:
    """The content of an act with its conditional references resolved by what the transaction sees now, checked.

    :param known: references resolved before, by text; added to.
    :raises Problem: 412 for one that matches nothing or several resources, 400 for criteria that are none.
    """
    assert act.after is not None
    if not act.waiting:
        return act.after
    for one in act.waiting:
        if one.text not in known:
            known[one.text] = await _resolved(world, one)
    after = rewritten(act.after, Names({one.text: known[one.text] for one in act.waiting}))
    resources.check(world, after, act.known.entry.type)
    return after


async def _resolved(world: World, one: Open) -> str:
    type_, _, query = one.text.partition("?")
    try:
        if type_ not in HELD:
            raise problem(Category.INVALID, f"{type_} is no type of this server")
        pairs = _pairs(query)
        found = await conditional.match(world, conditional.criteria_of(world, type_, pairs))
    except Problem as refused:
        issues = tuple(Issue(each.text, one.place, each.code, each.category) for each in refused.issues)
        raise Problem(refused.category, issues, refused.headers) from None
    if found is None:
        raise problem(Category.PRECONDITION, "the conditional reference matches nothing", one.place)
    return found.reference


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise problem(Category.INVALID, "the conditional reference is not a search") from None


def local_links(content: Mapping[str, Any]) -> set[str]:
    """``Type/id`` of what an Appointment or Slot names: who may want the same time waits for the same names."""
    nodes = [one.get("actor") for one in _objects(content.get("participant"))]
    nodes += [*_objects(content.get("slot")), content.get("schedule")]
    return {name for one in nodes if (name := reference_of(one)) and "/" in name}

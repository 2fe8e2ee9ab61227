"""``$no-show-report``: rates of no-shows by provider, appointment type, reminder channel and confirmation.

Counted are the visits of a period that the caller sees, a few hundred at a time; nothing of a patient is kept. The
answer is a MeasureReport, one group with a stratifier for each way to look at it.
https://hl7.org/fhir/R4/measurereport.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.scheduling.rates import GROUPS, OTHERS, Cell, Group, Outcome, Tally, Visit
from fhir_server.search.parser import criteria
from fhir_server.search.query import Clause, ReferenceIn
from fhir_server.services.access.about import CLINICS
from fhir_server.services.access.questions import narrowed
from fhir_server.services.actors import reference_of
from fhir_server.services.facts import display
from fhir_server.services.no_show.marks import suspected
from fhir_server.services.versions import instant
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from fhir_server.store.search import to_filter

MEASURE = f"{CANONICAL}Measure/no-show-rate"
POPULATION = "http://terminology.hl7.org/CodeSystem/measure-population"
CHANNELS = f"{CANONICAL}CodeSystem/reminder-channel"
MESSAGES = f"{CANONICAL}identifier/appointment-messages"
AT_ONCE = 500
VALUES = 200
"""So many values of a search parameter are asked for at once; a visit may have many messages."""

MOST_VISITS = 200_000
SMALL = 11
"""A rate of fewer visits is left out: it says more of a few people than of anything else."""

NONE = "none"
OUTCOMES: Mapping[str, Outcome] = {
    "arrived": "attended", "checked-in": "attended", "fulfilled": "attended", "noshow": "missed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Period:
    """From ``start`` to before ``end``, in milliseconds since the epoch."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """Whose visits: of which providers and clinics, none = all that the caller sees; ``least`` visits a row."""

    period: Period
    practitioners: tuple[str, ...] = ()
    clinics: tuple[str, ...] = ()
    least: int = 0


@dataclass
class _Names:
    """What keys stand for: a Reference or a CodeableConcept by key."""

    types: dict[str, Mapping[str, Any]] = field(default_factory=dict)


async def report(world: World, asked: Question) -> dict[str, Any]:
    """The MeasureReport.

    :raises Problem: 400 for more visits than are counted at once.
    """
    ids = await _visits(world, asked)
    tally, names = Tally(), _Names()
    for start in range(0, len(ids), AT_ONCE):
        part = ids[start : start + AT_ONCE]
        channels = await _channels(world, part)
        found = await world.store.resources.get_many("Appointment", part)
        tally.count(_counted(world, ((one.id, parse(one.body)) for one in found), channels, names))
    people = [key for key, _ in tally.rows("provider", asked.least) if key]
    return _measured(world, asked, tally, names, await _people(world, people))


async def _visits(world: World, asked: Question) -> list[str]:
    """Ids of the visits that the caller sees."""
    pairs = [
        ("date", f"ge{instant(asked.period.start)}"), ("date", f"lt{instant(asked.period.end)}"),
        ("status", ",".join([*OUTCOMES, "booked"])),
    ]  # fmt: skip
    if asked.practitioners:
        pairs.append(("actor", ",".join(asked.practitioners)))
    clauses: tuple[Clause, ...] = criteria(
        "Appointment", pairs, world.definitions, zone=world.zone, now_ms=world.clock(), bases=world.bases,
        terminology=world.terminology,
    )  # fmt: skip
    if asked.clinics:
        clauses = (*clauses, ReferenceIn(CLINICS, asked.clinics))
    seen = await narrowed(world, "Appointment", clauses)
    if seen is None:
        return []
    rows = await world.store.resources.find("Appointment", to_filter(seen), limit=MOST_VISITS + 1, fields={"_id": 1})
    if len(rows) > MOST_VISITS:
        raise problem(Category.INVALID, "too many visits for one report; shorten the period", "start", "too-costly")
    return [one["_id"] for one in rows]


def _counted(
    world: World,
    found: Iterable[tuple[str, Mapping[str, Any]]],
    channels: Mapping[str, frozenset[str]],
    names: _Names,
) -> Iterable[Visit]:
    for id_, resource in found:
        outcome = OUTCOMES.get(resource["status"]) or ("suspected" if suspected(resource) else None)
        if outcome is None:
            continue
        actors = [reference_of(one.get("actor"), world.bases) for one in resource.get("participant", ())]
        providers = frozenset(one for one in actors if one.startswith(("Practitioner/", "PractitionerRole/")))
        yield Visit(
            outcome,
            {
                "provider": providers or frozenset({NONE}),
                "appointment-type": frozenset({_type(resource, names)}),
                "reminder-channel": channels.get(id_) or frozenset({NONE}),
                "confirmation": frozenset({_confirmation(world, resource)}),
            },
        )


def _type(resource: Mapping[str, Any], names: _Names) -> str:
    """The key of the first ``serviceType``, else of ``appointmentType``."""
    concept = next(iter(resource.get("serviceType", ())), None) or resource.get("appointmentType")
    if not concept:
        return NONE
    coding: Mapping[str, Any] = next(iter(concept.get("coding", ())), {})
    key = f"{coding.get('system', '')}|{coding['code']}" if coding.get("code") else "text"
    # Free text may say anything about anybody: it is one row, and its words stay where they are.
    if key != "text":
        names.types.setdefault(key, {"coding": [{name: coding[name] for name in sorted(coding) if name in _CODING}]})
    return key


_CODING = frozenset({"system", "code", "display"})


def _confirmation(world: World, resource: Mapping[str, Any]) -> str:
    said = {
        one.get("status")
        for one in resource.get("participant", ())
        if reference_of(one.get("actor"), world.bases).startswith("Patient/") and one.get("status") != "declined"
    }
    return "confirmed" if said == {"accepted"} else "not-confirmed"


async def _channels(world: World, ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """By Appointment the channels by which a message about it got out; empty where no messages are held."""
    if "Communication" not in world.definitions.types:
        return {}
    rows = await _seen(world, "CommunicationRequest", "group-identifier", [f"{MESSAGES}|{one}" for one in ids])
    about = {one["id"]: str((one.get("groupIdentifier") or {}).get("value", "")) for one in rows}
    sent = await _seen(world, "Communication", "based-on", [f"CommunicationRequest/{one}" for one in about])
    found: dict[str, set[str]] = {}
    for one in sent:
        if one["status"] != "completed":
            continue
        codes = [coding.get("code", "") for medium in one.get("medium", ()) for coding in medium.get("coding", ())]
        for request in one.get("basedOn", ()):
            visit = about.get(reference_of(request, world.bases).partition("/")[2])
            if visit:
                found.setdefault(visit, set()).update(filter(None, codes))
    return {visit: frozenset(codes) for visit, codes in found.items()}


async def _seen(world: World, type_: str, parameter: str, values: Sequence[str]) -> list[dict[str, Any]]:
    """Resources that the caller sees and that have one of these values of a parameter, each once."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(values), VALUES):
        clauses = criteria(
            type_, [(parameter, ",".join(values[start : start + VALUES]))], world.definitions, zone=world.zone,
            now_ms=world.clock(), bases=world.bases, terminology=world.terminology,
        )  # fmt: skip
        rows = await world.view.find(type_, clauses, fields={"idx": 0})
        found |= {one["_id"]: parse(bytes(one["body"])) for one in rows}
    return list(found.values())


async def _people(world: World, references: Sequence[str]) -> dict[str, str]:
    """Names of providers, who are in the directory."""
    ids = [one.partition("/")[2] for one in references if one.startswith("Practitioner/")]
    found = await world.store.resources.get_many("Practitioner", ids)
    return {one.reference: display(parse(one.body)) for one in found}


def _measured(world: World, asked: Question, tally: Tally, names: _Names, people: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "MeasureReport",
        "status": "complete",
        "type": "summary",
        "measure": MEASURE,
        "date": instant(world.clock()),
        "period": {"start": instant(asked.period.start), "end": instant(asked.period.end)},
    }
    if len(asked.clinics) == 1:
        made["reporter"] = {"reference": asked.clinics[0]}
    stratifiers = [
        {
            "code": [{"text": group}],
            "stratum": [
                {"value": _value(group, key, names, people, asked.least), **_numbers(cell)}
                for key, cell in tally.rows(group, asked.least)
            ],
        }
        for group in GROUPS
        if tally.rows(group, asked.least)
    ]
    made["group"] = [{**_numbers(tally.total), **({"stratifier": stratifiers} if stratifiers else {})}]
    return made


def _numbers(cell: Cell) -> dict[str, Any]:
    counts = [("denominator", "Denominator", cell.visits), ("numerator", "Numerator", cell.missed)]
    found: dict[str, Any] = {
        "population": [
            {"code": {"coding": [{"system": POPULATION, "code": code, "display": shown}]}, "count": count}
            for code, shown, count in counts
        ]
    }
    found["population"].append({"code": {"text": "suspected"}, "count": cell.suspected})
    if cell.rate is not None and cell.visits >= SMALL:
        found["measureScore"] = {"value": round(cell.rate, 4)}
    return found


def _value(group: Group, key: str, names: _Names, people: Mapping[str, str], least: int) -> dict[str, Any]:
    """What a row is about."""
    if key == OTHERS:
        return {"text": f"others, with fewer than {least} visits each"}
    if key == NONE:
        return {"text": "none"}
    if group == "appointment-type":
        return dict(names.types.get(key, {"text": "in words only"}))
    if group == "reminder-channel":
        return {"coding": [{"system": CHANNELS, "code": key}]}
    if group == "provider":
        shown = people.get(key, "")
        return {"coding": [{"code": key, **({"display": shown} if shown else {})}], "text": shown or key}
    return {"text": key}

"""The Flag of a clinic on a patient who has missed more visits in twelve months than its policy tolerates.

It follows from the visits that are no-shows now: written where facts are told, taken back when a no-show is taken back,
and made inactive when one of them is twelve months ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.scheduling.no_show import DEFAULT, NoShowTerms, Standing, standing
from fhir_server.services import terms
from fhir_server.services.actors import reference_of
from fhir_server.services.following.fact import Fact
from fhir_server.services.following.performance import Again
from fhir_server.services.no_show.marks import policy_extension
from fhir_server.services.no_show.standing import CODE, SYSTEM, flag_id
from fhir_server.services.versions import instant, same_content, version_of
from fhir_server.services.world import World
from fhir_server.store.resources import Stored, stored
from fhir_server.store.unit import Unit
from fhir_server.store.work import Task

LAPSE = "no-show-flag"
"""The kind of work that ends a Flag; its key is the Flag's id."""

CATEGORY = "http://terminology.hl7.org/CodeSystem/flag-category"
Pair = tuple[str, str]


async def follow(world: World, unit: Unit, facts: Sequence[Fact]) -> None:
    """Bring the Flags of everybody up to date whose no-shows these facts change."""
    anew: dict[Pair, bool] = {}
    for fact in facts:
        was = bool(fact.old and fact.old.get("status") == "noshow")
        now = bool(fact.new and fact.new.get("status") == "noshow")
        if was or now:
            for pair in _pairs(world, fact):
                anew[pair] = anew.get(pair, False) or (now and not was)
    for (patient, clinic), missed in sorted(anew.items()):
        await _settle(world, unit, patient, clinic, missed=missed)


def _pairs(world: World, fact: Fact) -> set[Pair]:
    """Patients and clinics of a version and of the one before it."""
    return {
        (patient, clinic)
        for version, resource in ((fact.before, fact.old), (fact.after, fact.new))
        if version and resource
        for patient in _patients(world, resource)
        for clinic in version.extra.get("clinics") or ()
    }


def _patients(world: World, resource: Mapping[str, Any]) -> set[str]:
    """Patients who were expected."""
    return {
        name
        for one in resource.get("participant", ())
        if one.get("status") != "declined"
        and (name := reference_of(one.get("actor"), world.bases)).startswith("Patient/")
    }


async def lapse(world: World, task: Task) -> Again | None:
    """Performer of ``no-show-flag``: one of the no-shows is twelve months ago."""
    patient, clinic = f"Patient/{task.about['patient']}", f"Organization/{task.about['clinic']}"

    async def work(unit: Unit) -> None:
        await world.store.work.settle(unit, task)
        await _settle(world, unit, patient, clinic, missed=False)

    await world.store.units.run(work, now=world.now())
    return None


async def _settle(world: World, unit: Unit, patient: str, clinic: str, *, missed: bool) -> None:
    """Write the Flag as it has to be now, if it is another one.

    :param missed: the patient has missed another visit, which revives a Flag that is over.
    """
    said = await _terms(world, clinic)
    stands = standing(await _missed(world, unit, patient, clinic), said.most, world.now())
    id_ = flag_id(patient, clinic)
    before = (await unit.current("Flag", [id_])).get(id_)
    old = parse(before.body) if before and not before.deleted else None
    active = bool(old and old["status"] == "active")
    if stands.restricted and (missed or active):
        after = _flag(patient, clinic, stands, said)
    elif active and old:
        after = {**old, "status": "inactive", "period": {**old.get("period", {}), "end": instant(world.clock())}}
    else:
        return
    if stands.until is not None:
        about = {"patient": patient.partition("/")[2], "clinic": clinic.partition("/")[2]}
        await world.store.work.plan(unit, LAPSE, id_, stands.until * 1000, about)
    else:
        await world.store.work.withdraw(unit, LAPSE, id_)
    if old is None or not same_content(old, after):
        await _write(world, unit, before, after, id_, clinic)


async def _write(
    world: World, unit: Unit, before: Stored | None, after: Mapping[str, Any], id_: str, clinic: str
) -> None:
    """The Flag is the clinic's own: it stands inside its walls alone."""
    written, index = version_of(
        world, after, id_=id_, version=before.version + 1 if before else 1, at=world.clock(),
        method="PUT" if before else "POST", clinics=(clinic,),
    )  # fmt: skip
    await unit.write(before, written, index)


def _flag(patient: str, clinic: str, stands: Standing, said: NoShowTerms) -> dict[str, Any]:
    assert stands.since is not None
    assert stands.until is not None
    return {
        "resourceType": "Flag",
        "extension": [policy_extension(said, whole=True)],
        "status": "active",
        "category": [{"coding": [{"system": CATEGORY, "code": "admin", "display": "Administrative"}]}],
        "code": {"coding": [{"system": SYSTEM, "code": CODE, "display": "Misses visits"}]},
        "subject": {"reference": patient},
        "period": {"start": instant(stands.since * 1000), "end": instant(stands.until * 1000)},
        "author": {"reference": clinic},
    }


async def _terms(world: World, clinic: str) -> NoShowTerms:
    """What the clinic itself says; a service or a Schedule may refine what it does, but not whom it flags."""
    found = await world.store.resources.get("Organization", clinic.partition("/")[2])
    if found is None or found.deleted:
        return DEFAULT
    return terms.policy(parse(found.body)).no_show or DEFAULT


async def _missed(world: World, unit: Unit, patient: str, clinic: str) -> list[int]:
    """Starts of the visits that the patient missed at a clinic, in epoch seconds."""
    where = {"idx.patient": patient, "idx.status": "=noshow", "clinics": clinic}
    rows = await unit.find("Appointment", where, fields={"idx": 0})
    resources = [parse(stored("Appointment", one).body) for one in rows]
    return [instant_seconds(one["start"]) for one in resources if "start" in one and patient in _patients(world, one)]

"""Whom a stored version is about: its ``patients`` and its ``clinics`` stand beside the body, in old versions too.

``patients`` are the Patients in whose compartment it is, ``#`` for a person who is only named by an identifier.
``clinics`` are the Organizations inside whose walls it is:

type                                   clinics
-------------------------------------  ----------------------------------------------------------------------------
Organization                           itself and what it is a part of
Location, HealthcareService,           the Organization that they name
PractitionerRole, Device, Group
Schedule, Slot                         those of the Schedule's actors
Appointment                            those of its Slots, places, services and roles, of those that somebody on the
                                       waitlist would take too; else those of its patients
Patient                                managingOrganization, whoever registered them, and where they were ever booked
other patient data                     the Organization that it names; else those of its patients

What names none belongs to the clinics of whoever wrote it, if these have walls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fhir_server.access.rules import MEMBERS
from fhir_server.access.withholding import PEOPLE
from fhir_server.scheduling.proposal import decode
from fhir_server.search.definitions import Definition
from fhir_server.services.actors import reference_of
from fhir_server.services.compartments import COMPARTMENTS
from fhir_server.services.waitlist.records import preferred

if TYPE_CHECKING:
    from fhir_server.services.world import World
    from fhir_server.store.resources import Stored

NOBODY = "#"
"""Stands for a person whom no literal reference names."""

_NAMED = {
    "Communication": "sender", "CommunicationRequest": "sender", "Device": "owner", "Encounter": "serviceProvider",
    "Group": "managingEntity", "HealthcareService": "providedBy", "Location": "managingOrganization",
    "Organization": "partOf", "Patient": "managingOrganization", "PractitionerRole": "organization",
}  # fmt: skip
_PLACES = frozenset({"Location", "HealthcareService", "PractitionerRole"})
"""Types that lend an Appointment their clinics."""


def _beside(code: str, target: str) -> Definition:
    return Definition(
        base="", code=code, type="reference", expression="", targets=(target,), url="", text="", single=False,
        coded=False, longest=0, modifiers=frozenset(), field=code, select=lambda _: [],
    )  # fmt: skip


PATIENTS, CLINICS, SECOND = (
    _beside("patients", "Patient"),
    _beside("clinics", "Organization"),
    _beside("patients.1", ""),
)
"""The fields beside the body, as clauses of the search tree name them; the last is there when there are two people."""

OWNER = _beside("owner", "")
"""The party that made a resource of which nobody else knows (``access.rules.OWNED``)."""

BESIDE = frozenset({PATIENTS.code, CLINICS.code, SECOND.code, OWNER.code})


def patients_in(resource: Mapping[str, Any], index: Mapping[str, Any]) -> tuple[str, ...]:
    """The Patients of a resource, from its own search values."""
    type_ = resource["resourceType"]
    found: dict[str, None] = {f"Patient/{resource['id']}": None} if type_ == "Patient" else {}
    codes = COMPARTMENTS["Patient"].get(type_, ("patient",) if type_ == "Device" else ())
    if type_ == "Patient":
        codes = ()  # a link is a hint, which may be wrong: it opens nobody's record
    for code in codes:
        values = index.get(code) or ()
        for value in (values,) if isinstance(values, str) else values:
            if value.startswith("Patient/"):
                found[value] = None
    if type_ in MEMBERS and has_unknown(resource, *MEMBERS[type_]):
        found[NOBODY] = None
    return tuple(found)


def has_unknown(resource: Mapping[str, Any], listed: str, name: str) -> bool:
    """Whether a list of people names one by an identifier alone."""
    return any(_is_unknown(one, name) for one in resource.get(listed, ()) if isinstance(one, Mapping))


def _is_unknown(item: Mapping[str, Any], name: str) -> bool:
    reference = item.get(name) or {}
    literal = str(reference.get("reference", ""))
    named_only = not literal or literal.startswith("#")
    return named_only and "identifier" in reference and reference.get("type", "Patient") in PEOPLE


def beside(patients: Sequence[str], clinics: Sequence[str], owner: str = "") -> dict[str, Any]:
    """The same facts as values of the search tree's evaluator."""
    found: dict[str, Any] = {"owner": owner} if owner else {}
    if patients:
        found["patients"] = list(patients)
    if len(patients) > 1:
        found["patients.1"] = patients[1]
    if clinics:
        found["clinics"] = list(clinics)
    return found


async def clinics_of(
    world: World,
    resource: Mapping[str, Any],
    before: Sequence[str] = (),
    shown: Mapping[str, Sequence[str]] | None = None,
) -> tuple[str, ...]:
    """The clinics of a resource that is written, its id in it.

    :param before: the clinics of the version that it replaces.
    :param shown: Slots that show an Appointment, whether it names them or not; with their clinics where it is known.
    """
    type_ = resource["resourceType"]
    found = dict.fromkeys(before if type_ == "Patient" else ())
    named = reference_of(resource.get(_NAMED[type_]), world.bases) if type_ in _NAMED else ""
    if named.startswith("Organization/"):
        found[named] = None
    if type_ == "Organization":
        found[f"Organization/{resource.get('id', '')}"] = None
    elif type_ == "Schedule":
        found |= dict.fromkeys(sorted(await world.catalogue.organizations_of(resource)))
    elif type_ == "Slot":
        found |= dict.fromkeys(await _of_schedules(world, [reference_of(resource.get("schedule"), world.bases)]))
    elif type_ == "Appointment":
        found |= dict.fromkeys(await _of_appointment(world, resource, shown or {}))
    if not found and type_ != "Patient":
        found |= dict.fromkeys(await _of_patients(world, resource))
    own = world.policy.caller.clinics or ()
    return tuple(one for one in found if one.startswith("Organization/")) or tuple(before) or tuple(sorted(own))


def showing(stored: Stored | None) -> dict[str, Sequence[str]]:
    """The Slots beside an Appointment: those that show it, or showed it while it had time."""
    extra = stored.extra if stored else {}
    return dict.fromkeys(extra.get("slots") or extra.get("shown") or (), ())


async def clinics_now(
    world: World, stored: Stored, resource: Mapping[str, Any], slots: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, ...]:
    """The clinics that a stored version would have if it were written now.

    :param slots: clinics of some Slots, which need not be read then.
    """
    shown = showing(stored)
    if slots:
        named = (reference_of(one, world.bases) for one in resource.get("slot", ()))
        shown = {one: slots.get(one, ()) for one in (*shown, *named)}
    return await clinics_of(world, resource, stored.extra.get("clinics") or (), shown)


async def _of_patients(world: World, resource: Mapping[str, Any]) -> list[str]:
    """The clinics that know the Patients of what names no clinic itself."""
    patients = [
        reference_of(resource.get(name), world.bases) for name in ("patient", "subject", "beneficiary", "actor")
    ]
    patients += [reference_of(one.get("actor"), world.bases) for one in resource.get("participant", ())]
    ids = sorted({one.partition("/")[2] for one in patients if one.startswith("Patient/")})
    if not ids:
        return []
    rows = await world.store.resources.find("Patient", {"_id": {"$in": ids}}, fields={"clinics": 1})
    return [clinic for one in rows for clinic in one.get("clinics", ())]


async def _of_schedules(world: World, names: Iterable[str]) -> list[str]:
    known = await world.catalogue.schedules([one for one in names if one])
    return [clinic for facts in known.values() for clinic in sorted(facts.organizations)]


async def _of_appointment(world: World, resource: Mapping[str, Any], shown: Mapping[str, Sequence[str]]) -> list[str]:
    """Clinics of an Appointment's Slots, places, services and roles, else of what its people's Schedules say."""
    named = [reference_of(one.get("actor"), world.bases) for one in resource.get("participant", ())]
    wish = preferred(resource)
    named += [reference_of(one, world.bases) for part in ("service", "location", "actor") for one in wish.get(part, ())]
    slots = {**dict.fromkeys(reference_of(one, world.bases) for one in resource.get("slot", ())), **shown}
    found = [clinic for clinics in slots.values() for clinic in clinics or ()]
    found += await _of_slots(world, [one for one, clinics in slots.items() if not clinics])
    found += await world.catalogue.clinics([one for one in named if one.partition("/")[0] in _PLACES])
    if not found:
        people = [one for one in named if one.startswith("Practitioner/")]
        found += [clinic for facts in await world.catalogue.of_actor(people) for clinic in sorted(facts.organizations)]
    return found


async def _of_slots(world: World, names: Iterable[str]) -> list[str]:
    """Clinics of Slots, of computed ones too, so that it makes no difference when one of these is stored."""
    ids = [one.partition("/")[2] for one in names if one.startswith("Slot/")]
    if not ids:
        return []
    rows = await world.store.resources.find("Slot", {"_id": {"$in": ids}}, fields={"clinics": 1})
    keys = [decode(one) for one in set(ids) - {one["_id"] for one in rows}]
    schedules = [await world.catalogue.by_key("Schedule", each) for key in keys if key for each in key.schedules]
    found = [clinic for one in rows for clinic in one.get("clinics", ())]
    return found + await _of_schedules(world, [one for one in schedules if one])

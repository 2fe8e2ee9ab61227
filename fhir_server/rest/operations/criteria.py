"""The arguments of ``$find`` in every dialect's names, as criteria; and back, for the ``next`` link.

ours            also read as
--------------  -------------------------------------------------------------------
start, end      startTime, endTime
service         service-type-reference
service-type    visit-type (Argonaut, IHE), serviceType
practitioner    uri, Reference or identifier
location        location-reference
patient         patient-reference, patient-resource
preferred-time  timing (IHE)
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.errors import Category, Issue, problem
from fhir_server.fhir.parameters import Arguments, Moment
from fhir_server.fhir.references import Reference
from fhir_server.rest.operations.acts import check_resource
from fhir_server.services import preferred
from fhir_server.services.access import writes
from fhir_server.services.candidates import Criteria, Near, token_strings
from fhir_server.services.targets import Target, patients_of
from fhir_server.services.wishes import identified, resolve
from fhir_server.services.world import Caller, World

MILE_KM = 1.609344
UNITS = {"km": 1.0, "m": 0.001, "mi": MILE_KM, "[mi_i]": MILE_KM, "": 1.0}
MODALITIES = frozenset({"in-person", "video", "phone"})
ACCEPTED_UNUSED = frozenset({"reason", "coverage", "insurance-reference", "indications"})
"""Arguments of other guides that this server takes without a rule that uses them; the answer says so."""

KNOWN = ACCEPTED_UNUSED | {
    "start", "end", "startTime", "endTime", "service", "service-type-reference", "service-type", "visit-type",
    "serviceType", "specialty", "practitioner", "location", "location-reference", "location-near", "location-string",
    "organization", "language", "modality", "schedule", "patient", "patient-reference", "patient-resource",
    "duration", "preferred-time", "first-available", "per-day", "ignore-appointment", "referral-identifier", "timing",
    "_count", "_page", "booking-channel",
}  # fmt: skip


async def criteria(world: World, caller: Caller, given: Arguments) -> Criteria:
    """Read and resolve the arguments.

    :raises Problem: 400 naming every missing or malformed argument's place.
    """
    start, end = _moment(given, "start", "startTime"), _moment(given, "end", "endTime")
    if start is None or end is None:
        given.require(*[name for name, one in (("start", start), ("end", end)) if one is None])
    assert start is not None
    assert end is not None
    services, no_service = await _references(world, given, ("service", "service-type-reference"), "HealthcareService")
    people, nobody = await _references(world, given, ("practitioner",), "Practitioner", "PractitionerRole")
    places, nowhere = await _references(world, given, ("location", "location-reference"), "Location")
    organizations, no_organization = await _references(world, given, ("organization",), "Organization")
    schedules, no_schedule = await _references(world, given, ("schedule",), "Schedule")
    ignored, _ = await _references(world, given, ("ignore-appointment",), "Appointment")
    target = Target(
        patients=tuple(one for name in ("patient", "patient-reference") for one in given.references(name, "Patient")),
        patient_resources=tuple(
            one.value for one in given.given("patient") + given.given("patient-resource") if one.kind == "resource"
        ),
    )
    for one in target.patient_resources:
        check_resource(world, one, "Patient", "Patient")
    patients = await patients_of(world, caller, target, register=False)
    await writes.check_patients(world, patients, "patient")
    for reference in ignored:
        await _check_ignored(world, reference)
    modality = given.string("modality") or ""
    if modality and modality not in MODALITIES:
        text = "modality is in-person, video or phone"
        raise problem(Category.INVALID, text, "modality", "param-invalid")
    return Criteria(
        start,
        end,
        services=services,
        service_types=tuple(
            one for name in ("service-type", "visit-type", "serviceType") for one in given.tokens(name)
        ),
        specialties=given.tokens("specialty"),
        practitioners=people,
        locations=places,
        near=_near(given),
        location_texts=given.strings("location-string"),
        organizations=organizations,
        languages=given.tokens("language"),
        modality=modality,
        schedules=schedules,
        patients=patients,
        duration=given.duration("duration"),
        preferred=_preferred(given),
        first_available=bool(given.boolean("first-available")),
        per_day=given.integer("per-day", 1),
        ignore=frozenset(ignored),
        referral=await _referral(world, given),
        channel=writes.channel_of(caller, given.string("booking-channel") or ""),
        nothing=no_service or nobody or nowhere or no_organization or no_schedule,
    )


async def _check_ignored(world: World, reference: str) -> None:
    """:raises Problem: 404 for an Appointment that the caller does not see: its time is somebody else's."""
    if not world.policy.unlimited and await world.view.get("Appointment", reference.partition("/")[2]) is None:
        raise problem(Category.NOT_FOUND, "no such appointment", "ignore-appointment")


async def _referral(world: World, given: Arguments) -> bool | None:
    """Whether the referral that the request names is an active ServiceRequest of ours; None if it names none."""
    tokens = given.tokens("referral-identifier")
    if not tokens:
        return None
    found = await world.store.resources.find(
        "ServiceRequest",
        {**identified(world, "ServiceRequest", sorted(token_strings(tokens))), "idx.status": "=active"},
        limit=1,
        fields={"_id": 1},
    )
    return bool(found)


def unused(given: Arguments) -> list[Issue]:
    """Warnings for arguments that have no effect."""
    return [
        Issue(f"argument {name[:64]} was left out", name[:64], "param-ignored", severity="warning")
        for name in given
        if name not in KNOWN or name in ACCEPTED_UNUSED
    ]


def pairs(asked: Criteria) -> list[tuple[str, str]]:
    """Criteria as a query of primitives, for the ``next`` link of a POST."""
    found = [("start", asked.start.text), ("end", asked.end.text)]
    for name, values in (
        ("service", asked.services),
        ("practitioner", asked.practitioners),
        ("location", asked.locations),
        ("organization", asked.organizations),
        ("schedule", asked.schedules),
        ("patient", asked.patients),
        ("ignore-appointment", sorted(asked.ignore)),
        ("location-string", asked.location_texts),
    ):
        found += [(name, one) for one in values]
    for name, tokens in (
        ("service-type", asked.service_types),
        ("specialty", asked.specialties),
        ("language", asked.languages),
    ):
        found += [(name, one.code if one.system is None else f"{one.system}|{one.code}") for one in tokens]
    if asked.near:
        near = asked.near
        found.append(("location-near", f"{near.latitude}|{near.longitude}|{near.kilometres}|km"))
    if asked.modality:
        found.append(("modality", asked.modality))
    if asked.duration:
        found.append(("duration", f"{asked.duration}s"))
    found += [("preferred-time", preferred.write(one)) for one in asked.preferred]
    if asked.first_available:
        found.append(("first-available", "true"))
    if asked.per_day:
        found.append(("per-day", str(asked.per_day)))
    if asked.channel != "online":
        found.append(("booking-channel", asked.channel))
    return found


def _moment(given: Arguments, *names: str) -> Moment | None:
    return next((one for name in names if (one := given.instant_or_date(name))), None)


async def _references(
    world: World, given: Arguments, names: Sequence[str], *types: str
) -> tuple[tuple[str, ...], bool]:
    """Resolved references, and whether some were given of which none exists."""
    stated: list[Reference] = [one for name in names for one in given.references(name, *types)]
    found = [await resolve(world, one, *types) for one in stated]
    known = tuple(dict.fromkeys(one for one in found if one))
    return known, bool(stated) and not known


def _near(given: Arguments) -> Near | None:
    """``latitude|longitude|distance|unit``; 50 km when no distance is given.

    https://hl7.org/fhir/R4/location.html#search near
    """
    text = given.string("location-near")
    if text is None:
        return None
    parts = text.split("|")
    try:
        latitude, longitude = float(parts[0]), float(parts[1])
        distance = float(parts[2]) if len(parts) > 2 and parts[2] else 50.0
        scale = UNITS[parts[3] if len(parts) > 3 else ""]
    except (ValueError, IndexError, KeyError):
        latitude, longitude, distance, scale = 999.0, 0.0, 0.0, 1.0
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 <= distance < 1e6) or len(parts) > 4:
        text = "location-near is latitude|longitude|distance|unit with unit km, m or mi"
        raise problem(Category.INVALID, text, "location-near", "param-invalid")
    return Near(latitude, longitude, distance * scale)


def _preferred(given: Arguments) -> tuple[preferred.Preferred, ...]:
    found = []
    for argument, text in zip(given.given("preferred-time"), given.strings("preferred-time"), strict=True):
        try:
            found.append(preferred.read(text))
        except ValueError as fault:
            raise problem(Category.INVALID, str(fault), argument.place, "param-invalid") from None
    timing = given.element("timing", "Timing")
    if timing:
        try:
            found.append(preferred.of_timing(timing))
        except (ValueError, TypeError, AttributeError):
            text = "timing is not a Timing with repeat.dayOfWeek, timeOfDay or when"
            raise problem(Category.INVALID, text, "timing", "param-invalid") from None
    return tuple(found)

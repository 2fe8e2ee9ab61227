"""``Appointment/$join-waitlist``: by parameters, or by an Appointment with status ``waitlist``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.access.caller import Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.parameters import Arguments
from fhir_server.fhir.temporal import time_seconds
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.operations.acts import check_resource
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.cancel import reason_of
from fhir_server.rest.operations.coded import only
from fhir_server.rest.written import written
from fhir_server.services.access import writes
from fhir_server.services.waitlist.joining import Wished, entry, join
from fhir_server.services.wishes import resolve
from fhir_server.services.world import World

KNOWN = frozenset({
    "patient", "resource", "service", "service-type", "practitioner", "location", "start", "end", "day",
    "part-of-day", "earliest-time", "latest-time", "duration", "modality", "notice", "urgency", "keep-appointment",
    "reason", "comment",
})  # fmt: skip
CODES = (("day", "daysOfWeek"), ("part-of-day", "partOfDay"), ("modality", "modality"))
TIMES = (("earliest-time", "earliestTime"), ("latest-time", "latestTime"))
LENGTHS = (("duration", "duration"), ("notice", "notice"))
UCUM = "http://unitsofmeasure.org"


async def handle(context: Context) -> Answer:
    """201 with the entry, 200 with one that waits for the same already."""
    given = await arguments(context)
    only(given, KNOWN)
    world = context.world
    key = await keyed(context, "join-waitlist", lambda stored, status: written(context, stored, status))
    resource = given.resource("resource", "Appointment")
    place = given.given("resource")[0].place if resource is not None else ""
    if resource is None:
        resource = await entry(world, await _wished(context, given))
    else:
        check_resource(world, resource, "Appointment", place)
    stored, new = await join(world, context.caller, dict(resource), place, key)
    return written(context, stored, 201 if new else 200)


async def _wished(context: Context, given: Arguments) -> Wished:
    world = context.world
    patient = await _one(world, given, "patient", "Patient") or await _own(context)
    reason, comment = reason_of(given, "reason"), given.string("comment")
    return Wished(
        patient,
        await _several(world, given, "service", "HealthcareService"),
        tuple(
            {"coding": [{"code": one.code, **({"system": one.system} if one.system else {})}]}
            for one in given.tokens("service-type")
        ),
        await _several(world, given, "practitioner", "Practitioner", "PractitionerRole"),
        await _several(world, given, "location", "Location"),
        given.instant_or_date("start"),
        given.instant_or_date("end"),
        tuple(_parts(given)),
        await _one(world, given, "keep-appointment", "Appointment"),
        writes.channel_of(context.caller, ""),
        ({"reasonCode": [reason]} if reason else {}) | ({"comment": comment} if comment else {}),
    )


def _parts(given: Arguments) -> list[Mapping[str, Any]]:
    """Parts of the preference; whether they are codes that exist is checked with the entry as a whole."""
    found: list[Mapping[str, Any]] = []
    for name, part in CODES:
        texts = [one.code for one in given.tokens(name)]
        found += [{"url": part, "valueCode": one} for one in texts]
    for name, part in TIMES:
        if text := _clock(given, name):
            found.append({"url": part, "valueTime": text})
    for name, part in LENGTHS:
        if seconds := given.duration(name):
            value = {"value": seconds, "unit": "s", "system": UCUM, "code": "s"}
            found.append({"url": part, "valueDuration": value})
    urgency = given.integer("urgency", 0)
    return found if urgency is None else [*found, {"url": "urgency", "valueUnsignedInt": urgency}]


def _clock(given: Arguments, name: str) -> str:
    """``hh:mm`` or ``hh:mm:ss``, empty if it is not given."""
    argument = given.get(name)
    if argument is None:
        return ""
    text = f"{argument.value}:00" if len(str(argument.value)) == 5 else str(argument.value)
    try:
        time_seconds(text)
    except ValueError:
        raise problem(Category.INVALID, f"{name} is not a time hh:mm:ss", argument.place, "param-invalid") from None
    return text


async def _own(context: Context) -> str:
    """The one patient whom a caller acts for; empty where there are none or several."""
    if context.caller.patient:
        return context.caller.patient
    if context.caller.role is not Role.PATIENT:
        return ""
    people = await context.world.policy.people(context.world)
    return next(iter(people)) if len(people) == 1 else ""


async def _one(world: World, given: Arguments, name: str, type_: str) -> str:
    found = given.reference(name, type_)
    if found is None:
        return ""
    return (await _resolved(world, given, name, [found], (type_,)))[0]


async def _several(world: World, given: Arguments, name: str, *types: str) -> tuple[str, ...]:
    return await _resolved(world, given, name, given.references(name, *types), types)


async def _resolved(world: World, given: Arguments, name: str, named: Any, types: tuple[str, ...]) -> tuple[str, ...]:
    found = [await resolve(world, one, *types) for one in named]
    if None in found:
        raise problem(Category.NOT_FOUND, f"{name} names nothing that is there", given.given(name)[0].place)
    return tuple(dict.fromkeys(one for one in found if one))

"""Would this be accepted? https://hl7.org/fhir/R4/resource-operation-validate.html

mode     what is checked
-------  -----------------------------------------------------------------------------
create   the resource and its profiles; without a mode the same
profile  the same
update   also that the resource has the id of the instance
delete   that the instance exists and that the booking engine would let it go

Whether time is free is not asked: the answer could be another one when the write comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.conformance.validator import claimed_profiles
from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir import models
from fhir_server.fhir.json import parse
from fhir_server.services import appointments, slots
from fhir_server.services.resources import absent, gone, read
from fhir_server.services.world import Caller, World

BASE = "http://hl7.org/fhir/StructureDefinition/"
"""The profiles that are the types themselves."""

MODES = frozenset({"create", "update", "delete", "profile"})

_CHECKS = {"Appointment": appointments.check_delete, "Slot": slots.check_delete}


async def validate(
    world: World,
    caller: Caller,
    type_: str,
    id_: str,
    resource: dict[str, Any] | None,
    mode: str,
    profiles: Sequence[str],
) -> list[Issue]:
    """Every fault as an issue of severity *error*, and a *warning* for each profile that is not known here.

    :param id_: the instance that is asked, empty at type level; without a resource the stored one is checked.
    :raises Problem: 400 for a request that cannot be carried out, 404 and 410 when there is nothing to check.
    """
    if mode == "delete":
        if not id_:
            raise problem(Category.INVALID, "mode delete is for one resource: [type]/[id]/$validate", "mode")
        return await _deletable(world, caller, type_, id_)
    if mode == "update" and not id_:
        raise problem(Category.INVALID, "mode update is for one resource: [type]/[id]/$validate", "mode")
    if resource is None:
        if not id_ or mode in {"create", "update"}:
            raise problem(Category.REQUIRED, "a resource is needed", "resource", "param-missing")
        resource = parse((await read(world, type_, id_)).body)
    found = _faults(world, resource, type_, profiles)
    if mode == "update" and resource.get("id") != id_:
        found.append(Issue("the id is not that of the URL", f"{type_}.id", category=Category.INVALID))
    return found


def _faults(world: World, resource: dict[str, Any], type_: str, profiles: Sequence[str]) -> list[Issue]:
    validator = world.validator
    if resource.get("resourceType") != type_:
        return [Issue(f"the resourceType is not {type_}", "resourceType", category=Category.INVALID)]
    found = validator.issues(resource, type_, profiles)
    checked = validator.profiles
    places = dict.fromkeys(profiles, "profile")
    if not any(one.category is Category.STRUCTURE for one in found):
        places |= dict.fromkeys(claimed_profiles(resource), f"{type_}.meta.profile")
    found += (
        Issue(f"this profile is one of {canonical.removeprefix(BASE)}", place, category=Category.INVALID)
        for canonical, place in places.items()
        if canonical.startswith(BASE) and canonical != BASE + type_ and models.is_resource_type(canonical[len(BASE) :])
    )
    found += (
        Issue("this profile is not known here and was not checked", place, "", Category.NOT_FOUND, "warning")
        for canonical, place in places.items()
        if not (checked and checked.known(canonical))
        and not (canonical.startswith(BASE) and models.is_resource_type(canonical[len(BASE) :]))
    )
    return found


async def _deletable(world: World, caller: Caller, type_: str, id_: str) -> list[Issue]:
    stored = await world.view.get(type_, id_)
    try:
        if stored is None:
            raise absent(type_, id_)
        if stored.deleted:
            raise gone(type_, id_)
        if type_ in _CHECKS:
            await _CHECKS[type_](world, caller, stored)
    except Problem as refused:
        return [
            Issue(one.text, one.expression, one.code, one.category or refused.category, one.severity)
            for one in refused.issues
        ]
    return []

"""From the arguments of ``$hold`` and ``$book``, in whatever dialect, to what is asked; what is sent is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fhir_server.errors import Problem
from fhir_server.fhir.parameters import Arguments
from fhir_server.fhir.references import Reference
from fhir_server.rest.context import Context
from fhir_server.rest.operations.dialects.dialect import Act, Dialect
from fhir_server.rest.operations.dialects.table import dialect_of
from fhir_server.services.world import World


def read(context: Context, verb: str, given: Arguments) -> tuple[Dialect, Act]:
    """The dialect that the names of the arguments speak, and what it asks; at instance level the URL names the target.

    :raises Problem: 400 for missing or malformed arguments.
    """
    dialect = dialect_of(given)
    act = dialect.act(verb, given)
    if len(context.segments) > 2:
        id_ = context.segments[1]
        reference = Reference("relative", f"Appointment/{id_}", "Appointment", id_)
        act = replace(act, target=replace(act.target, appointment=reference, place="Appointment.id"))
    return dialect, act


def check(world: World, act: Act) -> None:
    """Whether the resources that an act brings are valid.

    :raises Problem: 400 and 422 with every fault and its place.
    """
    target = act.target
    if target.resource is not None:
        place = target.place if target.place.startswith("Parameters") else "Appointment"
        check_resource(world, _completed(target.resource), "Appointment", place)
    for resource in target.patient_resources:
        check_resource(world, resource, "Patient", "Patient")


def check_resource(world: World, resource: Mapping[str, Any], type_: str, place: str) -> None:
    """:raises Problem: every fault, its place seen from the request: ``Parameters.parameter[0].resource.start``."""
    try:
        world.validator.check(dict(resource), type_)
    except Problem as found:
        issues = tuple(
            replace(one, expression=place + one.expression.removeprefix(type_))
            if one.expression.partition(".")[0] == type_
            else one
            for one in found.issues
        )
        raise Problem(found.category, issues) from None


def _completed(resource: Mapping[str, Any]) -> dict[str, Any]:
    """An Appointment as it is sent to be booked may lack what the booking adds."""
    return {
        "status": "proposed",
        "participant": [{"actor": {"display": "patient"}, "status": "needs-action"}],
        **resource,
    }

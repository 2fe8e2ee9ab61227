"""The arguments of an operation from a request: Parameters, a bare resource, or the query of a GET."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.fhir.parameters import QUERY, Argument, Arguments
from fhir_server.rest.context import Context

CONTROLS = frozenset({"_format", "_pretty"})


async def arguments(context: Context, *, bare: str = "resource") -> Arguments:
    """Arguments of the body joined with those of the query; a bare resource is the argument ``bare``.

    References that name this server by its URL come out relative.
    """
    found = Arguments.from_query([one for one in context.query if one[0] not in CONTROLS])
    if context.method not in {"GET", "HEAD"} and await context.body():
        resource = await context.resource()
        if resource["resourceType"] == "Parameters":
            found = Arguments.from_parameters(resource) + found
        else:
            found = Arguments.from_resource(resource, bare) + found
    return Arguments(_relative(one, f"{context.base}/") for name in found for one in found.given(name))


def _relative(argument: Argument, base: str) -> Argument:
    value: Any = argument.value
    if isinstance(value, str):
        parts = value.split(",") if argument.kind == QUERY else [value]
        return replace(argument, value=",".join(one.removeprefix(base) for one in parts))
    if argument.kind == "Reference" and isinstance(value, dict) and isinstance(value.get("reference"), str):
        return replace(argument, value={**value, "reference": value["reference"].removeprefix(base)})
    return argument

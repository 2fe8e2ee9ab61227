"""``create``, https://hl7.org/fhir/R4/http.html#create, conditional with If-None-Exist."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fhir_server.errors import Category, problem
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.written import written
from fhir_server.services import conditional, resources

CONTROLS = frozenset({"_format", "_pretty"})


async def create(context: Context) -> Answer:
    """201 with Location, or 200 with the one resource that the criteria match already."""
    resource = await context.resource()
    check_type(context.segments[0], resource)
    key = await keyed(context, "create", lambda stored, status: written(context, stored, status))
    pairs = criteria(context)
    if pairs is None:
        result = await resources.create(context.world, context.caller, resource, keyed=key)
    else:
        result = await conditional.create(context.world, context.caller, resource, pairs, key)
    return written(context, result.stored, 201 if result.created else 200)


def criteria(context: Context) -> list[tuple[str, str]] | None:
    """The criteria of a conditional create, None without. Some clients write them into the URL, where ignoring them
    would create twice.
    """
    for name, _ in context.query:
        if name not in CONTROLS:
            raise problem(Category.INVALID, "the criteria of a create stand in If-None-Exist", name)
    header = context.headers.get("if-none-exist")
    if header is None:
        return None
    try:
        return parse_qsl(_query(context, header), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise problem(Category.INVALID, "If-None-Exist is not a search", "If-None-Exist") from None


def _query(context: Context, header: str) -> str:
    """The search of a header, without the type that some clients write before it.

    :raises Problem: 400 for a search of another type or another server.
    """
    head, mark, query = header.partition("?")
    if not mark or "=" in head:
        return header
    type_ = context.segments[0]
    if head not in {"", type_, *(f"{base}{type_}" for base in (f"{context.base}/", *context.world.bases))}:
        raise problem(Category.INVALID, f"If-None-Exist is no search of {type_}", "If-None-Exist")
    return query


def check_type(type_: str, resource: dict[str, object]) -> None:
    """:raises Problem: 400 when the body is of another type than the URL."""
    if resource.get("resourceType") != type_:
        raise problem(Category.INVALID, f"the body is not a {type_}", "resourceType")

"""``$meta``, ``$meta-add`` and ``$meta-delete``, https://hl7.org/fhir/R4/resource-operation-meta.html."""

from __future__ import annotations

from dataclasses import replace

from fhir_server.errors import Category, Issue, Problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import Arguments, parameters
from fhir_server.rest.answer import Answer, accessed, version_headers
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.services import meta as use_case
from fhir_server.services import resources
from fhir_server.services.meta import Edit, Meta
from fhir_server.services.world import World
from fhir_server.store.resources import Stored

_ANY = "Patient"
"""A type with no mandatory elements: a Meta is checked as a part of it."""


async def meta(context: Context) -> Answer:
    """The meta of the current version."""
    await arguments(context)
    return _answer(await resources.read(context.world, context.segments[0], context.segments[1]))


async def add(context: Context) -> Answer:
    """The meta after profiles, tags and security labels were added."""
    return await _change(context, use_case.added)


async def delete(context: Context) -> Answer:
    """The meta after profiles, tags and security labels were taken away."""
    return await _change(context, use_case.without)


async def _change(context: Context, edit: Edit) -> Answer:
    given = _meta(context.world, await arguments(context))
    type_, id_ = context.segments[:2]
    stored = await use_case.change(context.world, context.caller, type_, id_, edit, given, context.condition)
    return _answer(stored)


def _answer(stored: Stored) -> Answer:
    found = parameters(("return", "Meta", use_case.meta_of(stored)))
    return Answer(200, dump(found), version_headers(stored), accessed=accessed(stored))


def _meta(world: World, given: Arguments) -> Meta:
    """The argument ``meta``.

    :raises Problem: 400 with every fault and its place.
    """
    given.require("meta")
    found = given.element("meta", "Meta")
    assert found is not None
    place = given.given("meta")[0].place + ".value"
    issues = [
        replace(one, expression=place + one.expression.removeprefix(f"{_ANY}.meta"))
        for one in world.validator.issues({"resourceType": _ANY, "meta": found}, _ANY)
    ]
    if not issues:
        issues = [
            Issue("a label needs a system or a code", f"{place}.{name}[{index}]", "param-invalid")
            for name in ("security", "tag")
            for index, one in enumerate(found.get(name, ()))
            if not one.get("system") and not one.get("code")
        ]
    if issues:
        raise Problem(Category.INVALID, tuple(issues))
    return found

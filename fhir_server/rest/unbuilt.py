"""Scaffold: a route whose handler is not built yet."""

from __future__ import annotations

from fhir_server.errors import Category, problem
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context


async def unbuilt(context: Context) -> Answer:  # noqa: ARG001
    raise problem(Category.NOT_SUPPORTED, "not offered yet")

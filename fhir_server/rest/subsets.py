"""``_summary`` and ``_elements`` of a request, https://hl7.org/fhir/R4/search.html#summary."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.errors import Category, problem
from fhir_server.fhir.subset import Subset, named
from fhir_server.rest.context import Context
from fhir_server.search import controls


def subset_of(summary: str | None, elements: Sequence[str], types: Sequence[str]) -> tuple[Subset, list[str]]:
    """What to show, and the names in ``elements`` that are no elements.

    :raises Problem: 400 for both at once: they contradict each other.
    """
    shown = "" if summary in {None, "false", "count"} else str(summary)
    if elements and shown:
        raise problem(Category.INVALID, "_summary and _elements exclude one another", "_elements", "param-invalid")
    wanted, unknown = named(elements, types)
    return Subset(shown, wanted), unknown


def subset_read(context: Context, type_: str) -> Subset:
    """What a read shows; names that are no elements are left out, or refused with ``Prefer: handling=strict``.

    :raises Problem: 400 for a malformed value, for one that is given twice, and for ``_summary=count``.
    """
    given: dict[str, str] = {}
    for name, text in context.query if context.query_string else ():
        if name in {"_summary", "_elements"} and text:
            if name in given:
                raise problem(Category.INVALID, "this parameter is accepted once", name, "param-invalid")
            given[name] = text
    if not given:
        return Subset()
    summary = controls.summary(given["_summary"]) if "_summary" in given else None
    if summary == "count":
        raise problem(Category.INVALID, "_summary=count is for searches", "_summary", "param-invalid")
    elements = controls.elements(given["_elements"]) if "_elements" in given else ()
    found, unknown = subset_of(summary, elements, [type_])
    if unknown and context.strict:
        raise problem(Category.NOT_SUPPORTED, f"{type_} has no such element", "_elements", "param-invalid")
    return found

"""Arguments that an operation does not know: refused with ``Prefer: handling=strict``, else left out and told."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.errors import Category, Issue, problem
from fhir_server.rest.context import Context


def left_out(context: Context, names: Iterable[str]) -> list[Issue]:
    """Warnings to stand beside the answer.

    :raises Problem: 400 when strict.
    """
    found = sorted({name[:64] for name in names})
    if found and context.strict:
        raise problem(Category.NOT_SUPPORTED, "this is not offered here", found[0], "param-ignored")
    return [Issue(f"{name} was left out", name, "param-ignored", severity="warning") for name in found]

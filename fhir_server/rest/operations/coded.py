"""Codes among the arguments of the terminology operations, https://hl7.org/fhir/R4/terminology-service.html."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fhir_server.conformance.terminology import Coded, Verdict
from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import Arguments, parameters
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.acts import check_resource

_WAYS = ("code", "coding", "codeableConcept")


def only(given: Arguments, known: Collection[str]) -> None:
    """Refuse what the operation does not know: an answer that leaves an argument out would be another answer.

    :raises Problem: 400 naming every one.
    """
    issues = [
        Issue("this parameter is not supported here", name[:64], "param-invalid") for name in given if name not in known
    ]
    if issues:
        raise Problem(Category.NOT_SUPPORTED, tuple(issues))


def codings(given: Arguments, *, system: str, version: str, concepts: bool = True) -> tuple[Coded, ...]:
    """The codes to work on from ``code``, ``coding`` or ``codeableConcept``.

    ``system`` goes with ``code``; ``version`` is the name of the argument with its version.

    :raises Problem: 400 unless exactly one of the three is there.
    """
    ways = _WAYS if concepts else _WAYS[:2]
    stated = [name for name in ways if name in given]
    if len(stated) != 1:
        raise problem(Category.REQUIRED, f"exactly one of {', '.join(ways)} is needed", ways[0], "param-missing")
    display = given.string("display") or ""
    if stated[0] == "code":
        return (Coded(system, given.string("code") or "", display, given.string(version) or ""),)
    if stated[0] == "coding":
        coding = given.element("coding", "Coding") or {}
        found = [_coded(coding, display)]
    else:
        concept = given.element("codeableConcept", "CodeableConcept") or {}
        several = concept.get("coding")
        found = [_coded(one, "") for one in several] if isinstance(several, list) else []
    if not found or not all(one.code for one in found):
        raise problem(Category.INVALID, "a coding with system and code is needed", stated[0], "param-invalid")
    return tuple(found)


def _coded(coding: Any, display: str) -> Coded:
    said = (
        [coding.get(name, "") for name in ("system", "code", "display", "version")] if isinstance(coding, dict) else []
    )
    if not said or not all(isinstance(one, str) for one in said):
        raise problem(Category.INVALID, "this is no Coding", "coding", "param-invalid")
    return Coded(said[0], said[1], said[2] or display, said[3])


def sent_along(context: Context, given: Arguments, name: str, type_: str) -> dict[str, Any] | None:
    """A resource among the arguments, checked.

    :raises Problem: 400 and 422 with every fault and its place.
    """
    resource = given.resource(name, type_)
    if resource is not None:
        argument = given.get(name)
        check_resource(context.world, resource, type_, argument.place if argument else name)
    return resource


def verdict(found: Verdict) -> Answer:
    """``result``, ``message`` and ``display`` of ``$validate-code``."""
    entries: list[tuple[str, str, Any]] = [("result", "boolean", found.valid)]
    if found.message:
        entries.append(("message", "string", found.message))
    if found.display:
        entries.append(("display", "string", found.display))
    return Answer(200, dump(parameters(*entries)))


def artifact(context: Context, resources: dict[str, dict[str, Any]], type_: str) -> dict[str, Any] | None:
    """The resource that an operation at instance level is asked of; None at type level.

    :raises Problem: 404 for an unknown id.
    """
    if len(context.segments) < 3:
        return None
    for resource in resources.values():
        if resource["id"] == context.segments[1]:
            return resource
    raise problem(Category.NOT_FOUND, f"no such {type_} is held here", type_)

"""The formats of a patch, https://hl7.org/fhir/R4/http.html#patch.

media type                                        body                      patch
------------------------------------------------  ------------------------  ---------------------------
application/json-patch+json                       array                     JSON Patch (RFC 6902)
application/merge-patch+json                      object                    merge patch (RFC 7386)
application/fhir+json, application/json           array                     JSON Patch
application/fhir+json, application/json           Parameters                FHIRPath Patch
application/fhir+json, application/json           object, as fhirpy sends   merge patch
application/fhir+xml, application/xml, text/xml   Parameters                FHIRPath Patch
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException, resolve_pointer

from fhir_server.errors import Category, problem
from fhir_server.fhir.fhirpath_patch import MOST_OPERATIONS, apply, operations_of
from fhir_server.fhir.json import Written, check_depth, dump, parse
from fhir_server.fhir.xml import from_xml
from fhir_server.rest.context import JSON_TYPES, PATCH_JSON, XML_TYPES

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes the patched resource from the current one; raises Problem."""

MERGE_JSON = "application/merge-patch+json"
MOST_COPIED = 1_000_000

_ABSENT = object()
_MISFITS = (jsonpatch.JsonPatchException, JsonPointerException, TypeError, KeyError, IndexError, ValueError)


def change_of(content_type: str, raw: bytes) -> Change:
    """What a patch of this media type does.

    :raises Problem: 415 for another format, 400 for what is no patch.
    """
    if content_type not in JSON_TYPES | XML_TYPES | {PATCH_JSON, MERGE_JSON}:
        raise problem(Category.MEDIA_TYPE, f"a patch is {PATCH_JSON}, {MERGE_JSON}, or Parameters in a format of FHIR")
    if not raw.strip():
        raise problem(Category.INVALID, "the patch is empty")
    if content_type in XML_TYPES:
        return fhirpath_change(from_xml(raw))
    if content_type == PATCH_JSON or (content_type != MERGE_JSON and raw.lstrip().startswith(b"[")):
        return _json_patch(raw)
    partial = _partial(raw)
    if content_type != MERGE_JSON and partial.get("resourceType") == "Parameters":
        return fhirpath_change(parse(raw))
    return _merge(partial)


def fhirpath_change(parameters: dict[str, Any]) -> Change:
    """What a FHIRPath Patch does.

    :raises Problem: 400 for what is none.
    """
    operations = operations_of(parameters)

    def change(before: dict[str, Any]) -> dict[str, Any]:
        after = apply(operations, before)
        check_depth(after)
        return after

    return change


def _json_patch(raw: bytes) -> Change:
    operations = parse(raw)
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise problem(Category.STRUCTURE, "a JSON Patch is an array of operations")
    if len(operations) > MOST_OPERATIONS:
        raise problem(Category.TOO_LARGE, f"a JSON Patch has at most {MOST_OPERATIONS} operations")
    try:
        jsonpatch.JsonPatch(operations)
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, KeyError) as fault:
        raise problem(Category.INVALID, "not a JSON Patch: op, path or value is missing or wrong") from fault

    def change(before: dict[str, Any]) -> dict[str, Any]:
        document: Any = copy.deepcopy(before)
        copied = 0
        for index, operation in enumerate(operations):
            try:
                document, size = _applied(operation, document)
            except jsonpatch.JsonPatchTestFailed as fault:
                raise problem(Category.RULE, f"operation {index} of the patch, a test, failed") from fault
            except _MISFITS as fault:
                text = f"operation {index} of the patch does not fit the resource"
                raise problem(Category.INVALID, text) from fault
            copied += size
            if copied > MOST_COPIED:
                raise problem(Category.TOO_LARGE, f"the patch copies more than {MOST_COPIED} bytes")
        if not isinstance(document, dict):
            raise problem(Category.INVALID, "the patch leaves no resource")
        check_depth(document)
        return document

    return change


def _applied(operation: dict[str, Any], document: Any) -> tuple[Any, int]:
    """The document after one operation, and how many bytes that copied: copies that double would fill the memory."""
    if operation["op"] == "test" and not _same(
        operation["value"], resolve_pointer(document, operation["path"], _ABSENT)
    ):
        raise jsonpatch.JsonPatchTestFailed
    size = len(dump(resolve_pointer(document, operation["from"]))) if operation["op"] == "copy" else 0
    # A value of its own: what later operations do to it must not last when the patch is tried again.
    return jsonpatch.JsonPatch([copy.deepcopy(operation)]).apply(document, in_place=True), size


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON values; in Python true is 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _merge(partial: dict[str, Any]) -> Change:
    def change(before: dict[str, Any]) -> dict[str, Any]:
        merged = _merged(copy.deepcopy(before), partial)
        try:
            after: dict[str, Any] = parse(dump(merged))
        except TypeError:
            raise problem(Category.STRUCTURE, "the patch holds what FHIR JSON does not have") from None
        return after

    return change


def _partial(raw: bytes) -> dict[str, Any]:
    """A merge patch; null has a meaning in it, all else is read as strictly as a resource when it is merged."""
    try:
        partial = json.loads(raw.decode(), parse_float=Written, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise problem(Category.STRUCTURE, "the patch is not JSON") from None
    if not isinstance(partial, dict):
        raise problem(Category.STRUCTURE, "a merge patch is an object")
    return partial


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise problem(Category.STRUCTURE, "a property of the patch occurs twice in one object")
    return found


def _merged(target: Any, partial: Any) -> Any:
    if not isinstance(partial, dict):
        return partial
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in partial.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result

"""The formats of a patch, https://hl7.org/fhir/R4/http.html#patch: JSON Patch (RFC 6902) and merge patch (RFC 7386).

``application/json`` with an object is a partial resource as fhirpy sends it: null removes, objects merge.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException, resolve_pointer

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import Written, dump, parse
from fhir_server.rest.context import JSON_TYPES, PATCH_JSON

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes the patched resource from the current one; raises Problem."""

MERGE_JSON = "application/merge-patch+json"
MOST_OPERATIONS = 1000
MOST_COPIED = 1_000_000


def change_of(content_type: str, raw: bytes) -> Change:
    """What a patch of this media type does.

    :raises Problem: 415 for another format, 400 for what is no patch.
    """
    if content_type not in JSON_TYPES | {PATCH_JSON, MERGE_JSON}:
        text = "a patch is application/json-patch+json or application/merge-patch+json"
        raise problem(Category.MEDIA_TYPE, text)
    if not raw.strip():
        raise problem(Category.INVALID, "the patch is empty")
    return _json_patch(raw) if _is_list(content_type, raw) else _merge(raw)


def _is_list(content_type: str, raw: bytes) -> bool:
    return content_type == PATCH_JSON or (content_type != MERGE_JSON and raw.lstrip().startswith(b"["))


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
        try:
            after = _applied(operations, before)
        except jsonpatch.JsonPatchTestFailed as fault:
            raise problem(Category.RULE, "a test operation of the patch failed") from fault
        except (
            jsonpatch.JsonPatchException,
            JsonPointerException,
            TypeError,
            KeyError,
            IndexError,
            ValueError,
        ) as fault:
            raise problem(Category.INVALID, "an operation of the patch does not fit the resource") from fault
        if not isinstance(after, dict):
            raise problem(Category.INVALID, "the patch leaves no resource")
        return after

    return change


def _applied(operations: list[dict[str, Any]], before: dict[str, Any]) -> Any:
    """The operations one by one: copies that double what is there would fill the memory before anybody looked.

    :raises Problem: 413 when the copies are larger than a resource may be.
    """
    document: Any = copy.deepcopy(before)
    copied = 0
    for operation in operations:
        if operation.get("op") == "copy":
            copied += len(dump(resolve_pointer(document, operation["from"])))
            if copied > MOST_COPIED:
                raise problem(Category.TOO_LARGE, f"the patch copies more than {MOST_COPIED} bytes")
        document = jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    return document


def _merge(raw: bytes) -> Change:
    partial = _partial(raw)

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

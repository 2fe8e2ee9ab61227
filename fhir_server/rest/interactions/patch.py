"""``patch`` with JSON Patch (RFC 6902), https://hl7.org/fhir/R4/http.html#patch.

``application/json`` with an object is a partial resource as fhirpy sends it (RFC 7386): null removes, objects merge.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException, resolve_pointer

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import Written, dump, parse
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import JSON_TYPES, PATCH_JSON, Context
from fhir_server.rest.written import written
from fhir_server.services import resources

MERGE_JSON = "application/merge-patch+json"
MOST_OPERATIONS = 1000
MOST_COPIED = 1_000_000


async def patch(context: Context) -> Answer:
    """200 with the next version; nothing is written if any operation fails."""
    if context.content_type not in JSON_TYPES | {PATCH_JSON, MERGE_JSON}:
        text = "a patch is application/json-patch+json or application/merge-patch+json"
        raise problem(Category.MEDIA_TYPE, text)
    raw = await context.body()
    if not raw.strip():
        raise problem(Category.INVALID, "the patch is empty")
    change = _json_patch(raw) if _is_list(context.content_type, raw) else _merge(raw)
    result = await resources.patch(
        context.world, context.caller, context.segments[0], context.segments[1], change, context.condition
    )
    return written(context, result.stored, 200)


def _is_list(content_type: str, raw: bytes) -> bool:
    return content_type == PATCH_JSON or (content_type != MERGE_JSON and raw.lstrip().startswith(b"["))


def _json_patch(raw: bytes) -> Any:
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


def _merge(raw: bytes) -> Any:
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

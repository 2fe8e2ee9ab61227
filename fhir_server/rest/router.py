"""The URL table. https://hl7.org/fhir/R4/http.html#summary

path                          GET/HEAD          POST                PUT      PATCH    DELETE
----------------------------  ----------------  ------------------  -------  -------  -------
(the base itself)             search, metadata  batch, transaction
metadata                      capabilities
_search                                         search
_history                      history
[type]                        search            create              update   patch    delete   (conditional)
[type]/_search                                  search
[type]/_history               history
[type]/$[operation]           operation         operation
[type]/[id]                   read                                  update   patch    delete
[type]/[id]/$[operation]      operation         operation
[type]/[id]/_history          history
[type]/[id]/_history/[vid]    vread
Patient/[id]/[type]           search (in a compartment; * for every type), also POST …/_search
[conformance type](/[id])     search, read
AuditEvent(/[id])             search, read; POST AuditEvent/_search
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.types import AUDIT_EVENT, CONFORMANCE_TYPES, HELD, is_id
from fhir_server.rest import permissions
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.interactions import (
    artifacts,
    audit_events,
    bundle,
    capabilities,
    create,
    delete,
    history,
    patch,
    read,
    search,
    update,
)
from fhir_server.rest.operations import table

Handler = Callable[[Context], Awaitable[Answer]]

TYPE: Mapping[str, tuple[str, Handler]] = {
    "GET": ("search", search.search),
    "POST": ("create", create.create),
    "PUT": ("update", update.conditional),
    "PATCH": ("patch", patch.conditional),
    "DELETE": ("delete", delete.conditional),
}
INSTANCE: Mapping[str, tuple[str, Handler]] = {
    "GET": ("read", read.read),
    "PUT": ("update", update.update),
    "PATCH": ("patch", patch.patch),
    "DELETE": ("delete", delete.delete),
}
POST_SEARCH: Mapping[str, tuple[str, Handler]] = {"POST": ("search", search.search)}
SYSTEM_SEARCH: Mapping[str, tuple[str, Handler]] = {"POST": ("search", search.search_system)}
COMPARTMENT: Mapping[str, tuple[str, Handler]] = {"GET": ("search", search.search_compartment)}
POST_COMPARTMENT: Mapping[str, tuple[str, Handler]] = {"POST": ("search", search.search_compartment)}
SYSTEM_HISTORY: Mapping[str, tuple[str, Handler]] = {"GET": ("history", history.history_system)}
TYPE_HISTORY: Mapping[str, tuple[str, Handler]] = {"GET": ("history", history.history_type)}
HISTORY: Mapping[str, tuple[str, Handler]] = {"GET": ("history", history.history)}
VERSION: Mapping[str, tuple[str, Handler]] = {"GET": ("vread", read.vread)}
BASE: Mapping[str, tuple[str, Handler]] = {"GET": ("search", search.search_system), "POST": ("bundle", bundle.bundle)}
ARTIFACT_SEARCH: Mapping[str, tuple[str, Handler]] = {"GET": ("search", artifacts.search)}
POST_ARTIFACT_SEARCH: Mapping[str, tuple[str, Handler]] = {"POST": ("search", artifacts.search)}
ARTIFACT: Mapping[str, tuple[str, Handler]] = {"GET": ("read", artifacts.read)}
AUDIT_SEARCH: Mapping[str, tuple[str, Handler]] = {"GET": ("search", audit_events.search)}
POST_AUDIT_SEARCH: Mapping[str, tuple[str, Handler]] = {"POST": ("search", audit_events.search)}
AUDIT_READ: Mapping[str, tuple[str, Handler]] = {"GET": ("read", audit_events.read)}
SYSTEM: Mapping[str, Mapping[str, tuple[str, Handler]]] = {
    "metadata": {"GET": ("capabilities", capabilities.capabilities)},
    "_search": SYSTEM_SEARCH,
    "_history": SYSTEM_HISTORY,
}


def find(context: Context) -> tuple[str, Handler]:
    """The route's name and its handler, for a caller whose scopes allow it.

    :raises Problem: 401 without a token, 403 without the scope, 404 for an unknown path, 405 with ``Allow`` for a
        method that it does not have.
    """
    route, handler = _find(context)
    permissions.require(context, route)
    return route, handler


def _find(context: Context) -> tuple[str, Handler]:
    segments = context.segments
    if not segments:
        return _method(context, BASE)
    if len(segments) == 1 and segments[0] in SYSTEM:
        return _method(context, SYSTEM[segments[0]])
    if segments[0] == AUDIT_EVENT:
        return _audit(context)
    artifact = segments[0] in CONFORMANCE_TYPES
    if segments[0] not in HELD and not artifact:
        raise problem(Category.NOT_FOUND, "no such resource type or path")
    if len(segments) == 1:
        return _method(context, ARTIFACT_SEARCH if artifact else TYPE)
    second = segments[1]
    if len(segments) == 2:
        if second.startswith("$"):
            return _operation(context, second[1:], instance=False)
        if second == "_search":
            return _method(context, POST_ARTIFACT_SEARCH if artifact else POST_SEARCH)
        if second == "_history" and not artifact:
            return _method(context, TYPE_HISTORY)
    if not is_id(second):
        raise problem(Category.NOT_FOUND, "that is no id: 1 to 64 of letters, digits, - and .")
    if len(segments) == 2:
        return _method(context, ARTIFACT if artifact else INSTANCE)
    third = segments[2]
    if third.startswith("$") and len(segments) == 3:
        return _operation(context, third[1:], instance=True)
    if third == "_history" and not artifact and len(segments) <= 4:
        return _method(context, HISTORY if len(segments) == 3 else VERSION)
    if segments[0] == "Patient" and (third in HELD or third == "*"):
        if len(segments) == 3:
            return _method(context, COMPARTMENT)
        if segments[3:] == ["_search"]:
            return _method(context, POST_COMPARTMENT)
    raise problem(Category.NOT_FOUND, "no such path")


def _audit(context: Context) -> tuple[str, Handler]:
    """The access record is only ever added to, and that by the server."""
    if len(context.segments) == 1:
        return _method(context, AUDIT_SEARCH)
    if len(context.segments) == 2 and context.segments[1] == "_search":
        return _method(context, POST_AUDIT_SEARCH)
    if len(context.segments) == 2 and is_id(context.segments[1]):
        return _method(context, AUDIT_READ)
    raise problem(Category.NOT_FOUND, "no such path")


def _method(context: Context, offered: Mapping[str, tuple[str, Handler]]) -> tuple[str, Handler]:
    method = "GET" if context.method == "HEAD" else context.method
    found = offered.get(method)
    if found is None:
        raise no_method([*offered, *(["HEAD"] if "GET" in offered else [])])
    return found


def _operation(context: Context, name: str, *, instance: bool) -> tuple[str, Handler]:
    found = table.operation(context.segments[0], name)
    if found is None or (instance and not found.instance) or (not instance and not found.type):
        raise problem(Category.NOT_FOUND, f"no operation of this name here: {context.segments[0]}")
    if context.method == "POST" or (context.method in {"GET", "HEAD"} and found.safe):
        return f"${name}", found.handler
    raise no_method(["GET", "HEAD", "POST"] if found.safe else ["POST"])


def no_method(allowed: list[str]) -> Problem:
    return problem(Category.NO_METHOD, "this interaction is not offered here", Allow=", ".join(sorted(allowed)))

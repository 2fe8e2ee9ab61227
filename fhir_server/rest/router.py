"""The URL table. https://hl7.org/fhir/R4/http.html#summary

path                          GET/HEAD          POST                PUT      PATCH    DELETE
----------------------------  ----------------  ------------------  -------  -------  -------
metadata                      capabilities
(the base itself)             to metadata
[type]                        search            create
[type]/_search                                  search
[type]/$[operation]           operation         operation
[type]/[id]                   read                                  update   patch    delete
[type]/[id]/$[operation]      operation         operation
[type]/[id]/_history          history
[type]/[id]/_history/[vid]    vread
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.types import HELD, is_id
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.interactions import capabilities, create, delete, history, patch, read, search, update
from fhir_server.rest.operations import table

Handler = Callable[[Context], Awaitable[Answer]]

TYPE: Mapping[str, tuple[str, Handler]] = {
    "GET": ("search", search.search),
    "POST": ("create", create.create),
}
INSTANCE: Mapping[str, tuple[str, Handler]] = {
    "GET": ("read", read.read),
    "PUT": ("update", update.update),
    "PATCH": ("patch", patch.patch),
    "DELETE": ("delete", delete.delete),
}
POST_SEARCH: Mapping[str, tuple[str, Handler]] = {"POST": ("search", search.search)}
HISTORY: Mapping[str, tuple[str, Handler]] = {"GET": ("history", history.history)}
VERSION: Mapping[str, tuple[str, Handler]] = {"GET": ("vread", read.vread)}
BASE: Mapping[str, tuple[str, Handler]] = {"GET": ("base", capabilities.redirect)}
METADATA: Mapping[str, tuple[str, Handler]] = {"GET": ("capabilities", capabilities.capabilities)}


def find(context: Context) -> tuple[str, Handler]:
    """The route's name and its handler.

    :raises Problem: 404 for an unknown path, 405 with ``Allow`` for a method that it does not have.
    """
    segments = context.segments
    if segments == ["metadata"]:
        return _method(context, METADATA)
    if not segments:
        return _method(context, BASE)
    if segments[0] not in HELD:
        raise problem(Category.NOT_FOUND, "no such resource type or path")
    if len(segments) == 1:
        return _method(context, TYPE)
    second = segments[1]
    if second.startswith("$") and len(segments) == 2:
        return _operation(context, second[1:], instance=False)
    if second == "_search" and len(segments) == 2:
        return _method(context, POST_SEARCH)
    if not is_id(second):
        raise problem(Category.NOT_FOUND, "that is no id: 1 to 64 of letters, digits, - and .")
    if len(segments) == 2:
        return _method(context, INSTANCE)
    third = segments[2]
    if third.startswith("$") and len(segments) == 3:
        return _operation(context, third[1:], instance=True)
    if third == "_history" and len(segments) == 3:
        return _method(context, HISTORY)
    if third == "_history" and len(segments) == 4:
        return _method(context, VERSION)
    raise problem(Category.NOT_FOUND, "no such path")


def _method(context: Context, offered: Mapping[str, tuple[str, Handler]]) -> tuple[str, Handler]:
    method = "GET" if context.method == "HEAD" else context.method
    found = offered.get(method)
    if found is None:
        raise no_method([*offered, *(["HEAD"] if "GET" in offered else [])])
    return found


def _operation(context: Context, name: str, *, instance: bool) -> tuple[str, Handler]:
    found = table.OPERATIONS.get((context.segments[0], name))
    if found is None or (instance and not found.instance) or (not instance and not found.type):
        raise problem(Category.NOT_FOUND, f"no operation of this name here: {context.segments[0]}")
    if context.method == "POST" or (context.method in {"GET", "HEAD"} and found.safe):
        return f"${name}", found.handler
    raise no_method(["GET", "HEAD", "POST"] if found.safe else ["POST"])


def no_method(allowed: list[str]) -> Problem:
    return problem(Category.NO_METHOD, "this interaction is not offered here", Allow=", ".join(sorted(allowed)))

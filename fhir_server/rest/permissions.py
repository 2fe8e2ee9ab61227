"""What a route needs of its caller's scopes, said once: every request and every entry of a Bundle passes here.

route                                   permission          also
--------------------------------------  ------------------  ------------------------------------------------
read, vread, history of an instance     r
search, history of a type               s                   each type of a search on several
create                                  c                   s with If-None-Exist
update, patch, delete                   u, u, d             s where criteria select
operations                              the table below
metadata, conformance and terminology   nothing: they are public

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.types import CONFORMANCE_TYPES, HELD
from fhir_server.rest.context import Context
from fhir_server.services.access.policy import NOBODY

OPERATIONS: Mapping[str, str] = MappingProxyType({
    "find": "s", "hold": "c", "book": "c", "cancel": "u", "reschedule": "u", "release": "u", "extend-hold": "u",
    "everything": "r", "match": "s", "validate": "rc", "meta": "r", "meta-add": "u", "meta-delete": "u",
    "access-report": "", "break-glass": "r", "confirm": "u", "checkin": "u", "noshow": "u", "undo": "u",
    "checkin-link": "u", "no-show-report": "s",
    "status": "r", "events": "r", "get-ws-binding-token": "r", "resend": "u", "rotate-secret": "u",
    "join-waitlist": "c", "waitlist": "s", "offers": "s", "offer": "u",
})  # fmt: skip
"""Operation → permissions on the type of which one is needed."""

ROUTES: Mapping[str, str] = MappingProxyType(
    {"read": "r", "vread": "r", "search": "s", "create": "c", "update": "u", "patch": "u", "delete": "d"}
)


def require(context: Context, route: str) -> None:
    """:raises Problem: 401 without a token, 403 ``insufficient_scope``."""
    segments = context.segments
    type_ = segments[0] if segments else ""
    if route == "capabilities" or type_ in CONFORMANCE_TYPES:
        return
    policy = context.world.policy
    if policy is NOBODY:
        raise unauthenticated()
    if type_ not in HELD:
        return  # several types at once: each is asked where they are known
    if route.startswith("$"):
        needed = OPERATIONS[route[1:]]
        if needed and not policy.permits(type_, needed):
            policy.require(type_, needed[0])
        return
    if len(segments) > 2 and segments[2] != "_history" and route == "search":
        policy.require(type_, "r")  # the compartment's own resource; the types inside are asked where they are known
        return
    if route == "history":
        policy.require(type_, "s" if len(segments) == 2 else "r")
        return
    policy.require(type_, ROUTES[route])
    selects = len(segments) == 1 and context.method not in {"GET", "HEAD", "POST"}
    if selects or (route == "create" and "if-none-exist" in context.headers):
        policy.require(type_, "s")


def unauthenticated(error: str = "") -> Problem:
    """The refusal of a request without a token, or with one that opens nothing. RFC 6750."""
    challenge = 'Bearer realm="fhir"' + (f', error="{error}"' if error else "")
    text = "this token is not valid, or no longer" if error else "a bearer token is needed"
    return problem(Category.UNAUTHENTICATED, text, "", WWW_Authenticate=challenge)

"""What a request was, for the access record: one access for each request, and for each entry of a Bundle.

metadata and the server's own artifacts are public and are not recorded; everything else is, refused or not.
"""

from __future__ import annotations

from fhir_server.access.caller import Caller, Role
from fhir_server.access.record import ACTIONS, Access, by, outcome_of
from fhir_server.errors import Problem
from fhir_server.fhir.types import CONFORMANCE_TYPES
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context

LONGEST_QUERY = 4_096
NOBODY = Caller(client="", role=Role.SYSTEM)
UNTOLD = frozenset({"capabilities", "starting", "preflight"})


def access_of(context: Context, route: str, answer: Answer, refused: Problem | None = None) -> Access | None:
    """The access that a request was; None for what is public."""
    segments = context.segments
    if route in UNTOLD or (segments and segments[0] in CONFORMANCE_TYPES):
        return None
    name, query = interaction(context, route), b""
    people = answer.patients or _named(context, answer)
    touched = {*people, *(who for one in answer.accessed for who in one.people)}
    emergency = not touched.isdisjoint(context.world.policy.opened)
    if context.query_string or name not in ACTIONS:
        query = b"%s /%s?%s" % (context.method.encode(), "/".join(segments).encode(), context.query_string)
    return by(
        context.caller if context.caller.token else NOBODY,
        name,
        at=context.world.unmoved().clock(),
        outcome=outcome_of(answer.status),
        purpose=context.purpose or ("BTG" if emergency else ""),
        network=context.network,
        request_id=context.request_id,
        objects=answer.accessed,
        patients=people,
        query=query[:LONGEST_QUERY],
        reason=_reason(refused),
    )


def interaction(context: Context, route: str) -> str:
    """The code of http://hl7.org/fhir/restful-interaction, or the operation."""
    if route == "history":
        return ("history-system", "history-type", "history-instance")[min(2, len(context.segments) - 1)]
    if route == "search":
        return "search-type" if context.segments and context.segments[0] != "_search" else "search-system"
    if route == "bundle":
        return "batch"
    return route


def _named(context: Context, answer: Answer) -> tuple[str, ...]:
    """A patient whom the URL names, where the answer shows nothing: who was asked for counts, found or not."""
    segments = context.segments
    if not answer.accessed and len(segments) > 1 and segments[0] == "Patient" and segments[1][:1] not in {"_", "$"}:
        return (f"Patient/{segments[1]}",)
    return ()


def _reason(refused: Problem | None) -> str:
    if refused is None:
        return ""
    first = refused.issues[0] if refused.issues else None
    return (first.code if first else "") or refused.category.issue_code

"""Argonaut Scheduling (also Oracle Health's): http://fhir.org/guides/argonaut/scheduling/.

Asks with ``appt-id``, ``appt-resource``, ``patient-id``, ``cancelled-appt-id``, ``comment``; is answered with a
searchset Bundle that holds the Appointment: ``pending`` or ``booked`` if it went well, ``cancelled`` with an
OperationOutcome and HTTP 200 if not. Holding by id answers 200, by resource 201 with Location; ``Expires`` tells how
long the hold lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.errors import Category, Problem
from fhir_server.fhir.bundle import searchset_bytes
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import outcome
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.dialects.canonical import channel, expires
from fhir_server.rest.operations.dialects.dialect import Act
from fhir_server.rest.written import written
from fhir_server.services.targets import Target
from fhir_server.store.resources import Stored

NAMES = frozenset({"appt-id", "appt-resource", "cancelled-appt-id", "patient-id"})
REFUSED_AS_BUNDLE = frozenset({Category.CONFLICT, Category.RULE, Category.NOT_FOUND, Category.GONE, Category.THROTTLED})


class Argonaut:
    """The contract of the module's head."""

    def speaks(self, given: Arguments) -> bool:
        return any(name in NAMES for name in given)

    def act(self, verb: str, given: Arguments) -> Act:
        argument = given.get("appt-resource") or given.get("appt-id")
        return Act(
            verb,
            Target(
                appointment=given.reference("appt-id", "Appointment"),
                resource=given.resource("appt-resource", "Appointment"),
                patients=given.references("patient-id", "Patient"),
                replaces=given.references("cancelled-appt-id", "Appointment"),
                comment=given.string("comment") or "",
                channel=channel(given),
                place=argument.place if argument else "appt-id",
            ),
        )

    def accepted(self, context: Context, act: Act, stored: Stored, status: int) -> Answer:
        by_id = act.target.resource is None
        answer = written(context, stored, 201)
        headers = {**answer.headers, **expires(stored)}
        entries = [(f"{context.base}/{stored.reference}", context.world.view.shown(stored).body, "match")]
        return Answer(200 if by_id else status, bundle(context, entries, 1), headers, accessed=answer.accessed)

    def refused(self, context: Context, act: Act, refusal: Problem) -> Answer | None:
        if refusal.category not in REFUSED_AS_BUNDLE:
            return None
        entries = [("", dump(_cancelled(act.target)), "match"), ("", dump(outcome(refusal)), "outcome")]
        return Answer(200, bundle(context, entries, 1), refusal.headers)


def _cancelled(target: Target) -> dict[str, Any]:
    """The refused Appointment as the client named it; what it sent comes back."""
    sent: Mapping[str, Any] = target.resource or {}
    rest = {name: value for name, value in sent.items() if name not in {"resourceType", "status", "id", "participant"}}
    id_ = target.appointment.id if target.appointment else sent.get("id")
    participants = [{**one, "status": "declined"} for one in sent.get("participant", ())]
    return {
        "resourceType": "Appointment",
        **({"id": id_} if id_ else {}),
        "status": "cancelled",
        **rest,
        "participant": participants
        or [
            {"actor": {"reference": one.key} if one.key else {"display": "patient"}, "status": "declined"}
            for one in target.patients
        ]
        or [{"actor": {"display": "unknown"}, "status": "declined"}],
    }


def bundle(context: Context, entries: list[tuple[str, bytes, str]], total: int) -> bytes:
    """A searchset with a self link."""
    return searchset_bytes(entries, total, [("self", f"{context.base}/{'/'.join(context.segments)}")])

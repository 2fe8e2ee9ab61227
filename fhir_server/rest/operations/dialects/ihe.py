"""IHE ITI Scheduling 1.0.0: ITI-116 ``$hold`` and ITI-117 ``$book``, https://profiles.ihe.net/ITI/Scheduling/.

Asks with ``appointment-reference``, ``appointment-resource``, ``patient-resource``, ``comment``; ``$book`` also
modifies (an Appointment that exists, sent ``booked``) and cancels (sent ``cancelled``). A success is a searchset with
the Appointment, a refusal a searchset with nothing but an OperationOutcome of severity ``fatal``.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.errors import Category, Problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import outcome
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.dialects.argonaut import REFUSED_AS_BUNDLE, bundle
from fhir_server.rest.operations.dialects.canonical import channel, expires
from fhir_server.rest.operations.dialects.dialect import Act
from fhir_server.rest.written import written
from fhir_server.services.targets import Target
from fhir_server.store.resources import Stored

NAMES = frozenset({"appointment-reference", "appointment-resource"})
OVERLOADED = {"booked": "move", "cancelled": "cancel"}


class Ihe:
    """The contract of the module's head."""

    def speaks(self, given: Arguments) -> bool:
        return any(name in NAMES for name in given)

    def act(self, verb: str, given: Arguments) -> Act:
        resource = given.resource("appointment-resource", "Appointment")
        argument = given.get("appointment-resource") or given.get("appointment-reference")
        target = Target(
            appointment=given.reference("appointment-reference", "Appointment"),
            resource=resource,
            patients=given.references("patient-reference", "Patient"),
            patient_resources=tuple(one.value for one in given.given("patient-resource") if one.kind == "resource"),
            comment=given.string("comment") or "",
            channel=channel(given),
            place=argument.place if argument else "appointment-reference",
        )
        if verb == "book" and resource and isinstance(resource.get("id"), str):
            return Act(OVERLOADED.get(str(resource.get("status")), verb), target, resource["id"])
        return Act(verb, target)

    def accepted(self, context: Context, act: Act, stored: Stored, status: int) -> Answer:
        del act, status
        answer = written(context, stored, 201)
        headers = {**answer.headers, **expires(stored)}
        body = context.world.view.shown(stored).body
        return Answer(
            200,
            bundle(context, [(f"{context.base}/{stored.reference}", body, "match")], 1),
            headers,
            accessed=answer.accessed,
        )

    def refused(self, context: Context, act: Act, refusal: Problem) -> Answer | None:
        del act
        if refusal.category not in REFUSED_AS_BUNDLE:
            return None
        issues = tuple(
            replace(one, severity="fatal", category=Category.NOT_FOUND if one.code == "slot-taken" else one.category)
            for one in refusal.issues
        )
        said = Problem(refusal.category, issues, refusal.headers, refusal.alternatives)
        return Answer(200, bundle(context, [("", dump(outcome(said)), "outcome")], 0), refusal.headers)

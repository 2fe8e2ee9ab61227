"""Our own form: the Appointment comes back bare with 201, Location and ETag; refusals are 4xx OperationOutcomes."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.dialects.dialect import Act
from fhir_server.rest.written import written
from fhir_server.services.targets import Target
from fhir_server.store.resources import Stored

CHANNELS = frozenset({"online", "phone", "staff", "referral", "waitlist", "interface"})


class Canonical:
    """``appointment`` (id, uri or Reference), ``resource`` (or the bare body) or ``slot``; with ``patient``."""

    def speaks(self, given: Arguments) -> bool:
        del given
        return True

    def act(self, verb: str, given: Arguments) -> Act:
        resource = given.resource("resource", "Appointment")
        argument = given.get("resource") or given.get("appointment") or next(iter(given.given("slot")), None)
        place = argument.place if argument else "appointment"
        if argument and argument.name == "resource" and not argument.place.startswith("Parameters"):
            place = "Appointment"
        return Act(
            verb,
            Target(
                appointment=given.reference("appointment", "Appointment"),
                resource=resource,
                slots=given.references("slot", "Slot"),
                patients=given.references("patient", "Patient"),
                replaces=given.references("replaces", "Appointment"),
                based_on=given.references("based-on", "ServiceRequest"),
                comment=given.string("comment") or "",
                channel=channel(given),
                override_reason=override(given),
                place=place,
            ),
        )

    def accepted(self, context: Context, act: Act, stored: Stored, status: int) -> Answer:
        answer = written(context, stored, status)
        return replace(answer, headers={**answer.headers, **expires(stored)}) if act.verb == "hold" else answer

    def refused(self, context: Context, act: Act, refusal: Problem) -> Answer | None:
        del context, act, refusal
        return None


def channel(given: Arguments) -> str:
    """``booking-channel`` as stated.

    :raises Problem: 400 for a channel that does not exist.
    """
    stated = given.string("booking-channel") or ""
    if stated and stated not in CHANNELS:
        text = f"booking-channel is one of {', '.join(sorted(CHANNELS))}"
        raise problem(Category.INVALID, text, "booking-channel", "param-invalid")
    return stated


def override(given: Arguments) -> str:
    """The reason for which staff override rules; empty without ``override``.

    :raises Problem: 400 for an override without a reason.
    """
    reason = given.string("override-reason") or ""
    if given.boolean("override") and not reason:
        raise problem(Category.REQUIRED, "an override needs its reason", "override-reason", "param-missing")
    return reason if given.boolean("override") else ""


def expires(stored: Stored) -> dict[str, str]:
    """The ``Expires`` header of a hold."""
    until = stored.extra.get("expires")
    return {"Expires": formatdate(until, usegmt=True)} if until is not None else {}

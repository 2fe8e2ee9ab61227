"""The operations of this server: which handler answers which OperationDefinition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fhir_server.fhir.types import HELD
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations import (
    access_report,
    book,
    break_glass,
    cancel,
    checkin,
    checkin_link,
    confirm,
    everything,
    expand,
    extend_hold,
    find,
    hold,
    join_waitlist,
    lookup,
    match,
    meta,
    no_show_report,
    noshow,
    offer,
    release,
    reschedule,
    rotate_secret,
    subscription_events,
    subscription_resend,
    subscription_status,
    translate,
    undo,
    validate,
    validate_code,
    waitlist,
    ws_binding_token,
)

HL7 = "http://hl7.org/fhir/OperationDefinition/"
ANY = "Resource"
"""An operation of every held type."""


@dataclass(frozen=True, slots=True)
class Operation:
    """``type`` and ``instance`` levels; ``safe`` operations change nothing and may be asked with GET.

    ``definition`` is the id of an OperationDefinition of ``profiles/``, or the canonical URL of one of HL7's.
    """

    definition: str
    handler: Callable[[Context], Awaitable[Answer]]
    type: bool
    instance: bool
    safe: bool = False


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("Appointment", "find"): Operation("Appointment-find", find.handle, type=True, instance=False, safe=True),
    ("Appointment", "hold"): Operation("Appointment-hold", hold.handle, type=True, instance=True),
    ("Appointment", "extend-hold"): Operation("Appointment-extend-hold", extend_hold.handle, type=False, instance=True),
    ("Appointment", "release"): Operation("Appointment-release", release.handle, type=False, instance=True),
    ("Appointment", "book"): Operation("Appointment-book", book.handle, type=True, instance=True),
    ("Appointment", "cancel"): Operation("Appointment-cancel", cancel.handle, type=False, instance=True),
    ("Appointment", "reschedule"): Operation("Appointment-reschedule", reschedule.handle, type=False, instance=True),
    ("Appointment", "confirm"): Operation("Appointment-confirm", confirm.handle, type=False, instance=True),
    ("Appointment", "checkin"): Operation("Appointment-checkin", checkin.handle, type=False, instance=True),
    ("Appointment", "checkin-link"): Operation(
        "Appointment-checkin-link", checkin_link.handle, type=False, instance=True
    ),
    ("Appointment", "noshow"): Operation("Appointment-noshow", noshow.handle, type=False, instance=True),
    ("Appointment", "no-show-report"): Operation(
        "Appointment-no-show-report", no_show_report.handle, type=True, instance=False, safe=True
    ),
    ("Appointment", "undo"): Operation("Appointment-undo", undo.handle, type=False, instance=True),
    ("Appointment", "join-waitlist"): Operation(
        "Appointment-join-waitlist", join_waitlist.handle, type=True, instance=False
    ),
    ("Appointment", "offer"): Operation("Appointment-offer", offer.handle, type=False, instance=True),
    ("Appointment", "waitlist"): Operation(
        "Appointment-waitlist", waitlist.handle, type=True, instance=False, safe=True
    ),
    ("Appointment", "offers"): Operation(
        "Appointment-offers", waitlist.open_offers, type=True, instance=False, safe=True
    ),
    (ANY, "validate"): Operation(f"{HL7}Resource-validate", validate.handle, type=True, instance=True, safe=True),
    (ANY, "meta"): Operation(f"{HL7}Resource-meta", meta.meta, type=False, instance=True, safe=True),
    (ANY, "meta-add"): Operation(f"{HL7}Resource-meta-add", meta.add, type=False, instance=True),
    (ANY, "meta-delete"): Operation(f"{HL7}Resource-meta-delete", meta.delete, type=False, instance=True),
    ("Patient", "everything"): Operation(
        f"{HL7}Patient-everything", everything.handle, type=False, instance=True, safe=True
    ),
    ("Patient", "access-report"): Operation(
        "Patient-access-report", access_report.handle, type=False, instance=True, safe=True
    ),
    ("Patient", "break-glass"): Operation("Patient-break-glass", break_glass.handle, type=False, instance=True),
    ("Patient", "match"): Operation(f"{HL7}Patient-match", match.handle, type=True, instance=False),
    ("Subscription", "status"): Operation(
        "Subscription-status", subscription_status.handle, type=True, instance=True, safe=True
    ),
    ("Subscription", "events"): Operation(
        "Subscription-events", subscription_events.handle, type=False, instance=True, safe=True
    ),
    ("Subscription", "resend"): Operation("Subscription-resend", subscription_resend.handle, type=False, instance=True),
    ("Subscription", "rotate-secret"): Operation(
        "Subscription-rotate-secret", rotate_secret.handle, type=False, instance=True
    ),
    ("Subscription", "get-ws-binding-token"): Operation(
        "Subscription-get-ws-binding-token", ws_binding_token.handle, type=True, instance=True, safe=True
    ),
    ("CodeSystem", "lookup"): Operation(f"{HL7}CodeSystem-lookup", lookup.handle, type=True, instance=False, safe=True),
    ("CodeSystem", "validate-code"): Operation(
        f"{HL7}CodeSystem-validate-code", validate_code.handle, type=True, instance=True, safe=True
    ),
    ("ValueSet", "expand"): Operation(f"{HL7}ValueSet-expand", expand.handle, type=True, instance=True, safe=True),
    ("ValueSet", "validate-code"): Operation(
        f"{HL7}ValueSet-validate-code", validate_code.handle, type=True, instance=True, safe=True
    ),
    ("ConceptMap", "translate"): Operation(
        f"{HL7}ConceptMap-translate", translate.handle, type=True, instance=True, safe=True
    ),
}


def operation(type_: str, name: str) -> Operation | None:
    """The operation of this name on a type."""
    return OPERATIONS.get((type_, name)) or (OPERATIONS.get((ANY, name)) if type_ in HELD else None)


def offered(type_: str) -> list[tuple[str, Operation]]:
    """Name and operation of everything offered on a type."""
    return [(name, one) for (kind, name), one in OPERATIONS.items() if kind == type_ or (kind == ANY and type_ in HELD)]

"""In which order the writes of a transaction happen, whatever the order of its entries. Pure.

step       writes                                                           why
---------  ---------------------------------------------------------------  ------------------------------------------
FREE       Appointments that give their time back, or are deleted           what is free can be deleted and taken
DELETE     all other deletions, of what refers before what is referred to
PLAIN      all types without a calendar                                     Schedules and people come before bookings
REFERRING  the same, with conditional references                            these may name what PLAIN created
OPEN       Slots that are or become free                                    a lifted block can be booked
MOVE       Appointments that had time and have time                         they leave it to others
TAKE       all other Appointments
CLOSE      Slots that become busy                                           a Slot that a booking filled stays so
LAST       Encounters, AppointmentResponses and messages            they speak of Appointments

Inside a step: by type, then POST, PUT, PATCH, then by id. https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from enum import IntEnum

from fhir_server.scheduling.lifecycle import takes_time

TYPES = (
    "Organization", "Location", "Practitioner", "HealthcareService", "PractitionerRole", "Device", "Patient",
    "RelatedPerson", "Group", "Coverage", "Consent", "Flag", "ServiceRequest", "Schedule", "Slot", "Appointment",
    "Encounter", "AppointmentResponse", "CommunicationRequest", "Communication", "Subscription",
)  # fmt: skip
"""What is referred to comes before what refers to it."""

METHODS = ("POST", "PUT", "PATCH", "DELETE")


class Step(IntEnum):
    """One row of the table above."""

    FREE = 0
    DELETE = 1
    PLAIN = 2
    REFERRING = 3
    OPEN = 4
    MOVE = 5
    TAKE = 6
    CLOSE = 7
    LAST = 8


def step_of(type_: str, method: str, old: str, new: str, *, referring: bool) -> Step:
    """The step of one write.

    :param old: status before, empty where there is none.
    :param new: status after.
    :param referring: whether conditional references are still open in it.
    """
    if method == "DELETE":
        return Step.FREE if type_ == "Appointment" else Step.DELETE
    if type_ == "Appointment":
        if takes_time(old):
            left = Step.REFERRING if referring else Step.FREE
            return Step.MOVE if takes_time(new) else left
        return Step.TAKE
    if type_ == "Slot":
        return Step.CLOSE if new.startswith("busy") else Step.OPEN
    if type_ in {"Encounter", "AppointmentResponse", "Communication", "CommunicationRequest"}:
        return Step.LAST
    return Step.REFERRING if referring else Step.PLAIN


def order_of(step: Step, type_: str, method: str, id_: str) -> tuple[int, int, int, str]:
    """The sort key of a write."""
    rank = TYPES.index(type_)
    return (step, -rank if step is Step.DELETE else rank, METHODS.index(method), id_)

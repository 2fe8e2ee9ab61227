"""What follows from a participant's answer: an Appointment's status follows those who are required. Pure.

answer of                 becomes      when
------------------------  -----------  -------------------------------------------------------------------------------
a patient                 declined     cancelled, unless another required patient still comes; where none is required,
                                       unless any still comes
a required provider       declined     cancelled
anybody                   accepted     booked, if it awaits confirmation and the required ones have all agreed

*Agreed* are a provider who accepted, and a patient or companion who accepted or asked for the time (``tentative``).
Places, devices and services do not answer; where no provider takes part one of them has to be accepted by the staff.

https://hl7.org/fhir/R4/appointmentresponse.html https://hl7.org/fhir/R4/valueset-participationstatus.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["patient", "companion", "provider", "thing"]
Effect = Literal["kept", "booked", "cancelled"]

ANSWERABLE = frozenset({"proposed", "pending", "booked", "waitlist"})
"""States of an Appointment that can still be answered."""


@dataclass(frozen=True, slots=True)
class Part:
    """One participant: what kind of actor, whether required, and ``needs-action``, ``tentative``, ``accepted`` or
    ``declined``.
    """

    kind: Kind
    required: bool
    status: str


def effect(parts: Sequence[Part], answered: Sequence[int], *, awaiting: bool) -> Effect:
    """What becomes of an Appointment.

    :param parts: all participants, with the answer.
    :param answered: indexes of those who answered.
    :param awaiting: it is ``pending`` and its time is kept until the clinic confirms.
    """
    if any(_ends(parts, parts[index]) for index in answered):
        return "cancelled"
    if awaiting and any(parts[index].status == "accepted" for index in answered) and _agreed(parts):
        return "booked"
    return "kept"


def _ends(parts: Sequence[Part], one: Part) -> bool:
    """Whether nothing is left of the visit without this one."""
    if one.status != "declined":
        return False
    if one.kind == "patient":
        patients = [other for other in parts if other.kind == "patient"]
        return all(other.status == "declined" for other in [other for other in patients if other.required] or patients)
    return one.kind == "provider" and one.required


def _agreed(parts: Sequence[Part]) -> bool:
    required = [one for one in parts if one.required]
    providers = [one for one in required if one.kind == "provider"]
    if any(one.status == "declined" for one in required):
        return False
    if any(one.status == "needs-action" for one in required if one.kind in {"patient", "companion"}):
        return False
    if not providers:
        return any(one.status == "accepted" for one in parts if one.kind == "thing")
    return all(one.status == "accepted" for one in providers)

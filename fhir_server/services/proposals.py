"""Proposals: free times as Appointments with status ``proposed``, under an id that can be held and booked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.fhir.temporal import format_instant
from fhir_server.scheduling.proposal import ProposalKey, encode, short_key
from fhir_server.services.booking import Wish
from fhir_server.services.free_time import Free
from fhir_server.settings import CANONICAL

MODALITY_URL = f"{CANONICAL}StructureDefinition/modality"


def proposal_id(time: Free, patients: Sequence[str]) -> str:
    """At most 64 characters; names start, length, service, patient and Schedules. Empty for more than it can name."""
    schedules = time.candidate.schedules
    if time.slot is not None:
        return f"slot-{time.slot.id}" if len(time.slot.id) <= 59 else ""
    patient = short_key(patients[0]) if len(patients) == 1 else ""
    service = time.candidate.service
    try:
        return encode(
            ProposalKey(
                time.start,
                time.end - time.start,
                service.key if service else "",
                patient,
                tuple(one.key for one in schedules),
            )
        )
    except ValueError:
        return ""


def proposed(time: Free, patients: Sequence[str], modality: str = "") -> dict[str, Any]:
    """The Appointment that a free time would become."""
    wish = Wish(
        time.start,
        time.end,
        time.candidate.schedules,
        time.candidate.service,
        tuple(patients),
        published={time.candidate.schedules[0].id: time.slot} if time.slot else None,
        modality=modality,
    )
    resource = compose(wish, "proposed", {}, location=time.location)
    resource["requestedPeriod"] = [{"start": resource["start"], "end": resource["end"]}]
    resource["slot"] = [{"reference": f"Slot/{wish.slot_id(one)}"} for one in wish.schedules]
    id_ = proposal_id(time, patients)
    return {"resourceType": "Appointment", **({"id": id_} if id_ else {}), **resource}


PARTICIPATION = {"proposed": "needs-action", "pending": "tentative", "booked": "accepted"}


def compose(wish: Wish, status: str, sent: Mapping[str, Any], *, location: str | None = None) -> dict[str, Any]:
    """An Appointment for a wish: what was sent, completed from the Schedules and the service.

    Everyone takes part as the status says (needs-action, tentative, accepted), but a booked patient has yet to confirm
    (``needs-action``) unless the request says that they accept. https://hl7.org/fhir/R4/appointment.html
    """
    zone = wish.schedules[0].zone if wish.schedules else None
    made: dict[str, Any] = {
        name: value for name, value in sent.items() if name not in {"resourceType", "id", "meta", "participant", "slot"}
    }
    made["status"] = status
    service = wish.service
    if service:
        for name, value in (
            ("serviceCategory", service.category),
            ("serviceType", service.types),
            ("specialty", service.specialty),
        ):
            if value and name not in made:
                made[name] = list(value)
    elif wish.schedules and wish.schedules[0].service_type and "serviceType" not in made:
        made["serviceType"] = list(wish.schedules[0].service_type)
    if zone is not None:
        made.setdefault("start", format_instant(wish.start, zone))
        made.setdefault("end", format_instant(wish.end, zone))
    made["minutesDuration"] = max(1, (wish.end - wish.start) // 60)
    if wish.based_on and "basedOn" not in made:
        made["basedOn"] = [{"reference": one} for one in wish.based_on]
    if wish.modality and not any(one.get("url") == MODALITY_URL for one in made.get("extension", ())):
        made["extension"] = [*made.get("extension", ()), {"url": MODALITY_URL, "valueCode": wish.modality}]
    made["participant"] = _participants(wish, status, sent.get("participant", ()), location)
    return {"resourceType": "Appointment", **made}


def _participants(
    wish: Wish, status: str, sent: Sequence[Mapping[str, Any]], location: str | None
) -> list[dict[str, Any]]:
    mine = PARTICIPATION[status]
    found: dict[str, dict[str, Any]] = {}
    for participant in sent:
        name = (participant.get("actor") or {}).get("reference", "") or str(participant)
        is_patient = name.startswith("Patient/")
        keeps = status == "booked" and is_patient and participant.get("status") in {"accepted", "needs-action"}
        found[name] = {**participant, "status": participant["status"] if keeps else mine}
    for patient in wish.patients:
        patient_status = "needs-action" if status == "booked" else mine
        found.setdefault(patient, {"actor": {"reference": patient}, "required": "required", "status": patient_status})
    for facts in wish.schedules:
        for actor in facts.participants:
            name = actor.get("reference", "") or str(actor)
            found.setdefault(name, {"actor": dict(actor), "required": "required", "status": mine})
    for key in wish.actors:
        if not key.startswith("#"):
            found.setdefault(key, {"actor": {"reference": key}, "required": "required", "status": mine})
    place = location or (wish.schedules[0].place if wish.schedules else "")
    if place and not any(name.startswith("Location/") for name in found):
        found[place] = {"actor": {"reference": place}, "required": "required", "status": mine}
    return list(found.values())

"""The order in which a transaction writes."""

from __future__ import annotations

import random

import pytest

from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.services.bundles.order import TYPES, Step, order_of, step_of


def test_every_type_has_its_place() -> None:
    assert sorted(TYPES) == sorted(RESOURCE_TYPES)


@pytest.mark.parametrize(
    ("type_", "method", "old", "new", "step"),
    [
        ("Appointment", "DELETE", "booked", "", Step.FREE),
        ("Appointment", "PUT", "booked", "cancelled", Step.FREE),
        ("Appointment", "PATCH", "pending", "entered-in-error", Step.FREE),
        ("Appointment", "PUT", "booked", "booked", Step.MOVE),
        ("Appointment", "PUT", "pending", "booked", Step.MOVE),
        ("Appointment", "PUT", "proposed", "booked", Step.TAKE),
        ("Appointment", "POST", "", "booked", Step.TAKE),
        ("Appointment", "POST", "", "cancelled", Step.TAKE),
        ("Slot", "DELETE", "", "", Step.DELETE),
        ("Slot", "PUT", "", "free", Step.OPEN),
        ("Slot", "PUT", "", "entered-in-error", Step.OPEN),
        ("Slot", "PUT", "", "busy-unavailable", Step.CLOSE),
        ("Schedule", "PUT", "", "", Step.PLAIN),
        ("Encounter", "POST", "", "planned", Step.LAST),
        ("AppointmentResponse", "DELETE", "", "", Step.DELETE),
    ],
)
def test_steps(type_: str, method: str, old: str, new: str, step: Step) -> None:
    assert step_of(type_, method, old, new, referring=False) is step


def test_what_waits_for_a_reference_comes_after_what_it_may_name() -> None:
    assert step_of("Flag", "POST", "", "", referring=True) is Step.REFERRING
    assert step_of("Appointment", "PUT", "booked", "cancelled", referring=True) is Step.REFERRING
    assert step_of("Appointment", "POST", "", "booked", referring=True) is Step.TAKE


def test_one_order_whatever_the_entries_say() -> None:
    wanted = [
        (Step.FREE, "Appointment", "PUT", "a"), (Step.FREE, "Appointment", "DELETE", "a"),
        (Step.DELETE, "Encounter", "DELETE", "a"), (Step.DELETE, "Slot", "DELETE", "a"),
        (Step.DELETE, "Patient", "DELETE", "a"), (Step.PLAIN, "Organization", "PATCH", "a"),
        (Step.PLAIN, "Patient", "POST", "a"), (Step.PLAIN, "Patient", "POST", "b"), (Step.PLAIN, "Patient", "PUT", "a"),
        (Step.OPEN, "Slot", "PUT", "a"), (Step.TAKE, "Appointment", "POST", "a"), (Step.CLOSE, "Slot", "PUT", "a"),
        (Step.LAST, "AppointmentResponse", "POST", "a"),
    ]  # fmt: skip
    for seed in range(20):
        mixed = list(wanted)
        random.Random(seed).shuffle(mixed)
        assert sorted(mixed, key=lambda one: order_of(*one)) == wanted

from __future__ import annotations

import pytest

from fhir_server.scheduling import lifecycle
from fhir_server.scheduling.lifecycle import APPOINTMENT, SLOT, appointment_allows, slot_allows, takes_time


def drawn(heading: str) -> dict[str, set[str]]:
    """The table in the module's docstring."""
    rows = {}
    lines = iter(lifecycle.__doc__.splitlines())
    for line in lines:
        if line.split()[:1] == [heading]:
            break
    next(lines)
    for line in lines:
        if not line.strip():
            break
        state, _, others = line.strip().partition(" ")
        rows[state] = set(others.strip().split(", ")) - {"—"}
    rows.pop("(new)")
    return rows


def test_the_drawn_tables_are_the_tables():
    assert drawn("Appointment") == {state: set(others) for state, others in APPOINTMENT.items()}
    assert drawn("Slot") == {state: set(others) for state, others in SLOT.items()}


@pytest.mark.parametrize(("table", "allows"), [(APPOINTMENT, appointment_allows), (SLOT, slot_allows)])
def test_every_state_may_begin_stay_and_be_an_error(table, allows):
    for state in table:
        assert allows(None, state)
        assert allows(state, state)
        assert allows(state, "entered-in-error")
        assert not allows(state, "unknown")
        assert not allows("unknown", state)
    assert not allows(None, "unknown")


@pytest.mark.parametrize("final", ["fulfilled", "noshow", "cancelled", "entered-in-error"])
def test_a_final_state_allows_nothing_else(final):
    assert [new for new in APPOINTMENT if appointment_allows(final, new)] == sorted(
        {final, "entered-in-error"}, key=list(APPOINTMENT).index
    )


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("proposed", "pending", True),
        ("pending", "booked", True),
        ("booked", "checked-in", True),
        ("booked", "fulfilled", True),
        ("arrived", "fulfilled", True),
        ("waitlist", "pending", True),
        ("pending", "waitlist", True),
        ("waitlist", "booked", False),
        ("noshow", "arrived", False),
        ("fulfilled", "booked", False),
        ("cancelled", "booked", False),
        ("proposed", "fulfilled", False),
        ("checked-in", "booked", False),
    ],
)
def test_the_way_of_an_appointment(old, new, allowed):
    assert appointment_allows(old, new) is allowed


def test_a_busy_slot_must_be_freed_before_it_is_blocked():
    assert slot_allows("busy", "free")
    assert not slot_allows("busy", "busy-unavailable")
    assert slot_allows("busy-unavailable", "busy")


def test_which_states_take_time():
    assert {state for state in APPOINTMENT if takes_time(state)} == {"pending", "booked", "arrived", "checked-in"}

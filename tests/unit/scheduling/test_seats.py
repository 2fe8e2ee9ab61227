from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.calendar_day import Entry
from fhir_server.scheduling.seats import clashes, live, share_key

from .oracle import STEP, lives, seated
from .strategies import entries, often

LOW, HIGH = 100 * STEP, 112 * STEP


def visit(owner: str = "Appointment/1", start: int = 0, end: int = 1800, buffer: int = 0, **more) -> Entry:
    facts = {"kind": "booked", "busy_start": start - buffer, "busy_end": end + buffer} | more
    return Entry(owner=owner, start=start, end=end, **facts)


WANTED = visit("Appointment/9")


def test_an_overlap_keeps_out_and_a_touch_does_not():
    other = visit(start=900, end=2700)
    assert clashes([other, visit(start=1800, end=3600)], WANTED, 0) == (other,)
    assert clashes([visit(start=1800, end=3600)], WANTED, 0) == ()


def test_buffers_keep_out_too():
    assert clashes([visit(start=1800, end=3600, buffer=300)], WANTED, 0)
    assert clashes([visit(start=1800, end=3600)], WANTED._replace(busy_end=1801), 0)


def test_an_expired_hold_and_an_ignored_owner_are_not_there():
    hold = visit(kind="hold", expires=100)
    assert clashes([hold], WANTED, 99) == (hold,)
    assert clashes([hold], WANTED, 100) == ()
    assert clashes([hold], WANTED, 99, frozenset({"Appointment/1"})) == ()
    assert live(hold, 99)
    assert not live(hold, 100)
    assert not live(hold, 99, frozenset({"Appointment/1"}))


def test_a_group_shares_up_to_its_capacity():
    key = share_key("Schedule/1", "HealthcareService/1", 0, 1800)
    assert key != share_key("Schedule/1", "HealthcareService/1", 0, 2700)
    wanted = WANTED._replace(share=key, capacity=3)
    group = [visit(f"Appointment/{n}", share=key, capacity=3) for n in range(3)]
    assert clashes(group[:2], wanted, 0) == ()
    assert clashes(group, wanted, 0) == tuple(group)
    stranger = visit("Appointment/8")
    assert clashes([*group[:2], stranger], wanted, 0) == (stranger,)
    assert clashes(group[:1], WANTED, 0) == (group[0],)


def test_sharers_one_after_the_other_take_one_seat():
    wanted = WANTED._replace(share="Slot/1", capacity=2)
    halves = [visit("Appointment/1", 0, 900, share="Slot/1"), visit("Appointment/2", 900, 1800, share="Slot/1")]
    assert clashes(halves, wanted, 0) == ()


def test_an_entry_read_from_two_days_takes_one_seat():
    other = visit(share="Slot/1")
    assert clashes([other, other._replace()], WANTED._replace(share="Slot/1", capacity=2), 0) == ()


@pytest.mark.parametrize(("extra", "free"), [(0, False), (1, False), (2, True)])
def test_extra_seats_lie_over_bookings(extra, free):
    others = [visit("Appointment/1"), visit("Appointment/2", kind="hold", expires=9)]
    assert (clashes(others, WANTED, 0, extra_seats=extra) == ()) is free


def test_extra_seats_never_lie_over_blocked_time():
    blocked = visit(kind="blocked")
    assert clashes([blocked, visit("Appointment/2")], WANTED, 0, extra_seats=5) == (blocked,)


def test_extra_seats_add_to_a_group_and_not_to_others():
    group = [visit(f"Appointment/{n}", share="g", capacity=3) for n in range(3)]
    wanted = WANTED._replace(share="g", capacity=3)
    assert clashes(group, wanted, 0, extra_seats=1) == ()
    strangers = [visit(f"Appointment/{n}") for n in range(2)]
    assert clashes(strangers, wanted, 0, extra_seats=1) == tuple(strangers)


@often
@given(
    st.lists(entries(LOW, HIGH), max_size=8),
    entries(LOW, HIGH),
    st.integers(1, 4),
    st.integers(0, 3),
    st.frozensets(st.sampled_from(["Appointment/1", "Appointment/2"])),
)
def test_seats_agree_with_every_moment(others, wanted, capacity, extra, ignore):
    wanted = wanted._replace(capacity=capacity)
    found = clashes(others, wanted, LOW, ignore, extra)
    assert (found == ()) == seated(others, wanted, LOW, ignore, extra)
    assert set(found) <= set(others)
    assert all(lives(one, LOW, ignore) for one in found)

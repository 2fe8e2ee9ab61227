"""Check-in windows, and which transitions can be taken back."""

from __future__ import annotations

import pytest

from fhir_server.scheduling.arrival import Past, can_undo, checkin_side, last_transition, outcome_side, still_open
from fhir_server.scheduling.lifecycle import APPOINTMENT
from fhir_server.scheduling.no_show import NoShowTerms
from fhir_server.scheduling.terms import Policy

START, END = 1_000_000, 1_001_800
NONE = Policy()


@pytest.mark.parametrize(
    ("policy", "now", "side"),
    [
        (Policy(), START - 7201, "early"), (Policy(), START - 7200, "inside"), (Policy(), END, "inside"),
        (Policy(), END + 1, "late"), (Policy(checkin_opens=0), START - 1, "early"),
        (Policy(checkin_opens=0), START, "inside"), (Policy(checkin_closes=0), START, "inside"),
        (Policy(checkin_closes=0), START + 1, "late"), (Policy(checkin_closes=9000), START + 9000, "inside"),
    ],
)  # fmt: skip
def test_the_window(policy: Policy, now: int, side: str) -> None:
    assert checkin_side(policy, START, END, now) == side


@pytest.mark.parametrize("interface", [True, False])
def test_what_became_of_a_visit_is_not_said_before(interface: bool) -> None:
    def side(status: str, now: int, policy: Policy = NONE) -> str:
        return outcome_side(policy, status, START, END, now, interface=interface)

    for status in ("arrived", "checked-in"):
        assert [side(status, at) for at in (START - 7201, START - 7200, END + 1)] == ["early", "inside", "late"]
    assert [side("fulfilled", at) for at in (START - 1, START, END * 2)] == ["early", "inside", "inside"]
    for policy, patience in ((Policy(), 900), (Policy(no_show=NoShowTerms(flag_after=60)), 60)):
        begins = START if interface else START + patience
        assert [side("noshow", at, policy) for at in (begins - 1, begins, END * 2)] == ["early", "inside", "inside"]


def _past(status: str, at: int = 0, **patients: str) -> Past:
    return Past(at, status, patients or {"p": "needs-action"})


def test_the_last_transition_is_behind_other_changes() -> None:
    versions = [_past("checked-in", 4), _past("checked-in", 3), _past("arrived", 2), _past("booked", 1)]
    assert last_transition(versions) == (versions[2], versions[1])
    assert last_transition(versions[:2]) is None
    assert last_transition([]) is None


def test_only_arrivals_and_no_shows_go_back() -> None:
    back = {(old, new) for old in APPOINTMENT for new in APPOINTMENT if can_undo(_past(old), _past(new)) and old != new}
    assert back == {("booked", "arrived"), ("booked", "checked-in"), ("arrived", "checked-in"), ("booked", "noshow")}
    assert all(new in APPOINTMENT[old] for old, new in back), "each was a transition of the table"


@pytest.mark.parametrize(
    ("before", "after", "can"),
    [
        (_past("booked"), _past("booked", p="accepted"), True),
        (_past("booked", p="tentative"), _past("booked", p="accepted"), True),
        (_past("pending"), _past("pending", p="accepted"), True),
        (_past("booked", p="declined"), _past("booked", p="accepted"), False),
        (_past("booked", p="accepted"), _past("booked", p="declined"), False),
        (_past("booked"), _past("booked", p="accepted", q="accepted"), False),
        (_past("waitlist"), _past("waitlist", p="accepted"), False),
        (_past("booked", p="needs-action", q="needs-action"), _past("booked", p="accepted", q="needs-action"), True),
    ],
)
def test_a_confirmation_goes_back(before: Past, after: Past, can: bool) -> None:
    assert can_undo(before, after) is can


def test_the_time_for_taking_back_ends() -> None:
    assert still_open(Policy(), 100, 100 + 86400)
    assert not still_open(Policy(), 100, 101 + 86400)
    assert not still_open(Policy(undo_window=0), 100, 101)

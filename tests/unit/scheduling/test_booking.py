from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.availability import Span
from fhir_server.scheduling.booking import BookingRequest, Decision, ScheduleWish, days_of, decide, keys_of
from fhir_server.scheduling.calendar_day import Entry, utc_days
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.terms import Limit, Policy, ServiceTerms

from .oracle import STEP, epoch, seated
from .strategies import BERLIN, buffers, entries, lengths, often

DAY = date(2026, 7, 6)
NINE, TEN = epoch(BERLIN, DAY, 9), epoch(BERLIN, DAY, 10)
NOW = NINE - 7 * 86400
SERVICE = ServiceTerms("S/1", (3600, 1800), buffer_before=300, buffer_after=600, alignment=900)
DOCTOR, ROOM, NURSE, OTHER = "Practitioner/1", "Location/1", "Practitioner/2", "Practitioner/3"

WISH = ScheduleWish(
    "Schedule/1", (DOCTOR,), BERLIN, Policy(), (Span(NINE - 3600, NINE + 8 * 3600, None),), offers=True, computed=True
)
REQUEST = BookingRequest("Appointment/9", "booked", NINE, TEN, ("Patient/1",), "online", SERVICE, (WISH,))


def wish(**more) -> ScheduleWish:
    return replace(WISH, **more)


def asked(calendars: dict[str, list[Entry]] | None = None, now: int = NOW, **more) -> Decision:
    return decide(replace(REQUEST, **more), calendars or {}, now)


def codes(decision: Decision) -> list[tuple[str, str, bool]]:
    assert bool(decision.refusals) != bool(decision.entries)
    return [(one.code, one.element, one.conflict) for one in decision.refusals]


def busy(start: int = NINE, end: int = TEN, owner: str = "Appointment/1", **more) -> Entry:
    return Entry(owner, more.pop("kind", "booked"), start, end, start, end, **more)


def test_a_free_time_is_booked_in_every_calendar():
    decision = asked(actors=(ROOM,), pools=((NURSE, OTHER),), expires=NOW + 60, kind="hold", new_patient=True)
    assert decision.refusals == ()
    assert decision.chosen == (NURSE,)
    assert sorted(decision.entries) == [ROOM, "Patient/1", DOCTOR, NURSE]
    assert decision.entries[DOCTOR] == Entry(
        owner="Appointment/9",
        kind="hold",
        start=NINE,
        end=TEN,
        busy_start=NINE - 300,
        busy_end=TEN + 600,
        expires=NOW + 60,
        schedule="Schedule/1",
        service="S/1",
        patients=("Patient/1",),
        channel="online",
        new_patient=True,
    )
    patient = decision.entries["Patient/1"]
    assert (patient.busy_start, patient.busy_end, patient.share) == (NINE, TEN, "")


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ({"end": NINE + 2700}, ("not-offered", "start", False)),
        ({"service": replace(SERVICE, online_booking=False)}, ("not-eligible", "serviceType", False)),
        (
            {"service": replace(SERVICE, new_patients=False), "new_patient": True},
            ("not-eligible", "serviceType", False),
        ),
        ({"service": replace(SERVICE, referral_required=True)}, ("referral-required", "basedOn", False)),
        ({"schedules": (wish(offers=False),)}, ("not-offered", "serviceType", False)),
        ({"schedules": (wish(spans=()),)}, ("closed", "start", False)),
        ({"schedules": (wish(spans=(), computed=False),)}, ("closed", "slot", False)),
        ({"start": NINE + 300, "end": TEN + 300}, ("not-offered", "start", False)),
        ({"schedules": (wish(policy=Policy(minimum_notice=8 * 86400)),)}, ("min-notice", "start", False)),
        ({"now": NINE + 1}, ("min-notice", "start", False)),
        ({"now": NINE + 1, "schedules": (wish(policy=Policy(minimum_notice=0)),)}, ("min-notice", "start", False)),
        ({"schedules": (wish(policy=Policy(horizon=86400)),)}, ("out-of-horizon", "start", False)),
        ({"schedules": (wish(policy=Policy(limits=(Limit("all", "day", 0),))),)}, ("booking-limit", "start", False)),
        ({"calendars": {DOCTOR: [busy()]}}, ("slot-taken", "start", True)),
        ({"calendars": {DOCTOR: [busy(TEN + 599, TEN + 3600)]}}, ("slot-taken", "start", True)),
        (
            {"calendars": {DOCTOR: [busy()]}, "schedules": (wish(computed=False),)},
            ("slot-taken", "slot", True),
        ),
        ({"calendars": {ROOM: [busy()]}, "actors": (ROOM,)}, ("slot-taken", "participant", True)),
        ({"calendars": {NURSE: [busy()]}, "pools": ((NURSE,),)}, ("slot-taken", "participant", True)),
        ({"calendars": {"Patient/1": [busy()]}}, ("patient-conflict", "participant", True)),
    ],
)
def test_each_rule_refuses_by_itself(more, refusal):
    assert codes(asked(**more)) == [refusal]


@pytest.mark.parametrize(
    "more",
    [
        {"service": replace(SERVICE, online_booking=False), "channel": "phone"},
        {"service": replace(SERVICE, referral_required=True), "referral": True},
        {"schedules": (wish(spans=(), computed=False, anytime=True),)},
        {"start": NINE + 300, "end": TEN + 300, "schedules": (wish(computed=False),)},
        {"service": None, "end": NINE + 2700, "start": NINE + 60},
        {"now": NINE + 1, "schedules": (wish(computed=False),)},
        {"calendars": {DOCTOR: [busy(TEN + 600, TEN + 3600)]}},
        {"calendars": {"Patient/1": [busy(TEN, TEN + 3600)]}},
        {"calendars": {DOCTOR: [busy()]}, "ignore": frozenset({"Appointment/1"})},
        {"schedules": (), "actors": (ROOM,)},
    ],
)
def test_what_no_rule_forbids_is_booked(more):
    assert codes(asked(**more)) == []


def test_all_refusals_are_reported_together_and_once():
    decision = asked(
        {DOCTOR: [busy()], ROOM: [busy()], "Patient/1": [busy()], "Patient/2": [busy()]},
        patients=("Patient/1", "Patient/2"),
        actors=(ROOM,),
        pools=((),),
        end=NINE + 2700,
        schedules=(wish(offers=False, spans=(), policy=Policy(horizon=1)), wish(offers=False)),
    )
    assert [one[0] for one in codes(decision)] == [
        "not-offered",
        "not-offered",
        "closed",
        "out-of-horizon",
        "slot-taken",
        "slot-taken",
        "slot-taken",
        "patient-conflict",
    ]
    assert "Patient/" not in str(decision.refusals)
    assert decision.chosen == ()


def test_staff_with_a_reason_may_pass_the_rules_that_guard_the_public():
    strict = Policy(minimum_notice=30 * 86400, limits=(Limit("all", "day", 0),), overbooking=1)
    more = {"schedules": (wish(policy=strict),), "channel": "staff", "calendars": {DOCTOR: [busy()]}}
    assert [one[0] for one in codes(asked(**more))] == ["min-notice", "booking-limit", "slot-taken"]
    decision = asked(**more, override_reason="emergency", now=NINE + 60)
    assert codes(decision) == []
    assert decision.entries[DOCTOR].over
    assert not decision.entries["Patient/1"].over
    assert codes(asked(**(more | {"channel": "online"}), override_reason="emergency")) != []
    full = more | {"calendars": {DOCTOR: [busy(), busy(owner="Appointment/2")]}}
    assert codes(asked(**full, override_reason="emergency")) == [("slot-taken", "start", True)]
    blocked = more | {"calendars": {DOCTOR: [busy(kind="blocked")]}}
    assert codes(asked(**blocked, override_reason="emergency")) == [("slot-taken", "start", True)]
    elsewhere = more | {"calendars": {"Patient/1": [busy()]}}
    assert codes(asked(**elsewhere, override_reason="emergency")) == [("patient-conflict", "participant", True)]


def test_a_seat_that_is_free_anyway_is_not_an_extra_seat():
    policy = Policy(overbooking=1)
    decision = asked(schedules=(wish(policy=policy),), channel="phone", override_reason="emergency")
    assert not decision.entries[DOCTOR].over


def test_others_follow_what_every_schedule_permits():
    generous, strict = wish(policy=Policy(overbooking=2)), wish(id="Schedule/2", keys=(OTHER,), policy=Policy())
    more = {"channel": "staff", "override_reason": "emergency", "actors": (ROOM,), "calendars": {ROOM: [busy()]}}
    assert codes(asked(**more, schedules=(generous,))) == []
    assert codes(asked(**more, schedules=(generous, strict))) == [("slot-taken", "participant", True)]
    pools = more | {"actors": (), "pools": ((ROOM, NURSE),), "schedules": (generous,)}
    assert asked(**pools).chosen == (NURSE,)
    assert asked(**(pools | {"pools": ((ROOM,),)})).entries[ROOM].over


def test_a_group_shares_the_time_of_everybody_but_the_patients():
    seat = {"share": "visit", "capacity": 2}
    first = busy(**seat)
    shared = (wish(**seat),)
    decision = asked(
        {DOCTOR: [first], ROOM: [first], OTHER: [first]}, schedules=shared, actors=(ROOM,), pools=((NURSE, OTHER),)
    )
    assert codes(decision) == []
    assert decision.chosen == (OTHER,)
    assert decision.entries[OTHER].share == decision.entries[ROOM].share == "visit"
    full = [first, first._replace(owner="Appointment/2")]
    assert codes(asked({DOCTOR: full}, schedules=shared)) == [("slot-taken", "start", True)]
    assert codes(asked({"Patient/1": [first]}, schedules=shared)) == [("patient-conflict", "participant", True)]


def test_one_human_with_two_schedules_is_taken_once():
    decision = asked(schedules=(WISH, wish(id="Schedule/2")), actors=(DOCTOR,))
    assert decision.entries[DOCTOR].schedule == "Schedule/1"


def test_pools_get_different_members_and_count_who_takes_part_anyway():
    assert asked(pools=((NURSE, OTHER), (NURSE,))).chosen == (OTHER, NURSE)
    assert codes(asked(pools=((NURSE,), (NURSE,)))) == [("slot-taken", "participant", True)]
    taking_part = asked(actors=(OTHER,), pools=((NURSE, OTHER),))
    assert taking_part.chosen == (OTHER,)
    assert NURSE not in taking_part.entries
    three = ((NURSE, OTHER), (NURSE, ROOM), (NURSE,))
    assert asked(pools=three).chosen == (OTHER, ROOM, NURSE)
    assert codes(asked({OTHER: [busy()]}, pools=three)) == [("slot-taken", "participant", True)]


def test_limits_read_the_schedules_own_calendars():
    policy = Policy(limits=(Limit("all", "day", 1),))
    other = busy(TEN + 7200, TEN + 10800, schedule="Schedule/1")
    assert codes(asked({DOCTOR: [other]}, schedules=(wish(policy=policy),))) == [("booking-limit", "start", False)]
    assert codes(asked({"Patient/1": [other]}, schedules=(wish(policy=policy),))) == []


def test_what_a_decision_reads():
    request = replace(REQUEST, actors=(ROOM,), pools=((NURSE, OTHER), (NURSE,)))
    assert keys_of(request) == (ROOM, "Patient/1", DOCTOR, NURSE, OTHER)
    assert days_of(request) == utc_days(NINE - 300, TEN + 600)
    limited = replace(request, schedules=(wish(policy=Policy(limits=(Limit("all", "week", 3),))),))
    assert days_of(limited) == utc_days(epoch(BERLIN, DAY), epoch(BERLIN, date(2026, 7, 13)))
    assert len(days_of(limited)) == 8
    assert days_of(replace(limited, channel="staff", override_reason="emergency")) == days_of(request)


def test_days_cover_buffers_over_midnight():
    midnight = NINE // 86400 * 86400
    late = replace(REQUEST, start=midnight - 3600, end=midnight)
    assert list(days_of(late)) == [midnight // 86400 - 1, midnight // 86400]


@often
@given(st.data())
def test_the_decision_agrees_with_every_moment(data):
    low, high = NINE - 8 * STEP, NINE + 12 * STEP
    keys = [DOCTOR, ROOM, NURSE, OTHER, "Patient/1", "Patient/2"]
    calendars = {key: data.draw(st.lists(entries(low, high), max_size=3)) for key in keys}
    start = data.draw(st.integers(low // STEP, high // STEP)) * STEP
    service = ServiceTerms("S/1", (data.draw(lengths),), data.draw(buffers), data.draw(buffers))
    end = start + service.durations[0]
    share = data.draw(st.sampled_from(["", "group"]))
    capacity = data.draw(st.integers(2, 3)) if share else 1
    overbooking = data.draw(st.sampled_from([None, 1, 2]))
    one = wish(share=share, capacity=capacity, policy=Policy(overbooking=overbooking), spans=(Span(low, high, None),))
    reason = data.draw(st.sampled_from(["", "emergency"]))
    request = replace(
        REQUEST,
        start=start,
        end=end,
        service=service,
        schedules=(one,),
        channel=data.draw(st.sampled_from(["online", "staff"])),
        actors=data.draw(st.sampled_from([(), (ROOM,)])),
        pools=data.draw(st.sampled_from([(), ((NURSE, OTHER),), ((NURSE, OTHER), (NURSE,))])),
        patients=data.draw(st.sampled_from([(), ("Patient/1",), ("Patient/1", "Patient/2")])),
        override_reason=reason,
        ignore=data.draw(st.frozensets(st.sampled_from(["Appointment/1", "Appointment/2"]))),
    )
    decision = decide(request, calendars, low)

    extra = (overbooking or 0) if reason and request.channel == "staff" else 0
    visit = Entry("x", "booked", start, end, start - service.buffer_before, end + service.buffer_after)
    visit = visit._replace(share=share, capacity=capacity)
    alone = visit._replace(busy_start=start, busy_end=end, share="", capacity=1)

    def seat(key: str, wanted: Entry = visit, more: int = extra) -> bool:
        return seated(calendars[key], wanted, low, request.ignore, more)

    free = {member for member in (NURSE, OTHER) if seat(member)}
    pooled = {0: True, 1: bool(free), 2: free == {NURSE, OTHER}}[len(request.pools)]
    expected = {
        "closed": not (low <= start and end <= high),
        "start": not seat(DOCTOR),
        "participant": not all(seat(actor) for actor in request.actors) or not pooled,
        "patient-conflict": not all(seat(patient, alone, 0) for patient in request.patients),
    }
    found = {
        "closed": any(r.code == "closed" for r in decision.refusals),
        "start": any(r.code == "slot-taken" and r.element == "start" for r in decision.refusals),
        "participant": any(r.code == "slot-taken" and r.element == "participant" for r in decision.refusals),
        "patient-conflict": any(r.code == "patient-conflict" for r in decision.refusals),
    }
    assert found == expected
    assert bool(decision.entries) == (not decision.refusals)
    for key, entry in decision.entries.items():
        wanted = alone if key in request.patients else visit
        assert Interval(entry.busy_start, entry.busy_end) == (wanted.busy_start, wanted.busy_end)
        assert entry.over == (not seat(key, wanted, 0))
    if decision.entries:
        taken = {DOCTOR, *request.actors, *request.patients, *decision.chosen}
        assert set(decision.entries) == taken
        assert len(set(decision.chosen)) == len(request.pools)

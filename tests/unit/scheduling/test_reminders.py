"""When patients are reminded: what always holds, days on which clocks change, and the default of a clinic."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.civil import DAY, local_day, offset
from fhir_server.scheduling.reminders import (
    DEFAULT_QUIET,
    DEFAULT_RULES,
    EARLIER,
    FOLLOW_UP,
    HOUR,
    LAST_MINUTE,
    Confirming,
    Plan,
    Preference,
    Quiet,
    Rule,
    after_quiet,
    allowed,
    channels,
    plan,
    quiet_around,
)

from .strategies import BERLIN, DAYS, KOLKATA, NEW_YORK, often

ALL = frozenset({"email", "sms", "voice", "push"})
media = st.lists(st.sampled_from(sorted(ALL)), max_size=4, unique=True).map(tuple)
usable = st.frozensets(st.sampled_from(sorted(ALL)))
quiets = st.none() | st.builds(
    Quiet, st.integers(0, 95).map(lambda n: n * 900), st.integers(0, 95).map(lambda n: n * 900)
)
kinds = st.sampled_from(["reminder", "confirmation-request"])
rules = st.lists(
    st.builds(
        Rule, kinds, st.integers(1, 10 * 96).map(lambda n: n * 900), media,
        st.frozensets(st.sampled_from(["in-person", "video", "phone"]), max_size=1),
    ),
    max_size=6,
)  # fmt: skip
preferences = st.lists(
    st.builds(Preference, st.sampled_from(["", "reminder", "confirmation-request"]), media, st.booleans()), max_size=3
)
confirming = st.builds(
    Confirming, st.none() | st.integers(1, 72).map(lambda n: n * HOUR), st.integers(0, 48).map(lambda n: n * HOUR),
    st.booleans(),
)  # fmt: skip


def at(zone: ZoneInfo, text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def wall(zone: ZoneInfo, seconds: int) -> str:
    return datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%dT%H:%M")


def is_quiet(seconds: int, quiet: Quiet | None, zone: ZoneInfo) -> bool:
    """Told by the clock on the wall alone."""
    if quiet is None:
        return False
    clock = (seconds + offset(zone, seconds)) % DAY
    if quiet.start < quiet.end:
        return quiet.start <= clock < quiet.end
    return clock >= quiet.start or clock < quiet.end


@st.composite
def visits(draw: st.DrawFn) -> tuple[ZoneInfo, int, int]:
    """A zone, a start near a day on which its clocks change, and now, before or after it."""
    zone, day = draw(st.sampled_from(DAYS))
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
    start = midnight + draw(st.integers(-8 * 96, 12 * 96)) * 900
    return zone, start, start - draw(st.integers(-4, 14 * 96)) * 900 - draw(st.integers(0, 899))


@often
@given(visits(), rules, quiets, preferences, usable, confirming, st.booleans(), st.sampled_from(["", "video", "phone"]))
def test_what_always_holds(visit, stated, quiet, wanted, reached, confirm, confirmed, modality):
    zone, start, now = visit
    found = plan(
        start, now, zone=zone, rules=stated, modality=modality, quiet=quiet, confirming=confirm, preferences=wanted,
        usable=reached, confirmed=confirmed,
    )  # fmt: skip
    dues = [one.due for one in found.messages]
    assert dues == sorted(set(dues)), "in order, never two in one moment"
    assert len({one.key for one in found.messages}) == len(dues)
    asked = [one for one in found.messages if one.kind == "confirmation-request" and one.key != FOLLOW_UP]
    for one in found.messages:
        assert now < one.due < start
        assert not is_quiet(one.due, quiet, zone)
        assert one.media
        assert reached.issuperset(one.media)
        assert not any(each.off for each in wanted[:1] if each.kind == one.kind)
        assert not (confirmed and one.kind == "confirmation-request")
        assert one.key != FOLLOW_UP or (asked and one.due > asked[0].due)
    if found.release is not None:
        assert confirm.release
        assert asked
        assert not confirmed
        assert max(now, asked[0].due) < found.release <= start - LAST_MINUTE
        assert not is_quiet(found.release, quiet, zone)
    assert found == plan(
        start, now, zone=zone, rules=stated, modality=modality, quiet=quiet, confirming=confirm, preferences=wanted,
        usable=reached, confirmed=confirmed,
    )  # fmt: skip


@often
@given(visits(), st.integers(0, 20 * 96).map(lambda n: n * 900), quiets)
def test_quiet_hours_move_to_before_them_else_after_them_else_away(visit, before, quiet):
    zone, start, now = visit
    wanted = start - before
    found = allowed(wanted, now, start, quiet, zone)
    if wanted <= now or wanted >= start:
        assert found is None
    elif not is_quiet(wanted, quiet, zone):
        assert found == wanted
    elif found is not None and found < wanted:
        assert now < found
        assert wanted - found <= EARLIER
        assert not is_quiet(found, quiet, zone)
        assert all(is_quiet(each, quiet, zone) for each in range(wanted, found + 59, -900)), "the last time before"
    elif found is not None:
        assert found <= start - LAST_MINUTE
        assert not is_quiet(found, quiet, zone)
        assert all(is_quiet(each, quiet, zone) for each in range(wanted, found, 900)), "the first time after"


@often
@given(visits(), quiets)
def test_quiet_is_what_the_clock_on_the_wall_says(visit, quiet):
    zone, start, _ = visit
    assert (quiet_around(start, quiet, zone) is not None) == is_quiet(start, quiet, zone)
    ends = after_quiet(start, quiet, zone)
    assert ends is None or not is_quiet(ends, quiet, zone)
    assert (ends is None) <= (quiet is not None and quiet.start == quiet.end)


@often
@given(st.sampled_from(DAYS), st.integers(-3, 9), st.integers(8 * 4, 20 * 4), st.integers(1, 9))
def test_whole_days_are_days_of_the_calendar(zone_day, shift, quarter, days):
    zone, day = zone_day
    day += timedelta(days=shift)
    start = int(datetime(day.year, day.month, day.day, quarter // 4, quarter % 4 * 15, tzinfo=zone).timestamp())
    found = plan(start, 0, zone=zone, rules=[Rule("reminder", days * DAY, ("sms",))], quiet=None, usable=ALL)
    (one,) = found.messages
    assert wall(zone, one.due)[11:] == wall(zone, start)[11:]
    assert local_day(zone, one.due) == day - timedelta(days=days)


def dues(found: Plan, zone: ZoneInfo) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.kind, wall(zone, one.due), one.media) for one in found.messages]


def test_the_default_of_a_clinic():
    start = at(BERLIN, "2026-06-15T14:00")
    found = plan(start, at(BERLIN, "2026-05-01T12:00"), zone=BERLIN, usable=ALL - {"voice"})
    assert dues(found, BERLIN) == [
        ("reminder", "2026-06-08T14:00", ("email",)),
        ("confirmation-request", "2026-06-12T14:00", ("sms", "email", "push")),
        ("reminder", "2026-06-13T14:00", ("email", "push", "sms")),
        ("reminder", "2026-06-14T14:00", ("sms", "push", "email")),
        ("reminder", "2026-06-15T12:00", ("sms", "push", "email")),
    ]
    assert found.release is None


@pytest.mark.parametrize(
    ("modality", "first"), [("", "sms"), ("in-person", "sms"), ("phone", "sms"), ("video", "push")]
)
def test_who_comes_by_video_is_reminded_on_the_device(modality, first):
    start = at(BERLIN, "2026-06-15T14:00")
    found = plan(start, start - 3 * HOUR, zone=BERLIN, modality=modality, usable=ALL)
    (one,) = found.messages
    assert (one.due, one.media[0], one.key) == (start - 2 * HOUR, first, "reminder-7200")


@pytest.mark.parametrize(
    ("start", "now", "due"),
    [
        ("2026-06-15T09:00", "2026-06-14T12:00", "2026-06-14T20:59"),  # 7:00 is quiet: the evening before
        ("2026-06-15T09:00", "2026-06-14T22:00", "2026-06-15T08:00"),  # booked at night: when the night is over
        ("2026-06-15T08:10", "2026-06-14T22:00", None),  # 8:00 would be ten minutes before
        ("2026-06-15T12:00", "2026-06-15T10:30", None),  # 10:00 is past
        ("2026-06-15T23:30", "2026-06-15T12:00", "2026-06-15T20:59"),
        ("2026-03-29T09:30", "2026-03-28T12:00", "2026-03-28T20:59"),  # clocks go forward in this night
        ("2026-10-25T09:30", "2026-10-25T01:00", "2026-10-25T08:00"),  # and back
    ],
)
def test_two_hours_before(start, now, due):
    rules = [Rule("reminder", 2 * HOUR, ("sms",))]
    found = plan(at(BERLIN, start), at(BERLIN, now), zone=BERLIN, rules=rules, usable=ALL)
    assert [wall(BERLIN, one.due) for one in found.messages] == ([due] if due else [])


@pytest.mark.parametrize(
    ("zone", "start", "due"),
    [
        (NEW_YORK, "2026-03-08T10:00", "2026-03-07T10:00"),  # 23 hours before
        (NEW_YORK, "2026-11-01T10:00", "2026-10-31T10:00"),  # 25 hours before
        (BERLIN, "2026-03-29T10:00", "2026-03-28T10:00"),
        (BERLIN, "2026-10-25T10:00", "2026-10-24T10:00"),
        (KOLKATA, "2026-10-25T10:00", "2026-10-24T10:00"),
    ],
)
def test_a_day_before_when_clocks_change(zone, start, due):
    found = plan(at(zone, start), 0, zone=zone, rules=[Rule("reminder", DAY, ("sms",))], usable=ALL)
    assert [wall(zone, one.due) for one in found.messages] == [due]


def test_the_time_that_a_night_skips_is_the_first_after_it():
    start = at(BERLIN, "2026-03-30T02:30")
    found = plan(start, 0, zone=BERLIN, rules=[Rule("reminder", DAY, ("sms",))], quiet=None, usable=ALL)
    assert wall(BERLIN, found.messages[0].due) == "2026-03-29T03:30"


def test_a_patient_chooses_by_kind_and_the_kind_counts_before_all():
    wanted = [Preference("", ("email",)), Preference("reminder", ("sms", "email"))]
    assert channels("reminder", ("push",), wanted, ALL) == ("sms", "email")
    assert channels("confirmation-request", ("push",), wanted, ALL) == ("email",)
    assert channels("reminder", ("push",), wanted, {"email"}) == ("email",)
    assert channels("reminder", ("push", "sms"), [Preference("reminder", off=True)], ALL) == ()
    assert channels("reminder", ("push", "sms"), [Preference("reminder")], ALL) == ("push", "sms")
    assert channels("reminder", ("push", "sms", "push"), [], ALL) == ("push", "sms")


def test_nobody_who_confirmed_is_asked():
    start = at(BERLIN, "2026-06-15T14:00")
    confirming = Confirming(release=True)
    found = plan(start, start - 20 * DAY, zone=BERLIN, usable=ALL, confirming=confirming, confirmed=True)
    assert {one.kind for one in found.messages} == {"reminder"}
    assert found.release is None


def test_unconfirmed_is_asked_again_and_then_released():
    start = at(BERLIN, "2026-06-15T14:00")
    confirming = Confirming(follow_up=20 * HOUR, cutoff=DAY, release=True)
    asking = [one for one in DEFAULT_RULES if one.kind == "confirmation-request"]
    found = plan(start, start - 20 * DAY, zone=BERLIN, rules=asking, usable=ALL, confirming=confirming)
    assert [(one.key, wall(BERLIN, one.due)) for one in found.messages] == [
        ("confirmation-request-259200", "2026-06-12T14:00"), (FOLLOW_UP, "2026-06-13T10:00"),
    ]  # fmt: skip
    assert wall(BERLIN, found.release or 0) == "2026-06-14T14:00"
    asked = found.messages[0].due
    later = plan(start, asked + HOUR, zone=BERLIN, rules=asking, usable=ALL, confirming=confirming, asked=asked)
    assert [one.key for one in later.messages] == [FOLLOW_UP]
    assert later.release == found.release
    never = plan(start, start - 2 * DAY, zone=BERLIN, rules=asking, usable=ALL, confirming=confirming)
    assert never == Plan(()), "who was never asked loses nothing"


def test_one_who_cannot_be_reached_is_not_asked_and_keeps_the_appointment():
    start = at(BERLIN, "2026-06-15T14:00")
    assert plan(start, 0, zone=BERLIN, usable=(), confirming=Confirming(release=True)) == Plan(())


def test_a_rule_for_the_modality_counts_before_one_for_all():
    start = at(BERLIN, "2026-06-15T14:00")
    general, special = Rule("reminder", HOUR, ("sms",)), Rule("reminder", HOUR, ("push",), frozenset({"video"}))
    for order in ([general, special], [special, general]):
        assert plan(start, 0, zone=BERLIN, rules=order, modality="video", usable=ALL).messages[0].media == ("push",)
        assert plan(start, 0, zone=BERLIN, rules=order, modality="phone", usable=ALL).messages[0].media == ("sms",)


def test_a_release_that_would_fall_into_the_night_waits_for_the_morning():
    start = at(BERLIN, "2026-06-15T22:30")
    confirming = Confirming(follow_up=None, cutoff=DAY, release=True)
    found = plan(start, 0, zone=BERLIN, usable=ALL, confirming=confirming, quiet=DEFAULT_QUIET)
    assert wall(BERLIN, found.release or 0) == "2026-06-15T08:00"
    early = replace(confirming, cutoff=2 * HOUR)
    assert plan(start, 0, zone=BERLIN, usable=ALL, confirming=early).release == start - 2 * HOUR


def test_days_of_the_oracle_are_there():
    assert {date(2026, 3, 29), date(2026, 10, 25)} <= {day for _, day in DAYS}

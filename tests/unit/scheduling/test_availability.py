from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.availability import Span, day_spans, join, spans
from fhir_server.scheduling.civil import day_interval, local_day
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.terms import Opening, Override, Rule

from .oracle import epoch, moments, open_places
from .strategies import BERLIN, NEW_YORK, often, openings, some

HOUR = 3600
NINE_TO_FIVE = Rule(frozenset(range(5)), 9 * HOUR, 17 * HOUR)
MONDAY = date(2026, 7, 6)


def opening(*overrides: Override, rules: tuple[Rule, ...] = (NINE_TO_FIVE,)) -> Opening:
    return Opening(rules, overrides, BERLIN)


def hours(found: tuple[Span, ...], day: date = MONDAY) -> list[tuple[float, float, str | None]]:
    """Spans as hours from local midnight."""
    midnight = epoch(BERLIN, day)
    return [((one.start - midnight) / HOUR, (one.end - midnight) / HOUR, one.location) for one in found]


def test_a_rule_opens_its_days_only():
    assert hours(day_spans(opening(), MONDAY)) == [(9, 17, None)]
    assert day_spans(opening(), date(2026, 7, 5)) == ()


def test_effective_dates_are_inclusive_and_weeks_alternate():
    rule = Rule(frozenset({0}), 9 * HOUR, 17 * HOUR, date(2026, 7, 8), date(2026, 7, 20), week_interval=2)
    open_days = [
        day
        for day in (date(2026, 6, 29) + timedelta(days=n) for n in range(40))
        if day_spans(opening(rules=(rule,)), day)
    ]
    assert open_days == [date(2026, 7, 20)]


def test_closed_dates_end_at_local_midnight_and_cut_the_night_before():
    night = Rule(frozenset({6}), 22 * HOUR, 6 * HOUR)
    closed = Override("closed", MONDAY, MONDAY)
    found = day_spans(opening(closed, rules=(NINE_TO_FIVE, night)), MONDAY - timedelta(days=1))
    assert hours(found) == [(-2, 0, None)]
    assert day_spans(opening(closed, rules=(NINE_TO_FIVE, night)), MONDAY) == ()


def test_a_closure_may_have_times():
    lunch = Override("closed", MONDAY, MONDAY, start=12 * HOUR, end=13 * HOUR)
    assert hours(day_spans(opening(lunch), MONDAY)) == [(9, 12, None), (13, 17, None)]


def test_a_closure_of_one_service_leaves_the_others():
    closed = Override("closed", MONDAY, MONDAY, services=frozenset({"S/1"}))
    assert day_spans(opening(closed), MONDAY, "S/1") == ()
    assert hours(day_spans(opening(closed), MONDAY, "S/2")) == [(9, 17, None)]
    assert hours(day_spans(opening(closed), MONDAY)) == [(9, 17, None)]
    only = Rule(frozenset(), 9 * HOUR, 17 * HOUR, services=frozenset({"S/1"}))
    assert day_spans(opening(closed, rules=(only,)), MONDAY) == ()


def test_a_closure_of_one_modality_leaves_the_others():
    closed = Override("closed", MONDAY, MONDAY, modalities=frozenset({"video"}))
    assert day_spans(opening(closed), MONDAY, modality="video") == ()
    assert hours(day_spans(opening(closed), MONDAY)) == [(9, 17, None)]


def test_a_closure_of_one_place_leaves_other_places():
    rules = tuple(
        Rule(frozenset(), h * HOUR, (h + 1) * HOUR, location=place)
        for h, place in ((9, "L/1"), (11, "L/2"), (13, None))
    )
    closed = Override("closed", MONDAY, MONDAY, location="L/1")
    assert hours(day_spans(opening(closed, rules=rules), MONDAY)) == [(11, 12, "L/2")]


def test_open_adds_and_replace_drops_the_rules():
    evening = Override("open", MONDAY, MONDAY, 0, None, 18 * HOUR, 20 * HOUR, location="L/1")
    assert hours(day_spans(opening(evening), MONDAY)) == [(9, 17, None), (18, 20, "L/1")]
    instead = Override("replace", MONDAY, MONDAY, start=10 * HOUR, end=11 * HOUR)
    assert hours(day_spans(opening(instead), MONDAY)) == [(10, 11, None)]
    assert hours(day_spans(opening(instead, evening), MONDAY)) == [(10, 11, None), (18, 20, "L/1")]


def test_an_override_without_times_is_the_whole_day_and_one_time_reaches_midnight():
    assert hours(day_spans(opening(Override("open", MONDAY, MONDAY)), MONDAY)) == [(0, 24, None)]
    assert hours(day_spans(opening(Override("replace", MONDAY, MONDAY, start=20 * HOUR)), MONDAY)) == [(20, 24, None)]
    assert hours(day_spans(opening(Override("replace", MONDAY, MONDAY, end=2 * HOUR)), MONDAY)) == [(0, 2, None)]


def test_an_exact_period_counts_as_it_is_or_cuts_its_daily_window():
    period = epoch(BERLIN, MONDAY, 10), epoch(BERLIN, MONDAY + timedelta(days=1), 8)
    exact = opening(Override("open", None, None, *period), rules=())
    assert hours(day_spans(exact, MONDAY)) == [(10, 24, None)]
    assert hours(spans(exact, day_interval(BERLIN, MONDAY))) == [(10, 32, None)]
    window = opening(Override("open", None, None, *period, start=7 * HOUR, end=11 * HOUR), rules=())
    assert hours(spans(window, Interval(period[0], period[1]))) == [(10, 11, None), (31, 32, None)]


def test_adjacent_windows_of_one_place_are_one_span():
    halves = tuple(Rule(frozenset(), h * HOUR, (h + 4) * HOUR) for h in (13, 9))
    other = Rule(frozenset(), 12 * HOUR, 14 * HOUR, location="L/1")
    assert hours(day_spans(opening(rules=(*halves, other)), MONDAY)) == [(9, 17, None), (12, 14, "L/1")]
    assert hours(day_spans(opening(rules=(*halves, other)), MONDAY, location="L/2")) == [(9, 17, None)]


def test_a_continuous_opening_looks_the_same_from_every_window_inside_it():
    always = opening(rules=(Rule(frozenset(), 0, 0),))
    noon = epoch(BERLIN, MONDAY, 12)
    (found,) = spans(always, Interval(noon, noon + HOUR))
    assert hours((found,)) == [(-4 * 24, 4 * 24, None)]
    weekend = opening(rules=(Rule(frozenset({5, 6}), 0, 0),))
    saturday, sunday = (day_interval(BERLIN, date(2026, 7, day)) for day in (4, 5))
    assert spans(weekend, saturday) == spans(weekend, sunday) == (Span(saturday.start, sunday.end, None),)


def test_skipped_and_repeated_hours_on_both_transition_days():
    nights = Opening((Rule(frozenset(), 1 * HOUR, 4 * HOUR),), (), NEW_YORK)
    lengths = [
        sum(one.end - one.start for one in day_spans(nights, day)) / HOUR
        for day in (date(2026, 3, 7), date(2026, 3, 8), date(2026, 11, 1))
    ]
    assert lengths == [3, 2, 4]


def test_the_last_date_there_is_does_not_fail():
    always = opening(rules=(Rule(frozenset(), 0, 0),))
    last = day_interval(BERLIN, date.max)
    assert spans(always, last)[-1].end == last.end


def located(found: tuple[Span, ...], window: Interval) -> set[tuple[int, str | None]]:
    return {
        (moment, one.location)
        for one in found
        for moment in moments(max(one.start, window.start), min(one.end, window.end))
    }


@often
@given(openings(), st.sampled_from([None, "S/1", "S/3"]), st.sampled_from([None, "video", "phone"]), st.data())
def test_spans_and_day_spans_agree_with_every_moment(opening_day, service, modality, data):
    terms, day = opening_day
    window = Interval(
        epoch(terms.zone, day - timedelta(days=1)) + data.draw(st.integers(0, 40)) * 900,
        epoch(terms.zone, day + timedelta(days=2)),
    )
    expected = {
        (moment, place) for moment in moments(*window) for place in open_places(terms, moment, service, modality)
    }
    found = spans(terms, window, service, modality)
    assert located(found, window) == expected
    assert found == join(found)
    assert all(one.start < window.end and one.end > window.start for one in found)
    daily = [day_spans(terms, day + timedelta(days=n), service, modality) for n in range(-3, 4)]
    assert located(join(one for of_day in daily for one in of_day), window) == expected
    place = data.draw(st.sampled_from(["L/1", "L/2"]))
    there = {(moment, where) for moment, where in expected if where in (None, place)}
    assert located(spans(terms, window, service, modality, place), window) == there


@some
@given(openings(), st.integers(-3, 3))
def test_what_a_day_opens_starts_on_it_or_the_night_after(opening_day, shift):
    terms, around = opening_day
    day = around + timedelta(days=shift)
    for one in day_spans(terms, day):
        assert day <= local_day(terms.zone, one.start) <= day + timedelta(days=1)
        assert one.end <= day_interval(terms.zone, day + timedelta(days=1)).end

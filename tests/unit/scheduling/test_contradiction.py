from __future__ import annotations

from datetime import date, timedelta
from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_server.scheduling.availability import contradictions
from fhir_server.scheduling.terms import Opening, Override, Rule

from .oracle import epoch, moments, places
from .strategies import BERLIN, DAYS, often, overrides, rules

HOUR = 3600
DAY = date(2026, 7, 6)


def of_rules(*terms: Rule) -> list[tuple[int, int | None, str]]:
    found = contradictions(Opening(terms, (), BERLIN))
    assert all(one.kind == "rule" and one.text for one in found)
    return [(one.index, one.other, one.element) for one in found]


def of_overrides(*terms: Override) -> list[tuple[int, int | None, str]]:
    found = contradictions(Opening((), terms, BERLIN))
    assert all(one.kind == "override" and one.text for one in found)
    return [(one.index, one.other, one.element) for one in found]


def rule(start: int = 9, end: int = 17, days: tuple[int, ...] = (), location: str | None = "L/1", **more) -> Rule:
    return Rule(frozenset(days), start * HOUR, end * HOUR, location=location, **more)


def test_sound_terms_have_no_contradiction():
    assert of_rules(rule(9, 12), rule(12, 17, location="L/2"), rule(9, 17, location=None)) == []
    assert of_overrides(Override("closed", DAY, DAY), Override("open", DAY + timedelta(days=1))) == []


def test_a_rule_that_never_opens():
    assert of_rules(rule(effective_from=DAY, effective_until=DAY - timedelta(days=1))) == [(0, None, "effective")]
    assert of_rules(rule(days=(1,), effective_from=DAY, effective_until=DAY)) == [(0, None, "daysOfWeek")]
    assert of_rules(rule(days=(0,), effective_from=DAY, effective_until=DAY)) == []


@pytest.mark.parametrize("kind", ["open", "replace", "closed"])
def test_an_override_that_never_has_time(kind):
    begin = epoch(BERLIN, DAY, 8)
    assert of_overrides(Override(kind, DAY, DAY - timedelta(days=1))) == [(0, None, "period")]
    assert of_overrides(Override(kind, None, None, begin, begin)) == [(0, None, "period")]
    outside = Override(kind, None, None, begin, begin + HOUR, 10 * HOUR, 11 * HOUR)
    assert of_overrides(outside) == [(0, None, "startTime")]
    assert of_overrides(Override(kind, None, DAY, start=9 * HOUR, end=10 * HOUR)) == []
    assert of_overrides(Override(kind)) == []


def test_one_human_in_two_places():
    assert of_rules(rule(), rule(16, 18, location="L/2")) == [(1, 0, "location")]
    assert of_rules(rule(days=(0,)), rule(days=(1,), location="L/2")) == []
    night = rule(22, 6, (6,))
    assert of_rules(night, rule(5, 8, (0,), "L/2")) == [(1, 0, "location")]
    assert of_rules(rule(5, 8, (0,), "L/2"), night) == [(1, 0, "location")]
    assert of_rules(night, rule(6, 8, (0,), "L/2")) == []


def test_two_places_need_a_common_service_and_a_common_day():
    one, two = frozenset({"S/1"}), frozenset({"S/2"})
    assert of_rules(rule(services=one), rule(location="L/2", services=two)) == []
    assert of_rules(rule(services=one), rule(location="L/2")) == [(1, 0, "location")]
    summer, autumn = rule(effective_until=DAY), rule(location="L/2", effective_from=DAY + timedelta(days=1))
    assert of_rules(summer, autumn) == []
    even = rule(effective_from=DAY, week_interval=2)
    odd = rule(effective_from=DAY + timedelta(days=7), week_interval=2, location="L/2")
    third = rule(effective_from=DAY + timedelta(days=7), week_interval=3, location="L/2")
    assert of_rules(even, odd) == []
    assert of_rules(even, third) == [(1, 0, "location")]


def test_a_closure_over_an_opening():
    closed = Override("closed", DAY, DAY + timedelta(days=13))
    assert of_overrides(closed, Override("replace", DAY + timedelta(days=3), DAY + timedelta(days=3))) == [
        (0, 1, "period")
    ]
    begin = epoch(BERLIN, DAY, 8)
    exact = Override("open", None, None, begin, begin + HOUR)
    assert of_overrides(exact, closed) == [(1, 0, "period")]
    assert of_overrides(exact, Override("closed", DAY, DAY, start=9 * HOUR, end=10 * HOUR)) == []
    night = Override("open", DAY - timedelta(days=1), DAY - timedelta(days=1), start=22 * HOUR, end=6 * HOUR)
    assert of_overrides(night, closed) == [(1, 0, "period")]


@pytest.mark.parametrize(
    ("closed", "opened", "meets"),
    [
        ({"services": frozenset({"S/1"})}, {"services": frozenset({"S/2"})}, False),
        ({"services": frozenset({"S/1"})}, {}, True),
        ({"modalities": frozenset({"video"})}, {"modalities": frozenset({"phone"})}, False),
        ({"location": "L/1"}, {"location": "L/2"}, False),
        ({"location": "L/1"}, {}, True),
        ({}, {"location": "L/2"}, True),
    ],
)
def test_a_closure_meets_only_what_it_concerns(closed, opened, meets):
    found = of_overrides(Override("closed", DAY, DAY, **closed), Override("open", DAY, DAY, **opened))
    assert found == ([(0, 1, "period")] if meets else [])


def test_endless_terms_are_decided_at_once():
    endless = [
        rule(9, 10, (n % 7,), f"L/{n}", week_interval=52, effective_from=DAY + timedelta(days=7 * n)) for n in range(40)
    ]
    shut = [Override("closed", start=n * 900, end=n * 900 + 450) for n in range(40)]
    extra = [Override("open", start=n * 900 + 450, end=n * 900 + 900) for n in range(40)]
    begun = perf_counter()
    assert contradictions(Opening(tuple(endless), (*shut, *extra), BERLIN)) == ()
    assert of_overrides(Override("closed"), Override("open", DAY)) == [(0, 1, "period")]
    assert of_overrides(Override("closed", None, DAY), Override("open")) == [(0, 1, "period")]
    assert perf_counter() - begun < 5


@often
@given(st.sampled_from(DAYS), st.data())
def test_a_closure_and_an_opening_agree_with_every_moment(zone_day, data):
    zone, day = zone_day
    closed, opened = data.draw(overrides(zone, day)), data.draw(overrides(zone, day))
    if {closed.kind, opened.kind} != {"closed", "open"}:
        return
    if opened.kind == "closed":
        closed, opened = opened, closed
    found = contradictions(Opening((), (closed, opened), zone))
    met = any(one.other is not None for one in found)
    without, with_ = Opening((), (opened,), zone), Opening((), (opened, closed), zone)
    window = moments(epoch(zone, day - timedelta(days=12)), epoch(zone, day + timedelta(days=12)))
    lost = any(
        places(without, moment, service, modality) != places(with_, moment, service, modality)
        for service in ("S/1", "S/2", "S/3")
        for modality in ("in-person", "video", "phone")
        if _about_both(closed, opened, service, modality)
        for moment in window
    )
    assert met == lost


def _about_both(closed: Override, opened: Override, service: str, modality: str) -> bool:
    return all(
        (not term.services or service in term.services) and (not term.modalities or modality in term.modalities)
        for term in (closed, opened)
    )


@often
@example(
    Rule(frozenset(), 0, 0, week_interval=3, location="L/2"),
    Rule(frozenset({2}), 0, 0, DAY, week_interval=2, location="L/1"),
)
@given(rules(DAY), rules(DAY))
def test_two_places_at_once_agree_with_every_moment(a, b):
    found = contradictions(Opening((a, b), (), BERLIN))
    met = any(one.other is not None for one in found)
    if not a.location or not b.location or a.location == b.location:
        assert not met
        return
    both = Opening((replace_modalities(a), replace_modalities(b)), (), BERLIN)
    # Every second and every third week meet within six weeks of where both are in effect, or never.
    window = moments(epoch(BERLIN, DAY - timedelta(days=49)), epoch(BERLIN, DAY + timedelta(days=49)))
    together = any(
        len(places(both, moment, service, "phone")) == 2
        for service in ("S/1", "S/2", "S/3")
        if all(not term.services or service in term.services for term in (a, b))
        for moment in window
    )
    assert met == together


def replace_modalities(term: Rule) -> Rule:
    """The same rule for every modality: nobody is in two places, however they speak to the patient."""
    return Rule(
        term.days,
        term.start,
        term.end,
        term.effective_from,
        term.effective_until,
        term.week_interval,
        term.services,
        location=term.location,
    )

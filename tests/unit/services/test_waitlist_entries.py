"""Entries of the waitlist as FHIR says them, what the server notes of offers, and who says how urgent it is."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access.caller import Role
from fhir_server.conformance.artifacts import Artifacts
from fhir_server.errors import Category, Problem
from fhir_server.fhir.json import dump
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.waitlist import Entry, Offer
from fhir_server.scheduling.waitlist_terms import WaitlistTerms
from fhir_server.services import terms
from fhir_server.services.access import urgency
from fhir_server.services.waitlist import records
from fhir_server.services.waitlist.entries import entry_of, urgency_of, windows_of
from fhir_server.store.resources import Stored

EXAMPLES = Artifacts.load().examples
NEW_YORK = ZoneInfo("America/New_York")
H = 3600


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def stored(resource, **extra):
    return Stored("Appointment", "1", 1, 5_000, False, dump({"id": "1", **resource}), extra)


def test_an_entry_is_read_with_all_that_it_says():
    found = entry_of(stored(EXAMPLES["Appointment/example-waitlist-entry"], clinics=["Organization/1"]), NEW_YORK)
    assert found == Entry(
        "1", "Patient/example-patient",
        at("2026-11-26T14:00:00+00:00") * 1000,
        services=frozenset({"HealthcareService/example-follow-up"}),
        actors=frozenset({"Practitioner/example-practitioner"}), places=frozenset({"Location/example-site"}),
        clinics=frozenset({"Organization/1"}),
        windows=(Interval(at("2026-11-30T00:00:00-05:00"), at("2026-12-18T23:59:59-05:00")),),
        days=frozenset({1, 3}), parts=frozenset({"morning"}), earliest=8 * H + H // 2, latest=12 * H, duration=20 * 60,
        modality="in-person", notice=2 * H, urgency=8, kept="Appointment/example-booked-appointment",
        offers=(Offer(at("2026-12-01T14:00:00+00:00"), at("2026-12-01T14:20:00+00:00"), "Schedule/example-schedule",
                      "declined", Interval(at("2026-12-01T14:00:00+00:00"), at("2026-12-01T14:20:00+00:00"))),),
    )  # fmt: skip


def test_an_entry_of_codes_waits_for_codes_and_one_of_nobody_is_none():
    coding = [{"system": "s", "code": "a"}, {"code": "b"}, {"display": "no code"}]
    resource = {
        "status": "waitlist", "serviceType": [{"coding": coding}], "created": "2026-11-26",
        "participant": [{"actor": {"reference": "Patient/1"}}],
    }  # fmt: skip
    found = entry_of(stored(resource), NEW_YORK)
    assert found.types == frozenset({"s|a", "=b"})
    assert found.since == 5_000, "a date says no time, the version does"
    assert records.waits_of(resource, {}, ()) == ["s|a", "=b"]
    assert records.waits_of({**resource, "status": "booked"}, {}, ()) is None
    assert records.waits_of({**resource, "status": "pending"}, {records.OFFERED: {"of": 1}}, ()) == ["s|a", "=b"]
    assert records.waits_of({"status": "waitlist"}, {}, ()) is None
    both = [*resource["participant"], {"actor": {"reference": "Patient/2"}}]
    for people in ([], both):
        assert entry_of(stored({**resource, "participant": people}), NEW_YORK) is None


def test_periods_may_be_open_and_of_dates():
    periods = [{"start": "2026-12-01", "end": "2026-12-02"}, {"end": "2026-12-05"}, {"start": "2026-12-09"}]
    periods += [{"start": "2026-12-09", "end": "2026-12-01"}]
    (days, until, since) = windows_of({"requestedPeriod": periods}, NEW_YORK)
    assert days == Interval(at("2026-12-01T00:00:00-05:00"), at("2026-12-03T00:00:00-05:00"))
    assert until.end == at("2026-12-06T00:00:00-05:00")
    assert until.start < 0
    assert since.start == at("2026-12-09T00:00:00-05:00")
    assert since.end > at("2199-01-01T00:00:00+00:00")
    assert windows_of({}, NEW_YORK) == ()


@pytest.mark.parametrize(("priority", "score"), [(0, 0), (1, 9), (5, 5), (9, 1), (42, 0)])
def test_a_priority_is_an_urgency(priority, score):
    assert urgency_of({"priority": priority}) == score
    stated = {"url": records.PREFERENCE_URL, "extension": [{"url": "urgency", "valueUnsignedInt": 3}]}
    assert urgency_of({"priority": priority, "extension": [stated]}) == 3


RECORD = records.Record(at("2026-12-01T14:00:00+00:00"), at("2026-12-01T14:30:00+00:00"), "Schedule/1", 1, 2, "rank",
                        Interval(at("2026-12-01T13:50:00+00:00"), at("2026-12-01T14:40:00+00:00")))  # fmt: skip


@given(st.lists(st.sampled_from(["accepted", "declined", "expired", "withdrawn"]), max_size=4))
def test_offers_come_one_after_the_other_and_each_ends_once(outcomes):
    entry = {"status": "waitlist", "extension": [{"url": "urn:other", "valueString": "x"}]}
    for outcome in outcomes:
        entry = records.closed(records.with_offer(entry, RECORD), outcome)
    assert [one.outcome for one in records.offers_of(entry)] == outcomes
    opened = records.with_offer(entry, RECORD)
    assert [one.outcome for one in records.offers_of(opened)] == [*outcomes, "open"]
    assert {one.freed for one in records.offers_of(opened)} == {RECORD.freed}
    assert records.freed_by(opened) == RECORD.freed
    assert records.freed_by(entry) is None
    assert records.kept(opened, {"status": "booked"}).get("extension", []) == opened["extension"][1:]
    forged = records.with_offer({"status": "waitlist"}, RECORD)
    assert records.offers_of(records.kept(entry, forged)) == records.offers_of(entry)
    assert records.closed({"status": "waitlist"}, "declined") == {"status": "waitlist"}


def _entry(said, **more):
    parts = [{"url": "urgency", "valueUnsignedInt": said}] if said is not None else []
    return {"status": "waitlist", "extension": [{"url": records.PREFERENCE_URL, "extension": parts}], **more}


@pytest.mark.parametrize("role", list(Role))
def test_clinicians_alone_say_how_urgent_it_is(role):
    may = role in {Role.PRACTITIONER, Role.SYSTEM}
    for before, after in (
        (None, _entry(5)), (_entry(5), _entry(6)), (_entry(5), _entry(None)), (None, _entry(None, priority=1)),
        (_entry(5), {**_entry(9), "status": "cancelled"}), (_entry(None, priority=3), _entry(None)),
    ):  # fmt: skip
        if may:
            urgency.check(role, after, before)
        else:
            with pytest.raises(Problem) as refused:
                urgency.check(role, after, before)
            assert refused.value.category is Category.FORBIDDEN
    for before, after in (
        (None, _entry(None)), (_entry(5), _entry(5, comment="x")), (_entry(5), {**_entry(5), "status": "cancelled"}),
        (None, {"status": "booked", "priority": 1}), ({"status": "booked"}, {"status": "booked", "priority": 1}),
    ):  # fmt: skip
        urgency.check(role, after, before)


def test_the_settings_of_a_clinic():
    assert terms.policy(EXAMPLES["Organization/example-clinic"]).waitlist == WaitlistTerms(
        ("urgency", "established", "since"), H // 2, 2 * H, 21 * H, 8 * H, 3, "clinic", True, False
    )
    assert terms.policy({"resourceType": "Organization"}).waitlist is None
